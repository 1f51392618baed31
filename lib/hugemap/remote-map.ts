import type { HugeMapOptions, Range, StreamRange } from '../../types/hugemap.js'
import type { Key } from '../../types/key.js'
import type { Progress } from '../../types/progress.js'
import type { ReadableOf, Source } from '../../types/source.js'
import type { ByteEntry, Store, StoreTable } from '../../types/store.js'
import { checkSignal, sleep } from '../base/abort.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { Arena } from '../store/operations.js'
import { readable } from '../streams/source.js'
import type { Inside } from './inside.js'
import { setMany } from './many.js'
import { closedError } from './map-base.js'
import { checkName } from './open-options.js'
import { boundsOf } from './ranges.js'
import { groupOf, type RemoteBatch } from './remote-batch.js'
import { type OpenedRemote, openRemote } from './remote-open.js'
import { RemoteFeeder, type RemoteWriter } from './remote-writer.js'
import { type MapWritable, mapWritable } from './writable.js'

const ATTEMPTS = 10
/** Entries of a walk that are asked for at once. */
const BATCH = 256
/** Pauses between attempts of an update, in milliseconds. */
const LONGEST_PAUSE_MS = 64

/**
 * The verbs of a `HugeMap` with promises, over any store, such as `redisStore()`. The store stays yours: close it. Reads
 * see what is acknowledged, everybody's. Ranges are no snapshot where the store has none: what changes while you walk may
 * be seen or not, each key comes at most once and in order.
 *
 * Besides what `HugeMap` rejects with: `MILL_STORE_UNAVAILABLE` (of a write it is not known whether it was done), and
 * `MILL_UNSUPPORTED` for a batch that the store cannot do as one.
 */
export class RemoteMap<K = Key, V = unknown> implements AsyncDisposable {
  /** Which map of the store. */
  readonly name: string
  /** What the store is called. */
  readonly path: string
  readonly #store: Store
  readonly #writer: RemoteWriter<K, V>
  readonly #readonly: boolean
  #closed = false
  /** What is closed together with this handle. */
  readonly #dependents: (() => Promise<void>)[] = []

  /**
   * Opens a map of a store, and makes it where it is not there. Of the options those for codecs, `name`, `create`,
   * `readonly`, `verify`, `maxValueBytes` and `signal` mean something here; the others do not fit and are
   * `MILL_INVALID_ARGUMENT`. Rejects with `MILL_MAP_MISSING` and `MILL_MAP_MISMATCH`.
   */
  static async open<K = Key, V = unknown>(store: Store, options: HugeMapOptions<K, V> = {}): Promise<RemoteMap<K, V>> {
    return new RemoteMap<K, V>(await openRemote<K, V>(store, options))
  }

  private constructor({ store, writer, name, readonly }: OpenedRemote<K, V>) {
    this.name = name
    this.path = store.name
    this.#store = store
    this.#writer = writer
    this.#readonly = readonly
  }

  // ---- reading ------------------------------------------------------------------------------------------------------

  async get(key: K): Promise<V | undefined> {
    const [value] = await this.getMany([key])
    return value
  }

  async has(key: K): Promise<boolean> {
    this.#check()
    const [record] = await this.#table.getMany([this.#writer.keyBytes(key)])
    return record !== undefined
  }

