import type { Key } from '../../types/key.js'
import type { StoreError } from '../base/errors.js'
import { badKey, readUtf8, writeUtf8 } from './key-text.js'

/** What a key of any type begins with. The gaps are for types to come; within a tuple `00` ends, so none is 0. */
const NUMBER = 0x20
const BIGINT = 0x28
const STRING = 0x30
const BYTES = 0x38
/** Of the type of a tuple. */
export const TUPLE = 0x40

/** Behind the tag of a bigint: this plus the bytes of its magnitude, minus them for negative ones. */
const ZERO_LENGTH = 0x80
const MOST_MAGNITUDE = 127
/** No key of an engine holds more levels; a tuple that holds itself has no end. */
const MOST_DEPTH = 2048

const float = new Float64Array(1)
const halves = new Uint32Array(float.buffer)
/** Which half of a float64 holds its sign: that depends on the machine. */
const HIGH = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1 ? 1 : 0

/**
 * Writes a key of any type into `target` from `at` on and returns where it ends, which may be behind the end of
 * `target`: what has no room is not written. Throws `MILL_BAD_KEY`.
 */
export function encodeTagged(key: Key, target: Uint8Array, at: number): number {
  if (typeof key !== 'string') return encodeElement(key, target, at, 0)
  target[at] = STRING
  return writeUtf8(key, target, at + 1)
}

/** @param depth how many tuples it is in: within one, strings and bytes have an end, and so have tuples within tuples */
function encodeElement(key: Key, target: Uint8Array, at: number, depth: number): number {
  switch (typeof key) {
    case 'number':
      return encodeNumber(key, target, at)
    case 'bigint':
      return encodeBigint(key, target, at)
    case 'string': {
      target[at] = STRING
      const end = writeUtf8(key, target, at + 1, true)
      target[end] = 0
      return end + 1
    }
    case 'object':
      if (Array.isArray(key)) return encodeTuple(key, target, at, depth)
      if (key instanceof Uint8Array) return encodeBytes(key, target, at, depth > 0)
  }
  throw badKey('it must be a number, a bigint, a string, bytes or an array of such', key)
}

function encodeNumber(key: number, target: Uint8Array, at: number): number {
  if (Number.isNaN(key)) throw badKey('NaN has no place in an order', key)
  // Adding makes -0 to 0.
  float[0] = key + 0
  let high = halves[HIGH] as number
  let low = halves[1 - HIGH] as number
  if (high >>> 31 === 0) high ^= 0x8000_0000
  else {
    high = ~high
    low = ~low
  }
  target[at] = NUMBER
  for (let i = 4; i > 0; i--, high >>>= 8, low >>>= 8) {
    target[at + i] = high
    target[at + 4 + i] = low
  }
  return at + 9
}

function encodeBigint(key: bigint, target: Uint8Array, at: number): number {
  const negative = key < 0n
  let rest = negative ? -key : key
  let length = 0
  for (let left = rest; left > 0n; left >>= 8n) {
    if (++length > MOST_MAGNITUDE) throw badKey(`a bigint has at most ${MOST_MAGNITUDE} bytes`, key)
  }
  target[at] = BIGINT
  target[at + 1] = negative ? ZERO_LENGTH - length : ZERO_LENGTH + length
  for (let i = at + 1 + length; i > at + 1; i--, rest >>= 8n) {
    const byte = Number(rest & 255n)
    target[i] = negative ? ~byte : byte
  }
  return at + 2 + length
}

function encodeBytes(key: Uint8Array, target: Uint8Array, at: number, ended: boolean): number {
  target[at] = BYTES
  let to = at + 1
  if (!ended) {
    if (to + key.length <= target.length) target.set(key, to)
    return to + key.length
  }
  for (let i = 0; i < key.length; i++) {
    target[to++] = key[i] as number
    if (key[i] === 0) target[to++] = 0xff
  }
  target[to] = 0
  return to + 1
}

