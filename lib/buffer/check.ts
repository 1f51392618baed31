import { latin1, utf8 } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'

/** `'utf8'` or `'latin1'` as a function. */
export function decoder(encoding: 'utf8' | 'latin1'): typeof utf8 {
  if (encoding === 'utf8') return utf8
  if (encoding === 'latin1') return latin1
  throw new ArgumentError('encoding', "'utf8' or 'latin1'", encoding)
}

/** A count of bytes: a whole number >= 0. A wrong `take(length - 2)` must not take all. */
export function checkCount(count: number, argument = 'count'): number {
  if (Number.isSafeInteger(count) && count >= 0) return count
  throw new ArgumentError(argument, 'a whole number >= 0', count)
}

/** As {@link checkCount}, for an argument that may be absent. */
export function checkIndex(index: number | undefined, absent: number, argument: string): number {
  return index === undefined ? absent : checkCount(index, argument)
}

/** A position as `Array.prototype.slice` understands it. */
export function clamp(index: number | undefined, absent: number, length: number): number {
  if (index === undefined) return absent
  if (!Number.isInteger(index) && Math.abs(index) !== Number.POSITIVE_INFINITY) {
    throw new ArgumentError('index', 'a whole number', index)
  }
  return index < 0 ? Math.max(0, length + index) : Math.min(index, length)
}
