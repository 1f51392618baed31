import { ArgumentError, SourceError } from '../base/errors.js'

/** Throws `MILL_INVALID_ARGUMENT` unless both are safe integers from 0 on and so is their sum. */
export function checkRange(offset: unknown, length: unknown): void {
  if (!isCount(offset)) throw new ArgumentError('offset', 'a whole number >= 0', offset)
  if (!isCount(length)) throw new ArgumentError('length', 'a whole number >= 0', length)
  if (!isCount(offset + length)) throw new ArgumentError('length', 'such that the end is a safe integer', length)
}

/** The option, or what it is by default. Throws `MILL_INVALID_ARGUMENT` unless it is a whole number from `least` on. */
export function checkCount(value: unknown, argument: string, usual: number, least = 0): number {
  if (value === undefined) return usual
  if (value === Number.POSITIVE_INFINITY) return Number.MAX_SAFE_INTEGER
  if (isCount(value) && value >= least) return value
  throw new ArgumentError(argument, `a whole number >= ${least}`, value)
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** `MILL_SOURCE_CLOSED`: read after `close()`. */
export function closedError(url: string): SourceError {
  return new SourceError('MILL_SOURCE_CLOSED', `${url} has been closed`, { url })
}

/** `MILL_SOURCE_SHORT`: fewer bytes than there must be. */
export function shortError(
  url: string,
  offset: number,
  expected: number,
  got: number,
  why: string,
  cause?: unknown,
): SourceError {
  return new SourceError('MILL_SOURCE_SHORT', `${url}: ${got} of ${expected} bytes at ${offset}: ${why}`, {
    url,
    offset,
    expected,
    got,
    ...(cause !== undefined && { cause }),
  })
}
