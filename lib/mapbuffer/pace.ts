import type { Progress } from '../../types/progress.js'
import { Meter } from '../base/progress.js'

/** Milliseconds of work after which others get a turn. */
const TURN_MS = 8
/** Milliseconds between two reports of progress. */
const REPORT_MS = 100
/** The clock is looked at once in so many bytes of work. An item counts as some bytes, too: see {@link ITEM}. */
const LOOK_BYTES = 16384
const ITEM = 256

/** Tells long work that runs in one piece when to give way to the event loop. */
export class Pacer {
  #done = 0
  #since = performance.now()

  /** One more item of so many bytes is done: true if it is time to `await pause()`. */
  due(bytes: number): boolean {
    this.#done += bytes + ITEM
    if (this.#done < LOOK_BYTES) return false
    this.#done = 0
    return performance.now() - this.#since >= TURN_MS
  }

  /** Gives way; the next turn of work begins after it. */
  async pause(): Promise<void> {
    await nextTurn()
    this.#since = performance.now()
  }
}

/** Resolves in a later turn of the event loop, when timers and input have had theirs. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === 'function') setImmediate(resolve)
    else setTimeout(resolve, 0)
  })
}

/** Calls `onProgress` at most every 100 ms, and once more at the end of each phase. */
export class Reporter {
  readonly #onProgress: ((progress: Progress) => void) | undefined
  #meter: Meter | undefined
  #reported = 0

  constructor(onProgress: ((progress: Progress) => void) | undefined) {
    this.#onProgress = onProgress
  }

  /** A phase of so many items begins. */
  begin(phase: string, total: number | undefined): void {
    if (this.#onProgress === undefined) return
    this.#meter = new Meter(phase, total === undefined ? {} : { total })
    this.#reported = performance.now()
  }

  add(items: number, bytes: number): void {
    this.#meter?.add(items, bytes)
  }

  /** Reports if it is time; to be called when the clock is looked at anyway. */
  tick(): void {
    if (this.#meter === undefined) return
    const now = performance.now()
    if (now - this.#reported < REPORT_MS) return
    this.#reported = now
    this.#onProgress?.(this.#meter.read())
  }

  /** The phase is over. */
  end(): void {
    if (this.#meter !== undefined) this.#onProgress?.(this.#meter.read())
  }
}
