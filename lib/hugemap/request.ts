import { Arena } from '../store/operations.js'
import type { Overlay, Pending } from './overlay.js'

/** Who waits for the result of one operation. */
interface Answer {
  resolve(done: boolean): void
  reject(error: unknown): void
}

/** An arena on its way to the store, and everybody who waits for it. */
export class Request {
  readonly arena: Arena
  /** Bytes of it that are counted as pending. */
  counted = 0
  /** How many are writing bytes into it that are no operation yet: it can't be sent. */
  writers = 0
  /** There is something in it that changes the store whatever is there: it will be a transaction that counts. */
  changesSurely = false
  readonly #pending = new Map<Overlay, Pending[]>()
  /** In the order of the bytes of the result. */
  readonly #answers: Answer[] = []
  /** Overlays whose tables show something else once this is done. */
  readonly #changes: Overlay[] = []
  readonly #listeners: ((error: { readonly cause: unknown } | undefined) => void)[] = []
  #shared: Promise<boolean> | undefined
  #resolveShared: ((done: boolean) => void) | undefined
  #rejectShared: ((error: unknown) => void) | undefined

  constructor(capacity: number) {
    this.arena = new Arena(capacity)
  }

  /** The promise of all plain operations in it: a loop that ignores its promises makes one, not thousands. */
  shared(): Promise<boolean> {
    this.#shared ??= new Promise<boolean>((resolve, reject) => {
      this.#resolveShared = resolve
      this.#rejectShared = reject
    })
    return this.#shared
  }

  /** The promise of the operation that wants the next byte of the result. */
  answer(): Promise<boolean> {
    return new Promise<boolean>((resolve, reject) => {
      this.#answers.push({ resolve, reject })
    })
  }

  /** A plain operation that can be read already. */
  shows(overlay: Overlay, pending: Pending): void {
    const list = this.#pending.get(overlay)
    if (list === undefined) this.#pending.set(overlay, [pending])
    else list.push(pending)
  }

  /** An operation on this overlay's table that can be read once it is done. */
  changes(overlay: Overlay): void {
    if (this.#changes.at(-1) !== overlay) this.#changes.push(overlay)
  }

  /** Is told the end: nothing, or the error in an object. */
  onSettled(listener: (error: { readonly cause: unknown } | undefined) => void): void {
    this.#listeners.push(listener)
  }

  /** What was pending is in the table now, or is gone: to be called before a promise tells anybody. */
  uncover(failed: boolean): void {
    for (const [overlay, list] of this.#pending) {
      for (const pending of list) overlay.drop(pending)
      if (failed) overlay.version++
    }
    for (const overlay of this.#changes) overlay.version++
    this.#pending.clear()
  }

  resolve(results: Uint8Array): void {
    for (const listener of this.#listeners) listener(undefined)
    this.#resolveShared?.(true)
    for (let i = 0; i < this.#answers.length; i++) this.#answers[i]?.resolve(results[i] === 1)
  }

  /** `quiet`: whoever ignores the promises is not to be bothered. */
  reject(cause: unknown, quiet = false): void {
    for (const listener of this.#listeners) listener({ cause })
    if (quiet) this.#shared?.catch(() => {})
    this.#rejectShared?.(cause)
    for (const answer of this.#answers) answer.reject(cause)
  }
}
