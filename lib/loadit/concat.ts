import type { ReadOptions, Sequence } from '../../types/load-it.js'
import { endlessIndex } from './bad-index.js'
import { type Core, reach, ready, walk } from './core.js'
import { highest, Places } from './places.js'

const sum = (lengths: readonly number[]): number => lengths.reduce((all, n) => all + n, 0)

/** One sequence after the other. The length of a part is asked for only by who wants to get past it. */
export class Concat<T> implements Core<T> {
  /** Two or more. */
  readonly parts: readonly Sequence<T>[]

  constructor(parts: readonly Sequence<T>[]) {
    this.parts = parts
  }

  get description(): string {
    const [first, ...others] = this.parts.map((part) => part.description)
    return `${first}.concat(${others.join(',')})`
  }

  get knownLength(): number | undefined {
    let all: number | undefined = 0
    for (const { knownLength } of this.parts) {
      if (knownLength === Number.POSITIVE_INFINITY) return knownLength
      all = all === undefined || knownLength === undefined ? undefined : all + knownLength
    }
    return all
  }

  async length(options?: ReadOptions): Promise<number> {
    return this.knownLength ?? sum(await Promise.all(this.parts.map((part) => part.length(options))))
  }

  at(index: number, options?: ReadOptions): Promise<T | undefined> {
    const { parts } = this
    let rest = index
    let p = 0
    for (; p < parts.length - 1; p++) {
      const n = (parts[p] as Sequence<T>).knownLength
      if (n === undefined) return this.#search(p, rest, options)
      if (rest < n) break
      rest -= n
    }
    return (parts[p] as Sequence<T>).at(rest, options)
  }

  /** Item `rest`, counted from the beginning of part `p`, whose length is not known. */
  async #search(p: number, rest: number, options?: ReadOptions): Promise<T | undefined> {
    const { parts } = this
    let index = rest
    for (let q = p; q < parts.length - 1; q++) {
      const part = parts[q] as Sequence<T>
      if (await reach(part, index, options)) return part.at(index, options)
      const n = await part.length(options)
      if (index < n) return part.at(index, options) // it has grown meanwhile
      index -= n
    }
    return (parts.at(-1) as Sequence<T>).at(index, options)
  }

  async fromEnd(index: number, options?: ReadOptions): Promise<T | undefined> {
    if (this.knownLength === Number.POSITIVE_INFINITY) throw endlessIndex(index)
    let rest = index
    for (let p = this.parts.length - 1; p >= 0; p--) {
      const part = this.parts[p] as Sequence<T>
      const n = await part.length(options)
      if (-rest <= n) return part.at(rest, options) // an endless part says itself that it has no end
      rest += n
    }
    return undefined
  }

  peek(index: number): T | undefined {
    let rest = index
    for (const part of this.parts) {
      const n = part.knownLength
      if (n === undefined || rest < n) return part.peek(rest)
      rest -= n
    }
    return undefined
  }

  async getMany(indices: readonly number[], options?: ReadOptions): Promise<(T | undefined)[]> {
    const { parts } = this
    const starts = await this.#starts(highest(indices), options)
    const places = new Places<T>(indices.length)
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i] as number
      let p = starts.length - 1
      while ((starts[p] as number) > index) p--
      places.add(i, parts[p] as Sequence<T>, index - (starts[p] as number))
    }
    return places.read(options)
  }

  /** Where parts begin, up to the part that has item `last`. */
  async #starts(last: number, options?: ReadOptions): Promise<number[]> {
    const starts = [0]
    for (let p = 0, start = 0; p < this.parts.length - 1; p++) {
      const part = this.parts[p] as Sequence<T>
      if (await reach(part, last - start, options)) break
      start += await part.length(options)
      starts.push(start)
    }
    return starts
  }

  async *batches(
    start: number,
    end: number,
    maxItems: number,
    signal: AbortSignal,
  ): AsyncGenerator<T[], void, undefined> {
    let [from, to] = [start, end]
    for (const part of this.parts) {
      if (from >= to) return
      const known = part.knownLength
      let had = from
      if (known === undefined || from < known) {
        for await (const items of walk(part, from, to, maxItems, signal)) {
          had += items.length
          yield items
        }
        if (had >= to) return
      }
      const n = had > from ? had : await part.length({ signal })
      from = Math.max(0, from - n)
      to -= n
    }
  }

  ready(index: number): boolean {
    let rest = index
    for (const part of this.parts) {
      const n = part.knownLength
      if (n === undefined || rest < n) return ready(part, rest)
      rest -= n
    }
    return false
  }

  async reach(index: number, options?: ReadOptions): Promise<boolean> {
    let rest = index
    for (const part of this.parts) {
      if (await reach(part, rest, options)) return true
      rest -= await part.length(options)
    }
    return false
  }
}
