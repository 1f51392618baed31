import { LoadItError } from '../base/errors.js'
import type { Lease } from './catalog.js'
import type { Dataset } from './dataset.js'
import { lengthChanged } from './faults.js'
import { discard, END, Job, type Outcome } from './job.js'
import { EndUnknown, isEmptyHanded, makeShard } from './make.js'
import { endKnown, LeaseLost } from './publish.js'
import { Walk, WalkClosed } from './walk.js'

/** The shards that are wanted, as the fleet sees them. */
export interface Wanted<T> {
  /** All of them, by shard. */
  readonly jobs: Map<number, Job<T>>
  /** Those that wait for a walk, in order. */
  readonly queue: Set<Job<T>>
  /** The job of a shard, begun if there is none, and held until {@link letGo}. */
  want(k: number): Job<T>
  letGo(job: Job<T>): void
  /** Takes the lease of a job's shard. */
  begin(job: Job<T>): 'ready' | 'busy' | 'mine'
  /** Another walk is about to come by. */
  follows(job: Job<T>): boolean
  /** Ends a job. */
  settle(job: Job<T>, outcome: Outcome, error?: unknown): void
}

/**
 * The open walks of the source. A walk is led to one job after the other; it serves what it comes by, in work or wanted by
 * whoever, and stands still at the end of a shard when nobody wants the next one.
 */
export class Fleet<T> {
  readonly #data: Dataset<T>
  readonly #mill: Wanted<T>
  readonly #walks = new Set<Walk<T>>()
  readonly #idle = new Set<Walk<T>>()
  /** Where each walk that is under way goes. */
  readonly #targets = new Map<Walk<T>, Job<T>>()
  /** The reader on whose behalf a walk was led last. */
  readonly #drivers = new Map<Walk<T>, object | undefined>()
  /** All walks under way, until they have cleaned up. */
  readonly #running = new Set<Promise<void>>()
  #failures = 0

  constructor(data: Dataset<T>, mill: Wanted<T>) {
    this.#data = data
    this.#mill = mill
  }

