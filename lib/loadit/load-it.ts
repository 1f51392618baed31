import type {
  LoadItEvents,
  LoadItOptions,
  LoadItSinkOptions,
  LoadItStats,
  PreloadOptions,
  ReadOptions,
  VerifyOptions,
  VerifyReport,
} from '../../types/load-it.js'
import type { WritableOf } from '../../types/source.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError, LoadItError } from '../base/errors.js'
import { checkIndex, checkIndices } from './bad-index.js'
import type { Dataset } from './dataset.js'
import { extend, finalize, isAllCached, preloadAll, waitUntilAllCached } from './ends.js'
import type { FileOps } from './file-ops.js'
import { InOrder } from './in-order.js'
import { Mill } from './mill.js'
import { openDataset } from './open.js'
import { checkOptions } from './options.js'
import { Preload } from './preload.js'
import { Reading } from './read.js'
import { openRemote } from './remote.js'
import { rebuild } from './restore.js'
import { SequenceBase } from './sequence.js'
import { openSink } from './sink.js'
import { verify } from './verify.js'

/**
 * Random access to what can only be walked through. The items of a source are kept in shard files as they come by, and
 * read from there; what was dropped, or never made, is made from the source when it is asked for. Several processes may
 * have the same `root` open. Close it when you are through; with nothing to do it does not keep the process alive.
 */
export class LoadIt<T> extends SequenceBase<T> implements AsyncDisposable {
  readonly #data: Dataset<T>
  readonly #mill: Mill<T>
  readonly #reading: Reading<T>
  readonly #preload: Preload<T>
  #closing: Promise<void> | undefined

  private constructor(data: Dataset<T>) {
    super()
    this.#data = data
    this.#mill = new Mill(data)
    this.#reading = new Reading(data, this.#mill)
    this.#preload = new Preload(data, this.#mill)
  }

  /**
   * Opens the dataset in `options.root`, or begins one there. Rejects with `MILL_INVALID_ARGUMENT`,
   * `MILL_DATASET_MISMATCH` where another one is there, `MILL_CATALOG_DAMAGED`, `MILL_PATH_REFUSED`.
   */
  static async open<T>(options: LoadItOptions<T>): Promise<LoadIt<T>> {
    return LoadIt._open(options)
  }

  /** @internal The same on another file system, for tests. */
  static async _open<T>(options: LoadItOptions<T>, files?: FileOps): Promise<LoadIt<T>> {
    const { data, warning } = await openDataset(checkOptions(options), openRemote, files)
    const opened = new LoadIt(data)
    // Nobody can listen before this resolves.
    if (warning !== undefined) setImmediate(() => data.warn(warning))
    return opened
  }

  /**
   * A stream that takes the items instead of a source: what is written to it is a dataset once `'finish'` has come, to be
   * opened with `{ root }`. Rejects with `MILL_DATASET_EXISTS` where there are items already, and as `open` does.
   */
  static sink<T>(options: LoadItSinkOptions): Promise<WritableOf<T>> {
    return openSink<T>(options)
  }

  /**
   * Makes the catalog anew from what the shard files say, and moves the old one aside; `dropped` counts those that are
   * damaged or no part of the dataset. No process may have `root` open.
   */
  static async rebuild(root: string): Promise<{ shards: number; dropped: number }> {
    if (typeof root !== 'string' || root === '') throw new ArgumentError('root', 'a path', root)
    return rebuild(root)
  }

  /** The folder, as an absolute path. */
  get root(): string {
    return this.#data.settings.root
  }

  /** Items of a full shard; undefined until the first shard of a size in MiB has been made. */
  get shardLength(): number | undefined {
    return this.#data.shardLength === 0 ? undefined : this.#data.shardLength
  }

  get description(): string {
    return `loadit(${this.#data.kit.meta.fingerprint ?? ''})`
  }

  get knownLength(): number | undefined {
    return this.#reading.knownLength
  }

