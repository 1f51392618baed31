import type { ByteSource } from '../../types/byte-source.js'
import type { CompressionName } from '../../types/codec.js'
import type { Label, LabelRange, Location, VerifyOptions, VerifyReport } from '../../types/mapbuffer.js'
import type { ReadableOf } from '../../types/source.js'
import { checkSignal } from '../base/abort.js'
import { readRanges } from '../io/ranges.js'
import type { Batch } from './batch-stream.js'
import type { EntryReader, ReadSettings } from './entry.js'
import { FullIndex, type Opened, readFullIndex, readWords } from './full-index.js'
import { LookupQueue } from './lookup-queue.js'
import { MapBuffer } from './map-buffer.js'
import { type Joining, makeRoom, readExactly, readWhole } from './ordered-reads.js'
import { type Halves, halvesOf, isThere, listOf, rowsFound } from './question.js'
import { checkLabelRange, KeyBatch, RangeBatch, rangedEntries } from './ranged.js'
import type { Found, RowIndex } from './rows.js'
import { SharedWork } from './shared-work.js'
import { checkRow, type Decoding, entryBatches, ownValue, rangesOf, soundRows } from './values.js'
import { verifyMap } from './verify.js'
import { Works } from './works.js'

interface Signal {
  /** Rejects with `signal.reason` once it aborts. Others that wait for the same bytes are not disturbed. */
  signal?: AbortSignal
}

/** What `openMapBuffer` has found out. */
export interface ReaderParts<V> extends Opened {
  /** As it was given, or made for a URL or path. */
  readonly original: ByteSource
  /** It was made here: close it. */
  readonly owned: boolean
  /** The source, in which single values are read together. */
  readonly values: ByteSource
  readonly entry: EntryReader<V>
  readonly settings: ReadSettings<V>
  readonly joining: Joining
  readonly index: RowIndex
}

/** What a merge uses of a reader. */
export interface ReaderInside<V> {
  readonly parts: ReaderParts<V>
  /** The index in memory whole. */
  whole(signal: AbortSignal): Promise<FullIndex>
  readonly works: Works
}

/** The inside of a reader. */
export let insideOf: <V>(reader: MapBufferReader<V>) => ReaderInside<V>

/** A scan of all entries reads this much at a time: larger reads would only take memory. */
const SCAN_SPAN = 2 ** 20

/**
 * A MapBuffer over a {@link ByteSource}: `openMapBuffer` makes it. Values are memory of their own, or views of a read
 * that is at most twice as long. All methods reject with `MILL_BAD_LABEL` for what is no label, with the faults of the
 * entries they read (`MILL_BAD_OFFSETS`, `MILL_TRUNCATED_DATA`, `MILL_BAD_ENTRY_LENGTH`, `MILL_BAD_LABEL_ORDER`,
 * `MILL_BAD_CRC`, `MILL_DECOMPRESS`, `MILL_TOO_LARGE`, `MILL_CODEC_MISSING`), with the errors of the source
 * (`MILL_SOURCE_FAILED`, `MILL_SOURCE_SHORT`, `MILL_SOURCE_CHANGED`), and after `close()` with `MILL_SOURCE_CLOSED`.
 * A failure ends that call alone.
 */
export class MapBufferReader<V = Uint8Array> implements AsyncIterable<[Label, V]>, AsyncDisposable {
  /** Entries. */
  readonly size: number
  /** 1: each value is followed by its checksum. */
  readonly version: 0 | 1
  /** How each value is compressed. */
  readonly compression: CompressionName
  /** Bytes of the file. */
  readonly byteLength: number
  /** What is read from; made by `openMapBuffer` unless you passed it. */
  readonly source: ByteSource
  readonly #parts: ReaderParts<V>
  readonly #decoding: Decoding<V>
  readonly #queue: LookupQueue
  readonly #works = new Works()
  readonly #loading = new SharedWork<'index', FullIndex>()
  #index: RowIndex
  #closing: Promise<void> | undefined

