// biome-ignore lint/suspicious/noTsIgnore: an error only in a browser's project, which has no types of Node
/** @ts-ignore */
import type { Duplex as NodeDuplex } from 'node:stream'
import type { DuplexOf } from '../../types/source.js'
import type { StreamError } from '../base/errors.js'
import { nodeFace, readSide } from '../streams/face.js'
import { type Callback, DuplexMachine, followPipes, prematureClose, type WriteMachine } from '../streams/machine.js'
import { Outbox } from '../streams/outbox.js'
import { unsupportedItem } from '../streams/shape.js'
import { type WebReadOptions, webReadable, webWritable } from '../streams/web.js'
import { writeAfterEnd } from '../streams/write-face.js'

/** Bytes of output that may wait for a reader: room for a few large values, not for many. */
export const MARK = 2 ** 20
/** Bytes an entry counts besides those of its value. */
export const ENTRY_BYTES = 64

/**
 * A duplex stream that takes no strings. Node declares what is written to a stream in the middle of `pipeline()` as
 * strings or bytes; the second signatures satisfy that, and nobody can call them.
 */
export interface NoStrings<I, O> extends DuplexOf<I, O> {
  write(item: I): boolean
  write(item: never): boolean
  end(item?: I | (() => void)): this
  end(item: never): this
}

const DuplexFace = readSide(DuplexMachine) as unknown as new (
  options: object,
) => InstanceType<ReturnType<typeof readSide>> & WriteMachine

interface Waiting {
  resolve(): void
  reject(error: unknown): void
}

/**
 * A duplex stream that works on its input item by item, synchronously as long as it can, and may have more to give when
 * the input has ended: what writers and parsers of MapBuffers extend. It is no transform, whose flush could not wait for
 * its reader.
 *
 * Who writes is made to wait as soon as an item is still being worked on: what came in small pieces would otherwise lie
 * about in thousands while a file is written to, which costs more memory than it saves time. (With a backlog of 1 MiB
 * V8's young generation grew to four times the size, and garbage with it.)
 */
export abstract class Stage<I> extends DuplexFace {
  /** What was written although `write()` had said to wait. */
  readonly #backlog = new Outbox<I>()
  #needDrain = false
  #opened = false
  /** An item, the opening or the end is being worked on. */
  #busy = false
  #ended = false
  #closing = false
  #accepted = false
  #final: Callback | undefined
  #waiting: Waiting | undefined

  constructor() {
    super({ highWaterMark: MARK })
    followPipes(this)
  }

  // ---- for subclasses, which call _bind(signal) last in their constructor -----------------------------------------

  /** Before the first item, or the end. */
  _begin(): Promise<void> | undefined {
    return undefined
  }

  /** Works on an item; a promise if the next one has to wait. What it throws ends the stream. */
  abstract _accept(item: I): Promise<void> | undefined

  /** The input has ended: the last checks. `'finish'` comes after it. */
  abstract _close(): Promise<void>

  /** Gives out what is left; the end comes after it. */
  abstract _give(): Promise<void>

  /** Undefined if there is room for output, else a promise of it. Throws or rejects when the stream is destroyed. */
  _space(): Promise<void> | undefined {
    if (this.destroying) throw prematureClose()
    if (this._outbox.weight < this._mark) return undefined
    return new Promise<void>((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  // ---- items come in ------------------------------------------------------------------------------------------------

  override get writable(): boolean {
    return !this.#ended && !this.destroying
  }

  get writableNeedDrain(): boolean {
    return this.#needDrain && !this.#ended && !this.destroying
  }

  override write(item: unknown): boolean {
    if (this.destroying) return false
    if (this.#ended) return this.#refuse(writeAfterEnd())
    if (this._complete) return false // a fault waits behind items that are still unread
    if (item === null || item === undefined) return this.#refuse(unsupportedItem(item))
    if (this.#busy || !this.#opened || this.#backlog.size > 0) {
      this.#backlog.add(item as I, 1)
      this.#work()
    } else {
      this.#take(item as I)
      if (this.#backlog.size > 0) this.#work()
    }
    if (!this.#busy) return !this.destroying
    this.#needDrain = true
    return false
  }

  #refuse(error: StreamError): false {
    this.destroy(error)
    return false
  }

  override end(item?: unknown): this {
    if (typeof item === 'function') this.once('finish', item as () => void)
    else if (item !== undefined && item !== null) this.write(item)
    if (this.#ended) return this
    this.#ended = true
    super.end()
    this.#work()
    return this
  }

  override _final(done: Callback): void {
    if (this.#accepted) done(null)
    else this.#final = done
  }

  // ---- and are worked on --------------------------------------------------------------------------------------------

  #work(): void {
    if (!this.#opened && !this.#open()) return
    while (!this.#busy && this.#backlog.size > 0 && !this.destroying && !this._complete) {
      this.#take(this.#backlog.shift() as I)
    }
    if (this.#busy || this.destroying || this._complete) return
    if (this.#ended && !this.#closing) {
      this.#closing = true
      this.#busy = true
      void this.#last()
    } else {
      this.#askForMore()
    }
  }

  #open(): boolean {
    this.#opened = true
    const opening = this._begin()
    if (opening === undefined) return true
    this.#wait(opening)
    return false
  }

  #take(item: I): void {
    // An item may be code of the user's, a serializer, that writes to this very stream.
    this.#busy = true
    try {
      const turn = this._accept(item)
      if (turn === undefined) this.#busy = false
      else this.#wait(turn)
    } catch (error) {
      this._fail(error)
    }
  }

  #wait(turn: Promise<void>): void {
    this.#busy = true
    turn.then(this.#onward, this.#onFault)
  }

  readonly #onward = (): void => {
    this.#busy = false
    this.#work()
  }

  readonly #onFault = (error: unknown): void => this._fail(error)

  async #last(): Promise<void> {
    try {
      await this._close()
      this.#accepted = true
      this.#answerFinal()
      await this._give()
      this._finish()
    } catch (error) {
      this._fail(error)
    }
  }

  #answerFinal(): void {
    const final = this.#final
    this.#final = undefined
    final?.(null)
  }

  #askForMore(): void {
    if (!this.#needDrain || this.#ended) return
    this.#needDrain = false
    queueMicrotask(() => {
      if (!this.destroying) this.emit('drain')
    })
  }

  // ---- output goes out ----------------------------------------------------------------------------------------------

  /** Takes an output item in. Throws when the stream has been destroyed: then nobody may find anything any more. */
  override _offer(item: unknown, weight?: number): boolean {
    if (this.destroying) throw prematureClose()
    return super._offer(item, weight)
  }

  override _pull(): void {
    this.#grant()
  }

  override _eased(): void {
    this.#grant()
  }

  #grant(): void {
    if (this._outbox.weight >= this._mark) return
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.resolve()
  }

  override _predestroy(): void {
    super._predestroy()
    this.#backlog.clear()
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.reject(prematureClose())
    this.#answerFinal()
  }

  override toNode(options?: { objectMode?: boolean }): NodeDuplex {
    if (nodeFace.duplex === undefined) return super.toNode(options) as NodeDuplex
    return nodeFace.duplex(this, options)
  }

  override toWeb(options?: WebReadOptions): { readable: ReadableStream<unknown>; writable: WritableStream<unknown> } {
    return { readable: webReadable(this._claim(), options), writable: webWritable(this) }
  }
}
