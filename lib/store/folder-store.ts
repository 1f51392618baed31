import { randomUUID } from 'node:crypto'
import { lstatSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type {
  LocalStore,
  Operations,
  StoreCapabilities,
  StoreLease,
  StoreStats,
  TableConfig,
} from '../../types/store.js'
import { isMillraceError, StoreError } from '../base/errors.js'
import { asideName, fileTag, sweepAside, syncFolderSync } from './folder-files.js'
import type { OpenBody } from './frames.js'
import { FIRST_MAP } from './ids.js'
import { takeLease } from './lease.js'
import { type Environment, openEnvironment } from './lmdb-environment.js'
import type { LmdbTable } from './lmdb-table.js'
import { DATA_FILE, look } from './look.js'
import { checkTableName } from './scan.js'
import { runSide } from './side-run.js'
import type { WriteArguments } from './side-write.js'
import { Writer } from './writer.js'
import { recordKey } from './writer-record.js'

/** A length is a u32, and one typed array must hold it. */
const MOST_VALUE = 0x7fff_ffff

/** How a folder is opened; every option has its value. */
export interface FolderSettings {
  /** Absolute, without links. */
  readonly path: string
  readonly readonly: boolean
  readonly create: boolean
  readonly durable: boolean
  readonly lockTimeoutMs: number
  readonly pageSize: number
  readonly maxMaps: number
  /** The side process' program, where it is not the library's own. */
  readonly program?: URL
}

/** A folder whose tables this process reads, and a side process writes. */
export class FolderStore implements LocalStore {
  readonly path: string
  readonly name: string
  readonly readonly: boolean
  readonly #settings: FolderSettings
  readonly #id = randomUUID()
  readonly #writer: Writer
  /** There once the folder is. */
  #env: Environment | undefined
  /** The data file that is open. */
  #file: string | undefined
  readonly #ids = new Map<string, number>()
  readonly #tables = new Map<string, LmdbTable>()
  #nextId = FIRST_MAP
  #closed = false
  readonly #release: () => boolean
  #closing: Promise<void> | undefined

  /** Opens a folder that is there, or has it made. `release`: asked by each `close()`; false: others still use it. */
  static async open(settings: FolderSettings, release: () => boolean): Promise<FolderStore> {
    const store = new FolderStore(settings, release)
    try {
      const found = await store.#look()
      if (found !== undefined) return store.#use(found)
      if (settings.readonly || !settings.create) throw missing(settings.path)
      await store.#writer.open({ id: 0, name: '' })
      const made = await store.#look()
      if (made === undefined) throw store.#replaced()
      return store.#use(made)
    } catch (error) {
      await store.#writer.close()
      throw error
    }
  }

  private constructor(settings: FolderSettings, release: () => boolean) {
    this.#settings = settings
    this.path = settings.path
    this.name = settings.path
    this.readonly = settings.readonly
    this.#release = release
    const host = {
      path: settings.path,
      lockTimeoutMs: settings.lockTimeoutMs,
      startArguments: () => this.#startArguments(),
      record: () => {
        this.#env?.refresh()
        return this.#env?.readMeta(recordKey(this.#id))
      },
      committed: () => this.#env?.refresh(),
    }
    this.#writer = new Writer(host, settings.program)
  }

  /** The environment, and which file it is; undefined: there is none yet. */
  async #look(): Promise<{ env: Environment; file: string } | undefined> {
    const { path, maxMaps } = this.#settings
    for (;;) {
      const file = fileTag(path)
      if (file === undefined) {
        look(path) // it may be a link to nowhere
        return undefined
      }
      try {
        const env = await openEnvironment(path, { readonly: true, maxMaps })
        if (fileTag(path) === file) return { env, file }
        await env.close() // swapped while it was opened
      } catch (error) {
        // Somebody is just making it.
        if (isMillraceError(error, 'MILL_MAP_MISSING')) return undefined
        throw error
      }
    }
  }

  #use({ env, file }: { env: Environment; file: string }): this {
    this.#env = env
    this.#file = file
    return this
  }

  get capabilities(): StoreCapabilities {
    const { maxKeyBytes } = this.#open
    const { durable } = this.#settings
    return { sync: true, atomic: 'store', snapshots: true, durable, maxKeyBytes, maxValueBytes: MOST_VALUE }
  }

  get transactionId(): number {
    return this.#open.transactionId
  }

  async table(name: string, config?: TableConfig): Promise<LmdbTable | undefined> {
    const found = this.#table(checkTableName(name))
    if (found !== undefined || config === undefined) return found
    this.#mayWrite()
    await this.#writer.open({ ...this.#body(name), config })
    // Somebody may have dropped it again.
    return this.#table(name)
  }

  async tables(): Promise<string[]> {
    return this.tableNames()
  }

  tableNames(): string[] {
    return this.#open.tableNames()
  }

  async drop(name: string): Promise<boolean> {
    this.#mayWrite()
    const done = await this.#writer.drop(this.#body(checkTableName(name)))
    this.#tables.delete(name)
    return done
  }

  async write(operations: Operations, options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    this.#mayWrite()
    return this.#writer.apply(operations.bytes, options.signal)
  }

  async lease(key: Uint8Array, ttlMs: number): Promise<StoreLease | undefined> {
    this.#mayWrite()
    return takeLease(this, this.#open.leases, key, ttlMs)
  }

  refresh(): void {
    this.#open.refresh()
    if (fileTag(this.path) !== this.#file) throw this.#replaced()
  }

  stats(): StoreStats {
    const env = this.#open
    return {
      fileBytes: statSync(join(this.path, DATA_FILE), { throwIfNoEntry: false })?.size ?? 0,
      maps: env.tableNames().length,
      readers: env.readers(),
      pendingBytes: this.#writer.pendingBytes,
      writer: this.#writer.state,
      restarts: this.#writer.restarts,
      transactionId: env.transactionId,
    }
  }

  async backup(path: string, options: { readonly compact?: boolean } = {}): Promise<void> {
    await this.#writer.flushed()
    this.#open.refresh()
    const to = resolve(path)
    const exists = (): void => {
      if (lstatSync(to, { throwIfNoEntry: false }) === undefined) return
      throw new StoreError('MILL_MAP_EXISTS', `${to} is there already: it is not overwritten`, { path: to })
    }
    exists()
    mkdirSync(dirname(to), { recursive: true })
    sweepAside(to)
    const made = asideName(to, 'backup')
    try {
      const program = new URL('./side-process.js', import.meta.url)
      await runSide(
        program,
        { command: 'copy', from: this.path, to: made, compact: options.compact === true },
        { path: to },
      )
      exists()
      renameSync(made, to)
      syncFolderSync(dirname(to))
    } finally {
      rmSync(made, { recursive: true, force: true })
    }
  }

  /** Waits for what is under way. One user less; closes it when that was the last. */
  async close(): Promise<void> {
    if (this.#closing === undefined && this.#release()) this.#closing = this.#close()
    await (this.#closing ?? this.#writer.flushed())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  get #open(): Environment {
    if (this.#closed) throw new StoreError('MILL_CLOSED', `${this.path} is closed`, { path: this.path })
    return this.#env as Environment
  }

  #table(name: string): LmdbTable | undefined {
    const env = this.#open
    const known = this.#tables.get(name)
    if (known !== undefined) return known
    const { id } = this.#body(name)
    const table = env.table(name, id)
    if (table === undefined) return undefined
    this.#tables.set(name, table)
    this.#writer.bind({ id, name })
    return table
  }

  #body(name: string): OpenBody {
    let id = this.#ids.get(name)
    if (id === undefined) {
      id = this.#nextId++
      this.#ids.set(name, id)
    }
    return { id, name }
  }

  #mayWrite(): void {
    if (this.#closed) throw new StoreError('MILL_CLOSED', `${this.path} is closed`, { path: this.path })
    if (!this.readonly) return
    throw new StoreError('MILL_READ_ONLY', `${this.path} was opened read-only`, { path: this.path })
  }

  #startArguments(): WriteArguments {
    const { path, create, pageSize, maxMaps, durable } = this.#settings
    return {
      command: 'write',
      path,
      writer: this.#id,
      create: create && this.#file === undefined,
      pageSize,
      maxMaps,
      durable,
      tables: [...this.#ids].map(([name, id]) => ({ id, name })),
      ...(this.#file !== undefined && { file: this.#file }),
    }
  }

  #replaced(): StoreError {
    const message = `${this.path} was replaced or deleted while it was open; open it again`
    return new StoreError('MILL_MAP_REPLACED', message, { path: this.path })
  }

  async #close(): Promise<void> {
    this.#closed = true
    await this.#writer.close()
    await this.#env?.close()
  }
}

export function missing(path: string): StoreError {
  return new StoreError('MILL_MAP_MISSING', `${path}: there is no map`, { path, name: '' })
}
