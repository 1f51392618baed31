import { ROW_WORDS } from './index-check.js'

/**
 * A run of so many full slots while a hash is built does not happen by chance, which makes runs of 240 among 2^25 labels
 * where two thirds of the slots are full: somebody chose the labels.
 */
const HOSTILE_RUN = 512
/** Seeds that are tried: now and then one suits a set of labels badly. */
const SEEDS = 3
/** Above, three words a slot would be an allocation of more than a gigabyte. */
const MOST_ROWS = 2 ** 25

/** Words of a slot: row, low half, high half of its label; row 0: an empty slot. */
export const SLOT_WORDS = 3

/**
 * Rows by label: open addressing over slots that have the whole label, so that a lookup goes to one place in memory and
 * not to the index as well, which among a million rows makes it 1.2 to 1.9 times as fast. At most two thirds of the
 * slots are full. Seeded, so that nobody can choose labels that collide.
 *
 * It is `Lookup` that probes: there the compiler would inline a search, which is what it sees first, and call this.
 */
export class LabelHash {
  /** Some more than labels belong to: a run that goes beyond those need not begin anew at the front. */
  readonly slots: Int32Array
  /** 32 less the bits of a slot's number, which are the upper ones of {@link spread}. */
  readonly shift: number
  readonly lowFactor: number
  readonly highFactor: number

  private constructor(count: number, size: number, seed: Uint32Array) {
    this.slots = new Int32Array(SLOT_WORDS * (count + Math.min(HOSTILE_RUN, size)))
    this.shift = Math.clz32(count - 1)
    this.lowFactor = (seed[0] as number) | 1
    this.highFactor = (seed[1] as number) | 1
  }

  /** A hash of all rows; undefined where there are too many, or where they don't spread: search is as good for those. */
  static build(words: Uint32Array): LabelHash | undefined {
    const size = words.length / ROW_WORDS
    if (size > MOST_ROWS) return undefined
    const count = 2 ** Math.ceil(Math.log2(Math.max(2, size * 1.5)))
    for (let seed = 0; seed < SEEDS; seed++) {
      const hash = new LabelHash(count, size, crypto.getRandomValues(new Uint32Array(2)))
      if (hash.#fill(words, size)) return hash
    }
    return undefined
  }

  #fill(words: Uint32Array, size: number): boolean {
    const { slots, shift, lowFactor, highFactor } = this
    for (let row = 1; row <= size; row++) {
      const at = (row - 1) * ROW_WORDS
      const low = words[at] as number
      const high = words[at + 1] as number
      let slot = SLOT_WORDS * (spread(low, high, lowFactor, highFactor) >>> shift)
      // Shorter runs leave the very last slot empty: there every lookup ends.
      const last = slot + SLOT_WORDS * (HOSTILE_RUN - 1)
      for (; slots[slot] !== 0; slot += SLOT_WORDS) if (slot === last) return false
      slots[slot] = row
      slots[slot + 1] = low
      slots[slot + 2] = high
    }
    return true
  }
}

/**
 * The high half joins after the low one is spread, so that neither undoes the other. The last round is for factors that
 * are small by chance: without it one seed in a hundred put labels that are multiples of 2^20 or 2^32 side by side.
 */
export function spread(low: number, high: number, lowFactor: number, highFactor: number): number {
  const h = Math.imul(low, lowFactor)
  const both = Math.imul(h ^ (h >>> 16) ^ high, highFactor)
  return Math.imul(both ^ (both >>> 15), 0x9e3779b1)
}
