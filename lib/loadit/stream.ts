import type { ReadableOf } from '../../types/source.js'
import { ReadableFace } from '../streams/face.js'
import { ITEM_WEIGHT, unsupportedItem } from '../streams/shape.js'
import { BatchWalk, type OpenWalk } from './batch-walk.js'
import type { WalkPlan } from './walk-options.js'

/** A sequence as a stream. Every item weighs the same: it is items that are counted here, not bytes. */
class SequenceStream<T> extends ReadableFace {
  readonly #walk: BatchWalk<T>
  #busy = false
  #over = false

  constructor(open: OpenWalk<T>, maxItems: number, signal: AbortSignal | undefined) {
    super({ highWaterMark: maxItems * ITEM_WEIGHT })
    this.#walk = new BatchWalk(open, undefined)
    this._bind(signal)
  }

  override _pull(): void {
    if (this.#busy || this.#over) return
    this.#busy = true
    this.#walk.next().then(this.#onBatch, this.#onError)
  }

  override _eased(): void {
    this._pull()
  }

  readonly #onBatch = ({ done, value }: IteratorResult<T[], undefined>): void => {
    if (this._failure !== undefined) return
    if (done === true) {
      this.#over = true
      this._finish()
      return
    }
    for (const item of value) {
      if (item === null || item === undefined) {
        this._fail(unsupportedItem(item))
        return
      }
      this._offer(item, ITEM_WEIGHT)
      if (this._failure !== undefined) return
    }
    this.#busy = false
    // A batch has at most half of what may wait: as long as the other half is free, the next one fits.
    if (this._outbox.weight * 2 <= this._mark) this._pull()
  }

  readonly #onError = (error: unknown): void => {
    this.#over = true
    this._fail(error)
  }

  override _stop(): Promise<unknown> | undefined {
    if (this.#over) return undefined
    this.#over = true
    return this.#walk.return()
  }
}

/** The items that `open` walks through as a stream of ours, at most `plan.maxItems` ahead of its consumer. */
export function sequenceStream<T>(
  open: (maxItems: number, signal: AbortSignal) => AsyncIterable<T[]>,
  { maxItems, signal }: WalkPlan,
): ReadableOf<T> {
  const half = Math.max(1, Math.floor(maxItems / 2))
  return new SequenceStream<T>((work) => open(half, work), maxItems, signal) as unknown as ReadableOf<T>
}
