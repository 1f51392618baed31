import type { MillraceError } from '../base/errors.js'
import type { Dataset } from './dataset.js'
import { asOurs, contentChanged, isFull, lengthChanged } from './faults.js'
import type { Job } from './job.js'
import { MOST_ITEMS } from './options.js'
import { type Driver, publish } from './publish.js'
import { ShardWriter } from './shard-writer.js'
import { type Walk, WalkClosed } from './walk.js'

/** Items whose encoding is compared with `verify: 'first'`. */
export const COMPARED = 16

/** What {@link makeShard} throws where a seekable source began behind the end of the data: where that is has to be found. */
export class EndUnknown extends Error {}

/** A walk that brought nothing shows where the data end only if something stands before it. */
export function isEmptyHanded<T>(data: Dataset<T>, walk: Walk<T>): boolean {
  return walk.position === walk.start && walk.start > data.provenEnd()
}

/**
 * Makes the shard of `job` from the walk, which stands at its first item: encodes, writes, publishes. True: the source
 * has ended in it, or just behind it. Throws what goes wrong; the job is not ended then, but its lease has been given
 * back, and its writer stays for those who still read what came before the fault.
 */
export async function makeShard<T>(data: Dataset<T>, walk: Walk<T>, job: Job<T>, driver: Driver<T>): Promise<boolean> {
  const began = performance.now()
  try {
    let more = walk.take()
    if (typeof more !== 'boolean') more = await more
    if (!more) {
      if (isEmptyHanded(data, walk)) throw new EndUnknown()
      await endHere(data, walk, job)
      return true
    }
    const making = new Making(data, walk, job)
    await making.begin()
    const ended = await making.fill()
    await publish(data, job, { ends: ended && !making.isFull, ms: performance.now() - began, driver })
    return ended
  } catch (error) {
    const { writer } = job
    if (job.holders === 0 || job.hidden) {
      job.writer = undefined
      await writer?.discard()
    }
    data.release(job.lease)
    job.lease = undefined
    throw error
  }
}

/** The source has ended before the first item of a shard: an empty one marks the end. */
async function endHere<T>(data: Dataset<T>, walk: Walk<T>, job: Job<T>): Promise<void> {
  checkLength(data, walk.position, job)
  // A data set without a single item: the length of its shards is settled too.
  const shardLength = data.shardLength > 0 ? data.shardLength : MOST_ITEMS
  job.writer = await openWriter(data, job)
  const made = { shardLength, ends: true, ms: 0, driver: undefined }
  await publish(data, job, made)
}

/** Is this a length that the data may have? Throws `MILL_ITEM_SOURCE_CHANGED`. */
function checkLength<T>(data: Dataset<T>, found: number, job: Job<T>): void {
  const expected = expectedLength(data)
  if (expected !== undefined && found !== expected) throw lengthChanged(expected, found)
  if (job.least > found) throw lengthChanged(job.least, found)
}

/** The length as it is known; while more is looked for, nothing is. */
function expectedLength<T>(data: Dataset<T>): number | undefined {
  return data.isGrowing ? undefined : (data.length ?? data.settings.length)
}

async function openWriter<T>(data: Dataset<T>, job: Job<T>): Promise<ShardWriter<T>> {
  const start = data.startOf(job.k)
  const { lease } = job
  const memory = { path: undefined, start }
  if (lease === undefined || data.isReadOnly) return ShardWriter.create(data.kit, memory)
  const path = data.temporaryOf(lease)
  const onFull = (error: unknown, needed: number): Promise<'retry' | 'memory'> =>
    Promise.resolve(makeRoom(data, job, path, error, needed))
  return ShardWriter.create(data.kit, { path, start, onFull })
}

/** A shard can't be written: cold ones go if that may help, else this one stays in memory, if it is small enough. */
function makeRoom<T>(data: Dataset<T>, job: Job<T>, path: string, cause: unknown, needed: number): 'retry' | 'memory' {
  const { memoryLimit, cacheBytes } = data.settings
  if (isFull(cause) && memoryLimit !== undefined && !job.retried && data.canMake) {
    job.retried = true
    const { bytes } = data.books.totals()
    const victims = data.write(() => data.books.trim(Math.max(0, bytes - Math.max(needed, bytes / 8)))) ?? []
    data.evicted(victims)
    if (victims.length > 0) return 'retry'
  }
  const fault = (): MillraceError => asOurs(cause, path)
  job.cause = cause
  if (job.passing && job.holders === 0) {
    // Nobody waits for it: its room in memory is for those that somebody does.
    data.warnOnce('store', fault)
    throw fault()
  }
  if ((job.writer?.bytes ?? 0) > cacheBytes) throw fault()
  data.warnOnce('store', fault)
  return 'memory'
}

