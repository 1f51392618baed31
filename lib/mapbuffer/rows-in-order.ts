import type { LabelRange } from '../../types/mapbuffer.js'
import { ArgumentError } from '../base/errors.js'
import { LITTLE_ENDIAN } from './label.js'
import type { Lookup, RowRange } from './lookup.js'

/** The rows of a range; undefined for all of them in file order. Throws `MILL_INVALID_ARGUMENT`, `MILL_BAD_LABEL`. */
export function rangeOf(lookup: Lookup, range: LabelRange | undefined): RowRange | undefined {
  if (range === undefined) return undefined
  checkRange(range)
  return lookup.rows(range.from, range.to, range.reverse === true)
}

/** Throws `MILL_INVALID_ARGUMENT` for what is no range at all; its labels are not looked at. */
export function checkRange(range: LabelRange): void {
  if (typeof range !== 'object' || range === null) throw new ArgumentError('range', 'an object', range)
  const { reverse } = range
  if (reverse !== undefined && typeof reverse !== 'boolean') {
    throw new ArgumentError('range.reverse', 'true or false', reverse)
  }
}

/** What `pick` makes of each row: of a range, or of all rows in file order. */
export function* walk<T>(
  lookup: Lookup,
  range: RowRange | undefined,
  pick: (row: number) => T,
): Generator<T, undefined> {
  const { size } = lookup
  if (range === undefined) {
    for (let row = 1; row <= size; row++) yield pick(row)
    return
  }
  const { first, end, step } = range
  // Rows that are out of order can have the end before the beginning: there is always 0 to stop at.
  for (let row = first; row !== end && row !== 0; row = step(row, size)) yield pick(row)
}

/** Throws `MILL_INVALID_ARGUMENT` unless it is a whole number, and below `size` where that is given. */
export function checkPosition(position: number, size?: number): void {
  if (!Number.isSafeInteger(position)) throw new ArgumentError('position', 'a whole number', position)
  if (size !== undefined && !(position >= 0 && position < size)) {
    throw new ArgumentError('position', size === 0 ? 'a row, but the map is empty' : `from 0 to ${size - 1}`, position)
  }
}

/** Two words a row, in memory of their own, each label with its offset or value. */
export function copyOfWords(words: Uint32Array): BigUint64Array {
  const copy = new Uint32Array(words)
  if (!LITTLE_ENDIAN) {
    for (let i = 0; i < copy.length; i += 2) {
      copy[i] = words[i + 1] as number
      copy[i + 1] = words[i] as number
    }
  }
  return new BigUint64Array(copy.buffer)
}
