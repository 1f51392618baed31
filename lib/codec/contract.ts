// What the files of this room know of each other: types only, so that no import goes in a circle.

import type { Serializer } from '../../types/codec.js'

/** A serializer that also works in place, which spares a buffer per value. All built-in ones do. */
export interface PlacedSerializer<V> extends Serializer<V> {
  /**
   * What `decode` gives equals what was encoded, by the way it is made (what doesn't fit is refused, and rounding is what
   * was asked for): nobody has to compare.
   */
  readonly exact: boolean
  /**
   * Writes the bytes into `target` from `at` on and returns where they end. A result above `target.length` says how much
   * room it needs; `target` may then have been written to in part.
   */
  encodeInto(value: V, target: Uint8Array, at: number): number
  /** The value in the bytes from `from` to `to`, sharing no memory with `data`. */
  decodeFrom(data: Uint8Array, from: number, to: number): V
}

/** Encodes and decodes many values that are kept together, and what they share apart from them. */
export interface Session<V> {
  /** The bytes of a value: a view that is valid until the next call. Throws what the serializer throws. */
  encode(value: V): Uint8Array
  /** The value in these bytes, sharing no memory with them. Throws what the serializer throws. */
  decode(data: Uint8Array, from: number, to: number): V
  /** What a new session needs to decode what this one has encoded so far. */
  dictionary(): Uint8Array
}

/** A new session, for values that were encoded with this dictionary, or for none yet. Throws for what is no dictionary. */
export type Sessions<V> = (dictionary?: Uint8Array) => Session<V>
