import { onSharedAbort } from './shared-signal.js'

/** One piece of work for several callers. */
interface Flight<V> {
  readonly promise: Promise<V>
  readonly work: AbortController
  callers: number
}

/**
 * Whoever asks for a key while it is being worked on shares that work, which is aborted only when all who wanted it
 * have. Neither results nor failures are kept.
 */
export class SharedWork<K, V> {
  readonly #flights = new Map<K, Flight<V>>()

  /** Is the key being worked on? */
  has(key: K): boolean {
    return this.#flights.has(key)
  }

  /** What the work on the key comes to: of what is under way, else of a new call of `fn`. Rejects with `signal.reason`. */
  join(key: K, fn: (signal: AbortSignal) => Promise<V>, signal: AbortSignal): Promise<V> {
    const flight = this.#flights.get(key) ?? this.#start(key, fn)
    flight.callers++
    return new Promise<V>((resolve, reject) => {
      const forget = onSharedAbort(signal, (reason) => {
        reject(reason)
        if (--flight.callers > 0) return
        // It can only fail now: who comes next starts anew.
        this.#land(key, flight)
        flight.work.abort(reason)
      })
      flight.promise.then(
        (value) => {
          forget()
          resolve(value)
        },
        (error) => {
          forget()
          reject(error)
        },
      )
    })
  }

  #start(key: K, fn: (signal: AbortSignal) => Promise<V>): Flight<V> {
    const work = new AbortController()
    const flight: Flight<V> = { promise: fn(work.signal), work, callers: 0 }
    this.#flights.set(key, flight)
    const landed = (): void => this.#land(key, flight)
    flight.promise.then(landed, landed)
    return flight
  }

  #land(key: K, flight: Flight<V>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key)
  }
}
