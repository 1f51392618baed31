import { ArgumentError } from '../base/errors.js'
import type { Controller, ValueTaker } from './controller.js'
import { RunFace } from './face.js'

/** What is known of a chunk's value. */
const UNSEEN = 0
/** It has arrived, and waits or has been taken last: a loop that is cut short has not finished with it. */
const SEEN = 1
/** The consumer is through with it, or there is none. */
const THROUGH = 2

/** Lanes times this many chunks may be begun beyond what was taken. */
const WINDOW_PER_LANE = 4

/** Throws `MILL_INVALID_ARGUMENT` for options that `values()` does not take. */
export function checkValuesOptions(options: { ordered?: boolean; window?: number } = {}): void {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const { ordered, window } = options
  if (ordered !== undefined && typeof ordered !== 'boolean') {
    throw new ArgumentError('options.ordered', 'true or false', ordered)
  }
  if (window !== undefined && !(Number.isSafeInteger(window) && window > 0)) {
    throw new ArgumentError('options.window', 'a whole number > 0', window)
  }
}

/** The values of a run as a stream. At most `window` chunks are begun beyond what its reader has taken. */
export class ValueStream extends RunFace implements ValueTaker {
  readonly #ordered: boolean
  readonly #window: number
  readonly #marks: Uint8Array
  /** Values that came before their turn. */
  readonly #early = new Map<number, unknown>()
  /** The next chunk to deliver. */
  #head = 0
  /** Behind a failed chunk nothing is delivered in order. */
  #cut = false
  /** Chunks whose value is delivered or will not come. */
  #ended = 0
  /** Chunks below this may be begun, and how many of those were not done before. */
  #limit = 0
  #allowed = 0
  /** The chunks of what waits in the outbox, and of what was taken last. */
  #waiting: number[] = []
  #taken: number[] = []

  constructor(control: Controller, options: { ordered?: boolean; window?: number } = {}) {
    super(control, { highWaterMark: Number.POSITIVE_INFINITY })
    const { ordered = true, window = control.plan.lanes * WINDOW_PER_LANE } = options
    this.held = true
    this.#ordered = ordered
    this.#window = window
    this.#marks = new Uint8Array(control.plan.count)
    for (let i = 0; i < this.#marks.length; i++) {
      if (control.stateOf(i) === 'done') this.#marks[i] = THROUGH // taken over from the run this one resumes
    }
    this.#widen()
  }

  add(index: number, value: unknown): void {
    // After the death of a thread a chunk is run again, though its value may have arrived.
    if (this.#marks[index] !== UNSEEN || this.destroying) return
    this.#marks[index] = SEEN
    if (!this.#ordered) this.#deliver(index, value)
    else {
      this.#early.set(index, value)
      this.#flush()
    }
    this.#widen()
  }

  gap(index: number): void {
    if (this.#ordered && index >= this.#head) this.#early.set(index, CUT)
    this.#flush()
  }

  isSaved(index: number): boolean {
    return this.#marks[index] === THROUGH || this._finished
  }

  override produce(): boolean {
    return false // values come by themselves
  }

  override _taken(): void {
    super._taken()
    for (const index of this.#taken) this.#marks[index] = THROUGH
    this.#taken = this.#waiting.splice(0, this.#waiting.length - this._outbox.size)
    this.#widen()
  }

  #flush(): void {
    const { length } = this.#marks
    while (this.#head < length && !this.#cut) {
      const head = this.#head
      if (this.#marks[head] !== THROUGH) {
        if (!this.#early.has(head)) return
        const value = this.#early.get(head)
        this.#early.delete(head)
        if (value === CUT) {
          this.#cut = true
          this.#early.clear()
          return
        }
        this.#deliver(head, value)
      }
      this.#head++
    }
  }

  #deliver(index: number, value: unknown): void {
    this.#ended++
    if (value === undefined || value === null) this.#marks[index] = THROUGH
    else {
      this.#waiting.push(index)
      this._offer(value, 1)
    }
  }

  /** Moves the limit so that `window` chunks may be begun beyond those that are through. */
  #widen(): void {
    const goal = this.#ended - this._outbox.size + this.#window
    const before = this.#limit
    while (this.#allowed < goal && this.#limit < this.#marks.length) {
      if (this.#marks[this.#limit] !== THROUGH) this.#allowed++
      this.#limit++
    }
    if (this.#limit > before) this.control.allow(this.#limit)
  }
}

/** Stands where the value of a failed chunk would be. */
const CUT = Symbol('cut')
