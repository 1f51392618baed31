import type { Range, ReadableMap } from '../../types/hugemap.js'
import type { Key, KeyCodec } from '../../types/key.js'
import { latin1 } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { keyCodecOf } from '../codec/keys.js'
import { MapCache } from './cached-map.js'
import { KeyCoder } from './key-coder.js'
import { MapBase } from './map-base.js'
import { boundsOf, StringBounds } from './ranges.js'

/** No key of any engine is longer. */
const MOST_KEY = 0xffff

type Link<K, V> = ReadableMap<K, V> | Map<K, V>

/** An entry, and the bytes of its key as a string. */
interface Stop<K, V> {
  readonly name: string
  readonly key: K
  readonly value: V
}

/**
 * Several maps as one: the first that has a key wins, each key comes once, in order. Keys sort as they do in the first
 * map that is on disk; if there is none, as keys of the codec `'any'` do. Plain Maps are sorted once per iteration. It has
 * no `size`, which would have to be counted: {@link ChainedMap.count}. Closes nothing.
 */
export class ChainedMap<K = Key, V = unknown> implements ReadableMap<K, V> {
  readonly #maps: readonly Link<K, V>[]
  readonly #keys: KeyCoder<K>

  /** Throws `MILL_INVALID_ARGUMENT` for what is neither a Map nor has the methods of one. */
  constructor(...maps: Link<K, V>[]) {
    for (const map of maps) {
      if (!(map instanceof Map) && typeof (map as Partial<ReadableMap<K, V>> | null)?.entries !== 'function') {
        throw new ArgumentError('maps', 'maps', map)
      }
    }
    this.#maps = maps
    this.#keys = new KeyCoder(codecOf(maps) ?? (keyCodecOf('any') as unknown as KeyCodec<K>), MOST_KEY)
  }

  get(key: K): V | undefined {
    for (const map of this.#maps) {
      const own = map instanceof Map ? this.#inPlain(map, key) : { key }
      if (own !== undefined && map.has(own.key)) return map.get(own.key)
    }
    return undefined
  }

  has(key: K): boolean {
    for (const map of this.#maps) {
      const own = map instanceof Map ? this.#inPlain(map, key) : { key }
      if (own !== undefined && map.has(own.key)) return true
    }
    return false
  }

  /** A Map tells bytes and tuples apart by identity, we by what is in them. */
  #inPlain(map: Map<K, V>, key: K): { readonly key: K } | undefined {
    if (typeof key !== 'object' || key === null || map.has(key)) return { key }
    const name = this.#name(key)
    for (const other of map.keys()) {
      if (typeof other === 'object' && this.#name(other) === name) return { key: other }
    }
    return undefined
  }

  *entries(range?: Range<K>): IterableIterator<[K, V]> {
    for (const { key, value } of this.#merge(range)) yield [key, value]
  }

  *keys(range?: Range<K>): IterableIterator<K> {
    for (const { key } of this.#merge(range)) yield key
  }

  *values(range?: Range<K>): IterableIterator<V> {
    for (const { value } of this.#merge(range)) yield value
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries()
  }

  count(range?: Range<K>): number {
    let count = 0
    for (const _ of this.#merge(range)) count++
    return count
  }

  forEach(fn: (value: V, key: K, map: this) => void): void {
    if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
    for (const [key, value] of this.entries()) fn(value, key, this)
  }

  *#merge(range: Range<K> | undefined): Generator<Stop<K, V>, void, undefined> {
    const { range: bytes, limit } = boundsOf(this.#keys, range)
    const reverse = bytes.reverse === true
    const bounds = new StringBounds(bytes)
    const { limit: _, ...unlimited } = range ?? {}
    const walks = this.#maps.map((map) =>
      map instanceof Map ? this.#sorted(map, bounds, reverse) : this.#named(map.entries(unlimited)),
    )
    const heads = walks.map((walk) => walk.next().value as Stop<K, V> | undefined)
    try {
      for (let left = limit; left > 0; left--) {
        let first: Stop<K, V> | undefined
        for (const head of heads) {
          if (head === undefined) continue
          if (first === undefined || (reverse ? head.name > first.name : head.name < first.name)) first = head
        }
        if (first === undefined) return
        yield first
        // The same key in maps behind the one that won is left out.
        for (let i = 0; i < heads.length; i++) {
          if (heads[i]?.name === first.name) heads[i] = walks[i]?.next().value as Stop<K, V> | undefined
        }
      }
    } finally {
      for (const walk of walks) walk.return?.()
    }
  }

  *#sorted(map: Map<K, V>, bounds: StringBounds, reverse: boolean): Generator<Stop<K, V>, void, undefined> {
    const stops: Stop<K, V>[] = []
    for (const [key, value] of map) {
      const name = this.#name(key)
      if (bounds.has(name)) stops.push({ name, key, value })
    }
    const before = reverse ? 1 : -1
    yield* stops.sort((a, b) => (a.name < b.name ? before : a.name > b.name ? -before : 0))
  }

  *#named(entries: IterableIterator<[K, V]>): Generator<Stop<K, V>, void, undefined> {
    for (const [key, value] of entries) yield { name: this.#name(key), key, value }
  }

  #name(key: K): string {
    const length = this.#keys.encode(key)
    return latin1(this.#keys.scratch, 0, length)
  }
}

/** The codec of the first map that has one. */
function codecOf<K, V>(maps: readonly Link<K, V>[]): KeyCodec<K> | undefined {
  for (const map of maps) {
    const base = map instanceof MapCache ? (map as MapCache<K, V>).map : map
    if (base instanceof MapBase) return (base as MapBase<K, V>)._parts.keys.codec
  }
  return undefined
}
