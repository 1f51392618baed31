import { isThenable, retryDelay } from './attempts.js'
import {
  ABORT,
  ABORTED,
  ATTEMPT,
  DONE,
  DONE_COUNT,
  FAILED,
  FAILED_COUNT,
  GO,
  INDEX,
  LIMIT,
  LINE,
  NEXT,
  NO_MORE,
  PENDING,
  RETRIED_COUNT,
  RUNNING,
  SLOTS,
  STOP,
} from './board.js'
import type { Again, FromWorker, RunMessage } from './messages.js'
import { pack } from './pack-error.js'
import { ThreadChunk } from './thread-chunk.js'
import type { Fn, Prepared } from './thread-job.js'

/** A turn of the event loop comes about this often, in milliseconds. */
const TURN_MIN = 25
const TURN_MAX = 50
/**
 * Chunks are claimed in blocks: a 32nd of a lane's share of what is left, so the ends stay even, and the counter that
 * all threads share is touched seldom; a block never holds more chunks than lately fitted between two turns of the
 * event loop. Measured with four threads: 240 ns a chunk one by one, 30 ns in blocks of 64.
 */
const SHARE = 32
const MAX_BLOCK = 64

/** Sends a message to the main thread. */
export type Say = (message: FromWorker, transfer?: ArrayBuffer[]) => void

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** One thread's part of one run. */
export class ThreadLoop {
  readonly #run: RunMessage
  readonly #control: Int32Array
  readonly #states: Uint8Array
  readonly #fn: Fn
  readonly #state: unknown
  readonly #say: Say
  readonly #slot: number
  readonly #again: Again[]
  #retriesTold = 0
  #failuresTold = 0
  /** The chunk in work, for an abort. */
  #current: ThreadChunk | undefined
  /** Ends a pause between two attempts. */
  #wake: (() => void) | undefined

  constructor(run: RunMessage, { job, state }: Prepared, say: Say) {
    this.#run = run
    this.#control = run.control
    this.#states = run.states
    this.#fn = job.fn
    this.#state = state
    this.#say = say
    this.#slot = SLOTS + LINE * run.slot
    this.#again = [...run.first]
  }

  /** The run was aborted: the chunk in work is told, and nobody waits for the next attempt. */
  abort(): void {
    this.#current?.abort()
    this.#wake?.()
  }

