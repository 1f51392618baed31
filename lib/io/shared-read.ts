import { onAbort } from '../base/abort.js'

/** One read for several callers. It is aborted when all of them have aborted, not before. */
export class SharedRead<T> {
  readonly #stop = new AbortController()
  readonly #result: Promise<T>
  #callers = 0

  /** Starts `read` at once. */
  constructor(read: (signal: AbortSignal) => Promise<T>) {
    this.#result = read(this.#stop.signal)
    // Whoever waits gets the failure; when nobody is left it is nobody's.
    this.#result.catch(() => {})
  }

  /** Aborts when all callers have gone: joining after that would give an abort that is not one's own. */
  get signal(): AbortSignal {
    return this.#stop.signal
  }

  /** The result, or a rejection with `signal.reason`. */
  join(signal?: AbortSignal): Promise<T> {
    this.#callers++
    if (signal === undefined) return this.#result
    return new Promise<T>((resolve, reject) => {
      const off = onAbort(signal, (reason) => {
        reject(reason)
        if (--this.#callers === 0) this.#stop.abort(reason)
      })
      this.#result.then(
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
}
