import { BufferError, type Bytes } from 'millrace'
import { NIL, RespError, type RespValue, RespVerbatim } from './values.js'

/** The type bytes of the protocol. */
export const Type = {
  simple: 0x2b, // +
  error: 0x2d, // -
  integer: 0x3a, // :
  bulk: 0x24, // $
  array: 0x2a, // *
  null: 0x5f, // _
  boolean: 0x23, // #
  double: 0x2c, // ,
  bigNumber: 0x28, // (
  bulkError: 0x21, // !
  verbatim: 0x3d, // =
  map: 0x25, // %
  set: 0x7e, // ~
  attribute: 0x7c, // |
  push: 0x3e, // >
  part: 0x3b, // ;
  end: 0x2e, // .
} as const

/** `?` in place of a length: the parts follow, and then an end mark. */
export const UNKNOWN_LENGTH = 0x3f

/** Longest line of a simple string, an error or a number, in bytes. Redis cuts its inline requests at the same length. */
export const MAX_LINE = 65536

const MAX_DIGITS = 4096
const INT64_MAX = 2n ** 63n - 1n

/** The value of a line (without its type and its end) that starts at `offset`. */
export function scalar(type: number, text: string, offset: number): RespValue {
  switch (type) {
    case Type.simple:
      return text
    case Type.error:
      return new RespError(text)
    case Type.integer:
      return integer(text, offset)
    case Type.bigNumber:
      if (!isInteger(text) || text.length > MAX_DIGITS) throw badNumber(text, offset)
      return BigInt(text)
    case Type.double:
      return double(text, offset)
    case Type.boolean:
      if (text === 't') return true
      if (text === 'f') return false
      break
    case Type.null:
      if (text === '') return NIL
      break
  }
  throw new BufferError('MILL_UNEXPECTED_BYTES', `unexpected text after the type at offset ${offset - 1}`, { offset })
}

/** What follows a type byte: nothing known, a line, a length and as many bytes, a count and as many values, the end mark. */
export const Kind = { unknown: 0, line: 1, string: 2, aggregate: 3, end: 4 } as const

/** The kind of each of the 256 possible type bytes. */
export const kinds = new Uint8Array(256)
for (const type of [Type.simple, Type.error, Type.integer, Type.null, Type.boolean, Type.double, Type.bigNumber]) {
  kinds[type] = Kind.line
}
for (const type of [Type.bulk, Type.bulkError, Type.verbatim]) kinds[type] = Kind.string
for (const type of [Type.array, Type.map, Type.set, Type.attribute, Type.push]) kinds[type] = Kind.aggregate
kinds[Type.end] = Kind.end

/** A declared length of a string, checked before a byte of it is awaited; `room` bytes are left to the reply. */
export function checkLength(length: number, room: number, offset: number): void {
  if (length < 0 || length === Number.POSITIVE_INFINITY) throw badNumber(String(length), offset)
  if (length > room) throw tooLong('a string', room, offset)
}

/** The value of a string that came with its length. */
export function stringValue(type: number, body: Bytes, offset: number): RespValue {
  if (type === Type.bulk) return body
  if (type === Type.bulkError) return new RespError(body.toString())
  if (body.at(3) !== 0x3a) throw unexpected('a format of three letters and a colon', body.at(3) ?? 0, offset)
  return new RespVerbatim(body.slice(0, 3).toString('latin1'), body.slice(4))
}

/** An error for a byte that cannot stand where it stands. */
export function unexpected(wanted: string, byte: number, offset: number): BufferError {
  const found = Uint8Array.of(byte)
  const hex = byte.toString(16).padStart(2, '0')
  return new BufferError('MILL_UNEXPECTED_BYTES', `expected ${wanted} at offset ${offset}, found 0x${hex}`, {
    found,
    offset,
  })
}

/** An error for text that is no number, or none that may stand there. */
export function badNumber(text: string, offset: number): BufferError {
  const short = text.slice(0, 32)
  return new BufferError('MILL_BAD_NUMBER', `no valid number at offset ${offset}: ${JSON.stringify(short)}`, {
    offset,
    text: short,
  })
}

/** An error for more than a limit allows. */
export function tooLong(what: string, limit: number, offset: number): BufferError {
  return new BufferError('MILL_TOO_LONG', `${what} at offset ${offset}: the limit is ${limit}`, { limit, offset })
}

function integer(text: string, offset: number): number | bigint {
  if (!isInteger(text) || text.length > 32) throw badNumber(text, offset)
  const value = Number(text)
  if (Number.isSafeInteger(value)) return value + 0 // '-0' is 0
  const exact = BigInt(text)
  if (exact > INT64_MAX || exact < -INT64_MAX - 1n) throw badNumber(text, offset)
  return exact
}

/** An optional sign, then digits and nothing else. `Number` and `BigInt` alone accept blanks, `0x10` and ''. */
function isInteger(text: string): boolean {
  let at = text[0] === '-' || text[0] === '+' ? 1 : 0
  if (at === text.length) return false
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x30 || code > 0x39) return false
  }
  return true
}

function double(text: string, offset: number): number {
  if (text === 'inf' || text === '+inf') return Number.POSITIVE_INFINITY
  if (text === '-inf') return Number.NEGATIVE_INFINITY
  if (text === 'nan') return Number.NaN
  const value = text === '' ? Number.NaN : Number(text)
  for (const character of text) if (!'0123456789+-.eE'.includes(character)) throw badNumber(text, offset)
  if (Number.isNaN(value)) throw badNumber(text, offset)
  return value
}
