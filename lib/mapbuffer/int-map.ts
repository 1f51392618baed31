import type { BytesLike } from '../../types/bytes.js'
import type { Entries, IntMapOptions, Label, LabelRange, ReadInput } from '../../types/mapbuffer.js'
import { abortable, checkSignal } from '../base/abort.js'
import { ArgumentError, MapBufferError } from '../base/errors.js'
import { buildIntMap } from './build.js'
import { checkBytes, checkFlag, checkLookup } from './entry.js'
import { INT_MAP_HEADER_BYTES, ROW_BYTES, readIntMapHeader, writeU32 } from './format.js'
import { badOrder, checkInMemory, inOrder, ROW_WORDS, rowOutOfOrder, trailingData } from './index-check.js'
import { splitLabel } from './label.js'
import { indexWords, Lookup } from './lookup.js'
import { readStart } from './read-start.js'
import { copyOfWords, rangeOf, walk } from './rows-in-order.js'

/** For the halves of a value. */
const HALVES = new Uint32Array(2)

/**
 * Integers by integer: an index without values, 16 bytes an entry, wholly in memory. The smaller sibling of
 * `MapBuffer`, in a file format of its own. Labels and values are 0 … 2^64−1.
 */
export class IntMap implements Iterable<[Label, Label]> {
  readonly #bytes: Uint8Array
  readonly #lookup: Lookup
  readonly #bigint: boolean

