import { onAbort } from '../base/abort.js'
import { StreamError } from '../base/errors.js'
import { asError, type Callback, closed, followPipes, ignore, translate, WriteMachine } from './machine.js'
import { OURS, unsupportedItem } from './shape.js'
import { webWritable } from './web.js'

/**
 * The face of every stream of ours that can only be written to, on top of a streamx machine. A subclass says what becomes
 * of items (`_writev`) and of their end (`_final`), and calls {@link _bind} last in its constructor.
 */
export abstract class WriteFace extends WriteMachine {
  #forgetSignal: () => void = ignore
  #needDrain = false
  #ended = false
  _failure: { readonly error: Error | undefined } | undefined = undefined

  /** @param mark what may wait before `write()` returns false, as `weigh` counts it */
  constructor(mark: number | undefined, weigh: (item: unknown) => number) {
    super({ highWaterMark: mark, byteLength: weigh })
    this.on('drain', () => {
      this.#needDrain = false
    })
    followPipes(this)
  }

  /** Ends the stream with the signal's reason. */
  _bind(signal: AbortSignal | undefined): void {
    this.#forgetSignal = onAbort(signal, (reason) => this.destroy(asError(reason)))
  }

  /** The stream closes: what there is to let go of. A promise is waited for before `'close'`. */
  _stop(): PromiseLike<unknown> | undefined {
    return undefined
  }

  get [OURS](): boolean {
    return true
  }

  override get writable(): boolean {
    return !this.#ended && !this.destroying
  }

  get writableNeedDrain(): boolean {
    return this.#needDrain && !this.#ended && !this.destroying
  }

  // Node's pipeline() asks these, as of a stream that can be read.
  get closed(): boolean {
    return this.destroyed
  }

  get errored(): Error | null {
    return this._failure?.error ?? null
  }

  get writableErrored(): Error | null {
    return this.errored
  }

  override write(item: unknown): boolean {
    if (item === null || item === undefined) {
      this.destroy(unsupportedItem(item))
      return false
    }
    if (this.#ended && !this.destroying) {
      this.destroy(writeAfterEnd())
      return false
    }
    const room = super.write(item)
    if (!room) this.#needDrain = true
    return room
  }

  override end(item?: unknown): this {
    if (item !== undefined && item !== null && typeof item !== 'function') this.write(item)
    this.#ended = true
    return super.end(typeof item === 'function' ? item : undefined)
  }

  override destroy(error?: Error | null): void {
    if (this.destroying) return
    this._failure = { error: translate(error) }
    super.destroy(this._failure.error)
  }

  override _destroy(done: Callback): void {
    this.#forgetSignal()
    const stopped = this._stop()
    if (stopped === undefined) done(null)
    else {
      stopped.then(
        () => done(null),
        () => done(null),
      )
    }
  }

  toWeb(): WritableStream<unknown> {
    return webWritable(this)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.destroying) this.destroy()
    await closed(this)
  }
}

/** `write()` after `end()`: the item would be lost without a word. */
export function writeAfterEnd(): StreamError {
  return new StreamError('MILL_WRITE_AFTER_END', 'write() after end()')
}
