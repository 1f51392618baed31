import type { ReadableOf } from '../../types/source.js'
import { type FaceOptions, ReadableFace } from '../streams/face.js'
import { ignore, prematureClose } from '../streams/machine.js'

/** Items that came together. They are made one by one, as they are taken. */
export interface Batch<T> {
  /** The next item, undefined after the last. What it throws comes out of the stream after the items before it. */
  next(): T | undefined
  /** Bytes the item of the last `next()` counts against the stream's mark. */
  readonly weight: number
}

/** Chunks that are there already. */
export class ChunkBatch implements Batch<Uint8Array> {
  readonly #chunks: readonly Uint8Array[]
  #next = 0
  weight = 0

  constructor(chunks: readonly Uint8Array[]) {
    this.#chunks = chunks
  }

  next(): Uint8Array | undefined {
    const chunk = this.#chunks[this.#next++]
    this.weight = chunk?.length ?? 0
    return chunk
  }
}

/** Makes the batches of a stream; nothing is called before the first item is wanted. */
export type OpenBatches<T> = (work: AbortController) => AsyncGenerator<Batch<T>, void, undefined>

/**
 * A stream of what an async generator gives in batches: a promise for each batch, none for an item. When the stream is
 * destroyed, the controller that the generator was made with aborts: reads under way end, and the generator with them.
 */
class BatchStream<T> extends ReadableFace {
  readonly #open: OpenBatches<T>
  readonly #work = new AbortController()
  #batches: AsyncGenerator<Batch<T>, void, undefined> | undefined
  #batch: Batch<T> | undefined
  #busy = false
  #over = false

  constructor(open: OpenBatches<T>, options: FaceOptions) {
    super(options)
    this.#open = open
    this._bind(options.signal)
  }

  override _pull(): void {
    if (this.#busy || this.#over) return
    this.#busy = true
    this.#give()
  }

  override _eased(): void {
    this._pull()
  }

  #give(): void {
    try {
      const batch = this.#batch
      while (batch !== undefined) {
        const item = batch.next()
        if (item === undefined) break
        const room = this._offer(item, batch.weight)
        if (this._failure !== undefined) return
        if (!room) {
          this.#busy = false
          return
        }
      }
      this.#batch = undefined
      this.#batches ??= this.#open(this.#work)
      this.#batches.next().then(this.#onBatch, this.#onError)
    } catch (error) {
      this.#leave(error)?.then(ignore, ignore)
      this._fail(error)
    }
  }

  readonly #onBatch = ({ done, value }: IteratorResult<Batch<T>, void>): void => {
    if (this._failure !== undefined) return
    if (done === true) {
      this.#over = true
      this._finish()
    } else {
      this.#batch = value
      this.#give()
    }
  }

  readonly #onError = (error: unknown): void => {
    this.#over = true
    this._fail(error)
  }

  #leave(reason: unknown): Promise<unknown> | undefined {
    if (this.#over) return undefined
    this.#over = true
    this.#batch = undefined
    this.#work.abort(reason)
    return this.#batches?.return()
  }

  override _stop(error: Error | undefined): PromiseLike<unknown> | undefined {
    // How the generator ends does not matter any more, only that it has.
    return this.#leave(error ?? prematureClose())?.then(ignore, ignore)
  }
}

/** The items of all batches as a stream of ours. Throws `MILL_INVALID_ARGUMENT` for a wrong mark. */
export function batchStream<T>(open: OpenBatches<T>, options: FaceOptions & { bytes?: boolean } = {}): ReadableOf<T> {
  const stream = new BatchStream<T>(open, options)
  stream._carriesBytes = options.bytes === true
  return stream as unknown as ReadableOf<T>
}
