import { ArgumentError, isMillraceError, StoreError } from '../base/errors.js'
import { ANSWER_MS, type RedisClient, RedisLink } from './redis-link.js'

/** Where a store over Redis or Valkey lies. */
export interface RedisOptions {
  /** Some nodes of a cluster; it tells of the others. One node that is no cluster will do as well, with `client`. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[]
  /** Everything of the store is under keys that begin with `{prefix`; no braces. */
  readonly prefix: string
  /** In how many parts a map is cut, 1 to 4,096; fixed when the map is made. Default 64. */
  readonly partitions?: number
  /**
   * What decides the part: the whole key, or the first element of a tuple, so that a batch over keys which share it is
   * all or nothing. Fixed when the map is made. Default `'key'`.
   */
  readonly partitionBy?: 'key' | 'first'
  /** How many replicas must have a write before it is acknowledged. Default 0; see `docs/many-machines.md`. */
  readonly replicas?: number
  /** A `Cluster` or `Redis` of ioredis that is yours, and stays open. */
  readonly client?: object
  /**
   * Options for the `Cluster` that is made otherwise. In its `redisOptions`, a node that answers nothing for 5 s
   * (`socketTimeout`) gets another connection: more of it for values that take longer to send.
   */
  readonly options?: object
}

/** Attempts of a command at a node that refuses it or goes away: some seconds with the pauses. */
const RETRIES = 10
/** Milliseconds after which a node that answers nothing is given up, and its connection made anew. */
const SILENCE_MS = 5000

/** A client of our own, or the one that was given. Rejects with `MILL_PACKAGE_MISSING`. */
export async function openLink(options: RedisOptions): Promise<RedisLink> {
  if (options.client !== undefined) return new RedisLink(options.client as RedisClient, false)
  const { Cluster } = await loadIoredis()
  const { redisOptions, ...rest } = (options.options ?? {}) as { redisOptions?: object }
  const client = new Cluster(options.nodes, {
    maxRedirections: RETRIES,
    retryDelayOnFailover: 200,
    retryDelayOnClusterDown: 300,
    slotsRefreshTimeout: 2000,
    ...rest,
    // Without the time-outs a link that is cut is found out by the system, after a quarter of an hour.
    redisOptions: {
      maxRetriesPerRequest: RETRIES,
      connectTimeout: 3000,
      socketTimeout: SILENCE_MS,
      commandTimeout: ANSWER_MS,
      ...redisOptions,
    },
  })
  return new RedisLink(client, true)
}

interface Ioredis {
  readonly Cluster: new (nodes: readonly object[], options: object) => RedisClient
}

async function loadIoredis(): Promise<Ioredis> {
  try {
    return (await import('ioredis')) as unknown as Ioredis
  } catch (cause) {
    const message = 'redisStore needs the package ioredis: npm install ioredis'
    throw new StoreError('MILL_PACKAGE_MISSING', message, { package: 'ioredis', cause })
  }
}

/** Throws `MILL_INVALID_ARGUMENT`. */
export function checkRedisOptions(
  options: RedisOptions,
): Required<Pick<RedisOptions, 'partitions' | 'partitionBy' | 'replicas'>> {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const { nodes, prefix, partitions = 64, partitionBy = 'key', replicas = 0, client } = options
  if (typeof prefix !== 'string' || prefix === '' || prefix.includes('{') || prefix.includes('}')) {
    throw new ArgumentError('options.prefix', 'a text without braces', prefix)
  }
  if (client === undefined && !(Array.isArray(nodes) && nodes.length > 0 && nodes.every(isNode))) {
    throw new ArgumentError('options.nodes', 'a list of { host, port }', nodes)
  }
  if (client !== undefined && typeof (client as RedisClient | null)?.callBuffer !== 'function') {
    throw new ArgumentError('options.client', 'a Cluster or Redis of ioredis', client)
  }
  if (!(Number.isSafeInteger(partitions) && partitions >= 1 && partitions <= 4096)) {
    throw new ArgumentError('options.partitions', 'a whole number from 1 to 4096', partitions)
  }
  if (partitionBy !== 'key' && partitionBy !== 'first') {
    throw new ArgumentError('options.partitionBy', "'key' or 'first'", partitionBy)
  }
  if (!(Number.isSafeInteger(replicas) && replicas >= 0)) {
    throw new ArgumentError('options.replicas', 'a whole number >= 0', replicas)
  }
  return { partitions, partitionBy, replicas }
}

function isNode(node: unknown): boolean {
  const { host, port } = (node ?? {}) as { host?: unknown; port?: unknown }
  return typeof host === 'string' && Number.isSafeInteger(port)
}

/** What a client says, in our words. `written`: it may be that the operation was done. */
export function storeFailure(error: unknown, written = false): Error {
  if (isMillraceError(error)) return error as Error
  const text = error instanceof Error ? error.message : String(error)
  if (text.startsWith('OOM ')) {
    return new StoreError('MILL_STORE_IO', `A node of the cluster has no memory left: ${text}`, { cause: error })
  }
  const doubt = written ? '; whether it was written is not known' : ''
  return new StoreError('MILL_STORE_UNAVAILABLE', `The cluster cannot be reached: ${text}${doubt}`, { cause: error })
}

/** The client takes nothing but Buffers for bytes. Not a copy. */
export function wordOf(bytes: Uint8Array, at = 0, length = bytes.length - at): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, length)
}
