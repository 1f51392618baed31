import type { Emits } from '../../types/source.js'
import { StreamError } from '../base/errors.js'
import { flatten, plain } from './flatten.js'
import { asError, ignore, prematureClose } from './machine.js'
import { sinkKind } from './shape.js'
import type { Tap } from './tap.js'

/** Somewhere items go: one face for Node, streamx and Web streams and for functions. */
export abstract class Drain {
  /** Called when the sink dies by itself; without an error when it merely closed. */
  onfail: ((error: Error | undefined) => void) | undefined
  protected gone: { readonly error: Error } | undefined
  /** The sink has been ended and has finished: nothing can go wrong any more. */
  protected over = false
  #reject: ((error: Error) => void) | undefined

  /** Writes all items, in order; a promise when the sink wants the next ones to wait. */
  abstract write(items: readonly unknown[]): undefined | Promise<void>
  /** No more items; resolves when the sink has finished. */
  abstract end(): Promise<void>
  /** Destroys the sink. */
  protected abstract destroy(error: Error): void
  /** Lets go of the sink and leaves it open. */
  forget(): void {}

  /** Ends the sink with an error; whoever waits for it gets the error at once. */
  abort(error: Error): void {
    if (this.gone !== undefined || this.over) return
    this.gone = { error }
    this.#reject?.(error)
    this.destroy(error)
  }

  /** The sink's own word that it is dead. */
  protected died(error: Error | undefined): void {
    if (this.gone !== undefined || this.over) return
    this.gone = { error: error ?? prematureClose() }
    this.#reject?.(this.gone.error)
    this.onfail?.(error)
  }

  /** The promise, or the error that ends the sink while it is pending. */
  protected wait(settle: (resolve: () => void, reject: (error: unknown) => void) => void): Promise<void> {
    if (this.gone !== undefined) return Promise.reject(this.gone.error)
    return new Promise<void>((resolve, reject) => {
      this.#reject = reject
      settle(resolve, reject)
    })
  }
}

/** Anything one can write to. Throws `MILL_NOT_A_STREAM`. */
export function drainOf(to: unknown, options?: { loud?: boolean }): Drain {
  switch (sinkKind(to)) {
    case 'web':
      return new WebDrain(to as WritableStream<unknown>)
    case 'function':
      return new FunctionDrain(to as (item: unknown) => unknown)
    default:
      return new EventDrain(to as EventSink, options?.loud === true)
  }
}

interface EventSink extends Emits {
  readonly destroyed?: boolean
  readonly writableEnded?: boolean
  readonly writableFinished?: boolean
  readonly writableObjectMode?: boolean
  readonly errored?: Error | null
  readonly _isStdio?: boolean
  write(item: unknown): boolean
  end(): unknown
  cork?(): void
  uncork?(): void
  destroy?(error?: Error): void
}

class EventDrain extends Drain {
  readonly #to: EventSink
  readonly #loud: boolean
  /** A byte stream of Node's: small pieces are joined before they are written. */
  readonly #bytes: boolean
  #finished = false
  #resume: (() => void) | undefined
  #ended: (() => void) | undefined

