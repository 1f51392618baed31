import type { MapOptions } from '../../types/hugemap.js'
import type { Key } from '../../types/key.js'
import { ArgumentError } from '../base/errors.js'
import { argumentKey } from './argument-key.js'
import type { HugeMap } from './huge-map.js'
import { checkName } from './open-options.js'
import type { RemoteMap } from './remote-map.js'

/** How `cacheFunction` remembers. */
export interface CacheOptions<A extends unknown[], R> {
  /**
   * Whose folder or store the results lie in, each function's in a named map of its own; what that map holds is not
   * touched. In a `RemoteMap` a hit is a request, `peek` is `MILL_UNSUPPORTED`, and the lease of a process that has died is
   * free when its time is over, not before.
   */
  // biome-ignore lint/suspicious/noExplicitAny: any map will do, whatever is in it
  map: HugeMap<any, any> | RemoteMap<any, any>
  /** What the cache is called, the same in all processes; default: the name of the function. */
  name?: string
  /** Results of another version are not seen; default 0. Change it when the function gives other results than before. */
  version?: string | number
  /**
   * What tells calls apart. Default: the arguments as a tuple if all of them are keys, else a text of them with sorted
   * properties. A function, a Map, an instance of a class has no such text: `MILL_BAD_KEY`.
   */
  key?: (...args: A) => Key
  /** How results are kept; default `'msgpack'`. `undefined` can always be kept. */
  value?: NonNullable<MapOptions<Key, R>['value']>
  /** Milliseconds after which a result is computed again; default: never. */
  ttlMs?: number
  /** False: this result is given back, but not stored. */
  keep?: (result: R) => boolean
  /**
   * Default: one computation of a key among all processes, for which the others wait; a lease that its holder did not
   * renew for `ttlMs` (default 30,000) is free again, one whose process is dead on this host at once. It costs one more
   * durable write, about half a millisecond. False: one computation of a key within this process only.
   */
  lease?: false | { ttlMs?: number }
}

const LEASE_MS = 30_000

/** {@link CacheOptions}, checked and with their defaults. */
export interface CacheSettings<A extends unknown[], R> {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly map: HugeMap<any, any> | RemoteMap<any, any>
  readonly name: string
  /** Where the results lie. */
  readonly mapName: string
  readonly keyOf: (...args: A) => Key
  readonly value: CacheOptions<A, R>['value']
  readonly keep: ((result: R) => boolean) | undefined
  readonly ttlMs: number
  /** Undefined: no leases. */
  readonly leaseMs: number | undefined
}

/** Throws `MILL_INVALID_ARGUMENT`. */
export function cacheSettings<A extends unknown[], R>(fn: unknown, options: CacheOptions<A, R>): CacheSettings<A, R> {
  if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const { map, key, value, keep, name = fn.name, version = 0, ttlMs = Number.POSITIVE_INFINITY, lease } = options
  if (typeof (map as Partial<typeof map> | undefined)?.namespace !== 'function') {
    throw new ArgumentError('options.map', 'a HugeMap or a RemoteMap', map)
  }
  for (const [argument, given] of Object.entries({ key, keep })) {
    if (given !== undefined && typeof given !== 'function') {
      throw new ArgumentError(`options.${argument}`, 'a function', given)
    }
  }
  if (typeof name !== 'string' || name === '') {
    throw new ArgumentError('options.name', 'a name, where the function has none', name)
  }
  const isVersion = typeof version === 'string' ? !version.includes('@') : Number.isFinite(version)
  if (!isVersion) throw new ArgumentError('options.version', 'a number, or a string without @', version)
  const mapName = `cache:${name}@${version}`
  checkName(mapName, 'options.name')
  if (!(typeof ttlMs === 'number' && ttlMs > 0)) throw new ArgumentError('options.ttlMs', 'a number > 0', ttlMs)
  const leaseMs = leaseTime(lease)
  return { map, name, mapName, keyOf: key ?? ((...args) => argumentKey(args)), value, keep, ttlMs, leaseMs }
}

function leaseTime(lease: unknown): number | undefined {
  if (lease === undefined) return LEASE_MS
  if (lease === false) return undefined
  if (typeof lease !== 'object' || lease === null) throw new ArgumentError('options.lease', 'false or an object', lease)
  const { ttlMs = LEASE_MS } = lease as { ttlMs?: unknown }
  if (typeof ttlMs === 'number' && Number.isFinite(ttlMs) && ttlMs > 0) return ttlMs
  throw new ArgumentError('options.lease.ttlMs', 'a number > 0', ttlMs)
}
