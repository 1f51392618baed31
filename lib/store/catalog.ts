import { realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { Catalog } from '../../types/catalog.js'
import { CatalogBook, type CatalogChange, type CatalogEngine, type CatalogEntry } from './catalog-book.js'
import { catalogFault, prepareCatalog } from './catalog-file.js'
import { openCatalogFile } from './catalog-lmdb.js'

/** A file that is open in this thread: LMDB must not map it twice. */
interface Shared {
  readonly opening: Promise<CatalogEngine>
  users: number
  /** The last one is closing it. */
  closing: Promise<void> | undefined
}

const open = new Map<string, Shared>()

/**
 * Opens the catalog in this file, on a local disk, and makes it where there is none; its lock file lies beside it, named
 * `<file>-lock`. It may be opened several times in one process, each has to be closed. `transact` blocks this thread while
 * another process writes, and is durable when it returns (0.3 to 2 ms).
 *
 * Rejects with `MILL_CATALOG_DAMAGED` for what LMDB must not open, links included, `MILL_DISK_FULL` where there is no room
 * to make one (1 MiB), `MILL_READ_ONLY` on a file system of that kind, `MILL_PACKAGE_MISSING`, else `MILL_STORE_IO`.
 */
export async function openCatalog(path: string): Promise<Catalog> {
  const file = realPathOf(path)
  let shared = open.get(file)
  while (shared?.closing !== undefined) {
    await shared.closing
    shared = open.get(file)
  }
  if (shared === undefined) {
    shared = { opening: openShared(file), users: 0, closing: undefined }
    open.set(file, shared)
  }
  shared.users++
  try {
    return new CatalogBook(new SharedEngine(file, await shared.opening, shared))
  } catch (error) {
    if (--shared.users === 0 && open.get(file) === shared) open.delete(file)
    throw error
  }
}

async function openShared(file: string): Promise<CatalogEngine> {
  return openCatalogFile(file, await prepareCatalog(file))
}

/** The folder may be reached through a link; the file itself may not be one. */
function realPathOf(path: string): string {
  const absolute = resolve(path)
  try {
    return join(realpathSync(dirname(absolute)), basename(absolute))
  } catch (error) {
    throw catalogFault(absolute, error)
  }
}

/** What one of several users sees of the engine. */
class SharedEngine implements CatalogEngine {
  readonly path: string
  readonly #engine: CatalogEngine
  readonly #shared: Shared

  constructor(path: string, engine: CatalogEngine, shared: Shared) {
    this.path = path
    this.#engine = engine
    this.#shared = shared
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#engine.get(key)
  }

  range(from: Uint8Array, to: Uint8Array, reverse: boolean, limit: number): CatalogEntry[] {
    return this.#engine.range(from, to, reverse, limit)
  }

  locked(work: () => readonly CatalogChange[]): void {
    this.#engine.locked(work)
  }

  refresh(): void {
    this.#engine.refresh()
  }

  async close(): Promise<void> {
    const shared = this.#shared
    if (--shared.users > 0) return
    shared.closing = this.#engine.close().finally(() => {
      if (open.get(this.path) === shared) open.delete(this.path)
    })
    await shared.closing
  }
}
