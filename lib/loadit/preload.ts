import type { Dataset } from './dataset.js'
import type { Mill } from './mill.js'

/** Steps from one shard to the next, in a row, after which `at()` is taken for a reader in order. */
const IN_ORDER = 2

/** Has shards made before somebody asks for them. */
export class Preload<T> {
  readonly #data: Dataset<T>
  readonly #mill: Mill<T>
  /** Shards ahead of a sequential reader. */
  readonly shards: number
  readonly #ask: ((index: number) => Iterable<number>) | undefined
  /** The shard of the last `at()`. */
  last = -1
  #steps = 0

  constructor(data: Dataset<T>, mill: Mill<T>) {
    this.#data = data
    this.#mill = mill
    const { preload } = data.settings
    this.shards = typeof preload === 'number' ? preload : 0
    this.#ask = typeof preload === 'function' ? preload : undefined
  }

  /** An `at()` goes to another shard than the one before. */
  changed(k: number, index: number): void {
    this.#steps = k === this.last + 1 && this.last >= 0 ? this.#steps + 1 : 0
    this.last = k
    if (this.#steps >= IN_ORDER) {
      for (let next = k + 1; next <= k + this.shards; next++) this.#have(next)
    }
    this.ask(index)
  }

  /** A reader has come to another shard: what does the user want to have ready? What that function throws is a warning. */
  ask(index: number): void {
    if (this.#ask === undefined || this.#data.shardLength === 0) return
    try {
      for (const wanted of this.#ask(index)) {
        if (Number.isSafeInteger(wanted) && wanted >= 0) this.#have(Math.floor(wanted / this.#data.shardLength))
      }
    } catch (error) {
      this.#data.warn(this.#data.asWarning(error))
    }
  }

  /** Begins to make a shard, with nobody waiting. That it fails shows when somebody reads it. */
  #have(k: number): void {
    const data = this.#data
    if (!data.canMake || data.isReady(k) || data.isOutside(data.startOf(k))) return
    const job = this.#mill.want(k)
    job.kept = true
    this.#mill.letGo(job)
  }
}
