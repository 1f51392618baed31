import type { Range, ReadableMap } from '../../types/hugemap.js'
import { latin1 } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { Lru } from '../base/lru.js'
import type { WritingMap } from './writing-map.js'

const MAX_ITEMS = 10_000

/** The verbs of a map that keeps decoded values in memory; see `CachedMap`. */
export interface CacheOf<K, V> extends ReadableMap<K, V> {
  /** As `set` of the map; the value itself is not kept. */
  set(key: K, value: V): Promise<boolean>
  delete(key: K): Promise<boolean>
  /** Takes values that are known to be in the map, so that they need not be read. */
  preset(entries: Iterable<readonly [K, V]>): this
}

/** What is cached here: a map of this room that is written to. */
type Cacheable<K, V> = WritingMap<K, V> & Pick<CacheOf<K, V>, 'set' | 'delete'>

/** See {@link CacheOf}. */
export class MapCache<K, V, M extends Cacheable<K, V> = Cacheable<K, V>> implements CacheOf<K, V> {
  readonly map: M
  /** By the bytes of the key. */
  readonly #values: Lru<string, { readonly value: V }>
  /** Whether others have written is looked at once per turn of the event loop. */
  #looked = false
  #foreign: number
  #version: number

  constructor(map: M, options: { maxItems?: number }) {
    const { maxItems = MAX_ITEMS } = options
    if (!(maxItems === Number.POSITIVE_INFINITY || (Number.isSafeInteger(maxItems) && maxItems > 0))) {
      throw new ArgumentError('options.maxItems', 'a whole number > 0', maxItems)
    }
    this.map = map
    this.#values = new Lru({ maxItems })
    const { committer, overlay } = map._writer
    this.#foreign = committer.foreignCommits()
    this.#version = overlay.version
  }

  get(key: K): V | undefined {
    this.map._check()
    const name = this.#name(key)
    this.#look()
    const kept = this.#values.get(name)
    if (kept !== undefined) return kept.value
    const value = this.map.get(key)
    if (value !== undefined) this.#values.set(name, { value })
    return value
  }

  has(key: K): boolean {
    this.map._check()
    const name = this.#name(key)
    this.#look()
    return this.#values.peek(name) !== undefined || this.map.has(key)
  }

  entries(range?: Range<K>): IterableIterator<[K, V]> {
    return this.map.entries(range)
  }

  keys(range?: Range<K>): IterableIterator<K> {
    return this.map.keys(range)
  }

  values(range?: Range<K>): IterableIterator<V> {
    return this.map.values(range)
  }

  count(range?: Range<K>): number {
    return this.map.count(range)
  }

  forEach(fn: (value: V, key: K, map: this) => void): void {
    if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
    for (const [key, value] of this.map.entries()) fn(value, key, this)
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.map.entries()
  }

  set(key: K, value: V): Promise<boolean> {
    return this.#write(key, () => this.map.set(key, value))
  }

  delete(key: K): Promise<boolean> {
    return this.#write(key, () => this.map.delete(key))
  }

  preset(entries: Iterable<readonly [K, V]>): this {
    this.map._check()
    this.#look()
    for (const [key, value] of entries) this.#values.set(this.#name(key), { value })
    return this
  }

  /** A write of our own drops one value, not all. */
  #write(key: K, write: () => Promise<boolean>): Promise<boolean> {
    const { overlay } = this.map._writer
    this.#look()
    const { version } = overlay
    const written = write()
    if (overlay.version === version + 1) {
      this.#version = overlay.version
      this.#values.delete(this.#name(key))
    }
    return written
  }

  #look(): void {
    const { committer, overlay } = this.map._writer
    if (overlay.version !== this.#version) this.#values.clear()
    this.#version = overlay.version
    if (this.#looked) return
    this.#looked = true
    setImmediate(this.#turnOver)
    const foreign = committer.foreignCommits()
    if (foreign !== this.#foreign) this.#values.clear()
    this.#foreign = foreign
  }

  readonly #turnOver = (): void => {
    this.#looked = false
  }

  #name(key: K): string {
    const { keys } = this.map._parts
    const length = keys.encode(key)
    return latin1(keys.scratch, 0, length)
  }
}
