import type { Emits } from '../../types/source.js'
import { StreamError } from '../base/errors.js'
import { Drain } from './drain.js'
import { flatten } from './flatten.js'
import { ignore, prematureClose } from './machine.js'

/** A stream of Node's or streamx's, by what we use of it. */
export interface EventSink extends Emits {
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

/** Streams that emit `'drain'`, `'finish'`, `'error'` and `'close'`. */
export class EventDrain extends Drain {
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
