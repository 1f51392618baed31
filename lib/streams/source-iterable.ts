import { toUint8Array } from '../base/bytes.js'
import { StreamError } from '../base/errors.js'
import { type AnyBytes, Bytes } from '../buffer/index.js'
import { type FaceOptions, ReadableFace } from './face.js'
import { ignore } from './machine.js'
import { unsupportedItem } from './shape.js'

/** One piece of memory, or a string. */
export class BytesSource extends ReadableFace {
  #data: AnyBytes | undefined

  constructor(data: AnyBytes, options: FaceOptions) {
    super(options)
    this.#data = data
    this._carriesBytes = true
    this._bind(options.signal)
  }

  override _pull(): void {
    const data = this.#data
    this.#data = undefined
    if (data === undefined) return
    const view = data instanceof Bytes ? data.toUint8Array() : toUint8Array(data)
    if (view.length > 0) this._offer(view)
    this._finish()
  }
}

/** Anything with a synchronous `next()`. */
export class IterableSource extends ReadableFace {
  readonly #from: Iterable<unknown>
  /** Made at the first pull: a stream that is never read starts nothing. */
  #iterator: Iterator<unknown> | undefined
  #pulling = false
  #over = false

  constructor(from: Iterable<unknown>, options: FaceOptions) {
    super(options)
    this.#from = from
    this._bind(options.signal)
  }

  override _pull(): void {
    if (this.#pulling) return // an item's consumer asked for more while we were about to give it
    this.#pulling = true
    try {
      this.#iterator ??= this.#from[Symbol.iterator]()
      for (let room = true; room && this._failure === undefined; ) {
        const { done, value } = this.#iterator.next()
        if (done === true) {
          this.#over = true
          this._finish()
          return
        }
        if (value === null || value === undefined) {
          this._stop()
          throw unsupportedItem(value)
        }
        room = this._offer(value)
      }
    } catch (error) {
      this.#over = true
      this._fail(error)
    } finally {
      this.#pulling = false
    }
  }

  override _stop(): undefined {
    if (this.#over) return
    this.#over = true
    try {
      // Opened only to be closed if it was never read: a generator may have begun before it came here.
      this.#iterator ??= this.#from[Symbol.iterator]()
      this.#iterator.return?.()
    } catch {
      // What it throws on its way out is less important than why we stop.
    }
  }
}

/** Anything with an async `next()`. */
export class AsyncSource extends ReadableFace {
  readonly #from: AsyncIterable<unknown>
  /** Made at the first pull: a stream that is never read starts nothing. */
  #iterator: AsyncIterator<unknown> | undefined
  #busy = false
  #over = false

  /** `opened`: it holds something already (a lock) that must be given back even if it is never read. */
  constructor(from: AsyncIterable<unknown>, options: FaceOptions, opened = false) {
    super(options)
    this.#from = from
    if (opened) this.#iterator = from[Symbol.asyncIterator]()
    this._bind(options.signal)
  }

  override _pull(): void {
    if (this.#busy || this.#over) return
    this.#busy = true
    this.#next()
  }

  override _eased(): void {
    this._pull()
  }

  #next(): void {
    let turn: Promise<IteratorResult<unknown>>
    try {
      this.#iterator ??= this.#from[Symbol.asyncIterator]()
      turn = Promise.resolve(this.#iterator.next())
    } catch (error) {
      this.#over = true
      this._fail(error)
      return
    }
    turn.then(this.#onItem, this.#onError)
  }

  readonly #onItem = ({ done, value }: IteratorResult<unknown>): void => {
    if (this._failure !== undefined) return
    if (done === true) {
      this.#over = true
      this._finish()
    } else if (value === null || value === undefined) {
      this._stop(undefined)?.then(ignore, ignore)
      this._fail(unsupportedItem(value))
    } else if (this._offer(value)) {
      if (this._failure === undefined) this.#next()
    } else {
      this.#busy = false
    }
  }

  readonly #onError = (error: unknown): void => {
    this.#over = true
    this._fail(error)
  }

  override _stop(error: Error | undefined): PromiseLike<unknown> | undefined {
    if (this.#over) return undefined
    this.#over = true
    // Opened only to be closed if it was never read: a generator may have begun before it came here.
    this.#iterator ??= this.#from[Symbol.asyncIterator]()
    const gone = this.#iterator.return?.(error)
    // An async generator that waits inside next() answers return() only after it: do not wait for that.
    if (gone === undefined || this.#busy) {
      gone?.then(ignore, ignore)
      return undefined
    }
    return gone
  }
}

/** A Web stream as an async iterable: `return()` cancels it. Throws `MILL_ALREADY_READING` when it is locked. */
export function webIterable(from: ReadableStream<unknown>): AsyncIterable<unknown> {
  if (from.locked) throw new StreamError('MILL_ALREADY_READING', 'This ReadableStream is locked by another reader')
  const reader = from.getReader()
  const iterator: AsyncIterator<unknown> = {
    async next() {
      const { done, value } = await reader.read()
      if (done) reader.releaseLock()
      return { done, value } as IteratorResult<unknown>
    },
    async return(reason) {
      const cancelled = reader.cancel(reason)
      reader.releaseLock()
      await cancelled
      return { done: true, value: undefined }
    },
  }
  return { [Symbol.asyncIterator]: () => iterator }
}
