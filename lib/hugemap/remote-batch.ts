import { ArgumentError, StoreError } from '../base/errors.js'
import { Arena } from '../store/operations.js'
import type { RemoteWriter } from './remote-writer.js'

/** What `batch` writes to; see {@link RemoteMap.batch}. */
export interface RemoteBatch<K, V> {
  set(key: K, value: V): this
  delete(key: K): this
  /** None of it is done unless the key has this value now, compared as stored bytes; undefined: is absent. */
  require(key: K, value: V | undefined): this
}

/** What a batch asks for, as one group; undefined: nothing. Throws what `fn` throws, and `MILL_INVALID_ARGUMENT`. */
export function groupOf<K, V>(writer: RemoteWriter<K, V>, fn: (batch: RemoteBatch<K, V>) => void): Arena | undefined {
  const arena = new Arena(1024)
  const batch = new ArenaBatch(arena, writer)
  arena.group(() => {
    try {
      const result: unknown = fn(batch)
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function') {
        throw new ArgumentError('fn', 'synchronous', result)
      }
    } finally {
      batch.open = false
    }
  }, true)
  return arena.count === 1 ? undefined : arena // the group alone
}

/** Writes a batch into an arena, as long as its function runs. */
class ArenaBatch<K, V> implements RemoteBatch<K, V> {
  open = true
  readonly #arena: Arena
  readonly #writer: RemoteWriter<K, V>

  constructor(arena: Arena, writer: RemoteWriter<K, V>) {
    this.#arena = arena
    this.#writer = writer
  }

  set(key: K, value: V): this {
    const bytes = this.#keyBytes(key)
    this.#arena.set(this.#writer.table.id, bytes, this.#writer.recordBytes(bytes, value, true))
    return this
  }

  delete(key: K): this {
    this.#arena.delete(this.#writer.table.id, this.#keyBytes(key))
    return this
  }

  require(key: K, value: V | undefined): this {
    const bytes = this.#keyBytes(key)
    const expect = value === undefined ? null : this.#writer.recordBytes(bytes, value, false)
    this.#arena.require(this.#writer.table.id, bytes, expect)
    return this
  }

  #keyBytes(key: K): Uint8Array {
    if (!this.open) throw new StoreError('MILL_CLOSED', 'This batch is over')
    return this.#writer.keyBytes(key)
  }
}
