import type { ChunkState, RunProgress } from '../../types/run.js'
import { onAbort } from '../base/abort.js'
import { AbortError } from '../base/errors.js'
import { Meter } from '../base/progress.js'
import { ABORT, Board, DONE, DONE_COUNT, FAILED, FAILED_COUNT, NO_MORE, RETRIED_COUNT, STATES } from './board.js'
import { chunkRef, type Plan } from './plan.js'
import { chunkError, type Failure, RunError } from './run-error.js'
import { eachSaved, encodeSaved } from './saved.js'

/** Errors kept for `MILL_RUN_INCOMPLETE`, and texts each thread sends: memory stays bounded, counts stay exact. */
export const ERRORS_KEPT = 100

/** What runs the chunks: lanes here, threads, or an executor. */
export interface Engine {
  /** Resolves when nothing of the run runs any more; rejects only where that is the failure of the run. */
  run(): Promise<void>
  /** The board says stop: wake up whoever waits, so that he sees it. */
  halt(aborted: boolean): void
  /** Grace is over: give up what still runs. */
  kill(): void
  /** The window of the values has moved: more chunks may be begun. */
  roomier(): void
  /** Chunks in work that have no slot on the board. */
  readonly running: number
}

/** Who is told what happens. */
export interface Listener {
  retry(index: number, attempt: number, error: unknown): void
  failed(index: number, attempt: number, error: RunError): void
  worker(worker: number, state: 'started' | 'lost', error?: unknown): void
  /** Everything is over; with the error, unless it went well. */
  onSettled(failure: { readonly error: unknown; readonly asked: boolean } | undefined): void
}

/** Where values go, if anybody wants them. */
export interface ValueTaker {
  /** A chunk has come to its end; its value may be null or undefined. */
  add(index: number, value: unknown): void
  /** A chunk that will have no value and stops what comes behind it. */
  gap(index: number): void
  isSaved(index: number): boolean
}

let runs = 0
const prefix = `${Date.now().toString(36)}${Math.floor(Math.random() * 2 ** 32).toString(36)}`

/** The state of a run, and what becomes of it: the first error, an abort, the end. */
export class Controller {
  readonly id = `run-${prefix}-${(++runs).toString(36)}`
  readonly plan: Plan
  readonly board: Board
  readonly skipped: number
  listener: Listener | undefined
  values: ValueTaker | undefined
  started = false
  /** Resolves when the run is over, however it ended. */
  readonly over: Promise<void>
  readonly #meter: Meter
  readonly #errors: RunError[] = []
  #engine: Engine | undefined
  #firstError: { readonly error: unknown } | undefined
  #abort: { readonly reason: unknown } | undefined
  #forgetSignal = (): void => {}
  #grace: NodeJS.Timeout | undefined
  #metered = 0
  #final: RunProgress | undefined
  #phase: RunProgress['phase'] = 'running'
  #resolveOver: () => void = () => {}

  constructor(plan: Plan) {
    this.plan = plan
    this.board = new Board(plan.count, plan.lanes)
    let skipped = 0
    if (plan.resume !== undefined) {
      eachSaved(plan.resume, plan.count, (index) => {
        this.board.settle(index, DONE)
        skipped++
      })
    }
    this.skipped = skipped
    this.#meter = new Meter('running', { total: plan.count - skipped })
    this.over = new Promise((resolve) => {
      this.#resolveOver = resolve
    })
  }