  /** Values in the order of the keys. */
  async getMany(keys: Iterable<K>, options: { signal?: AbortSignal } = {}): Promise<(V | undefined)[]> {
    this.#check()
    const signal = checkSignal(options.signal)
    const wanted = Array.from(keys, (key) => this.#writer.keyBytes(key))
    const records = await this.#table.getMany(wanted, signal === undefined ? {} : { signal })
    return records.map((record, i) => record && this.#writer.value(wanted[i] as Uint8Array, record))
  }

  /** How many keys a range has. */
  async count(range?: Range<K>): Promise<number> {
    this.#check()
    const { range: bytes, limit } = boundsOf(this.#writer.keys, range)
    return Math.min(limit, await this.#table.count(bytes))
  }

  /** Entries in arrays of up to `maxItems` (256), in order: the fast way through. `live` means nothing here. */
  batches(range: Range<K> & StreamRange = {}): AsyncIterable<[K, V][]> {
    this.#check()
    const { maxItems = BATCH } = range
    if (!(Number.isSafeInteger(maxItems) && maxItems > 0)) {
      throw new ArgumentError('options.maxItems', 'a whole number > 0', maxItems)
    }
    const signal = checkSignal(range.signal)
    const { range: bytes, limit } = boundsOf(this.#writer.keys, range)
    return { [Symbol.asyncIterator]: () => this.#batches(bytes, limit, maxItems, signal) }
  }

  async *#batches(
    range: Parameters<StoreTable['scan']>[0],
    limit: number,
    maxItems: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<[K, V][], void, undefined> {
    let left = limit
    if (left <= 0) return
    const size = Math.min(maxItems, left)
    for await (const batch of this.#table.scan(range, { maxItems: size, values: true, ...(signal && { signal }) })) {
      this.#check()
      const entries = batch.slice(0, left).flatMap((entry) => this.#entry(entry))
      left -= batch.length
      if (entries.length > 0) yield entries
      if (left <= 0) return
    }
  }

  /** A key whose record went between two looks of the store is not there. */
  #entry([key, record]: ByteEntry): [K, V][] {
    if (record === undefined) return []
    return [[this.#writer.keys.decode(key, key.length), this.#writer.value(key, record)]]
  }

  /** Entries as a stream, in order. */
  readable(range: Range<K> & StreamRange = {}): ReadableOf<[K, V]> {
    const all = this.batches(range)
    return readable<[K, V]>(
      (async function* () {
        for await (const batch of all) yield* batch
      })(),
      range.signal === undefined ? {} : { signal: range.signal },
    )
  }

  // ---- writing ------------------------------------------------------------------------------------------------------

  /** Resolves to true when the store has it, to false if a condition did not hold; see `HugeMap.set`. */
  async set(key: K, value: V, options: { ifAbsent?: boolean; ifValue?: V } = {}): Promise<boolean> {
    this.#checkWritable()
    if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
    const { ifAbsent = false, ifValue } = options
    if (typeof ifAbsent !== 'boolean') throw new ArgumentError('options.ifAbsent', 'true or false', ifAbsent)
    if (ifAbsent && ifValue !== undefined) throw new ArgumentError('options', 'one condition', options)
    const bytes = this.#writer.keyBytes(key)
    const record = this.#writer.recordBytes(bytes, value, true)
    const expect = ifAbsent ? null : ifValue === undefined ? undefined : this.#writer.recordBytes(bytes, ifValue, false)
    return this.#one((arena) => arena.set(this.#table.id, bytes, record, { expect, wantsResult: true }))
  }

  /** Resolves to whether it was there (and had the value `ifValue`), when it is gone. */
  async delete(key: K, options: { ifValue?: V } = {}): Promise<boolean> {
    this.#checkWritable()
    if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
    const bytes = this.#writer.keyBytes(key)
    const { ifValue } = options
    const expect = ifValue === undefined ? undefined : this.#writer.recordBytes(bytes, ifValue, false)
    return this.#one((arena) => arena.delete(this.#table.id, bytes, { expect, wantsResult: true }))
  }

  /** Removes everything. */
  async clear(): Promise<void> {
    this.#checkWritable()
    const arena = new Arena(64)
    arena.clear(this.#table.id)
    await this.#store.write(arena)
  }

  /** Writes pairs as they come, as fast as the store takes them; resolves to how many. Not one transaction. */
  async setMany(
    entries: Source<readonly [K, V]>,
    options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {},
  ): Promise<number> {
    this.#checkWritable()
    return setMany(this.#feeder(), entries, options)
  }

  /**
   * All of what `fn` asks for or nothing; resolves to false if a `require` did not hold. Where the store is cut into
   * parts, keys of different parts are `MILL_UNSUPPORTED`, and nothing is sent.
   */
  async batch(fn: (batch: RemoteBatch<K, V>) => void): Promise<boolean> {
    this.#checkWritable()
    if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
    const arena = groupOf(this.#writer, fn)
    if (arena === undefined) return true
    return (await this.#store.write(arena))[0] === 1
  }

  /**
   * Sets the key to what `fn` makes of its value, atomically among all clients; undefined deletes. Resolves to the new
   * value. `fn` is synchronous and may run again. `MILL_CONFLICT` after 10 attempts.
   */
  async update(key: K, fn: (old: V | undefined) => V | undefined): Promise<V | undefined> {
    this.#checkWritable()
    if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
    const bytes = this.#writer.keyBytes(key)
    const { id } = this.#table
    for (let i = 1; ; i++) {
      const [found] = await this.#table.getMany([bytes])
      const old = found && this.#writer.value(bytes, found)
      const value = fn(old)
      if (value === undefined && found === undefined) return undefined
      const expect = found ?? null
      const done = await this.#one((arena) => {
        if (value === undefined) arena.delete(id, bytes, { expect, wantsResult: true })
        else arena.set(id, bytes, this.#writer.recordBytes(bytes, value, true), { expect, wantsResult: true })
      })
      if (done) return value
      if (i === ATTEMPTS) {
        throw new StoreError('MILL_CONFLICT', `Others changed the value, ${ATTEMPTS} times`, { attempts: ATTEMPTS })
      }
      await sleep(Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** i))
    }
  }

  /** A stream to write arrays of pairs to: the fast way in. `'finish'` comes when the store has all of it. */
  writable(options: { batches: true; signal?: AbortSignal }): MapWritable<readonly (readonly [K, V])[]>
  /** A stream to write pairs to. `'finish'` comes when the store has all of it. */
  writable(options?: { batches?: false; signal?: AbortSignal }): MapWritable<readonly [K, V]>
  writable(options: { batches?: boolean; signal?: AbortSignal } = {}): unknown {
    this.#checkWritable()
    return mapWritable(this.#feeder(), options.batches, checkSignal(options.signal))
  }

  // ---- the store ----------------------------------------------------------------------------------------------------

  /** Another map of this store; close it too. */
  async namespace<K2 = Key, V2 = unknown>(
    name: string,
    options: Omit<HugeMapOptions<K2, V2>, 'name'> = {},
  ): Promise<RemoteMap<K2, V2>> {
    this.#check()
    checkName(name, 'name')
    return RemoteMap.open<K2, V2>(this.#store, { ...options, name })
  }

  /** Nothing more is taken; what is under way is the store's, which stays open. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#dependents.splice(0).map((close) => close()))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** For what stands on a map; see `Inside`. @internal */
  get _inside(): Inside<Store> {
    return {
      store: this.#store,
      closed: this.#closed,
      onClose: (close) => void this.#dependents.push(close),
    }
  }

  /** Throws `MILL_CLOSED`. @internal */
  _check(): void {
    this.#check()
  }

  get #table(): StoreTable {
    return this.#writer.table
  }

  async #one(fill: (arena: Arena) => void): Promise<boolean> {
    const arena = new Arena(256)
    fill(arena)
    return (await this.#store.write(arena))[0] === 1
  }

  #feeder(): RemoteFeeder<K, V> {
    return new RemoteFeeder(this.#writer, () => this.#checkWritable())
  }

  #check(): void {
    if (this.#closed) throw closedError(`The map ${this.name === '' ? '' : `'${this.name}' `}of ${this.path}`)
  }

  #checkWritable(): void {
    this.#check()
    if (this.#readonly) {
      throw new StoreError('MILL_READ_ONLY', 'The map was opened with readonly: true', { path: this.path })
    }
  }
}
