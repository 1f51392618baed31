import { type FaceOptions, NOBODY, ReadableFace } from '../streams/face.js'
import { asError, closed } from '../streams/machine.js'
import type { Tap } from '../streams/tap.js'
import type { Controller } from './controller.js'

/** How a run ended badly; `asked`: somebody aborted it. */
export interface RunFailure {
  readonly error: unknown
  readonly asked: boolean
}

/**
 * What the streams of a run have in common: the end of the run is told when somebody asks for more, so a stream that
 * nobody reads never fails, and one that is read late still gives what there was. Destroying one aborts the run.
 */
export abstract class RunFace extends ReadableFace {
  readonly control: Controller
  /** Somebody listens: he gets the error, if there is one. */
  held = false
  #over: { readonly failure: RunFailure | undefined } | undefined
  /** A consumer waits for an item. */
  #wanted = false
  #hasErrorListener = false

  constructor(control: Controller, options?: FaceOptions) {
    super(options)
    this.control = control
    this.on('newListener', (event: unknown) => {
      if (event !== 'error') return
      this.held = true
      this.#hasErrorListener = true
    })
  }

  /** Offers what there is. False: nothing was there. */
  abstract produce(): boolean

  /** All that was to be told has been: the end follows, or the error. */
  conclude(_failed: boolean): void {}

  override _pull(): void {
    this.#wanted = false
    if (this.produce()) return
    if (this.#over === undefined) {
      this.#wanted = true
      return
    }
    const { failure } = this.#over
    this.conclude(failure !== undefined)
    if (failure !== undefined) this._fail(failure.error)
    else this._finish()
  }

  override _offer(item: unknown, weight?: number): boolean {
    this.#wanted = false
    return super._offer(item, weight)
  }

  /** The run is over. */
  settle(failure: RunFailure | undefined): void {
    this.#over = { failure }
    if (this.#wanted) this._pull()
    else if (failure !== undefined && this._mode === NOBODY && this.#hasErrorListener) {
      this.destroy(asError(failure.error)) // whoever listens for errors alone is told at once
    }
  }

  get settled(): boolean {
    return this.#over !== undefined
  }

  override _claim(): Tap<unknown> {
    this.held = true
    return super._claim()
  }

  override _useEvents(): void {
    this.held = true
    super._useEvents()
  }

  override _stop(error: Error | undefined): PromiseLike<unknown> | undefined {
    const { control } = this
    if (control.ended) return undefined
    control.abort(error === undefined ? undefined : { reason: error })
    return control.over
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    if (!this.destroying) this.destroy()
    await closed(this)
    await this.control.over
  }
}
