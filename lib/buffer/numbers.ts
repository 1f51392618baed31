import type { Delimiter } from '../../types/bytes.js'
import { latin1 } from '../base/bytes.js'
import { ArgumentError, BufferError } from '../base/errors.js'
import type { Bytes } from './bytes.js'
import { delimiterBytes } from './find.js'
import { SHOWN, show } from './show.js'

/** What numbers are taken from, namely a `ByteQueue`: said by what is needed of it, for it needs this file. */
interface Digits {
  readonly length: number
  readonly offset: number
  at(index: number): number | undefined
  find(delimiter: Delimiter, start?: number, end?: number): number
  peek(count: number): Bytes
  skip(count: number): number
}

/** Bytes within which a number in text must meet its end. */
const TEXT = 32

/** An unsigned integer of 1 to 4 bytes, or undefined when they are not there yet. */
export function uint(
  queue: Pick<Digits, 'length' | 'at' | 'skip'>,
  size: 1 | 2 | 4,
  little: boolean,
): number | undefined {
  if (queue.length < size) return undefined
  let value = 0
  for (let i = 0; i < size; i++) value = value * 256 + (queue.at(little ? size - 1 - i : i) as number)
  queue.skip(size)
  return value
}

/** Unsigned LEB128, least significant group first: 7 bits a byte, the eighth says that more follow. */
export function parseVarint(queue: Digits): number | undefined {
  let value = 0
  let scale = 1
  for (let i = 0; i < 8; i++) {
    const byte = queue.at(i)
    if (byte === undefined) return undefined
    value += (byte & 127) * scale
    scale *= 128
    if (byte < 128) {
      if (value > Number.MAX_SAFE_INTEGER) throw badNumber(queue, i + 1)
      queue.skip(i + 1)
      return value
    }
  }
  throw badNumber(queue, 8)
}

/** The careful way: any end, any radix, over any borders. */
export function parseInteger(queue: Digits, until: Delimiter, radix: 10 | 16): number | undefined {
  if (radix !== 10 && radix !== 16) throw new ArgumentError('radix', '10 or 16', radix)
  const { length } = delimiterBytes(until, 'until')
  if (length === 0) throw new ArgumentError('until', 'not empty', until)
  const limit = TEXT + length - 1
  const digits = queue.find(until, 0, limit)
  if (digits === -1) {
    if (queue.length < limit) return undefined
    throw badNumber(queue, TEXT)
  }
  const value = integerOf(queue, digits, radix)
  if (value === undefined) throw badNumber(queue, digits)
  queue.skip(digits + length)
  return value
}

function integerOf(queue: Digits, count: number, radix: number): number | undefined {
  const sign = queue.at(0)
  let i = sign === 43 || sign === 45 ? 1 : 0
  if (i >= count) return undefined
  let value = 0
  for (; i < count; i++) {
    const digit = digitOf(queue.at(i) as number)
    if (digit >= radix) return undefined
    value = value * radix + digit
    if (value > Number.MAX_SAFE_INTEGER) return undefined
  }
  return sign === 45 && value !== 0 ? -value : value
}

/** 0 to 15, or 99 for what is no digit. */
function digitOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const letter = byte | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : 99
}

function badNumber(queue: Digits, count: number): BufferError {
  const bytes = queue.peek(Math.min(count, SHOWN))
  const found = bytes.copy()
  bytes.release()
  const { offset } = queue
  return new BufferError('MILL_BAD_NUMBER', `No whole number at byte ${offset}: ${show(found)}`, {
    offset,
    text: latin1(found),
  })
}
