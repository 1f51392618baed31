import type { ReadOptions, Sequence } from '../../types/load-it.js'
import { type Core, reach, ready, walk } from './core.js'
import { highest, Places } from './places.js'
import { Rounds } from './rounds.js'

/** An item of each in turn. Who is asked for what is computed; a part's length matters only once it may have ended. */
export class Interleave<T> implements Core<T> {
  readonly #parts: readonly Sequence<T>[]
  #rounds: Rounds | undefined

  /** @param parts two or more */
  constructor(parts: readonly Sequence<T>[]) {
    this.#parts = parts
  }

  get description(): string {
    const [first, ...others] = this.#parts.map((part) => part.description)
    return `${first}.interleave(${others.join(',')})`
  }

  get knownLength(): number | undefined {
    let all: number | undefined = 0
    for (const { knownLength } of this.#parts) {
      if (knownLength === Number.POSITIVE_INFINITY) return knownLength
      all = all === undefined || knownLength === undefined ? undefined : all + knownLength
    }
    return all
  }

  async length(options?: ReadOptions): Promise<number> {
    const known = this.knownLength
    if (known !== undefined) return known
    const lengths = await Promise.all(this.#parts.map((part) => part.length(options)))
    return lengths.reduce((all, n) => all + n, 0)
  }

  /** The order, if whoever is not known to end does not end. */
  #hopeful(lengths: readonly (number | undefined)[] = this.#parts.map((part) => part.knownLength)): Rounds {
    const hoped = lengths.map((n) => n ?? Number.POSITIVE_INFINITY)
    if (this.#rounds?.fits(hoped) !== true) this.#rounds = new Rounds(hoped)
    return this.#rounds
  }

  /** The order, sure up to item `last`. */
  async #sure(last: number, options?: ReadOptions): Promise<Rounds> {
    const lengths = this.#parts.map((part) => part.knownLength)
    for (;;) {
      const rounds = this.#hopeful(lengths)
      const ended = await this.#firstEnded(rounds, lengths, last, options)
      if (ended === undefined) return rounds
      lengths[ended] = await (this.#parts[ended] as Sequence<T>).length(options)
    }
  }

  /** Who of those not known to end has ended before its turn. */
  async #firstEnded(
    rounds: Rounds,
    lengths: readonly (number | undefined)[],
    last: number,
    options?: ReadOptions,
  ): Promise<number | undefined> {
    const turn = rounds.locate(last)
    if (turn === undefined) return undefined
    for (let p = 0; p < lengths.length; p++) {
      const needed = p <= turn.part ? turn.round : turn.round - 1
      if (lengths[p] !== undefined || needed < 0) continue
      if (!(await reach(this.#parts[p] as Sequence<T>, needed, options))) return p
    }
    return undefined
  }

  async at(index: number, options?: ReadOptions): Promise<T | undefined> {
    const turn = (await this.#sure(index, options)).locate(index)
    return turn && (this.#parts[turn.part] as Sequence<T>).at(turn.round, options)
  }

  peek(index: number): T | undefined {
    const turn = this.#known(index)
    return turn && (this.#parts[turn.part] as Sequence<T>).peek(turn.round)
  }

  /** Whose turn it is, if that is sure without waiting. */
  #known(index: number): { part: number; round: number } | undefined {
    const turn = this.#hopeful().locate(index)
    if (turn === undefined) return undefined
    const sure = this.#parts.every((part, p) => part.knownLength !== undefined || (p === turn.part && turn.round === 0))
    return sure ? turn : undefined
  }

  async getMany(indices: readonly number[], options?: ReadOptions): Promise<(T | undefined)[]> {
    const rounds = await this.#sure(highest(indices), options)
    const places = new Places<T>(indices.length)
    for (let i = 0; i < indices.length; i++) {
      const turn = rounds.locate(indices[i] as number)
      if (turn !== undefined) places.add(i, this.#parts[turn.part] as Sequence<T>, turn.round)
    }
    return places.read(options)
  }

  async *batches(
    start: number,
    end: number,
    maxItems: number,
    signal: AbortSignal,
  ): AsyncGenerator<T[], void, undefined> {
    const first = (await this.#sure(start, { signal })).locate(start)
    if (first === undefined) return
    const left = end - start
    let hands = this.#parts.map((part, p) => {
      const from = p < first.part ? first.round + 1 : first.round
      return new Hand(walk(part, from, from + left, maxItems, signal))
    })
    const opened = hands
    hands = [...hands.slice(first.part), ...hands.slice(0, first.part)]
    try {
      yield* deal(hands, left, maxItems)
    } finally {
      await Promise.all(opened.map((hand) => hand.close()))
    }
  }

  ready(index: number): boolean {
    const turn = this.#known(index)
    return turn !== undefined && ready(this.#parts[turn.part] as Sequence<T>, turn.round)
  }

  async reach(index: number, options?: ReadOptions): Promise<boolean> {
    return (await this.#sure(index, options)).locate(index) !== undefined
  }
}

/** The items of one part that have come and are not given out yet. */
class Hand<T> {
  readonly #batches: AsyncIterable<T[]>
  #iterator: AsyncIterator<T[]> | undefined
  #batch: readonly T[] = []
  #at = 0

  constructor(batches: AsyncIterable<T[]>) {
    this.#batches = batches
  }

  get empty(): boolean {
    return this.#at === this.#batch.length
  }

  /** False: there is no more. */
  async fill(): Promise<boolean> {
    this.#iterator ??= this.#batches[Symbol.asyncIterator]()
    const { done, value } = await this.#iterator.next()
    this.#batch = done === true ? [] : value
    this.#at = 0
    return done !== true
  }

  take(): T {
    return this.#batch[this.#at++] as T
  }

  async close(): Promise<void> {
    await this.#iterator?.return?.()
  }
}

/** `count` items, one of each hand in turn, in arrays of up to `maxItems`. */
async function* deal<T>(hands: Hand<T>[], count: number, maxItems: number): AsyncGenerator<T[], void, undefined> {
  let items: T[] = []
  let left = count
  for (let p = 0; left > 0 && hands.length > 0; ) {
    const hand = hands[p] as Hand<T>
    if (hand.empty) {
      // What is there must not wait for what may take long.
      if (items.length > 0) {
        yield items
        items = []
      }
      if (!(await hand.fill())) {
        hands.splice(p, 1)
        if (p === hands.length) p = 0
        continue
      }
    }
    items.push(hand.take())
    left--
    p = p + 1 === hands.length ? 0 : p + 1
    if (items.length === maxItems) {
      yield items
      items = []
    }
  }
  if (items.length > 0) yield items
}
