/** Reads up to so many bytes may hold the event loop. */
export const MOST_SYNC_BYTES = 65_536
/** As long as they take less than this on the average, in milliseconds. */
const MOST_MEAN_MS = 0.25
/** Else so many reads are asynchronous before the next one is tried. */
const ASYNC_READS = 64
/** Weight of the newest read in the mean. */
const NEWEST = 1 / 16
/** A read counts for so much at most, in milliseconds: a single one may have met a busy processor instead of a slow disk. */
const MOST_MS = 1
/** After a pause one slow read is enough for the next pause. */
const AFTER_PAUSE_MS = 0.9 * MOST_MEAN_MS

/**
 * Whether small reads may be synchronous. With the bytes in the page cache such a read takes 1.7 µs against 15 to 48 of an
 * asynchronous one; from a disk it may take milliseconds.
 */
export class ReadPace {
  #mean = 0
  #async = 0

  /** May a read of so many bytes be synchronous now? */
  allows(bytes: number): boolean {
    if (bytes > MOST_SYNC_BYTES) return false
    if (this.#async === 0) return true
    this.#async--
    return false
  }

  /** A synchronous read took so long, in milliseconds. */
  took(ms: number): void {
    this.#mean += (Math.min(ms, MOST_MS) - this.#mean) * NEWEST
    if (this.#mean < MOST_MEAN_MS) return
    this.#async = ASYNC_READS
    this.#mean = AFTER_PAUSE_MS
  }
}
