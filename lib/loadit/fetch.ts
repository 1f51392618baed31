import { LoadItError } from '../base/errors.js'
import type { Dataset } from './dataset.js'
import { asOurs } from './faults.js'
import { nameFile } from './file-ops.js'
import type { Job } from './job.js'
import { LeaseLost, tooLarge } from './publish.js'
import type { RemoteShard } from './remote-face.js'
import { openShard } from './shard-open.js'

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
