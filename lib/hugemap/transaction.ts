import { sleep } from '../base/abort.js'
import { latin1 } from '../base/bytes.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { Group } from './batch.js'
import type { MapWriter } from './map-writer.js'
import type { WritingMap } from './writing-map.js'

/** Milliseconds that a transaction waits at most before it tries again. */
const LONGEST_PAUSE_MS = 64

/** Reads and writes that see one state, and are done only if that is still the state then. */
export interface Transaction<K, V> {
  /** As it was when the transaction began, or as it was set in it. */
  get(key: K): V | undefined
  has(key: K): boolean
  set(key: K, value: V): void
  delete(key: K): void
  /** The same transaction over another map of the same folder. */
  on<K2, V2>(map: WritingMap<K2, V2>): Transaction<K2, V2>
}

/** What a transaction knows of a key: its record, null where there is none. */
type Known = Uint8Array | null

/** One attempt: what was read becomes conditions, what was written follows them. */
class Attempt {
  readonly group = new Group()
  readonly #known = new Map<MapWriter<never, never>, Map<string, Known>>()
  /** How often a key was set or deleted. */
  writes = 0

  /** The record of a key; the first look at it becomes a condition. */
  read(writer: MapWriter<never, never>, key: Uint8Array): Known {
    this.group.check()
    const known = this.#of(writer)
    const name = latin1(key)
    let record = known.get(name)
    if (record === undefined) {
      const { table } = writer
      const found = table.get(key, key.length)
      record = found === undefined ? null : new Uint8Array(found.buffer, found.byteOffset, table.valueLength).slice()
      known.set(name, record)
      this.group.arena.require(table.id, key, record)
    }
    return record
  }

  write(writer: MapWriter<never, never>, key: Uint8Array, record: Known): void {
    this.group.check()
    this.#of(writer).set(latin1(key), record)
    this.group.overlays.add(writer.overlay)
    this.writes++
    if (record === null) this.group.arena.delete(writer.table.id, key)
    else this.group.arena.set(writer.table.id, key, record)
  }

  #of(writer: MapWriter<never, never>): Map<string, Known> {
    let known = this.#known.get(writer)
    if (known === undefined) {
      known = new Map()
      this.#known.set(writer, known)
    }
    return known
  }
}

/** {@link Transaction} of one map. */
class MapTransaction<K, V> implements Transaction<K, V> {
  readonly #attempt: Attempt
  readonly #writer: MapWriter<K, V>
  readonly #other: Other

  constructor(attempt: Attempt, writer: MapWriter<K, V>, other: Other) {
    this.#attempt = attempt
    this.#writer = writer
    this.#other = other
  }

  get(key: K): V | undefined {
    const bytes = this.#writer.keyBytes(key)
    const record = this.#attempt.read(this.#writer as never, bytes)
    return record === null ? undefined : this.#writer.values.decode(bytes, bytes.length, record, 0, record.length)
  }

  has(key: K): boolean {
    return this.#attempt.read(this.#writer as never, this.#writer.keyBytes(key)) !== null
  }

  set(key: K, value: V): void {
    const bytes = this.#writer.keyBytes(key)
    this.#attempt.write(this.#writer as never, bytes, this.#writer.recordBytes(bytes, value, true))
  }

  delete(key: K): void {
    this.#attempt.write(this.#writer as never, this.#writer.keyBytes(key), null)
  }

  on<K2, V2>(map: WritingMap<K2, V2>): Transaction<K2, V2> {
    this.#attempt.group.check()
    return new MapTransaction(this.#attempt, this.#other(map), this.#other)
  }
}

/** The writer of another map of the same store, or a throw. */
export type Other = <K2, V2>(map: WritingMap<K2, V2>) => MapWriter<K2, V2>

/**
 * Runs `fn` on the newest state and writes what it wrote if nobody has changed what it read; else again. Rejects with
 * `MILL_CONFLICT` after so many attempts, and with what `fn` throws.
 */
export async function transact<K, V, R>(
  writer: MapWriter<K, V>,
  other: Other,
  fn: (transaction: Transaction<K, V>) => R,
  attempts: number,
): Promise<R> {
  if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
  if (!(Number.isSafeInteger(attempts) && attempts > 0)) {
    throw new ArgumentError('options.attempts', 'a whole number > 0', attempts)
  }
  const { committer } = writer
  return committer.transactions.run(async () => {
    for (let i = 1; ; i++) {
      const { done, result } = await committer.hold(() => attempt(writer, other, fn))
      if (await done) return result
      if (i === attempts) {
        const message = `Others changed what the transaction had read, ${attempts} times`
        throw new StoreError('MILL_CONFLICT', message, { attempts })
      }
      await sleep(Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** i))
    }
  })
}

function attempt<K, V, R>(
  writer: MapWriter<K, V>,
  other: Other,
  fn: (transaction: Transaction<K, V>) => R,
): { readonly done: Promise<boolean>; readonly result: R } {
  // Within one turn of the event loop all reads see one state; from here on that is the newest.
  writer.committer.store.refresh()
  const one = new Attempt()
  let result: R
  try {
    result = fn(new MapTransaction(one, writer, other))
  } finally {
    one.group.end()
  }
  if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function') {
    throw new ArgumentError('fn', 'synchronous: what it reads must not change while it runs', result)
  }
  // What was only read was one state by itself.
  const done = one.writes === 0 ? Promise.resolve(true) : writer.group(one.group.arena, one.group.overlays)
  return { done, result }
}
