import type { Emits } from '../../types/source.js'
import { type FaceOptions, ReadableFace } from './face.js'
import { prematureClose } from './machine.js'
import { unsupportedItem } from './shape.js'

/** Node's and streamx's streams, and whatever else has `pipe` and `on`. */
export interface EventStream extends Emits {
  readonly destroyed?: boolean
  readonly errored?: Error | null
  readonly readableEnded?: boolean
  readonly readableObjectMode?: boolean
  readonly readableEncoding?: string | null
  pause(): unknown
  resume(): unknown
  destroy?(error?: Error): unknown
}

/** An event stream as one of ours. Its items are taken as they are emitted, and it is paused while enough wait. */
export class EventSource extends ReadableFace {
  readonly #from: EventStream
  #started = false
  #flowing = false
  #over = false

  constructor(from: EventStream, options: FaceOptions) {
    super(options)
    this.#from = from
    this._carriesBytes = from.readableObjectMode === false && (from.readableEncoding ?? null) === null
    // Errors and closing are heard from the start: a source may fail before anybody reads.
    from.on('error', this.#onError)
    from.on('close', this.#onClose)
    from.on('end', this.#onEnd)
    if (from.readableEnded === true) this.#onEnd()
    else if (from.destroyed === true) {
      this.#over = true
      this._complete = true
      this._fault = from.errored ?? prematureClose()
    }
    this._bind(options.signal)
  }

  override _pull(): void {
    if (this.#flowing || this.#over) return
    this.#flowing = true
    if (this.#started) this.#from.resume()
    else {
      // 'data' and pause(), not its iterator: that one joins what is buffered, which copies.
      this.#started = true
      this.#from.on('data', this.#onData)
      this.#from.resume()
    }
  }

  override _eased(): void {
    if (this.#started) this._pull()
  }

  readonly #onData = (item: unknown): void => {
    if (this._failure !== undefined || this._complete) return
    if (item === null || item === undefined) {
      this._fail(unsupportedItem(item))
      this._stop(undefined)
    } else if (!this._offer(item)) {
      this.#flowing = false
      this.#from.pause()
    }
  }

  readonly #onEnd = (): void => {
    this.#over = true
    this._finish()
  }

  readonly #onError = (error: unknown): void => {
    this.#over = true
    this._fail(error)
  }

  readonly #onClose = (): void => {
    const from = this.#from
    if (!this.#over) {
      this.#over = true
      this._fail(from.errored ?? prematureClose())
    }
    from.off('data', this.#onData)
    from.off('end', this.#onEnd)
    from.off('error', this.#onError)
    from.off('close', this.#onClose)
  }

  override _stop(error: Error | undefined): undefined {
    const from = this.#from
    if (this.#over) return
    this.#over = true
    from.off('data', this.#onData)
    // The 'error' listener stays until 'close': what a destroyed source still has to say concerns nobody.
    if (from.destroy !== undefined) from.destroy(error)
    else from.pause()
  }
}
