import { type CacheOptions, cacheSettings } from './cache-options.js'
import { FunctionCache } from './function-cache.js'

export type { CacheOptions } from './cache-options.js'

/** What became of the calls of a cached function, in this process. */
export interface CacheStats {
  /** Answered out of the map at once. */
  readonly hits: number
  /** How often the function itself was called. */
  readonly calls: number
  /** Shared the result of a call that was already under way. */
  readonly joined: number
  /** Waited for the computation of another process, or of another cached function of the same name. */
  readonly waited: number
  /** Leases taken from a process that had died, or had not renewed them in time. */
  readonly takeovers: number
}

/** A function that remembers what it returned. */
export interface CachedFunction<A extends unknown[], R> {
  /**
   * The result: out of the map, where it is a fresh copy each time; or of the function, where calls that came while it ran
   * share one object. What the function throws goes to all of those and is not stored. Rejects also if the result can't
   * be stored, with what `map.set` rejects with.
   */
  (...args: A): Promise<R>
  /**
   * The stored result, now, without calling the function; undefined where there is none, and until the cache has been
   * opened, which the first call or `forget` does. Throws `MILL_UNSUPPORTED` for results in a `RemoteMap`.
   */
  peek(...args: A): R | undefined
  /**
   * Removes a result; whether there was one. A computation of it that is under way, here or elsewhere, still answers those
   * who wait for it, but is not stored.
   */
  forget(...args: A): Promise<boolean>
  /**
   * Removes all results of this version. Computations under way in this process are not stored; those of others are (in a
   * `RemoteMap` neither are those).
   */
  clear(): Promise<void>
  readonly stats: CacheStats
}

/**
 * Remembers what `fn` returned in a map on disk (or in a `RemoteMap`), across restarts, for all processes that open it: while a
 * result is computed, whoever wants it waits for it, in this process and in others. If a process dies while it computes,
 * another one takes over. The results live as long as `options.map` is open; closing that closes them too.
 *
 * `fn` sees the arguments, no `this`; it may be asynchronous. A synchronous one that blocks for longer than the lease's
 * `ttlMs` loses its lease, and may be computed twice.
 *
 * Throws `MILL_INVALID_ARGUMENT`.
 */
export function cacheFunction<A extends unknown[], R>(
  fn: (...args: A) => R,
  options: CacheOptions<A, Awaited<R>>,
): CachedFunction<A, Awaited<R>> {
  type Result = Awaited<R>
  const settings = cacheSettings<A, Result>(fn, options)
  const cache = new FunctionCache<A, Result>(fn as (...args: A) => Result | PromiseLike<Result>, settings)
  const cached = (...args: A): Promise<Result> => cache.call(args)
  Object.defineProperty(cached, 'name', { value: settings.name, configurable: true })
  return Object.assign(cached, {
    peek: (...args: A) => cache.peek(args),
    forget: (...args: A) => cache.forget(args),
    clear: () => cache.clear(),
    stats: cache.stats,
  })
}