  /** Runs the plan on an engine, in a microtask. */
  start(engineOf: (control: Controller) => Engine): void {
    queueMicrotask(() => {
      this.started = true
      this.#forgetSignal = onAbort(this.plan.signal, (reason) => this.abort({ reason }))
      if (this.#abort !== undefined || this.skipped === this.plan.count) {
        this.#end()
        return
      }
      try {
        this.#engine = engineOf(this)
        this.#engine.run().then(
          () => this.#end(),
          (error) => {
            this.#firstError ??= { error }
            this.#end()
          },
        )
      } catch (error) {
        this.#firstError = { error }
        this.#end()
      }
    })
  }

  get ended(): boolean {
    return this.#final !== undefined
  }

  get aborted(): boolean {
    return this.#abort !== undefined
  }

  /** What the run was aborted with. */
  get reason(): unknown {
    return this.#abort?.reason
  }

  /** Nothing new is begun, running chunks get `graceMs`, then the run rejects with the reason. */
  abort(given: { readonly reason: unknown } | undefined): void {
    if (this.#abort !== undefined || this.ended) return
    this.#abort = given ?? { reason: new AbortError('The run was aborted') }
    this.#phase = 'stopping'
    this.board.halt(ABORT)
    const engine = this.#engine
    if (engine === undefined) return
    engine.halt(true)
    if (this.plan.graceMs === 0) engine.kill()
    else this.#grace = setTimeout(() => engine.kill(), this.plan.graceMs)
  }

  /** The run cannot go on: running chunks finish, then it rejects. Only the first error counts. */
  fail(error: unknown): void {
    this.#firstError ??= { error }
    if (this.#phase === 'running') this.#phase = 'stopping'
    this.board.halt(NO_MORE)
    this.#engine?.halt(false)
  }

  /** The reader of the values has taken some: chunks below `limit` may be begun. */
  allow(limit: number): void {
    this.board.limit = limit
    this.#engine?.roomier()
  }

  // ---- for engines -------------------------------------------------------------------------------------------------

  /** A chunk has come to its end in the main thread. */
  done(index: number, value: unknown): void {
    this.board.settle(index, DONE)
    this.values?.add(index, value)
  }

  /** Its attempts are not used up yet. `counted`: its thread has counted it. */
  retry(index: number, attempt: number, failure: Failure, counted = false): void {
    if (!counted) this.board.count1(RETRIED_COUNT)
    const error = failure.code === 'MILL_RUN_CHUNK' ? failure.cause : this.#errorOf(index, attempt, failure)
    this.listener?.retry(index, attempt, error)
  }

  /** Its attempts are used up. `settled`: its thread has said so on the board. */
  failed(index: number, attempt: number, failure: Failure, settled = false): void {
    const error = this.#errorOf(index, attempt, failure)
    if (!settled) this.board.settle(index, FAILED)
    if (this.#errors.length < ERRORS_KEPT) this.#errors.push(error)
    this.listener?.failed(index, attempt, error)
    if (this.plan.stopOnError) {
      this.values?.gap(index)
      this.fail(error)
    } else this.values?.add(index, undefined)
  }

  #errorOf(index: number, attempt: number, failure: Failure): RunError {
    return chunkError(chunkRef(this.plan, index), attempt, failure, this.hint?.(failure.cause))
  }

  /** Something to add to the message of a chunk's error. */
  hint: ((cause: unknown) => string) | undefined

  // ---- what there is to see ----------------------------------------------------------------------------------------

  snapshot(): RunProgress {
    if (this.#final !== undefined) return this.#final
    const { plan, board } = this
    const failed = board.sum(FAILED_COUNT)
    const done = Math.min(board.sum(DONE_COUNT), plan.count - failed)
    this.#meter.add(Math.max(0, done + failed - this.skipped - this.#metered))
    this.#metered = Math.max(this.#metered, done + failed - this.skipped)
    const { elapsedMs, rate, etaMs } = this.#meter.read()
    return {
      phase: this.#phase,
      done,
      total: plan.count,
      elapsedMs,
      rate,
      ...(etaMs !== undefined && { etaMs }),
      failed,
      running: this.ended ? 0 : board.running + (this.#engine?.running ?? 0),
      retried: board.sum(RETRIED_COUNT),
      skipped: this.skipped,
      items: this.#items(done),
    }
  }

  /** Indices that done chunks cover: the last chunk may be shorter. */
  #items(done: number): number {
    const { plan, board } = this
    if (done === 0) return 0
    if (board.states[plan.count - 1] !== DONE) return done * plan.chunkSize
    const last = chunkRef(plan, plan.count - 1)
    return (done - 1) * plan.chunkSize + (last.end - last.start)
  }

  stateOf(index: number): ChunkState {
    return STATES[this.board.states[index] as number] as ChunkState
  }

  save(): Uint8Array {
    const { states } = this.board
    const { values } = this
    return encodeSaved(this.plan, (index) => states[index] === DONE && (values?.isSaved(index) ?? true))
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  #end(): void {
    clearTimeout(this.#grace)
    this.#forgetSignal()
    const { board } = this
    board.abandon()
    const failure = this.#failure()
    this.#phase = failure === undefined ? 'done' : failure.asked ? 'aborted' : 'failed'
    const { etaMs: _, ...last } = this.snapshot()
    this.#final = Object.freeze({ ...last, running: 0, ...(failure === undefined && { etaMs: 0 }) })
    this.#engine = undefined
    this.listener?.onSettled(failure)
    this.#resolveOver()
  }

  #failure(): { readonly error: unknown; readonly asked: boolean } | undefined {
    if (this.#abort !== undefined) return { error: this.#abort.reason, asked: true }
    if (this.#firstError !== undefined) return { error: this.#firstError.error, asked: false }
    const failed = this.board.sum(FAILED_COUNT)
    if (failed === 0) return undefined
    const errors = Object.freeze([...this.#errors])
    const message = `${failed} of ${this.plan.count} chunks failed; the first: ${errors[0]?.message}`
    const error = new RunError('MILL_RUN_INCOMPLETE', message, { failed, errors, cause: errors[0] })
    return { error, asked: false }
  }
}
