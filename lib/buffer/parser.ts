import { ArgumentError, BufferError, isMillraceError } from '../base/errors.js'
import { ByteQueue, type ByteQueueOptions } from './byte-queue.js'
import { type AnyBytes, Bytes } from './bytes.js'
import { Operation } from './operation.js'
import type { ParserInput } from './reads.js'

export { Operation } from './operation.js'
export type { Need, ParserInput, Reads } from './reads.js'

/** A protocol: an ordinary generator that asks for bytes with `yield*` and emits frames. */
export type Parser<F> = (input: ParserInput<F>) => Iterator<void, void, void>

const RUNNING = 0
const RETURNED = 1
const STOPPED = 2
const FAILED = 3

/** A parser at work on a queue. Whoever feeds the queue says {@link advance}, and in the end {@link end}. */
export class ParserRun<F> {
  readonly operation: Operation<F>
  readonly #parser: Parser<F>
  readonly #queue: ByteQueue
  #iterator: Iterator<void, void, void> | undefined
  #state: number = RUNNING
  #fault: unknown

  constructor(parser: Parser<F>, queue: ByteQueue, sink?: (frame: F) => void) {
    if (typeof parser !== 'function') throw new ArgumentError('parser', 'a generator function', parser)
    this.#parser = parser
    this.#queue = queue
    this.operation = new Operation(queue, sink)
  }

  /** The parser has returned, thrown, or was stopped. */
  get finished(): boolean {
    return this.#state !== RUNNING
  }

  /**
   * Runs the parser until it waits, is held, or returns. Throws its fault, the same one each time, or
   * `MILL_TRAILING_DATA` when bytes are left after it has returned.
   */
  advance(): void {
    if (this.#state === RUNNING) this.#step()
    if (this.#state === FAILED) throw this.#fault
    const { length: bytes, offset } = this.#queue
    if (this.#state !== RETURNED || bytes === 0) return
    throw new BufferError('MILL_TRAILING_DATA', `${bytes} bytes after the last message, from byte ${offset} on`, {
      bytes,
      offset,
    })
  }

  #step(): void {
    try {
      this.#iterator ??= iterated(this.#parser, this.operation as unknown as ParserInput<F>)
      const { done, value } = this.#iterator.next() as IteratorResult<unknown>
      // Whoever got a frame may have stopped the parser while it was running.
      if (this.#state === STOPPED) this.#close()
      else if (done === true) this.#state = RETURNED
      else if (value !== undefined) throw new ArgumentError('parser', 'written with yield*, never with yield', value)
    } catch (error) {
      this.fail(error)
    }
  }

  /** The parser cannot go on: from now on {@link advance} throws this. */
  fail(error: unknown): void {
    this.#state = FAILED
    this.#fault = error
    this.#close()
  }

  /** The input has ended: what waits now gets the end. */
  end(): void {
    this.operation.ended = true
    this.advance()
  }

  /** Ends the generator early: its `finally` blocks run. What they throw has no one to go to. */
  stop(): void {
    if (this.#state !== RUNNING) return
    this.#state = STOPPED
    this.operation.held = true // its next operation suspends it, if it is running now
    this.#close()
  }

  #close(): void {
    try {
      this.#iterator?.return?.()
    } catch {
      // From its `finally`. The fault that ended it came first, or the consumer is gone: nobody is left to be told.
    }
  }
}

function iterated<F>(parser: Parser<F>, input: ParserInput<F>): Iterator<void, void, void> {
  const iterator = parser(input) as Partial<Iterator<void, void, void>> | undefined
  if (typeof iterator?.next === 'function' && !(Symbol.asyncIterator in iterator)) {
    return iterator as Iterator<void, void, void>
  }
  throw new ArgumentError('parser', 'a generator function, and not an async one', parser)
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

  /**
   * Adds bytes (see `ByteQueue.append`) and returns the frames that are complete now. Throws the parser's fault, from
   * then on each time, and `MILL_BUFFER_FULL` when more than `maxLength` bytes wait for the rest of a message.
   */
  push(data: AnyBytes): F[] {
    const run = this.#run
    if (run.operation.ended) {
      const { length: bytes } = Bytes.from(data)
      throw new BufferError('MILL_TRAILING_DATA', 'push() after end()', { bytes, offset: this.queue.offset })
    }
    // Those before a fault; else there are none, and an array less is made for each piece.
    if (run.operation.frames.length > 0) run.operation.frames = []
    if (run.finished) run.advance() // after a fault nothing more is held
    try {
      this.queue.append(data)
    } catch (error) {
      if (run.finished || !isMillraceError(error, 'MILL_BUFFER_FULL')) throw error
      this.#pushInPieces(Bytes.from(data))
    }
    run.advance()
    return this.#take()
  }

  /** What the parser uses up makes room: how the input is cut must not matter, only what has to be held at once. */
  #pushInPieces(data: Bytes): void {
    for (let at = 0; at < data.length; ) {
      const room = this.queue.maxLength - this.queue.length
      const piece = room > 0 ? data.slice(at, at + room) : data.slice(at)
      try {
        this.queue.append(piece)
      } catch (error) {
        this.#run.fail(error)
        return
      }
      at += piece.length
      piece.release()
      this.#run.advance()
    }
    data.release()
  }

  /** No more bytes: returns the last frames. Throws `MILL_UNEXPECTED_END` inside a message, and as {@link push}. */
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
