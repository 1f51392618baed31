import { retryDelay } from './attempts.js'
import { ABORTED, DONE_COUNT, FAILED_COUNT, GO, LINE, NEXT, PENDING, RUNNING, SLOTS } from './board.js'
import { type Controller, type Engine, ERRORS_KEPT } from './controller.js'
import type { Again, FromWorker, JobSpec, RunMessage } from './messages.js'
import type { Thread, Threads, ThreadUser } from './pool.js'
import { type Failure, RunError, unpackError } from './run-error.js'
import { Watchdog } from './watchdog.js'

/** Runs chunks in threads: gives each the plan once, and hears of nothing but trouble, values and the end. */
export class ThreadEngine implements Engine, ThreadUser {
  readonly keepsAlive: boolean
  readonly #control: Controller
  readonly #threads: Threads
  /** The threads are this run's alone: they are closed with it. */
  readonly #own: boolean
  readonly #spec: JobSpec
  readonly #active = new Set<Thread>()
  readonly #freeSlots: number[]
  /** Chunks to be run outside of the order. */
  readonly #again: Again[] = []
  readonly #delays = new Map<NodeJS.Timeout, Again>()
  /** What of these a thread was given with the plan, and may not have begun. */
  readonly #sent = new Map<Thread, Again>()
  /** Chunks in work that a lost thread or a living one had, by what is to be done if it was not the living one. */
  readonly #doubtful = new Map<number, () => void>()
  /** Chunks a slot had brought to an end when its thread came. */
  readonly #before = new Map<Thread, number>()
  #deaths = 0
  #barren = 0
  #ended = false
  readonly #watchdog: Watchdog | undefined
  #resolve: () => void = () => {}

  constructor(control: Controller, spec: JobSpec, threads: Threads, own: boolean, keepsAlive: boolean) {
    this.#control = control
    this.#spec = spec
    this.#threads = threads
    this.#own = own
    this.keepsAlive = keepsAlive
    this.#freeSlots = Array.from({ length: control.plan.lanes }, (_, i) => control.plan.lanes - 1 - i)
    const { chunkTimeoutMs } = control.plan
    if (chunkTimeoutMs !== undefined) this.#watchdog = new Watchdog(control.board, this.#active, chunkTimeoutMs)
    if (spec.source !== undefined) {
      control.hint = (cause) =>
        cause instanceof ReferenceError
          ? '; an inline function sees only its parameters: pass it in args, or use job()'
          : ''
    }
  }

  /** Threads have slots on the board. */
  readonly running = 0

  run(): Promise<void> {
    return new Promise((resolve) => {
      this.#resolve = resolve
      const { plan, skipped } = this.#control
      this.#threads.request(this, Math.min(plan.lanes, plan.count - skipped))
    })
  }

