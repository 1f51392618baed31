import { BufferError, type ByteQueue, type Bytes, isMillraceError } from 'millrace'

const CR = 13
const QUESTION_MARK = 0x3f

/** `12\r\n`, or `?\r\n`, which is Infinity. Undefined: not all of it is there. Throws `MILL_BAD_NUMBER`. */
export function takeLength(queue: ByteQueue): number | undefined {
  try {
    return queue.takeInteger('\r\n')
  } catch (error) {
    if (!isMillraceError(error, 'MILL_BAD_NUMBER') || queue.at(0) !== QUESTION_MARK) throw error
    // It has come with an end, or is too long for a number: undefined cannot be the answer.
    if (queue.skipIfStartsWith('?\r\n') !== true) throw noLineEnd(queue, 0)
    return Number.POSITIVE_INFINITY
  }
}

/** `length` bytes and the line end after them. Undefined: not all of it is there. */
export function takeBody(queue: ByteQueue, length: number): Bytes | undefined {
  if (queue.length > length && queue.at(length) !== CR) throw noLineEnd(queue, length)
  if (queue.length < length + 2) return undefined
  const body = queue.take(length)
  takeCrLf(queue)
  return body
}

/** The line end. False: not all of it is there. Throws `MILL_UNEXPECTED_BYTES` for anything else. */
export function takeCrLf(queue: ByteQueue): boolean {
  const found = queue.skipIfStartsWith('\r\n')
  if (found === false) throw noLineEnd(queue, 0)
  return found === true
}

function noLineEnd(queue: ByteQueue, at: number): BufferError {
  const offset = queue.offset + at
  const found = queue
    .peek(at + 2)
    .slice(at)
    .copy()
  return new BufferError('MILL_UNEXPECTED_BYTES', `expected a line end at offset ${offset}`, { found, offset })
}
