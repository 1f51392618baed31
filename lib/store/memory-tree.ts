import type { ByteRange } from '../../types/store.js'
import { bounds } from './range.js'

/** Entries of a leaf at most; halved when there are more. */
const MOST = 256

/** Some entries in the order of their keys. Changed only by the tree that has `epoch`; for all others it is frozen. */
interface Leaf {
  readonly epoch: number
  readonly keys: Uint8Array[]
  readonly values: Uint8Array[]
}

/** A sorted map as it was at one time; never changes. */
export interface Frozen {
  readonly leaves: readonly Leaf[]
  readonly size: number
}

/** A place between entries: before entry `at` of a leaf, or behind the last. */
interface Place {
  readonly leaf: number
  readonly at: number
}

/**
 * A sorted map from bytes to bytes. Freezing it is free; after that, a change copies the list of leaves once and each leaf
 * it touches.
 */
export class MemoryTree {
  #epoch = 1
  #frozen = false
  #leaves: Leaf[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Its state of now, until the next change. */
  get state(): Frozen {
    return { leaves: this.#leaves, size: this.#size }
  }

  /** Its state of now, which later changes leave as it is. */
  freeze(): Frozen {
    this.#frozen = true
    return this.state
  }

  find(bytes: Uint8Array, from: number, length: number): Uint8Array | undefined {
    return findIn(this.#leaves, bytes, from, length)
  }

  /** Back to a state it had. */
  restore(state: Frozen): void {
    this.#leaves = state.leaves as Leaf[]
    this.#size = state.size
    this.#frozen = true
  }

  clear(): void {
    this.#leaves = []
    this.#size = 0
    this.#frozen = false
  }

  /** Key and value are kept as they are, not copied. */
  set(key: Uint8Array, value: Uint8Array): void {
    this.#thaw()
    const { leaf, at } = seek(this.#leaves, key, 0, key.length)
    if (isAt(this.#leaves, leaf, at, key, 0, key.length)) {
      this.#own(leaf).values[at] = value
      return
    }
    this.#size++
    if (leaf === this.#leaves.length) {
      // Behind everything: into the last leaf while it has room, so that ascending keys fill their leaves.
      const last = this.#leaves.length - 1
      if (last === -1 || (this.#leaves[last] as Leaf).keys.length === MOST) {
        this.#leaves.push({ epoch: this.#epoch, keys: [key], values: [value] })
        return
      }
      const own = this.#own(last)
      own.keys.push(key)
      own.values.push(value)
      return
    }
    const own = this.#own(leaf)
    own.keys.splice(at, 0, key)
    own.values.splice(at, 0, value)
    if (own.keys.length > MOST) this.#split(leaf, own)
  }

  /** Was it there? */
  delete(bytes: Uint8Array, from: number, length: number): boolean {
    const { leaf, at } = seek(this.#leaves, bytes, from, length)
    if (!isAt(this.#leaves, leaf, at, bytes, from, length)) return false
    this.#thaw()
    this.#size--
    const own = this.#own(leaf)
    own.keys.splice(at, 1)
    own.values.splice(at, 1)
    if (own.keys.length === 0) this.#leaves.splice(leaf, 1)
    return true
  }

  #thaw(): void {
    if (!this.#frozen) return
    this.#frozen = false
    this.#epoch++
    this.#leaves = this.#leaves.slice()
  }

  #own(index: number): Leaf {
    const leaf = this.#leaves[index] as Leaf
    if (leaf.epoch === this.#epoch) return leaf
    const own = { epoch: this.#epoch, keys: leaf.keys.slice(), values: leaf.values.slice() }
    this.#leaves[index] = own
    return own
  }

  #split(index: number, leaf: Leaf): void {
    const keys = leaf.keys.splice(MOST / 2)
    const values = leaf.values.splice(MOST / 2)
    this.#leaves.splice(index + 1, 0, { epoch: this.#epoch, keys, values })
  }
}

/** The value of a key, which is a part of `bytes`. */
export function find(state: Frozen, bytes: Uint8Array, from: number, length: number): Uint8Array | undefined {
  return findIn(state.leaves, bytes, from, length)
}

function findIn(leaves: readonly Leaf[], bytes: Uint8Array, from: number, length: number): Uint8Array | undefined {
  const { leaf, at } = seek(leaves, bytes, from, length)
  return isAt(leaves, leaf, at, bytes, from, length) ? leaves[leaf]?.values[at] : undefined
}

/** Walks over entries of a state; `next()` goes to the following one. */
export class Walk {
  key = new Uint8Array(0) as Uint8Array
  value = new Uint8Array(0) as Uint8Array
  readonly #leaves: readonly Leaf[]
  readonly #step: 1 | -1
  #leaf = 0
  #at = 0
  #left: number

  constructor(state: Frozen, range: ByteRange, maxKeyBytes: number) {
    const { from, to, count } = extent(state, range, maxKeyBytes)
    this.#leaves = state.leaves
    this.#left = count
    this.#step = range.reverse === true ? -1 : 1
    this.#leaf = this.#step === 1 ? from.leaf : to.leaf
    this.#at = this.#step === 1 ? from.at : to.at - 1
  }

  next(): boolean {
    if (this.#left === 0) return false
    this.#left--
    let leaf = this.#leaves[this.#leaf]
    if (this.#step === 1 && leaf !== undefined && this.#at === leaf.keys.length) {
      leaf = this.#leaves[++this.#leaf]
      this.#at = 0
    } else if (this.#at === -1) {
      leaf = this.#leaves[--this.#leaf]
      this.#at = (leaf as Leaf).keys.length - 1
    }
    this.key = leaf?.keys[this.#at] as Uint8Array
    this.value = leaf?.values[this.#at] as Uint8Array
    this.#at += this.#step
    return true
  }
}

/** How many keys of a state are in a range. */
export function countIn(state: Frozen, range: ByteRange, maxKeyBytes: number): number {
  return extent(state, range, maxKeyBytes).count
}

function extent(state: Frozen, range: ByteRange, maxKeyBytes: number): { from: Place; to: Place; count: number } {
  const { leaves } = state
  const { low, lowOpen, high, highOpen, empty } = bounds(range, maxKeyBytes)
  const end: Place = { leaf: leaves.length, at: 0 }
  if (empty) return { from: end, to: end, count: 0 }
  const from = low === undefined ? { leaf: 0, at: 0 } : place(leaves, low, lowOpen)
  const to = high === undefined ? end : place(leaves, high, !highOpen)
  let count = to.at - from.at
  for (let i = from.leaf; i < to.leaf; i++) count += (leaves[i] as Leaf).keys.length
  return { from, to, count }
}

/** Before the first key that is at least this one, or (`behind`) greater. */
function place(leaves: readonly Leaf[], key: Uint8Array, behind: boolean): Place {
  const { leaf, at } = seek(leaves, key, 0, key.length)
  return behind && isAt(leaves, leaf, at, key, 0, key.length) ? { leaf, at: at + 1 } : { leaf, at }
}

/** The place of the first key that is not before this one. */
function seek(leaves: readonly Leaf[], bytes: Uint8Array, from: number, length: number): Place {
  let low = 0
  let high = leaves.length
  while (low < high) {
    const middle = (low + high) >>> 1
    const { keys } = leaves[middle] as Leaf
    if (compare(keys[keys.length - 1] as Uint8Array, bytes, from, length) < 0) low = middle + 1
    else high = middle
  }
  const leaf = low
  const keys = leaves[leaf]?.keys ?? []
  low = 0
  high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (compare(keys[middle] as Uint8Array, bytes, from, length) < 0) low = middle + 1
    else high = middle
  }
  return { leaf, at: low }
}

function isAt(leaves: readonly Leaf[], leaf: number, at: number, bytes: Uint8Array, from: number, length: number) {
  const key = leaves[leaf]?.keys[at]
  return key !== undefined && compare(key, bytes, from, length) === 0
}

function compare(key: Uint8Array, bytes: Uint8Array, from: number, length: number): number {
  const shorter = Math.min(key.length, length)
  for (let i = 0; i < shorter; i++) {
    const difference = (key[i] as number) - (bytes[from + i] as number)
    if (difference !== 0) return difference
  }
  return key.length - length
}
