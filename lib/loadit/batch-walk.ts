import { onAbort } from '../base/abort.js'
import { AbortError } from '../base/errors.js'
import { Turns } from '../base/turns.js'

/** Milliseconds a walk that never has to wait may go on before timers and sockets get a turn. */
const TURN_MS = 10

const ignore = (): void => {}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Begins to walk; called at the first `next()`. The signal aborts when the walk is given up, whoever does it. */
export type OpenWalk<T> = (signal: AbortSignal) => AsyncIterable<T[]>

/**
 * One pass through a sequence in batches. It ends when the iterator is left, when `signal` aborts, at an error and at
 * the end: whatever was opened for it is given back then. Several `next()` may wait at once. A `return()` that comes
 * while a source hangs in a `next()` does not wait for it.
 */
export class BatchWalk<T> implements AsyncIterableIterator<T[]> {
  readonly #open: OpenWalk<T>
  readonly #signal: AbortSignal | undefined
  readonly #work = new AbortController()
  /** Takes the listener off the signal; it is put there by the first `next()`. */
  #forget: (() => void) | undefined
  #batches: AsyncIterator<T[]> | undefined
  /** The `next()` before; never rejects. */
  #last: Promise<unknown> = Promise.resolve()
  #over = false
  /** What `next()` waits for, and how to make it stop waiting. */
  #pending: Promise<unknown> | undefined
  #interrupt: ((reason: unknown) => void) | undefined
  /** The user's signal has aborted, and nobody was told yet. */
  #aborted: { readonly reason: unknown } | undefined
  #turnAt = performance.now()

  constructor(open: OpenWalk<T>, signal: AbortSignal | undefined) {
    this.#open = open
    this.#signal = signal
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<T[], undefined>> {
    const result = this.#last.then(this.#step)
    this.#last = result.then(ignore, ignore)
    return result
  }

  readonly #step = async (): Promise<IteratorResult<T[], undefined>> => {
    try {
      if (!this.#over) this.#forget ??= onAbort(this.#signal, this.#onAbort)
      // A walk through memory would otherwise run in microtasks alone until it is through.
      if (!this.#over && performance.now() - this.#turnAt > TURN_MS) {
        await turn()
        this.#turnAt = performance.now()
      }
      if (!this.#over) {
        this.#batches ??= this.#open(this.#work.signal)[Symbol.asyncIterator]()
        const result = await this.#unlessLeft(this.#batches.next())
        if (!this.#over) {
          if (result.done !== true) return { value: result.value, done: false }
          this.#end()
        }
      }
    } catch (error) {
      if (!this.#over) {
        this.#end()
        throw error
      }
    } finally {
      this.#pending = this.#interrupt = undefined
    }
    const aborted = this.#aborted
    if (aborted === undefined) return { value: undefined, done: true }
    this.#aborted = undefined
    throw aborted.reason
  }

  readonly #onAbort = (reason: unknown): void => {
    if (this.#over) return
    this.#aborted = { reason }
    this.#leave(reason)?.catch(ignore)
  }

  /** The result, or a rejection as soon as the walk is left: a source that hangs need not notice. */
  #unlessLeft(result: Promise<IteratorResult<T[]>>): Promise<IteratorResult<T[]>> {
    this.#pending = result
    return new Promise((resolve, reject) => {
      this.#interrupt = reject
      result.then(resolve, reject)
    })
  }

  async return(): Promise<IteratorResult<T[], undefined>> {
    if (!this.#over) await this.#leave(new AbortError('The walk was left'))
    return { value: undefined, done: true }
  }

  #end(): void {
    this.#over = true
    this.#forget?.()
  }

  /** Gives everything back; the promise is there where that is worth waiting for. */
  #leave(reason: unknown): Promise<unknown> | undefined {
    this.#over = true
    this.#forget?.()
    this.#work.abort(reason)
    this.#interrupt?.(reason)
    if (this.#pending === undefined) return this.#close()
    this.#pending.then(() => this.#close(), ignore).catch(ignore)
    return undefined
  }

  async #close(): Promise<void> {
    await this.#batches?.return?.()
  }
}

/** The same pass, item by item. */
export class ItemWalk<T> implements AsyncIterableIterator<T> {
  readonly #walk: BatchWalk<T>
  #batch: readonly T[] = []
  #at = 0
  readonly #turns = new Turns()

  constructor(open: OpenWalk<T>) {
    this.#walk = new BatchWalk(open, undefined)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#turns.idle && this.#at < this.#batch.length) {
      return Promise.resolve({ value: this.#batch[this.#at++] as T, done: false })
    }
    return this.#turns.take(this.#more)
  }

  readonly #more = async (): Promise<IteratorResult<T, undefined>> => {
    if (this.#at === this.#batch.length) {
      this.#batch = []
      this.#at = 0
      const { done, value } = await this.#walk.next()
      if (done === true) return { value: undefined, done: true }
      this.#batch = value
    }
    return { value: this.#batch[this.#at++] as T, done: false }
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#batch = []
    this.#at = 0
    await this.#walk.return()
    return { value: undefined, done: true }
  }
}
