import { latin1, utf8 } from '../base/bytes.js'
import { BadRecord } from './bulk-bad.js'
import { JsonFinder } from './bulk-json.js'
import { encodeText, hasEscapes, requireUtf8 } from './bulk-key.js'
import type { Records } from './run-records.js'
import type { ValueCodec } from './values.js'

const QUOTE = 0x22
/** More than stands before a value in its record. */
const HEAD = 8
/** Longer digits can be no number of 64 bits. */
const MOST_DIGITS = 32

/** What a serializer wants to get: text or bytes as they are, JSON as it stands there, a number, or anything. */
type Kind = 'text' | 'bytes' | 'json' | 'number' | 'integer' | 'other'

const KINDS: Record<string, Kind> = {
  string: 'text',
  bytes: 'bytes',
  json: 'json',
  f32: 'number',
  f64: 'number',
  i32: 'number',
  u32: 'number',
  i64: 'integer',
  u64: 'integer',
}

const SIZES: Record<string, number> = { f32: 4, f64: 8, i32: 4, u32: 4, i64: 8, u64: 8 }

/**
 * Writes values of records, by one of the built-in serializers: behind a key of `keyLength` bytes at `records.keyAt`,
 * and commits the record. All throw {@link BadRecord}, `MILL_SERIALIZE`, `MILL_TOO_LARGE`.
 */
export class ValueField {
  readonly #values: ValueCodec<unknown>
  readonly #kind: Kind
  /** Bytes of a number; undefined: any. */
  readonly #size: number | undefined
  readonly #json = new JsonFinder([])

  constructor(values: ValueCodec<unknown>) {
    const { name } = values.serializer
    this.#values = values
    this.#kind = KINDS[name] ?? 'other'
    this.#size = SIZES[name]
  }

  /** Text as it stands there: the digits of a number, JSON, or a string. */
  text(source: Uint8Array, from: number, to: number, keyLength: number, records: Records): void {
    switch (this.#kind) {
      case 'bytes':
        this.payload(source, from, to, keyLength, records)
        break
      case 'text':
        requireText(source, from, to)
        this.payload(source, from, to, keyLength, records)
        break
      case 'json':
        this.#json.find(source, from, to)
        if (this.#json.beyondAscii) requireUtf8(source, from, to)
        this.payload(source, from, to, keyLength, records)
        break
      case 'number':
      case 'integer':
        this.value(this.#number(source, from, to), keyLength, records)
        break
      default:
        requireText(source, from, to)
        this.value(utf8(source, from, to), keyLength, records)
    }
  }

  /**
   * A value of JSON that has been looked through. `json` keeps it as it stands there; `string` and `bytes` take what a
   * string says, and of anything else its JSON.
   */
  json(source: Uint8Array, from: number, to: number, keyLength: number, records: Records): void {
    switch (this.#kind) {
      case 'json':
        this.payload(source, from, to, keyLength, records)
        break
      case 'text':
      case 'bytes': {
        const quoted = source[from] === QUOTE
        if (quoted && hasEscapes(source, from, to)) this.#unescaped(source, from, to, keyLength, records)
        else this.payload(source, quoted ? from + 1 : from, quoted ? to - 1 : to, keyLength, records)
        break
      }
      case 'number':
      case 'integer':
        this.value(this.#number(source, from, to), keyLength, records)
        break
      default:
        this.value(JSON.parse(utf8(source, from, to)), keyLength, records)
    }
  }

  /** Bytes: as they are where the serializer's own are such, or else as a value that is bytes. */
  bytes(source: Uint8Array, from: number, to: number, keyLength: number, records: Records): void {
    switch (this.#kind) {
      case 'other':
        this.value(source.slice(from, to), keyLength, records)
        return
      case 'number':
      case 'integer':
        if (to - from !== this.#size) throw new BadRecord(`the value has ${to - from} bytes, not ${this.#size}`)
        break
      case 'text':
        requireUtf8(source, from, to)
        break
      case 'json':
        this.text(source, from, to, keyLength, records)
        return
    }
    this.payload(source, from, to, keyLength, records)
  }

  /** Bytes that the serializer would have made. */
  payload(source: Uint8Array, from: number, to: number, keyLength: number, records: Records): void {
    records.reserve(keyLength + HEAD + to - from, keyLength)
    const { bytes, keyAt } = records
    const at = keyAt + keyLength
    const end = this.#values.wrapInto(source, from, to, bytes, keyAt, keyLength, bytes, at)
    records.commit(keyLength, end - at)
  }

  value(value: unknown, keyLength: number, records: Records): void {
    const { keyAt } = records
    const at = keyAt + keyLength
    for (;;) {
      const { bytes } = records
      const end = this.#values.encodeInto(value, bytes, keyAt, keyLength, bytes, at)
      if (end <= bytes.length) {
        // The next record begins at a multiple of 4, which may be behind the end of the memory.
        records.reserve(end - keyAt, end - keyAt)
        records.commit(keyLength, end - at)
        return
      }
      records.reserve(end - keyAt, keyLength)
    }
  }

  #unescaped(source: Uint8Array, from: number, to: number, keyLength: number, records: Records): void {
    const bytes = encodeText(JSON.parse(utf8(source, from, to)) as string)
    this.payload(bytes, 0, bytes.length, keyLength, records)
  }

  #number(source: Uint8Array, from: number, to: number): number | bigint {
    const text = to - from <= MOST_DIGITS ? latin1(source, from, to) : ''
    const whole = this.#kind === 'integer'
    let digits = 0
    for (let i = 0; i < text.length; i++) {
      const char = text[i] as string
      if (char >= '0' && char <= '9') digits++
      else if (whole ? !(char === '-' && i === 0) : !'+-.eE'.includes(char)) digits = Number.NaN
    }
    if (!(digits > 0)) throw new BadRecord('the value is no number in digits')
    if (whole) return BigInt(text)
    const number = Number(text)
    if (Number.isNaN(number)) throw new BadRecord('the value is no number in digits')
    return number
  }
}

function requireText(source: Uint8Array, from: number, to: number): void {
  for (let i = from; i < to; i++) {
    if ((source[i] as number) > 0x7f) {
      requireUtf8(source, i, to)
      return
    }
  }
}