  /** One item. From an open shard without more than this one promise. */
  at(index: number, options?: ReadOptions): Promise<T | undefined> {
    const data = this.#data
    const { shardLength } = data
    // Every comparison is false for what is no safe integer, and for a loader that is closed.
    if (index >= 0 && shardLength > 0 && Number.isSafeInteger(index) && options?.signal?.aborted !== true) {
      const k = Math.floor(index / shardLength)
      const reader = data.readers.find(k)
      const i = index - k * shardLength
      if (reader !== undefined && i < reader.count && data.fault === undefined) {
        if (data.turns.isLongRun()) return data.turns.next().then(() => this.#at(index, options))
        if (k !== this.#preload.last) this.#preload.changed(k, index)
        try {
          const found = reader.get(i)
          if (!(found instanceof Promise)) return Promise.resolve(found)
          return found.catch(() => this.#reading.item(index, options?.signal))
        } catch {
          // What is wrong with it is found out, and mended, on the long way.
        }
      }
    }
    return this.#at(index, options)
  }

  async #at(index: number, options: ReadOptions = {}): Promise<T | undefined> {
    const signal = checkSignal(options.signal)
    const data = this.#data
    data.check()
    signal?.throwIfAborted()
    let wanted = checkIndex(index)
    if (wanted < 0) {
      wanted += await this.length(options)
      if (wanted < 0) return undefined
    }
    if (data.shardLength > 0) {
      const k = this.#reading.shardOf(wanted)
      if (k !== this.#preload.last) this.#preload.changed(k, wanted)
    }
    return this.#reading.item(wanted, signal)
  }

  peek(index: number): T | undefined {
    const data = this.#data
    data.check()
    let wanted = checkIndex(index)
    if (wanted < 0) wanted += this.knownLength ?? 0
    if (wanted < 0 || (data.shardLength === 0 && this.#mill.find(0) === undefined)) return undefined
    const k = this.#reading.shardOf(wanted)
    const i = wanted - data.startOf(k)
    const reader = data.readers.find(k)
    return reader !== undefined && i < reader.count ? reader.peek(i) : undefined
  }

  async getMany(indices: Iterable<number>, options: ReadOptions = {}): Promise<(T | undefined)[]> {
    const signal = checkSignal(options.signal)
    const wanted = checkIndices(indices)
    this.#data.check()
    signal?.throwIfAborted()
    if (!wanted.some((index) => index < 0)) return this.#reading.many(wanted, signal)
    const length = await this.length(options)
    const places = wanted.map((index) => (index < 0 ? index + length : index))
    const there = places.filter((index) => index >= 0)
    const found = await this.#reading.many(there, signal)
    let next = 0
    return places.map((index) => (index < 0 ? undefined : found[next++]))
  }

  async length(options: ReadOptions = {}): Promise<number> {
    return this.#reading.length(checkSignal(options.signal))
  }

  /** @internal */
  override _ready(index: number): boolean {
    const k = this.#reading.shardOf(index)
    return this.#data.readers.find(k) !== undefined || this.#data.isReady(k)
  }

  /** @internal */
  _batches(start: number, end: number, maxItems: number, signal: AbortSignal): AsyncIterable<T[]> {
    const pass = new InOrder(this.#data, this.#mill, this.#reading, this.#preload)
    return pass.batches(start, end, maxItems, signal)
  }

  /** The number of items is final, and every one of them is in `root`. */
  allCachedToDisk(): boolean {
    this.#data.check()
    return isAllCached(this.#data)
  }

  /** Resolves when that is so, whoever does it; reads nothing itself. */
  async waitUntilAllCached(options: ReadOptions = {}): Promise<void> {
    await waitUntilAllCached(this.#data, checkSignal(options.signal))
  }

  /** Has everything made that isn't in `root`. */
  async preloadAll(options: PreloadOptions = {}): Promise<void> {
    checkSignal(options.signal)
    await preloadAll(this.#data, this.#mill, this.#reading, options)
  }

  /** Says that what is cached is all there is: the number of items. `MILL_SHARD_UNAVAILABLE` where one is missing before others. */
  async finalize(): Promise<number> {
    return finalize(this.#data)
  }

  /**
   * The source may have more items than it had: makes the last shard again and walks on to the new end; resolves to the
   * new length. What was there must come again, else `MILL_ITEM_SOURCE_CHANGED`, and nothing has changed.
   */
  async extend(options: ReadOptions = {}): Promise<number> {
    return extend(this.#data, this.#mill, this.#reading, checkSignal(options.signal))
  }

  /** Reads every byte of every shard and compares the checksums. `repair` has damaged ones made again. */
  async verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    checkSignal(options.signal)
    this.#data.check()
    return verify(this.#data, this.#mill, options)
  }

  /** The value that was kept with the data, a copy; undefined: none. */
  info(): unknown {
    this.#data.check()
    return this.#data.books.info()
  }

  /** Keeps a JSON-like value of up to 64 KiB with the data. Throws `MILL_INVALID_ARGUMENT` for anything else. */
  setInfo(value: unknown): void {
    this.#data.check()
    this.#data.books.setInfo(value)
  }

  /** What this loader has done so far. */
  stats(): LoadItStats {
    const { counts, kit, books, fault } = this.#data
    return {
      ...counts,
      hits: kit.stats.hits,
      reads: kit.stats.reads,
      cacheBytes: kit.cache.bytes,
      diskBytes: fault === undefined ? books.totals().bytes : 0,
      openFiles: kit.handles.open,
    }
  }

  on<E extends keyof LoadItEvents>(event: E, fn: (event: LoadItEvents[E]) => void): this {
    this.#data.events.add(event, fn, false)
    return this
  }

  once<E extends keyof LoadItEvents>(event: E, fn: (event: LoadItEvents[E]) => void): this {
    this.#data.events.add(event, fn, true)
    return this
  }

  off<E extends keyof LoadItEvents>(event: E, fn: (event: LoadItEvents[E]) => void): this {
    this.#data.events.remove(event, fn)
    return this
  }

  /** Resolves when use stamps are written and uploads are done. */
  async flush(): Promise<void> {
    this.#data.check()
    this.#data.look()
    this.#data.stamp()
    await this.#data.remote?.flush()
  }

  /** Ends sources, drops the shard in work, waits for uploads under way. Pending reads reject with `MILL_CLOSED`. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const data = this.#data
    const root = this.root
    data.fault ??= new LoadItError('MILL_CLOSED', `${root} is closed`, { root })
    await this.#mill.close(data.fault)
    await data.remote?.close()
    await data.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
