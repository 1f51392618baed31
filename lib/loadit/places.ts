import type { ReadOptions, Sequence } from '../../types/load-it.js'

/** `values[i]` at `positions[i]` of an array of `length`; undefined everywhere else. */
export function scatter<T>(values: readonly T[], positions: readonly number[], length: number): (T | undefined)[] {
  const all = new Array<T | undefined>(length).fill(undefined)
  for (let i = 0; i < values.length; i++) all[positions[i] as number] = values[i]
  return all
}

/** The highest of some indices; -1 of none. */
export function highest(indices: readonly number[]): number {
  let high = -1
  for (const index of indices) if (index > high) high = index
  return high
}

interface Share {
  readonly indices: number[]
  readonly positions: number[]
}

/** Items of several sequences that were asked for in one go: each sequence is asked once. */
export class Places<T> {
  readonly #shares = new Map<Sequence<T>, Share>()
  readonly #length: number

  /** @param length how many were asked for */
  constructor(length: number) {
    this.#length = length
  }

  /** What was asked for at `position` is item `index` of this sequence. */
  add(position: number, of: Sequence<T>, index: number): void {
    let share = this.#shares.get(of)
    if (share === undefined) {
      share = { indices: [], positions: [] }
      this.#shares.set(of, share)
    }
    share.indices.push(index)
    share.positions.push(position)
  }

  /** All that was added, where it was asked for; undefined in all other places. */
  async read(options?: ReadOptions): Promise<(T | undefined)[]> {
    let all: (T | undefined)[] | undefined
    for (const [of, { indices, positions }] of this.#shares) {
      const values = await of.getMany(indices, options)
      if (all === undefined) all = scatter(values, positions, this.#length)
      else for (let i = 0; i < values.length; i++) all[positions[i] as number] = values[i]
    }
    return all ?? new Array<T | undefined>(this.#length).fill(undefined)
  }
}
