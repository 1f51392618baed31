import type { Range, ReadableMap } from '../../types/hugemap.js'
import type { LocalSnapshot, LocalTable } from '../../types/store.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import type { KeyCoder } from './key-coder.js'
import { DELETED, type Overlay } from './overlay.js'
import { boundsOf } from './ranges.js'
import type { ValueCodec } from './values.js'
import { Walk } from './walk.js'

/** What the readers of a map need to know of it. */
export interface MapParts<K, V> {
  readonly table: LocalTable
  readonly keys: KeyCoder<K>
  readonly values: ValueCodec<V>
  /** What is not on the disk yet; undefined: nobody wants to see it. */
  readonly overlay: Overlay | undefined
  /** The state that is read; undefined: that of now. */
  readonly at: LocalSnapshot | undefined
}

const ENTRIES = 0
const KEYS = 1
const VALUES = 2

/** Reading, as a map and its snapshots do it. */
export abstract class MapBase<K, V> implements ReadableMap<K, V> {
  /** @internal */
  readonly _parts: MapParts<K, V>
  readonly #walks = new Set<MapIterator<K, V, unknown>>()
  #closed = false

  constructor(parts: MapParts<K, V>) {
    this._parts = parts
  }

  get(key: K): V | undefined {
    if (this.#closed) throw closedError(this._label())
    const { table, keys, values, overlay, at } = this._parts
    const length = keys.encode(key)
    const { scratch } = keys
    if (overlay !== undefined && overlay.entries.size > 0) {
      const pending = overlay.get(scratch, length)
      if (pending !== undefined) {
        if (pending.valueLength === DELETED) return undefined
        return values.decode(scratch, length, pending.arena.memory, pending.valueAt, pending.valueLength)
      }
    }
    const record = table.get(scratch, length, at)
    return record === undefined ? undefined : values.decode(scratch, length, record, 0, table.valueLength)
  }

  has(key: K): boolean {
    if (this.#closed) throw closedError(this._label())
    const { table, keys, overlay, at } = this._parts
    const length = keys.encode(key)
    if (overlay !== undefined && overlay.entries.size > 0) {
      const pending = overlay.get(keys.scratch, length)
      if (pending !== undefined) return pending.valueLength !== DELETED
    }
    return table.get(keys.scratch, length, at) !== undefined
  }

  /** Entries; O(1), and a lookup per write under way. */
  get size(): number {
    if (this.#closed) throw closedError(this._label())
    const { table, keys, overlay, at } = this._parts
    let size = at === undefined ? table.size : at.size
    if (overlay === undefined) return size
    const { scratch } = keys
    for (const { key, arena, keyAt, valueLength } of overlay.entries.values()) {
      scratch.set(arena.memory.subarray(keyAt, keyAt + key.length))
      const there = table.get(scratch, key.length) !== undefined
      if (valueLength === DELETED) size -= there ? 1 : 0
      else size += there ? 0 : 1
    }
    return size
  }

  entries(range?: Range<K>): IterableIterator<[K, V]> {
    return new MapIterator<K, V, [K, V]>(this, ENTRIES, range)
  }

  keys(range?: Range<K>): IterableIterator<K> {
    return new MapIterator<K, V, K>(this, KEYS, range)
  }

  values(range?: Range<K>): IterableIterator<V> {
    return new MapIterator<K, V, V>(this, VALUES, range)
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries()
  }

  count(range?: Range<K>): number {
    if (this.#closed) throw closedError(this._label())
    const { table, keys, overlay, at } = this._parts
    const bounds = boundsOf(keys, range)
    if (overlay === undefined || overlay.entries.size === 0) {
      return Math.min(bounds.limit, table.countSync(bounds.range, at))
    }
    const walk = new Walk(table, bounds, overlay, at)
    let count = 0
    while (walk.next()) count++
    return count
  }

  forEach(fn: (value: V, key: K, map: this) => void): void {
    if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
    for (const [key, value] of this.entries()) fn(value, key, this)
  }

  /** For errors: which map. @internal */
  abstract _label(): string

  /** Throws `MILL_CLOSED`. @internal */
  _check(): void {
    if (this.#closed) throw closedError(this._label())
  }

  /** @internal */
  get _closed(): boolean {
    return this.#closed
  }

  /** Nothing can be read any more; iterators that were left open let go of their pages. @internal */
  _shut(): void {
    this.#closed = true
    for (const walk of this.#walks) walk.return()
  }

  /** @internal */
  _opened(walk: MapIterator<K, V, unknown>): void {
    this.#walks.add(walk)
  }

  /** @internal */
  _ended(walk: MapIterator<K, V, unknown>): void {
    this.#walks.delete(walk)
  }
}

/** Use of something after it was closed; `what` begins the message. */
export function closedError(what: string): StoreError {
  return new StoreError('MILL_CLOSED', `${what} is closed`)
}

/** Takes its snapshot at the first `next()`: one that is never used holds nothing. */
export class MapIterator<K, V, T> implements IterableIterator<T> {
  readonly #map: MapBase<K, V>
  readonly #what: number
  readonly #range: Range<K> | undefined
  #walk: Walk | undefined
  #over = false

  constructor(map: MapBase<K, V>, what: number, range: Range<K> | undefined) {
    // A wrong range is told where it was made.
    map._check()
    boundsOf(map._parts.keys, range)
    this.#map = map
    this.#what = what
    this.#range = range
  }

  next(): IteratorResult<T, undefined> {
    if (this.#over) {
      this.#map._check()
      return { done: true, value: undefined }
    }
    const { keys, values } = this.#map._parts
    const walk = this.#walk ?? this.#open()
    try {
      if (walk.next()) {
        const { key, keyLength } = walk
        // The value first: what decodes a key may use the memory that the value lies in.
        const value =
          this.#what === KEYS ? undefined : values.decode(key, keyLength, walk.value, walk.valueAt, walk.valueLength)
        if (this.#what === VALUES) return { done: false, value: value as T }
        const decoded = keys.decode(key, keyLength)
        return { done: false, value: (this.#what === KEYS ? decoded : [decoded, value]) as T }
      }
    } catch (error) {
      this.return()
      throw error
    }
    this.return()
    return { done: true, value: undefined }
  }

  #open(): Walk {
    this.#map._check()
    const { table, keys, overlay, at } = this.#map._parts
    this.#walk = new Walk(table, boundsOf(keys, this.#range), overlay, at)
    this.#map._opened(this)
    return this.#walk
  }

  return(): IteratorResult<T, undefined> {
    this.#over = true
    this.#walk?.close()
    this.#walk = undefined
    this.#map._ended(this)
    return { done: true, value: undefined }
  }

  [Symbol.iterator](): this {
    return this
  }
}
