import type { LoadItOptions } from '../../types/load-it.js'
import type { ReadableOf, Source } from '../../types/source.js'
import { LoadItError } from '../base/errors.js'
import { readable } from '../streams/source.js'

/** Items a stream hands over at once at most; between two portions it may read ahead by itself. */
const PORTION = 256
/** Bytes a stream of the user's may have read ahead. The house's mark, as for all streams. */
const MARK = 65_536

/** What a pending {@link Walk.take} rejects with when the walk is closed; never seen outside. */
export class WalkClosed extends Error {}

interface AnyIterator<T> {
  next(): IteratorResult<T> | PromiseLike<IteratorResult<T>>
  return?(): unknown
}

type Members = Record<PropertyKey, unknown>
const has = (value: Members, name: PropertyKey): boolean => typeof value[name] === 'function'

/**
 * One open walk of the source, with its position. A synchronous source is pulled without a promise per item.
 * `take()` brings one item into `item`; one call at a time.
 */
export class Walk<T> {
  /** Index of the item that the next {@link take} brings. */
  position: number
  /** Where it began. */
  readonly start: number
  /** What the last {@link take} brought. */
  item: T | undefined = undefined
  /** It was ended, by whoever. */
  closed = false
  /** The source has ended, or failed. */
  over = false
  readonly attempt: number
  readonly #source: NonNullable<LoadItOptions<T>['source']>
  readonly #controller = new AbortController()
  #iterator: AnyIterator<T> | undefined
  /** The iterator answers at once. */
  #sync = false
  /** Of a stream: its batches, of which one is at hand. */
  #batches: AsyncIterator<T[]> | undefined
  #stream: ReadableOf<T> | undefined
  #batch: T[] = []
  #next = 0
  /** An item was looked at by {@link isThere} and not taken. */
  #ahead = false
  #resolve: ((more: boolean) => void) | undefined
  #reject: ((error: unknown) => void) | undefined

  constructor(source: NonNullable<LoadItOptions<T>['source']>, start: number, attempt: number) {
    this.#source = source
    this.start = start
    this.position = start
    this.attempt = attempt
  }

  /** The next item is in `item`, or (false) there is none. Throws `MILL_ITEM_SOURCE_FAILED`, or {@link WalkClosed}. */
  take(): boolean | Promise<boolean> {
    if (this.#ahead) {
      this.#ahead = false
      this.position++
      return true
    }
    return this.#pull(true)
  }

  /** Is there another item? It stays for the next {@link take}. */
  isThere(): boolean | Promise<boolean> {
    if (this.#ahead) return true
    const more = this.#pull(false)
    if (typeof more !== 'boolean') {
      return more.then((there) => {
        this.#ahead = there
        return there
      })
    }
    this.#ahead = more
    return more
  }

  #pull(taken: boolean): boolean | Promise<boolean> {
    if (this.closed) throw new WalkClosed()
    if (this.over) return false
    if (this.#sync) {
      let result: IteratorResult<T>
      try {
        result = (this.#iterator as Iterator<T>).next()
      } catch (error) {
        throw this.#failed(error)
      }
      if (this.closed) throw new WalkClosed()
      if (result.done === true) {
        this.over = true
        return false
      }
      this.item = result.value
      if (taken) this.position++
      return true
    }
    if (this.#next < this.#batch.length) {
      this.item = this.#batch[this.#next++]
      if (taken) this.position++
      return true
    }
    return new Promise<boolean>((resolve, reject) => {
      this.#resolve = (more) => {
        if (more && taken) this.position++
        resolve(more)
      }
      this.#reject = reject
      if (this.#iterator !== undefined) this.#ask(this.#iterator)
      else if (this.#batches !== undefined) this.#askBatch(this.#batches)
      else this.#open()
    })
  }

  #open(): void {
    const { signal } = this.#controller
    let opened: Source<T> | Promise<Source<T>>
    try {
      opened = this.#source({ start: this.start, signal, attempt: this.attempt })
      if (!isPromise(opened)) {
        this.#begin(opened)
        return
      }
    } catch (error) {
      this.#fail(error)
      return
    }
    opened.then((source) => {
      try {
        if (this.closed) end(source)
        else this.#begin(source)
      } catch (error) {
        this.#fail(error)
      }
    }, this.#fail)
  }

  /** Iterables are walked by their own iterator, so that `null` and `undefined` are items; streams through ours. */
  #begin(source: Source<T>): void {
    const it = source as unknown as Members
    const isObject = typeof source === 'object' && source !== null
    const isStream = isObject && (has(it, 'getReader') || (has(it, 'pipe') && has(it, 'on')))
    if (!isStream && isObject && has(it, Symbol.asyncIterator)) {
      this.#iterator = (source as AsyncIterable<T>)[Symbol.asyncIterator]()
      this.#ask(this.#iterator)
    } else if (!isStream && (typeof source === 'string' || (isObject && has(it, Symbol.iterator)))) {
      this.#iterator = (source as Iterable<T>)[Symbol.iterator]()
      this.#sync = true
      const more = this.#pull(false)
      this.#answer(more === true)
    } else {
      const stream = readable<T>(source, { highWaterMark: MARK })
      this.#stream = stream
      this.#batches = stream.batches({ maxItems: PORTION })[Symbol.asyncIterator]()
      this.#askBatch(this.#batches)
    }
  }

  #ask(iterator: AnyIterator<T>): void {
    let turn: IteratorResult<T> | PromiseLike<IteratorResult<T>>
    try {
      turn = iterator.next()
    } catch (error) {
      this.#fail(error)
      return
    }
    Promise.resolve(turn).then(this.#onResult, this.#fail)
  }

  #askBatch(batches: AsyncIterator<T[]>): void {
    batches.next().then(this.#onBatch, this.#fail)
  }

  readonly #onResult = (result: IteratorResult<T>): void => {
    if (this.closed) return
    if (result.done === true) this.over = true
    else this.item = result.value
    this.#answer(result.done !== true)
  }

