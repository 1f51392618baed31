// What lanes and threads share. A thread loads this file: it imports nothing.

const MAX_DELAY = 30_000

/** Milliseconds before the attempt that follows a failed one: doubled each time, at most 30 s. */
export const retryDelay = (delayMs: number, failed: number): number =>
  delayMs === 0 ? 0 : Math.min(MAX_DELAY, delayMs * 2 ** (failed - 1))

/** What a chunk function gives is waited for only if there is something to wait for. */
export const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
  typeof (value as { then?: unknown }).then === 'function'
