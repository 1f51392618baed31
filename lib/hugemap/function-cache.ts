import type { Key } from '../../types/key.js'
import type { StoreLease } from '../../types/store.js'
import { sleep } from '../base/abort.js'
import { builtin } from '../base/builtin.js'
import { latin1, toUint8Array } from '../base/bytes.js'
import { SingleFlight } from '../base/mutex.js'
import { keyCodecOf } from '../codec/keys.js'
import { loadSerializer } from '../codec/serializer.js'
import { LEASES } from '../store/lease.js'
import { Group } from './batch.js'
import type { CacheSettings } from './cache-options.js'
import { type CachedResult, resultSerializer } from './cached-result.js'
import type { HugeMap } from './huge-map.js'
import { Renewal } from './renewal.js'

/** Milliseconds between two looks at what another process is computing: 1, 2, 4, …, and no more than this. */
const LONGEST_PAUSE = 16

type Results<R> = HugeMap<Key, CachedResult<R>>

/** A computation that others may wait for. */
interface Computation<A extends unknown[], R> {
  readonly results: Results<R>
  readonly key: Key
  /** The key, as flights and leases know it. */
  readonly id: string
  readonly args: A
  /** False: it was forgotten, and its result is not to be stored. */
  readonly current: () => boolean
}

/** What stands behind a cached function: its map, its leases, and what is being computed. */
export class FunctionCache<A extends unknown[], R> {
  readonly stats = { hits: 0, calls: 0, joined: 0, waited: 0, takeovers: 0 }
  readonly settings: CacheSettings<A, R>
  readonly #fn: (...args: A) => R | PromiseLike<R>
  readonly #flights = new SingleFlight<string, R>()
  readonly #leases = new Set<StoreLease>()
  /** And those that are being asked for. */
  readonly #asking = new Set<Promise<StoreLease | undefined>>()
  /** The map of the results, once it is open; also after it was closed, since then it says so. */
  #results: Results<R> | undefined
  #opening: Promise<Results<R>> | undefined

  constructor(fn: (...args: A) => R | PromiseLike<R>, settings: CacheSettings<A, R>) {
    this.#fn = fn
    this.settings = settings
  }

  call(args: A): Promise<R> {
    // No `async`: a hit costs one promise, and is not put off to another turn.
    try {
      const key = this.settings.keyOf(...args)
      const found = this.#results === undefined ? undefined : this.#look(this.#results, key)
      if (found === undefined) return this.#miss(key, args)
      this.stats.hits++
      return Promise.resolve(found[1])
    } catch (error) {
      return Promise.reject(error)
    }
  }

  peek(args: A): R | undefined {
    const { map, keyOf } = this.settings
    if (this.#results !== undefined) return this.#look(this.#results, keyOf(...args))?.[1]
    map._check()
    return undefined
  }

  async forget(args: A): Promise<boolean> {
    const key = this.settings.keyOf(...args)
    const id = idOf(key)
    this.#flights.forget(id)
    const results = this.#results ?? (await this.#open())
    if (this.settings.leaseMs === undefined) return results.delete(key)
    // Whoever computes it now finds its lease gone when it wants to store the result. The lease goes first: a result that
    // is stored before that is deleted after it.
    const writer = results._writer
    writer.check()
    const breaking = new Group()
    breaking.arena.delete(LEASES, this.#leaseKey(id))
    const broken = writer.group(breaking.arena, breaking.overlays)
    const [was] = await Promise.all([results.delete(key), broken])
    return was
  }

  async clear(): Promise<void> {
    this.#flights.clear()
    const results = this.#results ?? (await this.#open())
    await results.clear()
  }

  /** The entry of a key, if there is one and it is not too old. */
  #look(results: Results<R>, key: Key): CachedResult<R> | undefined {
    const found = results.get(key)
    // A time far in the future was written under a clock that was wrong.
    return found !== undefined && Math.abs(Date.now() - found[0]) < this.settings.ttlMs ? found : undefined
  }

  #miss(key: Key, args: A): Promise<R> {
    const id = idOf(key)
    if (this.#flights.has(id)) this.stats.joined++
    return this.#flights.run(id, async (current) => {
      const opened = this.#results
      const results = opened ?? (await this.#open())
      const found = opened === undefined ? this.#look(results, key) : undefined
      if (found === undefined) return this.#compute({ results, key, id, args, current })
      this.stats.hits++
      return found[1]
    })
  }

  async #compute(work: Computation<A, R>): Promise<R> {
    const { leaseMs } = this.settings
    if (leaseMs !== undefined) return this.#takeTurn(work, leaseMs)
    const result = await this.#callFunction(work.args)
    if (this.#keeps(result) && work.current()) await work.results.set(work.key, [Date.now(), result])
    return result
  }

