import type { Key } from '../../types/key.js'
import type { StoreLease } from '../../types/store.js'
import { sleep } from '../base/abort.js'
import { builtin } from '../base/builtin.js'
import { latin1, toUint8Array } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { SingleFlight } from '../base/mutex.js'
import { keyCodecOf } from '../codec/keys.js'
import { loadSerializer } from '../codec/serializer.js'
import type { CacheSettings } from './cache-options.js'
import { type CachedResult, resultSerializer } from './cached-result.js'
import { RemoteMap } from './remote-map.js'
import { Renewal } from './renewal.js'
import { type Claim, LocalResults, RemoteResults, type ResultMap } from './result-map.js'

/** A computation that others may wait for. */
interface Computation<A extends unknown[], R> {
  readonly results: ResultMap<R>
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
  #results: ResultMap<R> | undefined
  #opening: Promise<ResultMap<R>> | undefined

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
    if (map instanceof RemoteMap) {
      throw new StoreError('MILL_UNSUPPORTED', 'peek answers at once, and results in a RemoteMap have to be asked for')
    }
    if (this.#results !== undefined) return this.#look(this.#results, keyOf(...args))?.[1]
    map._check()
    return undefined
  }

  async forget(args: A): Promise<boolean> {
    const key = this.settings.keyOf(...args)
    const id = idOf(key)
    this.#flights.forget(id)
    const results = this.#results ?? (await this.#open())
    return results.forget(key, this.settings.leaseMs === undefined ? undefined : this.#leaseKey(id))
  }

  async clear(): Promise<void> {
    this.#flights.clear()
    const results = this.#results ?? (await this.#open())
    await results.clear()
  }

  /** The entry of a key, if there is one and it is not too old. */
  #look(results: ResultMap<R>, key: Key): CachedResult<R> | undefined {
    return this.#fresh(results.get(key))
  }

  /** The same, the newest of all processes. */
  async #find(results: ResultMap<R>, key: Key): Promise<CachedResult<R> | undefined> {
    return this.#fresh(await results.find(key))
  }

  #fresh(found: CachedResult<R> | undefined): CachedResult<R> | undefined {
    if (found === undefined || found[2] !== undefined) return undefined
    // A time far in the future was written under a clock that was wrong.
    return Math.abs(Date.now() - found[0]) < this.settings.ttlMs ? found : undefined
  }

  #miss(key: Key, args: A): Promise<R> {
    const id = idOf(key)
    if (this.#flights.has(id)) this.stats.joined++
    return this.#flights.run(id, async (current) => {
      const opened = this.#results
      const results = opened ?? (await this.#open())
      // What is read at once was looked for before.
      const found = opened?.isLocal === true ? undefined : await this.#find(results, key)
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
    // 1, 2, 4, … milliseconds.
    for (let pause = 1, waited = false; ; pause = Math.min(results.longestPauseMs, 2 * pause)) {
      const lease = await this.#ask(results, leaseKey, leaseMs)
      if (lease !== undefined) return this.#holding(lease, work, leaseMs, waited)
      if (!waited) this.stats.waited++
      waited = true
      const found = await this.#find(results, key)
      if (found !== undefined) return found[1]
      await sleep(pause)
    }
  }

  async #ask(results: ResultMap<R>, leaseKey: Uint8Array, leaseMs: number): Promise<StoreLease | undefined> {
    this.settings.map._check()
    const asking = results.lease(leaseKey, leaseMs)
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
    let claim: Claim<R> | undefined
    try {
      // Its last holder may have stored the result just before giving it back.
      const stored = await results.find(key)
      // Where a lease leaves no trace the claim of a holder that is gone does.
      if (lease.takenOver || stored?.[2] !== undefined) this.stats.takeovers++
      const found = this.#fresh(stored)
      if (found !== undefined) {
        if (!waited) this.stats.hits++
        return found[1]
      }
      claim = await results.claim(key, lease)
      const result = await this.#callFunction(args)
      const keeps = this.#keeps(result)
      // From here on the lease stays as it is, since what is stored depends on that.
      await renewal.stop()
      // If it is no longer ours somebody computes it anew, or it was forgotten: not ours to store.
      if (!keeps || !current()) return result
      // Its lease went back when the map was closed, which may still be under way.
      this.settings.map._check()
      isGivenBack = await claim.store([Date.now(), result])
      claim = undefined
      return result
    } finally {
      if (claim !== undefined) await quietly(claim.drop())
      this.#leases.delete(lease)
      await renewal.stop()
      if (!isGivenBack) await quietly(lease.release())
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

  #open(): Promise<ResultMap<R>> {
    this.#opening ??= this.#openResults().catch((error: unknown) => {
      this.#opening = undefined
      throw error
    })
    return this.#opening
  }

  async #openResults(): Promise<ResultMap<R>> {
    const { map, mapName, value } = this.settings
    map._check()
    const inner = await loadSerializer(value)
    const options = { value: resultSerializer(inner) }
    const results: ResultMap<R> =
      map instanceof RemoteMap
        ? new RemoteResults<R>(await map.namespace<Key, CachedResult<R>>(mapName, options))
        : new LocalResults<R>(await map.namespace<Key, CachedResult<R>>(mapName, options))
    if (map._inside.closed) await results.close()
    map._check()
    map._inside.onClose(async () => {
      // Nobody shall have to wait for a lease to run out whose holder can no longer store anything.
      await Promise.allSettled(this.#asking)
      await Promise.all([...this.#leases].map((lease) => quietly(lease.release())))
      await results.close()
    })
    this.#results = results
    return results
  }
}

/** A lease or a claim that can't be given back runs out by itself: no reason to fail what it was taken for. */
async function quietly(giving: Promise<unknown>): Promise<void> {
  await giving.catch(() => {})
}

const anyKey = keyCodecOf()

/** A key as a string, to compare by: one character a byte. */
function idOf(key: Key): string {
  return latin1(anyKey.encode(key))
}
