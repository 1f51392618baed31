import { prematureClose } from './machine.js'

/** Somewhere items go: one face for Node, streamx and Web streams and for functions. */
export abstract class Drain {
  /** Called when the sink dies by itself; without an error when it merely closed. */
  onfail: ((error: Error | undefined) => void) | undefined
  protected gone: { readonly error: Error } | undefined
  /** The sink has been ended and has finished: nothing can go wrong any more. */
  protected over = false
  #reject: ((error: Error) => void) | undefined

  /** Writes all items, in order; a promise when the sink wants the next ones to wait. */
  abstract write(items: readonly unknown[]): undefined | Promise<void>
  /** No more items; resolves when the sink has finished. */
  abstract end(): Promise<void>
  /** Destroys the sink. */
  protected abstract destroy(error: Error): void
  /** Lets go of the sink and leaves it open. */
  forget(): void {}

  /** Ends the sink with an error; whoever waits for it gets the error at once. */
  abort(error: Error): void {
    if (this.gone !== undefined || this.over) return
    this.gone = { error }
    this.#reject?.(error)
    this.destroy(error)
  }

  /** The sink's own word that it is dead. */
  protected died(error: Error | undefined): void {
    if (this.gone !== undefined || this.over) return
    this.gone = { error: error ?? prematureClose() }
    this.#reject?.(this.gone.error)
    this.onfail?.(error)
  }

  /** The promise, or the error that ends the sink while it is pending. */
  protected wait(settle: (resolve: () => void, reject: (error: unknown) => void) => void): Promise<void> {
    if (this.gone !== undefined) return Promise.reject(this.gone.error)
    return new Promise<void>((resolve, reject) => {
      this.#reject = reject
      settle(resolve, reject)
    })
  }
}

/** A function that is awaited before the next item. */
export class FunctionDrain extends Drain {
  readonly #to: (item: unknown) => unknown

  constructor(to: (item: unknown) => unknown) {
    super()
    this.#to = to
  }

  override write(items: readonly unknown[]): undefined | Promise<void> {
    for (let i = 0; i < items.length; i++) {
      if (this.gone !== undefined) throw this.gone.error
      const result = this.#to(items[i]) as PromiseLike<unknown> | undefined
      if (typeof result?.then === 'function') {
        const turn = this.wait((resolve, reject) => {
          result.then(() => resolve(), reject)
        })
        return i + 1 < items.length ? turn.then(() => this.write(items.slice(i + 1))) : turn
      }
    }
    return undefined
  }

  override async end(): Promise<void> {
    this.over = true
  }
  protected override destroy(): void {}
}
