import { ArgumentError, BufferError } from '../base/errors.js'
import { ByteQueue, type ByteQueueOptions } from './byte-queue.js'
import type { AnyBytes } from './bytes.js'
import { Operation, type ParserInput } from './operation.js'

export { type Need, Operation, type ParserInput, type Reads } from './operation.js'

/** A protocol: an ordinary generator that asks for bytes with `yield*` and emits frames. */
export type Parser<F> = (input: ParserInput<F>) => Iterator<void, void, void>

/** A parser at work on a queue. Whoever feeds the queue says {@link advance}, and in the end {@link end}. */
export class ParserRun<F> {
  readonly operation: Operation<F>
  readonly #parser: Parser<F>
  readonly #queue: ByteQueue
  #iterator: Iterator<void, void, void> | undefined
  #finished = false

  constructor(parser: Parser<F>, queue: ByteQueue, sink?: (frame: F) => void) {
    if (typeof parser !== 'function') throw new ArgumentError('parser', 'a generator function', parser)
    this.#parser = parser
    this.#queue = queue
    this.operation = new Operation(queue, sink)
  }

  /** The parser has returned, thrown, or was stopped. */
  get finished(): boolean {
    return this.#finished
  }

  /**
   * Runs the parser until it waits, is held, or returns. Throws its fault, or `MILL_TRAILING_DATA` when bytes are left
   * after it has returned.
   */
  advance(): void {
    if (!this.#finished) {
      try {
        this.#iterator ??= this.#parser(this.operation as unknown as ParserInput<F>)
        if (this.#iterator.next().done !== true) return
      } catch (error) {
        this.#finished = true
        throw error
      }
      this.#finished = true
    }
    const { length: bytes, offset } = this.#queue
    if (bytes === 0) return
    throw new BufferError('MILL_TRAILING_DATA', `${bytes} bytes after the last message, from byte ${offset} on`, {
      bytes,
      offset,
    })
  }

  /** The input has ended: what waits now gets the end. */
  end(): void {
    this.operation.ended = true
    this.advance()
  }

  /** Ends the generator early: its `finally` blocks run. What they throw has no one to go to. */
  stop(): void {
    if (this.#finished) return
    this.#finished = true
    try {
      this.#iterator?.return?.()
    } catch {
      // The consumer is gone already.
    }
  }
}

/** A parser without a stream: for WebSockets, `onread`, tests and browsers. */
export class FrameParser<F> {
  /** What has been pushed and not been used yet. */
  readonly queue: ByteQueue
  readonly #run: ParserRun<F>

  constructor(parser: Parser<F>, options?: ByteQueueOptions) {
    this.queue = new ByteQueue(options)
    this.#run = new ParserRun<F>(parser, this.queue)
  }

  /** When `push` or `end` threw: the frames that were complete before the fault. */
  get frames(): F[] {
    return this.#run.operation.frames
  }

  /** Adds bytes (see `ByteQueue.append`) and returns the frames that are complete now. Throws the parser's fault. */
  push(data: AnyBytes): F[] {
    if (this.#run.operation.ended)
      throw new BufferError('MILL_TRAILING_DATA', 'push() after end()', { bytes: 0, offset: this.queue.offset })
    this.#run.operation.frames = []
    this.queue.append(data)
    this.#run.advance()
    return this.#take()
  }

  /** No more bytes: returns the last frames. Throws `MILL_UNEXPECTED_END` inside a message. */
  end(): F[] {
    this.#run.operation.frames = []
    this.#run.end()
    return this.#take()
  }

  #take(): F[] {
    const { frames } = this.#run.operation
    this.#run.operation.frames = []
    return frames
  }
}