  /** Claims and runs until nothing is left. Only what is thenable is awaited; no clock is read for a chunk. */
  async work(): Promise<void> {
    const control = this.#control
    const states = this.#states
    const count = states.length
    const share = SHARE * (control.length / LINE - SLOTS / LINE - 1)
    const single = this.#run.values
    let next = 0 // claimed and not begun: next to last
    let last = 0
    let most = 1
    let since = performance.now()
    for (let n = 1; Atomics.load(control, STOP) === GO; n++) {
      let index: number
      let attempt = 1
      const again = this.#again.length > 0 ? this.#again.shift() : undefined
      if (again !== undefined) ({ index, attempt } = again)
      else {
        if (next === last) {
          const left = count - Atomics.load(control, NEXT)
          if (left <= 0) return // never counts far beyond the end, however often we ask
          const block = single ? 1 : Math.max(1, Math.min(MAX_BLOCK, most, Math.floor(left / share)))
          next = Atomics.add(control, NEXT, block)
          if (next >= count) return
          last = Math.min(next + block, count)
        }
        index = next++
        if (states[index] !== PENDING) continue // another's, or done in the run this one resumes
      }
      if (Atomics.load(control, LIMIT) <= index && !(await this.#room(index))) return
      const failed = this.#try(index, attempt)
      if (failed !== false && (failed === true || (await failed))) await this.#repeat(index, attempt)
      if (n >= most) {
        // The first chunks of a run find out how many fit, without a turn after each: with 200 chunks that was 2 %.
        const elapsed = performance.now() - since
        if (elapsed < TURN_MIN) most *= 2
        else {
          if (elapsed > TURN_MAX) most = Math.max(1, most >> 1)
          await turn()
          since = performance.now()
          n = 0
        }
      }
    }
  }

  /** Waits until the values' window has room for a chunk; false: the run is stopping. */
  async #room(index: number): Promise<boolean> {
    const control = this.#control
    for (;;) {
      await turn()
      const stop = Atomics.load(control, STOP)
      const limit = Atomics.load(control, LIMIT)
      if (stop === ABORT) return false
      if (limit > index) return true // also after a failure: what comes before the failed chunk is complete
      if (stop !== GO) return false
      Atomics.wait(control, LIMIT, limit, 1000)
    }
  }

  /** One attempt; true: it failed, and another one is to follow. A promise only if there is something to wait for. */
  #try(index: number, attempt: number): boolean | Promise<boolean> {
    // Plain stores: only this thread writes here, and who must be sure of them reads after its exit.
    const control = this.#control
    const slot = this.#slot
    control[slot + ATTEMPT] = attempt
    if (attempt === 1) {
      // A claim is a wish: after the death of a thread what it had claimed is claimed again. The chunk is whose is first.
      control[slot + INDEX] = -1 - index
      const was = Atomics.compareExchange(this.#states, index, PENDING, RUNNING)
      if (was !== PENDING) {
        control[slot + INDEX] = 0
        if (was === RUNNING) this.#say({ type: 'missed', index })
        return false
      }
    }
    control[slot + INDEX] = index + 1
    const chunk = new ThreadChunk(this.#run, index, attempt, this.#state)
    this.#current = chunk
    try {
      const fn = this.#fn // not as a method of ours
      const result = fn(chunk, this.#run.args)
      if (isThenable(result)) return this.#wait(result, chunk)
      this.#done(chunk, result)
      return false
    } catch (error) {
      return this.#failed(chunk, error)
    }
  }

  async #wait(result: PromiseLike<unknown>, chunk: ThreadChunk): Promise<boolean> {
    try {
      this.#done(chunk, await result)
      return false
    } catch (error) {
      return this.#failed(chunk, error)
    }
  }

  #done(chunk: ThreadChunk, value: unknown): void {
    // The value goes first: a chunk is done only once nothing of it can get lost with the thread.
    if (this.#run.values) {
      const none = value === undefined || value === null
      this.#say(none ? { type: 'value', index: chunk.at } : { type: 'value', index: chunk.at, value }, chunk.moved)
    }
    chunk.close()
    this.#end(chunk.at, DONE, DONE_COUNT)
  }

  #end(index: number, state: number, counter: number): void {
    Atomics.store(this.#states, index, state) // after all that the function wrote
    this.#add(counter)
    this.#control[this.#slot + INDEX] = 0
    this.#current = undefined
  }

  #add(counter: number): void {
    const at = this.#slot + counter
    this.#control[at] = (this.#control[at] as number) + 1
  }

  /** What becomes of a failed attempt; true when another one is to follow. */
  #failed(chunk: ThreadChunk, error: unknown): boolean {
    const { retries, stopOnError, errorTexts } = this.#run
    const { at: index, attempt, timedOut } = chunk
    chunk.close()
    const stop = Atomics.load(this.#control, STOP)
    if (stop === ABORT) {
      this.#release(index, ABORTED)
      return false
    }
    if (attempt <= retries) {
      if (stop === NO_MORE) {
        this.#release(index, PENDING) // it had attempts left, but nothing new is begun
        return false
      }
      this.#add(RETRIED_COUNT)
      if (this.#retriesTold++ < errorTexts) this.#say({ type: 'retry', index, attempt, error: pack(error), timedOut })
      Atomics.store(this.#control, this.#slot + ATTEMPT, -attempt)
      this.#current = undefined
      return true
    }
    if (stopOnError) Atomics.compareExchange(this.#control, STOP, GO, NO_MORE)
    if (stopOnError || this.#failuresTold++ < errorTexts) {
      this.#say({ type: 'failed', index, attempt, error: pack(error), timedOut })
    } else if (this.#run.values) this.#say({ type: 'value', index })
    this.#end(index, FAILED, FAILED_COUNT)
    return false
  }

  #release(index: number, state: number): void {
    Atomics.store(this.#states, index, state)
    Atomics.store(this.#control, this.#slot + INDEX, 0)
    this.#current = undefined
  }

  /** The attempts after one that failed, in a loop: there may be a million. */
  async #repeat(index: number, failed: number): Promise<void> {
    let attempt = failed
    do {
      await this.#pause(attempt)
      const stop = Atomics.load(this.#control, STOP)
      if (stop !== GO) {
        this.#release(index, stop === ABORT ? ABORTED : PENDING)
        return
      }
    } while (await this.#try(index, ++attempt))
  }

  /** Between a failed attempt and the next; an abort ends it. */
  async #pause(attempt: number): Promise<void> {
    const ms = retryDelay(this.#run.delayMs, attempt)
    if (ms === 0) return turn()
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = undefined
  }
}
