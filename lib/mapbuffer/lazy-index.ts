import type { ByteSource } from '../../types/byte-source.js'
import { MapBufferError } from '../base/errors.js'
import { Lru } from '../base/lru.js'
import type { EntryReader } from './entry.js'
import { CRC_BYTES, dataStart, HEADER_BYTES, type Header, ROW_BYTES } from './format.js'
import { badOrder, layoutFault, ROW_WORDS, rowOutOfOrder } from './index-check.js'
import { compareHalves, joinLabel } from './label.js'
import { indexWords } from './lookup.js'
import { type Joining, pieces, type Range, readExactly, readInOrder } from './ordered-reads.js'
import { BLOCK_ROWS, type Found, makeFound, offsetAt, type RowIndex, type Rows, rowsOf } from './rows.js'
import { Seek } from './seek.js'
import { SharedWork } from './shared-work.js'

/** Rows are read in pages of 64: row k begins at byte 16 k, so page p is the file's p-th KiB. */
const PAGE_ROWS = 64
const PAGE_BYTES = PAGE_ROWS * ROW_BYTES
/** Levels below the known ones that are fetched in one round: up to 16 KiB a label, less than a round trip is worth. */
const LEVELS_PER_ROUND = 10
/** What a page takes besides its bytes: its view, and its place in the cache. */
const PAGE_OVERHEAD = 256

/** Pages that one round may fetch, however little is kept of them afterwards: fewer would make many rounds. */
const LEAST_PAGES = 4096
/** Labels that are on their way at the same time. */
const MOST_SEEKS = 65536

/** How a lazy index reads and what it keeps. */
export interface LazyOptions {
  /** Joins reads of pages that lie near each other. */
  readonly pages: ByteSource
  /** Gives the index in large pieces. */
  readonly source: ByteSource
  readonly joining: Joining
  readonly header: Header
  /** Bytes of the file. */
  readonly byteLength: number
  /** Bytes of rows that are kept besides the first read. */
  readonly memory: number
  /** The file's first bytes: whole KiB, or the index whole. They stay. */
  readonly first: Uint8Array
}

type Pages = Map<number, Uint32Array>

/**
 * An index whose rows are read as lookups need them. A label goes down the levels that are known; below them its
 * possible rows are one run on each level, so that all levels of all labels can be read at once.
 */
export class LazyIndex implements RowIndex {
  readonly #options: LazyOptions
  readonly #size: number
  readonly #first: Uint32Array
  readonly #firstPages: number
  readonly #pageCount: number
  readonly #kept: Lru<number, Uint32Array>
  readonly #reading = new SharedWork<number, Uint32Array>()
  readonly #readingAll = new SharedWork<'all', Uint32Array>()
  /** The whole index, header in the place of row 0, once that was cheaper. */
  #all: Uint32Array | undefined

  constructor(options: LazyOptions) {
    const { first, memory } = options
    const { size } = options.header
    this.#options = options
    this.#size = size
    this.#first = indexWords(first.subarray(0, Math.min(first.length, dataStart(size))))
    this.#firstPages = Math.floor(first.length / PAGE_BYTES)
    this.#pageCount = Math.ceil(dataStart(size) / PAGE_BYTES)
    this.#kept = new Lru({ maxWeight: memory, weigh: (page) => page.byteLength + PAGE_OVERHEAD })
  }

  /**
   * What strict opening asks, of the rows that are known: values begin right behind the index and ascend, labels are in
   * order. Throws `MILL_BAD_OFFSETS`, `MILL_TRUNCATED_DATA`, `MILL_BAD_ENTRY_LENGTH`, `MILL_BAD_LABEL_ORDER`.
   */
  checkKnown(entry: EntryReader<unknown>): void {
    const { header, byteLength } = this.#options
    const rows = this.#first.subarray(ROW_WORDS)
    const fault = layoutFault(rows, header, byteLength)
    if (fault !== undefined) throw fault
    const least = header.version === 1 ? CRC_BYTES : 0
    for (let i = 1; i < rows.length / ROW_WORDS; i++) {
      const before = offsetAt(rows, i - 1)
      const offset = offsetAt(rows, i)
      if (offset >= before + least && offset <= byteLength) continue
      const label = joinLabel(rows[4 * i - 4] as number, rows[4 * i - 3] as number, false)
      entry.check(i - 1, label, before, offset - before, byteLength)
    }
    const row = rowOutOfOrder(rows, 1)
    if (row > 0) throw badOrder(rows, row)
  }

