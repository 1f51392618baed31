import type { WritableOf } from '../../types/source.js'
import { ArgumentError } from '../base/errors.js'
import { asError, type Callback } from '../streams/machine.js'
import { ITEM_WEIGHT, unsupportedItem } from '../streams/shape.js'
import { WriteFace } from '../streams/write-face.js'
import type { PairFeeder } from './feeder.js'
import { FEEDING_MS, nextTurn, Turn } from './turn.js'

/** Bytes that count as waiting before `write()` returns false; a pair counts {@link ITEM_WEIGHT}. */
const MARK = 65536

type Pair = readonly [unknown, unknown]

/**
 * A stream of a map's entries, or of arrays of them, to write to. Node declares what is written to a stream at the end of
 * `pipeline()` as strings or bytes; the second signatures satisfy that, and nobody can call them.
 */
export interface MapWritable<T> extends WritableOf<T> {
  write(item: T): boolean
  write(item: never): boolean
  end(item?: T | (() => void)): this
  end(item: never): this
}

/** Pairs, or arrays of pairs, into a map. `'finish'` comes when all of them are on the disk. */
class PairSink extends WriteFace {
  readonly #feeder: PairFeeder<unknown, unknown>
  readonly #inBatches: boolean
  readonly #turn = new Turn(FEEDING_MS)

  constructor(feeder: PairFeeder<unknown, unknown>, inBatches: boolean, signal: AbortSignal | undefined) {
    super(MARK, weigh)
    this.#feeder = feeder
    this.#inBatches = inBatches
    this._bind(signal)
  }

  override _writev(items: unknown[], done: Callback): void {
    this.#take(items).then(() => done(null), done)
  }

  async #take(items: readonly unknown[]): Promise<void> {
    for (const item of items) {
      // Destroyed: what was sent is written, nothing after it.
      if (this.destroying) return
      if (this.#inBatches) await this.#takeBatch(item)
      else {
        const [key, value] = pairOf(item)
        this.#feeder.put(key, value)
      }
      const room = this.#feeder.room()
      if (room !== undefined) await room
      else if (this.#turn.isLong()) await nextTurn()
    }
  }

  async #takeBatch(batch: unknown): Promise<void> {
    if (!Array.isArray(batch)) throw unsupportedItem(batch, 'an array of pairs [key, value] here')
    for (let i = 0; i < batch.length; i++) {
      const [key, value] = pairOf(batch[i])
      this.#feeder.put(key, value)
      if ((i & 255) !== 255) continue
      const room = this.#feeder.room()
      if (room !== undefined) await room
      else if (this.#turn.isLong(256)) await nextTurn()
      if (this.destroying) return
    }
  }

  override _final(done: Callback): void {
    this.#feeder.finish().then(
      () => done(null),
      (error) => done(asError(error)),
    )
  }
}

function weigh(item: unknown): number {
  // A batch stands for its pairs; a pair has two elements, neither of which is one.
  return Array.isArray(item) && Array.isArray(item[0]) ? ITEM_WEIGHT * item.length : ITEM_WEIGHT
}

/** Throws `MILL_UNSUPPORTED_ITEM` for what is no pair. */
export function pairOf(item: unknown): Pair {
  if (Array.isArray(item) && item.length === 2) return item as unknown as Pair
  throw unsupportedItem(item, 'a pair [key, value] here')
}

/** The stream in front of a feeder. Throws `MILL_INVALID_ARGUMENT`. */
export function mapWritable<T>(
  feeder: PairFeeder<never, never>,
  batches: unknown,
  signal: AbortSignal | undefined,
): MapWritable<T> {
  if (batches !== undefined && typeof batches !== 'boolean') {
    throw new ArgumentError('options.batches', 'true or false', batches)
  }
  const stream = new PairSink(feeder, batches === true, signal)
  return stream as unknown as MapWritable<T>
}
