import { StoreError } from '../base/errors.js'
import { Arena } from '../store/operations.js'
import type { MapWriter } from './map-writer.js'
import type { Overlay } from './overlay.js'
import type { WritingMap } from './writing-map.js'

/** What an arena for a few operations begins with. */
const SMALL = 1024

/** Writes that are done together or not at all. */
export interface Batch<K, V> {
  set(key: K, value: V): this
  delete(key: K): this
  /** None of it is done unless the key has this value now, compared as stored bytes; undefined: is absent. */
  require(key: K, value: V | undefined): this
  /** The same batch, writing to another map of the same folder. */
  on<K2, V2>(map: WritingMap<K2, V2>): Batch<K2, V2>
}

/** The operations of a batch, over one or more maps of a store. */
export class Group {
  readonly arena = new Arena(SMALL)
  readonly overlays = new Set<Overlay>()
  #open = true

  get isEmpty(): boolean {
    return this.arena.count === 0
  }

  /** A batch that was kept and is used after its function has returned would write nothing without a word. */
  check(): void {
    if (!this.#open) throw new StoreError('MILL_CLOSED', 'This batch or transaction is over')
  }

  end(): void {
    this.#open = false
  }

  set<K, V>(writer: MapWriter<K, V>, key: K, value: V): void {
    this.check()
    const bytes = writer.keyBytes(key)
    this.arena.set(writer.table.id, bytes, writer.recordBytes(bytes, value, true))
    this.overlays.add(writer.overlay)
  }

  delete<K, V>(writer: MapWriter<K, V>, key: K): void {
    this.check()
    this.arena.delete(writer.table.id, writer.keyBytes(key))
    this.overlays.add(writer.overlay)
  }

  require<K, V>(writer: MapWriter<K, V>, key: K, value: V | undefined): void {
    this.check()
    const bytes = writer.keyBytes(key)
    this.arena.require(writer.table.id, bytes, value === undefined ? null : writer.recordBytes(bytes, value, false))
  }
}

/** {@link Batch} of one map. `other` gives the writer of another map of the same store, or throws. */
export class MapBatch<K, V> implements Batch<K, V> {
  readonly #group: Group
  readonly #writer: MapWriter<K, V>
  readonly #other: <K2, V2>(map: WritingMap<K2, V2>) => MapWriter<K2, V2>

  constructor(group: Group, writer: MapWriter<K, V>, other: <K2, V2>(map: WritingMap<K2, V2>) => MapWriter<K2, V2>) {
    this.#group = group
    this.#writer = writer
    this.#other = other
  }

  set(key: K, value: V): this {
    this.#group.set(this.#writer, key, value)
    return this
  }

  delete(key: K): this {
    this.#group.delete(this.#writer, key)
    return this
  }

  require(key: K, value: V | undefined): this {
    this.#group.require(this.#writer, key, value)
    return this
  }

  on<K2, V2>(map: WritingMap<K2, V2>): Batch<K2, V2> {
    this.#group.check()
    return new MapBatch(this.#group, this.#other(map), this.#other)
  }
}
