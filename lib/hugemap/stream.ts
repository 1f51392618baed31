import type { Range, StreamRange } from '../../types/hugemap.js'
import type { ReadableOf } from '../../types/source.js'
import type { ByteRange, LocalSnapshot } from '../../types/store.js'
import { abortable, checkSignal } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { type FaceOptions, ReadableFace } from '../streams/face.js'
import { ITEM_WEIGHT } from '../streams/shape.js'
import type { MapBase } from './map-base.js'
import { type Bounds, boundsOf } from './ranges.js'
import { watchAge } from './snapshot.js'
import { nextTurn, Turn } from './turn.js'
import { Walk } from './walk.js'

/** Entries of a batch: as fast as the bare loop. */
const BATCH = 256
/** Bytes of entries that may wait in a stream. */
const MARK = 65536

/** What a stream needs of the map it walks through. */
export interface StreamedMap<K, V> extends MapBase<K, V> {
  /** Everything set so far is in the table, or has failed. @internal */
  _flushed(): Promise<void>
  /** Is told when the map closes. Returns how to take that back. @internal */
  _onClose(listener: () => void): () => void
}

/**
 * Takes batches out of a range: of one snapshot, or (`live`) each of the newest state, going on behind the key it came
 * to.
 */
class RangeReader<K, V> {
  /** Bytes of keys and values of the last batch. */
  bytes = 0
  readonly #map: StreamedMap<K, V>
  readonly #live: boolean
  #range: ByteRange
  #left: number
  #snapshot: LocalSnapshot | undefined
  #walk: Walk | undefined
  #forget: (() => void)[] = []
  #over = false

  constructor(map: StreamedMap<K, V>, bounds: Bounds, live: boolean) {
    this.#map = map
    this.#live = live
    this.#range = bounds.range
    this.#left = bounds.limit
  }

