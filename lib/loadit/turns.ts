/** Milliseconds a synchronous source is pulled before the event loop gets a turn. */
const SLICE_MS = 4
/** Milliseconds of reads that never had to wait, after which the next one waits for a turn. */
const READ_MS = 10
/** The clock is looked at about so often, in milliseconds; reading it for every item would cost 3 % of a first pass. */
const LOOK_MS = 0.5
/** Items between two looks at the clock at most. */
const MOST_ITEMS = 64
/** Reads between two looks at the clock. */
const READS = 32

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/**
 * Gives the event loop its turns while items are made or read that never have to wait. One for a whole loader: time
 * slices that belonged to a shard would never end with shards of ten items.
 */
export class Turns {
  #began = performance.now()
  #looked = this.#began
  #left = 1
  #step = 1
  #turn: Promise<void> | undefined
  #reads = 0

  /** Called once per item that is made; true when it is time to wait for {@link next}. */
  isOver(): boolean {
    if (--this.#left > 0) return false
    const now = performance.now()
    // As many items as fit between two looks, at the speed of the last ones.
    const each = (now - this.#looked) / this.#step
    this.#step = each > 0 ? Math.max(1, Math.min(MOST_ITEMS, Math.floor(LOOK_MS / each))) : MOST_ITEMS
    this.#left = this.#step
    this.#looked = now
    return now - this.#began >= SLICE_MS
  }

  /** Called once per read that was answered at once; true when the next one is to wait for {@link next}. */
  isLongRun(): boolean {
    if (++this.#reads < READS) return false
    this.#reads = 0
    return this.isOverdue()
  }

  /** The same, called once per batch. */
  isOverdue(): boolean {
    return performance.now() - this.#began >= READ_MS
  }

  /** Resolves after one turn of the event loop, in which everybody's slice begins anew. */
  next(): Promise<void> {
    this.#turn ??= nextTurn().then(() => {
      this.#turn = undefined
      this.#began = this.#looked = performance.now()
      this.#left = this.#step = 1
    })
    return this.#turn
  }
}
