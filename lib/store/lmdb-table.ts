import type {
  ByteCursor,
  ByteEntry,
  ByteRange,
  LocalSnapshot,
  LocalTable,
  ScanOptions,
  TableConfig,
} from '../../types/store.js'
import { StoreError } from '../base/errors.js'
import { FIRST_MAP } from './ids.js'
import type { RawDatabase, RawIterator, RawRange, RawStat, RawTransaction } from './lmdb.js'
import { AIMED, AIMED_VALUE, aim, aimValue, plain } from './lmdb-codec.js'
import { BAD_DBI, LmdbCursor, LmdbSnapshot, type TableHost } from './lmdb-reading.js'
import { bounds } from './range.js'
import { checkKeyLength, copyOf, scanLocal } from './scan.js'

/** Keys that are fetched off this thread at a time. */
const PREFETCHED = 1000

/** One database of an environment. Reads see one state per turn of the event loop, or that of a snapshot. */
export class LmdbTable implements LocalTable {
  readonly id: number
  readonly config: TableConfig
  readonly name: string
  valueLength = 0
  readonly #host: TableHost
  /** Its key in `meta`. */
  readonly #record: Uint8Array
  #raw: RawDatabase

  constructor(host: TableHost, raw: RawDatabase, id: number, name: string, config: TableConfig) {
    this.#host = host
    this.#raw = raw
    this.id = id
    this.name = name
    this.#record = new TextEncoder().encode(name)
    this.config = config
  }

  get size(): number {
    return this.stat()?.entryCount ?? 0
  }

  /** Of the tree, as one sees it now; undefined if it was dropped. */
  stat(): RawStat | undefined {
    const raw = this.#raw
    this.#host.check()
    try {
      raw.ensureReadTxn()
      // Of a database that another process has dropped LMDB goes on telling what it was.
      return this.id < FIRST_MAP || this.#host.knows(this.#record) ? raw.db.stat() : undefined
    } catch (error) {
      return this.#gone(error)
    }
  }

  /** The same within a write transaction that has made sure that it was not dropped. */
  treeStat(): RawStat | undefined {
    try {
      return this.#raw.db.stat()
    } catch (error) {
      return this.#gone(error)
    }
  }

