import { LoadItError } from '../base/errors.js'
import type { Dataset } from './dataset.js'
import { Job } from './job.js'
import { COMPARED } from './make.js'
import { MOST_ITEMS } from './options.js'
import { LeaseLost, publish } from './publish.js'
import { ShardWriter } from './shard-writer.js'

/** Makes shards of items that come by themselves, one after the other from the first on. Nobody else may make any. */
export class Filler<T> {
  readonly #data: Dataset<T>
  #job: Job<T> | undefined
  #k = 0
  #count = 0
  #stopped: unknown
  #busy: Promise<void> = Promise.resolve()

  constructor(data: Dataset<T>) {
    this.#data = data
  }

  /** Takes the first shard, so that nobody else fills the same folder. Throws `MILL_DATASET_EXISTS`. */
  claim(): void {
    const { root } = this.#data.settings
    const { cached } = this.#data.books.totals()
    const begun = cached > 0 || this.#data.length !== undefined ? undefined : this.#data.books.begin(0)
    if (begun?.is !== 'mine') {
      throw new LoadItError('MILL_DATASET_EXISTS', `${root} holds items already, or is just being filled`, { root })
    }
    this.#job = new Job<T>(0)
    this.#job.lease = begun.lease
    this.#data.held(begun.lease)
  }

  /** Stores items; resolves when the next ones may come. One call at a time. */
  add(items: readonly unknown[]): Promise<void> {
    this.#busy = this.#add(items as readonly T[])
    return this.#busy
  }

  async #add(items: readonly T[]): Promise<void> {
    const data = this.#data
    const { verify } = data.settings
    for (const item of items) {
      const writer = this.#job?.writer ?? (await this.#begin())
      this.#check()
      const compare = verify === 'always' || (verify === 'first' && data.compared < COMPARED)
      if (compare) data.compared++
      const written = writer.add(item, compare)
      if (written !== undefined) await written
      this.#count++
      if (this.#isFull(writer)) await this.#publish(false)
      if (data.turns.isOver()) await data.turns.next()
    }
  }

  #isFull({ count, bytes }: ShardWriter<T>): boolean {
    const { shardLength, settings } = this.#data
    return shardLength > 0 ? count >= shardLength : bytes >= settings.shardBytes || count >= MOST_ITEMS
  }

  #check(): void {
    if (this.#stopped !== undefined) throw this.#stopped
    this.#data.check()
  }

  async #begin(): Promise<ShardWriter<T>> {
    const data = this.#data
    const start = this.#count
    let job = this.#job
    if (job === undefined) {
      const begun = data.books.begin(start)
      if (begun.is !== 'mine') throw this.#lost()
      job = new Job<T>(this.#k)
      job.lease = begun.lease
      data.held(begun.lease)
      this.#job = job
    }
    const lease = job.lease
    if (lease === undefined) throw this.#lost()
    job.writer = await ShardWriter.create(data.kit, { path: data.temporaryOf(lease), start })
    return job.writer
  }

  #lost(): LoadItError {
    const { root } = this.#data.settings
    return new LoadItError('MILL_DATASET_EXISTS', `${root} is being filled by somebody else`, { root })
  }

  async #publish(ends: boolean): Promise<void> {
    const data = this.#data
    const job = this.#job as Job<T>
    const writer = job.writer as ShardWriter<T>
    const next = ends ? undefined : this.#count
    let following = undefined as Job<T> | undefined
    if (data.shardLength === 0) {
      const perItem = Math.max(1, writer.bytes / Math.max(1, writer.count))
      const guess = Math.min(MOST_ITEMS, Math.max(writer.count + 1, Math.floor(data.settings.shardBytes / perItem)))
      data.shardLength = data.books.setShardLength(ends ? guess : writer.count)
    }
    await publish(data, job, {
      ends,
      ms: 0,
      driver: {
        next: () => next,
        onNext: (lease) => {
          following = new Job<T>(this.#k + 1)
          following.lease = lease
        },
      },
    }).catch((error: unknown) => {
      throw error instanceof LeaseLost ? this.#lost() : error
    })
    if (!data.isReady(this.#k)) throw data.lastWarning ?? this.#lost()
    // Nobody reads here.
    data.readers.closeAll()
    this.#k++
    this.#job = following
  }

  /** No more items: the last shard, or an empty one, says so. */
  async end(): Promise<void> {
    this.#check()
    if (this.#job?.writer === undefined) await this.#begin()
    this.#check()
    await this.#publish(true)
  }

  /** Whatever is under way ends with this error. */
  stop(error: unknown): void {
    this.#stopped ??= error
  }

  /** Drops what isn't finished, and closes the dataset. */
  async close(): Promise<void> {
    this.#stopped ??= new LoadItError('MILL_CLOSED', `${this.#data.settings.root} is closed`)
    await this.#busy.catch(() => {})
    const job = this.#job
    this.#job = undefined
    await job?.writer?.discard()
    this.#data.release(job?.lease)
    await this.#data.close()
  }
}
