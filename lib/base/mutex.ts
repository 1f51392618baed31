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

  /** Is this key being worked on? */
  has(key: K): boolean {
    return this.#flights.has(key)
  }

  /**
   * The result of the run of `fn` that is under way for this key, or of a new one. A rejection is shared, not kept.
   * @param fn is given a function that says whether this run is still the one of its key, or was forgotten
   */
  run(key: K, fn: (current: () => boolean) => V | PromiseLike<V>, signal?: AbortSignal): Promise<V> {
    const flight = this.#flights.get(key)
    if (flight !== undefined) return abortable(flight, signal)
    let mine: Promise<V> | undefined
    const current = (): boolean => this.#flights.get(key) === mine
    const fresh = new Promise<V>((resolve) => resolve(fn(current)))
    mine = fresh
    this.#flights.set(key, fresh)
    const landed = (): void => {
      if (current()) this.#flights.delete(key)
    }
    fresh.then(landed, landed)
    return abortable(fresh, signal)
  }

  /** Whoever asks for this key from now on starts a new run; who waits for the one under way goes on waiting. */
  forget(key: K): void {
    this.#flights.delete(key)
  }

  /** {@link forget}s all. */
  clear(): void {
    this.#flights.clear()
  }
}
