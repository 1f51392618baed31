import type { BytesLike } from '../../types/bytes.js'
import type { Label, WriterOptions, WriterStats } from '../../types/mapbuffer.js'
import { checkSignal } from '../base/abort.js'
import { crc32c } from '../base/crc32c.js'
import { ArgumentError, MapBufferError } from '../base/errors.js'
import { unsupportedItem } from '../streams/shape.js'
import { Chunker } from './chunker.js'
import { type Collector, SpoolCollector } from './collector.js'
import { checkOptions, EntryWriter } from './encode.js'
import { dataStart, MAX_ENTRIES, makeHeader, writeU32 } from './format.js'
import { joinLabel, splitLabel } from './label.js'
import { Levels } from './levels.js'
import { Pacer, Reporter } from './pace.js'
import { duplicateLabel } from './sort.js'
import { type NoStrings, Stage } from './stream.js'
import { hasFiles } from './temp-file.js'

/** Bytes of stored values that stay in memory before a temporary file is made. */
const MEMORY = 2 ** 26

type Entry<V> = readonly [Label, V]

/**
 * Entries in, the bytes of a MapBuffer file out, in fresh chunks of at most 256 KiB. Index and order come before all
 * values, so nothing comes out before the input has ended; what has come waits in memory and, beyond
 * `memory`, in a temporary file. Values are copied: they may change again once `write()` has returned true, or
 * `'drain'` has come. It gives way to the event loop every 8 ms, except while it sorts: 0.1 s for a million labels.
 *
 * Ends with `MILL_BAD_LABEL`, `MILL_BAD_VALUE`, `MILL_DUPLICATE_LABEL`, `MILL_NOT_SORTED`, `MILL_COUNT_MISMATCH`,
 * `MILL_TOO_MANY`, `MILL_SPOOL_FAILED`, `MILL_SPOOL_LIMIT`, `MILL_UNSUPPORTED_ITEM`, or a code of the codec's.
 */
export interface MapBufferWriter<V = BytesLike> extends NoStrings<readonly [Label, V], Uint8Array> {
  /** What has been done so far. */
  readonly stats: WriterStats
}

/** The constructor of {@link MapBufferWriter}; it can be extended. */
export interface MapBufferWriterConstructor {
  /** Throws `MILL_INVALID_ARGUMENT`, `MILL_CODEC_UNKNOWN`, and `MILL_TOO_MANY` for a count no file can have. */
  new <V = BytesLike>(options?: WriterOptions<V>): MapBufferWriter<V>
  readonly prototype: MapBufferWriter<unknown>
}

class WriterStream<V> extends Stage<Entry<V>> {
  readonly #entry: EntryWriter<V>
  readonly #collector: Collector
  readonly #sorted: boolean
  readonly #duplicates: 'error' | 'first' | 'last'
  readonly #count: number | undefined
  readonly #reporter: Reporter
  readonly #pacer = new Pacer()
  readonly #label = new Uint32Array(2)
  readonly #crc: Uint8Array | undefined
  #came = 0
  #lastLow = 0
  #lastHigh = 0
  #out: Chunker | undefined

  constructor(options: WriterOptions<V> = {}) {
    checkOptions(options)
    const { sorted = false, count, memory = MEMORY, dir, onProgress } = options
    const signal = checkSignal(options.signal)
    if (typeof sorted !== 'boolean') throw new ArgumentError('options.sorted', 'true or false', sorted)
    if (!(Number.isSafeInteger(memory) && memory >= 0)) {
      throw new ArgumentError('options.memory', 'a whole number of bytes >= 0', memory)
    }
    if (dir !== undefined && typeof dir !== 'string') throw new ArgumentError('options.dir', 'a path', dir)
    if (onProgress !== undefined && typeof onProgress !== 'function') {
      throw new ArgumentError('options.onProgress', 'a function', onProgress)
    }
    checkCount(count)
    const duplicates = checkDuplicates(options.duplicates)
    const entry = new EntryWriter<V>(options)
    super()
    this._carriesBytes = true
    this.#entry = entry
    this.#sorted = sorted
    this.#duplicates = duplicates
    this.#count = count
    this.#crc = entry.crcBytes === 0 ? undefined : new Uint8Array(entry.crcBytes)
    this.#reporter = new Reporter(onProgress)
    this.#reporter.begin('take', count)
    // Without a file system everything has to fit into memory anyway, in whatever order.
    const inLevels = sorted && count !== undefined && duplicates === 'error' && hasFiles()
    this.#collector = inLevels ? new Levels(count, dir) : new SpoolCollector({ memory, dir, duplicates, count })
    this._bind(signal)
  }

