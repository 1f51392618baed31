/**
 * What a map can have as keys, unless it was given a codec of its own. Tuples nest. Order: numbers < bigints < strings <
 * bytes < tuples; numbers and bigints by value, strings by code point, bytes and tuples element by element, the shorter
 * first. `1` and `1n` are two keys; `-0` is `0`.
 */
export type Key = number | bigint | string | Uint8Array | readonly Key[]

/**
 * Keys to bytes and back, such that the bytes sort (as `memcmp` does: byte by byte, unsigned, a prefix first) the way
 * the keys sort. Two keys are the same exactly if their bytes are.
 */
export interface KeyCodec<K> {
  /** Tells codecs apart; written down in the map's folder, and compared when it is opened. */
  readonly name: string
  /** The bytes; never none. Throws `MILL_BAD_KEY` for what is no key. */
  encode(key: K): Uint8Array
  /** The key, sharing no memory with `data`. Throws `MILL_BAD_KEY` for bytes that are no key of this codec. */
  decode(data: Uint8Array): K
  /**
   * Writes the bytes into `target` from `at` on and returns where they end: a result above `target.length` means that
   * there was not enough room, and that `target` may have been written to in part. Spares a buffer per key.
   */
  encodeInto?(key: K, target: Uint8Array, at: number): number
}
