import type { Delimiter } from '../../types/bytes.js'
import type { ByteQueue } from './byte-queue.js'
import type { Bytes } from './bytes.js'

/** What a parser can ask for. Each operation waits until it can be answered. */
export interface Reads {
  /** True: at least one byte is there. False: the input has ended, here. */
  more(): boolean
  /** Exactly `count` bytes; zero-copy. */
  take(count: number): Bytes
  /** Like take, consumes nothing. */
  peek(count: number): Bytes
  /** Drops exactly `count` bytes; they are never held all at once. */
  skip(count: number): void
  /** Up to the delimiter, which is taken too and dropped unless `include`. `MILL_TOO_LONG` when more than `max` bytes come before it. */
  until(delimiter: Delimiter, options?: { include?: boolean; max?: number }): Bytes
  /** Up to LF; a CR right before it goes with it. The last one needs no LF; undefined: the input has ended. */
  line(options?: { keepEnd?: boolean; max?: number }): Bytes | undefined
  /** A whole number in text, then `until` ('\r\n'). `MILL_BAD_NUMBER`. */
  integer(until?: Delimiter, radix?: 10 | 16): number
  /** These very bytes, or `MILL_UNEXPECTED_BYTES`. */
  expect(bytes: Delimiter): void
  /** One byte. */
  uint8(): number
  /** Two bytes, unsigned, most significant first. */
  uint16BE(): number
  /** Two bytes, unsigned, least significant first. */
  uint16LE(): number
  /** Four bytes, unsigned, most significant first. */
  uint32BE(): number
  /** Four bytes, unsigned, least significant first. */
  uint32LE(): number
  /** Eight bytes, unsigned, most significant first. */
  bigUint64BE(): bigint
  /** Eight bytes, unsigned, least significant first. */
  bigUint64LE(): bigint
  /** Unsigned LEB128 up to 2^53-1. `MILL_BAD_NUMBER`. */
  varint(): number
  /** Everything up to the end of the input. */
  rest(): Bytes
}

/** What `yield*` takes: it waits for the operation and is its answer. */
export interface Need<T> {
  [Symbol.iterator](): Iterator<void, T, void>
}

/** What a parser gets: operations to `yield*`, and where frames go. */
export type ParserInput<F> = { [K in keyof Reads]: (...args: Parameters<Reads[K]>) => Need<ReturnType<Reads[K]>> } & {
  /** Gives a frame to the consumer. `null` and `undefined` cannot travel: `MILL_UNSUPPORTED_ITEM`. */
  emit(frame: F): void
  /** Position of the next byte since the beginning of the input. */
  readonly offset: number
  /** To look at; take from it only through the operations. */
  readonly queue: ByteQueue
}