  static {
    insideOf = <V>(reader: MapBufferReader<V>): ReaderInside<V> => ({
      parts: reader.#parts,
      whole: (signal) => reader.#whole(signal),
      works: reader.#works,
    })
  }

  /** @internal */
  constructor(parts: ReaderParts<V>) {
    const { header, byteLength, original, source, entry, settings } = parts
    this.size = header.size
    this.version = header.version
    this.compression = header.compression
    this.byteLength = byteLength
    this.source = original
    this.#parts = parts
    this.#decoding = { source, entry, byteLength, bigint: settings.bigint }
    this.#index = parts.index
    this.#queue = new LookupQueue((low, high, signal) => this.#index.find(low, high, signal))
  }

  /**
   * The value of a label, undefined where there is none. What is asked for in one turn of the event loop is looked up
   * and read together.
   */
  get(label: Label, options?: Signal): Promise<V | undefined> {
    return this.#works.run(options, async (signal) => {
      const found = await this.#look(halvesOf([label]), signal)
      if (!isThere(found, 0)) return undefined
      const { entry, values } = this.#parts
      checkRow(found, 0, label, entry, this.byteLength)
      const range = { offset: found.offset[0] as number, length: found.length[0] as number }
      await entry.load()
      const stored = await readExactly(values, range, signal)
      return ownValue(entry.decode(stored, found.position[0] as number, label))
    })
  }

  /** The values in the order of the labels. The first error rejects, and ends what is still being read. */
  getMany(labels: Iterable<Label>, options?: Signal): Promise<(V | undefined)[]> {
    return this.#works.run(options, async (signal) => {
      const all = listOf(labels)
      const halves = halvesOf(all)
      const { rows, asked } = rowsFound(await this.#look(halves, signal), halves)
      const values = new Array<V | undefined>(all.length).fill(undefined)
      const { count, fault } = soundRows(rows, this.#decoding)
      if (fault !== undefined) throw fault
      const { entry, joining, source } = this.#parts
      if (count > 0) await entry.load()
      // As they come, not in order: the first error is not to wait for a slower read.
      for await (const [i, stored] of readRanges(source, rangesOf(rows), { ...joining, signal })) {
        const place = asked[i] as number
        values[place] = ownValue(entry.decode(stored, rows.position[i] as number, all[place] as Label))
      }
      return values
    })
  }

  /**
   * The entries of those labels that are there, in file order, each once. Memory is bounded by `span` × `concurrency`.
   * The labels are taken at once: throws `MILL_BAD_LABEL` and `MILL_INVALID_ARGUMENT`.
   */
  select(labels: Iterable<Label>, options?: Signal): ReadableOf<[Label, V]> {
    const halves = halvesOf(listOf(labels))
    const signal = checkSignal(options?.signal)
    return this.#works.stream<[Label, V]>(signal, (work) => this.#selected(halves, work))
  }

  async *#selected(halves: Halves, signal: AbortSignal): AsyncGenerator<Batch<[Label, V]>, void, undefined> {
    const { rows } = rowsFound(await this.#look(halves, signal), halves, true)
    if (rows.count > 0) await this.#parts.entry.load()
    yield* entryBatches(rows, this.#decoding, this.#parts.joining, signal)
  }

  /** Is the label there? Reads rows of the index at most. */
  has(label: Label, options?: Signal): Promise<boolean> {
    return this.#works.run(options, async (signal) => isThere(await this.#look(halvesOf([label]), signal), 0))
  }

  /** Where the stored bytes of a label are, undefined where there is none. Reads rows of the index at most. */
  locate(label: Label, options?: Signal): Promise<Location | undefined> {
    return this.#works.run(options, async (signal) => {
      const found = await this.#look(halvesOf([label]), signal)
      if (!isThere(found, 0)) return undefined
      const length = checkRow(found, 0, label, this.#parts.entry, this.byteLength)
      return { position: found.position[0] as number, offset: found.offset[0] as number, length }
    })
  }

  /**
   * Without a range all labels in file order, the index being streamed; with one, even `{}`, in the order of labels,
   * for which the whole index is read first and kept. Throws `MILL_BAD_LABEL` and `MILL_INVALID_ARGUMENT`.
   */
  keys(range?: LabelRange): ReadableOf<Label> {
    checkLabelRange(range)
    return this.#works.stream<Label>(undefined, (signal) => this.#keys(range, signal))
  }

  async *#keys(range: LabelRange | undefined, signal: AbortSignal): AsyncGenerator<Batch<Label>, void, undefined> {
    const { bigint } = this.#decoding
    if (range !== undefined) yield new RangeBatch((await this.#whole(signal)).lookup, range, bigint)
    else for await (const rows of this.#index.blocks(signal)) yield new KeyBatch(rows, bigint)
  }

  /** All entries, or those of a range, in the orders of {@link MapBufferReader.keys}. */
  entries(range?: LabelRange): ReadableOf<[Label, V]> {
    checkLabelRange(range)
    return this.#works.stream<[Label, V]>(undefined, (signal) => this.#entries(range, signal))
  }

  async *#entries(
    range: LabelRange | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Batch<[Label, V]>, void, undefined> {
    if (this.size > 0) await this.#parts.entry.load()
    const joining = { ...this.#parts.joining, span: Math.min(this.#parts.joining.span, SCAN_SPAN) }
    if (range !== undefined) yield* rangedEntries(await this.#whole(signal), range, this.#decoding, joining, signal)
    else {
      for await (const rows of this.#index.blocks(signal)) {
        yield* entryBatches(rows, this.#decoding, joining, signal)
      }
    }
  }

  /** All entries in file order. Leaving the loop ends the reading. */
  [Symbol.asyncIterator](): AsyncIterator<[Label, V]> {
    return this.entries()[Symbol.asyncIterator]()
  }

  /** The whole file in memory, as a map of synchronous methods. */
  load(options?: Signal): Promise<MapBuffer<V>> {
    return this.#works.run(options, async (signal) => {
      const { source, joining, settings, entry } = this.#parts
      const bytes = makeRoom(this.byteLength)
      await readWhole(source, { offset: 0, length: this.byteLength }, bytes, joining, signal)
      if (this.size > 0) await entry.load()
      const { serializer, ...rest } = settings
      return new MapBuffer<V>(bytes, serializer === undefined ? rest : { ...rest, serializer })
    })
  }

  /** Reads the whole file and tells all that is wrong with it; only errors of the source reject. */
  verify(options: VerifyOptions = {}): Promise<VerifyReport> {
    return this.#works.run(options, async (signal) => {
      const { header, entry, joining, source } = this.#parts
      const { byteLength } = this
      const { bigint } = this.#decoding
      const words = await readWords(this.#parts, joining, signal)
      const read = (offset: number, length: number) => readExactly(source, { offset, length }, signal)
      return verifyMap({ header, byteLength, words, entry, bigint, read }, { ...options, signal })
    })
  }

  /**
   * Ends what is under way with `MILL_SOURCE_CLOSED` and closes the source, if `openMapBuffer` made it; a `ByteSource`
   * you passed stays yours. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#works.close()
    if (this.#parts.owned) await this.#parts.original.close?.()
  }

  /** As {@link MapBufferReader.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  // ---- behind the methods -------------------------------------------------------------------------------------------

  #look({ low, high }: Halves, signal: AbortSignal): Promise<Found> {
    return this.#queue.look(low, high, signal)
  }

  /** The index in memory whole, from now on. */
  async #whole(signal: AbortSignal): Promise<FullIndex> {
    if (this.#index instanceof FullIndex) return this.#index
    const { settings, joining } = this.#parts
    const read = (shared: AbortSignal) => readFullIndex(this.#parts, settings, joining, shared)
    const index = await this.#loading.join('index', read, signal)
    this.#index = index
    return index
  }
}
