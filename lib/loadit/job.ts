import { onAbort } from '../base/abort.js'
import type { Lease } from './catalog.js'
import type { ShardReader } from './shard-reader.js'
import type { ShardWriter } from './shard-writer.js'
import type { Walk } from './walk.js'

/** Stands for the end of the data: whoever asks for it has the source walked to its end. */
export const END = Number.POSITIVE_INFINITY

/** How a job ended: its shard is there, there is no such shard, or it failed. */
export type Outcome = 'ready' | 'outside' | 'failed'

interface Waiting {
  /** Items that must be there; more than there will ever be: waits for the end of the job. */
  readonly count: number
  readonly wake: () => void
}

/**
 * A shard that is wanted and not there: waits for a lease, for a download, for a walk; is then in work, when its first
 * items can be read already; and ends, for whatever reason, exactly once. One per shard and loader.
 */
export class Job<T> {
  /** Number of the shard; {@link END} for the end of the data. */
  readonly k: number
  /** Who wants it. With nobody left it is given up, unless it is {@link kept}. */
  holders = 0
  /** It goes on with nobody waiting: somebody was served from it, or a walk makes it on its way. */
  kept = false
  /** Its beginning is in the catalog already and it is made again, longer than it was. */
  extend = false
  /** Items and content that were there, when it is made again because there may be more now. */
  prefix: { readonly count: number; readonly crc: number } | undefined
  /** The length that the data have at least. */
  least = 0
  /** A walk makes it on its way to another one: it is stored only where that costs nobody anything. */
  passing = false
  /** It has done all that it can do without a walk. */
  needsWalk = false
  /** Somebody else makes its shard, and is waited for. */
  isElsewhere = false
  /** Sends it back to look for its shard again; set while it waits for a walk. */
  back: (() => void) | undefined
  /** The walk is in it: it owns the lease and the writer. */
  isInWork = false
  /** The reader it is made for, if that reads in order. */
  driver: object | undefined
  /** Room has been made for it already. */
  retried = false
  /** Why it is not stored. */
  cause: unknown
  lease: Lease | undefined
  /** Content that it must come back with. */
  expected: number | undefined
  /** Items made so far are in here. */
  writer: ShardWriter<T> | undefined
  /** Its items are not given out before they have been compared. */
  hidden = false
  /** The walk that makes it now. */
  walk: Walk<T> | undefined
  outcome: Outcome | undefined
  error: unknown
  /** When ready: reads it, even if it could not be stored. */
  reader: ShardReader<T> | undefined
  /** The writer asks `wake()` for this many items. */
  wakeAt = Number.POSITIVE_INFINITY
  readonly #waiting = new Set<Waiting>()
  #onDone: (() => void)[] = []

  constructor(k: number) {
    this.k = k
  }

  /** So many items can be read. */
  get there(): number {
    return this.hidden || this.writer === undefined ? 0 : this.writer.count
  }

  /** Resolves when `count` items are there or the job has ended; rejects with `signal.reason`. */
  wait(count: number, signal?: AbortSignal): Promise<void> {
    if (this.outcome !== undefined || this.there >= count) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        count,
        wake: () => {
          off()
          resolve()
        },
      }
      this.#waiting.add(waiting)
      if (count < this.wakeAt) this.wakeAt = count
      const off = onAbort(signal, (reason) => {
        this.#waiting.delete(waiting)
        reject(reason)
      })
    })
  }

  /** Somebody's item has come. */
  wake(): void {
    const there = this.there
    this.wakeAt = Number.POSITIVE_INFINITY
    for (const waiting of this.#waiting) {
      if (waiting.count <= there || this.outcome !== undefined) {
        this.#waiting.delete(waiting)
        waiting.wake()
      } else if (waiting.count < this.wakeAt) this.wakeAt = waiting.count
    }
  }

  /** Calls `fn` when the job has ended, at once if it has. */
  onDone(fn: () => void): void {
    if (this.outcome !== undefined) fn()
    else this.#onDone.push(fn)
  }

  end(outcome: Outcome, error?: unknown): void {
    if (this.outcome !== undefined) return
    this.outcome = outcome
    this.error = error
    this.walk = undefined
    this.wake()
    const told = this.#onDone
    this.#onDone = []
    for (const fn of told) fn()
  }
}

/** Drops what a job has made. */
export function discard<T>(job: Job<T>): void {
  const { writer } = job
  job.writer = undefined
  void writer?.discard()
}
