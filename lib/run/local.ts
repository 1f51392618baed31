import { isThenable, retryDelay } from './attempts.js'
import { ABORTED, GO, PENDING, RUNNING } from './board.js'
import type { Controller, Engine } from './controller.js'
import { LocalChunk } from './local-chunk.js'

// biome-ignore lint/suspicious/noExplicitAny: the types were checked where the run was made
type Fn = (chunk: any, args: any) => unknown

/** The event loop gets a turn about this often, in milliseconds. */
const TURN_MIN = 5
const TURN_MAX = 10

/** Runs chunks in this process: so many lanes, each with one chunk at a time. */
export class LocalEngine implements Engine {
  readonly control: Controller
  readonly fn: Fn
  readonly #lanes = new Set<Lane>()
  #resolve: () => void = () => {}
  #watchdog: NodeJS.Timeout | undefined
  /** Chunks since the event loop had its turn, and how many fit between two turns. */
  #steps = 0
  #most = 1
  #since = performance.now()
  #turn: Promise<void> | undefined

  constructor(control: Controller, fn: Fn) {
    this.control = control
    this.fn = fn
  }

  get running(): number {
    let all = 0
    for (const lane of this.#lanes) if (lane.chunk !== undefined) all++
    return all
  }

  run(): Promise<void> {
    const { plan } = this.control
    return new Promise((resolve) => {
      this.#resolve = resolve
      const { chunkTimeoutMs } = plan
      if (chunkTimeoutMs !== undefined) {
        const every = Math.max(1, chunkTimeoutMs / 4)
        this.#watchdog = setInterval(() => this.#watch(chunkTimeoutMs), every)
      }
      const lanes = Math.min(plan.lanes, plan.count)
      for (let number = 0; number < lanes; number++) this.#lanes.add(new Lane(this, number))
      for (const lane of [...this.#lanes]) lane.work()
    })
  }

  halt(aborted: boolean): void {
    for (const lane of [...this.#lanes]) lane.halt(aborted)
  }

  kill(): void {
    for (const lane of [...this.#lanes]) lane.giveUp()
  }

  /** A value was taken: lanes that waited for the window go on. */
  roomier(): void {
    for (const lane of [...this.#lanes]) if (lane.idle) lane.work()
  }

  /** True when it is time to let the event loop run. Reads the clock once a turn. */
  due(): boolean {
    return ++this.#steps >= this.#most
  }

  turn(): Promise<void> {
    this.#turn ??= new Promise((resolve) => {
      setImmediate(() => {
        const now = performance.now()
        if (now - this.#since < TURN_MIN) this.#most *= 2
        else if (now - this.#since > TURN_MAX) this.#most = Math.max(1, this.#most >> 1)
        this.#since = performance.now()
        this.#steps = 0
        this.#turn = undefined
        resolve()
      })
    })
    return this.#turn
  }

  /** A lane has nothing left to do, or never will. */
  ended(lane: Lane): void {
    this.#lanes.delete(lane)
    if (this.#lanes.size > 0) return
    clearInterval(this.#watchdog)
    this.#resolve()
  }

  /** Another lane takes the place of one whose chunk did not come back; it begins with that chunk. */
  replace(lane: Lane, again: { index: number; attempt: number } | undefined): void {
    const fresh = new Lane(this, lane.number)
    this.#lanes.add(fresh)
    this.#lanes.delete(lane)
    if (again === undefined) fresh.work()
    else fresh.repeat(again.index, again.attempt)
  }

  #watch(timeoutMs: number): void {
    const now = performance.now()
    for (const lane of [...this.#lanes]) {
      if (lane.chunk !== undefined && now - lane.since >= timeoutMs) lane.timeOut(timeoutMs)
    }
  }
}

/** One chunk at a time. A lane that was given up hears nothing more of its chunk: another one has taken its place. */
class Lane {
  readonly number: number
  chunk: LocalChunk | undefined
  /** When the chunk was begun; only kept for the watchdog. */
  since = 0
  /** Waits for the window of the values. */
  idle = false
  readonly #engine: LocalEngine
  readonly #control: Controller
  #gone = false
  #pause: { readonly timer: NodeJS.Timeout; readonly index: number } | undefined
  // One of each a lane, not a closure a chunk.
  readonly #ok = (value: unknown): void => {
    if (this.#gone) return
    this.#done(value)
    this.work()
  }
  readonly #bad = (error: unknown): void => {
    if (this.#gone) return
    if (this.#failed(error)) this.work()
  }

  constructor(engine: LocalEngine, number: number) {
    this.#engine = engine
    this.#control = engine.control
    this.number = number
  }

  /** Claims and runs until there is something to wait for. */
  work(): void {
    const { board } = this.#control
    this.idle = false
    while (board.stop === GO) {
      if (this.#engine.due()) {
        this.#engine.turn().then(() => {
          if (!this.#gone) this.#next()
        })
        return
      }
      const index = board.claim()
      if (index < 0) break
      if (!this.#begin(index, 1)) return
    }
    this.#rest()
  }

  /** After a turn: at least one chunk, or every turn would only call for the next. */
  #next(): void {
    const index = this.#control.board.stop === GO ? this.#control.board.claim() : -1
    if (index < 0) this.#rest()
    else if (this.#begin(index, 1)) this.work()
  }

  /** Nothing to claim now. */
  #rest(): void {
    const { board } = this.#control
    if (board.stop === GO && board.claimed < board.count) this.idle = true
    else this.#leave()
  }

  #leave(): void {
    this.#gone = true
    this.#engine.ended(this)
  }

  /** An attempt; false when the rest comes later. */
  #begin(index: number, attempt: number): boolean {
    const control = this.#control
    const { plan, board } = control
    board.states[index] = RUNNING
    const chunk = new LocalChunk(control, index, attempt, this.number)
    this.chunk = chunk
    if (plan.chunkTimeoutMs !== undefined) this.since = performance.now()
    try {
      const { fn } = this.#engine // not as a method of ours
      const result = fn(chunk, plan.args)
      if (isThenable(result)) {
        Promise.resolve(result).then(this.#ok, this.#bad)
        return false
      }
      if (this.#gone) return false // it aborted its own run, without grace
      this.#done(result)
      return true
    } catch (error) {
      return !this.#gone && this.#failed(error)
    }
  }

  #done(value: unknown): void {
    const { index } = this.chunk as LocalChunk
    this.chunk = undefined
    this.#control.done(index, value)
  }

  /** What becomes of a failed attempt; true when the lane is free for the next chunk. */
  #failed(error: unknown): boolean {
    const control = this.#control
    const { index, attempt } = this.chunk as LocalChunk
    this.chunk = undefined
    if (control.aborted) {
      control.board.states[index] = ABORTED
      return true
    }
    const failure = { code: 'MILL_RUN_CHUNK', cause: error } as const
    if (attempt > control.plan.retries) {
      control.failed(index, attempt, failure)
      return true
    }
    if (control.board.stop !== GO) {
      control.board.states[index] = PENDING
      return true
    }
    control.retry(index, attempt, failure)
    this.repeat(index, attempt + 1)
    return false
  }

  /** The next attempt, after its delay. */
  repeat(index: number, attempt: number): void {
    const timer = setTimeout(
      () => {
        this.#pause = undefined
        if (this.#begin(index, attempt)) this.work()
      },
      retryDelay(this.#control.plan.delayMs, attempt - 1),
    )
    this.#pause = { timer, index }
  }

  halt(aborted: boolean): void {
    if (this.#pause !== undefined) {
      clearTimeout(this.#pause.timer)
      this.#control.board.states[this.#pause.index] = aborted ? ABORTED : PENDING
      this.#pause = undefined
      this.#leave()
    } else if (this.idle) this.#leave()
    else if (aborted) this.chunk?.abort()
  }

  /** Its chunk is not waited for any longer. A promise cannot be killed: its late result is ignored. */
  giveUp(): void {
    if (this.chunk !== undefined) this.#control.board.states[this.chunk.index] = ABORTED
    this.#leave()
  }

  timeOut(ms: number): void {
    const control = this.#control
    const { index, attempt } = this.chunk as LocalChunk
    this.#gone = true
    this.chunk?.abort(new DOMException(`The chunk took longer than ${ms} ms`, 'TimeoutError'))
    this.chunk = undefined
    const failure = { code: 'MILL_RUN_TIMEOUT' } as const
    if (control.aborted) {
      control.board.states[index] = ABORTED
      this.#engine.ended(this)
    } else if (attempt > control.plan.retries) {
      control.failed(index, attempt, failure)
      this.#engine.replace(this, undefined)
    } else if (control.board.stop !== GO) {
      control.board.states[index] = PENDING
      this.#engine.ended(this)
    } else {
      control.retry(index, attempt, failure)
      this.#engine.replace(this, { index, attempt: attempt + 1 })
    }
  }
}
