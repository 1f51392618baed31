/** A moment of a long operation. All times are milliseconds; `rate` is items per second, smoothed. */
export interface Progress {
  /** What is being done now, e.g. `'running'`. */
  readonly phase: string
  /** Items finished so far. */
  readonly done: number
  /** Items in all, where that is known. */
  readonly total?: number
  /** Bytes handled so far, where bytes are counted. */
  readonly bytes?: number
  /** Milliseconds since the start. */
  readonly elapsedMs: number
  /** Items per second, smoothed over the last seconds. */
  readonly rate: number
  /** Milliseconds to the end at this rate; absent until something is done or when `total` is unknown. */
  readonly etaMs?: number
}
