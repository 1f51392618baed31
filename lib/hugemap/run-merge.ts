import { type Duplicates, duplicateKey } from './run-gather.js'
import type { RunReader } from './run-reader.js'

/**
 * Merges runs, each key once: a tree of losers, so that a record costs one comparison per level. Runs are given in the
 * order of the input; of equal keys the one of the last or of the first run stays.
 */
export class Merge {
  /** Records that were left out for one of equal key. */
  duplicates = 0
  readonly #runs: readonly RunReader[]
  readonly #policy: Duplicates
  /** The winner, then at each inner node the run that lost there. */
  readonly #tree: Int32Array
  #last = new Uint8Array(64)
  #lastLength = -1
  #started = false

  /** The readers stand before their first record. */
  constructor(runs: readonly RunReader[], policy: Duplicates) {
    this.#runs = runs
    this.#policy = policy
    this.#tree = new Int32Array(Math.max(1, runs.length)).fill(-1)
  }

  /** The run that stands on the next record, until the next call; undefined: there is none. Throws `MILL_DUPLICATE_KEY`. */
  next(): RunReader | undefined {
    if (!this.#started) this.#start()
    else this.#advance()
    for (;;) {
      const run = this.#runs[this.#tree[0] as number]
      if (run === undefined || run.ended) return undefined
      if (!this.#isLast(run)) {
        this.#remember(run)
        return run
      }
      if (this.#policy === 'error') throw duplicateKey(run.bytes.slice(run.keyAt, run.valueAt))
      this.duplicates++
      this.#advance()
    }
  }

  #start(): void {
    this.#started = true
    const runs = this.#runs
    if (runs.length === 0) return
    for (const run of runs) run.next()
    // Each run climbs until it meets an empty node, waits there, and plays the next that comes along.
    for (let leaf = 0; leaf < runs.length; leaf++) this.#climb(leaf)
  }

  #climb(leaf: number): void {
    const tree = this.#tree
    let winner = leaf
    for (let node = (leaf + this.#runs.length) >> 1; node > 0; node >>= 1) {
      const other = tree[node] as number
      if (other < 0) {
        tree[node] = winner
        return
      }
      if (this.#before(other, winner)) {
        tree[node] = winner
        winner = other
      }
    }
    tree[0] = winner
  }

  #advance(): void {
    const leaf = this.#tree[0] as number
    ;(this.#runs[leaf] as RunReader).next()
    this.#climb(leaf)
  }

  /** Does the record of run `a` come before that of run `b`? Of equal keys the one that stays comes first. */
  #before(a: number, b: number): boolean {
    const runs = this.#runs
    const first = runs[a] as RunReader
    const second = runs[b] as RunReader
    if (first.ended || second.ended) return second.ended && (!first.ended || a < b)
    if (first.high !== second.high) return first.high < second.high
    if (first.low !== second.low) return first.low < second.low
    const difference = compareHeads(first, second)
    if (difference !== 0) return difference < 0
    return this.#policy === 'last' ? a > b : a < b
  }

  #isLast(run: RunReader): boolean {
    const { bytes, keyAt, keyLength } = run
    const last = this.#last
    if (keyLength !== this.#lastLength) return false
    // From the end: neighbours in order differ there.
    for (let i = keyLength - 1; i >= 0; i--) if (bytes[keyAt + i] !== last[i]) return false
    return true
  }

  #remember(run: RunReader): void {
    const { bytes, keyAt, keyLength } = run
    if (keyLength > this.#last.length) this.#last = new Uint8Array(2 * keyLength)
    const last = this.#last
    for (let i = 0; i < keyLength; i++) last[i] = bytes[keyAt + i] as number
    this.#lastLength = keyLength
  }
}

function compareHeads(a: RunReader, b: RunReader): number {
  const shorter = a.keyLength < b.keyLength ? a.keyLength : b.keyLength
  for (let i = a.skip; i < shorter; i++) {
    const difference = (a.bytes[a.keyAt + i] as number) - (b.bytes[b.keyAt + i] as number)
    if (difference !== 0) return difference
  }
  return a.keyLength - b.keyLength
}
