import { ArgumentError } from './errors.js'

const LIMIT = 1n << 64n

/** A label as an unsigned 64-bit integer. Throws `MILL_INVALID_ARGUMENT` beyond safe integers, for negatives, and from 2^64 on. */
export function toU64(value: number | bigint, argument = 'value'): bigint {
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value) && value >= 0) return BigInt(value)
  } else if (typeof value === 'bigint' && value >= 0n && value < LIMIT) return value
  throw new ArgumentError(argument, 'a safe integer >= 0 or a bigint below 2^64', value)
}

/** A number where it is a safe integer, else the bigint. */
export function fromU64(value: bigint): number | bigint {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

/** The unsigned 64-bit integer at byte `at`, little-endian. */
export function getU64LE(view: DataView, at: number): bigint {
  return view.getBigUint64(at, true)
}

/** Writes an unsigned 64-bit integer at byte `at`, little-endian. Throws `MILL_INVALID_ARGUMENT` for what is none. */
export function setU64LE(view: DataView, at: number, value: number | bigint): void {
  view.setBigUint64(at, toU64(value), true)
}
