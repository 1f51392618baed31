import type { BytesLike } from '../../types/bytes.js'
import type { CompressionName, Serializer } from '../../types/codec.js'
import type {
  Entries,
  Label,
  LabelRange,
  Location,
  MapBufferReadOptions,
  MapBufferWriteOptions,
  VerifyOptions,
  VerifyReport,
} from '../../types/mapbuffer.js'
import { MapBufferError } from '../base/errors.js'
import { build } from './build.js'
import { EntryWriter } from './encode.js'
import { checkBytes, EntryReader, type ReadSettings, readOptions } from './entry.js'
import { dataStart, HEADER_BYTES, type Header, ROW_BYTES, readHeader } from './format.js'
import { checkIndex, checkInMemory } from './index-check.js'
import { checkLabels } from './label.js'
import { indexWords, Lookup } from './lookup.js'
import { checkPosition, copyOfWords, rangeOf, walk } from './rows-in-order.js'
import { MemoryBytes, StoredBytes } from './stored-bytes.js'
import { verifyMap } from './verify.js'

/** What the other readers and writers of this room use of a map. */
export interface MapParts<V> {
  readonly header: Header
  readonly byteLength: number
  readonly lookup: Lookup
  readonly entry: EntryReader<V>
  readonly settings: ReadSettings<V>
  readonly bytes: StoredBytes
  /** The stored bytes of an entry, with its checksum, which is not checked. Throws as `get()` for wrong bounds. */
  stored(position: number): Uint8Array
}

/** The inside of a map. */
export let partsOf: <V>(map: MapBuffer<V>) => MapParts<V>

/** A map whose bytes are to be had at once, wherever they are. Throws as the constructor. */
export let mapOver: <V>(bytes: StoredBytes, options: MapBufferReadOptions<V> | undefined) => MapBuffer<V>

/**
 * A MapBuffer with its index in memory: every method but `verify()` is synchronous. Values come from memory or, after
 * `openMapBufferSync()`, from a file, whose bytes are read when they are asked for.
 *
 * Opening reads header and index only; a million entries take 4 ms with `strict`, which is the default. A lookup takes
 * about 100 ns once a hash is built, see {@link MapBufferReadOptions.lookup}.
 */
export class MapBuffer<V = Uint8Array> implements Iterable<[Label, V]> {
  readonly #bytes: StoredBytes
  readonly #header: Header
  readonly #settings: ReadSettings<V>
  readonly #lookup: Lookup
  readonly #entry: EntryReader<V>
  /** One bit for each entry whose checksum has been found right; only in memory, where nobody else changes the bytes. */
  #trusted: Uint8Array | undefined
  #writer: EntryWriter<V> | undefined

  static {
    partsOf = <V>(map: MapBuffer<V>): MapParts<V> => ({
      header: map.#header,
      byteLength: map.byteLength,
      lookup: map.#lookup,
      entry: map.#entry,
      settings: map.#settings,
      bytes: map.#bytes,
      stored: (position) => map.#stored(position + 1, map.labelAt(position)),
    })
    mapOver = (bytes, options) => new MapBuffer(bytes as StoredBytes & BytesLike, options)
  }

