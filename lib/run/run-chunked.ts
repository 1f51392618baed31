import process from 'node:process'
import type { ChunkFn, ChunkJob, ChunkRun, LocalOptions, ThreadOptions, WithArgs } from '../../types/run.js'
import { ArgumentError } from '../base/errors.js'
import { Controller } from './controller.js'
import { specOf } from './job.js'
import { LocalEngine } from './local.js'
import type { JobSpec } from './messages.js'
import { checkArgs, checkExecutor, checkPreload, type Plan, planOf } from './plan.js'
import { defaultWorkers, Threads } from './pool.js'
import { ExecutorEngine } from './sink.js'
import { asRun, RunStream } from './stream.js'
import { ThreadEngine } from './threads.js'

/**
 * Works through a range of indices in chunks, in worker threads (or by `executor`). Await the run, read its status, ask
 * for its values, or none of it. `args` are cloned once per thread; SharedArrayBuffers are shared. Every chunk is run
 * at least once: after a crash, a retry or a resume the same range comes again, so a chunk function must be idempotent.
 *
 * Throws `MILL_INVALID_ARGUMENT`, `MILL_RUN_ARGS` and `MILL_RUN_RESUME`; the run rejects with the other `MILL_RUN_…`
 * codes, or with the reason of an abort.
 */
export function runChunked<A, R>(job: ChunkJob<A, R>, options: WithArgs<ThreadOptions, A>): ChunkRun<R>
/**
 * The same in this process, with any function: up to `concurrency` chunks at once, each awaited. For asynchronous
 * work; the event loop gets its turn every few milliseconds. `args` are passed as they are.
 */
export function runChunked<R, A = undefined>(
  fn: (chunk: Parameters<ChunkFn<A, R, undefined>>[0], args: A) => R,
  options: WithArgs<LocalOptions, A>,
): ChunkRun<Awaited<R>>
export function runChunked(work: unknown, options: unknown): ChunkRun {
  if (typeof work === 'function') return inProcess(work as (chunk: unknown, args: unknown) => unknown, options)
  const spec = specOf(work)
  if (spec === undefined) throw new ArgumentError('job', 'a function, or what job() or inline() gave', work)
  const { executor, daemon, preload, resourceLimits } = refuse(options, ['concurrency'], 'a job') as ThreadOptions
  const plan = planOf(options, defaultWorkers())
  if (executor !== undefined) {
    for (const name of ['daemon', 'preload', 'resourceLimits']) refuse(options, [name], 'an executor')
    return elsewhere(plan, spec, checkExecutor(executor))
  }
  if (daemon !== undefined && typeof daemon !== 'boolean') {
    throw new ArgumentError('options.daemon', 'true or false', daemon)
  }
  const limits = checkLimits(resourceLimits)
  const threads = new Threads({ max: plan.lanes, resourceLimits: limits, preload: checkPreload(preload) })
  return inThreads(plan, spec, threads, true, daemon !== true).run
}

function inProcess(fn: (chunk: unknown, args: unknown) => unknown, options: unknown): ChunkRun {
  const foreign = ['workers', 'executor', 'resourceLimits', 'preload', 'daemon']
  refuse(options, foreign, 'a plain function, which runs in this process')
  const control = new Controller(planOf(options, undefined))
  const stream = new RunStream(control)
  control.start((to) => new LocalEngine(to, fn))
  return asRun(stream)
}

function elsewhere(plan: Plan, spec: JobSpec, executor: ReturnType<typeof checkExecutor>): ChunkRun {
  const control = new Controller(plan)
  const stream = new RunStream(control)
  control.start((to) => new ExecutorEngine(to, executor, spec))
  return asRun(stream)
}

/** A run on given threads; `own`: they end with it. */
export function inThreads(
  plan: Plan,
  spec: JobSpec,
  threads: Threads,
  own: boolean,
  keepsAlive: boolean,
): { readonly run: ChunkRun; readonly control: Controller } {
  const copied = checkArgs(plan.args)
  if (copied.length > 0) {
    const which = copied.map((key) => (key === 'args' ? key : `args.${key}`)).join(', ')
    process.emitWarning(
      `${which}: each thread gets a copy, and what chunks write there is lost; use sharedArray() or a SharedArrayBuffer`,
      { type: 'MillraceWarning', code: 'MILL_RUN_COPIED' },
    )
  }
  const control = new Controller(plan)
  const stream = new RunStream(control)
  control.start((to) => new ThreadEngine(to, spec, threads, own, keepsAlive))
  return { run: asRun(stream), control }
}

/** Options that mean nothing to this kind of run are mistakes. */
export function refuse(options: unknown, names: readonly string[], whom: string): object {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  for (const name of names) {
    const value = (options as Record<string, unknown>)[name]
    if (value !== undefined) throw new ArgumentError(`options.${name}`, `left out for ${whom}`, value)
  }
  return options
}

/** `resourceLimits` as Node takes them. */
export function checkLimits(value: unknown): ThreadOptions['resourceLimits'] {
  if (value === undefined) return undefined
  if (typeof value !== 'object' || value === null) throw new ArgumentError('options.resourceLimits', 'an object', value)
  for (const [name, limit] of Object.entries(value)) {
    if (limit !== undefined && !(typeof limit === 'number' && limit > 0)) {
      throw new ArgumentError(`options.resourceLimits.${name}`, 'a number of megabytes > 0', limit)
    }
  }
  return value
}
