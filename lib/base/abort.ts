import { ArgumentError } from './errors.js'

const nothing = (): void => {}

/** Calls `fn` with the reason once the signal aborts, at once if it has. The returned function takes the listener away. */
export function onAbort(signal: AbortSignal | undefined, fn: (reason: unknown) => void): () => void {
  if (signal === undefined) return nothing
  if (signal.aborted) {
    fn(signal.reason)
    return nothing
  }
  const listener = (): void => fn(signal.reason)
  signal.addEventListener('abort', listener, { once: true })
  return () => signal.removeEventListener('abort', listener)
}

/**
 * The promise, or a rejection with `signal.reason` as soon as the signal aborts. What the promise does after that is
 * ignored, its rejection too; stopping the work behind it is up to the caller.
 */
export function abortable<T>(promise: PromiseLike<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return Promise.resolve(promise)
  return new Promise<T>((resolve, reject) => {
    const off = onAbort(signal, reject)
    promise.then(
      (value) => {
        off()
        resolve(value)
      },
      (error) => {
        off()
        reject(error)
      },
    )
  })
}

/** Resolves after `ms` milliseconds; rejects with `signal.reason` if that comes first, and leaves no timer behind. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const timer = setTimeout(() => {
      off()
      resolve()
    }, ms)
    const off = onAbort(signal, (reason) => {
      clearTimeout(timer)
      reject(reason)
    })
  })
}

/** `options.signal` as given, or an error if it is something else. */
export function checkSignal(signal: unknown, argument = 'options.signal'): AbortSignal | undefined {
  if (signal === undefined) return undefined
  const { aborted, addEventListener } = (signal ?? {}) as Partial<AbortSignal>
  if (typeof aborted === 'boolean' && typeof addEventListener === 'function') return signal as AbortSignal
  throw new ArgumentError(argument, 'an AbortSignal', signal)
}
