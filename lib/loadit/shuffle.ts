import type { ShuffleOptions } from '../../types/load-it.js'
import { ArgumentError } from '../base/errors.js'
import type { Bound, Mapping } from './mapping.js'
import { Permutation } from './permutation.js'

/** ⌊2^32 / φ⌋, made odd: multiples of it are spread evenly over 32 bits. */
const GOLDEN = 0x9e3779b1

/** The order of the items within block `number`, among all orders of one seed. */
const saltOf = (number: number): number => Math.imul(number + 1, GOLDEN)

/** A shuffle: plain, or of blocks and within them. */
export class Shuffle implements Mapping {
  readonly text: string
  readonly free = false
  readonly enough = undefined
  readonly #order: Permutation
  readonly #block: number | undefined
  readonly #kept: boolean

  constructor(options: ShuffleOptions = {}) {
    const { seed = 0, block, order = 'shuffled' } = options
    if (typeof seed !== 'string' && !(typeof seed === 'number' && Number.isFinite(seed))) {
      throw new ArgumentError('options.seed', 'a finite number or a string', seed)
    }
    if (block !== undefined && !(Number.isSafeInteger(block) && block > 0)) {
      throw new ArgumentError('options.block', 'a whole number > 0', block)
    }
    if (order !== 'shuffled' && order !== 'kept') {
      throw new ArgumentError('options.order', "'shuffled' or 'kept'", order)
    }
    this.#kept = order === 'kept'
    if (this.#kept && block === undefined)
      throw new ArgumentError('options.block', "given where order is 'kept'", block)
    this.#order = new Permutation(seed)
    this.#block = block
    const blocks = block === undefined ? '' : `,${this.#kept ? 'kept' : 'block'}=${block}`
    this.text = `.shuffle(${shown(seed)}${blocks})`
  }

  bind(n: number | undefined): Bound | undefined {
    if (n === undefined) return undefined
    if (n === Number.POSITIVE_INFINITY && !this.#kept) {
      throw new ArgumentError('options.order', "'kept' for an endless sequence", 'shuffled')
    }
    return this.#block === undefined ? new Plain(this.#order, n) : new Blocks(this.#order, n, this.#block, this.#kept)
  }
}

/** Seeds of the same order look the same; text can't be taken for another operation. */
function shown(seed: number | string): string {
  const text = String(seed)
  return String(Number(text)) === text ? text : JSON.stringify(text)
}

class Plain implements Bound {
  readonly first = undefined
  readonly length: number
  readonly most: number
  readonly #order: Permutation

  constructor(order: Permutation, n: number) {
    this.#order = order
    this.length = this.most = n
  }

  index(i: number): number {
    return this.#order.at(this.most, 0, i)
  }
}

class Blocks implements Bound {
  readonly first = undefined
  readonly length: number
  readonly most: number
  readonly #order: Permutation
  readonly #block: number
  /** Whole blocks. */
  readonly #full: number
  readonly #kept: boolean

  constructor(order: Permutation, n: number, block: number, kept: boolean) {
    this.#order = order
    this.length = this.most = n
    this.#block = block
    this.#full = Math.floor(n / block)
    this.#kept = kept
  }

  index(i: number): number {
    const block = this.#block
    const place = Math.floor(i / block)
    const whole = place < this.#full
    const shown = this.#kept || !whole ? place : this.#order.at(this.#full, 0, place)
    const size = whole ? block : this.most - place * block
    return shown * block + this.#order.at(size, saltOf(shown), i % block)
  }
}
