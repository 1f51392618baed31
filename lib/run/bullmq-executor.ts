import type { BullmqOptions, ChunkBlock, ChunkExecutor, ChunkPlan, ChunkSink } from '../../types/run.js'
import { onAbort, sleep } from '../base/abort.js'
import { Block } from './bullmq-block.js'
import {
  hangUp,
  JOB_NAME,
  type JobQueue,
  loadBullmq,
  type Packer,
  packerOf,
  type QueueEvents,
  type Settings,
  settingsOf,
  sharesMemory,
  VERSION,
} from './bullmq-kit.js'
import { RunError } from './run-error.js'

/** Pause before a job is offered again to a server that is away, in milliseconds. */
const AWAY_MS = 500

/**
 * Runs chunks on other machines, over a queue of BullMQ's on Redis or Valkey: give it to `runChunked` as `executor`, and
 * start {@link bullmqWorker} wherever there are cores. A job of the queue is a block of up to `blockChunks` chunks.
 * Only the **name** of the job travels, with the arguments: workers run what they have under that name.
 *
 * Throws `MILL_INVALID_ARGUMENT`. A run with it rejects with `MILL_RUN_EXECUTOR` for an `inline()` job and for arguments
 * with shared memory, whose cause is `MILL_PACKAGE_MISSING` where BullMQ is not installed. While the server is away
 * the run waits. `close()` closes the connections; a run that is under way must have ended.
 */
export function bullmqExecutor(options: BullmqOptions): ChunkExecutor & AsyncDisposable & { close(): Promise<void> } {
  return new BullmqExecutor(settingsOf(options))
}

/** The queue, what it tells, and who wants to hear it. */
interface Channel {
  readonly queue: JobQueue
  readonly events: QueueEvents
  readonly packer: Packer
}

class BullmqExecutor implements ChunkExecutor, AsyncDisposable {
  readonly name = 'bullmq'
  readonly #settings: Settings
  readonly #blocks = new Map<string, Block>()
  #channel: Promise<Channel> | undefined
  #closing: Promise<void> | undefined

  constructor(settings: Settings) {
    this.#settings = settings
  }

