import { TWO32 } from './format.js'

/** Rows of an index in columns, in file order: no object per row, however many there are. */
export interface Rows {
  readonly count: number
  /** Place in the file, from 0. */
  readonly position: Float64Array
  readonly low: Uint32Array
  readonly high: Uint32Array
  /** Where the stored bytes begin, and how many there are up to the next row's, checksum included; not yet checked. */
  readonly offset: Float64Array
  readonly length: Float64Array
  /** The offset of the row in front; 0 for the first. */
  readonly before: Float64Array
}

/** What looking labels up came to, label by label in the order asked. */
export interface Found {
  /** Place in the file, from 0; −1: no such label. */
  readonly position: Float64Array
  readonly offset: Float64Array
  readonly length: Float64Array
  readonly before: Float64Array
  /** The labels that could not be looked up, by their place in the question. */
  readonly faults: Map<number, unknown>
}

/** Rows are streamed in blocks of this many: an index read of 1 MiB. */
export const BLOCK_ROWS = 65536

/** An index of which some or all rows are in memory. */
export interface RowIndex {
  /** Looks all labels up, given by their halves. Rejects only on an abort. */
  find(low: Uint32Array, high: Uint32Array, signal: AbortSignal): Promise<Found>
  /** All rows in file order, at most {@link BLOCK_ROWS} at a time. */
  blocks(signal: AbortSignal): AsyncGenerator<Rows, void, undefined>
}

/** Rows of zeros. */
export function makeRows(count: number): Rows {
  return {
    count,
    position: new Float64Array(count),
    low: new Uint32Array(count),
    high: new Uint32Array(count),
    offset: new Float64Array(count),
    length: new Float64Array(count),
    before: new Float64Array(count),
  }
}

/** Nothing found yet: all positions are -1. */
export function makeFound(count: number): Found {
  return {
    position: new Float64Array(count).fill(-1),
    offset: new Float64Array(count),
    length: new Float64Array(count),
    before: new Float64Array(count),
    faults: new Map(),
  }
}

/** The offset of a row, counted from 0 in `words`; above 2^53 it loses its last bits, but then it lies outside of every file anyway. */
export function offsetAt(words: Uint32Array, row: number): number {
  return (words[4 * row + 3] as number) * TWO32 + (words[4 * row + 2] as number)
}

/**
 * `count` rows from row `from` of `words` on, which stands at position `from + base` of the file. Behind them there is
 * one row more, whose offset tells where the last of them ends, unless they go to the end of the file. `before` is the
 * offset of the row in front of `words`.
 */
export function rowsOf(
  words: Uint32Array,
  from: number,
  count: number,
  base: number,
  byteLength: number,
  before: number,
): Rows {
  const rows = makeRows(count)
  const there = words.length / 4
  let previous = from === 0 ? before : offsetAt(words, from - 1)
  for (let i = 0; i < count; i++) {
    const row = from + i
    const offset = offsetAt(words, row)
    rows.position[i] = base + row
    rows.low[i] = words[4 * row] as number
    rows.high[i] = words[4 * row + 1] as number
    rows.offset[i] = offset
    rows.length[i] = (row + 1 < there ? offsetAt(words, row + 1) : byteLength) - offset
    rows.before[i] = previous
    previous = offset
  }
  return rows
}

/** Some of the rows, in this order. */
export function pickRows(rows: Omit<Rows, 'count'>, places: ArrayLike<number>): Rows {
  const picked = makeRows(places.length)
  for (let i = 0; i < places.length; i++) {
    const place = places[i] as number
    picked.position[i] = rows.position[place] as number
    picked.low[i] = rows.low[place] as number
    picked.high[i] = rows.high[place] as number
    picked.offset[i] = rows.offset[place] as number
    picked.length[i] = rows.length[place] as number
    picked.before[i] = rows.before[place] as number
  }
  return picked
}