function encodeTuple(key: readonly Key[], target: Uint8Array, at: number, depth: number): number {
  if (depth === MOST_DEPTH) throw badKey(`tuples nest at most ${MOST_DEPTH} deep`, key)
  target[at] = TUPLE
  let to = at + 1
  for (let i = 0; i < key.length; i++) to = encodeElement(key[i] as Key, target, to, depth + 1)
  if (depth === 0) return to
  target[to] = 0
  return to + 1
}

/** Reads keys; `at` is where it stands. Takes only what {@link encodeTagged} writes, so that a key has one form. */
class TaggedReader {
  readonly #data: Uint8Array
  at = 0

  constructor(data: Uint8Array) {
    this.#data = data
  }

  fail(reason: string): StoreError {
    return badKey(reason, this.#data)
  }

  element(depth: number): Key {
    switch (this.#data[this.at++]) {
      case NUMBER:
        return this.#number()
      case BIGINT:
        return this.#bigint()
      case STRING:
        return readUtf8(this.#raw(depth > 0))
      case BYTES:
        return this.#raw(depth > 0).slice()
      case TUPLE:
        return this.#tuple(depth)
      default:
        throw this.fail(`no such type at byte ${this.at - 1}`)
    }
  }

  #number(): number {
    const at = this.at
    this.at += 8
    if (this.at > this.#data.length) throw this.fail('it is cut short')
    let high = 0
    let low = 0
    for (let i = 0; i < 4; i++) {
      high = (high << 8) | (this.#data[at + i] as number)
      low = (low << 8) | (this.#data[at + 4 + i] as number)
    }
    if (high < 0) high ^= 0x8000_0000
    else {
      high = ~high
      low = ~low
    }
    halves[HIGH] = high
    halves[1 - HIGH] = low
    const value = float[0] as number
    if (Number.isNaN(value) || Object.is(value, -0)) throw this.fail('no number has these bytes')
    return value
  }

  #bigint(): bigint {
    const length = (this.#data[this.at++] ?? 0) - ZERO_LENGTH
    const from = this.at
    this.at += Math.abs(length)
    if (this.at > this.#data.length || length === -ZERO_LENGTH) throw this.fail('it is cut short')
    const flip = length < 0 ? 0xff : 0
    if (length !== 0 && this.#data[from] === flip) throw this.fail('no bigint has these bytes')
    let value = 0n
    for (let i = from; i < this.at; i++) value = (value << 8n) | BigInt((this.#data[i] as number) ^ flip)
    return length < 0 ? -value : value
  }

  /** The bytes of a string or of bytes: to their end within a tuple, else all there are. May be a view. */
  #raw(ended: boolean): Uint8Array {
    const data = this.#data
    const from = this.at
    if (!ended) {
      this.at = data.length
      return data.subarray(from)
    }
    let end = data.indexOf(0, from)
    if (end !== -1 && data[end + 1] !== 0xff) {
      this.at = end + 1
      return data.subarray(from, end)
    }
    const found = new Uint8Array(data.length - from)
    let length = 0
    let copied = from
    while (end !== -1 && data[end + 1] === 0xff) {
      found.set(data.subarray(copied, end + 1), length)
      length += end + 1 - copied
      copied = end + 2
      end = data.indexOf(0, copied)
    }
    if (end === -1) throw this.fail('it is cut short')
    found.set(data.subarray(copied, end), length)
    this.at = end + 1
    return found.subarray(0, length + end - copied)
  }

  #tuple(depth: number): Key[] {
    if (depth === MOST_DEPTH) throw this.fail(`tuples nest at most ${MOST_DEPTH} deep`)
    const data = this.#data
    const list: Key[] = []
    for (;;) {
      if (this.at >= data.length) {
        if (depth > 0) throw this.fail('it is cut short')
        return list
      }
      if (depth > 0 && data[this.at] === 0) {
        this.at++
        return list
      }
      list.push(this.element(depth + 1))
    }
  }
}

/** The key that {@link encodeTagged} made these bytes of; shares no memory with them. Throws `MILL_BAD_KEY`. */
export function decodeTagged(data: Uint8Array): Key {
  if (data[0] === STRING) return readUtf8(data, 1)
  const reader = new TaggedReader(data)
  const key = reader.element(0)
  if (reader.at !== data.length) throw reader.fail('bytes are left over')
  return key
}
