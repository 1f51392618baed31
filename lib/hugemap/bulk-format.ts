import { indexOfByte } from '../base/bytes.js'
import { BadRecord } from './bulk-bad.js'
import { JsonFinder } from './bulk-json.js'
import type { JsonPath } from './bulk-json-path.js'
import { type KeyField, requireUtf8 } from './bulk-key.js'
import type { Format } from './bulk-messages.js'
import type { RecordFunction } from './bulk-module.js'
import type { ValueField } from './bulk-value.js'
import { type Records, wordsOf } from './run-records.js'

const TAB = 9
/** Bytes that a loop looks through before the native search is worth its call. */
const NEAR = 32
const LENGTH_BYTES = 8

/** Encodes records of one format. */
export interface RecordFormat {
  /**
   * Appends what the bytes from `from` to `to` say to `records`; false: nothing, on purpose. Throws {@link BadRecord} and
   * errors of ours for what doesn't fit, and has then appended nothing.
   */
  add(bytes: Uint8Array, from: number, to: number, records: Records): boolean
}

/** The reader of records that a format asks for, with fields for the map's keys and values. */
export function formatOf(
  format: Format,
  keys: KeyField,
  values: ValueField,
  record: RecordFunction | undefined,
): RecordFormat {
  switch (format.type) {
    case 'tsv':
      return new Tsv(keys, values)
    case 'json':
      return new JsonLine(keys, values, format.key, format.value, format.exactly)
    case 'bin':
      return new Bin(keys, values)
    case 'records':
      return encodedRecords()
    case 'module':
      return new ByFunction(keys, values, record as RecordFunction)
  }
}

/** Records that were encoded elsewhere: no codec is needed. */
export function encodedRecords(): RecordFormat {
  return new Encoded()
}

/** key TAB value. */
class Tsv implements RecordFormat {
  readonly #keys: KeyField
  readonly #values: ValueField

  constructor(keys: KeyField, values: ValueField) {
    this.#keys = keys
    this.#values = values
  }

  add(bytes: Uint8Array, from: number, to: number, records: Records): boolean {
    const tab = findTab(bytes, from, to)
    if (tab < 0) throw new BadRecord('there is no TAB')
    const keyLength = this.#keys.text(bytes, from, tab, records)
    this.#values.text(bytes, tab + 1, to, keyLength, records)
    return true
  }
}

function findTab(bytes: Uint8Array, from: number, to: number): number {
  const near = from + NEAR < to ? from + NEAR : to
  for (let i = from; i < near; i++) if (bytes[i] === TAB) return i
  // Of this line only: a search through all that follows would be quadratic in lines without a TAB.
  const found = near < to ? indexOfByte(bytes.subarray(near, to), TAB, 0) : -1
  return found < 0 ? -1 : near + found
}

/** JSON, with key and value somewhere in it. */
class JsonLine implements RecordFormat {
  readonly #keys: KeyField
  readonly #values: ValueField
  readonly #finder: JsonFinder
  readonly #exactly: number | undefined

  constructor(keys: KeyField, values: ValueField, key: JsonPath, value: JsonPath, exactly: number | undefined) {
    this.#keys = keys
    this.#values = values
    this.#finder = new JsonFinder([key, value])
    this.#exactly = exactly
  }

  add(bytes: Uint8Array, from: number, to: number, records: Records): boolean {
    const finder = this.#finder
    finder.find(bytes, from, to)
    if (finder.beyondAscii) requireUtf8(bytes, from, to)
    if (this.#exactly !== undefined && finder.elements !== this.#exactly) {
      throw new BadRecord(`it is no array of ${this.#exactly}`)
    }
    const { starts, ends } = finder
    if ((starts[0] as number) < 0) throw new BadRecord('there is no key')
    if ((starts[1] as number) < 0) throw new BadRecord('there is no value')
    const keyLength = this.#keys.json(bytes, starts[0] as number, ends[0] as number, records)
    this.#values.json(bytes, starts[1] as number, ends[1] as number, keyLength, records)
    return true
  }
}

/** u64 length, key, u64 length, value; whole and within limits. */
class Bin implements RecordFormat {
  readonly #keys: KeyField
  readonly #values: ValueField

  constructor(keys: KeyField, values: ValueField) {
    this.#keys = keys
    this.#values = values
  }

  add(bytes: Uint8Array, from: number, to: number, records: Records): boolean {
    const keyFrom = from + LENGTH_BYTES
    const keyTo = keyFrom + new DataView(bytes.buffer, bytes.byteOffset + from, 4).getUint32(0, true)
    const keyLength = this.#keys.bytes(bytes, keyFrom, keyTo, records)
    this.#values.bytes(bytes, keyTo + LENGTH_BYTES, to, keyLength, records)
    return true
  }
}

/** Takes them as they are. */
class Encoded implements RecordFormat {
  #words: Uint32Array = new Uint32Array(0)

  add(bytes: Uint8Array, from: number, _to: number, records: Records): boolean {
    if (this.#words.buffer !== bytes.buffer) this.#words = wordsOf(bytes)
    records.copy(this.#words, from >>> 2)
    return true
  }
}

/** A line as a function of the user's makes of it. */
class ByFunction implements RecordFormat {
  readonly #keys: KeyField
  readonly #values: ValueField
  readonly #record: RecordFunction

  constructor(keys: KeyField, values: ValueField, record: RecordFunction) {
    this.#keys = keys
    this.#values = values
    this.#record = record
  }

  add(bytes: Uint8Array, from: number, to: number, records: Records): boolean {
    let pair: unknown
    try {
      // A copy: the function may keep it.
      pair = this.#record(bytes.slice(from, to))
    } catch (cause) {
      throw new BadRecord(`the function threw: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
    }
    if (pair === undefined) return false
    if (!Array.isArray(pair) || pair.length !== 2) throw new BadRecord('the function gave no [key, value]')
    const keyLength = this.#keys.value(pair[0], records)
    this.#values.value(pair[1], keyLength, records)
    return true
  }
}
