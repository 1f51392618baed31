import type { ResourceLimits } from 'node:worker_threads'
import type { Serializer } from './codec.js'
import type { Progress } from './progress.js'
import type { ReadableOf } from './source.js'

/** A range of indices, and which chunk of the run it is. */
export interface ChunkRef {
  /** 0 to count - 1. */
  readonly index: number
  /** First index of the range. */
  readonly start: number
  /** One past its last index. */
  readonly end: number
}

/** What a chunk function gets. The same chunk may come again: after a crash, as a retry, or when a run is resumed. */
export interface Chunk<S = unknown> extends ChunkRef {
  /** 1 on the first try. Over a queue every worker that was given the chunk counts, also one that was lost with it. */
  readonly attempt: number
  /** Which thread or lane runs it: 0 to lanes - 1. */
  readonly worker: number
  /** The run was aborted. Read from shared memory: works inside a synchronous loop. */
  readonly aborted: boolean
  /** Made on first use; fires on abort and when `chunkTimeoutMs` is over. For `fetch()` and friends. */
  readonly signal: AbortSignal
  /** What the job's `init` returned; undefined without one. */
  readonly state: S
  /**
   * Marks a value to be moved, not copied, to the main thread: its buffers are detached here. Without a list, the
   * value's own buffer. Returns the value. In process it does nothing.
   */
  transfer<T>(value: T, list?: readonly ArrayBuffer[]): T
}

/** The work on one chunk. It must be idempotent: every chunk is run at least once. */
// biome-ignore lint/suspicious/noExplicitAny: a function that names the type of its state must fit here
export type ChunkFn<A = undefined, R = unknown, S = any> = (chunk: Chunk<S>, args: A) => R | PromiseLike<R>

/** A function that can run in another thread; made by `job()` or `inline()`. */
// biome-ignore lint/suspicious/noExplicitAny: a job of unknown arguments and results
export interface ChunkJob<A = any, R = any> {
  readonly kind: 'module' | 'inline'
  /** Of the export, or of the function. */
  readonly name: string
  /** Only for the type checker: there is no such member. */
  readonly _types?: { readonly args: (args: A) => void; readonly result: R }
}

/** The second parameter of a chunk function; undefined where it has none. */
export type ArgsOf<F extends (...args: never) => unknown> = Parameters<F>['length'] extends 0 | 1
  ? undefined
  : Parameters<F>[1]

/** Options of a run with the arguments its function asks for. */
export type WithArgs<O, A> = O & (undefined extends A ? { args?: A } : { args: A })

export interface RunOptions {
  /** End of the range, not included. A safe integer, as are `start` and their difference. */
  end: number
  /** First index. May be negative. Default 0. */
  start?: number
  /** Indices a chunk; the last chunk may be shorter. Default `ceil((end - start) / (lanes * 32))`. At most 2^28 chunks. */
  chunkSize?: number
  /** How often a failed chunk is repeated. `delayMs` doubles from attempt to attempt, at most 30 s. Default 0. */
  retries?: number | { count: number; delayMs?: number }
  /** `'stop'` (default): start nothing new, let running chunks finish, reject. `'continue'`: do the others, then reject. */
  onError?: 'stop' | 'continue'
  /** A chunk that takes longer, in milliseconds, counts as failed; its thread is ended. Default: none. */
  chunkTimeoutMs?: number
  /** Aborts the run with `signal.reason`. */
  signal?: AbortSignal
  /** Milliseconds that running chunks get after an abort before their threads are ended. Default 5,000. */
  graceMs?: number
  /** At most one progress event per so many milliseconds. Default 100. */
  progressMs?: number
  /** `'chunk'`: the status stream has one event a chunk too. Default `'progress'`. */
  events?: 'progress' | 'chunk'
  /** What `run.save()` gave: chunks done then are not run again. */
  resume?: Uint8Array
}

export interface LocalOptions extends RunOptions {
  /** Chunks that run at once in this process, 1 to 1,024. Default 8. */
  concurrency?: number
}

export interface ThreadOptions extends RunOptions {
  /** Threads, 1 to 1,024. Default `availableParallelism()`; in a pool all of its threads. */
  workers?: number
  /** Limits of `node:worker_threads`, per thread. */
  resourceLimits?: ResourceLimits
  /** Modules each thread imports first, in order: a TypeScript loader, polyfills. */
  preload?: readonly URL[]
  /** True: the run does not keep the process alive. Default false. */
  daemon?: boolean
  /** Runs the job somewhere else than in threads of this process. */
  executor?: ChunkExecutor
}

export type ChunkState = 'pending' | 'running' | 'done' | 'failed' | 'aborted'

/** Where a run stands. `done`, `total`, `failed`, `running`: chunks; `rate`: chunks a second, smoothed. */
export interface RunProgress extends Progress {
  readonly phase: 'running' | 'stopping' | 'done' | 'failed' | 'aborted'
  readonly total: number
  /** Chunks whose attempts are used up. */
  readonly failed: number
  readonly running: number
  /** Attempts that were repeated. */
  readonly retried: number
  /** Taken over from `resume`: contained in `done`, not in `rate`. */
  readonly skipped: number
  /** Indices covered by done chunks. */
  readonly items: number
}

