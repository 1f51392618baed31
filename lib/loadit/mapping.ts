import { crc32 } from 'node:zlib'
import { ArgumentError } from '../base/errors.js'
import { checkIndex, checkIndices, endlessIndex } from './bad-index.js'

/** How the indices of a view become those of its parent. */
export interface Mapping {
  /** For the description, e.g. `.slice(5,-5,3)`. */
  readonly text: string
  /** Its indices are a user's: they may be negative, or point outside the parent. */
  readonly free: boolean
  /** If the parent has this item, its length does not matter: {@link bind} gives the same for all that have it. */
  readonly enough: number | undefined
  /**
   * The indices for a parent of `n` items (Infinity: an endless one); undefined: nobody knows yet. Returns undefined
   * where that is not enough to find any item. Throws where an endless parent won't do.
   */
  bind(n: number | undefined): Bound | undefined
}

/** A {@link Mapping} for a certain length of the parent. */
export interface Bound {
  /** Items; undefined: up to {@link most}, as many as the parent has. */
  readonly length: number | undefined
  /** No item is at this index or after it. */
  readonly most: number
  /** Item i is the parent's `first + i`, throughout; undefined: it is not so simple. */
  readonly first: number | undefined
  /** The parent's index, for 0 <= `i` < {@link most}. */
  index(i: number): number
}

class Steps implements Bound {
  readonly length: number | undefined
  readonly most: number
  readonly #from: number
  readonly #step: number

  constructor(from: number, step: number, most: number, exact: boolean) {
    this.#from = from
    this.#step = step
    this.most = most
    this.length = exact || most === 0 ? most : undefined
  }

  get first(): number | undefined {
    return this.#step === 1 ? this.#from : undefined
  }

  index(i: number): number {
    return this.#from + i * this.#step
  }
}

/** Python's slice: negative bounds count from the end, all are clamped, a negative step goes backwards. */
export class Slice implements Mapping {
  readonly text: string
  readonly free = false
  readonly enough: number | undefined
  readonly #start: number | undefined
  readonly #end: number | undefined
  readonly #step: number

  constructor(start: number | undefined, end: number | undefined, step = 1, text?: string) {
    if (start !== undefined) checkIndex(start)
    if (end !== undefined) checkIndex(end)
    if (!Number.isSafeInteger(step) || step === 0) throw new ArgumentError('step', 'a whole number other than 0', step)
    this.#start = start
    this.#end = end
    this.#step = step
    this.text = text ?? `.slice(${listed(start, end, step === 1 ? undefined : step)})`
    this.enough = this.#enough()
  }

  #enough(): number | undefined {
    const [start, end, step] = [this.#start, this.#end, this.#step]
    if ((end !== undefined && end < 0) || (start !== undefined && start < 0)) return undefined
    if (step < 0) return start
    if (end === undefined) return undefined
    const from = start ?? 0
    return end <= from ? undefined : from + (countOf(from, end, step) - 1) * step
  }

