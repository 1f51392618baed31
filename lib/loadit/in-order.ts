import { abortable } from '../base/abort.js'
import type { Dataset } from './dataset.js'
import type { Job } from './job.js'
import type { Mill } from './mill.js'
import type { Preload } from './preload.js'
import { atIndex, Patience, type Reading, takeMade } from './read.js'
import type { ShardReader } from './shard-reader.js'

/** A sequential pass: holds the shard it is in and those that are made ahead of it. */
export class InOrder<T> {
  readonly #data: Dataset<T>
  readonly #mill: Mill<T>
  readonly #reading: Reading<T>
  readonly #preload: Preload<T>
  /** Shards that are made for this pass. */
  readonly #held = new Map<number, Job<T>>()
  #k = -1
  /** Of the shard it is in, where it was made just now. */
  #made: ShardReader<T> | undefined

  constructor(data: Dataset<T>, mill: Mill<T>, reading: Reading<T>, preload: Preload<T>) {
    this.#data = data
    this.#mill = mill
    this.#reading = reading
    this.#preload = preload
  }

  /** The items from `start` to `end` in arrays of 1 to `max`: what is ready, at once. */
  async *batches(start: number, end: number, max: number, signal: AbortSignal): AsyncGenerator<T[], void, undefined> {
    const data = this.#data
    let patience = new Patience<T>(data)
    let isThrough = false
    let at = start
    try {
      while (at < end) {
        data.check()
        signal.throwIfAborted()
        if (data.shardLength === 0) data.learn()
        const length = this.#reading.knownLength
        if (length !== undefined && at >= length) {
          await this.#confirmEnd(signal)
          break
        }
        const k = this.#reading.shardOf(at)
        if (k !== this.#k) this.#enter(k, at, end)
        const i = at - data.startOf(k)
        const most = Math.min(max, end - at)
        let items: T[] | undefined
        try {
          items = await this.#some(k, i, most, signal)
        } catch (error) {
          if (error === signal.reason) throw error
          patience.met(error, k, at)
          this.#made = undefined
          continue
        }
        if (items === undefined) break
        if (items.length === 0) {
          patience.again(at)
          continue
        }
        if (!patience.isFresh) patience = new Patience<T>(data)
        at += items.length
        // Short passes, one after the other, would never come to a turn of their own.
        if (data.turns.isOverdue()) await data.turns.next()
        yield items
      }
      isThrough = true
    } finally {
      this.#leave(isThrough)
    }
  }

  /** 1 to `most` items from the `i`-th of shard `k` on; none: try again; undefined: there are no more. */
  async #some(k: number, i: number, most: number, signal: AbortSignal): Promise<T[] | undefined> {
    const data = this.#data
    let job = this.#held.get(k)
    if (job === undefined) {
      let reader = this.#made
      if (reader === undefined || reader.closed || i >= reader.count) {
        const opened = data.readers.open(k)
        reader = opened instanceof Promise ? await abortable(opened, signal) : opened
      }
      if (reader !== undefined) {
        if (i < reader.count) return reader.run(i, most)
        data.learn()
        if (data.isOutside(data.startOf(k) + i) || data.recordOf(k)?.gen === data.readers.genOf(k)) return undefined
        data.readers.close(k)
        return []
      }
      job = this.#hold(k)
    }
    await job.wait(i + 1, signal)
    if (job.there > i) return takeMade(job, i, most)
    if (job.outcome === 'failed' && job.error !== undefined) {
      if (await this.#reading.isBehind(job.error, data.startOf(k) + i, signal)) return undefined
      throw atIndex(job.error, data.startOf(k) + i)
    }
    if (job.outcome === 'outside') return undefined
    this.#made = job.reader
    this.#held.delete(k)
    this.#mill.letGo(job)
    return []
  }

  /** The length was only said so far: the shard that should end the data shows whether it does. */
  async #confirmEnd(signal: AbortSignal): Promise<void> {
    const job = this.#held.get(this.#k)
    if (job === undefined || this.#data.length !== undefined) return
    await job.wait(Number.POSITIVE_INFINITY, signal)
    if (job.outcome === 'failed' && job.error !== undefined) throw job.error
  }

  #hold(k: number): Job<T> {
    const job = this.#mill.want(k, (made) => {
      made.driver = this
    })
    this.#held.set(k, job)
    return job
  }

  /** Goes on to another shard: those behind are nobody's business here any more, some ahead are wanted now. */
  #enter(k: number, at: number, end: number): void {
    const data = this.#data
    this.#k = k
    this.#made = undefined
    for (const [held, job] of this.#held) {
      if (held >= k) continue
      // It was read to its end, and is being finished.
      job.kept = true
      this.#held.delete(held)
      this.#mill.letGo(job)
    }
    if (data.shardLength === 0) return
    for (let next = k; next <= k + this.#preload.shards; next++) {
      const start = data.startOf(next)
      if (start >= end || data.isOutside(start)) break
      if (!this.#held.has(next) && !data.isReady(next)) this.#hold(next)
    }
    this.#preload.ask(at)
  }

  #leave(isThrough: boolean): void {
    for (const job of this.#held.values()) {
      if (isThrough) job.kept = true
      this.#mill.letGo(job)
    }
    this.#held.clear()
    if (!isThrough) this.#mill.leave(this)
  }
}
