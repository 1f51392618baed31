import type { Catalog, CatalogKey } from '../../types/catalog.js'
import { compareBytes } from '../base/bytes.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { decodeKey, decodeValue, encodeKey, encodeValue, keyText } from './catalog-codec.js'

/** An entry as bytes. */
export type CatalogEntry = readonly [key: Uint8Array, value: Uint8Array]

/** A change of a transaction: a new value, or undefined for none. */
export interface CatalogChange {
  readonly key: Uint8Array
  readonly value: Uint8Array | undefined
}

/** What a catalog's entries lie in: memory, or a file. Bytes that it gives are copies, or are never written to again. */
export interface CatalogEngine {
  /** Where it lies, for messages. */
  readonly path: string
  get(key: Uint8Array): Uint8Array | undefined
  /** Entries from `from` (with it) to `to` (without it), sorted, or from the last one back; at most `limit`. */
  range(from: Uint8Array, to: Uint8Array, reverse: boolean, limit: number): CatalogEntry[]
  /** Runs `work` alone among all processes, then applies the changes it returns, all or none. */
  locked(work: () => readonly CatalogChange[]): void
  refresh(): void
  close(): Promise<void>
}

/**
 * A catalog over some engine. What a transaction puts is held back until its work is done, so that a throw leaves nothing
 * to undo, and the engine knows what it will need before it writes the first byte.
 */
export class CatalogBook implements Catalog {
  readonly #engine: CatalogEngine
  /** By the text of the key; there is one only within a transaction. */
  #changes: Map<string, CatalogChange> | undefined
  #closing: Promise<void> | undefined

  constructor(engine: CatalogEngine) {
    this.#engine = engine
  }

  get(key: CatalogKey): unknown {
    this.#check()
    const bytes = encodeKey(key)
    const change = this.#changes?.get(keyText(bytes))
    return decodeValue(change === undefined ? this.#engine.get(bytes) : change.value)
  }

  *range(
    from: CatalogKey,
    to: CatalogKey,
    options: { reverse?: boolean; limit?: number } = {},
  ): Generator<readonly [CatalogKey, unknown]> {
    const { reverse = false, limit = Number.POSITIVE_INFINITY } = options
    if (typeof limit !== 'number' || !(limit >= 0)) throw new ArgumentError('options.limit', 'a number >= 0', limit)
    this.#check()
    for (const [key, value] of this.#merged(encodeKey(from), encodeKey(to), reverse, limit)) {
      yield [decodeKey(key), decodeValue(value)]
    }
  }

  #merged(from: Uint8Array, to: Uint8Array, reverse: boolean, limit: number): readonly CatalogEntry[] {
    const changed = [...(this.#changes?.values() ?? [])].filter(
      ({ key }) => compareBytes(key, from) >= 0 && compareBytes(key, to) < 0,
    )
    // Each change takes away one entry at most.
    const found = this.#engine.range(from, to, reverse, limit + changed.length)
    if (changed.length === 0) return found
    const entries = new Map(found.map((entry) => [keyText(entry[0]), entry]))
    for (const { key, value } of changed) {
      if (value === undefined) entries.delete(keyText(key))
      else entries.set(keyText(key), [key, value])
    }
    const sorted = [...entries.values()].sort(([a], [b]) => (reverse ? compareBytes(b, a) : compareBytes(a, b)))
    return sorted.slice(0, limit)
  }

  put(key: CatalogKey, value: unknown): void {
    const bytes = encodeKey(key)
    this.#writing().set(keyText(bytes), { key: bytes, value: encodeValue(value) })
  }

  delete(key: CatalogKey): boolean {
    const changes = this.#writing()
    const bytes = encodeKey(key)
    const text = keyText(bytes)
    const change = changes.get(text)
    const there = (change === undefined ? this.#engine.get(bytes) : change.value) !== undefined
    if (there) changes.set(text, { key: bytes, value: undefined })
    return there
  }

  transact<R>(work: () => R): R {
    this.#check()
    if (this.#changes !== undefined) throw new ArgumentError('transact()', 'outside other transactions', 'one within')
    let result: R | undefined
    try {
      this.#engine.locked(() => {
        const changes = new Map<string, CatalogChange>()
        this.#changes = changes
        result = work()
        if (typeof (result as { then?: unknown } | undefined)?.then === 'function') {
          throw new ArgumentError('work', 'synchronous', result)
        }
        return [...changes.values()]
      })
    } finally {
      this.#changes = undefined
    }
    return result as R
  }

  refresh(): void {
    this.#check()
    this.#engine.refresh()
  }

  close(): Promise<void> {
    this.#closing ??= this.#engine.close()
    return this.#closing
  }

  #check(): void {
    if (this.#closing === undefined) return
    const { path } = this.#engine
    throw new StoreError('MILL_CLOSED', `The catalog ${path} is closed`, { path })
  }

  #writing(): Map<string, CatalogChange> {
    this.#check()
    if (this.#changes === undefined)
      throw new ArgumentError('put() and delete()', 'within transact()', 'a call outside')
    return this.#changes
  }
}
