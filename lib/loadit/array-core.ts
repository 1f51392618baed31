import type { ReadOptions } from '../../types/load-it.js'
import type { Core } from './core.js'

/** An array as it stands; its items are the very ones it holds. */
export class ArrayCore<T> implements Core<T> {
  readonly #items: readonly T[]

  constructor(items: readonly T[]) {
    this.#items = items
  }

  get description(): string {
    return `array(${this.#items.length})`
  }

  get knownLength(): number {
    return this.#items.length
  }

  async length(): Promise<number> {
    return this.#items.length
  }

  at(index: number): Promise<T | undefined> {
    return Promise.resolve(this.#items[index])
  }

  peek(index: number): T | undefined {
    return this.#items[index]
  }

  async getMany(indices: readonly number[]): Promise<(T | undefined)[]> {
    return indices.map((index) => this.#items[index])
  }

  async *batches(
    start: number,
    end: number,
    maxItems: number,
    signal: AbortSignal,
  ): AsyncGenerator<T[], void, undefined> {
    for (let i = start; i < end && i < this.#items.length; i += maxItems) {
      signal.throwIfAborted()
      yield this.#items.slice(i, Math.min(i + maxItems, end))
    }
  }

  ready(): boolean {
    return true
  }

  async reach(index: number, _options?: ReadOptions): Promise<boolean> {
    return index < this.#items.length
  }
}
