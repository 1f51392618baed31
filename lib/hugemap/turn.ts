/** Milliseconds of work after which others get a turn. */
const TURN_MS = 8
/** The clock is looked at once in so many items. */
const LOOK = 256

/** Tells work that runs in one piece when to give way to the event loop. */
export class Turn {
  #items = 0
  #since = performance.now()

  /** So many more items are done: true if it is time to await {@link nextTurn}. */
  isLong(items = 1): boolean {
    this.#items += items
    if (this.#items < LOOK) return false
    this.#items = 0
    const now = performance.now()
    if (now - this.#since < TURN_MS) return false
    this.#since = now
    return true
  }
}

/** Resolves in a later turn of the event loop, when timers and input have had theirs. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
