import type { Label } from '../../types/mapbuffer.js'
import { ArgumentError } from '../base/errors.js'
import { splitLabel } from './label.js'
import { Lookup } from './lookup.js'

/** The entries that are wanted out of a file that passes by. */
export class Wanted {
  /** Two words a label, low half first. */
  readonly #halves: number[] = []
  /** Rows of those that are there, from 0, ascending. */
  #positions: Uint32Array = new Uint32Array(0)
  #next = 0

  /** Throws `MILL_BAD_LABEL`, and `MILL_INVALID_ARGUMENT` for what is not iterable. */
  constructor(labels: Iterable<Label>) {
    if (typeof (labels as Partial<Iterable<Label>> | null)?.[Symbol.iterator] !== 'function') {
      throw new ArgumentError('options.labels', 'an iterable of labels', labels)
    }
    const halves = new Uint32Array(2)
    for (const label of labels) {
      splitLabel(label, halves)
      this.#halves.push(halves[0] as number, halves[1] as number)
    }
  }

  /** Looks them up in the index. */
  find(words: Uint32Array): void {
    const lookup = new Lookup(words, 'auto')
    const positions = new Set<number>()
    for (let i = 0; i < this.#halves.length; i += 2) {
      const row = lookup.findHalves(this.#halves[i] as number, this.#halves[i + 1] as number)
      if (row > 0) positions.add(row - 1)
    }
    this.#positions = Uint32Array.from(positions).sort()
  }

  /** The next one in file order; -1 when there is none. */
  next(): number {
    return this.#positions[this.#next++] ?? -1
  }
}
