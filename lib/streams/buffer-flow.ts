import type { Duplex as NodeDuplex } from 'node:stream'
import { checkSignal } from '../base/abort.js'
import { isMillraceError, StreamError } from '../base/errors.js'
import { type AnyBytes, ByteQueue, type ByteQueueOptions, Bytes, type Parser } from '../buffer/index.js'
import { Operation, ParserRun } from '../buffer/parser.js'
import { nodeFace, readSide } from './face.js'
import { type Callback, DuplexMachine, followPipes, ignore, prematureClose, type WriteMachine } from './machine.js'
import { Outbox } from './outbox.js'
import { Reader } from './reader.js'
import { ITEM_WEIGHT, isAnyBytes, unsupportedItem, weigh } from './shape.js'
import type { Tap } from './tap.js'
import { type WebReadOptions, webReadable, webWritable } from './web.js'
import { writeAfterEnd } from './write-face.js'

/** Bytes a ChunkedBuffer may hold: what one peer on the network can make you keep. */
const MAX_LENGTH = 2 ** 26

/** How a ChunkedBuffer parses and how much it may hold; and all options of its queue. */
export interface ChunkedBufferOptions<F> extends ByteQueueOptions {
  /** Makes frames of the bytes; they come out of the readable side. Without one the bytes themselves do. */
  parser?: Parser<F>
  /**
   * How much may have come in and not gone out before writers are made to wait. Bytes; an unread frame counts the
   * bytes it was made of, at least 64. Default 65,536.
   */
  highWaterMark?: number
  /** Destroys the buffer with `signal.reason`. */
  signal?: AbortSignal
}

const DuplexFace = readSide(DuplexMachine) as unknown as new (
  options: object,
) => InstanceType<ReturnType<typeof readSide>> & WriteMachine

/**
 * How bytes go through a ChunkedBuffer: written or fed into its queue, worked on by parser or reader, handed to the readable
 * side, with the marks that make writers wait. What users see on top of it is in `chunked-buffer.ts`.
 */
export class BufferFlow extends DuplexFace {
  readonly queue: ByteQueue
  readonly _run: ParserRun<unknown> | undefined
  readonly _reader: Reader
  readonly #operation: Operation<never>
  /** What was written although `write()` had said to wait. Only writers who do not listen make it grow. */
  readonly #backlog = new Outbox<AnyBytes>()
  #needDrain = false
  #ended = false
  /** The end has been reached: whatever is in the queue is all there will be. */
  #inputOver = false
  #byVerbs = false
  #readerTells = false
  #framedTo = 0
  #flowing = false
  #again = false
  #final: Callback | undefined

  constructor(options: ChunkedBufferOptions<unknown> = {}) {
    const { parser, signal, highWaterMark, ...queue } = options
    checkSignal(signal)
    super({ highWaterMark })
    this._mark ||= 1
    this.queue = new ByteQueue({ ...queue, maxLength: queue.maxLength ?? MAX_LENGTH })
    this.#operation = new Operation<never>(this.queue, ignore)
    this._reader = new Reader(this.#operation, this)
    if (parser !== undefined) this._run = new ParserRun<unknown>(parser, this.queue, (frame) => this.#onFrame(frame))
    this._carriesBytes = parser === undefined
    followPipes(this)
    this._bind(signal)
  }

  override get writable(): boolean {
    return !this.#ended && !this.destroying
  }

  get writableNeedDrain(): boolean {
    return this.#needDrain && !this.#ended && !this.destroying
  }

  // ---- bytes come in ----------------------------------------------------------------------------------------------

  override write(item: unknown): boolean {
    if (this.destroying) return false
    if (this.#ended) return this.#refuse(writeAfterEnd())
    if (this._complete) return false // a fault waits behind frames that are still unread
    if (!isAnyBytes(item)) return this.#refuse(unsupportedItem(item, 'bytes or a string here'))
    if (this.#backlog.size > 0 || !this.#hasRoom()) this.#backlog.add(item, weigh(item))
    else this.#take(item)
    return this.#askToWait()
  }

  #refuse(error: StreamError): false {
    this.destroy(error)
    return false
  }

  #askToWait(): boolean {
    if (this.#backlog.size === 0 && this.#hasRoom()) return true
    this.#needDrain = true
    return false
  }

  /** Under the mark, or somebody waits for bytes that have not come: then the mark is lifted, or all would wait for ever. */
  #hasRoom(): boolean {
    if (this.queue.length + this._outbox.weight < this._mark) return true
    if (this._outbox.size > 0) return false
    return this._run === undefined ? this._reader.pending : !this._run.finished
  }

  #take(item: AnyBytes): void {
    this.#append(item)
    this.#flow()
  }

  /** With a parser, what it uses up makes room: how the input is cut must not matter, only what is held at once. */
  #append(item: AnyBytes): void {
    const { queue } = this
    try {
      queue.append(item)
    } catch (error) {
      const room = queue.maxLength - queue.length
      if (this._run === undefined || room <= 0 || !isMillraceError(error, 'MILL_BUFFER_FULL')) {
        this._fail(error)
        return
      }
      const bytes = Bytes.from(item)
      queue.append(bytes.slice(0, room))
      this.#backlog.putBack(bytes.slice(room), bytes.length - room)
    }
  }

