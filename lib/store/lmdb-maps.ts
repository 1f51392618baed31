import type { TableConfig } from '../../types/store.js'
import { concatBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { FIRST_MAP, LEASE_TABLE, META_TABLE, PLAIN_CONFIG } from './ids.js'
import type { RawDatabase, RawStat } from './lmdb.js'
import { RAW_OPTIONS } from './lmdb-codec.js'
import { LmdbCore } from './lmdb-core.js'
import { LmdbTable } from './lmdb-table.js'
import { damaged } from './look.js'
import { FORMAT_RECORD, isOurs, laterVersion, parseConfig } from './records.js'
import { type Need, needOfDrop, needOfRecord } from './reserve.js'

/** How an environment is opened. */
export interface EnvironmentOptions {
  /** Never waits for the write lock, and never writes. */
  readonly readonly: boolean
  /** Maps it may have. */
  readonly maxMaps: number
  /** False: no fdatasync. */
  readonly durable?: boolean
  /** The process may end in native code: then it goes nearer to the end of a full disk. */
  readonly expendable?: boolean
}

const META = 'meta'
const LEASE = 'lease'
/** What the names of maps begin with in the list of databases and in `meta`. */
export const MAP_PREFIX = 'map:'
const FORMAT = 'format'
const NOT_FOUND = -30798
const NO_BYTES = new Uint8Array(0)

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function missing(path: string): StoreError {
  return new StoreError('MILL_MAP_MISSING', `There is no map in ${path}`, { path })
}

/**
 * Which maps an environment has: their names and configurations in `meta`, the databases behind them, and the numbers
 * that operations name them by. How they are written to is {@link Environment}'s.
 */
export abstract class LmdbMaps extends LmdbCore {
  readonly expendable: boolean
  readonly #maxMaps: number
  #meta: LmdbTable | undefined
  readonly #tables: (LmdbTable | undefined)[] = []
  /** What ids stand for, also where the table isn't open yet. */
  readonly #names: (string | undefined)[] = []
  /** Databases that the transaction has dropped: their handles will stand for others. */
  readonly #dropped: string[] = []
  /** Databases whose pages were counted: on a full disk that is done for each transaction. */
  readonly #measured = new Map<string, RawDatabase>()
  /** The records of tables, in `meta`, as they were when the table was used last. */
  readonly #verified = new WeakMap<LmdbTable, MetaEntry>()

  constructor(folder: string, raw: RawDatabase, pageSize: number, options: EnvironmentOptions) {
    super(folder, raw, pageSize, options.readonly)
    this.expendable = options.expendable === true
    this.#maxMaps = options.maxMaps
  }

  /** Within `transact`: makes sure of room. */
  abstract reserve(need: Need): void
  abstract put(
    table: number,
    bytes: Uint8Array,
    keyAt: number,
    keyLength: number,
    valueAt: number,
    valueLength: number,
  ): void
  abstract remove(table: number, bytes: Uint8Array, keyAt: number, keyLength: number): boolean

  /** Finds `meta` and checks the format; where there is nothing at all, a writable one makes both. */
  begin(): void {
    const empty = this.#isEmpty()
    if (empty && this.readonly) throw missing(this.path)
    this.#meta = empty ? this.#create() : this.#database(META, META_TABLE, PLAIN_CONFIG, false)
    const record = this.readMeta(FORMAT)
    if (!isOurs(record)) throw damaged(this.path, 'it is an LMDB environment of somebody else')
    const later = laterVersion(this.path, record)
    if (later !== undefined) throw later
  }

  #isEmpty(): boolean {
    this.raw.ensureReadTxn()
    // Not the count of entries, which may be damaged where the tree is not.
    return this.raw.db.stat().treeDepth === 0
  }

  #create(): LmdbTable | undefined {
    return this.transact(() => {
      this.reserve({ pages: 1, onlyDeletes: false })
      // Somebody else may have been faster: then this opens theirs.
      const meta = this.#database(META, META_TABLE, PLAIN_CONFIG, true)
      this.#database(LEASE, LEASE_TABLE, PLAIN_CONFIG, true)
      this.#meta = meta
      if (this.readMeta(FORMAT) === undefined) this.writeMeta(FORMAT, encoder.encode(FORMAT_RECORD))
      return meta
    })
  }

  protected committed(): void {
    for (const full of this.#dropped) {
      this.#measured.delete(full)
      for (let id = FIRST_MAP; id < this.#names.length; id++) {
        if (this.#names[id] !== full) continue
        this.#tables[id]?.vanish()
        this.#tables[id] = undefined
      }
    }
    this.#dropped.length = 0
  }

  protected undone(): void {
    this.#dropped.length = 0
    this.#measured.clear()
    // Databases that were made in it are gone again.
    for (let id = FIRST_MAP; id < this.#tables.length; id++) this.#tables[id] = undefined
  }

  /** A copy of what `meta` has under this key. */
  readMeta(key: string): Uint8Array | undefined {
    const bytes = encoder.encode(key)
    const value = this.#meta?.get(bytes, bytes.length)
    return value && new Uint8Array(value.buffer, value.byteOffset, this.#meta?.valueLength).slice()
  }

  /** Within `transact`; undefined removes it. `MILL_DISK_FULL` if there is no room for it. */
  writeMeta(key: string, value: Uint8Array | undefined): void {
    const { bytes, valueAt, valueLength } = metaEntry(key, value)
    this.reserve(needOfRecord(this, value === undefined ? 0 : bytes.length))
    if (value === undefined) this.remove(META_TABLE, bytes, 0, valueAt)
    else this.put(META_TABLE, bytes, 0, valueAt, valueAt, valueLength)
  }

  knows(name: Uint8Array): boolean {
    return this.#meta?.get(name, name.length) !== undefined
  }

  /** Keys of `meta` that begin so, in the order of their bytes. */
  metaKeys(prefix: string): string[] {
    const keys: string[] = []
    const cursor = this.#meta?.cursor({ gte: encoder.encode(prefix) })
    while (cursor?.next()) {
      const key = decoder.decode(cursor.key.subarray(0, cursor.keyLength))
      if (!key.startsWith(prefix)) break
      keys.push(key)
    }
    cursor?.close()
    return keys
  }

  /** Names of the maps, in the order of their bytes. */
  tableNames(): string[] {
    return this.metaKeys(MAP_PREFIX).map((key) => key.slice(MAP_PREFIX.length))
  }

  /** The table of leases. */
  get leases(): LmdbTable {
    return this.target(LEASE_TABLE)
  }

  /** The map, under the id that operations will name it by; undefined: it is not there. */
  table(name: string, id: number): LmdbTable | undefined {
    this.bind(id, name)
    const record = this.readMeta(MAP_PREFIX + name)
    if (record === undefined) return undefined
    const open = this.#tables[id]
    if (open !== undefined) return open
    const config = parseConfig(record)
    if (config === undefined) throw damaged(this.path, `the record of the map ${JSON.stringify(name)} cannot be read`)
    return this.#database(MAP_PREFIX + name, id, config, false)
  }

  /** Says which map operations mean by this id. */
  bind(id: number, name: string): void {
    const full = MAP_PREFIX + name
    if (this.#names[id] === full) return
    this.#names[id] = full
    this.#tables[id] = undefined
  }

  /** Within `transact`: makes the map where it isn't there. Throws `MILL_TOO_MANY`, `MILL_DISK_FULL`. */
  createTable(name: string, config: TableConfig): void {
    const full = MAP_PREFIX + name
    if (this.readMeta(full) !== undefined) return
    if (this.tableNames().length >= this.#maxMaps) throw this.#tooMany()
    // Who makes maps means to fill them: the last of the disk is for deletes.
    this.reserve({ pages: 1, onlyDeletes: false })
    this.writeMeta(full, encoder.encode(JSON.stringify(config)))
    this.#openDatabase(full, true)
  }

  /** Within `transact`: removes the map; false: it was not there. */
  dropTable(name: string): boolean {
    const full = MAP_PREFIX + name
    if (this.readMeta(full) === undefined) return false
    const raw = this.#openDatabase(full, false)
    this.reserve(needOfDrop(raw?.db.stat(), this.pageSize))
    this.writeMeta(full, undefined)
    raw?.dropSync()
    this.#dropped.push(full)
    return true
  }

  #tooMany(cause?: unknown): StoreError {
    const limit = this.#maxMaps
    const fields = { path: this.path, limit, ...(cause !== undefined && { cause }) }
    return new StoreError('MILL_TOO_MANY', `${this.path} has more than ${limit} maps (maxMaps)`, fields)
  }

  #database(full: string, id: number, config: TableConfig, create: boolean): LmdbTable | undefined {
    const raw = this.#openDatabase(full, create)
    this.#names[id] = full
    const table = raw && new LmdbTable(this, raw, id, full, config)
    this.#tables[id] = table
    return table
  }

  #openDatabase(name: string, create: boolean): RawDatabase | undefined {
    this.check()
    try {
      // Opening commits the binding's current read transaction, which must not be one that somebody reads in.
      this.raw.resetReadTxn()
      return this.raw.openDB({ name, create, ...RAW_OPTIONS })
    } catch (error) {
      if ((error as { code?: unknown }).code === NOT_FOUND) return undefined
      const fault = this.fault(error)
      throw (fault as StoreError).code === 'MILL_TOO_MANY' ? this.#tooMany(error) : fault
    }
  }

  /**
   * Others may have dropped a map: LMDB would go on from where its root was. One that was made anew in its place is taken
   * if it is configured as before.
   */
  protected verify(id: number): void {
    const open = this.#tables[id]
    if (id < FIRST_MAP || open === undefined) return
    const known = this.#verified.get(open)
    // Byte for byte, as it was the last time: this is done for each transaction.
    if (known !== undefined && this.#meta?.holds(known.bytes, 0, known.valueAt, known.valueAt, known.valueLength))
      return
    const record = this.readMeta(open.name)
    const config = record && parseConfig(record)
    if (config === undefined || JSON.stringify(config) !== JSON.stringify(open.config)) throw this.#lost(open.name)
    this.#verified.set(open, metaEntry(open.name, record))
  }

  /** The table of an id; one that was made since then is opened, one that is gone is `MILL_MAP_MISSING`. */
  protected target(id: number): LmdbTable {
    const open = this.#tables[id]
    if (open !== undefined) return open
    const name = this.#names[id]
    const found =
      id === LEASE_TABLE
        ? this.#database(LEASE, LEASE_TABLE, PLAIN_CONFIG, !this.readonly)
        : name?.startsWith(MAP_PREFIX) && this.table(name.slice(MAP_PREFIX.length), id)
    if (found) return found
    throw this.#lost(name ?? MAP_PREFIX)
  }

  #lost(full: string): StoreError {
    const { path } = this
    const map = full.slice(MAP_PREFIX.length)
    return new StoreError('MILL_MAP_MISSING', `The map ${JSON.stringify(map)} of ${path} was dropped`, { path, map })
  }

  /** Pages of all trees, the lists of free pages and of names included. */
  pagesOfAll(): number {
    let pages = pagesOf(this.raw.env.freeStat()) + pagesOf(this.raw.db.stat())
    for (const name of [META, LEASE, ...this.metaKeys(MAP_PREFIX)]) {
      const raw = this.#measured.get(name) ?? this.#openDatabase(name, false)
      if (raw === undefined) continue
      this.#measured.set(name, raw)
      pages += pagesOf(raw.db.stat())
    }
    return pages
  }
}

/** A key of `meta` and what stands under it, one behind the other. */
interface MetaEntry {
  readonly bytes: Uint8Array
  readonly valueAt: number
  readonly valueLength: number
}

function metaEntry(key: string, value: Uint8Array = NO_BYTES): MetaEntry {
  const name = encoder.encode(key)
  return { bytes: concatBytes([name, value]), valueAt: name.length, valueLength: value.length }
}

function pagesOf({ treeBranchPageCount, treeLeafPageCount, overflowPages }: RawStat): number {
  return treeBranchPageCount + treeLeafPageCount + overflowPages
}
