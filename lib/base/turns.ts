/** Steps that wait for each other, in the order of the calls, whatever becomes of the ones before. */
export class Turns {
  #last: Promise<unknown> | undefined

  /** Nothing is under way: a step that needs no waiting can be done at once, without this. */
  get idle(): boolean {
    return this.#last === undefined
  }

  /** Runs `step` at once if nothing is under way, else when all before it have settled. */
  take<R>(step: () => Promise<R>): Promise<R> {
    const turn = this.#last === undefined ? step() : this.#last.then(step)
    const settled: Promise<void> = turn.then(
      () => this.#settled(settled),
      () => this.#settled(settled),
    )
    this.#last = settled
    return turn
  }

  #settled(turn: Promise<unknown>): void {
    if (this.#last === turn) this.#last = undefined
  }
}