  /** Takes the lease and computes, or waits for whoever has it. */
  async #takeTurn(work: Computation<A, R>, leaseMs: number): Promise<R> {
    const { results, key, id } = work
    const leaseKey = this.#leaseKey(id)
    for (let pause = 1, waited = false; ; pause = Math.min(LONGEST_PAUSE, 2 * pause)) {
      const lease = await this.#ask(results, leaseKey, leaseMs)
      if (lease !== undefined) return this.#holding(lease, work, leaseMs, waited)
      if (!waited) this.stats.waited++
      waited = true
      results.refresh()
      const found = this.#look(results, key)
      if (found !== undefined) return found[1]
      await sleep(pause)
    }
  }

  async #ask(results: Results<R>, leaseKey: Uint8Array, leaseMs: number): Promise<StoreLease | undefined> {
    this.settings.map._check()
    const asking = results._inside.store.lease(leaseKey, leaseMs)
    this.#asking.add(asking)
    try {
      const lease = await asking
      if (lease !== undefined) this.#leases.add(lease)
      return lease
    } finally {
      this.#asking.delete(asking)
    }
  }

  /** The result, which nobody else computes now: its own lease is ours. */
  async #holding(lease: StoreLease, work: Computation<A, R>, leaseMs: number, waited: boolean): Promise<R> {
    const { results, key, args, current } = work
    const renewal = new Renewal(lease, leaseMs / 3)
    let isGivenBack = false
    try {
      if (lease.takenOver) this.stats.takeovers++
      // Its last holder may have stored the result just before giving it back.
      results.refresh()
      const found = this.#look(results, key)
      if (found !== undefined) {
        if (!waited) this.stats.hits++
        return found[1]
      }
      const result = await this.#callFunction(args)
      const keeps = this.#keeps(result)
      // From here on the lease stays as it is, since what is stored depends on that.
      await renewal.stop()
      // If it is no longer ours somebody computes it anew, or it was forgotten: not ours to store.
      if (keeps && current()) isGivenBack = await store(results, key, [Date.now(), result], lease)
      return result
    } finally {
      this.#leases.delete(lease)
      await renewal.stop()
      if (!isGivenBack) await giveBack(lease)
    }
  }

  async #callFunction(args: A): Promise<R> {
    this.stats.calls++
    return await this.#fn(...args)
  }

  #keeps(result: R): boolean {
    return this.settings.keep === undefined || this.settings.keep(result)
  }

  /** What the lease of a key is called: short, however long the key is. */
  #leaseKey(id: string): Uint8Array {
    const { mapName } = this.settings
    const hash = builtin('node:crypto')?.createHash('sha256')
    if (hash === undefined) return toUint8Array(`${mapName}\0${id}`)
    return hash.update(mapName).update('\0').update(id, 'latin1').digest()
  }

  #open(): Promise<Results<R>> {
    this.#opening ??= this.#openResults().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  async #openResults(): Promise<Results<R>> {
    const { map, mapName, value } = this.settings
    map._check()
    const inner = await loadSerializer(value)
    const results: Results<R> = await map.namespace(mapName, { value: resultSerializer(inner) })
    if (map._inside.closed) await results.close()
    map._check()
    map._inside.onClose(async () => {
      // Nobody shall have to wait for a lease to run out whose holder can no longer store anything.
      await Promise.allSettled(this.#asking)
      await Promise.all([...this.#leases].map(giveBack))
      await results.close()
    })
    this.#results = results
    return results
  }
}

/** Stores a result and gives the lease back, both or neither; false: the lease was lost, and nothing was stored. */
async function store<R>(results: Results<R>, key: Key, entry: CachedResult<R>, lease: StoreLease): Promise<boolean> {
  const held = lease.entry
  if (held === undefined) {
    await results.set(key, entry)
    return false
  }
  const writer = results._writer
  writer.check()
  const group = new Group()
  group.set(writer, key, entry)
  group.arena.require(held.table, held.key, held.value)
  group.arena.delete(held.table, held.key)
  return writer.group(group.arena, group.overlays)
}

/** A lease that can't be given back runs out by itself: no reason to fail what it was taken for. */
async function giveBack(lease: StoreLease): Promise<void> {
  try {
    await lease.release()
  } catch {
    // See above.
  }
}

const anyKey = keyCodecOf()

/** A key as a string, to compare by: one character a byte. */
function idOf(key: Key): string {
  return latin1(anyKey.encode(key))
}
