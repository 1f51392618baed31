import { BufferError } from '../base/errors.js'
import type { Reads } from '../buffer/index.js'
import type { Operation } from '../buffer/parser.js'

/**
 * The operations of a parser, to be awaited: `const length = await buffer.reader.integer()`. A value that can be had
 * at once is returned as it is, a promise only where one must wait. One operation at a time (`MILL_READ_PENDING`);
 * all errors are rejections, none is thrown. What failed has consumed nothing.
 */
export type AsyncReader = {
  readonly [K in keyof Reads]: (...args: Parameters<Reads[K]>) => ReturnType<Reads[K]> | Promise<ReturnType<Reads[K]>>
}

/** The stream behind a reader. */
export interface ReaderHost {
  /** @internal Throws when the bytes belong to someone else or are gone. */
  _beforeRead(): void
  /** @internal Bytes have been taken. */
  _afterRead(byReader: boolean): void
}

const VERBS = [
  'more',
  'take',
  'peek',
  'skip',
  'until',
  'line',
  'integer',
  'expect',
  'uint8',
  'uint16BE',
  'uint16LE',
  'uint32BE',
  'uint32LE',
  'bigUint64BE',
  'bigUint64LE',
  'varint',
  'rest',
] as const satisfies (keyof Reads)[]

type Ask = (a?: unknown, b?: unknown) => unknown

/** What is behind an {@link AsyncReader}. The verbs are added below: each hands its arguments to the operation and waits only if it must. */
export class Reader {
  readonly #operation: Operation<never>
  readonly #host: ReaderHost
  #resolve: ((answer: unknown) => void) | undefined
  #reject: ((error: unknown) => void) | undefined

  static {
    for (const verb of VERBS) {
      const value = function (this: Reader, a?: unknown, b?: unknown): unknown {
        return this.#ask(verb, a, b)
      }
      Object.defineProperty(Reader.prototype, verb, { value, writable: true, configurable: true })
    }
  }

  constructor(operation: Operation<never>, host: ReaderHost) {
    this.#operation = operation
    this.#host = host
  }

  /** True while an operation waits for bytes. */
  get pending(): boolean {
    return this.#reject !== undefined
  }

  /** More bytes, or the end, have come: answers the operation that waits, if it can be answered now. */
  retry(): void {
    if (this.#reject === undefined) return
    try {
      if (!this.#operation.attempt()) return
    } catch (error) {
      this.fail(error)
      return
    }
    const resolve = this.#resolve
    this.#resolve = this.#reject = undefined
    resolve?.(this.#operation.answer)
  }

  /** Rejects the operation that waits. */
  fail(error: unknown): void {
    const reject = this.#reject
    this.#resolve = this.#reject = undefined
    this.#operation.cancel()
    reject?.(error)
  }

  #ask(verb: (typeof VERBS)[number], a: unknown, b: unknown): unknown {
    const operation = this.#operation
    try {
      if (this.#reject !== undefined) {
        throw new BufferError('MILL_READ_PENDING', 'Another operation of this reader is still waiting')
      }
      this.#host._beforeRead()
      const ask = operation[verb] as Ask
      ask.call(operation, a, b)
      if (operation.attempt()) {
        const { answer } = operation
        this.#host._afterRead(true)
        return answer
      }
    } catch (error) {
      return Promise.reject(error)
    }
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#host._afterRead(true) // a source that waits for room may be needed to go on
    })
  }
}