  /** Waits for writes under way, and takes the snapshot. */
  async open(signal: AbortSignal | undefined): Promise<void> {
    this.#map._check()
    await abortable(this.#map._flushed(), signal)
    this.#map._check()
    if (this.#over) return
    this.#forget.push(this.#map._onClose(() => this.close()))
    if (this.#live) return
    this.#snapshot = this.#map._parts.table.snapshot()
    this.#forget.push(watchAge())
  }

  /** Up to so many entries; fewer than one: there are no more. Throws `MILL_CLOSED` once the map is. */
  next(maxItems: number): [K, V][] {
    const batch: [K, V][] = []
    this.#map._check()
    if (this.#over) return batch
    const { keys, values } = this.#map._parts
    const walk = this.#walk ?? this.#begin()
    const most = Math.min(maxItems, this.#left)
    this.bytes = 0
    while (batch.length < most && walk.next()) {
      const { key, keyLength, value, valueAt, valueLength } = walk
      const decoded = values.decode(key, keyLength, value, valueAt, valueLength)
      if (this.#live && batch.length + 1 === most) this.#continueAfter(key.slice(0, keyLength))
      batch.push([keys.decode(key, keyLength), decoded])
      this.bytes += keyLength + valueLength
    }
    this.#left -= batch.length
    if (batch.length < most || this.#left <= 0) this.close()
    else if (this.#live) this.#pause()
    return batch
  }

  #begin(): Walk {
    const { table } = this.#map._parts
    this.#walk = new Walk(table, { range: this.#range, limit: this.#left }, undefined, this.#snapshot)
    return this.#walk
  }

  #continueAfter(key: Uint8Array): void {
    const { gt, gte, lt, lte, reverse } = this.#range
    this.#range =
      reverse === true
        ? { ...(gt && { gt }), ...(gte && { gte }), lt: key, reverse }
        : { gt: key, ...(lt && { lt }), ...(lte && { lte }) }
  }

  #pause(): void {
    this.#walk?.close()
    this.#walk = undefined
  }

  /** Lets go of the pages. Idempotent. */
  close(): void {
    this.#over = true
    this.#pause()
    this.#snapshot?.close()
    this.#snapshot = undefined
    for (const forget of this.#forget.splice(0)) forget()
  }
}

/** `live` and `maxItems` of the options. Throws `MILL_INVALID_ARGUMENT`. */
function checkOptions(options: StreamRange): { live: boolean; maxItems: number; signal: AbortSignal | undefined } {
  const { live = false, maxItems = BATCH } = options
  if (typeof live !== 'boolean') throw new ArgumentError('options.live', 'true or false', live)
  if (!(Number.isSafeInteger(maxItems) && maxItems > 0)) {
    throw new ArgumentError('options.maxItems', 'a whole number > 0', maxItems)
  }
  return { live, maxItems, signal: checkSignal(options.signal) }
}

/** Entries of a range in arrays, never empty ones. Throws `MILL_BAD_KEY`, `MILL_INVALID_ARGUMENT`. */
export function mapBatches<K, V>(map: StreamedMap<K, V>, range: Range<K> & StreamRange = {}): AsyncIterable<[K, V][]> {
  const { live, maxItems, signal } = checkOptions(range)
  const bounds = boundsOf(map._parts.keys, range)
  return {
    async *[Symbol.asyncIterator]() {
      signal?.throwIfAborted()
      const reader = new RangeReader(map, bounds, live)
      const turn = new Turn()
      try {
        await reader.open(signal)
        for (;;) {
          const batch = reader.next(maxItems)
          if (batch.length === 0) return
          yield batch
          signal?.throwIfAborted()
          // A state of its own needs a turn of its own: within one, all reads see the same.
          if (live || turn.isLong(batch.length)) await nextTurn()
          signal?.throwIfAborted()
        }
      } finally {
        reader.close()
      }
    },
  }
}

/** Entries of a range as a stream of ours. */
class MapReadable<K, V> extends ReadableFace {
  readonly #reader: RangeReader<K, V>
  readonly #live: boolean
  readonly #maxItems: number
  readonly #turn = new Turn()
  #busy = false
  #opened = false

  constructor(reader: RangeReader<K, V>, live: boolean, maxItems: number, options: FaceOptions) {
    super(options)
    this.#reader = reader
    this.#live = live
    this.#maxItems = maxItems
    this._bind(options.signal)
  }

  override _pull(): void {
    if (this.#busy || this._complete) return
    this.#busy = true
    if (this.#opened) this.#give()
    else {
      this.#opened = true
      this.#reader.open(undefined).then(this.#give, this.#onError)
    }
  }

  override _eased(): void {
    this._pull()
  }

  readonly #give = (): void => {
    for (;;) {
      if (this._failure !== undefined) return
      let size: number
      try {
        const batch = this.#reader.next(this.#maxItems)
        size = batch.length
        if (batch.length === 0) {
          this._finish()
          return
        }
        const weight = ITEM_WEIGHT + Math.ceil(this.#reader.bytes / batch.length)
        let room = true
        for (const entry of batch) room = this._offer(entry, weight)
        if (!room) break
      } catch (error) {
        this.#onError(error)
        return
      }
      if (this.#live || this.#turn.isLong(size)) {
        setImmediate(this.#give)
        return
      }
    }
    this.#busy = false
  }

  readonly #onError = (error: unknown): void => {
    this.#reader.close()
    this._fail(error)
  }

  override _stop(): undefined {
    this.#reader.close()
  }
}

/** Entries of a range as a stream, one by one. Throws `MILL_BAD_KEY`, `MILL_INVALID_ARGUMENT`. */
export function mapReadable<K, V>(map: StreamedMap<K, V>, range: Range<K> & StreamRange = {}): ReadableOf<[K, V]> {
  const { live, maxItems, signal } = checkOptions(range)
  map._check()
  const reader = new RangeReader(map, boundsOf(map._parts.keys, range), live)
  return new MapReadable(reader, live, maxItems, { signal, highWaterMark: MARK }) as unknown as ReadableOf<[K, V]>
}