  async find(low: Uint32Array, high: Uint32Array, signal: AbortSignal): Promise<Found> {
    const found = makeFound(low.length)
    for (let from = 0; from < low.length; from += MOST_SEEKS) {
      const seeks: Seek[] = []
      const to = Math.min(from + MOST_SEEKS, low.length)
      for (let i = from; i < to; i++) seeks.push(new Seek(i, low[i] as number, high[i] as number))
      await this.#findAll(seeks, found, signal)
    }
    return found
  }

  async #findAll(all: readonly Seek[], found: Found, signal: AbortSignal): Promise<void> {
    let seeks = all
    let held: Pages = new Map()
    let failed = new Map<number, unknown>()
    for (;;) {
      seeks = seeks.filter((seek) => !this.#descend(seek, found, held, failed))
      if (seeks.length === 0) return
      const missing = this.#missing(seeks)
      held = new Map()
      failed = new Map()
      if (await this.#readAllIfCheaper(missing.size, failed, signal)) continue
      await this.#readPages(missing, held, failed, signal)
    }
  }

  async *blocks(signal: AbortSignal): AsyncGenerator<Rows, void, undefined> {
    const { source, byteLength } = this.#options
    let before = 0
    for await (const [{ offset }, bytes] of readInOrder(source, this.#blockRanges(), 2, signal)) {
      const base = (offset - HEADER_BYTES) / ROW_BYTES
      const rows = rowsOf(indexWords(bytes), 0, Math.min(BLOCK_ROWS, this.#size - base), base, byteLength, before)
      before = rows.offset[rows.count - 1] as number
      yield rows
    }
  }

  /** Blocks of rows, each with the row after it. */
  *#blockRanges(): Generator<Range, void, undefined> {
    for (let from = 0; from < this.#size; from += BLOCK_ROWS) {
      const rows = Math.min(BLOCK_ROWS + 1, this.#size - from)
      yield { offset: HEADER_BYTES + from * ROW_BYTES, length: rows * ROW_BYTES }
    }
  }

  /** Down through what is known; true when the label is done with, one way or another. */
  #descend(seek: Seek, found: Found, held: Pages, failed: Map<number, unknown>): boolean {
    while (seek.wanted !== 0) {
      const row = seek.wanted
      const number = Math.floor(row / PAGE_ROWS)
      const page = this.#page(number) ?? held.get(number)
      if (page === undefined) {
        if (!failed.has(number)) return false
        found.faults.set(seek.at, failed.get(number))
        return true
      }
      const fault = this.#look(seek, row, page)
      if (fault === undefined) continue
      found.faults.set(seek.at, fault)
      return true
    }
    if (seek.row <= this.#size) seek.settle(found)
    return true
  }

  /** One step: what the row that was wanted says, and which is wanted next. */
  #look(seek: Seek, wanted: number, page: Uint32Array): MapBufferError | undefined {
    const size = this.#size
    // The first pages, and the whole index, are one array that begins with row 0; other pages begin with their own.
    const place = page === this.#first || page === this.#all ? wanted : wanted % PAGE_ROWS
    const { row } = seek
    if (seek.found) {
      if (wanted > row) seek.end = offsetAt(page, place)
      else seek.before = offsetAt(page, place)
      seek.wanted = wanted > row ? this.#before(row) : 0
      return undefined
    }
    const low = page[4 * place] as number
    const high = page[4 * place + 1] as number
    if (!seek.admits(low, high)) return notBetween(row - 1, low, high)
    const order = compareHalves(low, high, seek.low, seek.high)
    if (order === 0) {
      seek.found = true
      seek.offset = offsetAt(page, place)
      seek.end = this.#options.byteLength
      seek.wanted = row < size ? row + 1 : this.#before(row)
    } else {
      seek.turn(order < 0, low, high)
      seek.wanted = seek.row <= size ? seek.row : 0
    }
    return undefined
  }

  /** The row in front, if it tells more: with a checksum behind each value a wrong offset shows by itself. */
  #before(row: number): number {
    return this.#options.header.version === 0 ? row - 1 : 0
  }

  #page(number: number): Uint32Array | undefined {
    if (this.#all !== undefined) return this.#all
    return number < this.#firstPages ? this.#first : this.#kept.get(number)
  }

  /**
   * The pages that these labels may need, for as many of them as there is room for: the others wait for a later
   * round. A row's descendants j levels deeper are the rows from row · 2^j on, 2^j of them; with one row more at the
   * right, whose offset tells where the last of them ends.
   */
  #missing(seeks: readonly Seek[]): Set<number> {
    const size = this.#size
    const limit = Math.max(LEAST_PAGES, this.#options.memory / (2 * PAGE_BYTES))
    const missing = new Set<number>()
    for (const { row, wanted, found } of seeks) {
      if (missing.size > limit) break
      if (found) {
        this.#want(wanted, wanted, missing)
        continue
      }
      const deep = Math.floor(Math.log2(size / row)) + 1
      const levels = Math.ceil(deep / Math.ceil(deep / LEVELS_PER_ROUND))
      for (let level = 0, first = row, last = row; level < levels && first <= size; level++) {
        this.#want(first, Math.min(last + 1, size), missing)
        first *= 2
        last = 2 * last + 1
      }
    }
    return missing
  }

  #want(first: number, last: number, missing: Set<number>): void {
    const end = Math.floor(last / PAGE_ROWS)
    for (let number = Math.floor(first / PAGE_ROWS); number <= end; number++) {
      if (number >= this.#firstPages && this.#kept.peek(number) === undefined) missing.add(number)
    }
  }

  /** Over half of the pages that are not there are wanted, and there is room for all: fetch all, in few large reads. */
  async #readAllIfCheaper(wanted: number, failed: Map<number, unknown>, signal: AbortSignal): Promise<boolean> {
    const { memory } = this.#options
    const unknown = this.#pageCount - this.#firstPages - this.#kept.size
    if (!this.#readingAll.has('all') && (wanted * 2 <= unknown || dataStart(this.#size) > memory)) return false
    try {
      this.#all = await this.#readingAll.join('all', (shared) => this.#readAll(shared), signal)
      this.#kept.clear()
    } catch (error) {
      signal.throwIfAborted()
      for (let number = this.#firstPages; number < this.#pageCount; number++) failed.set(number, error)
    }
    return true
  }

  async #readAll(signal: AbortSignal): Promise<Uint32Array> {
    const { source, joining } = this.#options
    const end = dataStart(this.#size)
    const words = new Uint32Array(end / 4)
    words.set(this.#first)
    const from = this.#first.byteLength
    const ranges = pieces(from, end - from, joining.span - (joining.span % PAGE_BYTES) || PAGE_BYTES)
    for await (const [{ offset }, bytes] of readInOrder(source, ranges, joining.concurrency, signal)) {
      words.set(indexWords(bytes), offset / 4)
    }
    return words
  }

  async #readPages(
    numbers: Iterable<number>,
    held: Pages,
    failed: Map<number, unknown>,
    signal: AbortSignal,
  ): Promise<void> {
    const reads: Promise<void>[] = []
    for (const number of numbers) {
      reads.push(
        this.#reading
          .join(number, (shared) => this.#readPage(number, shared), signal)
          .then(
            // Held besides: other lookups may push a page out of the cache before this one has used it.
            (page) => void held.set(number, page),
            (error) => void failed.set(number, error),
          ),
      )
    }
    await Promise.all(reads)
    signal.throwIfAborted()
  }

  async #readPage(number: number, signal: AbortSignal): Promise<Uint32Array> {
    const offset = number * PAGE_BYTES
    const length = Math.min(PAGE_BYTES, dataStart(this.#size) - offset)
    // A copy: the bytes may be a part of a much longer read.
    const page = indexWords((await readExactly(this.#options.pages, { offset, length }, signal)).slice())
    this.#kept.set(number, page)
    return page
  }
}

function notBetween(position: number, low: number, high: number): MapBufferError {
  const label = joinLabel(low, high, false)
  const message = `The label ${label} of row ${position} is not between those of the rows above it`
  return new MapBufferError('MILL_BAD_LABEL_ORDER', message, { position, label })
}