  halt(aborted: boolean): void {
    this.#threads.withdraw(this)
    for (const [timer, again] of this.#delays) {
      clearTimeout(timer)
      this.#again.push(again)
    }
    this.#delays.clear()
    for (const { index } of this.#again.splice(0)) this.#drop(index, aborted)
    if (aborted) for (const thread of this.#active) thread.post({ type: 'abort' })
    this.#check()
  }

  kill(): void {
    for (const thread of this.#active) thread.end()
  }

  roomier(): void {} // the board has said so

  // ---- the pool's side ---------------------------------------------------------------------------------------------

  give(thread: Thread): void {
    const { board } = this.#control
    if (board.stop !== GO || !this.#hasWork) {
      this.#threads.release(thread)
      this.#check()
      return
    }
    thread.slot = this.#freeSlots.pop() as number
    this.#active.add(thread)
    this.#before.set(thread, this.#settledIn(thread.slot))
    this.#control.listener?.worker(thread.slot, 'started')
    this.#send(thread)
  }

  message(thread: Thread, message: FromWorker): void {
    const control = this.#control
    switch (message.type) {
      case 'value':
        control.values?.add(message.index, message.value)
        break
      case 'retry':
        control.retry(message.index, message.attempt, this.#failure(message), true)
        break
      case 'failed':
        control.failed(message.index, message.attempt, this.#failure(message), true)
        break
      case 'job': {
        const { name: job, url } = this.#spec
        const { problem, exports, error } = message
        const what = url === undefined ? `The inline function ${job}` : `The job "${job}" of ${url}`
        const there =
          exports === undefined ? '' : `; it exports ${exports.length === 0 ? 'nothing' : exports.join(', ')}`
        const fields = { job, ...(url !== undefined && { url }), ...(exports !== undefined && { exports }) }
        const cause = error === undefined ? {} : { cause: unpackError(error) }
        control.fail(new RunError('MILL_RUN_JOB', `${what} ${problem}${there}`, { ...fields, ...cause }))
        break
      }
      case 'missed': {
        // The thread it was in doubt with does not have it. Had it died meanwhile, lost() would have settled it.
        const settle = this.#doubtful.get(message.index)
        if (settle !== undefined && this.#holder(message.index) === undefined) {
          this.#doubtful.delete(message.index)
          settle()
          this.#more()
        }
        break
      }
      case 'idle':
        if (control.board.stop === GO && this.#again.length > 0) this.#send(thread)
        else if (this.#spec.teardown !== undefined) thread.post({ type: 'finish' })
        else this.#release(thread)
        break
      case 'finished':
        this.#release(thread)
        break
    }
  }

  lost(thread: Thread, exitCode: number, error: unknown): void {
    const control = this.#control
    const { board } = control
    const { slot } = thread
    const { index, owned, attempt } = board.slot(slot)
    const sent = this.#sent.get(thread)
    const killed = this.#watchdog?.ended(thread)
    const barren = this.#settledIn(slot) === this.#before.get(thread)
    this.#deaths++
    this.#forget(thread)
    board.clearSlot(slot)
    control.listener?.worker(slot, 'lost', error)
    if (control.aborted) {
      this.#check()
      return
    }
    // Nobody else can have begun a chunk that was sent; a thread begins with it.
    if (sent !== undefined && sent.index !== index && board.states[sent.index] === RUNNING) this.#repeat(sent, 0)
    if (index >= 0 && board.states[index] === RUNNING) {
      const late = killed?.index === index && killed.attempt === attempt
      const innocent = killed !== undefined && !late // the chunk that was too late had ended just before
      const failure: Failure = late
        ? { code: 'MILL_RUN_TIMEOUT' }
        : { code: 'MILL_RUN_WORKER', exitCode, ...(error !== undefined && { cause: error }) }
      const settle = (): void => {
        if (board.states[index] !== RUNNING) return
        if (innocent) this.#innocent(index, attempt)
        else if (attempt < 0)
          this.#repeat({ index, attempt: 1 - attempt }, 0) // had failed before, and waited
        else this.#attemptFailed(index, attempt, failure)
      }
      const holder = owned ? undefined : this.#holder(index)
      if (holder === undefined) {
        this.#doubtful.delete(index)
        settle()
      } else if (!holder.owned) this.#doubtful.set(index, settle) // it has it, or will say that it missed it
    } else if (killed === undefined && barren) this.#noProgress(exitCode, error)
    if (board.stop === GO) board.rewind()
    this.#more()
    this.#check()
  }

  /** The slot of a thread that has, or was about to take, a chunk. */
  #holder(index: number): ReturnType<Controller['board']['slot']> | undefined {
    for (const thread of this.#active) {
      const slot = this.#control.board.slot(thread.slot)
      if (slot.index === index) return slot
    }
    return undefined
  }

  /** Its thread was ended because of the chunk before it: this attempt does not count. */
  #innocent(index: number, attempt: number): void {
    if (attempt === 1) this.#drop(index, false)
    else this.#repeat({ index, attempt: attempt < 0 ? 1 - attempt : attempt }, 0)
  }

  unusable(error: RunError): void {
    this.#control.fail(error)
  }

  // ---- one thread --------------------------------------------------------------------------------------------------

  #send(thread: Thread): void {
    const { plan, board, id, values } = this.#control
    const first = this.#again.splice(0, 1)
    if (first[0] === undefined) this.#sent.delete(thread)
    else this.#sent.set(thread, first[0])
    const message: RunMessage = {
      type: 'run',
      run: id,
      slot: thread.slot,
      states: board.states,
      control: board.control,
      start: plan.start,
      end: plan.end,
      chunkSize: plan.chunkSize,
      firstChunk: plan.first,
      earlier: plan.earlier,
      job: this.#spec,
      args: plan.args,
      retries: plan.retries,
      delayMs: plan.delayMs,
      timeoutMs: plan.chunkTimeoutMs,
      stopOnError: plan.stopOnError,
      values: values !== undefined,
      errorTexts: ERRORS_KEPT,
      first,
    }
    thread.post(message)
  }

  #failure({ error, timedOut }: Extract<FromWorker, { type: 'retry' | 'failed' }>): Failure {
    return { code: timedOut ? 'MILL_RUN_TIMEOUT' : 'MILL_RUN_CHUNK', cause: unpackError(error) }
  }

  #release(thread: Thread): void {
    this.#forget(thread)
    this.#threads.release(thread)
    this.#more()
    this.#check()
  }

  #forget(thread: Thread): void {
    this.#active.delete(thread)
    this.#freeSlots.push(thread.slot)
    this.#watchdog?.forget(thread)
    this.#before.delete(thread)
    this.#sent.delete(thread)
  }

  #settledIn(slot: number): number {
    const { control } = this.#control.board
    const at = SLOTS + LINE * slot
    return Atomics.load(control, at + DONE_COUNT) + Atomics.load(control, at + FAILED_COUNT)
  }

