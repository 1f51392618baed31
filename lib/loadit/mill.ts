import { sleep } from '../base/abort.js'
import type { Lease } from './catalog.js'
import type { Dataset } from './dataset.js'
import { unavailable } from './faults.js'
import { fetchShard } from './fetch.js'
import { Fleet, type Wanted } from './fleet.js'
import { discard, END, Job, type Outcome } from './job.js'
import { LeaseLost } from './publish.js'

/** How long to wait for somebody else's shard before looking again, in milliseconds: at first, and at most. */
const FIRST_PAUSE = 5
const LONGEST_PAUSE = 50
const SLOWER = 1.5

/** The shards that are wanted and not there: takes their leases, waits for others, and has walks led to the rest. */
export class Mill<T> implements Wanted<T> {
  readonly #data: Dataset<T>
  /** All that are wanted, by shard. For the fleet. */
  readonly jobs = new Map<number, Job<T>>()
  /** Those that wait for a walk, in order. */
  readonly queue = new Set<Job<T>>()
  readonly #fleet: Fleet<T>

  constructor(data: Dataset<T>) {
    this.#data = data
    this.#fleet = new Fleet(data, this)
  }

  /** The job of shard `k`, if it is wanted already. */
  find(k: number): Job<T> | undefined {
    return this.jobs.get(k)
  }

  /** The job of shard `k`, begun if there is none, and held until {@link letGo}. `prepare` sets up a new one. */
  want(k: number, prepare?: (job: Job<T>) => void): Job<T> {
    let job = this.jobs.get(k)
    if (job === undefined) {
      job = new Job<T>(k)
      prepare?.(job)
      job.holders = 1
      this.jobs.set(k, job)
      void this.#run(job)
    } else job.holders++
    return job
  }

  /** The opposite of {@link want}. With nobody left the job ends, and its walk with it, unless it is `kept`. */
  letGo(job: Job<T>): void {
    job.holders--
    if (job.holders > 0) return
    if (job.outcome === undefined) {
      if (!job.kept) this.#giveUp(job)
    } else if (job.outcome === 'failed') {
      discard(job)
    }
  }

  /** A reader stops before its end: the walks that were led for it alone are ended. */
  leave(reader: object): void {
    this.#fleet.leave(reader)
  }

  /** Ends all walks and jobs; resolves when what they had begun is gone. */
  async close(error: unknown): Promise<void> {
    for (const job of [...this.jobs.values()]) this.settle(job, 'failed', error)
    await this.#fleet.close(error)
  }

  // ---- a job ---------------------------------------------------------------------------------------------------------

  async #run(job: Job<T>): Promise<void> {
    try {
      if (job.k === END) await this.#queued(job, true)
      else await this.#make(job)
    } catch (error) {
      this.settle(job, 'failed', error)
    }
  }

  async #make(job: Job<T>): Promise<void> {
    const data = this.#data
    let pause = FIRST_PAUSE
    let told = false
    while (job.outcome === undefined) {
      data.check()
      if (this.#isOutside(job)) return this.settle(job, 'outside')
      if (!job.extend && data.isReady(job.k)) return this.settle(job, 'ready')
      const follows = this.follows(job)
      if (!follows) {
        const begun = this.begin(job)
        job.isElsewhere = begun === 'busy'
        if (begun === 'ready') return this.settle(job, 'ready')
        if (begun === 'busy') {
          this.#fleet.soon()
          if (!told) {
            told = true
            data.counts.waits++
            data.emit('waiting', { start: data.startOf(job.k) })
          }
          await sleep(pause)
          pause = Math.min(LONGEST_PAUSE, pause * SLOWER)
          data.learn()
          continue
        }
        if (await this.#fetched(job)) return
        if (job.outcome !== undefined) return
        if (data.settings.source === undefined) throw unavailable(data.startOf(job.k))
      }
      await this.#queued(job, !follows)
    }
  }

  #isOutside(job: Job<T>): boolean {
    return !job.extend && this.#data.isOutside(this.#data.startOf(job.k))
  }

  async #fetched(job: Job<T>): Promise<boolean> {
    if (this.#data.remote === undefined || job.extend) return false
    try {
      if (!(await fetchShard(this.#data, job))) return false
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error
      return false
    }
    this.settle(job, 'ready')
    return true
  }

  /** Takes the lease of a job's shard. `'mine'` without one where the catalog can't be written. */
  begin(job: Job<T>): 'ready' | 'busy' | 'mine' {
    const data = this.#data
    if (job.lease !== undefined) return 'mine'
    if (data.isReadOnly) return 'mine'
    const start = data.startOf(job.k)
    const begun = data.write(() => data.books.begin(start, job.extend))
    if (begun === undefined) return 'mine'
    if (begun.is === 'ready') return 'ready'
    if (begun.is === 'busy') return 'busy'
    if (begun.takeover !== undefined) {
      data.counts.takeovers++
      data.emit('takeover', { start, pid: begun.takeover })
    }
    this.#take(job, begun.lease)
    const { record } = begun
    if (record !== undefined && !job.extend) {
      job.expected = record.crc
      // Its old values may have been seen: new ones are given out only if they are the same.
      job.hidden = !data.settings.accept
    }
    return 'mine'
  }

  #take(job: Job<T>, lease: Lease): void {
    job.lease = lease
    this.#data.held(lease)
  }

  /** Another walk is about to come by: no lease is taken before it does. */
  follows(job: Job<T>): boolean {
    if (job.lease !== undefined || job.extend || job.k === END) return false
    const before = this.jobs.get(job.k - 1)
    if (before !== undefined && before.outcome === undefined && !before.isElsewhere) return true
    return this.#fleet.isToPass(job)
  }

  /** Waits for a walk to come; resolves when the job has ended, or has to look for its shard again. */
  #queued(job: Job<T>, needsWalk: boolean): Promise<void> {
    return new Promise((resolve) => {
      job.needsWalk = needsWalk
      job.back = resolve
      job.onDone(resolve)
      this.queue.add(job)
      this.#fleet.assign()
    })
  }

  /** Ends a job. */
  settle(job: Job<T>, outcome: Outcome, error?: unknown): void {
    if (this.jobs.get(job.k) === job) this.jobs.delete(job.k)
    this.queue.delete(job)
    if (job.outcome !== undefined) return
    const { lease } = job
    // Who makes it gives its lease back, and removes what it wrote.
    if (!job.isInWork) {
      job.lease = undefined
      this.#data.release(lease)
    }
    job.end(outcome, error)
    this.#fleet.soon()
    if (outcome !== 'ready' && job.holders === 0 && !job.isInWork) discard(job)
  }

  /** Nobody wants it any more. */
  #giveUp(job: Job<T>): void {
    const walk = job.walk
    this.settle(job, 'failed', undefined)
    if (walk !== undefined) this.#fleet.giveUp(walk, job)
  }
}
