import { abortable } from '../base/abort.js'
import type { LoadItError } from '../base/errors.js'
import type { Dataset } from './dataset.js'
import { isMissing, lengthChanged, unavailable } from './faults.js'
import { END, type Job } from './job.js'
import type { Mill } from './mill.js'
import { endKnown } from './publish.js'
import type { ShardReader } from './shard-reader.js'

/** How often a shard that went away under a reader is looked for again. */
const PATIENCE = 8
/** Reads of one call that wait for the disk at a time: each may bring a whole block of 1 MiB into memory. */
const AT_ONCE = 4

/** Finds items: in open shards, in the folder, in work; and has made what isn't there. Indices here are >= 0. */
export class Reading<T> {
  readonly #data: Dataset<T>
  readonly #mill: Mill<T>

  constructor(data: Dataset<T>, mill: Mill<T>) {
    this.#data = data
    this.#mill = mill
  }

  get knownLength(): number | undefined {
    return this.#data.length ?? this.#data.settings.length
  }

  /** Which shard an item is in. While no shard has been made all of them count as in the first. */
  shardOf(index: number): number {
    const { shardLength } = this.#data
    return shardLength === 0 ? 0 : Math.floor(index / shardLength)
  }

  /** The item, however long it takes; undefined: there is none. */
  async item(index: number, signal?: AbortSignal): Promise<T | undefined> {
    const data = this.#data
    const patience = new Patience<T>(data)
    for (;;) {
      data.check()
      signal?.throwIfAborted()
      if (data.shardLength === 0) data.learn()
      if (this.#isOutside(index)) return undefined
      const k = this.shardOf(index)
      const i = index - data.startOf(k)
      const opened = data.readers.open(k)
      const reader = opened instanceof Promise ? await abortable(opened, signal) : opened
      if (reader !== undefined) {
        if (i >= reader.count) {
          if (this.#isEndOf(k, reader)) return undefined
          patience.again(index)
          continue
        }
        try {
          return await reader.get(i)
        } catch (error) {
          patience.met(error, k, index)
          continue
        }
      }
      const far = await this.#farItem(k, i, signal)
      if (far !== undefined) return far.value
      const job = this.#mill.want(k)
      try {
        await job.wait(i + 1, signal)
        // Somebody had something of it: it is finished in the background.
        job.kept = true
        if (i < job.there && job.writer !== undefined) return await job.writer.get(i)
        if (job.outcome === 'outside') return undefined
        if (job.outcome === 'failed' && job.error !== undefined) {
          if (await this.isBehind(job.error, index, signal)) return undefined
          throw atIndex(job.error, index)
        }
        const made = job.reader
        if (made !== undefined && !made.closed && i < made.count) return await made.get(i)
        patience.again(index)
      } catch (error) {
        if (error === job.error || signal?.aborted === true || job.outcome === 'failed') throw atIndex(error, index)
        patience.met(error, k, index)
      } finally {
        this.#mill.letGo(job)
      }
    }
  }

  /** One item of a shard that lies in the remote store, where getting all of it would be too much. */
  async #farItem(k: number, i: number, signal?: AbortSignal): Promise<{ readonly value: T | undefined } | undefined> {
    const data = this.#data
    if (data.remote === undefined || data.shardLength === 0 || this.#mill.find(k) !== undefined) return undefined
    try {
      return await data.remote.fetchItem(data.startOf(k), i, signal)
    } catch (error) {
      data.check()
      signal?.throwIfAborted()
      // The whole shard is asked for next, which says what is wrong if that is so too.
      data.warn(data.asWarning(error))
      return undefined
    }
  }

  /** A shard is not to be had: does it lie behind the end of what is in the remote store? */
  async isBehind(error: unknown, index: number, signal?: AbortSignal): Promise<boolean> {
    const { remote, settings, length, shardLength } = this.#data
    if ((error as LoadItError).code !== 'MILL_SHARD_UNAVAILABLE' || remote === undefined || shardLength === 0)
      return false
    if (settings.source !== undefined || length !== undefined) return false
    const found = await remote.findLength(shardLength, signal)
    if (found === undefined) return false
    endKnown(this.#data, found)
    return index >= found
  }

  #isOutside(index: number): boolean {
    const length = this.knownLength
    return length !== undefined && index >= length
  }

  /** A shard that is there has no such item: does the dataset end in it, or is this an old one? */
  #isEndOf(k: number, reader: ShardReader<T>): boolean {
    const data = this.#data
    data.learn()
    if (data.isOutside(data.startOf(k) + reader.count)) return true
    if (data.recordOf(k)?.gen === data.readers.genOf(k)) return true
    data.readers.close(k)
    return false
  }

  /** Many items, read shard by shard. */
  async many(indices: readonly number[], signal?: AbortSignal): Promise<(T | undefined)[]> {
    const data = this.#data
    const items = new Array<T | undefined>(indices.length)
    const [first] = indices
    if (first !== undefined && data.shardLength === 0) items[0] = await this.item(first, signal)
    const order = Uint32Array.from(indices, (_, p) => p)
    const shards = Float64Array.from(indices, (index) => this.shardOf(index))
    order.sort((a, b) => (shards[a] as number) - (shards[b] as number) || a - b)
    let pending: Promise<void>[] = []
    for (const p of order) {
      const index = indices[p] as number
      const k = shards[p] as number
      const reader = data.readers.find(k)
      const i = index - data.startOf(k)
      if (reader === undefined || i >= reader.count || data.fault !== undefined) {
        items[p] = await this.item(index, signal)
      } else {
        const found = get(reader, i)
        if (found instanceof Promise) {
          pending.push(
            found
              .catch(() => this.item(index, signal))
              .then((item) => {
                items[p] = item
              }),
          )
        } else items[p] = found
      }
      if (pending.length >= AT_ONCE) {
        await Promise.all(pending)
        pending = []
      }
      if (data.turns.isLongRun()) await data.turns.next()
      signal?.throwIfAborted()
    }
    await Promise.all(pending)
    return items
  }

  /** How many items there are; walks the source to its end if nobody knows. */
  async length(signal?: AbortSignal): Promise<number> {
    const data = this.#data
    for (;;) {
      data.check()
      signal?.throwIfAborted()
      data.learn()
      const known = data.isGrowing ? data.length : this.knownLength
      if (known !== undefined) return known
      if (data.settings.source === undefined) return this.#remoteLength(signal)
      const job = this.#mill.want(data.shardLength === 0 ? 0 : END)
      try {
        await job.wait(Number.POSITIVE_INFINITY, signal)
        if (job.outcome === 'failed' && job.error !== undefined) throw job.error
      } finally {
        this.#mill.letGo(job)
      }
    }
  }

  async #remoteLength(signal?: AbortSignal): Promise<number> {
    const data = this.#data
    if (data.shardLength === 0 && data.remote !== undefined) await this.item(0, signal)
    const found = await data.remote?.findLength(data.shardLength, signal)
    if (found === undefined) {
      const missing = data.cachedPrefix()
      throw unavailable(missing - (data.shardLength === 0 ? 0 : missing % data.shardLength), undefined, missing)
    }
    const { length } = data.settings
    if (length !== undefined && length !== found) throw lengthChanged(length, found)
    endKnown(data, found)
    return found
  }
}