  /**
   * The map in these bytes, which are pointed at: no value is copied, and the index only where it does not begin at a
   * multiple of 4 bytes in its buffer. Don't change them while the map is in use, except by {@link MapBuffer.set}.
   *
   * Throws `MILL_INVALID_ARGUMENT` for wrong options, `MILL_TRUNCATED_HEADER`, `MILL_BAD_MAGIC`, `MILL_BAD_VERSION`,
   * `MILL_BAD_COMPRESSION`, `MILL_TRUNCATED_INDEX`, `MILL_TOO_MANY` (over 2^28 entries); unless `strict` is false, also
   * `MILL_TRAILING_DATA`, `MILL_BAD_OFFSETS`, `MILL_TRUNCATED_DATA`, `MILL_BAD_ENTRY_LENGTH`, `MILL_BAD_LABEL_ORDER`.
   */
  constructor(bytes: BytesLike, options?: MapBufferReadOptions<V>)
  constructor(bytes: BytesLike | StoredBytes, options?: MapBufferReadOptions<V>) {
    this.#settings = readOptions(options)
    this.#bytes = bytes instanceof StoredBytes ? bytes : new MemoryBytes(checkBytes(bytes))
    const { length, made } = this.#bytes
    this.#header = made?.header ?? readHeader(this.#bytes.read(0, Math.min(length, HEADER_BYTES)), length)
    const { size } = this.#header
    checkInMemory(size)
    const words = indexWords(this.#bytes.read(HEADER_BYTES, size * ROW_BYTES))
    if (this.#settings.strict) checkIndex(words, this.#header, length)
    this.#lookup = new Lookup(words, this.#settings.lookup)
    this.#entry = new EntryReader(this.#header, this.#settings, made?.codec)
    if (this.#entry.crc && this.#bytes.readOnly === undefined) this.#trusted = new Uint8Array(Math.ceil(size / 8))
  }

  /**
   * A map in memory of these entries, whose values are copied. Its file is {@link MapBuffer.toBytes}. Larger than
   * memory: `MapBufferWriter`.
   *
   * Throws `MILL_INVALID_ARGUMENT`, `MILL_BAD_LABEL`, `MILL_BAD_VALUE`, `MILL_DUPLICATE_LABEL`, `MILL_TOO_MANY`,
   * `MILL_CODEC_UNKNOWN`, `MILL_CODEC_MISSING`, `MILL_CODEC_NOT_LOADED`.
   */
  static from(entries: Entries<BytesLike>, options?: MapBufferWriteOptions & MapBufferReadOptions): MapBuffer
  static from<V>(
    entries: Entries<V>,
    options: MapBufferWriteOptions<V> & MapBufferReadOptions<V> & { serializer: Serializer<V> },
  ): MapBuffer<V>
  static from<V>(entries: Entries<V>, options?: MapBufferWriteOptions<V> & MapBufferReadOptions<V>): MapBuffer<V> {
    return mapOver(build(entries, options), options)
  }

  /** How many entries there are. */
  get size(): number {
    return this.#lookup.size
  }

  /** Bytes of the whole file. */
  get byteLength(): number {
    return this.#bytes.length
  }

  /** Bytes behind the index: all values as stored, with their checksums. */
  get dataLength(): number {
    return this.#bytes.length - dataStart(this.#lookup.size)
  }

  /** 1: each value has its checksum. */
  get version(): 0 | 1 {
    return this.#header.version
  }

  /** How each value is compressed. */
  get compression(): CompressionName {
    return this.#header.compression
  }

  /**
   * The value of a label; undefined where there is none. Uncompressed it is a view of the map's bytes, compressed it is
   * new bytes; over a file it is always new.
   *
   * Throws `MILL_BAD_LABEL`, `MILL_BAD_CRC`, `MILL_DECOMPRESS`, `MILL_TOO_LARGE`, `MILL_CODEC_MISSING`,
   * `MILL_CODEC_NOT_LOADED`, `MILL_BAD_VALUE` where the serializer fails; with `strict: false` also `MILL_BAD_OFFSETS`,
   * `MILL_TRUNCATED_DATA`, `MILL_BAD_ENTRY_LENGTH`; over a file `MILL_SOURCE_SHORT`, `MILL_SOURCE_CLOSED`,
   * `MILL_SOURCE_FAILED`.
   */
  get(label: Label): V | undefined {
    const row = this.#lookup.find(label)
    return row === 0 ? undefined : this.#value(row, label)
  }

  /** The values of these labels, in the order asked; undefined for those that are not there. Throws `MILL_INVALID_ARGUMENT`, and as {@link MapBuffer.get}. */
  getMany(labels: Iterable<Label>): (V | undefined)[] {
    checkLabels(labels)
    const values: (V | undefined)[] = []
    for (const label of labels) values.push(this.get(label))
    return values
  }

  /** Is there an entry with this label? Looks at the index only. Throws `MILL_BAD_LABEL`. */
  has(label: Label): boolean {
    return this.#lookup.find(label) !== 0
  }

  /** Where the stored bytes of an entry are, from the index only. Throws `MILL_BAD_LABEL`, and as {@link MapBuffer.get} for wrong bounds. */
  locate(label: Label): Location | undefined {
    const row = this.#lookup.find(label)
    if (row === 0) return undefined
    return { position: row - 1, offset: this.#lookup.offset(row), length: this.#storedLength(row, label) }
  }

  /** The row of a label in the file, from 0; −1 where there is none. Throws `MILL_BAD_LABEL`. */
  indexOf(label: Label): number {
    return this.#lookup.find(label) - 1
  }

  /** The value in a row; undefined outside. Throws `MILL_INVALID_ARGUMENT` for what is no whole number, and as {@link MapBuffer.get}. */
  at(position: number): V | undefined {
    checkPosition(position)
    if (position < 0 || position >= this.size) return undefined
    return this.#value(position + 1, this.#lookup.label(position + 1, this.#settings.bigint))
  }

  /** The label in a row. Throws `MILL_INVALID_ARGUMENT` outside. */
  labelAt(position: number): Label {
    checkPosition(position, this.size)
    return this.#lookup.label(position + 1, this.#settings.bigint)
  }

  /** The least label that is not below this one. Throws `MILL_BAD_LABEL`. */
  lowerBound(label: Label): Label | undefined {
    const row = this.#lookup.atLeast(label)
    return row === 0 ? undefined : this.#lookup.label(row, this.#settings.bigint)
  }

  /** The labels: without a range in file order, with one, even an empty one, by label. Throws `MILL_BAD_LABEL`, `MILL_INVALID_ARGUMENT`. */
  keys(range?: LabelRange): IterableIterator<Label> {
    const { bigint } = this.#settings
    return walk(this.#lookup, rangeOf(this.#lookup, range), (row) => this.#lookup.label(row, bigint))
  }

  /** The values, in the order of {@link MapBuffer.keys}. A damaged one throws as {@link MapBuffer.get}, and ends the loop. */
  values(range?: LabelRange): IterableIterator<V> {
    const { bigint } = this.#settings
    return walk(this.#lookup, rangeOf(this.#lookup, range), (row) => this.#value(row, this.#lookup.label(row, bigint)))
  }

  /** Labels and values, in the order of {@link MapBuffer.keys}. A damaged value throws as {@link MapBuffer.get}, and ends the loop. */
  entries(range?: LabelRange): IterableIterator<[Label, V]> {
    const { bigint } = this.#settings
    return walk(this.#lookup, rangeOf(this.#lookup, range), (row): [Label, V] => {
      const label = this.#lookup.label(row, bigint)
      return [label, this.#value(row, label)]
    })
  }

  [Symbol.iterator](): IterableIterator<[Label, V]> {
    return this.entries()
  }

  /** A copy of the index, two words a row: label, offset, label, offset … */
  index(): BigUint64Array {
    return copyOfWords(this.#lookup.words)
  }

  /**
   * Replaces a value in place by one that takes exactly as many bytes as stored, and mends its checksum. Only in memory:
   * these are the bytes that were given to the constructor.
   *
   * Throws `MILL_READ_ONLY`, `MILL_BAD_LABEL`, `MILL_NO_SUCH_LABEL`, `MILL_BAD_VALUE`, `MILL_LENGTH_CHANGED`, what the
   * serializer throws, `MILL_CODEC_MISSING`, `MILL_CODEC_NOT_LOADED`, and as {@link MapBuffer.locate} for wrong bounds.
   */
  set(label: Label, value: V): void {
    const { readOnly } = this.#bytes
    if (readOnly !== undefined) throw new MapBufferError('MILL_READ_ONLY', readOnly)
    const row = this.#lookup.find(label)
    if (row === 0) throw new MapBufferError('MILL_NO_SUCH_LABEL', `There is no label ${label} to set`, { label })
    this.#writer ??= this.#makeWriter()
    const expected = this.#storedLength(row, label)
    const stored = this.#writer.encode(label, value)
    const got = stored.length - this.#writer.crcBytes
    if (got !== expected) {
      const message = `The value of label ${label} has ${expected} stored bytes, the new one ${got}: it can't take its place`
      throw new MapBufferError('MILL_LENGTH_CHANGED', message, { label, expected, got })
    }
    this.#bytes.read(this.#lookup.offset(row), stored.length).set(stored)
  }

  /** All entries as a `Map`, in file order; values as {@link MapBuffer.get} gives them. */
  toMap(): Map<Label, V> {
    return new Map(this.entries())
  }

  /** The bytes of the file: in memory the very bytes, not copied; over a file all of it is read. */
  toBytes(): Uint8Array {
    return this.#bytes.read(0, this.#bytes.length)
  }

  /**
   * Looks for every fault, and gives way to other work every 8 ms. Rejects only with `signal.reason`,
   * `MILL_INVALID_ARGUMENT`, what `onProgress` throws, a codec that is missing (with `decode`), and a file that can't be
   * read.
   */
  verify(options?: VerifyOptions): Promise<VerifyReport> {
    return verifyMap(
      {
        header: this.#header,
        byteLength: this.byteLength,
        words: this.#lookup.words,
        entry: this.#entry,
        bigint: this.#settings.bigint,
        read: (offset, length) => this.#bytes.read(offset, length),
      },
      options,
    )
  }

  /** Closes the file, if there is one; then values can't be read any more. Idempotent. In memory nothing happens. */
  close(): void {
    this.#bytes.close()
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #value(row: number, label: Label): V {
    const stored = this.#stored(row, label)
    const trusted = this.#trusted
    if (trusted === undefined) return this.#entry.decode(stored, row - 1, label)
    const at = (row - 1) >>> 3
    const bit = 1 << ((row - 1) & 7)
    const known = ((trusted[at] as number) & bit) !== 0
    const value = this.#entry.decode(stored, row - 1, label, known)
    if (!known) trusted[at] = (trusted[at] as number) | bit
    return value
  }

  #stored(row: number, label: Label): Uint8Array {
    const offset = this.#lookup.offset(row)
    const length = this.#end(row) - offset
    this.#check(row, label, offset, length)
    return this.#bytes.read(offset, length)
  }

  #storedLength(row: number, label: Label): number {
    const offset = this.#lookup.offset(row)
    return this.#check(row, label, offset, this.#end(row) - offset)
  }

  #check(row: number, label: Label, offset: number, length: number): number {
    const before = this.#settings.strict || row === 1 ? 0 : this.#lookup.offset(row - 1)
    return this.#entry.check(row - 1, label, offset, length, this.#bytes.length, before)
  }

  #end(row: number): number {
    return row < this.#lookup.size ? this.#lookup.offset(row + 1) : this.#bytes.length
  }

  #makeWriter(): EntryWriter<V> {
    const { serializer } = this.#settings
    return new EntryWriter<V>({
      compress: this.#bytes.made?.codec ?? this.#header.compression,
      crc: this.#header.version === 1,
      ...(serializer !== undefined && { serializer }),
    })
  }
}
