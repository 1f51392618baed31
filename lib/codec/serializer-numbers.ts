import { describe } from '../base/errors.js'
import { fromU64 } from '../base/u64.js'
import type { PlacedSerializer } from './contract.js'

type Write = (view: DataView, value: unknown) => void
type Read<V> = (view: DataView) => V

/** One number goes through these eight bytes; a view of each value's own memory would cost more than all the rest. */
const scratch = new Uint8Array(8)
const view = new DataView(scratch.buffer)

/** A number in so many bytes, little-endian. */
function fixed<V>(name: string, size: number, write: Write, read: Read<V>): [string, PlacedSerializer<V>] {
  const decodeFrom = (data: Uint8Array, from: number, to: number): V => {
    if (to - from !== size) throw new RangeError(`${name} has ${size} bytes, not ${to - from}`)
    for (let i = 0; i < size; i++) scratch[i] = data[from + i] as number
    return read(view)
  }
  const made: PlacedSerializer<V> = {
    name,
    exact: true,
    encode(value) {
      write(view, value)
      return scratch.slice(0, size)
    },
    decode: (data) => decodeFrom(data, 0, data.length),
    encodeInto(value, target, at) {
      write(view, value)
      for (let i = 0; i < size; i++) target[at + i] = scratch[i] as number
      return at + size
    },
    decodeFrom,
  }
  return [name, made]
}

function asNumber(value: unknown): number {
  if (typeof value === 'number') return value
  throw new TypeError(`${describe(value)} is no number`)
}

function whole(value: unknown, name: string, least: number, most: number): number {
  const number = asNumber(value)
  if (Number.isInteger(number) && number >= least && number <= most) return number
  throw new RangeError(`${describe(value)} does not fit into ${name}`)
}

function wide(value: unknown, name: string, least: bigint, most: bigint): bigint {
  const big = typeof value === 'number' && Number.isSafeInteger(value) ? BigInt(value) : value
  if (typeof big === 'bigint' && big >= least && big <= most) return big
  throw new RangeError(`${describe(value)} does not fit into ${name}`)
}

const SAFE = BigInt(Number.MAX_SAFE_INTEGER)
const narrow = (big: bigint): number | bigint => (big >= -SAFE && big <= SAFE ? Number(big) : big)

/**
 * The serializers of numbers, by name. `f32` rounds to what it can hold; the others refuse what they can't. `i64` and
 * `u64` take safe integers and bigints, and give numbers up to 2^53−1 and bigints beyond.
 */
export const numbers = new Map<string, PlacedSerializer<never>>(
  [
    fixed(
      'f32',
      4,
      (to, value) => to.setFloat32(0, asNumber(value), true),
      (from) => from.getFloat32(0, true),
    ),
    fixed(
      'f64',
      8,
      (to, value) => to.setFloat64(0, asNumber(value), true),
      (from) => from.getFloat64(0, true),
    ),
    fixed(
      'i32',
      4,
      (to, value) => to.setInt32(0, whole(value, 'i32', -(2 ** 31), 2 ** 31 - 1), true),
      (from) => from.getInt32(0, true),
    ),
    fixed(
      'u32',
      4,
      (to, value) => to.setUint32(0, whole(value, 'u32', 0, 2 ** 32 - 1), true),
      (from) => from.getUint32(0, true),
    ),
    fixed(
      'i64',
      8,
      (to, value) => to.setBigInt64(0, wide(value, 'i64', -(1n << 63n), (1n << 63n) - 1n), true),
      (from) => narrow(from.getBigInt64(0, true)),
    ),
    fixed(
      'u64',
      8,
      (to, value) => to.setBigUint64(0, wide(value, 'u64', 0n, (1n << 64n) - 1n), true),
      (from) => fromU64(from.getBigUint64(0, true)),
    ),
  ].map(([name, made]) => [name, made as unknown as PlacedSerializer<never>]),
)
