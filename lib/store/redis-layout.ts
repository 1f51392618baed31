import { crc32c } from '../base/crc32c.js'

/** What is kept of a map besides its entries. */
export interface RedisMap {
  /** Number that the cluster knows it by; never used twice. */
  readonly id: number
  readonly partitions: number
  readonly partitionBy: 'key' | 'first'
}

/** The keys of a part of a map, on one node: its hash from key to record, a sorted set of the keys, and its gate. */
export type PartKeys = [hash: string, order: string, gate: string]

export function partKeys(prefix: string, id: number, part: number): PartKeys {
  const tag = `{${prefix}:${id.toString(36)}:${part.toString(36)}}`
  return [`${tag}h`, `${tag}z`, `${tag}g`]
}

/** Which part a key lies in. */
export function partOf({ partitions, partitionBy }: RedisMap, key: Uint8Array): number {
  const deciding = partitionBy === 'first' && key[0] === TUPLE ? key.subarray(0, elementEnd(key, 1)) : key
  return crc32c(deciding) % partitions
}

// The codec 'any' (see lib/codec/keys.ts): a byte that names the type, then the value.
const NUMBER = 0x20
const BIGINT = 0x28
const STRING = 0x30
const BYTES = 0x38
const TUPLE = 0x40
/** The byte that says how many bytes of magnitude a bigint has stands at 0x80 plus or minus that. */
const MIDDLE = 0x80

/** Where the element of a tuple that begins at `at` ends. For what no codec has made: the end. */
function elementEnd(key: Uint8Array, at: number): number {
  switch (key[at]) {
    case NUMBER:
      return Math.min(key.length, at + 9)
    case BIGINT:
      return Math.min(key.length, at + 2 + Math.abs((key[at + 1] ?? MIDDLE) - MIDDLE))
    case STRING:
    case BYTES: {
      let end = at + 1
      while (end < key.length && !(key[end] === 0 && key[end + 1] !== 0xff)) end += key[end] === 0 ? 2 : 1
      return Math.min(key.length, end + 1)
    }
    case TUPLE: {
      let end = at + 1
      while (end < key.length && key[end] !== 0) end = elementEnd(key, end)
      return Math.min(key.length, end + 1)
    }
    default:
      return key.length
  }
}
