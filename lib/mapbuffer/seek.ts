import { compareHalves } from './label.js'
import type { Found } from './rows.js'

/** A label on its way down the tree of rows. */
export class Seek {
  /** Its place in the question. */
  readonly at: number
  readonly low: number
  readonly high: number
  /** The row it has come to; the label's own once `found`, behind the last row when there is none. */
  row = 1
  /** The row to look at next: `row`, then its neighbours, which tell where its value ends and can begin; then 0. */
  wanted = 1
  found = false
  offset = 0
  end = 0
  before = 0
  /** Labels of the nearest rows below and above on the way down: what comes lies between them, or the file is damaged. */
  #below = false
  #belowLow = 0
  #belowHigh = 0
  #above = false
  #aboveLow = 0
  #aboveHigh = 0

  constructor(at: number, low: number, high: number) {
    this.at = at
    this.low = low
    this.high = high
  }

  /** Can a row that is reached this way have this label? */
  admits(low: number, high: number): boolean {
    if (this.#below && compareHalves(low, high, this.#belowLow, this.#belowHigh) <= 0) return false
    return !this.#above || compareHalves(low, high, this.#aboveLow, this.#aboveHigh) < 0
  }

  /** Goes on to the right, past a row with this smaller label, or to the left of a larger one. */
  turn(right: boolean, low: number, high: number): void {
    if (right) {
      this.#below = true
      this.#belowLow = low
      this.#belowHigh = high
    } else {
      this.#above = true
      this.#aboveLow = low
      this.#aboveHigh = high
    }
    this.row = 2 * this.row + (right ? 1 : 0)
  }

  /** Writes down what was found. */
  settle(found: Found): void {
    found.position[this.at] = this.row - 1
    found.offset[this.at] = this.offset
    found.length[this.at] = this.end - this.offset
    found.before[this.at] = this.before
  }
}
