import { type AnyBytes, BufferError, Bytes, type Parser } from 'millrace'

/** How the length is written before each message: four bytes, high byte first, or LEB128 as in protobuf. */
export interface LengthPrefixOptions {
  prefix?: 'u32' | 'varint'
  /** Longest message, in bytes: a longer one is refused when its length is read, before a byte of it. Default 2^24. */
  maxLength?: number
}

/**
 * Messages that come with their length before them. Throws `MILL_TOO_LONG`, for a varint beyond 2^53-1
 * `MILL_BAD_NUMBER`, and when the input ends inside a message `MILL_UNEXPECTED_END`.
 */
export function lengthPrefixed({ prefix = 'u32', maxLength = 2 ** 24 }: LengthPrefixOptions = {}): Parser<Bytes> {
  return function* (input) {
    while (yield* input.more()) {
      const offset = input.offset
      const length = prefix === 'u32' ? yield* input.uint32BE() : yield* input.varint()
      if (length > maxLength) throw tooLong(length, maxLength, offset)
      input.emit(yield* input.take(length))
    }
  }
}

/** A message with its length before it; the message is pointed at, not copied. Throws `MILL_TOO_LONG`. */
export function encode(message: AnyBytes, { prefix = 'u32', maxLength = 2 ** 24 }: LengthPrefixOptions = {}): Bytes {
  const body = Bytes.from(message)
  const limit = prefix === 'u32' ? Math.min(maxLength, 2 ** 32 - 1) : maxLength
  if (body.length > limit) throw tooLong(body.length, limit, 0)
  return Bytes.merge([prefix === 'u32' ? uint32(body.length) : varint(body.length), body])
}

function uint32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  // Not with shifts: they cut to 32 bits.
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128)
  return Uint8Array.of(...bytes, value)
}

function tooLong(length: number, limit: number, offset: number): BufferError {
  const message = `a message of ${length} bytes at offset ${offset}: the limit is ${limit}`
  return new BufferError('MILL_TOO_LONG', message, { limit, needed: length, offset })
}