  get stats(): WriterStats {
    const { mode, spooled } = this.#collector
    const entries = this.#out === undefined ? this.#came : this.#collector.size
    return { mode, entries, bytes: this.#out?.bytes ?? 0, spooled }
  }

  override _begin(): Promise<void> | undefined {
    return this.#entry.ready ? undefined : this.#entry.load()
  }

  override _accept(item: Entry<V>): Promise<void> | undefined {
    if (!Array.isArray(item) || item.length !== 2) throw unsupportedItem(item, 'a pair [label, value] here')
    splitLabel(item[0], this.#label)
    const low = this.#label[0] as number
    const high = this.#label[1] as number
    if (this.#came === this.#count) throw countMismatch(this.#count, this.#came + 1)
    if (this.#came === MAX_ENTRIES) throw tooMany(this.#came + 1)
    if (this.#sorted) this.#checkOrder(low, high)
    const payload = this.#entry.payload(item[0], item[1])
    if (this.#crc !== undefined) writeU32(this.#crc, 0, crc32c(payload))
    this.#came++
    this.#reporter.add(1, payload.length)
    const turn = this.#collector.add(low, high, payload, this.#crc)
    if (!this.#pacer.due(payload.length)) return turn
    this.#reporter.tick()
    return turn ?? this.#pacer.pause()
  }

  #checkOrder(low: number, high: number): void {
    const before = high === this.#lastHigh ? low - this.#lastLow : high - this.#lastHigh
    if (this.#came > 0 && before <= 0) {
      if (before === 0) {
        if (this.#duplicates === 'error') throw duplicateLabel(low, high)
      } else {
        const label = joinLabel(low, high, false)
        const previous = joinLabel(this.#lastLow, this.#lastHigh, false)
        const message = `Label ${label} comes after ${previous}, but the labels are said to be sorted`
        throw new MapBufferError('MILL_NOT_SORTED', message, { label, previous })
      }
    }
    this.#lastLow = low
    this.#lastHigh = high
  }

  override async _close(): Promise<void> {
    if (this.#count !== undefined && this.#came !== this.#count) throw countMismatch(this.#count, this.#came)
    await this.#collector.close()
    this.#reporter.end()
  }

  override async _give(): Promise<void> {
    const collector = this.#collector
    const { size, length } = collector
    const out = new Chunker(this, dataStart(size) + length)
    this.#out = out
    this.#reporter.begin('write', size)
    const header = makeHeader({ ...this.#entry.header, size })
    out.put(header, 0, header.length)
    await collector.give(out, this.#onEntries)
    out.end()
    this.#reporter.end()
    await collector.drop()
  }

  readonly #onEntries = (entries: number, bytes: number): void => {
    this.#reporter.add(entries, bytes)
    if (this.#pacer.due(bytes)) this.#reporter.tick()
  }

  override _stop(): Promise<void> {
    return this.#collector.drop()
  }
}

/** See {@link MapBufferWriterConstructor}; the type of the same name is what it makes. */
export const MapBufferWriter = WriterStream as unknown as MapBufferWriterConstructor

/** `options.count`. Throws `MILL_INVALID_ARGUMENT`, `MILL_TOO_MANY`. */
export function checkCount(count: unknown): number | undefined {
  if (count === undefined) return undefined
  if (!(typeof count === 'number' && Number.isSafeInteger(count) && count >= 0)) {
    throw new ArgumentError('options.count', 'a whole number >= 0', count)
  }
  if (count > MAX_ENTRIES) throw tooMany(count)
  return count
}

/** `options.duplicates`. Throws `MILL_INVALID_ARGUMENT`. */
export function checkDuplicates(duplicates: unknown = 'error'): 'error' | 'first' | 'last' {
  if (duplicates === 'error' || duplicates === 'first' || duplicates === 'last') return duplicates
  throw new ArgumentError('options.duplicates', "'error', 'first' or 'last'", duplicates)
}

/** More, or fewer, entries than were said to come. */
export function countMismatch(expected: number, got: number): MapBufferError {
  const message =
    got > expected ? `More than the ${expected} entries that were said to come` : `${got} entries came, not ${expected}`
  return new MapBufferError('MILL_COUNT_MISMATCH', message, { expected, got })
}

function tooMany(count: number): MapBufferError {
  const message = `A file has at most ${MAX_ENTRIES} entries`
  return new MapBufferError('MILL_TOO_MANY', message, { count, limit: MAX_ENTRIES })
}