  /** A reader stops before its end: the walks that were led for it alone are ended. */
  leave(reader: object): void {
    const { shardLength } = this.#data
    for (const [walk, driver] of [...this.#drivers]) {
      if (driver !== reader) continue
      const target = this.#targets.get(walk)
      // What has all its items is finished without the walk; what somebody else was served from goes on.
      if (target === undefined || target.outcome !== undefined || target.there >= shardLength) this.#end(walk)
      else this.#drivers.set(walk, undefined)
    }
  }

  /** A walk is on its way to somewhere behind this job's shard. */
  isToPass(job: Job<T>): boolean {
    const start = this.#data.startOf(job.k)
    for (const [walk, target] of this.#targets) if (target.k > job.k && walk.position <= start) return true
    return false
  }

  /** Nobody wants the job any more that a walk is led to. */
  giveUp(walk: Walk<T>, job: Job<T>): void {
    if (this.#targets.get(walk) !== job) return
    // Somebody else may be waiting further on: then the walk goes there, and ends nothing.
    const heir = this.#heirOf(walk)
    if (heir === undefined) {
      this.#end(walk)
      this.assign()
      return
    }
    this.#mill.queue.delete(heir)
    this.#lead(walk, heir)
  }

  #heirOf(walk: Walk<T>): Job<T> | undefined {
    for (const job of this.#mill.jobs.values()) if (job.walk === walk && job.holders > 0) return job
    for (const job of this.#mill.queue) {
      if (job.k === END || this.#data.startOf(job.k) >= walk.position) return job
    }
    return undefined
  }

  /** Ends all walks; resolves when what they had begun is gone. */
  async close(error: unknown): Promise<void> {
    for (const walk of [...this.#walks]) this.#end(walk, error)
    await Promise.all(this.#running)
  }

  // ---- a walk for it -------------------------------------------------------------------------------------------------

  /** Something has changed for those that wait. */
  soon(): void {
    if (this.#mill.queue.size > 0) queueMicrotask(() => this.assign())
  }

  /** Leads walks to those that wait for one. */
  assign(): void {
    for (const job of this.#mill.queue) {
      if (!job.needsWalk) {
        // What it followed has ended in another way: it has to look for itself.
        if (!this.#mill.follows(job)) {
          this.#mill.queue.delete(job)
          job.back?.()
        }
        continue
      }
      const walk = this.#pick(job)
      if (walk === undefined) continue
      this.#mill.queue.delete(job)
      const running = this.#walk(walk, job)
      this.#running.add(running)
      void running.then(() => this.#running.delete(running))
    }
  }

  /** An idle walk that is on the way, a new one, an idle one begun anew; undefined: it has to wait. */
  #pick(job: Job<T>): Walk<T> | undefined {
    if (this.#mill.follows(job)) return undefined
    const data = this.#data
    const { seekable, maxSources, source } = data.settings
    if (source === undefined) return undefined
    const start = this.#startOf(job)
    let best: Walk<T> | undefined
    for (const walk of this.#idle) {
      if (walk.position > start || walk.position < (best?.position ?? 0)) continue
      if (seekable && start > walk.position && !this.#isWorthPassing(walk.position, start)) continue
      best = walk
    }
    if (best !== undefined) return best
    if (this.#walks.size >= maxSources) {
      const [oldest] = this.#idle
      if (oldest === undefined) return undefined
      this.#end(oldest)
      data.counts.restarts++
      data.emit('restart', { start, attempt: this.#failures })
    }
    const walk = new Walk<T>(source, seekable ? start : 0, this.#failures)
    this.#walks.add(walk)
    return walk
  }

  /**
   * A seekable source need not be walked to where it can begin: only past one shard, and that one is made on the way.
   * Otherwise several processes that read in order, each making what the others don't, would pull it all twice.
   */
  #isWorthPassing(from: number, start: number): boolean {
    const data = this.#data
    if (start - from > data.shardLength) return false
    const k = Math.floor(from / data.shardLength)
    const job = this.#mill.jobs.get(k)
    if (job !== undefined) return this.#mill.queue.has(job)
    return !data.isReady(k) && !data.isReadOnly && data.hasRoom() && !data.books.isTaken(data.startOf(k))
  }

  /** Where a walk for this job may begin at the latest. */
  #startOf(job: Job<T>): number {
    return job.k === END ? this.#data.provenEnd() : this.#data.startOf(job.k)
  }

  #lead(walk: Walk<T>, job: Job<T>): void {
    this.#targets.set(walk, job)
    this.#drivers.set(walk, job.driver)
    job.walk = walk
  }

  async #walk(walk: Walk<T>, target: Job<T>): Promise<void> {
    this.#idle.delete(walk)
    this.#lead(walk, target)
    try {
      while (await this.#step(walk));
    } catch (error) {
      this.#broke(walk, error)
    }
    this.#targets.delete(walk)
    if (walk.over || walk.closed) this.#end(walk)
    else this.#idle.add(walk)
    this.assign()
  }

  /** One shard: made, or passed. True: it goes on. */
  async #step(walk: Walk<T>): Promise<boolean> {
    const data = this.#data
    const length = data.shardLength
    const k = length === 0 ? 0 : Math.floor(walk.position / length)
    const job = this.#here(walk, k)
    let ended: boolean
    if (job !== undefined) ended = await this.#work(walk, job)
    else if (this.#isThrough(walk)) return false
    else if (this.#isLeft(walk)) return false
    else ended = await this.#skip(walk, (k + 1) * length)
    if (walk.closed) throw new WalkClosed()
    if (ended) {
      this.#ended(walk)
      return false
    }
    if (!this.#isThrough(walk)) return true
    const next = this.#mill.jobs.get(k + 1)
    if (next === undefined || !this.#mill.queue.delete(next)) return false
    this.#lead(walk, next)
    return true
  }

  /**
   * Somebody else has taken the shard that a walk of a seekable source was to make on its way. Pulling it all the same
   * would be for nothing: the walk ends, and its target gets one that begins there.
   */
  #isLeft(walk: Walk<T>): boolean {
    const target = this.#targets.get(walk)
    if (!this.#data.settings.seekable || target === undefined || target.k === END) return false
    this.#end(walk)
    target.walk = undefined
    target.back?.()
    return true
  }

  /** Its target has ended, or has gone back to wait for somebody else. */
  #isThrough(walk: Walk<T>): boolean {
    const target = this.#targets.get(walk)
    return target === undefined || target.outcome !== undefined || target.walk !== walk
  }

  /** The job that this walk does at shard `k`; undefined: it only passes. */
  #here(walk: Walk<T>, k: number): Job<T> | undefined {
    const job = this.#mill.jobs.get(k)
    if (job === undefined) return this.#passing(walk, k)
    if (job.walk !== walk && !this.#mill.queue.delete(job)) return undefined
    const begun = job.extend || !this.#data.isReady(k) ? this.#mill.begin(job) : 'ready'
    if (begun === 'mine') {
      job.walk = walk
      return job
    }
    if (begun === 'ready') this.#mill.settle(job, 'ready')
    else {
      job.walk = undefined
      job.back?.()
    }
    return undefined
  }

  /** A shard on the way is kept if it isn't there, nobody makes it, and it takes nobody's place. */
  #passing(walk: Walk<T>, k: number): Job<T> | undefined {
    const data = this.#data
    const target = this.#targets.get(walk)
    if (target === undefined || target.outcome !== undefined || target.k <= k) return undefined
    if (data.isReady(k) || data.isReadOnly || !data.hasRoom()) return undefined
    if (data.isOutside(data.startOf(k))) return undefined
    const job = new Job<T>(k)
    job.passing = true
    job.kept = true
    if (this.#mill.begin(job) !== 'mine' || (job.lease === undefined && data.shardLength > 0)) return undefined
    job.walk = walk
    this.#mill.jobs.set(k, job)
    return job
  }

  async #work(walk: Walk<T>, job: Job<T>): Promise<boolean> {
    const data = this.#data
    try {
      job.isInWork = true
      const ended = await makeShard(data, walk, job, {
        next: () => this.#nextStart(walk, job.k + 1),
        onNext: (lease) => this.#onNext(walk, job.k + 1, lease),
      }).finally(() => {
        job.isInWork = false
      })
      const outside = ended && walk.position <= data.startOf(job.k) && !job.extend
      this.#mill.settle(job, outside ? 'outside' : 'ready')
      return ended
    } catch (error) {
      if (error instanceof EndUnknown) {
        this.#seekEnd(job)
        return true
      }
      if (error instanceof LeaseLost) {
        job.walk = undefined
        discard(job)
        if (job.back !== undefined && this.#mill.jobs.get(job.k) === job) job.back()
        else this.#mill.settle(job, 'failed', undefined)
        // The items of this shard are gone from this walk; the next one begins here.
        return walk.over
      }
      if (this.#targets.get(walk) !== job && !isOfTheWalk(error)) {
        this.#mill.settle(job, 'failed', error)
        return await this.#skip(walk, data.startOf(job.k + 1))
      }
      throw error
    }
  }

  #nextStart(walk: Walk<T>, k: number): number | undefined {
    const data = this.#data
    const next = this.#mill.jobs.get(k)
    const waits = next !== undefined && this.#mill.queue.has(next) && next.lease === undefined
    const target = this.#targets.get(walk)
    const passes = target !== undefined && target.outcome === undefined && target.k > k && next === undefined
    if (!waits && !(passes && data.hasRoom())) return undefined
    return data.isReady(k) || data.isOutside(data.startOf(k)) ? undefined : data.startOf(k)
  }

  /** The lease of the next shard came with the publishing of the last one. */
  #onNext(walk: Walk<T>, k: number, lease: Lease): void {
    const next = this.#mill.jobs.get(k)
    if (next !== undefined) {
      if (next.lease === undefined) next.lease = lease
      else this.#data.release(lease)
      return
    }
    const job = new Job<T>(k)
    job.passing = true
    job.kept = true
    job.lease = lease
    job.walk = walk
    this.#mill.jobs.set(k, job)
  }

  async #skip(walk: Walk<T>, to: number): Promise<boolean> {
    const { turns } = this.#data
    while (walk.position < to) {
      let more = walk.take()
      if (typeof more !== 'boolean') more = await more
      if (!more) return true
      if (turns.isOver()) {
        await turns.next()
        if (walk.closed) throw new WalkClosed()
      }
    }
    return false
  }

  // ---- how a walk ends ------------------------------------------------------------------------------------------------

  /** The source has ended: so has whoever wanted what lies behind. */
  #ended(walk: Walk<T>): void {
    const data = this.#data
    const at = walk.position
    const target = this.#targets.get(walk)
    if (isEmptyHanded(data, walk)) {
      if (target !== undefined && target.walk === walk && target.k !== END) this.#seekEnd(target)
      return
    }
    const expected = data.isGrowing ? undefined : (data.length ?? data.settings.length)
    if (expected !== undefined && expected !== at) throw lengthChanged(expected, at)
    if (data.isGrowing && (target?.least ?? 0) > at) throw lengthChanged(target?.least ?? 0, at)
    if (data.length === undefined) endKnown(data, at)
    for (const job of [target, ...this.#mill.queue]) {
      if (job === undefined || job.outcome !== undefined) continue
      if (job.k === END) this.#mill.settle(job, 'ready')
      else if (data.startOf(job.k) >= at) this.#mill.settle(job, 'outside')
    }
  }

  /** Whoever wants a shard behind the end waits until it is known where that is. */
  #seekEnd(job: Job<T>): void {
    job.walk = undefined
    const end = this.#mill.want(END)
    end.onDone(() => {
      this.#mill.letGo(end)
      if (end.outcome === 'failed') this.#mill.settle(job, 'failed', end.error)
      else this.#mill.settle(job, 'outside')
    })
  }

  #broke(walk: Walk<T>, error: unknown): void {
    const data = this.#data
    const target = this.#targets.get(walk)
    this.#targets.delete(walk)
    this.#end(walk, error)
    const mine = [...this.#mill.jobs.values()].filter((job) => job.walk === walk || job === target)
    if (error instanceof WalkClosed) {
      // Whoever is still waited for is looked for again.
      for (const job of mine) {
        job.walk = undefined
        discard(job)
        if (job.holders > 0 && job.back !== undefined) job.back()
        else this.#mill.settle(job, 'failed', data.fault)
      }
      return
    }
    const index = (error as { index?: unknown }).index
    const from = typeof index === 'number' ? index : walk.position
    if ((error as LoadItError).code === 'MILL_ITEM_SOURCE_FAILED') this.#failures++
    for (const job of mine) this.#mill.settle(job, 'failed', error)
    for (const job of [...this.#mill.queue]) {
      const isBehind = job.k === END || data.startOf(job.k + 1) > from
      if (isBehind && (!data.settings.seekable || job.lease === undefined)) this.#mill.settle(job, 'failed', error)
    }
  }

  #end(walk: Walk<T>, reason?: unknown): void {
    this.#walks.delete(walk)
    this.#idle.delete(walk)
    this.#drivers.delete(walk)
    walk.close(reason instanceof WalkClosed ? undefined : reason)
  }
}

/** Not only this shard is concerned: what the source gives is not what it was, or it gives no more. */
function isOfTheWalk(error: unknown): boolean {
  if (error instanceof WalkClosed) return true
  const code = error instanceof LoadItError ? error.code : undefined
  return code === 'MILL_ITEM_SOURCE_FAILED' || code === 'MILL_ITEM_SOURCE_CHANGED' || code === 'MILL_DATASET_RESET'
}
