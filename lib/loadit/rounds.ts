/** A place in an interleaved sequence: which part's turn it is, and the how-manieth item of that part. */
export interface Turn {
  readonly part: number
  readonly round: number
}

/** From this round on, so many parts are left; before it, so many items have been given out. */
interface Level {
  readonly round: number
  readonly parts: number
  readonly items: number
}

/** Who has his turn when sequences of these lengths (Infinity: endless, or not known to end) give an item each in turn. */
export class Rounds {
  readonly #lengths: readonly number[]
  readonly #levels: Level[] = []
  /** Items of all of them. */
  readonly total: number

  constructor(lengths: readonly number[]) {
    this.#lengths = lengths
    let round = 0
    let items = 0
    let parts = lengths.length
    for (const end of [...lengths].sort((a, b) => a - b)) {
      if (end > round) {
        this.#levels.push({ round, parts, items })
        items += (end - round) * parts
        round = end
      }
      parts--
    }
    this.total = items
  }

  /** Is this still the plan for these lengths? */
  fits(lengths: readonly number[]): boolean {
    return lengths.every((n, i) => n === this.#lengths[i])
  }

  /** Whose turn item `index` is; undefined behind the last one. */
  locate(index: number): Turn | undefined {
    if (index >= this.total) return undefined
    let l = this.#levels.length - 1
    while ((this.#levels[l] as Level).items > index) l--
    const level = this.#levels[l] as Level
    const past = index - level.items
    let left = past % level.parts
    let part = 0
    while ((this.#lengths[part] as number) <= level.round || left-- > 0) part++
    return { part, round: level.round + Math.floor(past / level.parts) }
  }
}
