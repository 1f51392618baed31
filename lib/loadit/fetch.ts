import { LoadItError, type MillraceError } from '../base/errors.js'
import type { Dataset } from './dataset.js'
import { asOurs } from './faults.js'
import { nameFile } from './file-ops.js'
import type { Job } from './job.js'
import { LeaseLost, tooLarge } from './publish.js'
import { openShard } from './shard-open.js'

/** What a loader asks of the remote store. */
export interface Remote<T> {
  /** What `0.shd` says of the dataset; undefined: it isn't there. */
  head(signal?: AbortSignal): Promise<RemoteHead | undefined>
  /** Downloads the shard that begins at `start` into `path`, all checked; undefined: it isn't there. */
  fetchShard(start: number, options: { path: string; signal: AbortSignal }): Promise<RemoteShard | undefined>
  /**
   * One item, for scattered reads of large shards; undefined: it isn't there, or the whole shard is to be fetched. The
   * item itself is in `value`.
   */
  fetchItem(start: number, i: number, signal?: AbortSignal): Promise<{ readonly value: T | undefined } | undefined>
  /** Where the data end, as far as the shards there tell; undefined: they don't. */
  findLength(shardLength: number, signal?: AbortSignal): Promise<number | undefined>
  /** Who is told of uploads that failed. */
  listen(tell: (error: MillraceError) => void): void
  /** Puts a finished shard there, later. */
  push(start: number, path: string): void
  /** Resolves when nothing is waiting to be put there. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** What a remote store says of its dataset. */
export interface RemoteHead {
  readonly serializer: string
  readonly compression: string
  readonly fingerprint?: string | undefined
  readonly shardLength: number
}

/** What was found in a shard that came from a remote store. */
export interface RemoteShard {
  readonly count: number
  readonly bytes: number
  readonly crc: number
  readonly ends: boolean
  /** Items of a full shard of that dataset. */
  readonly shardLength: number
}

/**
 * Gets the shard of `job`, whose lease is held, from the remote store, and publishes it. False: it isn't there, or could
 * not be had while there is a source. Rejects with `MILL_REMOTE`, `MILL_SHARD_CORRUPT` where there is none.
 */
export async function fetchShard<T>(data: Dataset<T>, job: Job<T>): Promise<boolean> {
  const { remote, settings } = data
  const { lease } = job
  if (remote === undefined || lease === undefined) return false
  const start = data.startOf(job.k)
  const began = performance.now()
  const stop = new AbortController()
  job.onDone(() => stop.abort())
  const path = data.temporaryOf(lease)
  let shard: RemoteShard | undefined
  try {
    shard = await remote.fetchShard(start, { path, signal: stop.signal })
    if (job.outcome !== undefined) {
      data.unlink(path)
      return false
    }
    data.check()
  } catch (error) {
    data.unlink(path)
    if (job.outcome !== undefined) return false
    data.check()
    if (settings.source === undefined) throw asOurs(error, path)
    data.warn(asOurs(error, path))
    return false
  }
  if (shard === undefined) return false
  if (data.shardLength === 0) {
    data.shardLength = data.write(() => data.books.setShardLength(shard.shardLength)) ?? shard.shardLength
  }
  if (data.shardLength !== shard.shardLength) {
    data.unlink(path)
    const fields = { field: 'maxShardLength', expected: data.shardLength, found: shard.shardLength }
    const message = `the remote store holds another dataset: its shards have ${shard.shardLength} items`
    const other = new LoadItError('MILL_DATASET_MISMATCH', message, fields)
    if (settings.source === undefined) throw other
    data.warnOnce('remote', () => other)
    return false
  }
  const target = data.pathOf(start, lease.gen)
  const { memoryLimit, accept, sync } = settings
  await nameFile(data.kit.files, path, target, sync)
  const done = data.write(() =>
    data.books.publish(lease, shard, {
      ...(memoryLimit !== undefined && { limit: memoryLimit }),
      canEvict: true,
      accept: accept || job.expected === undefined,
    }),
  )
  if (done?.is === 'large' && shard.bytes <= settings.cacheBytes) {
    // It passes through memory: without a source there would be no other way to its items.
    const reader = await openShard(data.kit, target, start, shard)
    await reader.leaveFile()
    data.unlink(target)
    data.release(lease)
    job.lease = undefined
    job.reader = reader
    data.readers.put(job.k, reader, 0, shard.bytes)
    data.warnOnce('limit', () => tooLarge(start, shard.bytes, memoryLimit))
    return true
  }
  if (done?.is !== 'done') {
    data.unlink(target)
    if (done?.is === 'lost') {
      job.lease = undefined
      data.dropped(lease)
      throw new LeaseLost()
    }
    return false
  }
  data.dropped(lease)
  job.lease = undefined
  data.counts.fetched++
  data.evicted(done.victims)
  data.learnLength()
  const { count, bytes } = shard
  data.emit('fetched', { start, count, bytes, ms: performance.now() - began })
  return true
}
