import type { Label } from '../../types/mapbuffer.js'
import { firstRow, lastRow, nextRow, previousRow } from './eytzinger.js'
import { TWO32 } from './format.js'
import { inOrder, ROW_WORDS } from './index-check.js'
import { joinLabel, LITTLE_ENDIAN, splitLabel } from './label.js'
import { LabelHash, SLOT_WORDS, spread } from './label-hash.js'

/** Lookups that are made by search, however few entries there are, before a hash is built. */
const LEAST_SEARCHES = 64

/** For the halves of bigints. */
const HALVES = new Uint32Array(2)

/**
 * An index in memory: finds rows by label. Rows count from 1, and 0 is none.
 *
 * Measured with a million random labels: a search 200–380 ns, by hash 60–150 ns, a JS `Map` 250–510 ns.
 */
export class Lookup {
  /** Four words a row; see {@link ROW_WORDS}. */
  readonly words: Uint32Array
  readonly size: number
  #hash: LabelHash | undefined
  /** Lookups until a hash is built; 0: none will be. */
  #searchesLeft: number
  readonly #auto: boolean
  /** What a search has touched ahead of time: kept, or the compiler leaves the touching out. */
  _touched = 0

  constructor(words: Uint32Array, lookup: 'auto' | 'search' | 'hash') {
    this.words = words
    this.size = words.length / ROW_WORDS
    this.#auto = lookup === 'auto'
    this.#searchesLeft = lookup === 'search' ? 0 : this.#auto ? Math.max(LEAST_SEARCHES, this.size >>> 1) : 1
  }

  /** The row of a label, 0 where there is none. Throws `MILL_BAD_LABEL`. */
  find(label: Label): number {
    // A number is split here: passed through memory, or as a bigint, it would take twice as long.
    if (typeof label === 'number' && Number.isSafeInteger(label) && label >= 0) {
      return this.findHalves(label, (label - (label >>> 0)) / TWO32)
    }
    splitLabel(label, HALVES)
    return this.findHalves(HALVES[0] as number, HALVES[1] as number)
  }

  /** The row of the label of two halves, 0 where there is none. Of each number the lower 32 bits are looked at. */
  findHalves(unsignedLow: number, unsignedHigh: number): number {
    // As signed numbers they are passed in registers, unsigned ones may need memory.
    const low = unsignedLow | 0
    const high = unsignedHigh | 0
    const hash = this.#hash
    if (hash === undefined) return this.#search(low, high)
    const { slots } = hash
    let slot = SLOT_WORDS * (spread(low, high, hash.lowFactor, hash.highFactor) >>> hash.shift)
    for (;;) {
      const row = slots[slot] as number
      if (row === 0) return 0
      if (slots[slot + 1] === low && slots[slot + 2] === high) return row
      slot += SLOT_WORDS
    }
  }

  #search(low: number, high: number): number {
    if (this.#searchesLeft !== 0 && --this.#searchesLeft === 0) {
      this.#build()
      // Where rows are out of order the two differ in what they find: one that is asked for answers from the first on.
      if (this.#hash !== undefined) return this.findHalves(low, high)
    }
    const row = this.#lowerBound(low, high)
    if (row === 0) return 0
    const at = (row - 1) * ROW_WORDS
    return ((this.words[at] as number) | 0) === low && ((this.words[at + 1] as number) | 0) === high ? row : 0
  }

  #build(): void {
    // A search finds nothing in rows that are out of order; a hash that comes later must not begin to.
    if (!this.#auto || inOrder(this.words)) this.#hash = LabelHash.build(this.words)
  }

  /** The row of the least label that is not below this one, 0 where all are. Throws `MILL_BAD_LABEL`. */
  atLeast(label: Label): number {
    splitLabel(label, HALVES)
    return this.#lowerBound((HALVES[0] as number) | 0, (HALVES[1] as number) | 0)
  }

