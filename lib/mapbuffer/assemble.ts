import { allocate } from '../base/bytes.js'
import { ranksInRowOrder } from './eytzinger.js'
import { HEADER_BYTES, type Header, makeHeader, makeIntMapHeader, ROW_BYTES, TWO32 } from './format.js'

export { dropDuplicates, duplicateLabel, sortLabels } from './sort.js'

/** Which entry stands in each row of a file: `[row k − 1]` is its position, given the order of the labels. */
export function entriesInRowOrder(order: Uint32Array): Uint32Array {
  const rows = ranksInRowOrder(order.length)
  for (let i = 0; i < rows.length; i++) rows[i] = order[rows[i] as number] as number
  return rows
}

/** The entries of an index that is being written: the halves of their labels, and bytes as stored. */
export interface Columns {
  readonly low: Uint32Array
  readonly high: Uint32Array
  readonly lengths: Float64Array
}

/**
 * Writes rows into `target`: those of the entries `rows[from]` to `rows[to - 1]`, beginning at byte `at`. The value of
 * the first begins at byte `offset` of the file; gives back where that of the next one begins.
 */
export function putRows(
  target: Uint8Array,
  at: number,
  columns: Columns,
  rows: Uint32Array,
  from: number,
  to: number,
  offset: number,
): number {
  const { low, high, lengths } = columns
  const view = new DataView(target.buffer, target.byteOffset + at, (to - from) * ROW_BYTES)
  for (let i = from, byte = 0; i < to; i++, byte += ROW_BYTES) {
    const entry = rows[i] as number
    view.setUint32(byte, low[entry] as number, true)
    view.setUint32(byte + 4, high[entry] as number, true)
    view.setUint32(byte + 8, offset, true)
    view.setUint32(byte + 12, offset / TWO32, true)
    offset += lengths[entry] as number
  }
  return offset
}

/**
 * Header and index of a MapBuffer. `order` is what {@link dropDuplicates} left of the order of the labels, `lengths`
 * are bytes as stored, checksum included; both, like the labels, go by the position in which an entry came. The values
 * belong behind it in the order of {@link entriesInRowOrder}. The size in `header` is not looked at.
 */
export function makeIndex(
  header: Header,
  low: Uint32Array,
  high: Uint32Array,
  lengths: Float64Array,
  order: Uint32Array,
): Uint8Array {
  const size = order.length
  const byteLength = HEADER_BYTES + size * ROW_BYTES
  const bytes = allocate(byteLength)
  bytes.set(makeHeader({ ...header, size }))
  putRows(bytes, HEADER_BYTES, { low, high, lengths }, entriesInRowOrder(order), 0, size, byteLength)
  return bytes
}

/** Writes rows of an IntMap, as {@link putRows} does: label and value. */
export function putPairs(
  target: Uint8Array,
  at: number,
  columns: readonly [low: Uint32Array, high: Uint32Array, valueLow: Uint32Array, valueHigh: Uint32Array],
  rows: Uint32Array,
  from: number,
  to: number,
): void {
  const [low, high, valueLow, valueHigh] = columns
  const view = new DataView(target.buffer, target.byteOffset + at, (to - from) * ROW_BYTES)
  for (let i = from, byte = 0; i < to; i++, byte += ROW_BYTES) {
    const entry = rows[i] as number
    view.setUint32(byte, low[entry] as number, true)
    view.setUint32(byte + 4, high[entry] as number, true)
    view.setUint32(byte + 8, valueLow[entry] as number, true)
    view.setUint32(byte + 12, valueHigh[entry] as number, true)
  }
}

/** A whole IntMap; the arguments go by the position in which an entry came, as those of {@link makeIndex}. */
export function makeIntMap(
  low: Uint32Array,
  high: Uint32Array,
  valueLow: Uint32Array,
  valueHigh: Uint32Array,
  order: Uint32Array,
): Uint8Array {
  const header = makeIntMapHeader(order.length)
  const bytes = allocate(header.length + order.length * ROW_BYTES)
  bytes.set(header)
  putPairs(bytes, header.length, [low, high, valueLow, valueHigh], entriesInRowOrder(order), 0, order.length)
  return bytes
}
