import { resolve } from 'node:path'
import type { LoadItOptions } from '../../types/load-it.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'

/** Items of a shard at most: its tables stay below 8 MiB. */
export const MOST_ITEMS = 2 ** 20
const MIB = 2 ** 20
const SHARD_BYTES = 4 * MIB
const CACHE_BYTES = 256 * MIB
const LEASE_MS = 10_000

/** Options as they are worked with: checked, with defaults. */
export interface Settings<T> {
  readonly root: string
  readonly source: LoadItOptions<T>['source']
  readonly seekable: boolean
  readonly fingerprint: string | undefined
  /** Items of a shard, if they were given as a number. */
  readonly shardLength: number | undefined
  /** Else bytes of the first shard. */
  readonly shardBytes: number
  /** Name of the serializer, if one was given. */
  readonly serializer: string | undefined
  /** Name of the compression, if one was given. */
  readonly compression: string | undefined
  readonly ownSerializer: LoadItOptions<T>['serializer']
  readonly ownCompression: LoadItOptions<T>['compression']
  readonly cacheBytes: number
  readonly decoded: boolean
  readonly memoryLimit: number | undefined
  readonly length: number | undefined
  readonly maxSources: number
  readonly preload: number | ((index: number) => Iterable<number>)
  readonly remote: LoadItOptions<T>['remote']
  readonly push: boolean
  readonly verify: 'first' | 'always' | 'off'
  readonly reset: boolean
  readonly accept: boolean
  readonly sync: boolean
  readonly leaseMs: number
  readonly signal: AbortSignal | undefined
}

/** Throws `MILL_INVALID_ARGUMENT` for what is wrong; opens nothing. */
export function checkOptions<T>(options: LoadItOptions<T>): Settings<T> {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const { root, source, fingerprint, cache = {}, remote, preload = 1 } = options
  if (typeof root !== 'string' || root === '') throw new ArgumentError('options.root', 'a path', root)
  if (source !== undefined && typeof source !== 'function') {
    throw new ArgumentError('options.source', 'a function', source)
  }
  if (fingerprint !== undefined && typeof fingerprint !== 'string') {
    throw new ArgumentError('options.fingerprint', 'a string', fingerprint)
  }
  if (typeof cache !== 'object' || cache === null) throw new ArgumentError('options.cache', 'an object', cache)
  if (remote !== undefined && typeof remote?.get !== 'function') {
    throw new ArgumentError('options.remote', 'a store with get()', remote)
  }
  const form = oneOf('cache.form', cache.form, ['encoded', 'decoded'])
  return {
    root: resolve(root),
    source,
    seekable: yes('seekable', options.seekable, false),
    fingerprint,
    ...shardSize(options.maxShardLength),
    serializer: nameOf(options.serializer),
    compression: nameOf(options.compression),
    ownSerializer: options.serializer,
    ownCompression: options.compression,
    cacheBytes: whole('cache.bytes', cache.bytes ?? CACHE_BYTES, 0),
    decoded: form === 'decoded',
    memoryLimit: options.memoryLimit === undefined ? undefined : whole('memoryLimit', options.memoryLimit, 0),
    length: options.length === undefined ? undefined : whole('length', options.length, 0),
    maxSources: whole('maxSources', options.maxSources ?? 1, 1),
    preload: typeof preload === 'function' ? preload : whole('preload', preload, 0),
    remote,
    push: yes('push', options.push, true),
    verify: oneOf('verify', options.verify, ['first', 'always', 'off']),
    reset: oneOf('onMismatch', options.onMismatch, ['error', 'reset']) === 'reset',
    accept: oneOf('nondeterministic', options.nondeterministic, ['error', 'accept']) === 'accept',
    sync: oneOf('durability', options.durability, ['process', 'full']) === 'full',
    leaseMs: whole('leaseMs', options.leaseMs ?? LEASE_MS, 1),
    signal: checkSignal(options.signal),
  }
}

function whole(name: string, value: unknown, least: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= least) return value as number
  throw new ArgumentError(`options.${name}`, `a whole number >= ${least}`, value)
}

function yes(name: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined) return otherwise
  if (typeof value === 'boolean') return value
  throw new ArgumentError(`options.${name}`, 'true or false', value)
}

/** The first one is the default. */
function oneOf<N extends string>(name: string, value: N | undefined, names: readonly [N, ...N[]]): N {
  if (value === undefined) return names[0]
  if (names.includes(value)) return value
  throw new ArgumentError(`options.${name}`, `one of ${names.join(', ')}`, value)
}

function shardSize(value: unknown): { shardLength: number | undefined; shardBytes: number } {
  if (value === undefined) return { shardLength: undefined, shardBytes: SHARD_BYTES }
  if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= MOST_ITEMS) {
    return { shardLength: value as number, shardBytes: SHARD_BYTES }
  }
  if (typeof value === 'string' && value.endsWith('mb')) {
    const text = value.slice(0, -2)
    const bytes = text.trim() === '' ? Number.NaN : Math.round(Number(text) * MIB)
    if (Number.isSafeInteger(bytes) && bytes >= 1) return { shardLength: undefined, shardBytes: bytes }
  }
  throw new ArgumentError('options.maxShardLength', `a whole number from 1 to ${MOST_ITEMS}, or e.g. '4mb'`, value)
}

function nameOf(given: unknown): string | undefined {
  if (typeof given === 'string') return given
  const name = (given as { name?: unknown } | undefined)?.name
  return typeof name === 'string' ? name : undefined
}