  /**
   * The row of the least label that is not below the one of these halves, signed here, 0 where all are.
   *
   * Which way a step goes can't be guessed, so it is arithmetic, not a branch: a wrong guess costs more than the step.
   * But guesses also fetch from memory ahead of time. Instead, each step touches the 16 rows four levels further down,
   * which lie side by side: by the time one of them is needed it is there. Among a million rows 190 ns, against 250
   * with branches and 550 without either; among a thousand 60, 90, 60.
   */
  #lowerBound(low: number, high: number): number {
    const { words, size } = this
    const top = high >>> 1
    let k = 1
    let touched = 0
    for (const reach = (size - 15) >> 4; k <= reach; ) {
      const ahead = 64 * k
      touched ^=
        (words[ahead - 4] as number) ^
        (words[ahead + 12] as number) ^
        (words[ahead + 28] as number) ^
        (words[ahead + 44] as number)
      k = 2 * k + isBelow(words, k, low, high, top)
    }
    while (k <= size) k = 2 * k + isBelow(words, k, low, high, top)
    this._touched = touched & 1
    // Each step to the right went past a smaller label: the row is where the last step to the left began.
    return k >>> (32 - Math.clz32(~k & (k + 1)))
  }

  label(row: number, bigint: boolean): Label {
    const at = (row - 1) * ROW_WORDS
    return joinLabel(this.words[at] as number, this.words[at + 1] as number, bigint)
  }

  /** The second number of a row; above 2^53 not exact, but still above 2^53. */
  offset(row: number): number {
    const at = (row - 1) * ROW_WORDS + 2
    return (this.words[at + 1] as number) * TWO32 + (this.words[at] as number)
  }

  /** The second number of a row, as labels are given out. */
  value(row: number, bigint: boolean): Label {
    const at = (row - 1) * ROW_WORDS + 2
    return joinLabel(this.words[at] as number, this.words[at + 1] as number, bigint)
  }

  /** The rows of a range of labels, from the least label on or from the greatest. Throws `MILL_BAD_LABEL`. */
  rows(from: Label | undefined, to: Label | undefined, reverse: boolean): RowRange {
    let low = 0
    let high = 0
    let first = firstRow(this.size)
    if (from !== undefined) {
      splitLabel(from, HALVES)
      low = HALVES[0] as number
      high = HALVES[1] as number
      first = this.#lowerBound(low | 0, high | 0)
    }
    let end = 0
    if (to !== undefined) {
      splitLabel(to, HALVES)
      const toLow = HALVES[0] as number
      const toHigh = HALVES[1] as number
      const empty = toHigh < high || (toHigh === high && toLow <= low)
      end = empty ? first : this.#lowerBound(toLow | 0, toHigh | 0)
    }
    if (!reverse || first === end) return { first, end, step: nextRow }
    const last = end === 0 ? lastRow(this.size) : previousRow(end, this.size)
    return { first: last, end: previousRow(first, this.size), step: previousRow }
  }
}

/** Rows to walk: `first`, then `step(row, size)` again and again, until 0 or `end`, which does not belong to them. */
export interface RowRange {
  readonly first: number
  readonly end: number
  readonly step: (row: number, n: number) => number
}

/**
 * The words of the rows in these bytes: a view where they are aligned on a little-endian host, else a copy (7 ms per
 * million rows).
 */
export function indexWords(rows: Uint8Array, littleEndian = LITTLE_ENDIAN): Uint32Array {
  const count = rows.length >>> 2
  if (!littleEndian) {
    const view = new DataView(rows.buffer, rows.byteOffset, rows.length)
    return Uint32Array.from({ length: count }, (_, i) => view.getUint32(4 * i, true))
  }
  if (rows.byteOffset % 4 === 0) return new Uint32Array(rows.buffer, rows.byteOffset, count)
  const words = new Uint32Array(count)
  new Uint8Array(words.buffer).set(rows)
  return words
}

/**
 * 1 where the label of row k is below the one given, else 0. Nearly always the upper 31 bits tell (`top` has those of the
 * label): their difference has a sign that can be trusted, whatever they are, and is two steps of arithmetic where all 32
 * bits need six, which is one tenth of a search among a million. Else the borrow of a subtraction, as if unsigned.
 */
function isBelow(words: Uint32Array, k: number, low: number, high: number, top: number): number {
  const at = k * ROW_WORDS - ROW_WORDS
  const upper = words[at + 1] as number
  const difference = (upper >>> 1) - top
  if (difference !== 0) return difference >>> 31
  let a = upper | 0
  let b = high
  if (a === b) {
    a = (words[at] as number) | 0
    b = low
  }
  return ((~a & b) | (~(a ^ b) & (a - b))) >>> 31
}
