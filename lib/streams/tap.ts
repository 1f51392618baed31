import { Turns } from '../base/turns.js'
import { closed, original, prematureClose } from './machine.js'
import type { Outbox } from './outbox.js'

/** What a tap needs of the stream it is on; implemented by the read side of our streams. */
export interface Tapped<T> {
  readonly destroyed: boolean
  destroy(error?: Error): void
  once(event: string, listener: () => void): unknown
  /** @internal */ readonly _outbox: Outbox<T>
  /** @internal */ _finished: boolean
  /** @internal */ _failure: { readonly error: Error | undefined } | undefined
  /** @internal */ _tap: Tap<T> | undefined
  /** @internal */ _refill(): void
  /** @internal */ _taken(): void
  /** @internal */ _untap(): void
}

/**
 * The one consumer of a stream that takes items itself: the iterator, `batches()`, `pipe()`, the adapters. Taking is
 * synchronous as long as items are there; only waiting costs a promise.
 */
export class Tap<T> {
  readonly stream: Tapped<T>
  /** Called at once when the stream fails or is destroyed before its end. */
  onfail: ((error: Error) => void) | undefined
  /** True after {@link release}. */
  released = false
  #resolve: ((there: boolean) => void) | undefined
  #reject: ((error: unknown) => void) | undefined

  constructor(stream: Tapped<T>) {
    this.stream = stream
  }

  /** Somebody waits for {@link arrival}. */
  get waiting(): boolean {
    return this.#resolve !== undefined
  }

  /** The next item, if one is there. */
  take(): T | undefined {
    if (this.released) return undefined
    const { _outbox } = this.stream
    if (_outbox.size === 0) this.stream._refill()
    const item = _outbox.shift()
    if (item !== undefined) this.stream._taken()
    return item
  }

  /** What is there, at most `max` items; undefined when nothing is. */
  batch(max = Number.POSITIVE_INFINITY): T[] | undefined {
    if (this.released) return undefined
    const { _outbox } = this.stream
    if (_outbox.size === 0) this.stream._refill()
    const items = _outbox.batch(max)
    if (items !== undefined) this.stream._taken()
    return items
  }

  /** True once something is there, false at the end (or when released); rejects with the stream's error. */
  arrival(): Promise<boolean> {
    const { stream } = this
    if (this.released) return Promise.resolve(false)
    if (stream._outbox.size === 0) stream._refill()
    if (stream._outbox.size > 0) return Promise.resolve(true)
    if (stream._finished) return Promise.resolve(false)
    if (stream._failure !== undefined) return Promise.reject(original(stream._failure.error ?? prematureClose()))
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /** The stream's word: something has come (true), or the end (false). */
  wake(there: boolean): void {
    const resolve = this.#resolve
    if (resolve === undefined) return
    this.#resolve = this.#reject = undefined
    resolve(there)
  }

  /** The stream's word: it failed. */
  fail(error: Error): void {
    const reject = this.#reject
    this.#resolve = this.#reject = undefined
    reject?.(original(error))
    this.onfail?.(error)
  }

  /** Lets go of the stream; what has arrived stays there for the next consumer. */
  release(): void {
    if (this.released) return
    this.released = true
    this.wake(false)
    this.stream._untap()
  }
}

/** One item a time. Several `next()` may wait at once: they are answered in order. */
export class ItemIterator<T> implements AsyncIterableIterator<T> {
  readonly #tap: Tap<T>
  readonly #turns = new Turns()
  #over = false
  #failure: { readonly error: unknown } | undefined

  constructor(tap: Tap<T>) {
    this.#tap = tap
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#turns.idle) {
      if (this.#over) return Promise.resolve({ value: undefined, done: true })
      const item = this.#tap.take()
      if (item !== undefined) return Promise.resolve({ value: item, done: false })
    }
    return this.#turns.take(this.#wait)
  }

  readonly #wait = async (): Promise<IteratorResult<T, undefined>> => {
    // Whoever waited when the stream failed gets the error; whoever asks later gets the end.
    if (this.#failure !== undefined) throw this.#failure.error
    while (!this.#over) {
      const item = this.#tap.take()
      if (item !== undefined) return { value: item, done: false }
      try {
        if (!(await this.#tap.arrival())) this.#over = true
      } catch (error) {
        this.#over = true
        this.#failure = { error }
        throw error
      }
    }
    return { value: undefined, done: true }
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.#over = true
    await stop(this.#tap)
    return { value: undefined, done: true }
  }

  async throw(error: unknown): Promise<IteratorResult<T, undefined>> {
    this.#over = true
    await stop(this.#tap)
    throw error
  }
}

/** Whatever has arrived, never an empty array. */
export async function* batchesOf<T>(tap: Tap<T>, max?: number): AsyncGenerator<T[], void, undefined> {
  try {
    for (;;) {
      const items = tap.batch(max)
      if (items !== undefined) yield items
      else if (!(await tap.arrival())) return
    }
  } finally {
    await stop(tap)
  }
}

/** The consumer is through: the stream is destroyed unless it has ended, and closed when this resolves. */
async function stop<T>(tap: Tap<T>): Promise<void> {
  const { stream } = tap
  if (stream._finished) return
  stream.destroy()
  await closed(stream)
}
