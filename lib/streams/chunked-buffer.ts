import type { DuplexOf } from '../../types/source.js'
import { type AnyBytes, type ByteQueue, Bytes } from '../buffer/index.js'
import { BufferFlow, type ChunkedBufferOptions } from './buffer-flow.js'
import type { AsyncReader } from './reader.js'
import { isAnyBytes } from './shape.js'

export type { ChunkedBufferOptions } from './buffer-flow.js'

/** The queue's verbs on the stream: forwards, after which the waiting parser, reader or consumer is served. */
export type QueueVerbs = Pick<
  ByteQueue,
  | 'length'
  | 'append'
  | 'extend'
  | 'getChunk'
  | 'chunkWritten'
  | 'take'
  | 'takeExact'
  | 'takeUntil'
  | 'takeLine'
  | 'takeLines'
  | 'takeInteger'
  | 'skip'
  | 'skipIfStartsWith'
  | 'peek'
  | 'find'
  | 'at'
>

/**
 * A byte stream with a {@link ByteQueue} inside. Pipe anything into it; with a parser, frames come out of its readable
 * side, one by one or in batches. Without one, the bytes wait for whoever comes: the queue's verbs, `reader`, or the
 * readable side, which passes them through from its first use on.
 */
export interface ChunkedBuffer<F = Uint8Array> extends DuplexOf<AnyBytes, F>, QueueVerbs {
  /** The bytes that have come in and have not been taken. After a fault it still has the rest. */
  readonly queue: ByteQueue
  /** Await the bytes you need. One operation at a time; errors are rejections. */
  readonly reader: AsyncReader
}

/** The verbs: forwards to the queue, after which whoever waits is served. */
class ChunkedBufferStream extends BufferFlow {
  static merge(parts: Iterable<AnyBytes>): Bytes {
    return Bytes.merge(parts)
  }

  get reader(): AsyncReader {
    return this._reader as unknown as AsyncReader
  }

  get length(): number {
    return this.queue.length
  }

  // ---- bytes come in --------------------------------------------------------------------------------------------------

  /** Like `queue.append`; does not wait: look at `writableNeedDrain`. */
  append(data: AnyBytes): void {
    this._beforeFeed()
    this.queue.append(data)
    this._afterFeed()
  }

  extend(data: AnyBytes | Iterable<AnyBytes>): void {
    this._beforeFeed()
    this.queue.extend(data)
    this._afterFeed()
  }

  getChunk(sizeHint?: number): Uint8Array {
    this._beforeFeed()
    return this.queue.getChunk(sizeHint)
  }

  /** After `destroy()` the bytes are dropped: a kernel that was reading into the chunk may report at any time. */
  chunkWritten(count: number): void {
    this.queue.chunkWritten(count)
    this._afterFeed()
  }

  // ---- bytes go out ---------------------------------------------------------------------------------------------------

  take(count?: number): Bytes {
    this.#own()
    return this.#served(this.queue.take(count))
  }

  takeExact(count: number): Bytes | undefined {
    this.#own()
    return this.#served(this.queue.takeExact(count))
  }

  takeUntil(...args: Parameters<ByteQueue['takeUntil']>): Bytes | undefined {
    this.#own()
    return this.#served(this.queue.takeUntil(...args))
  }

  takeLine(options?: { keepEnd?: boolean }): Bytes | undefined {
    this.#own()
    return this.#served(this.queue.takeLine(options))
  }

  takeLines(encoding?: 'utf8' | 'latin1'): string[] {
    this.#own()
    return this.#served(this.queue.takeLines(encoding))
  }

  takeInteger(...args: Parameters<ByteQueue['takeInteger']>): number | undefined {
    this.#own()
    return this.#served(this.queue.takeInteger(...args))
  }

  skip(count?: number): number {
    this.#own()
    return this.#served(this.queue.skip(count))
  }

  skipIfStartsWith(...args: Parameters<ByteQueue['skipIfStartsWith']>): boolean | undefined {
    this.#own()
    return this.#served(this.queue.skipIfStartsWith(...args))
  }

  peek(count?: number): Bytes {
    return this.queue.peek(count)
  }

  find(...args: Parameters<ByteQueue['find']>): number {
    return this.queue.find(...args)
  }

  at(index: number): number | undefined {
    return this.queue.at(index)
  }

  /** Without a parser and before the readable side is used, bytes go back into the queue, where the verbs find them. */
  override unshift(item: unknown): void {
    if (this._run !== undefined || this._mode !== 0 || this._finished || this.destroying || !isAnyBytes(item))
      super.unshift(item)
    else this.queue._putBack(item)
  }

  /** Throws if the bytes belong to a parser, to a pending operation or to the readable side. */
  #own(): void {
    this._beforeRead()
    this._checkReader()
  }

  #served<R>(result: R): R {
    this._afterRead()
    return result
  }
}

/** The constructor of {@link ChunkedBuffer}; it can be extended. */
export interface ChunkedBufferConstructor {
  new <F = Uint8Array>(options?: ChunkedBufferOptions<F>): ChunkedBuffer<F>
  /** All parts as one, nothing copied; same as `Bytes.merge`. */
  merge(parts: Iterable<AnyBytes>): Bytes
  readonly prototype: ChunkedBuffer<unknown>
}

/** See {@link ChunkedBufferConstructor}; the type of the same name is what it makes. */
export const ChunkedBuffer = ChunkedBufferStream as unknown as ChunkedBufferConstructor
