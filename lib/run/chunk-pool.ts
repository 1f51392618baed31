import type { ResourceLimits } from 'node:worker_threads'
import type { ChunkJob, ChunkRun, ThreadOptions, WithArgs } from '../../types/run.js'
import { AbortError, ArgumentError } from '../base/errors.js'
import type { Controller, ValueTaker } from './controller.js'
import { specOf } from './job.js'
import { checkPreload, MAX_LANES, planOf } from './plan.js'
import { defaultWorkers, Threads } from './pool.js'
import { checkLimits, inThreads, refuse } from './run-chunked.js'
import { RunError } from './run-error.js'

/** Options of a run on threads that are already there. */
type PoolRunOptions = Omit<ThreadOptions, 'resourceLimits' | 'preload' | 'daemon' | 'executor'>

/** What a block of a larger run has of its own. */
export interface BlockOf {
  /** Number of its first chunk in the larger run. */
  readonly first: number
  /** How often its chunks were begun before, elsewhere. */
  readonly earlier: number
  /** Gets the values, with the number of the chunk in the block. */
  readonly values: ValueTaker | undefined
}

/** Runs a block of a larger run. */
export let runBlock: (pool: ChunkPool, job: ChunkJob, options: object, block: BlockOf) => ChunkRun

/**
 * Warm threads for many runs. The first run is served first; a thread works for one run at a time. Threads start when
 * they are needed; an idle pool does not keep the process alive.
 */
export class ChunkPool implements AsyncDisposable {
  /** Threads at most. */
  readonly workers: number
  readonly #threads: Threads
  readonly #runs = new Set<Controller>()
  #closing: Promise<void> | undefined

  /** `workers` 1 to 1,024, default `availableParallelism()`; limits and modules to import first are those of all threads. */
  constructor(options: { workers?: number; resourceLimits?: ResourceLimits; preload?: readonly URL[] } = {}) {
    if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
    const { workers = defaultWorkers(), resourceLimits, preload } = options
    if (!(Number.isSafeInteger(workers) && workers > 0 && workers <= MAX_LANES)) {
      throw new ArgumentError('options.workers', `a whole number from 1 to ${MAX_LANES}`, workers)
    }
    this.workers = workers
    this.#threads = new Threads({
      max: workers,
      resourceLimits: checkLimits(resourceLimits),
      preload: checkPreload(preload),
    })
  }

  static {
    runBlock = (pool, job, options, block) => pool.#run(job, options, block)
  }

  /** `runChunked` on these threads. Throws `MILL_RUN_CLOSED` after `close()`, and what `runChunked` throws. */
  run<A, R>(job: ChunkJob<A, R>, options: WithArgs<PoolRunOptions, A>): ChunkRun<R> {
    return this.#run(job, options) as ChunkRun<R>
  }

  #run(job: ChunkJob, options: object, block?: BlockOf): ChunkRun {
    if (this.#closing !== undefined) throw new RunError('MILL_RUN_CLOSED', 'The pool is closed')
    const spec = specOf(job)
    if (spec === undefined) throw new ArgumentError('job', 'what job() or inline() gave', job)
    refuse(options, ['resourceLimits', 'preload', 'daemon', 'executor', 'concurrency'], 'a run in a pool')
    const { run, control } = inThreads(
      planOf(options, this.workers, this.workers, block),
      spec,
      this.#threads,
      false,
      true,
    )
    control.values = block?.values
    this.#runs.add(control)
    void control.over.then(() => this.#runs.delete(control))
    return run
  }

  /** Starts all threads now instead of at the first run. Rejects with `MILL_RUN_JOB` if a module cannot be preloaded. */
  async ready(): Promise<void> {
    if (this.#closing !== undefined) throw new RunError('MILL_RUN_CLOSED', 'The pool is closed')
    await this.#threads.start()
  }

  /** Aborts what still runs, ends the threads. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const runs = [...this.#runs]
    for (const run of runs) run.abort({ reason: new AbortError('The pool was closed') })
    await Promise.all(runs.map((run) => run.over))
    await this.#threads.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