  override end(item?: unknown): this {
    if (typeof item === 'function') this.once('finish', item as () => void)
    else if (item !== undefined && item !== null) this.write(item)
    if (this.#ended) return this
    this.#ended = true
    super.end()
    this.#flow()
    return this
  }

  override _final(done: Callback): void {
    this.#final = done
    this.#flow()
  }

  /** Bytes that were written earlier come earlier. */
  _beforeFeed(): void {
    if (this.#ended) throw writeAfterEnd()
    while (this.#backlog.size > 0) {
      const item = this.#backlog.shift() as AnyBytes
      try {
        this.queue.append(item)
      } catch (error) {
        this.#backlog.putBack(item, weigh(item))
        throw error
      }
    }
  }

  _afterFeed(): void {
    if (this.destroying) {
      if (!this.#failedByInput()) this.queue.clear()
      return
    }
    this.#flow()
    this.#askToWait()
  }

  // ---- and are worked through ---------------------------------------------------------------------------------------

  /** Parser, reader and readable side get what there is; then whoever was made to wait may go on. */
  #flow(): void {
    if (this.#flowing) {
      this.#again = true
      return
    }
    this.#flowing = true
    do {
      this.#again = false
      this.#work()
      while (this.#backlog.size > 0 && this._fault === undefined && !this.destroying && this.#hasRoom()) {
        this.#append(this.#backlog.shift() as AnyBytes)
        this.#work()
      }
      if (this.#ended && !this.#inputOver && this.#backlog.size === 0) {
        this.#inputOver = true
        this.#operation.ended = true
        if (this._run !== undefined) this._run.operation.ended = true
        this.#again = true
      }
    } while (this.#again)
    this.#flowing = false
    this.#release()
  }

  #work(): void {
    if (this.destroying || this._complete) return
    if (this._run !== undefined) this.#parse(this._run)
    else if (this._reader.pending) this._reader.retry()
    else if (this._mode !== 0) this.#pour()
    if (this._run === undefined && this.#inputOver && this.queue.length === 0) {
      this._finish()
      if (this.#byVerbs) this._settle()
    }
  }

  #parse(run: ParserRun<unknown>): void {
    run.operation.held = this._outbox.weight >= this._mark
    try {
      run.advance()
    } catch (error) {
      this._fail(error)
      return
    }
    if (run.finished && this.#inputOver) this._finish()
  }

  #onFrame(frame: unknown): void {
    const { offset } = this.queue
    const weight = offset - this.#framedTo
    this.#framedTo = offset
    const room = this._offer(frame, weight < ITEM_WEIGHT ? ITEM_WEIGHT : weight)
    // One huge write must not become a heap of frames.
    if (!room && this._run !== undefined) this._run.operation.held = true
  }

  #pour(): void {
    if (this.queue.length === 0) return
    for (const chunk of this.queue.take().chunks()) this._offer(chunk)
  }

  /** Answers writers who wait: `'drain'`, and the end of `end()`. */
  #release(): void {
    if (this.destroying) return
    const over = this.#inputOver && this._fault === undefined && (this._run === undefined || this._run.finished)
    if (over) {
      const final = this.#final
      this.#final = undefined
      final?.(null)
    }
    if (!this.#needDrain || this.#ended || this.#backlog.size > 0 || !this.#hasRoom()) return
    this.#needDrain = false
    queueMicrotask(() => {
      if (!this.destroying) this.emit('drain')
    })
  }

  override _pull(): void {
    this.#flow()
  }

  override _eased(): void {
    this.#flow()
  }

  _beforeRead(): void {
    if (this._run !== undefined || this._mode !== 0) {
      const who = this._run === undefined ? 'its readable side' : 'its parser'
      throw new StreamError('MILL_ALREADY_READING', `The bytes of this buffer go to ${who}`)
    }
    if (this._failure !== undefined && !this._finished && !this.#failedByInput()) {
      throw this._failure.error ?? prematureClose()
    }
  }

  /** Bytes were taken by a verb, or asked for by the reader: that one rejects with the stream's error, a verb cannot. */
  _afterRead(byReader = false): void {
    this.#byVerbs = true
    if (byReader && !this.#readerTells) {
      this.#readerTells = true
      this.on('error', ignore)
    }
    this.#flow()
  }

  #failedByInput(): boolean {
    return this._fault !== undefined && this._failure?.error === this._fault
  }

  override _claim(): Tap<unknown> {
    this._checkReader()
    return super._claim()
  }

  override _useEvents(): void {
    this._checkReader()
    super._useEvents()
  }

  _checkReader(): void {
    if (this._reader?.pending) {
      throw new StreamError('MILL_ALREADY_READING', 'An operation of reader is waiting for these bytes')
    }
  }

  // ---- the end ------------------------------------------------------------------------------------------------------

  override _predestroy(): void {
    super._predestroy()
    if (this._reader.pending) this._reader.fail(this._failure?.error ?? prematureClose())
    this._run?.stop()
    this.#backlog.clear()
    // After a fault of the input the rest stays to be looked at; after everything else the memory is let go.
    if (!this.#failedByInput()) this.queue.clear()
    const final = this.#final
    this.#final = undefined
    final?.(null)
  }

  override toNode(options?: { objectMode?: boolean }): NodeDuplex {
    if (nodeFace.duplex === undefined) return super.toNode(options) as NodeDuplex
    return nodeFace.duplex(this, options)
  }

  override toWeb(options?: WebReadOptions): { readable: ReadableStream<unknown>; writable: WritableStream<unknown> } {
    return { readable: webReadable(this._claim(), options), writable: webWritable(this) }
  }
}
