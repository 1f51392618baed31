/** Items that wait for a consumer, each with its weight in bytes. Items leave one by one or all in one array. */
export class Outbox<T> {
  /** Sum of the weights of what waits. */
  weight = 0
  #items: T[] = []
  #weights: number[] = []
  #head = 0

  get size(): number {
    return this.#items.length - this.#head
  }

  add(item: T, weight: number): void {
    this.#items.push(item)
    this.#weights.push(weight)
    this.weight += weight
  }

  /** Puts an item before all others. */
  putBack(item: T, weight: number): void {
    if (this.#head > 0) {
      this.#head--
      this.#items[this.#head] = item
      this.#weights[this.#head] = weight
    } else {
      this.#items.unshift(item)
      this.#weights.unshift(weight)
    }
    this.weight += weight
  }

  shift(): T | undefined {
    const head = this.#head
    if (head === this.#items.length) return undefined
    const item = this.#items[head] as T
    this.weight -= this.#weights[head] as number
    if (head + 1 === this.#items.length) {
      this.#reset()
    } else {
      // A taken item must not be kept alive by the array it waited in.
      this.#items[head] = undefined as T
      this.#head = head + 1
      if (head > 1023 && head * 2 > this.#items.length) this.#compact()
    }
    return item
  }

  /** All that waits, or the first `max`, as an array of the caller's own; undefined when nothing waits. */
  batch(max: number): T[] | undefined {
    const size = this.size
    if (size === 0) return undefined
    if (size <= max) {
      const items = this.#head === 0 ? this.#items : this.#items.slice(this.#head)
      this.#items = []
      this.#weights = []
      this.#head = 0
      this.weight = 0
      return items
    }
    const items = this.#items.slice(this.#head, this.#head + max)
    for (let i = this.#head; i < this.#head + max; i++) {
      this.#items[i] = undefined as T
      this.weight -= this.#weights[i] as number
    }
    this.#head += max
    this.#compact()
    return items
  }

  clear(): void {
    this.#items = []
    this.#weights = []
    this.#head = 0
    this.weight = 0
  }

  #reset(): void {
    this.#items.length = 0
    this.#weights.length = 0
    this.#head = 0
  }

  #compact(): void {
    this.#items.splice(0, this.#head)
    this.#weights.splice(0, this.#head)
    this.#head = 0
  }
}
