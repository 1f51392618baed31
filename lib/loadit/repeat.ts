import type { ReadOptions, Sequence } from '../../types/load-it.js'
import { ArgumentError } from '../base/errors.js'
import { Lru } from '../base/lru.js'
import { type Core, reach, ready, walk } from './core.js'
import { highest, Places } from './places.js'

/** What makes the sequence of an epoch from the one that is repeated. */
export type Each<T> = (epoch: number, sequence: Sequence<T>) => Sequence<T>

/** Epochs whose sequences are kept: who reads at random in more of them makes them anew, which is cheap. */
const KEPT_EPOCHS = 8

/** The items so many times over. */
export class Repeat<T> implements Core<T> {
  readonly #parent: Sequence<T>
  readonly #times: number
  readonly #each: Each<T> | undefined
  readonly #epochs = new Lru<number, Sequence<T>>({ maxItems: KEPT_EPOCHS })

  /** @param each its sequences must have the parent's length; the first is made when it is needed */
  constructor(parent: Sequence<T>, times: number, each: Each<T> | undefined) {
    if (!((Number.isSafeInteger(times) && times >= 0) || times === Number.POSITIVE_INFINITY)) {
      throw new ArgumentError('times', 'a whole number >= 0, or Infinity', times)
    }
    this.#parent = parent
    this.#times = times
    this.#each = each
  }

  get description(): string {
    const times = this.#times === Number.POSITIVE_INFINITY ? '' : String(this.#times)
    return `${this.#parent.description}.repeat(${times}${this.#each === undefined ? '' : ',each'})`
  }

  get knownLength(): number | undefined {
    if (this.#times === 0) return 0
    const n = this.#parent.knownLength
    return n && n * this.#times
  }

  async length(options?: ReadOptions): Promise<number> {
    if (this.#times === 0) return 0
    const n = this.knownLength
    if (n !== undefined) return n
    // For ever is for ever, however long it takes each time.
    if (this.#times === Number.POSITIVE_INFINITY) return (await reach(this.#parent, 0, options)) ? this.#times : 0
    return (await this.#parent.length(options)) * this.#times
  }

  /** Items of an epoch if item `last` is not in the first; Infinity: it is. */
  async #period(last: number, options?: ReadOptions): Promise<number> {
    const known = this.#parent.knownLength
    if (known !== undefined) return known
    return (await reach(this.#parent, last, options)) ? Number.POSITIVE_INFINITY : this.#parent.length(options)
  }

  #epoch(number: number): Sequence<T> {
    if (this.#each === undefined) return this.#parent
    let epoch = this.#epochs.get(number)
    if (epoch === undefined) {
      epoch = this.#each(number, this.#parent)
      this.#epochs.set(number, epoch)
    }
    return epoch
  }

  /** The sequence of an epoch, which has `n` items. */
  async #checked(number: number, n: number, options?: ReadOptions): Promise<Sequence<T>> {
    const epoch = this.#epoch(number)
    if (this.#each !== undefined && n !== Number.POSITIVE_INFINITY) {
      checkLength(epoch.knownLength ?? (await epoch.length(options)), n)
    }
    return epoch
  }

  async at(index: number, options?: ReadOptions): Promise<T | undefined> {
    if (this.#times === 0) return undefined
    const n = await this.#period(index, options)
    const epoch = epochOf(index, n)
    return epoch < this.#times
      ? (await this.#checked(epoch, n, options)).at(index - offset(epoch, n), options)
      : undefined
  }

  peek(index: number): T | undefined {
    const place = this.#known(index)
    return place?.of.peek(place.index)
  }

  /** Where an item is, if that is sure without waiting. */
  #known(index: number): { of: Sequence<T>; index: number } | undefined {
    const n = this.#parent.knownLength
    if (n === undefined || this.#times === 0) return undefined
    const number = epochOf(index, n)
    if (number >= this.#times) return undefined
    const of = this.#epoch(number)
    if (of.knownLength === undefined) return undefined
    checkLength(of.knownLength, n)
    return { of, index: index - offset(number, n) }
  }

  async getMany(indices: readonly number[], options?: ReadOptions): Promise<(T | undefined)[]> {
    const places = new Places<T>(indices.length)
    const n = this.#times === 0 ? 0 : await this.#period(highest(indices), options)
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i] as number
      const epoch = epochOf(index, n)
      if (epoch < this.#times) places.add(i, await this.#checked(epoch, n, options), index - offset(epoch, n))
    }
    return places.read(options)
  }

  async *batches(
    start: number,
    end: number,
    maxItems: number,
    signal: AbortSignal,
  ): AsyncGenerator<T[], void, undefined> {
    if (this.#times === 0 || start >= end) return
    let n = await this.#period(start, { signal })
    let at = start
    for (let number = epochOf(start, n); number < this.#times; number++) {
      const epoch = await this.#checked(number, n, { signal })
      const begin = offset(number, n)
      for await (const items of walk(epoch, at - begin, Math.min(end - begin, n), maxItems, signal)) {
        at += items.length
        yield items
      }
      if (at >= end) return
      if (n === Number.POSITIVE_INFINITY) {
        n = await this.#parent.length({ signal })
        checkLength(at, n)
      }
    }
  }

  ready(index: number): boolean {
    const place = this.#known(index)
    return place !== undefined && ready(place.of, place.index)
  }

  async reach(index: number, options?: ReadOptions): Promise<boolean> {
    return this.#times > 0 && epochOf(index, await this.#period(index, options)) < this.#times
  }
}

/** Which epoch an item is in; Infinity where an epoch has none. */
function epochOf(index: number, n: number): number {
  if (n === 0) return Number.POSITIVE_INFINITY
  return n === Number.POSITIVE_INFINITY ? 0 : Math.floor(index / n)
}

const offset = (epoch: number, n: number): number => (epoch === 0 ? 0 : epoch * n)

function checkLength(found: number, expected: number): void {
  if (found !== expected) throw new ArgumentError('each()', `a sequence of ${expected} items`, found)
}
