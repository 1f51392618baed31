import { isUtf8 } from 'node:buffer'
import { latin1, utf8 } from '../base/bytes.js'
import { BadRecord } from './bulk-bad.js'
import type { KeyCoder } from './key-coder.js'
import type { Records } from './run-records.js'

/** What a text begins with as a key of the codec `any`. */
const STRING_TAG = 0x30
/** What bytes begin with there. */
const BYTES_TAG = 0x38
const QUOTE = 0x22
const BACKSLASH = 0x5c
const U64_BYTES = 8
const U64_LIMIT = 1n << 64n
/** 2^64 has so many digits. */
const U64_DIGITS = 20

const encoder = new TextEncoder()

/** Throws {@link BadRecord} for what is no UTF-8. */
export function requireUtf8(bytes: Uint8Array, from: number, to: number): void {
  if (!isUtf8(bytes.subarray(from, to))) throw new BadRecord('it is no UTF-8')
}

/** Throws {@link BadRecord} for lone surrogates, which JSON can name and UTF-8 can't hold. */
export function encodeText(text: string): Uint8Array {
  if (!(text as string & { isWellFormed(): boolean }).isWellFormed()) {
    throw new BadRecord('half of a surrogate pair has no UTF-8')
  }
  return encoder.encode(text)
}

/** Has it a backslash? */
export function hasEscapes(bytes: Uint8Array, from: number, to: number): boolean {
  for (let i = from; i < to; i++) if (bytes[i] === BACKSLASH) return true
  return false
}

/** A JSON number with a fraction, or none that is exact. */
function isInexact(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(isInexact)
  return Number.isInteger(value) && !Number.isSafeInteger(value)
}

/**
 * Writes keys of records, by one of the built-in codecs: at `records.keyAt`, where room for the longest is made. The
 * result is how many bytes. All throw {@link BadRecord}, or `MILL_BAD_KEY`.
 */
export class KeyField {
  readonly #coder: KeyCoder<unknown>
  readonly #name: string
  readonly #tag: boolean

  constructor(coder: KeyCoder<unknown>) {
    this.#coder = coder
    this.#name = coder.codec.name
    this.#tag = this.#name === 'any'
  }

  /** Text as it stands there. For `u64`: digits. */
  text(source: Uint8Array, from: number, to: number, records: Records): number {
    if (this.#name === 'u64') return this.value(digitsOf(source, from, to), records)
    return this.#copy(source, from, to, records, STRING_TAG, this.#name !== 'bytes')
  }

  /** A JSON string, number or array. `u64` takes the digits of a string too. */
  json(source: Uint8Array, from: number, to: number, records: Records): number {
    if (source[from] === QUOTE) {
      if (!hasEscapes(source, from + 1, to - 1)) return this.text(source, from + 1, to - 1, records)
      const text = JSON.parse(utf8(source, from, to)) as string
      if (this.#name === 'any' || this.#name === 'string') return this.value(text, records)
      const bytes = encodeText(text)
      return this.text(bytes, 0, bytes.length, records)
    }
    if (this.#name === 'u64') return this.value(digitsOf(source, from, to), records)
    const value = JSON.parse(utf8(source, from, to)) as unknown
    if (isInexact(value)) throw new BadRecord('the key is a number that a double can not hold exactly')
    return this.value(value, records)
  }

  /** Bytes: as such a key; for `string` they are its UTF-8, for `u64` eight of them, little-endian. */
  bytes(source: Uint8Array, from: number, to: number, records: Records): number {
    if (this.#name !== 'u64') return this.#copy(source, from, to, records, BYTES_TAG, this.#name === 'string')
    if (to - from !== U64_BYTES) throw new BadRecord(`a u64 has 8 bytes, not ${to - from}`)
    records.reserve(this.#coder.most)
    for (let i = 0; i < U64_BYTES; i++) records.bytes[records.keyAt + i] = source[to - 1 - i] as number
    return U64_BYTES
  }

  value(key: unknown, records: Records): number {
    records.reserve(this.#coder.most)
    const at = records.keyAt
    return this.#coder.encodeInto(key, records.bytes, at) - at
  }

  #copy(source: Uint8Array, from: number, to: number, records: Records, tag: number, text: boolean): number {
    const length = to - from + (this.#tag ? 1 : 0)
    const { most } = this.#coder
    if (length > most) throw new BadRecord(`the key is too long: ${length} bytes, of at most ${most}`)
    if (length === 0) throw new BadRecord('the key is empty')
    records.reserve(most)
    const target = records.bytes
    let at = records.keyAt
    if (this.#tag) target[at++] = tag
    let all = 0
    for (let i = from; i < to; i++) {
      const byte = source[i] as number
      all |= byte
      target[at++] = byte
    }
    if (text && all > 0x7f) requireUtf8(source, from, to)
    return length
  }
}

/** An unsigned integer in decimal, as a bigint where a number would not do. */
function digitsOf(source: Uint8Array, from: number, to: number): number | bigint {
  const length = to - from
  let number = 0
  for (let i = from; i < to; i++) {
    const digit = (source[i] as number) - 0x30
    if (digit < 0 || digit > 9) throw new BadRecord('the key must be a number in digits')
    number = number * 10 + digit
  }
  if (length === 0) throw new BadRecord('the key is empty')
  if (number <= Number.MAX_SAFE_INTEGER) return number
  const big = length > U64_DIGITS ? U64_LIMIT : BigInt(latin1(source, from, to))
  if (big >= U64_LIMIT) throw new BadRecord('the key must be below 2^64')
  return big
}
