import type { Chunk } from '../../types/run.js'
import { ABORT } from './board.js'
import type { Controller } from './controller.js'
import { chunkRef } from './plan.js'

/** What a function in this process gets. */
export class LocalChunk implements Chunk<undefined> {
  readonly index: number
  readonly start: number
  readonly end: number
  readonly attempt: number
  readonly worker: number
  readonly #control: Controller
  #controller: AbortController | undefined
  #reason: { readonly reason: unknown } | undefined

  constructor(control: Controller, index: number, attempt: number, worker: number) {
    const { start, end } = chunkRef(control.plan, index)
    this.index = index
    this.start = start
    this.end = end
    this.attempt = attempt
    this.worker = worker
    this.#control = control
  }

  get aborted(): boolean {
    return this.#control.board.stop === ABORT
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason.reason)
      else if (this.aborted) this.#controller.abort(this.#control.reason)
    }
    return this.#controller.signal
  }

  get state(): undefined {
    return undefined
  }

  transfer<T>(value: T): T {
    return value
  }

  abort(reason: unknown = this.#control.reason): void {
    this.#reason = { reason }
    this.#controller?.abort(reason)
  }
}
