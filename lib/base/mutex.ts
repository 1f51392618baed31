import { abortable, onAbort } from './abort.js'
import { ArgumentError } from './errors.js'

/** At most `n` at a time; the others wait in the order in which they came. */
export class Semaphore {
  #free: number
  /** Who waits, in order; one that gave up leaves. */
  readonly #waiting = new Set<() => void>()

  constructor(n: number) {
    if (!(Number.isSafeInteger(n) && n > 0)) throw new ArgumentError('n', 'a whole number > 0', n)
    this.#free = n
  }

  /**
   * Runs `fn` when it is its turn. An abort while waiting rejects with `signal.reason`, and `fn` never runs; once it
   * runs, the signal is its own affair.
   */
  async run<T>(fn: () => T | PromiseLike<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted()
    if (this.#free > 0) this.#free--
    else await this.#turn(signal)
    try {
      return await fn()
    } finally {
      const [next] = this.#waiting
      if (next === undefined) this.#free++
      else {
        // The place goes straight to the next one: nobody who comes later can slip in between.
        this.#waiting.delete(next)
        next()
      }
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const go = (): void => {
        off()
        resolve()
      }
      this.#waiting.add(go)
      const off = onAbort(signal, (reason) => {
        this.#waiting.delete(go)
        reject(reason)
      })
    })
  }
}

/** One at a time, in order. */
export class Mutex extends Semaphore {
  constructor() {
    super(1)
  }
}

/** Whoever asks for a key while it is being worked on gets the same promise. */
export class SingleFlight<K, V> {
  readonly #flights = new Map<K, Promise<V>>()

  /** How many keys are being worked on. */
  get size(): number {
    return this.#flights.size
  }

  /** The result of the run of `fn` that is under way for this key, or of a new one. A rejection is shared, not kept. */
  run(key: K, fn: () => V | PromiseLike<V>, signal?: AbortSignal): Promise<V> {
    let flight = this.#flights.get(key)
    if (flight === undefined) {
      flight = new Promise<V>((resolve) => resolve(fn()))
      this.#flights.set(key, flight)
      const landed = (): void => void this.#flights.delete(key)
      flight.then(landed, landed)
    }
    return abortable(flight, signal)
  }
}
