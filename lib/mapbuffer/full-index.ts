import type { ByteSource } from '../../types/byte-source.js'
import type { ReadSettings } from './entry.js'
import { dataStart, HEADER_BYTES, type Header } from './format.js'
import { checkIndex, checkInMemory } from './index-check.js'
import { indexWords, Lookup } from './lookup.js'
import { type Joining, makeRoom, readWhole } from './ordered-reads.js'
import { BLOCK_ROWS, type Found, makeFound, makeRows, type RowIndex, type Rows, rowsOf } from './rows.js'

/** An index that is in memory whole. */
export class FullIndex implements RowIndex {
  readonly lookup: Lookup
  readonly #byteLength: number

  constructor(lookup: Lookup, byteLength: number) {
    this.lookup = lookup
    this.#byteLength = byteLength
  }

  async find(low: Uint32Array, high: Uint32Array): Promise<Found> {
    const found = makeFound(low.length)
    for (let i = 0; i < low.length; i++) {
      const row = this.lookup.findHalves(low[i] as number, high[i] as number)
      if (row > 0) this.#put(row, found, i)
    }
    return found
  }

  /** These rows, which count from 1, in this order. */
  rowsAt(numbers: readonly number[]): Rows {
    const { words } = this.lookup
    const rows = makeRows(numbers.length)
    for (let i = 0; i < numbers.length; i++) {
      const row = numbers[i] as number
      rows.low[i] = words[4 * row - 4] as number
      rows.high[i] = words[4 * row - 3] as number
      this.#put(row, rows, i)
    }
    return rows
  }

  /** Bytes from the beginning of a row's value to that of the next one; below 0 in a damaged file. */
  lengthOf(row: number): number {
    const { lookup } = this
    return (row < lookup.size ? lookup.offset(row + 1) : this.#byteLength) - lookup.offset(row)
  }

  #put(row: number, to: Omit<Found, 'faults'>, i: number): void {
    to.position[i] = row - 1
    to.offset[i] = this.lookup.offset(row)
    to.length[i] = this.lengthOf(row)
    to.before[i] = row > 1 ? this.lookup.offset(row - 1) : 0
  }

  async *blocks(): AsyncGenerator<Rows, void, undefined> {
    const { size, words } = this.lookup
    for (let from = 0; from < size; from += BLOCK_ROWS) {
      yield rowsOf(words, from, Math.min(BLOCK_ROWS, size - from), 0, this.#byteLength, 0)
    }
  }
}

/** What is known of a file once its first bytes have come. */
export interface Opened {
  readonly source: ByteSource
  readonly header: Header
  readonly byteLength: number
  /** The first bytes of the file, the header among them. */
  readonly first: Uint8Array
}

/** The words of the whole index, of which `first` may have a part. Throws `MILL_TOO_MANY`, and what the source throws. */
export async function readWords(file: Opened, joining: Joining, signal: AbortSignal): Promise<Uint32Array> {
  const { source, header, first } = file
  checkInMemory(header.size)
  const end = dataStart(header.size)
  if (first.length >= end) return indexWords(first.subarray(HEADER_BYTES, end))
  const rows = makeRoom(end - HEADER_BYTES)
  rows.set(first.subarray(HEADER_BYTES))
  const from = first.length
  await readWhole(source, { offset: from, length: end - from }, rows.subarray(from - HEADER_BYTES), joining, signal)
  return indexWords(rows)
}

/** The whole index; with `strict` every fault of it is an error here. */
export async function readFullIndex(
  file: Opened,
  settings: Pick<ReadSettings<unknown>, 'strict' | 'lookup'>,
  joining: Joining,
  signal: AbortSignal,
): Promise<FullIndex> {
  const words = await readWords(file, joining, signal)
  if (settings.strict) checkIndex(words, file.header, file.byteLength)
  return new FullIndex(new Lookup(words, settings.lookup), file.byteLength)
}
