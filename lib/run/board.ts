import type { ChunkState } from '../../types/run.js'

/** What a byte of the board says. */
export const PENDING = 0
export const RUNNING = 1
export const DONE = 2
export const FAILED = 3
export const ABORTED = 4
export const STATES: readonly ChunkState[] = ['pending', 'running', 'done', 'failed', 'aborted']

// The control words. Each group has a cache line of its own, so that threads do not slow each other down.
/** Words a line: 64 bytes. */
export const LINE = 16
/** First index that nobody has claimed. */
export const NEXT = 0
/** {@link GO}, {@link NO_MORE} or {@link ABORT}. */
export const STOP = 16
/** Only chunks below it may be begun: the window of the values. */
export const LIMIT = 32
/** The slot of lane w begins at `SLOTS + LINE * w`; the last slot is the main thread's. */
export const SLOTS = 48

export const GO = 0
export const NO_MORE = 1
export const ABORT = 2
/** {@link LIMIT} when nobody reads values. */
export const UNLIMITED = 0x7fffffff

// The words of a slot.
/** The chunk in work + 1; 0: none; negative: about to take that one, which another thread may take first. */
export const INDEX = 0
/** Its attempt; negative while it waits for the next one. */
export const ATTEMPT = 1
/** How many chunks this lane has brought to each end. */
export const DONE_COUNT = 2
export const FAILED_COUNT = 3
export const RETRIED_COUNT = 4

/**
 * What all threads of a run share: a byte per chunk, and words that are only touched by `Atomics`. It is all the
 * traffic of a run without trouble: whoever wants to know how it goes, reads.
 */
export class Board {
  readonly states: Uint8Array<SharedArrayBuffer>
  readonly control: Int32Array<SharedArrayBuffer>
  readonly count: number
  readonly lanes: number
  /** Where the main thread's own slot begins. */
  readonly #own: number

  constructor(count: number, lanes: number) {
    this.count = count
    this.lanes = lanes
    this.states = new Uint8Array(new SharedArrayBuffer(count))
    this.control = new Int32Array(new SharedArrayBuffer((SLOTS + LINE * (lanes + 1)) * 4))
    this.control[LIMIT] = UNLIMITED
    this.#own = SLOTS + LINE * lanes
  }

  get stop(): number {
    return Atomics.load(this.control, STOP)
  }

  /** Raises the stop word; it never goes back. */
  halt(level: number): void {
    if (level > this.stop) Atomics.store(this.control, STOP, level)
    Atomics.notify(this.control, LIMIT) // whoever waits for the window must see it
  }

  set limit(limit: number) {
    Atomics.store(this.control, LIMIT, limit)
    Atomics.notify(this.control, LIMIT)
  }

  get limit(): number {
    return Atomics.load(this.control, LIMIT)
  }

  /** How many chunks have been handed out, in order. */
  get claimed(): number {
    return Math.min(Atomics.load(this.control, NEXT), this.count)
  }

  /** The next chunk for the main thread, skipping those that are done; -1: there is none, or none below the limit. */
  claim(): number {
    while (this.claimed < this.count && this.claimed < this.limit) {
      const index = Atomics.add(this.control, NEXT, 1)
      if (this.states[index] === PENDING) return index
    }
    return -1
  }

  /** A word of all slots together. */
  sum(word: number): number {
    let all = 0
    for (let at = SLOTS + word; at < this.control.length; at += LINE) all += Atomics.load(this.control, at)
    return all
  }

  /** Chunks in work in threads. */
  get running(): number {
    let all = 0
    for (let lane = 0; lane < this.lanes; lane++) if (this.slot(lane).owned) all++
    return all
  }

  /**
   * What a lane works on: index -1 for nothing; a negative attempt has failed and waits to be repeated. Not `owned`: it
   * was about to take the chunk, and may or may not have got it.
   */
  slot(lane: number): { readonly index: number; readonly owned: boolean; readonly attempt: number } {
    const at = SLOTS + LINE * lane
    const word = Atomics.load(this.control, at + INDEX)
    return {
      index: Math.abs(word) - 1,
      owned: word > 0,
      attempt: Atomics.load(this.control, at + ATTEMPT),
    }
  }

  clearSlot(lane: number): void {
    Atomics.store(this.control, SLOTS + LINE * lane + INDEX, 0)
  }

  /** Counts in the main thread's own slot. */
  count1(word: number): void {
    this.control[this.#own + word] = (this.control[this.#own + word] as number) + 1
  }

  /** The main thread brings a chunk to its end. */
  settle(index: number, state: number): void {
    Atomics.store(this.states, index, state)
    if (state === DONE) this.count1(DONE_COUNT)
    else if (state === FAILED) this.count1(FAILED_COUNT)
  }

  /**
   * Makes the counters agree with the board: a thread that was ended between two stores has told one and not the
   * other. Only when nothing runs.
   */
  recount(): void {
    const found = new Array<number>(STATES.length).fill(0)
    for (const state of this.states) found[state] = (found[state] as number) + 1
    this.control[this.#own + DONE_COUNT] =
      (this.control[this.#own + DONE_COUNT] as number) + (found[DONE] as number) - this.sum(DONE_COUNT)
    this.control[this.#own + FAILED_COUNT] =
      (this.control[this.#own + FAILED_COUNT] as number) + (found[FAILED] as number) - this.sum(FAILED_COUNT)
  }

  /** Chunks that were claimed by a thread that is gone are claimed again: threads skip what is not pending. */
  rewind(): void {
    const first = this.states.indexOf(PENDING)
    if (first >= 0 && first < this.claimed) Atomics.store(this.control, NEXT, first)
  }

  /** Gives back what is in work though nobody works on it. Only when nothing runs. */
  release(): void {
    for (let i = this.states.indexOf(RUNNING); i >= 0; i = this.states.indexOf(RUNNING, i + 1)) {
      this.states[i] = PENDING
    }
    this.rewind()
  }

  /** What was running is not any more. Only when nothing runs. */
  abandon(): void {
    for (let i = this.states.indexOf(RUNNING); i >= 0; i = this.states.indexOf(RUNNING, i + 1)) {
      this.states[i] = ABORTED
    }
  }
}
