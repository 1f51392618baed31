import { LoadItError } from '../base/errors.js'
import type { Dataset } from './dataset.js'
import { asOurs, contentChanged, lengthChanged } from './faults.js'
import { nameFile } from './file-ops.js'
import type { Job } from './job.js'
import type { ShardWriter } from './shard-writer.js'

/** What is asked of who drives the walk that makes a shard. */
export interface Driver<T> {
  /** First item of the shard whose lease is to be taken as this one is published, because the walk goes on there. */
  next(): number | undefined
  /** The lease of the next shard. */
  onNext(lease: NonNullable<Job<T>['lease']>): void
}

/** How a shard was made. */
export interface Made<T> {
  readonly ends: boolean
  readonly ms: number
  readonly driver: Driver<T> | undefined
  /** Given where nothing has been made yet. */
  readonly shardLength?: number
}

/** What {@link publish} throws when somebody else has the lease by now: theirs is looked for. */
export class LeaseLost extends Error {}

/**
 * Completes the file, gives it its name, and makes it known in one transaction. Where it can't be stored the job gets a
 * reader over what is in memory, or over a file without a name. Throws `MILL_ITEM_SOURCE_CHANGED`, {@link LeaseLost}.
 */
export async function publish<T>(data: Dataset<T>, job: Job<T>, made: Made<T>): Promise<void> {
  const writer = job.writer as ShardWriter<T>
  const start = data.startOf(job.k)
  const shardLength = made.shardLength ?? data.shardLength
  const { sync, accept, memoryLimit } = data.settings
  const summary = await writer.finish({ shardLength, ends: made.ends, sync })
  data.check()
  if (job.expected !== undefined && job.expected !== summary.crc && !accept) {
    throw contentChanged(start, job.expected, summary.crc)
  }
  if (data.shardLength === 0) data.shardLength = data.write(() => data.books.setShardLength(shardLength)) ?? shardLength
  const { lease } = job
  const length = start + summary.count
  if (lease === undefined || writer.inMemory) {
    keepInMemory(data, job)
    if (made.ends) endKnown(data, length)
    tell(data, job, { ...summary, gen: 0, ms: made.ms, stored: false })
    return
  }
  const path = data.pathOf(start, lease.gen)
  try {
    await nameFile(data.kit.files, data.temporaryOf(lease), path, sync)
  } catch (cause) {
    data.warnOnce('store', () => asOurs(cause, path))
    keepInMemory(data, job)
    tell(data, job, { ...summary, gen: 0, ms: made.ms, stored: false })
    return
  }
  const next = made.driver?.next()
  const options = {
    ...(memoryLimit !== undefined && { limit: memoryLimit }),
    canEvict: data.canMake && !job.passing,
    accept,
    again: job.extend,
    ...(next !== undefined && { next }),
  }
  let done: ReturnType<typeof data.books.publish> | undefined
  try {
    done = data.write(() => data.books.publish(lease, { ...summary, ends: made.ends }, options))
  } catch (error) {
    data.unlink(path)
    throw error
  }
  if (done === undefined || done.is === 'large') {
    // It is read from the file, which has no name any more.
    if (done?.is === 'large' && !job.passing) data.warnOnce('limit', () => tooLarge(start, summary.bytes, memoryLimit))
    data.release(lease)
    job.lease = undefined
    keepInMemory(data, job)
    data.unlink(path)
    if (made.ends) endKnown(data, length)
    tell(data, job, { ...summary, gen: lease.gen, ms: made.ms, stored: false })
    return
  }
  if (done.is === 'done') {
    data.dropped(lease)
    job.lease = undefined
    data.forget('store')
    const reader = writer.reader(path)
    job.reader = reader
    job.writer = undefined
    data.readers.put(job.k, reader, lease.gen)
    data.evicted(done.victims)
    if (done.next !== undefined) {
      data.held(done.next)
      made.driver?.onNext(done.next)
    }
    if (made.ends || job.extend) data.learnLength()
    tell(data, job, { ...summary, gen: lease.gen, ms: made.ms, stored: true })
    if (data.settings.push) data.remote?.push(start, path)
    return
  }
  data.unlink(path)
  if (done.is === 'lost') throw new LeaseLost()
  if (done.is === 'changed') throw contentChanged(start, done.expected, done.found)
  throw lengthChanged(done.expected, done.found)
}

/** The length, if the catalog has no other. */
export function endKnown<T>(data: Dataset<T>, length: number): void {
  const done = data.write(() => data.books.setLength(length))
  if (done?.is === 'length') throw lengthChanged(done.expected, done.found)
  if (done === undefined) {
    // The catalog can't be written: this loader knows it all the same.
    if (data.length === undefined) data.emit('length', { length })
    data.length = length
  } else data.learnLength()
}

function keepInMemory<T>(data: Dataset<T>, job: Job<T>): void {
  const writer = job.writer as ShardWriter<T>
  data.release(job.lease)
  job.lease = undefined
  job.writer = undefined
  const reader = writer.reader()
  job.reader = reader
  data.readers.put(job.k, reader, 0, writer.memoryBytes)
  // Its file has no name from now on, if it has one at all.
  void writer.discard()
}

/** One shard is more than the folder may hold. */
export function tooLarge(start: number, bytes: number, limit: number | undefined): LoadItError {
  const message = `the shard of item ${start} has ${bytes} bytes, more than memoryLimit: it is not stored`
  return new LoadItError('MILL_DISK_LIMIT', message, { start, bytes, limit })
}

function tell<T>(
  data: Dataset<T>,
  job: Job<T>,
  made: { gen: number; count: number; bytes: number; ms: number; stored: boolean },
): void {
  // An empty shard only marks the end.
  if (made.count === 0) return
  data.counts.generated++
  const { gen, count, bytes, ms, stored } = made
  data.emit('generated', { start: data.startOf(job.k), gen, count, bytes, ms, stored })
}
