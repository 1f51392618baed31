import { BufferError } from '../base/errors.js'
import type { ByteQueue } from './byte-queue.js'
import { SHOWN, show } from './show.js'

/** An operation needs more than the queue may ever hold. */
export function bufferFull({ length, maxLength: limit }: ByteQueue, needed: number): BufferError {
  const message = `An operation needs ${needed} bytes; the limit is ${limit}`
  return new BufferError('MILL_BUFFER_FULL', message, { length, needed, limit })
}

/** The input ended before an operation had all it needs. */
export function unexpectedEnd({ offset, length: available }: ByteQueue, needed: number): BufferError {
  const message = `The input ended at byte ${offset + available} inside an operation that needs ${needed} bytes from byte ${offset} on`
  return new BufferError('MILL_UNEXPECTED_END', message, { needed, available, offset })
}

/** Other bytes are there than had to be. The error has copies of both, 32 bytes at most: memory may be used again. */
export function unexpectedBytes(queue: ByteQueue, wanted: Uint8Array): BufferError {
  const expected = new Uint8Array(wanted.subarray(0, SHOWN))
  const bytes = queue.peek(Math.min(wanted.length, SHOWN))
  const found = bytes.copy()
  bytes.release()
  const { offset } = queue
  const message = `Expected ${show(expected)} at byte ${offset}, found ${show(found)}`
  return new BufferError('MILL_UNEXPECTED_BYTES', message, { expected, found, offset })
}

/** So many bytes have come, and no end. */
export function tooLong({ offset }: ByteQueue, limit: number): BufferError {
  const message = `More than ${limit} bytes without an end, from byte ${offset} on`
  return new BufferError('MILL_TOO_LONG', message, { limit, offset })
}