  /**
   * The map in these bytes. They are pointed at, for {@link IntMap.set} and {@link IntMap.toBytes}; the rows are copied
   * unless they happen to begin at a multiple of 4 bytes in their buffer, which the format does not provide for.
   *
   * Throws `MILL_INVALID_ARGUMENT`, `MILL_TRUNCATED_HEADER`, `MILL_BAD_MAGIC`, `MILL_BAD_VERSION`, `MILL_BAD_DTYPE`,
   * `MILL_TRUNCATED_INDEX`, `MILL_TOO_MANY` (over 2^28 entries); unless `strict` is false, also `MILL_TRAILING_DATA` and
   * `MILL_BAD_LABEL_ORDER`.
   */
  constructor(bytes: BytesLike, options: IntMapOptions = {}) {
    const { strict, bigint, lookup } = intMapOptions(options)
    this.#bytes = checkBytes(bytes)
    this.#bigint = bigint
    const { length } = this.#bytes
    const size = readIntMapHeader(this.#bytes, length)
    checkInMemory(size)
    const end = INT_MAP_HEADER_BYTES + size * ROW_BYTES
    if (strict && length > end) throw trailingData(length, end)
    const words = indexWords(this.#bytes.subarray(INT_MAP_HEADER_BYTES, end))
    if (strict && !inOrder(words)) throw badOrder(words, rowOutOfOrder(words, 1))
    this.#lookup = new Lookup(words, lookup)
  }

  /** A map of these entries. Throws `MILL_INVALID_ARGUMENT`, `MILL_BAD_LABEL` (also for a value), `MILL_DUPLICATE_LABEL`, `MILL_TOO_MANY`. */
  static from(
    entries: Entries<Label>,
    options: IntMapOptions & { duplicates?: 'error' | 'first' | 'last' } = {},
  ): IntMap {
    intMapOptions(options)
    return new IntMap(buildIntMap(entries, options.duplicates), options)
  }

  /**
   * The map that lies somewhere, read whole: it is all index. With `strict: false` bytes behind the rows are not read.
   * Rejects as the constructor throws, with what the source throws, and with `signal.reason`. A source that you pass
   * stays open.
   */
  static async open(input: ReadInput, options: IntMapOptions & { signal?: AbortSignal } = {}): Promise<IntMap> {
    const { strict } = intMapOptions(options)
    const signal = checkSignal(options.signal)
    signal?.throwIfAborted()
    const howMany = (first: Uint8Array, byteLength: number): number => wantedBytes(first, byteLength, strict)
    return new IntMap(await abortable(readStart(input, howMany, signal), signal), options)
  }

  /** How many entries there are. */
  get size(): number {
    return this.#lookup.size
  }

  /** Bytes of the whole file. */
  get byteLength(): number {
    return this.#bytes.length
  }

  /** The value of a label; undefined where there is none. Throws `MILL_BAD_LABEL`. */
  get(label: Label): Label | undefined {
    const row = this.#lookup.find(label)
    return row === 0 ? undefined : this.#lookup.value(row, this.#bigint)
  }

  /** Replaces a value in place, in the bytes that were given to the constructor. Throws `MILL_BAD_LABEL` (also for the value), `MILL_NO_SUCH_LABEL`. */
  set(label: Label, value: Label): void {
    const row = this.#lookup.find(label)
    if (row === 0) throw new MapBufferError('MILL_NO_SUCH_LABEL', `There is no label ${label} to set`, { label })
    splitLabel(value, HALVES)
    const [low, high] = HALVES as unknown as [number, number]
    const at = INT_MAP_HEADER_BYTES + (row - 1) * ROW_BYTES + 8
    writeU32(this.#bytes, at, low)
    writeU32(this.#bytes, at + 4, high)
    // The rows a search looks at are usually a copy.
    this.#lookup.words[(row - 1) * ROW_WORDS + 2] = low
    this.#lookup.words[(row - 1) * ROW_WORDS + 3] = high
  }

  /** Is there an entry with this label? Throws `MILL_BAD_LABEL`. */
  has(label: Label): boolean {
    return this.#lookup.find(label) !== 0
  }

  /** The row of a label in the file, from 0; −1 where there is none. Throws `MILL_BAD_LABEL`. */
  indexOf(label: Label): number {
    return this.#lookup.find(label) - 1
  }

  /** The least label that is not below this one. Throws `MILL_BAD_LABEL`. */
  lowerBound(label: Label): Label | undefined {
    const row = this.#lookup.atLeast(label)
    return row === 0 ? undefined : this.#lookup.label(row, this.#bigint)
  }

  /** The labels: without a range in file order, with one, even an empty one, by label. Throws `MILL_BAD_LABEL`, `MILL_INVALID_ARGUMENT`. */
  keys(range?: LabelRange): IterableIterator<Label> {
    return walk(this.#lookup, rangeOf(this.#lookup, range), (row) => this.#lookup.label(row, this.#bigint))
  }

  /** The values, in the order of {@link IntMap.keys}. */
  values(range?: LabelRange): IterableIterator<Label> {
    return walk(this.#lookup, rangeOf(this.#lookup, range), (row) => this.#lookup.value(row, this.#bigint))
  }

  /** Labels and values, in the order of {@link IntMap.keys}. */
  entries(range?: LabelRange): IterableIterator<[Label, Label]> {
    return walk(this.#lookup, rangeOf(this.#lookup, range), (row): [Label, Label] => [
      this.#lookup.label(row, this.#bigint),
      this.#lookup.value(row, this.#bigint),
    ])
  }

  [Symbol.iterator](): IterableIterator<[Label, Label]> {
    return this.entries()
  }

  /** A copy of the rows, two words each: label, value, label, value … */
  index(): BigUint64Array {
    return copyOfWords(this.#lookup.words)
  }

  /** All entries as a `Map`, in file order. */
  toMap(): Map<Label, Label> {
    return new Map(this.entries())
  }

  /** The bytes of the file: the very bytes, not copied. */
  toBytes(): Uint8Array {
    return this.#bytes
  }
}

function intMapOptions(options: IntMapOptions) {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const { strict = true, bigint = false } = options
  checkFlag(strict, 'options.strict')
  checkFlag(bigint, 'options.bigint')
  return { strict, bigint, lookup: checkLookup(options.lookup) }
}

/** Bytes of a file that begins like this. One that is no IntMap shows it here, and is not read further. */
function wantedBytes(first: Uint8Array, byteLength: number, strict: boolean): number {
  const size = readIntMapHeader(first, byteLength)
  checkInMemory(size)
  const end = INT_MAP_HEADER_BYTES + size * ROW_BYTES
  if (strict && byteLength > end) throw trailingData(byteLength, end)
  return end
}
