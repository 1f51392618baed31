/** Of the whole time, what one side process waits before another takes its place. */
const TRIES = 3
/** Of the whole time, what a new process gets though starting it has used up the rest. */
const LEAST_SHARE = 10
/** Timers overflow beyond, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1

/**
 * Watches how long a request waits for the write lock. A waiting process can miss its turn for ever (the wake-up is lost
 * when a peer is killed): it is replaced after a third of the time, which cures that. When all of the time is over
 * somebody really has the lock.
 */
export class LockWatch {
  readonly #limit: number
  readonly #onOverdue: (late: boolean) => void
  #since: number | undefined
  #timer: NodeJS.Timeout | undefined

  /**
   * @param limit milliseconds
   * @param onOverdue the process that waits has missed its turn, or (`late`) all of the time is over
   */
  constructor(limit: number, onOverdue: (late: boolean) => void) {
    this.#limit = limit
    this.#onOverdue = onOverdue
  }

  /** Milliseconds since the request began to wait. */
  get waited(): number {
    return this.#since === undefined ? 0 : performance.now() - this.#since
  }

  /** A process waits from now on: for a request that begins to wait, or in the place of the process before it. */
  tries(): void {
    this.pause()
    this.#since ??= performance.now()
    const left = Math.max(this.#limit - this.waited, this.#limit / LEAST_SHARE)
    this.#timer = setTimeout(() => this.#look(), Math.min(left, this.#limit / TRIES, LONGEST_TIMER))
  }

  /** No process waits at the moment; the request does. */
  pause(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** The request has the lock, or is gone. */
  over(): void {
    this.pause()
    this.#since = undefined
  }

  #look(): void {
    const timer = this.#timer
    // This process may have been busy itself: what has come from the other one meanwhile is read first.
    setImmediate(() => {
      if (timer !== this.#timer || timer === undefined) return
      this.#timer = undefined
      // Timers may be early by a fraction of a millisecond.
      this.#onOverdue(this.waited >= this.#limit - 1)
    })
  }
}
