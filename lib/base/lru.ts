import { ArgumentError } from './errors.js'

/** What a cache may hold, and who is told when an entry goes. */
export interface LruOptions<K, V> {
  /** Entries at most; default: no limit. */
  maxItems?: number
  /** Sum of weights at most; default: no limit. An entry that is heavier by itself is not kept. */
  maxWeight?: number
  /** What an entry weighs, e.g. its bytes; default 1. Asked once, when it is set. */
  weigh?: (value: V, key: K) => number
  /** An entry has gone: pushed out, replaced, deleted or cleared. */
  onEvict?: (key: K, value: V) => void
}

/** A map that drops what was used least recently once it has too many entries or they weigh too much. */
export class Lru<K, V> {
  // A Map keeps the order of insertion: an entry that is used is put in anew.
  readonly #entries = new Map<K, { readonly value: V; readonly weight: number }>()
  readonly #maxItems: number
  readonly #maxWeight: number
  readonly #weigh: ((value: V, key: K) => number) | undefined
  readonly #onEvict: ((key: K, value: V) => void) | undefined
  #weight = 0

  constructor(options: LruOptions<K, V> = {}) {
    const { maxItems = Number.POSITIVE_INFINITY, maxWeight = Number.POSITIVE_INFINITY } = options
    if (!(maxItems >= 0)) throw new ArgumentError('options.maxItems', 'a number >= 0', maxItems)
    if (!(maxWeight >= 0)) throw new ArgumentError('options.maxWeight', 'a number >= 0', maxWeight)
    this.#maxItems = maxItems
    this.#maxWeight = maxWeight
    this.#weigh = options.weigh
    this.#onEvict = options.onEvict
  }

  get size(): number {
    return this.#entries.size
  }

  /** Sum of the weights of all entries. */
  get weight(): number {
    return this.#weight
  }

  /** The value, which counts as used now. */
  get(key: K): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    return entry.value
  }

  /** The value, which does not count as used. */
  peek(key: K): V | undefined {
    return this.#entries.get(key)?.value
  }

  set(key: K, value: V): void {
    this.delete(key)
    const weight = this.#weigh?.(value, key) ?? 1
    if (!(weight >= 0)) throw new ArgumentError('weigh()', 'a number >= 0', weight)
    this.#entries.set(key, { value, weight })
    this.#weight += weight
    while (this.#entries.size > this.#maxItems || this.#weight > this.#maxWeight) {
      const [oldest] = this.#entries.keys()
      if (oldest === undefined && this.#entries.size === 0) break
      this.delete(oldest as K)
    }
  }

  /** True if it was there. */
  delete(key: K): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined) return false
    this.#entries.delete(key)
    this.#weight -= entry.weight
    this.#onEvict?.(key, entry.value)
    return true
  }

  clear(): void {
    for (const key of [...this.#entries.keys()]) this.delete(key)
  }
}