  // ---- deaths ------------------------------------------------------------------------------------------------------

  #attemptFailed(index: number, attempt: number, failure: Failure): void {
    const control = this.#control
    if (attempt > control.plan.retries) control.failed(index, attempt, failure)
    else if (control.board.stop !== GO) this.#drop(index, false)
    else {
      control.retry(index, attempt, failure)
      this.#repeat({ index, attempt: attempt + 1 }, retryDelay(control.plan.delayMs, attempt))
    }
  }

  #repeat(again: Again, delayMs: number): void {
    if (this.#control.board.stop !== GO) this.#drop(again.index, false)
    else if (delayMs === 0) this.#again.push(again)
    else {
      const timer = setTimeout(() => {
        this.#delays.delete(timer)
        this.#again.push(again)
        this.#more()
      }, delayMs)
      if (!this.keepsAlive) timer.unref()
      this.#delays.set(timer, again)
    }
  }

  /** A chunk that will not be run again in this run. */
  #drop(index: number, aborted: boolean): void {
    this.#control.board.states[index] = aborted ? ABORTED : PENDING
  }

  /** Threads that end again and again without having done anything: the next would too. */
  #noProgress(exitCode: number, error: unknown): void {
    const { retries } = this.#control.plan
    if (++this.#barren <= retries + 2) return
    const what = `Threads end before their first chunk (exit code ${exitCode})`
    this.#control.fail(
      new RunError('MILL_RUN_WORKER', what, { exitCode, ...(error !== undefined && { cause: error }) }),
    )
  }

  // ---- the end -----------------------------------------------------------------------------------------------------

  get #hasWork(): boolean {
    const { board } = this.#control
    return this.#again.length > 0 || Atomics.load(board.control, NEXT) < board.count
  }

  /** Asks for threads, if there is work for more than there are. */
  #more(): void {
    const { plan, board } = this.#control
    if (this.#ended || board.stop !== GO || !this.#hasWork) return
    const open = this.#again.length + board.count - board.claimed
    const wanted = Math.min(plan.lanes, open) - this.#threads.outstanding(this)
    // Threads that are at work come back for what waits by themselves, but a long chunk may hold them.
    const missing = Math.min(wanted, plan.lanes - this.#active.size - this.#threads.outstanding(this))
    if (missing > 0) this.#threads.request(this, missing)
  }

  #check(): void {
    const { board } = this.#control
    if (this.#ended || this.#active.size > 0 || this.#delays.size > 0) return
    if (board.stop === GO) {
      if (this.#hasWork) {
        this.#more()
        return
      }
      if (this.#deaths > 0) {
        board.release() // a thread may have been ended between two stores
        if (this.#hasWork) {
          this.#more()
          return
        }
      }
    }
    this.#ended = true
    this.#threads.withdraw(this)
    this.#watchdog?.stop()
    if (this.#deaths > 0) board.recount()
    if (this.#own) void this.#threads.close().then(this.#resolve)
    else this.#resolve()
  }
}
