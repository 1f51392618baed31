import type { Key } from '../../types/key.js'
import type { LocalStore, Store, StoreLease } from '../../types/store.js'
import { LEASES } from '../store/lease.js'
import { Group } from './batch.js'
import type { CachedResult } from './cached-result.js'
import type { HugeMap } from './huge-map.js'
import type { RemoteMap } from './remote-map.js'

/** The map that a cached function's results lie in, whatever store that is of. */
export interface ResultMap<R> {
  /** It is read at once, by {@link get}; else only by {@link find}. */
  readonly isLocal: boolean
  /** Milliseconds between two looks at what another process computes, at most. */
  readonly longestPauseMs: number
  /** What this process sees now; undefined where it has to ask. Throws `MILL_CLOSED`, and what reading throws. */
  get(key: Key): CachedResult<R> | undefined
  /** The newest, whoever wrote it. */
  find(key: Key): Promise<CachedResult<R> | undefined>
  lease(key: Uint8Array, ttlMs: number): Promise<StoreLease | undefined>
  /** Is told when a computation begins; gives what has to hold when its result is stored. */
  claim(key: Key, lease: StoreLease): Promise<Claim<R>>
  set(key: Key, entry: CachedResult<R>): Promise<unknown>
  /** Whether there was a result. Whoever computes it now, holding the lease if there are leases, does not store it. */
  forget(key: Key, lease: Uint8Array | undefined): Promise<boolean>
  clear(): Promise<void>
  close(): Promise<void>
}

/** The right to store one result. */
export interface Claim<R> {
  /** Stores it if the claim still holds; whether the lease went back with it. */
  store(entry: CachedResult<R>): Promise<boolean>
  /** There will be no result. */
  drop(): Promise<void>
}

/** Milliseconds: of a map in a folder, and of one that each look at costs a request. */
const LOCAL_PAUSE = 16
const REMOTE_PAUSE = 64

/** Results in a folder, or in memory: a result and the end of its lease are one group. */
export class LocalResults<R> implements ResultMap<R> {
  readonly isLocal = true
  readonly longestPauseMs = LOCAL_PAUSE
  readonly #map: HugeMap<Key, CachedResult<R>>
  readonly #store: LocalStore

  constructor(map: HugeMap<Key, CachedResult<R>>) {
    this.#map = map
    this.#store = map._inside.store
  }

  get(key: Key): CachedResult<R> | undefined {
    return this.#map.get(key)
  }

  async find(key: Key): Promise<CachedResult<R> | undefined> {
    this.#map.refresh()
    return this.#map.get(key)
  }

  lease(key: Uint8Array, ttlMs: number): Promise<StoreLease | undefined> {
    return this.#store.lease(key, ttlMs)
  }

  async claim(key: Key, lease: StoreLease): Promise<Claim<R>> {
    // The lease is an entry of the store: that it is still there is all that has to hold.
    return { store: (entry) => this.#keep(key, entry, lease), drop: async () => {} }
  }

  /** Stores a result and gives the lease back, both or neither; false: the lease was lost, and nothing was stored. */
  async #keep(key: Key, entry: CachedResult<R>, lease: StoreLease): Promise<boolean> {
    const held = lease.entry
    if (held === undefined) {
      await this.#map.set(key, entry)
      return false
    }
    const writer = this.#map._writer
    writer.check()
    const group = new Group()
    group.set(writer, key, entry)
    group.arena.require(held.table, held.key, held.value)
    group.arena.delete(held.table, held.key)
    return writer.group(group.arena, group.overlays)
  }

  set(key: Key, entry: CachedResult<R>): Promise<unknown> {
    return this.#map.set(key, entry)
  }

  async forget(key: Key, lease: Uint8Array | undefined): Promise<boolean> {
    const map = this.#map
    if (lease === undefined) return map.delete(key)
    // Whoever computes it now finds its lease gone when it wants to store the result. The lease goes first: a result that
    // is stored before that is deleted after it.
    const writer = map._writer
    writer.check()
    const breaking = new Group()
    breaking.arena.delete(LEASES, lease)
    const broken = writer.group(breaking.arena, breaking.overlays)
    const [was] = await Promise.all([map.delete(key), broken])
    return was
  }

  clear(): Promise<void> {
    return this.#map.clear()
  }

  close(): Promise<void> {
    return this.#map.close()
  }
}

/**
 * Results in a store that is asked by requests. A lease there is lost without a trace, and in no group with a result: so
 * whoever computes leaves a claim in the place of the result, and stores the result only if that is still there.
 */
export class RemoteResults<R> implements ResultMap<R> {
  readonly isLocal = false
  readonly longestPauseMs = REMOTE_PAUSE
  readonly #map: RemoteMap<Key, CachedResult<R>>
  readonly #store: Store

  constructor(map: RemoteMap<Key, CachedResult<R>>) {
    this.#map = map
    this.#store = map._inside.store
  }

  get(): undefined {
    return undefined
  }

  find(key: Key): Promise<CachedResult<R> | undefined> {
    return this.#map.get(key)
  }

  lease(key: Uint8Array, ttlMs: number): Promise<StoreLease | undefined> {
    return this.#store.lease(key, ttlMs)
  }

  async claim(key: Key): Promise<Claim<R>> {
    const claim: CachedResult<R> = [Date.now(), undefined as R, drawToken()]
    await this.#map.set(key, claim)
    return {
      store: async (entry) => {
        await this.#map.set(key, entry, { ifValue: claim })
        return false
      },
      drop: async () => {
        await this.#map.delete(key, { ifValue: claim })
      },
    }
  }

  set(key: Key, entry: CachedResult<R>): Promise<unknown> {
    return this.#map.set(key, entry)
  }

  async forget(key: Key): Promise<boolean> {
    const found = await this.#map.get(key)
    // A claim goes too, and with it the right to store what comes of it.
    return (await this.#map.delete(key)) && found !== undefined && found[2] === undefined
  }

  clear(): Promise<void> {
    return this.#map.clear()
  }

  close(): Promise<void> {
    return this.#map.close()
  }
}

/** What no other process draws. */
function drawToken(): string {
  return crypto.randomUUID()
}