  bind(n: number | undefined): Bound | undefined {
    const [start, end, step] = [this.#start, this.#end, this.#step]
    if (n === undefined) {
      if ((start !== undefined && start < 0) || (end !== undefined && end < 0)) return undefined
      if (step < 0)
        return start !== undefined && end !== undefined && end >= start ? new Steps(0, 1, 0, true) : undefined
      const from = start ?? 0
      return new Steps(from, step, countOf(from, end ?? Number.POSITIVE_INFINITY, step), false)
    }
    if (n === Number.POSITIVE_INFINITY) {
      const fromEnd = start === undefined ? (step < 0 ? -1 : 0) : start
      if (fromEnd < 0) throw endlessIndex(fromEnd)
      if (end !== undefined && end < 0) throw endlessIndex(end)
    }
    const low = step < 0 ? -1 : 0
    const high = step < 0 ? n - 1 : n
    const from = start === undefined ? (step < 0 ? high : low) : clamped(start, n, low, high)
    const to = end === undefined ? (step < 0 ? low : high) : clamped(end, n, low, high)
    return new Steps(from, step, countOf(from, to, step), true)
  }
}

const clamped = (bound: number, n: number, low: number, high: number): number =>
  bound < 0 ? Math.max(bound + n, low) : Math.min(bound, high)

/** How many of from, from + step, … come before `to`. */
const countOf = (from: number, to: number, step: number): number => Math.max(0, Math.ceil((to - from) / step))

/** Arguments as they were given; those left out at the end leave no trace. */
function listed(...values: (number | undefined)[]): string {
  while (values.length > 0 && values.at(-1) === undefined) values.pop()
  return values.map((value) => (value === undefined ? '' : String(value))).join(',')
}

/** The part of worker `index` of `count`. */
export function shardMapping(index: number, count: number, strided: boolean): Mapping {
  if (!(Number.isSafeInteger(count) && count > 0)) throw new ArgumentError('count', 'a whole number > 0', count)
  if (!(Number.isSafeInteger(index) && index >= 0 && index < count)) {
    throw new ArgumentError('index', `a whole number from 0 to ${count - 1}`, index)
  }
  return strided
    ? new Slice(index, undefined, count, `.shard(${index},${count},strided)`)
    : new Share(index, count, `.shard(${index},${count})`)
}

class Share implements Mapping {
  readonly text: string
  readonly free = false
  readonly enough = undefined
  readonly #index: number
  readonly #count: number

  constructor(index: number, count: number, text: string) {
    this.#index = index
    this.#count = count
    this.text = text
  }

  bind(n: number | undefined): Bound | undefined {
    if (n === undefined) return undefined
    if (n === Number.POSITIVE_INFINITY)
      throw new ArgumentError('options.strided', 'true for an endless sequence', false)
    const from = share(this.#index, n, this.#count)
    return new Steps(from, 1, share(this.#index + 1, n, this.#count) - from, true)
  }
}

/** ⌊index · n / count⌋, exactly. */
function share(index: number, n: number, count: number): number {
  const product = index * n
  return product <= Number.MAX_SAFE_INTEGER
    ? Math.floor(product / count)
    : Number((BigInt(index) * BigInt(n)) / BigInt(count))
}

/** Indices somebody wrote down. */
export class List implements Mapping, Bound {
  readonly text: string
  readonly free = true
  readonly enough = undefined
  readonly first = undefined
  readonly length: number
  readonly most: number
  readonly #indices: Float64Array

  /** Copies the list. Throws `MILL_INDEX` for what is no index anywhere. */
  constructor(indices: Iterable<number>) {
    // + 0: a −0 is the same item as 0, and has to look the same in the checksum.
    this.#indices = Float64Array.from(checkIndices(indices), (index) => index + 0)
    this.length = this.most = this.#indices.length
    const sum = crc32(new Uint8Array(this.#indices.buffer))
    this.text = `.view(${this.length},crc32=${sum.toString(16).padStart(8, '0')})`
  }

  bind(): Bound {
    return this
  }

  index(i: number): number {
    return this.#indices[i] as number
  }
}

/** Indices somebody computes. */
export class Computed implements Mapping, Bound {
  readonly text: string
  readonly free = true
  readonly enough = undefined
  readonly first = undefined
  readonly length: number
  readonly most: number
  readonly #indexOf: (i: number) => number

  constructor(indexOf: (i: number) => number, length: number) {
    if (!((Number.isSafeInteger(length) && length >= 0) || length === Number.POSITIVE_INFINITY)) {
      throw new ArgumentError('length', 'a whole number >= 0, or Infinity', length)
    }
    this.#indexOf = indexOf
    this.length = this.most = length
    this.text = `.view(function,${length})`
  }

  bind(): Bound {
    return this
  }

  index(i: number): number {
    return checkIndex(this.#indexOf(i)) + 0
  }
}