  get(key: Uint8Array, length: number, at?: LocalSnapshot): Uint8Array | undefined {
    const raw = this.#raw
    this.#host.check()
    this.#checkKey(length)
    aim(key, 0, length)
    try {
      const value = raw.getBinaryFast(AIMED, at === undefined ? undefined : this.#reading(at))
      this.valueLength = raw.lastSize
      return value && plain(value)
    } catch (error) {
      return this.#gone(error)
    }
  }

  cursor(range: ByteRange, at?: LocalSnapshot): ByteCursor {
    this.#host.check()
    const options = this.#range(range, true, at)
    const cursor = new LmdbCursor(this.#host, options && this.#iterate(options))
    if (this.#host.isWriting) this.#host.reads(cursor)
    return cursor
  }

  #iterate(options: RawRange): RawIterator | undefined {
    const raw = this.#raw
    try {
      if (this.#host.isWriting || options.transaction !== undefined) return raw.getRange(options).iterate()
      // Left to itself the binding settles on a state at the first `next`, and by then it may read in a transaction that
      // is not the one it has marked as in use, whose pages are written to while it walks.
      const transaction = raw.useReadTransaction()
      try {
        return raw.getRange({ ...options, transaction }).iterate()
      } finally {
        transaction.done()
      }
    } catch (error) {
      return this.#gone(error)
    }
  }

  countSync(range: ByteRange, at?: LocalSnapshot): number {
    this.#host.check()
    const options = this.#range(range, false, at)
    if (options === undefined) return 0
    try {
      return this.#raw.getKeysCount(options)
    } catch (error) {
      this.#gone(error)
      return 0
    }
  }

  snapshot(): LocalSnapshot {
    this.#host.check()
    if (this.#host.isWriting) throw new StoreError('MILL_UNSUPPORTED', 'No snapshot within a transaction', {})
    try {
      // Native handles for it first: `size` is then of the very state that is kept.
      const transaction = this.#raw.useReadTransaction()
      return new LmdbSnapshot(this.#host, transaction, this.stat()?.entryCount ?? 0)
    } catch (error) {
      throw this.#host.fault(error)
    }
  }

  async getMany(
    keys: readonly Uint8Array[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<(Uint8Array | undefined)[]> {
    const values = new Array<Uint8Array | undefined>(keys.length)
    for (let from = 0; from < keys.length; from += PREFETCHED) {
      options.signal?.throwIfAborted()
      this.#host.check()
      const some = keys.slice(from, from + PREFETCHED)
      for (const key of some) this.#checkKey(key.length)
      // Native threads touch the pages: with a cold file one read takes up to 12 ms.
      await this.#raw.prefetch(some)
      for (let i = 0; i < some.length; i++) {
        const key = some[i] as Uint8Array
        const value = this.get(key, key.length)
        values[from + i] = value && copyOf(value, this.valueLength)
      }
    }
    return values
  }

  scan(range: ByteRange, options: ScanOptions): AsyncIterable<ByteEntry[]> {
    return scanLocal(this, range, options)
  }

  async count(range: ByteRange = {}): Promise<number> {
    return this.countSync(range)
  }

  /** Within a write transaction, as all that follows. */
  put(
    bytes: Uint8Array,
    keyAt: number,
    keyLength: number,
    valueAt: number,
    valueLength: number,
    options?: { append: boolean },
  ): boolean {
    this.#checkKey(keyLength)
    aim(bytes, keyAt, keyLength)
    aimValue(bytes, valueAt, valueLength)
    return this.#raw.putSync(AIMED, AIMED_VALUE, options)
  }

  remove(bytes: Uint8Array, keyAt: number, keyLength: number): boolean {
    this.#checkKey(keyLength)
    aim(bytes, keyAt, keyLength)
    return this.#raw.removeSync(AIMED)
  }

  has(bytes: Uint8Array, keyAt: number, keyLength: number): boolean {
    this.#checkKey(keyLength)
    aim(bytes, keyAt, keyLength)
    return this.#raw.getBinaryFast(AIMED) !== undefined
  }

  holds(bytes: Uint8Array, keyAt: number, keyLength: number, expectAt: number, expectLength: number): boolean {
    this.#checkKey(keyLength)
    aim(bytes, keyAt, keyLength)
    const value = this.#raw.getBinaryFast(AIMED)
    if (value === undefined || this.#raw.lastSize !== expectLength) return false
    for (let i = 0; i < expectLength; i++) if (value[i] !== bytes[expectAt + i]) return false
    return true
  }

  clear(): void {
    this.#raw.clearSync()
  }

  /** The database is gone: from now on it is empty for those who still have it. */
  vanish(): void {
    this.#raw = VANISHED
  }

  #checkKey(length: number): void {
    checkKeyLength(length, this.#host.maxKeyBytes)
  }

  /** Undefined: nothing can be in this range. */
  #range(range: ByteRange, values: boolean, at: LocalSnapshot | undefined): RawRange | undefined {
    const { low, lowOpen, high, highOpen, empty } = bounds(range, this.#host.maxKeyBytes)
    if (empty) return undefined
    const reverse = range.reverse === true
    // Copies: the binding looks at them at the first `next`.
    const from = (reverse ? high : low)?.slice()
    const to = (reverse ? low : high)?.slice()
    return {
      // Given even where there are none: else the binding begins at a byte of its own choice.
      start: from,
      exclusiveStart: reverse ? highOpen : lowOpen,
      end: to,
      inclusiveEnd: reverse ? !lowOpen : !highOpen,
      reverse,
      values,
      ...(at !== undefined && this.#reading(at)),
    }
  }

  #reading(at: LocalSnapshot): { transaction: RawTransaction } {
    if (this.#host.isWriting) {
      throw new StoreError('MILL_UNSUPPORTED', 'A snapshot cannot be read within a transaction', {})
    }
    return (at as LmdbSnapshot).reading
  }

  /** What a dropped table gives: nothing. Other errors go on. */
  #gone(error: unknown): undefined {
    if ((error as { code?: unknown }).code === BAD_DBI) return undefined
    throw this.#host.fault(error)
  }
}

/** What is left of a dropped database: its handle may already stand for another. */
const VANISHED: RawDatabase = {
  lastSize: 0,
  ensureReadTxn() {},
  getBinaryFast() {},
  getKeysCount: () => 0,
  getRange: () => ({ iterate: () => ({ next: () => ({ done: true }), return() {} }) }),
  prefetch: async () => {},
  useReadTransaction: () => ({ done() {} }),
  db: { stat: () => EMPTY },
} as Partial<RawDatabase> as RawDatabase
const EMPTY: RawStat = {
  pageSize: 0,
  treeDepth: 0,
  treeBranchPageCount: 0,
  treeLeafPageCount: 0,
  overflowPages: 0,
  entryCount: 0,
}
