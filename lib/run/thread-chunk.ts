import type { Chunk } from '../../types/run.js'
import { ABORT, STOP } from './board.js'
import type { RunMessage } from './messages.js'

/** What a chunk function gets in a thread. */
export class ThreadChunk implements Chunk<unknown> {
  readonly index: number
  readonly at: number // its place on the board
  readonly start: number
  readonly end: number
  readonly attempt: number
  readonly worker: number
  readonly state: unknown
  readonly #run: RunMessage
  #controller: AbortController | undefined
  #timer: NodeJS.Timeout | undefined
  #over = false
  moved: ArrayBuffer[] | undefined
  timedOut = false

  constructor(run: RunMessage, at: number, attempt: number, state: unknown) {
    this.index = run.firstChunk + at
    this.at = at
    this.start = run.start + at * run.chunkSize
    this.end = run.end - this.start <= run.chunkSize ? run.end : this.start + run.chunkSize
    this.attempt = run.earlier + attempt
    this.worker = run.slot
    this.state = state
    this.#run = run
  }

  get aborted(): boolean {
    return Atomics.load(this.#run.control, STOP) === ABORT
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      const { timeoutMs } = this.#run
      if (this.aborted) this.#controller.abort()
      else if (timeoutMs !== undefined && !this.#over) {
        this.#timer = setTimeout(() => {
          this.timedOut = true
          this.#controller?.abort(new DOMException(`The chunk took longer than ${timeoutMs} ms`, 'TimeoutError'))
        }, timeoutMs)
      }
    }
    return this.#controller.signal
  }

  transfer<T>(value: T, list?: readonly ArrayBuffer[]): T {
    this.moved ??= []
    if (list !== undefined) this.moved.push(...list)
    else if (value instanceof ArrayBuffer) this.moved.push(value)
    else if (ArrayBuffer.isView(value) && value.buffer instanceof ArrayBuffer) this.moved.push(value.buffer)
    return value
  }

  abort(): void {
    this.#controller?.abort()
  }

  /** The function has returned. */
  close(): void {
    this.#over = true
    if (this.#timer !== undefined) clearTimeout(this.#timer)
  }
}
