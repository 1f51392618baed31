import { lstatSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import type {
  DirectWrites,
  LocalStore,
  LocalTable,
  Operations,
  StoreCapabilities,
  StoreLease,
  StoreStats,
  TableConfig,
} from '../../types/store.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { syncFolder } from '../io/temporary.js'
import { asideName, sweepAside } from './folder-files.js'
import { FIRST_MAP } from './ids.js'
import { takeLease } from './lease.js'
import { type Environment, openEnvironment } from './lmdb-environment.js'
import { look } from './look.js'
import { checkTableName } from './scan.js'
import { seedFolder } from './seed.js'

/** A length is a u32, and one typed array must hold it. */
const MOST_VALUE = 0x7fff_ffff

/** How a folder is opened; every option has its value. */
export interface InlineSettings {
  /** Absolute, without links. */
  readonly path: string
  readonly create: boolean
  readonly durable: boolean
  readonly pageSize: number
  readonly maxMaps: number
}

/**
 * Opens a folder that this thread writes to by itself: `write` blocks until it has the lock, and while the disk writes.
 * Main thread only: a thread that is ended within a transaction would keep the lock for ever. `release` is asked by each
 * `close()`; false: others still use the store. Rejects as `openEnvironment` and `seedFolder` do, and with
 * `MILL_INVALID_ARGUMENT` in another thread.
 */
export async function openInline(settings: InlineSettings, release: () => boolean): Promise<LocalStore> {
  if (!isMainThread) throw new ArgumentError('options.writer', "'process' outside the main thread", 'inline')
  const { path, create, durable, pageSize, maxMaps } = settings
  if (look(path) === undefined) {
    if (!create) throw new StoreError('MILL_MAP_MISSING', `There is no map in ${path}`, { path })
    await seedFolder(path, pageSize)
  }
  const environment = await openEnvironment(path, { readonly: false, maxMaps, durable })
  environment.readerCheck()
  return new InlineStore(environment, durable, release)
}

class InlineStore implements LocalStore {
  readonly path: string
  readonly name: string
  readonly readonly = false
  readonly capabilities: StoreCapabilities
  readonly direct: DirectWrites
  readonly #environment: Environment
  readonly #ids = new Map<string, number>()
  readonly #release: () => boolean
  #closing: Promise<void> | undefined

  constructor(environment: Environment, durable: boolean, release: () => boolean) {
    const { path, maxKeyBytes } = environment
    this.path = path
    this.name = path
    this.#environment = environment
    this.#release = release
    this.capabilities = {
      sync: true,
      atomic: 'store',
      snapshots: true,
      durable,
      maxKeyBytes,
      maxValueBytes: MOST_VALUE,
    }
    this.direct = { transact: (work) => this.#transact(work), apply: (operations) => this.#apply(operations) }
  }

  get transactionId(): number {
    return this.#environment.transactionId
  }

  async table(name: string, config?: TableConfig): Promise<LocalTable | undefined> {
    const id = this.#idOf(checkTableName(name))
    const table = this.#environment.table(name, id)
    if (table !== undefined || config === undefined) return table
    this.#transact(() => this.#environment.createTable(name, config))
    return this.#environment.table(name, id)
  }

  async tables(): Promise<string[]> {
    return this.tableNames()
  }

  tableNames(): string[] {
    return this.#environment.tableNames()
  }

  async drop(name: string): Promise<boolean> {
    checkTableName(name)
    return this.#transact(() => this.#environment.dropTable(name))
  }

  async write(operations: Operations, options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    return this.#apply(operations)
  }

  async lease(key: Uint8Array, ttlMs: number): Promise<StoreLease | undefined> {
    this.#environment.refresh()
    return takeLease(this, this.#environment.leases, key, ttlMs)
  }

  refresh(): void {
    this.#environment.refresh()
    this.#environment.checkPlace()
  }

  stats(): StoreStats {
    const environment = this.#environment
    environment.check()
    return {
      fileBytes: environment.lookAtFile(),
      maps: environment.tableNames().length,
      readers: environment.readers(),
      pendingBytes: 0,
      writer: 'idle',
      restarts: 0,
      transactionId: environment.transactionId,
    }
  }

  async backup(path: string, options: { readonly compact?: boolean } = {}): Promise<void> {
    this.#environment.check()
    const to = resolve(path)
    refuseExisting(to)
    mkdirSync(dirname(to), { recursive: true })
    sweepAside(to)
    const made = asideName(to, 'backup')
    try {
      mkdirSync(made, { mode: 0o700 })
      await this.#environment.copyTo(made, options.compact === true)
      if (look(made) === undefined) throw new StoreError('MILL_STORE_IO', `${made}: nothing was copied`, { path: made })
      refuseExisting(to)
      renameSync(made, to)
      await syncFolder(to)
    } finally {
      rmSync(made, { recursive: true, force: true })
    }
  }

  async close(): Promise<void> {
    if (this.#closing === undefined && this.#release()) this.#closing = this.#environment.close()
    await this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #idOf(name: string): number {
    let id = this.#ids.get(name)
    if (id === undefined) {
      id = FIRST_MAP + this.#ids.size
      this.#ids.set(name, id)
    }
    return id
  }

  #transact<R>(work: () => R): R {
    const environment = this.#environment
    return environment.transact(() => {
      environment.checkPlace()
      return work()
    })
  }

  #apply(operations: Operations): Uint8Array {
    const { bytes } = operations
    if (this.#environment.isWriting) return this.#environment.apply(bytes)
    return this.#transact(() => this.#environment.apply(bytes))
  }
}

function refuseExisting(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return
  throw new StoreError('MILL_MAP_EXISTS', `${path} is there already: it is not overwritten`, { path })
}