/** A shard that is being filled. */
class Making<T> {
  readonly #data: Dataset<T>
  readonly #walk: Walk<T>
  readonly #job: Job<T>
  readonly #room: number
  /** It has as many items as a shard can have. */
  isFull = false

  constructor(data: Dataset<T>, walk: Walk<T>, job: Job<T>) {
    this.#data = data
    this.#walk = walk
    this.#job = job
    const length = expectedLength(data)
    const most = data.shardLength > 0 ? data.shardLength : MOST_ITEMS
    const start = data.startOf(job.k)
    this.#room = length === undefined || length <= start ? most : Math.min(most, length - start)
    if (length !== undefined && length <= start) throw lengthChanged(length, start + 1, true)
  }

  async begin(): Promise<void> {
    const { writer } = this.#job
    if (writer !== undefined) await writer.discard()
    this.#job.writer = await openWriter(this.#data, this.#job)
    this.#checkOpen()
  }

  #checkOpen(): void {
    if (this.#walk.closed) throw new WalkClosed()
  }

  /** Item after item, until the shard is full or the source ends (true). */
  async fill(): Promise<boolean> {
    const data = this.#data
    const walk = this.#walk
    const job = this.#job
    const writer = job.writer as ShardWriter<T>
    const { verify, shardBytes, cacheBytes } = data.settings
    const most = data.shardLength > 0 ? Number.POSITIVE_INFINITY : shardBytes
    const room = this.#room
    for (;;) {
      const compare = verify === 'always' || (verify === 'first' && data.compared < COMPARED)
      if (compare) data.compared++
      const written = writer.add(walk.item as T, compare)
      if (written !== undefined) {
        await written
        this.#checkOpen()
      }
      if (job.cause !== undefined && writer.bytes > cacheBytes && writer.inMemory) {
        throw asOurs(job.cause, data.settings.root)
      }
      if (writer.count >= job.wakeAt && !job.hidden) job.wake()
      if (job.prefix !== undefined && writer.count === job.prefix.count) this.#comparePrefix(writer)
      if (writer.count >= room || writer.bytes >= most) break
      if (data.turns.isOver()) {
        await data.turns.next()
        this.#checkOpen()
      }
      let more = walk.take()
      if (typeof more !== 'boolean') more = await more
      if (!more) return this.#ended(writer)
    }
    if (data.shardLength === 0) this.#settleLength(writer.count)
    this.isFull = writer.count === data.shardLength
    return this.#isEnd(writer)
  }

  /** What was there before the source was asked for more must come again. */
  #comparePrefix(writer: ShardWriter<T>): void {
    const { prefix } = this.#job
    const found = writer.contentCrc
    if (prefix === undefined || prefix.crc === found || this.#data.settings.accept) return
    throw contentChanged(this.#data.startOf(this.#job.k), prefix.crc, found)
  }

  #ended(writer: ShardWriter<T>): true {
    const data = this.#data
    checkLength(data, this.#walk.position, this.#job)
    if (data.shardLength === 0) {
      // Large enough for the size that was asked for, and never full: more may come one day.
      const perItem = Math.max(1, writer.bytes / writer.count)
      const guess = Math.floor(data.settings.shardBytes / perItem)
      this.#settleLength(Math.min(MOST_ITEMS, Math.max(guess, writer.count + 1)))
    }
    return true
  }

  /** The shard should end the data: one look beyond it shows whether it does. */
  async #isEnd(writer: ShardWriter<T>): Promise<boolean> {
    const data = this.#data
    const expected = expectedLength(data)
    if (expected === undefined || data.startOf(this.#job.k) + writer.count < expected) return false
    let more = this.#walk.isThere()
    if (typeof more !== 'boolean') more = await more
    if (more) throw lengthChanged(expected, expected + 1, true)
    return true
  }

  #settleLength(length: number): void {
    const data = this.#data
    data.shardLength = data.write(() => data.books.setShardLength(length)) ?? length
  }
}
