import type { Store, StoreTable } from '../../types/store.js'
import { Arena } from '../store/operations.js'
import type { PairFeeder } from './feeder.js'
import type { KeyCoder } from './key-coder.js'
import { RecordCoder, type Verify } from './record-coder.js'
import type { ValueCodec } from './values.js'

/** Operations that are sent together, and how many such pieces may be under way. */
const PIECE_BYTES = 262_144
const UNDER_WAY = 4

/** Keys and values of one map to operations of its store. */
export class RemoteWriter<K, V> extends RecordCoder<K, V> {
  readonly store: Store
  readonly table: StoreTable

  constructor(store: Store, table: StoreTable, keys: KeyCoder<K>, values: ValueCodec<V>, verify: Verify) {
    super(keys, values, verify)
    this.store = store
    this.table = table
  }

  /** Throws what {@link ValueCodec.decode} throws. */
  value(key: Uint8Array, record: Uint8Array): V {
    return this.values.decode(key, key.length, record, 0, record.length)
  }
}

/** Writes a stream of pairs in pieces; whoever feeds it waits while four are under way. */
export class RemoteFeeder<K, V> implements PairFeeder<K, V> {
  count = 0
  readonly #writer: RemoteWriter<K, V>
  readonly #check: () => void
  readonly #under = new Set<Promise<unknown>>()
  #arena = new Arena(PIECE_BYTES)
  #fault: { readonly cause: unknown } | undefined

  /** @param check throws once the map is closed */
  constructor(writer: RemoteWriter<K, V>, check: () => void) {
    this.#writer = writer
    this.#check = check
  }

  put(key: K, value: V): void {
    if (this.#fault !== undefined) throw this.#fault.cause
    this.#check()
    const bytes = this.#writer.keyBytes(key)
    this.#arena.set(this.#writer.table.id, bytes, this.#writer.recordBytes(bytes, value, true))
    this.count++
    if (this.#arena.length >= PIECE_BYTES) this.#send()
  }

  room(): Promise<void> | undefined {
    if (this.#under.size < UNDER_WAY) return undefined
    return Promise.race(this.#under).then(
      () => {},
      () => {},
    )
  }

  async finish(): Promise<void> {
    if (this.#arena.count > 0) this.#send()
    await Promise.allSettled(this.#under)
    if (this.#fault !== undefined) throw this.#fault.cause
  }

  #send(): void {
    const writing = this.#writer.store.write(this.#arena).then(
      () => void this.#under.delete(writing),
      (cause) => {
        this.#fault ??= { cause }
        this.#under.delete(writing)
      },
    )
    this.#under.add(writing)
    this.#arena = new Arena(PIECE_BYTES) // the other one stays as it is until it is written
  }
}
