import type { BullmqOptions, ChunkJob } from '../../types/run.js'
import { ArgumentError } from '../base/errors.js'
import { DONE, FAILED } from './board.js'
import {
  type BlockData,
  type BlockResult,
  hangUp,
  type JobQueue,
  loadBullmq,
  MAX_STALLED,
  type Packer,
  packError,
  packerOf,
  type QueueJob,
  settingsOf,
  toBase64,
  VERSION,
} from './bullmq-kit.js'
import { ChunkPool, runBlock } from './chunk-pool.js'
import type { ValueTaker } from './controller.js'
import { specOf } from './job.js'
import type { PackedError } from './messages.js'
import { RunError } from './run-error.js'

/** Blocks at a time: while one comes to its end, the threads it no longer needs begin with the next. */
const BLOCKS = 2

/**
 * Runs the blocks of {@link bullmqExecutor}s in the threads of this machine until it is closed. `jobs` are what may be
 * run here, each under its name; `pool` are the threads, by default as many as there are cores. The event loop stays
 * free while they work, so a block may take longer than `lockMs`. A block whose worker is lost is begun again by
 * another one, up to three times.
 *
 * Resolves when the server has answered. Rejects with `MILL_INVALID_ARGUMENT` and `MILL_PACKAGE_MISSING`. `close()`
 * takes no more blocks, waits for those under way, and ends the threads if they are not yours.
 */
export async function bullmqWorker(
  options: BullmqOptions & { jobs: readonly ChunkJob[]; pool?: ChunkPool },
): Promise<AsyncDisposable & { close(): Promise<void> }> {
  const settings = settingsOf(options)
  const jobs = byName(options.jobs)
  const { pool } = options
  if (pool !== undefined && !(pool instanceof ChunkPool)) throw new ArgumentError('options.pool', 'a ChunkPool', pool)
  const [{ Queue, Worker }, packer] = await Promise.all([loadBullmq(), packerOf(settings.serializer)])
  const { connection, queue: name, lockMs } = settings
  const threads = pool ?? new ChunkPool()
  const queue = new Queue(name, { connection })
  const work = (job: QueueJob): Promise<string> => new BlockWork(job, queue, packer).run(jobs, threads)
  const worker = new Worker(name, work, {
    connection,
    concurrency: BLOCKS,
    lockDuration: lockMs,
    stalledInterval: lockMs,
    maxStalledCount: MAX_STALLED,
  })
  // A server that is away is waited for; faults of a block are its result.
  queue.on('error', () => {})
  worker.on('error', () => {})
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= (async () => {
      await worker.close()
      await Promise.all([hangUp(queue), pool === undefined ? threads.close() : undefined])
    })()
    return closing
  }
  try {
    await worker.waitUntilReady()
  } catch (error) {
    await close()
    throw error
  }
  return { close, [Symbol.asyncDispose]: close }
}

function byName(jobs: unknown): ReadonlyMap<string, ChunkJob> {
  if (!Array.isArray(jobs) || jobs.length === 0) throw new ArgumentError('options.jobs', 'a list of jobs', jobs)
  const named = new Map<string, ChunkJob>()
  for (const [i, job] of jobs.entries()) {
    const spec = specOf(job)
    if (spec === undefined) throw new ArgumentError(`options.jobs[${i}]`, 'what job() or inline() gave', job)
    if (named.has(spec.name)) throw new ArgumentError(`options.jobs[${i}]`, `another name than "${spec.name}"`, job)
    named.set(spec.name, job)
  }
  return named
}

/** A block that is worked on here. */
class BlockWork {
  readonly #job: QueueJob
  readonly #data: BlockData
  readonly #queue: JobQueue
  readonly #packer: Packer
  readonly #abort = new AbortController()
  #told = ''
  #telling = false

  constructor(job: QueueJob, queue: JobQueue, packer: Packer) {
    this.#job = job
    this.#data = job.data
    this.#queue = queue
    this.#packer = packer
  }

  /** Resolves with the packed {@link BlockResult}. What it rejects with fails every chunk of the block. */
  async run(jobs: ReadonlyMap<string, ChunkJob>, pool: ChunkPool): Promise<string> {
    const { v, job: name, first, start, end, chunkSize, values, progressMs, attempt } = this.#data
    if (v !== VERSION) throw new Error(`This worker knows version ${VERSION} of blocks, not ${v}`)
    const job = jobs.get(name)
    if (job === undefined) throw new Error(`This worker has no job "${name}"; it has ${[...jobs.keys()].join(', ')}`)
    const args = this.#packer.unpack(this.#data.args)
    const given = values ? new Given() : undefined
    const options = { start, end, chunkSize, args, onError: 'continue', signal: this.#abort.signal }
    const earlier = attempt + this.#job.attemptsStarted - 2 // both count from 1
    const run = runBlock(pool, job, options, { first, earlier, values: given })
    const ticker = setInterval(() => void this.#tick(run.board), progressMs)
    const errors = new Map<number, PackedError>()
    try {
      await run
    } catch (error) {
      this.#note(error, errors)
    } finally {
      clearInterval(ticker)
    }
    const { board } = run
    for (let k = 0; k < board.length; k++) {
      if (board[k] === FAILED && !errors.has(k)) errors.set(k, packError(new Error('one of many; see the others')))
    }
    const left = [...board.keys()].filter((k) => board[k] !== DONE && board[k] !== FAILED)
    const result: BlockResult = { failed: [...errors], values: given === undefined ? [] : [...given.values], left }
    return this.#packer.pack(result)
  }

  /** What the chunks threw; an abort has its say in what is left. Anything else fails the block. */
  #note(error: unknown, errors: Map<number, PackedError>): void {
    if (this.#abort.signal.aborted) return
    if (!(error instanceof RunError) || error.errors === undefined) throw error
    for (const { chunk, cause, code, message } of error.errors) {
      if (chunk === undefined) continue
      const thrown = code === 'MILL_RUN_CHUNK' ? cause : new RunError(code as 'MILL_RUN_WORKER', message, { cause })
      errors.set(chunk.index - this.#data.first, packError(thrown))
    }
  }

  /** Tells what is done, and looks whether the run has been aborted. The queue may be away: next time. */
  async #tick(board: Uint8Array): Promise<void> {
    if (this.#telling) return // The queue has been silent since the last time.
    this.#telling = true
    try {
      const text = this.#data.values ? '' : toBase64(Uint8Array.from(board))
      if (text !== this.#told) await this.#job.updateProgress(text)
      this.#told = text
      const job = this.#job.id === undefined ? undefined : await this.#queue.getJob(this.#job.id)
      if (job?.data.aborted === true) this.#abort.abort()
    } catch {
      // It is told again at the next tick, and at the end.
    } finally {
      this.#telling = false
    }
  }
}

/** Values by the number of their chunk; undefined and null are not sent. */
class Given implements ValueTaker {
  readonly values = new Map<number, unknown>()

  add(index: number, value: unknown): void {
    if (value !== undefined && value !== null) this.values.set(index, value)
  }

  gap(): void {}

  isSaved(): boolean {
    return true
  }
}