/** Bounds how often a read begins anew because what it read went away, or was damaged. */
export class Patience<T> {
  readonly #data: Dataset<T>
  #left = PATIENCE
  #spoilt = false

  constructor(data: Dataset<T>) {
    this.#data = data
  }

  /** Nothing has gone wrong so far. */
  get isFresh(): boolean {
    return this.#left === PATIENCE && !this.#spoilt
  }

  /** Something went away: once more, unless that has happened too often. */
  again(index: number, cause?: unknown): void {
    if (this.#left-- > 0) return
    throw unavailable(this.#data.startOf(Math.floor(index / (this.#data.shardLength || 1))), cause, index)
  }

  /** A read failed: returns if it may be tried once more, with the shard dropped if it was damaged. */
  met(error: unknown, k: number, index: number): void {
    const data = this.#data
    data.check()
    const { code, reason = '' } = error as { code?: unknown; reason?: string }
    if (code === 'MILL_SHARD_CORRUPT') {
      data.spoilt(k, data.readers.genOf(k) ?? 0, reason)
      // Damaged again right after it was made: something is wrong with the disk.
      if (this.#spoilt || !data.canMake) throw error
      this.#spoilt = true
    } else if (isMissing(error) || code === 'MILL_CLOSED') {
      data.readers.close(k)
      this.again(index, error)
    } else throw error
  }
}

function get<T>(reader: ShardReader<T>, i: number): T | Promise<T> {
  try {
    return reader.get(i)
  } catch (error) {
    return Promise.reject(error)
  }
}

/** The error as it is, but one that says an item is not to be had names the item that was asked for. */
export function atIndex(error: unknown, index: number): unknown {
  const { code, start, cause } = error as LoadItError
  return code === 'MILL_SHARD_UNAVAILABLE' && start !== undefined ? unavailable(start, cause, index) : error
}

/** Whose items can be read now: those of a job that is in work. */
export async function takeMade<T>(job: Job<T>, from: number, max: number): Promise<T[]> {
  const { writer } = job
  const items: T[] = []
  const to = Math.min(job.there, from + max)
  for (let i = from; i < to && writer !== undefined; i++) {
    const item = writer.get(i)
    items.push(item instanceof Promise ? await item : item)
  }
  return items
}