  async run(plan: ChunkPlan, sink: ChunkSink, signal: AbortSignal): Promise<void> {
    const refuse = (why: string): RunError => new RunError('MILL_RUN_EXECUTOR', why, { executor: this.name })
    if (this.#closing !== undefined) throw refuse('It is closed')
    if (plan.job.source !== undefined) throw refuse('Only names travel: an inline() function cannot, use job()')
    if (sharesMemory(plan.args)) throw refuse('args hold shared memory, which no other machine can see')
    this.#channel ??= this.#open()
    const channel = await this.#channel
    await new QueueRun(plan, sink, this.#settings, channel, this.#blocks).run(signal)
  }

  async #open(): Promise<Channel> {
    const { connection, queue: name, serializer } = this.#settings
    const [{ Queue, QueueEvents }, packer] = await Promise.all([loadBullmq(), packerOf(serializer)])
    const queue = new Queue(name, { connection })
    const events = new QueueEvents(name, { connection })
    // A server that is away is waited for; nothing else comes by this way.
    queue.on('error', ignore)
    events.on('error', ignore)
    events.on('active', ({ jobId }) => this.#blocks.get(jobId)?.begun())
    events.on('completed', ({ jobId, returnvalue }) => this.#blocks.get(jobId)?.completed(returnvalue))
    events.on('failed', ({ jobId, failedReason }) => this.#blocks.get(jobId)?.failed(new Error(failedReason)))
    events.on('progress', ({ jobId, data }) => this.#blocks.get(jobId)?.progress(data))
    await events.waitUntilReady() // what happened before is not told
    return { queue, events, packer }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const channel = await this.#channel?.catch(ignore)
    if (channel) await Promise.all([hangUp(channel.queue), hangUp(channel.events)])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** One run: puts blocks into the queue and waits for what becomes of them. */
class QueueRun {
  readonly #plan: ChunkPlan
  readonly #sink: ChunkSink
  readonly #settings: Settings
  readonly #channel: Channel
  readonly #blocks: Map<string, Block>
  readonly #mine = new Set<Block>()
  /** Beginnings of a chunk that the sink does not count: its worker was lost, and the queue gave it to another one. */
  readonly #lost = new Map<number, number>()
  readonly #args: string
  #stopping = false
  #looking = false
  #sent = 0

  constructor(plan: ChunkPlan, sink: ChunkSink, settings: Settings, channel: Channel, blocks: Map<string, Block>) {
    this.#plan = plan
    this.#sink = sink
    this.#settings = settings
    this.#channel = channel
    this.#blocks = blocks
    this.#args = channel.packer.pack(plan.args)
  }

  async run(signal: AbortSignal): Promise<void> {
    const off = onAbort(signal, () => this.#stop(true))
    // An answer may get lost with its server: what nobody has any more is not waited for.
    const look = setInterval(() => void this.#look(signal), this.#settings.lockMs)
    try {
      await Promise.all(Array.from({ length: this.#settings.maxBlocks }, () => this.#lane(signal)))
    } finally {
      off()
      clearInterval(look)
    }
  }

  /** One block after the other, until none is left or the run is stopping. */
  async #lane(signal: AbortSignal): Promise<void> {
    for (;;) {
      const block = await this.#sink.claim(this.#settings.blockChunks)
      if (block === undefined) return this.#stop(signal.aborted)
      await this.#send(block, signal)
    }
  }

  async #send(chunks: ChunkBlock, signal: AbortSignal): Promise<void> {
    const { id: run, job, chunkSize, values } = this.#plan
    const { first, start, end, count } = chunks
    const attempt = chunks.attempt + (this.#lost.get(first) ?? 0)
    const id = this.#idOf(first, count)
    const { progressMs } = this.#settings
    const range = { first, start, end, chunkSize, attempt }
    const data = { v: VERSION, run, job: job.name, ...range, args: this.#args, values, progressMs }
    const block = new Block(id, data, count, this.#sink, this.#channel.packer, this.#lost)
    this.#mine.add(block)
    this.#blocks.set(id, block)
    try {
      await this.#add(block, signal)
      if (this.#stopping) void this.#withdraw(block, signal.aborted)
      await block.over
    } finally {
      this.#mine.delete(block)
      for (const one of block.ids) this.#blocks.delete(one)
    }
  }

  /** What comes again needs an id of its own. */
  #idOf(first: number, count: number): string {
    return `${this.#plan.id}-${first}-${count}-${this.#sent++}`
  }

  /** Into the queue; as long as the server is away it is tried again, which an id that is there already makes harmless. */
  async #add(block: Block, signal: AbortSignal): Promise<void> {
    const options = { jobId: block.id, attempts: 1, removeOnComplete: true, removeOnFail: true }
    for (;;) {
      try {
        await this.#channel.queue.add(JOB_NAME, block.data, options)
        return block.seen()
      } catch (error) {
        if (signal.aborted) return block.end()
        if (!isAway(error)) throw error
        await sleep(AWAY_MS, signal).catch(ignore)
      }
    }
  }

  #stop(aborted: boolean): void {
    if (this.#stopping && !aborted) return
    this.#stopping = true
    for (const block of this.#mine) void this.#withdraw(block, aborted)
  }

  /** Takes back what nobody has begun; what somebody works on is told of an abort. */
  async #withdraw(block: Block, aborted: boolean): Promise<void> {
    const { queue } = this.#channel
    try {
      if ((await queue.remove(block.id)) === 1) block.end()
      else if (aborted) await (await queue.getJob(block.id))?.updateData({ ...block.data, aborted: true })
    } catch {
      // The server is away, or the block has just ended: its own end counts, or the run's patience.
    }
  }

  async #look(signal: AbortSignal): Promise<void> {
    if (this.#looking) return // The server has been silent since the last time.
    this.#looking = true
    try {
      for (const block of this.#mine) {
        if ((await this.#channel.queue.getJob(block.id)) !== undefined) block.seen()
        else if (block.missed()) await this.#again(block, signal)
      }
    } catch {
      // The server is away, or unwell: it is asked again the next time, and who adds a block is told what is wrong.
    } finally {
      this.#looking = false
    }
  }

  /** Nobody has it any more: its server lost its memory, or told of the end while we could not hear it. */
  async #again(block: Block, signal: AbortSignal): Promise<void> {
    if (this.#stopping) return block.end()
    const id = this.#idOf(block.data.first, block.count)
    if (!block.renew(id)) return block.failed(new Error('The block is gone from the queue, again and again'))
    this.#blocks.set(id, block)
    try {
      await this.#add(block, signal)
    } catch (error) {
      block.failed(error as Error)
    }
  }
}

const AWAY = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH']

/** The server cannot be reached now; it may be later. */
function isAway(error: unknown): boolean {
  const { code, name, message } = error as { code?: unknown; name?: unknown; message?: unknown }
  if (typeof code === 'string' && AWAY.includes(code)) return true
  return name === 'MaxRetriesPerRequestError' || String(message).includes('Connection is closed')
}

function ignore(): void {}
