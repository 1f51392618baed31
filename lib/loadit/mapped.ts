import type { ReadOptions, Sequence } from '../../types/load-it.js'
import { checkIndex, outsideParent } from './bad-index.js'
import { type Core, reach, ready, walk } from './core.js'
import type { Bound, Mapping } from './mapping.js'
import { scatter } from './places.js'

/** A view of one sequence: the items are found by computing their indices there; nothing else is kept. */
export class Mapped<T> implements Core<T> {
  readonly #parent: Sequence<T>
  readonly #mapping: Mapping
  #bound: Bound | undefined
  /** The parent's length that {@link #bound} is for; -1: none yet. */
  #boundTo: number | undefined = -1
  /** The parent has {@link Mapping.enough}: this holds as long as nobody knows its length. */
  #settled: Bound | undefined

  constructor(parent: Sequence<T>, mapping: Mapping) {
    this.#parent = parent
    this.#mapping = mapping
  }

  get description(): string {
    return this.#parent.description + this.#mapping.text
  }

  /** The indices, as far as they can be told without waiting. May throw as {@link Mapping.bind} does. */
  #now(): Bound | undefined {
    const n = this.#parent.knownLength
    if (n === undefined && this.#settled !== undefined) return this.#settled
    if (n !== this.#boundTo) {
      this.#bound = this.#mapping.bind(n)
      this.#boundTo = n
    }
    return this.#bound
  }

  /** The indices with an exact length. */
  async #exact(options?: ReadOptions): Promise<Bound & { readonly length: number }> {
    let bound = this.#now()
    if (bound?.length === undefined) {
      const { enough } = this.#mapping
      if (enough !== undefined && (await reach(this.#parent, enough, options))) {
        bound = this.#settled = this.#mapping.bind(enough + 1)
      } else bound = this.#mapping.bind(await this.#parent.length(options))
    }
    return bound as Bound & { readonly length: number }
  }

  get knownLength(): number | undefined {
    try {
      return this.#now()?.length
    } catch {
      return undefined // length() tells
    }
  }

  async length(options?: ReadOptions): Promise<number> {
    return (await this.#exact(options)).length
  }

  at(index: number, options?: ReadOptions): Promise<T | undefined> {
    // No async function: on top of a hit in memory each view would cost a promise.
    try {
      const bound = this.#now()
      return bound === undefined
        ? this.#exact(options).then((exact) => this.#read(exact, index, options))
        : this.#read(bound, index, options)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #read(bound: Bound, index: number, options?: ReadOptions): Promise<T | undefined> {
    if (index >= bound.most) return Promise.resolve(undefined)
    const target = bound.index(index)
    return this.#mapping.free ? this.#readInside(target, options) : this.#parent.at(target, options)
  }

  async #readInside(target: number, options?: ReadOptions): Promise<T | undefined> {
    const value = await this.#parent.at(target, options)
    if (value === undefined) await this.#demand(target, options)
    return value
  }

  /** Throws `MILL_INDEX` unless the parent has this item, which was `undefined` when it was read. */
  async #demand(target: number, options?: ReadOptions): Promise<void> {
    const parent = this.#parent
    const inside = target >= 0 ? await reach(parent, target, options) : -target <= (await parent.length(options))
    if (!inside) throw outsideParent(target)
  }

  peek(index: number): T | undefined {
    const bound = this.#now()
    if (bound === undefined || index >= bound.most) return undefined
    const target = bound.index(index)
    const n = this.#parent.knownLength
    if (this.#mapping.free && n !== undefined && (target >= n || target < -n)) throw outsideParent(target)
    return this.#parent.peek(target)
  }

  async getMany(indices: readonly number[], options?: ReadOptions): Promise<(T | undefined)[]> {
    const bound = this.#now() ?? (await this.#exact(options))
    const targets: number[] = []
    const positions: number[] = []
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i] as number
      if (index >= bound.most) continue
      targets.push(bound.index(index))
      positions.push(i)
    }
    const values = targets.length === 0 ? [] : await this.#readMany(targets, options)
    return values.length === indices.length ? values : scatter(values, positions, indices.length)
  }

  async #readMany(targets: number[], options?: ReadOptions): Promise<(T | undefined)[]> {
    const values = await this.#parent.getMany(targets, options)
    if (!this.#mapping.free) return values
    let high = -1
    let low = 0
    for (let i = 0; i < values.length; i++) {
      if (values[i] !== undefined) continue
      const target = targets[i] as number
      if (target > high) high = target
      if (target < low) low = target
    }
    if (high >= 0) await this.#demand(high, options)
    if (low < 0) await this.#demand(low, options)
    return values
  }

  async *batches(
    start: number,
    end: number,
    maxItems: number,
    signal: AbortSignal,
  ): AsyncGenerator<T[], void, undefined> {
    const options = { signal }
    const bound = this.#now() ?? (await this.#exact(options))
    const to = Math.min(end, bound.most)
    const { first } = bound
    if (first !== undefined) {
      if (start < to) yield* walk(this.#parent, first + start, first + to, maxItems, signal)
      return
    }
    let size = maxItems
    for (let i = start; i < to; ) {
      const targets = this.#chunk(bound, i, to, size)
      let values: (T | undefined)[]
      try {
        values = await this.#readMany(targets, options)
      } catch (error) {
        if (targets.length === 1 || signal.aborted) throw error
        size = 1 // what comes before the faulty item is given out before its error
        continue
      }
      // Where the length is not known an item that isn't there may mean the end.
      if (bound.length === undefined && values.at(-1) === undefined) {
        if (!(await reach(this.#parent, targets.at(-1) as number, options))) {
          const rest = (await this.length(options)) - i
          if (rest > 0) yield values.slice(0, rest) as T[]
          return
        }
      }
      yield values as T[]
      i += values.length
      size = Math.min(2 * size, maxItems)
    }
  }

  /** The parent's indices from `i` on that can be read without waiting for a source, and that of `i` in any case. */
  #chunk(bound: Bound, i: number, to: number, maxItems: number): number[] {
    const targets = [bound.index(i)]
    const last = Math.min(to, i + maxItems)
    try {
      for (let k = i + 1; k < last; k++) {
        const target = bound.index(k)
        if (!this.#readyAt(target)) break
        targets.push(target)
      }
    } catch {
      // A user's function failed: what comes before that is given out first.
    }
    return targets
  }

  #readyAt(target: number): boolean {
    if (target >= 0) return ready(this.#parent, target)
    const n = this.#parent.knownLength
    return n !== undefined && target + n >= 0 && ready(this.#parent, target + n)
  }

  ready(index: number): boolean {
    try {
      const bound = this.#now()
      return bound !== undefined && index < bound.most && this.#readyAt(checkIndex(bound.index(index)))
    } catch {
      return false
    }
  }

  async reach(index: number, options?: ReadOptions): Promise<boolean> {
    const bound = this.#now() ?? (await this.#exact(options))
    if (index >= bound.most) return false
    return bound.length !== undefined || reach(this.#parent, bound.index(index), options)
  }
}