  constructor(to: EventSink, loud: boolean) {
    super()
    this.#to = to
    this.#loud = loud
    this.#bytes = to.writableObjectMode === false
    to.on('drain', this.#onDrain)
    to.on('finish', this.#onFinish)
    to.on('error', this.#onError)
    to.on('close', this.#onClose)
  }

  readonly #onDrain = (): void => this.#go()
  readonly #onFinish = (): void => {
    this.#finished = true
    this.#go()
    this.#ended?.()
  }
  readonly #onError = (error: Error): void => {
    this.died(error)
    // Nobody else listens: without us this would have been an uncaught error, and it stays one.
    if (this.#loud && this.#to.listenerCount('error') === 1) throw error
  }
  readonly #onClose = (): void => {
    if (!this.#finished && this.#to.writableFinished !== true) this.died(this.#to.errored ?? undefined)
    this.forget()
    this.#to.off('error', ignore)
  }

  #go(): void {
    const resume = this.#resume
    this.#resume = undefined
    resume?.()
  }

  #drained(): Promise<void> {
    return this.wait((resolve) => {
      this.#resume = resolve
    })
  }

  override write(items: readonly unknown[]): undefined | Promise<void> {
    if (this.#alive() && this.#bytes) return this.#writeBytes(items)
    for (let i = 0; i < items.length; i++) {
      if (this.#to.write(items[i]) === false && this.#stillOpen()) {
        const rest = i + 1 < items.length ? items.slice(i + 1) : undefined
        return rest === undefined ? this.#drained() : this.#drained().then(() => this.write(rest))
      }
    }
    return undefined
  }

  #writeBytes(items: readonly unknown[]): undefined | Promise<void> {
    const to = this.#to
    const pieces = items.length === 1 && typeof items[0] === 'string' ? items : flatten(items)
    let room = true
    if (pieces.length > 1) to.cork?.()
    try {
      for (const piece of pieces) room = to.write(piece) !== false
    } finally {
      if (pieces.length > 1) to.uncork?.()
    }
    return room || !this.#stillOpen() ? undefined : this.#drained()
  }

  /** Throws what ended the sink. */
  #alive(): boolean {
    if (this.gone !== undefined) throw this.gone.error
    if (this.#to.destroyed === true) throw this.#to.errored ?? prematureClose()
    if (this.#to.writableEnded === true)
      throw new StreamError('MILL_WRITE_AFTER_END', 'The destination has been ended already')
    return true
  }

  /** A synchronous failure is reported by an event that is still to come; waiting for 'drain' would not end. */
  #stillOpen(): boolean {
    if (this.gone !== undefined) throw this.gone.error
    return true
  }

  override async end(): Promise<void> {
    if (this.#to._isStdio === true) return this.forget() // stdout and stderr stay open
    if (this.#to.writableEnded === true && this.#to.writableFinished === true) return this.forget()
    const finished = this.wait((resolve) => {
      this.#ended = resolve
    })
    if (this.#to.writableEnded !== true) this.#to.end()
    await finished
    this.over = true
    this.forget()
  }

  protected override destroy(error: Error): void {
    const to = this.#to
    this.#quiet()
    to.destroy?.(error)
    if (to.destroy === undefined) to.end()
  }

  /** A socket may be reset after all is written: from now on its errors are nobody's, until it closes. */
  #quiet(): void {
    if (this.#loud && this.gone !== undefined) return
    if (this.#to.destroyed === true || this.#to.listeners('error').includes(ignore)) return
    this.#to.on('error', ignore)
  }

  override forget(): void {
    const to = this.#to
    if (this.#finished) this.#quiet()
    to.off('drain', this.#onDrain)
    to.off('finish', this.#onFinish)
    to.off('error', this.#onError)
    if (!this.#finished || to.destroyed === true) to.off('close', this.#onClose)
  }
}

class WebDrain extends Drain {
  readonly #writer: WritableStreamDefaultWriter<unknown>

  constructor(to: WritableStream<unknown>) {
    super()
    if (to.locked) throw new StreamError('MILL_ALREADY_READING', 'This WritableStream is locked by another writer')
    this.#writer = to.getWriter()
    this.#writer.closed.catch((error) => this.died(asError(error)))
  }

  override write(items: readonly unknown[]): Promise<void> {
    return this.wait((resolve, reject) => {
      this.#all(items).then(resolve, reject)
    })
  }

  async #all(items: readonly unknown[]): Promise<void> {
    for (const item of items) {
      await this.#writer.ready
      if (this.gone !== undefined) return
      // No web sink knows our Bytes; one view, copied only if it is in several pieces. A failing write fails `ready` too.
      this.#writer.write(plain(item)).catch(ignore)
    }
    await this.#writer.ready
  }

  override async end(): Promise<void> {
    await this.wait((resolve, reject) => {
      this.#writer.close().then(resolve, reject)
    })
    this.over = true
    this.#writer.releaseLock()
  }

  protected override destroy(error: Error): void {
    this.#writer.abort(error).catch(ignore)
  }

  override forget(): void {
    this.#writer.closed.catch(ignore)
    this.#writer.releaseLock()
  }
}

class FunctionDrain extends Drain {
  readonly #to: (item: unknown) => unknown

  constructor(to: (item: unknown) => unknown) {
    super()
    this.#to = to
  }

  override write(items: readonly unknown[]): undefined | Promise<void> {
    for (let i = 0; i < items.length; i++) {
      if (this.gone !== undefined) throw this.gone.error
      const result = this.#to(items[i]) as PromiseLike<unknown> | undefined
      if (typeof result?.then === 'function') {
        const turn = this.wait((resolve, reject) => {
          result.then(() => resolve(), reject)
        })
        return i + 1 < items.length ? turn.then(() => this.write(items.slice(i + 1))) : turn
      }
    }
    return undefined
  }

  override async end(): Promise<void> {
    this.over = true
  }
  protected override destroy(): void {}
}

/**
 * Everything from the tap into the drain. Whichever side fails, the other is destroyed with that error, and the
 * promise rejects with it.
 */
export async function flow(tap: Tap<unknown>, drain: Drain, end = true): Promise<void> {
  tap.onfail = (error) => drain.abort(error)
  drain.onfail = (error) => tap.stream.destroy(error)
  try {
    await undefined // listeners that are added right after pipe() are in time
    for (;;) {
      const items = tap.batch()
      if (items === undefined) {
        if (!(await tap.arrival())) break
      } else {
        const room = drain.write(items)
        if (room !== undefined) await room
      }
    }
    if (end && !tap.released) await drain.end()
    else drain.forget()
  } catch (thrown) {
    const error = asError(thrown)
    drain.abort(error)
    tap.stream.destroy(error)
    throw thrown
  } finally {
    tap.onfail = undefined
  }
}