  readonly #onBatch = (result: IteratorResult<T[]>): void => {
    if (this.closed) return
    if (result.done === true) this.over = true
    else {
      this.#batch = result.value
      this.#next = 1
      this.item = this.#batch[0]
    }
    this.#answer(result.done !== true)
  }

  #answer(more: boolean): void {
    const resolve = this.#resolve
    this.#resolve = this.#reject = undefined
    resolve?.(more)
  }

  readonly #fail = (error: unknown): void => {
    if (this.closed) return
    const reject = this.#reject
    this.#resolve = this.#reject = undefined
    reject?.(error instanceof WalkClosed || isOurs(error) ? error : this.#failed(error))
  }

  #failed(cause: unknown): LoadItError {
    this.over = true
    const index = this.position
    const message = `the source failed at item ${index}${cause instanceof Error ? `: ${cause.message}` : ''}`
    const failed = new LoadItError('MILL_ITEM_SOURCE_FAILED', message, { index, attempt: this.attempt, cause })
    ours.add(failed)
    return failed
  }

  /** Ends the source, once, without waiting for it: it may hang. What it throws on its way out is not told. */
  close(reason?: unknown): void {
    if (this.closed) return
    this.closed = true
    const reject = this.#reject
    this.#resolve = this.#reject = undefined
    this.item = undefined
    this.#batch = []
    const wasOver = this.over
    this.over = true
    this.#controller.abort(reason)
    try {
      if (this.#stream !== undefined) {
        if (!wasOver) this.#stream.destroy()
      } else if (!wasOver) quietly(this.#iterator?.return?.())
    } catch {
      // It was told to stop; how it takes that is its own affair.
    }
    reject?.(new WalkClosed())
  }
}

/** Errors made by a walk: they pass through a second handler as they are. */
const ours = new WeakSet<object>()
const isOurs = (error: unknown): boolean => typeof error === 'object' && error !== null && ours.has(error)

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as Partial<Promise<T>> | undefined)?.then === 'function'
}

function quietly(ended: unknown): void {
  if (isPromise(ended)) ended.then(undefined, () => {})
}

/** A source that came after its walk had been given up. */
function end(source: unknown): void {
  const it = (source ?? {}) as { destroy?(): void; cancel?(): unknown } & Partial<AsyncIterable<unknown>>
  if (typeof it.destroy === 'function') it.destroy()
  else if (typeof it.cancel === 'function') quietly(it.cancel())
  else quietly(it[Symbol.asyncIterator]?.().return?.())
}
