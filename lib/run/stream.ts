import type { ChunkRef, ChunkRun, ChunkState, RunProgress, Status, Summary } from '../../types/run.js'
import { ArgumentError } from '../base/errors.js'
import { NOBODY } from '../streams/face.js'
import { ignore } from '../streams/machine.js'
import { DONE } from './board.js'
import type { Controller, Listener } from './controller.js'
import { RunFace, type RunFailure } from './face.js'
import { chunkRef } from './plan.js'
import { RunError } from './run-error.js'
import { isStatusLine } from './status-line.js'
import { checkValuesOptions, ValueStream } from './values.js'

/** Events of trouble that may wait for a reader; the counts of the progress stay exact beyond. */
const MAX_WAITING = 1024
/** Chunk events told at a time. */
const CHUNKS_A_READ = 1024

/** A run as its user sees it: a promise, a stream of status events, and the board. */
export class RunStream extends RunFace implements Listener {
  #values: ValueStream | undefined
  readonly #promise: Promise<Summary>
  #resolve!: (summary: Summary) => void
  #reject!: (error: unknown) => void
  #promised = false
  #told: Uint8Array | undefined
  #low = 0
  #cursor = 0
  #lastProgress = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  constructor(control: Controller) {
    super(control, { highWaterMark: Number.POSITIVE_INFINITY })
    control.listener = this
    this.#promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    if (control.plan.chunkEvents) {
      const { states } = control.board
      this.#told = Uint8Array.from(states, (state) => (state === DONE ? 1 : 0)) // a resumed run tells what is new
    }
  }

  // ---- the run -----------------------------------------------------------------------------------------------------

  get id(): string {
    return this.control.id
  }

  get count(): number {
    return this.control.plan.count
  }

  get board(): Uint8Array {
    return this.control.board.states
  }

  snapshot(): RunProgress {
    return this.control.snapshot()
  }

  chunkAt(index: number): ChunkRef & { readonly state: ChunkState } {
    const { control } = this
    if (!(Number.isSafeInteger(index) && index >= 0 && index < control.plan.count)) {
      throw new ArgumentError('index', `a chunk of this run, 0 to ${control.plan.count - 1}`, index)
    }
    return { ...chunkRef(control.plan, index), state: control.stateOf(index) }
  }

  values(options?: { ordered?: boolean; window?: number }): ValueStream {
    checkValuesOptions(options)
    if (this.#values !== undefined) throw new RunError('MILL_RUN_LATE', 'values() can be asked for once')
    if (this.control.started) {
      throw new RunError('MILL_RUN_LATE', 'values() must be asked for in the same tick as runChunked()')
    }
    this.#values = new ValueStream(this.control, options)
    this.control.values = this.#values
    return this.#values
  }

  save(): Uint8Array {
    return this.control.save()
  }

  abort(reason?: unknown): void {
    this.control.abort(reason === undefined ? undefined : { reason })
  }

  // ---- the promise -------------------------------------------------------------------------------------------------

  get done(): Promise<Summary> {
    this.#promised = true
    return this.#promise
  }

  // biome-ignore lint/suspicious/noThenProperty: awaiting a run must wait for its end, not go on without a word
  then<A = Summary, B = never>(
    onDone?: ((summary: Summary) => A | PromiseLike<A>) | null,
    onFailed?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.done.then(onDone, onFailed)
  }

  catch<T>(fn: (error: unknown) => T | PromiseLike<T>): Promise<Summary | T> {
    return this.done.catch(fn)
  }

  finally(fn: () => void): Promise<Summary> {
    return this.done.finally(fn)
  }

  // ---- what is heard of the run ------------------------------------------------------------------------------------

  retry(index: number, attempt: number, error: unknown): void {
    if (this.#listening) this.#tell({ type: 'retry', ...chunkRef(this.control.plan, index), attempt, error })
  }

  failed(index: number, attempt: number, error: RunError): void {
    if (this.#listening) this.#tell({ type: 'failed', ...chunkRef(this.control.plan, index), attempt, error })
  }

  worker(worker: number, state: 'started' | 'lost', error?: unknown): void {
    if (this.#listening) this.#tell({ type: 'worker', worker, state, ...(error !== undefined && { error }) })
  }

  onSettled(failure: RunFailure | undefined): void {
    clearTimeout(this.#timer)
    this.#cursor = this.#low
    this.settle(failure)
    this.#values?.settle(failure)
    // A display on the status stream has had its last word before those who await the run go on.
    if (this._mode === NOBODY) this.#conclude(failure)
    else setImmediate(() => this.#conclude(failure))
  }

  #conclude(failure: RunFailure | undefined): void {
    if (failure === undefined) this.#resolve(this.control.snapshot())
    else {
      // Whoever holds a stream hears of it there; an abort was asked for. Else nobody would: then the process does.
      const elsewhere = !this.#promised && (this.held || this.#values !== undefined)
      if (failure.asked || elsewhere) this.#promise.catch(ignore)
      this.#reject(failure.error)
    }
  }

  get #listening(): boolean {
    return this.held && !this.destroying && !this.settled
  }

  #tell(status: Status): void {
    if (this._outbox.size < MAX_WAITING) this._offer(status, 1)
  }

  // ---- the stream --------------------------------------------------------------------------------------------------

  override produce(): boolean {
    if (this.#told !== undefined && this.#tellChunks(this.#told)) return true
    if (this.settled) return false
    const now = performance.now()
    const wait = this.#lastProgress + Math.max(1, this.control.plan.progressMs) - now // timers get their turn
    if (wait <= 0) {
      this.#lastProgress = now
      this._offer({ type: 'progress', ...this.control.snapshot() } satisfies Status, 1)
      return true
    }
    // Only a pending read has a timer; it does not keep the process alive.
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      if (this._outbox.size === 0 && !this.destroying) this._pull()
    }, Math.ceil(wait)).unref()
    return false
  }

  /** A status line only shows: a failure is not heard there. */
  override pipe<W>(to: W, options?: Parameters<RunFace['pipe']>[1]): W {
    const { held } = this
    super.pipe(to, options)
    if (isStatusLine(to)) this.held = held
    return to
  }

  /** The last numbers, in any case: a display need not guess what became of the work. */
  override conclude(failed: boolean): void {
    this._offer({ type: failed ? 'progress' : 'end', ...this.control.snapshot() } satisfies Status, 1)
  }

  /** Chunks that have ended since they were looked at last: the board is compared with what was told. */
  #tellChunks(told: Uint8Array): boolean {
    const { control } = this
    const { states, claimed } = control.board
    let found = 0
    let at = this.#cursor
    for (; at < claimed && found < CHUNKS_A_READ; at++) {
      const state = control.stateOf(at)
      if (told[at] === 1 || (states[at] as number) < DONE) continue
      told[at] = 1
      found++
      if (state === 'done' || state === 'failed' || state === 'aborted') {
        this._offer({ type: 'chunk', ...chunkRef(control.plan, at), state } satisfies Status, 1)
      }
    }
    while (this.#low < claimed && told[this.#low] === 1) this.#low++
    this.#cursor = at < claimed ? at : this.#low
    return found > 0
  }

  override _stop(error: Error | undefined): PromiseLike<unknown> | undefined {
    clearTimeout(this.#timer)
    return super._stop(error)
  }
}

/** The same object under its public type: streamx does not show. */
export const asRun = <R>(stream: RunStream): ChunkRun<R> => stream as unknown as ChunkRun<R>