/** The last {@link RunProgress} of a run. */
export type Summary = RunProgress

/**
 * What the status stream yields. `'end'` is the last, after success only; before the error of a run that failed or was
 * aborted comes a `'progress'` whose `phase` says which.
 */
export type Status =
  | (RunProgress & { readonly type: 'progress' })
  | (RunProgress & { readonly type: 'end' })
  | (ChunkRef & { readonly type: 'chunk'; readonly state: 'done' | 'failed' | 'aborted' })
  | (ChunkRef & { readonly type: 'retry'; readonly attempt: number; readonly error: unknown })
  | (ChunkRef & { readonly type: 'failed'; readonly attempt: number; readonly error: unknown })
  | {
      readonly type: 'worker'
      readonly worker: number
      readonly state: 'started' | 'lost'
      readonly error?: unknown
    }

/**
 * A run: something to await, a stream of status events, and a live board. It starts in a microtask: listen, read and
 * ask for values in the same tick. Awaiting, reading, both or neither: the work is the same. Leaving a loop over it,
 * `destroy()`, a failing pipeline and `await using` abort the run and wait until nothing runs any more.
 */
export interface ChunkRun<R = unknown> extends ReadableOf<Status>, PromiseLike<Summary> {
  /** Unique. */
  readonly id: string
  /** Chunks. */
  readonly count: number
  /** The promise behind `await run`. */
  readonly done: Promise<Summary>
  /** Live view of shared memory, a byte a chunk: 0 pending, 1 running, 2 done, 3 failed, 4 aborted. */
  readonly board: Uint8Array
  /** Where it stands now; cheap, any time, also after the end. */
  snapshot(): RunProgress
  /** One chunk's range and state. Throws `MILL_INVALID_ARGUMENT` outside 0 to count - 1. */
  chunkAt(index: number): ChunkRef & { readonly state: ChunkState }
  /**
   * The chunks' return values, `undefined` and `null` left out; ordered by chunk unless `ordered: false`. At most
   * `window` chunks (default 4 a lane) are begun beyond what was taken. Ask in the same tick as `runChunked()`, once:
   * else `MILL_RUN_LATE`.
   */
  values(options?: { ordered?: boolean; window?: number }): ReadableOf<NonNullable<R>>
  /** A copy of what is done, for `resume`, also in another process. 40 bytes and a bit per chunk. */
  save(): Uint8Array
  /** Rejects the run with `reason`, or an AbortError; idempotent, nothing after the end. */
  abort(reason?: unknown): void
  catch<T>(fn: (error: unknown) => T | PromiseLike<T>): Promise<Summary | T>
  finally(fn: () => void): Promise<Summary>
}

/** Runs chunks somewhere else. See {@link ChunkSink} for the loop at its heart. */
export interface ChunkExecutor {
  readonly name: string
  /**
   * Pulls chunks from `sink`, runs them wherever it likes, reports each. Resolves when nothing of the plan runs any
   * more; `signal` fires on abort.
   */
  run(plan: ChunkPlan, sink: ChunkSink, signal: AbortSignal): Promise<void>
}

/** What an executor needs to know. Can be made JSON, but for `args`: no shared memory is assumed. */
export interface ChunkPlan {
  readonly id: string
  readonly start: number
  readonly end: number
  readonly chunkSize: number
  readonly count: number
  readonly job: { readonly name: string; readonly url?: string; readonly source?: string }
  readonly args: unknown
  /** Per chunk; counted by the sink. */
  readonly retries: number
  /** Somebody reads the values: pass them to `done()`. */
  readonly values: boolean
}

/** Where an executor gets chunks and reports them: `while ((block = await sink.claim(n))) …`. */
export interface ChunkSink {
  /**
   * Up to `max` (default 1) consecutive chunks, as soon as the window of values has room. Stays pending while chunks
   * are out that may come back. undefined: all are settled, or the run is stopping.
   */
  claim(max?: number): Promise<ChunkBlock | undefined>
  /** Idempotent; ignored for a chunk that is not out. */
  done(index: number, value?: unknown): void
  /** Counts an attempt; `claim()` hands the chunk out again if some are left. */
  failed(index: number, error: unknown): void
}

/** Consecutive chunks: `count` of them from chunk `first` on, covering the indices `start` to `end`. */
export interface ChunkBlock {
  readonly first: number
  readonly count: number
  readonly start: number
  readonly end: number
  /** 1 on the first try of its chunks; a chunk that comes again comes alone. */
  readonly attempt: number
}

/** How runs go over a queue of BullMQ's; executor and workers must agree on `queue` and `serializer`. */
export interface BullmqOptions {
  /** BullMQ's: options of ioredis, an instance of it, or a connected client of `redis`. */
  connection: object
  /** Name of the queue. Default `'millrace'`. */
  queue?: string
  /** Chunks of a job in the queue, at most. Default 64. */
  blockChunks?: number
  /** Jobs of a run in the queue at a time. Default 64. */
  maxBlocks?: number
  /** How long a worker may be silent before its block goes to another, in milliseconds. Default 30,000. */
  lockMs?: number
  /** How often a worker tells what is done, in milliseconds. Default 1,000. */
  progressMs?: number
  /** Of arguments and values. Default msgpack. */
  serializer?: Serializer<unknown>
}
