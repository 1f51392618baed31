import type { Board } from './board.js'
import type { Thread } from './pool.js'

/** What was seen of a slot, and since when. */
interface Seen {
  readonly index: number
  readonly attempt: number
  readonly since: number
}

/**
 * Ends threads whose chunk takes longer than `chunkTimeoutMs`. It looks at the board four times in that time; nothing
 * is asked of the threads.
 */
export class Watchdog {
  readonly #board: Board
  readonly #threads: ReadonlySet<Thread>
  readonly #timeoutMs: number
  readonly #timer: NodeJS.Timeout
  readonly #seen = new Map<Thread, Seen>()
  readonly #ended = new Map<Thread, Seen>()

  constructor(board: Board, threads: ReadonlySet<Thread>, timeoutMs: number) {
    this.#board = board
    this.#threads = threads
    this.#timeoutMs = timeoutMs
    this.#timer = setInterval(() => this.#look(), Math.max(1, timeoutMs / 4)).unref()
  }

  /** The chunk for which a thread was ended, if it was. */
  ended(thread: Thread): { readonly index: number; readonly attempt: number } | undefined {
    return this.#ended.get(thread)
  }

  forget(thread: Thread): void {
    this.#seen.delete(thread)
    this.#ended.delete(thread)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const now = performance.now()
    for (const thread of this.#threads) {
      const { index, owned, attempt } = this.#board.slot(thread.slot)
      const seen = this.#seen.get(thread)
      if (!owned || attempt < 0) this.#seen.delete(thread)
      else if (seen === undefined || seen.index !== index || seen.attempt !== attempt) {
        this.#seen.set(thread, { index, attempt, since: now })
      } else if (now - seen.since >= this.#timeoutMs && !this.#ended.has(thread)) {
        this.#ended.set(thread, seen)
        thread.end()
      }
    }
  }
}
