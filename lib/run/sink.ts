import type { ChunkBlock, ChunkExecutor, ChunkPlan, ChunkSink } from '../../types/run.js'
import { ArgumentError } from '../base/errors.js'
import { retryDelay } from './attempts.js'
import { ABORTED, DONE, GO, NEXT, PENDING, RUNNING } from './board.js'
import type { Controller, Engine } from './controller.js'
import type { Again, JobSpec } from './messages.js'
import { chunkRef } from './plan.js'
import { RunError, textOf } from './run-error.js'

interface Waiting {
  readonly max: number
  resolve(block: ChunkBlock | undefined): void
}

/** Lets an executor run the chunks: hands them out, takes its reports, and counts the attempts. */
export class ExecutorEngine implements Engine, ChunkSink {
  readonly #control: Controller
  readonly #executor: ChunkExecutor
  readonly #plan: ChunkPlan
  readonly #abort = new AbortController()
  /** Chunks handed out and not reported, with their attempt. */
  readonly #out = new Map<number, number>()
  readonly #again: Again[] = []
  readonly #delays = new Map<NodeJS.Timeout, Again>()
  #waiting: Waiting[] = []
  #over = false
  #giveUp: () => void = () => {}

  constructor(control: Controller, executor: ChunkExecutor, { name, url, source }: JobSpec) {
    const { start, end, chunkSize, count, args, retries } = control.plan
    this.#control = control
    this.#executor = executor
    this.#plan = Object.freeze({
      id: control.id,
      start,
      end,
      chunkSize,
      count,
      job: Object.freeze({ name, ...(url !== undefined && { url }), ...(source !== undefined && { source }) }),
      args,
      retries,
      values: control.values !== undefined,
    })
  }

  get running(): number {
    return this.#out.size
  }

  async run(): Promise<void> {
    const killed = new Promise<void>((resolve) => {
      this.#giveUp = resolve
    })
    try {
      await Promise.race([this.#execute(), killed])
    } finally {
      this.#over = true
      this.#clear(this.#control.aborted)
      for (const index of this.#out.keys()) this.#drop(index, this.#control.aborted)
    }
  }

  async #execute(): Promise<void> {
    const control = this.#control
    const { name } = this.#executor
    try {
      const sink: ChunkSink = {
        claim: (max) => this.claim(max),
        done: (index, value) => this.done(index, value),
        failed: (index, error) => this.failed(index, error),
      }
      await this.#executor.run(this.#plan, sink, this.#abort.signal)
    } catch (cause) {
      if (control.board.stop !== GO) return // it was told to stop
      throw new RunError('MILL_RUN_EXECUTOR', `The executor ${name} failed: ${textOf(cause)}`, {
        executor: name,
        cause,
      })
    }
    if (control.board.stop !== GO) return
    let missing = 0
    for (const state of control.board.states) if (state < DONE) missing++
    if (missing === 0) return
    const what = `The executor ${name} has ended and left out ${missing} of ${control.plan.count} chunks`
    throw new RunError('MILL_RUN_EXECUTOR', what, { executor: name, missing })
  }

  halt(aborted: boolean): void {
    this.#clear(aborted)
    if (aborted) this.#abort.abort(this.#control.reason)
  }

  kill(): void {
    this.#giveUp()
  }

  roomier(): void {
    this.#serve()
  }

  // ---- the executor's side -----------------------------------------------------------------------------------------

  claim(max = 1): Promise<ChunkBlock | undefined> {
    if (!(Number.isSafeInteger(max) && max > 0)) {
      return Promise.reject(new ArgumentError('max', 'a whole number > 0', max))
    }
    return new Promise((resolve) => {
      this.#waiting.push({ max, resolve })
      this.#serve()
    })
  }

  done(index: number, value?: unknown): void {
    if (this.#over || !this.#out.delete(index)) return
    this.#control.done(index, value)
    this.#serve()
  }

  failed(index: number, error: unknown): void {
    const attempt = this.#out.get(index)
    if (this.#over || attempt === undefined) return
    this.#out.delete(index)
    const control = this.#control
    const failure = { code: 'MILL_RUN_CHUNK', cause: error } as const
    if (control.aborted) this.#drop(index, true)
    else if (attempt > control.plan.retries) control.failed(index, attempt, failure)
    else if (control.board.stop !== GO) this.#drop(index, false)
    else {
      control.retry(index, attempt, failure)
      this.#repeat({ index, attempt: attempt + 1 })
    }
    this.#serve()
  }

  // ---- inside ------------------------------------------------------------------------------------------------------

  #repeat(again: Again): void {
    const ms = retryDelay(this.#control.plan.delayMs, again.attempt - 1)
    if (ms === 0) {
      this.#again.push(again)
      return
    }
    const timer = setTimeout(() => {
      this.#delays.delete(timer)
      this.#again.push(again)
      this.#serve()
    }, ms)
    this.#delays.set(timer, again)
  }

  /** Answers those who wait, as far as there is something to say. */
  #serve(): void {
    while (this.#waiting.length > 0) {
      const [first] = this.#waiting as [Waiting]
      const block = this.#next(first.max)
      if (block === undefined && !this.#exhausted) return
      this.#waiting.shift()
      first.resolve(block)
    }
  }

  get #exhausted(): boolean {
    const { board } = this.#control
    if (this.#over || board.stop !== GO) return true
    return this.#out.size === 0 && this.#delays.size === 0 && this.#again.length === 0 && board.claimed >= board.count
  }

  #next(max: number): ChunkBlock | undefined {
    const { board, plan } = this.#control
    if (this.#over || board.stop !== GO) return undefined
    const again = this.#again.shift()
    if (again !== undefined) {
      this.#handOut(again.index, again.attempt)
      const { index, attempt } = again
      return { first: index, count: 1, ...rangeOf(this.#control, index, index), attempt }
    }
    const first = board.claim()
    if (first < 0) return undefined
    this.#handOut(first, 1)
    let last = first
    while (last + 1 - first < max && last + 1 < Math.min(plan.count, board.limit)) {
      if (board.states[last + 1] !== PENDING) break
      last++
      Atomics.store(board.control, NEXT, last + 1)
      this.#handOut(last, 1)
    }
    return { first, count: last + 1 - first, ...rangeOf(this.#control, first, last), attempt: 1 }
  }

  #handOut(index: number, attempt: number): void {
    this.#control.board.states[index] = RUNNING
    this.#out.set(index, attempt)
  }

  #clear(aborted: boolean): void {
    for (const [timer, again] of this.#delays) {
      clearTimeout(timer)
      this.#again.push(again)
    }
    this.#delays.clear()
    for (const { index } of this.#again.splice(0)) this.#drop(index, aborted)
    this.#serve()
  }

  #drop(index: number, aborted: boolean): void {
    this.#control.board.states[index] = aborted ? ABORTED : PENDING
  }
}

function rangeOf({ plan }: Controller, first: number, last: number): { start: number; end: number } {
  return { start: chunkRef(plan, first).start, end: chunkRef(plan, last).end }
}
