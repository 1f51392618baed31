import type { Delimiter } from '../../types/bytes.js'
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
  _afterRead(): void
}

type Answer<K extends keyof Reads> = ReturnType<Reads[K]> | Promise<ReturnType<Reads[K]>>

export class Reader implements AsyncReader {
  readonly #operation: Operation<never>
  readonly #host: ReaderHost
  #resolve: ((answer: never) => void) | undefined
  #reject: ((error: unknown) => void) | undefined

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
    const resolve = this.#resolve as (answer: unknown) => void
    this.#resolve = this.#reject = undefined
    resolve(this.#operation.answer)
  }

  /** Rejects the operation that waits. */
  fail(error: unknown): void {
    const reject = this.#reject
    this.#resolve = this.#reject = undefined
    this.#operation.cancel()
    reject?.(error)
  }

  #begin(): Operation<never> {
    if (this.#reject !== undefined) {
      throw new BufferError('MILL_READ_PENDING', 'Another operation of this reader is still waiting')
    }
    this.#host._beforeRead()
    return this.#operation
  }

  // biome-ignore lint/suspicious/noExplicitAny: each verb below knows its own answer
  #answer(_asked: unknown): any {
    const operation = this.#operation
    if (operation.attempt()) {
      const { answer } = operation
      this.#host._afterRead()
      return answer
    }
    return new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
      this.#host._afterRead() // a source that waits for room may be needed to go on
    })
  }

  more(): Answer<'more'> {
    try {
      return this.#answer(this.#begin().more())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  take(count: number): Answer<'take'> {
    try {
      return this.#answer(this.#begin().take(count))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  peek(count: number): Answer<'peek'> {
    try {
      return this.#answer(this.#begin().peek(count))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  skip(count: number): Answer<'skip'> {
    try {
      return this.#answer(this.#begin().skip(count))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  until(delimiter: Delimiter, options?: { include?: boolean; max?: number }): Answer<'until'> {
    try {
      return this.#answer(this.#begin().until(delimiter, options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  line(options?: { keepEnd?: boolean; max?: number }): Answer<'line'> {
    try {
      return this.#answer(this.#begin().line(options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  integer(until?: Delimiter, radix?: 10 | 16): Answer<'integer'> {
    try {
      return this.#answer(this.#begin().integer(until, radix))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  expect(bytes: Delimiter): Answer<'expect'> {
    try {
      return this.#answer(this.#begin().expect(bytes))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  uint8(): Answer<'uint8'> {
    try {
      return this.#answer(this.#begin().uint8())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  uint16BE(): Answer<'uint16BE'> {
    try {
      return this.#answer(this.#begin().uint16BE())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  uint16LE(): Answer<'uint16LE'> {
    try {
      return this.#answer(this.#begin().uint16LE())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  uint32BE(): Answer<'uint32BE'> {
    try {
      return this.#answer(this.#begin().uint32BE())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  uint32LE(): Answer<'uint32LE'> {
    try {
      return this.#answer(this.#begin().uint32LE())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  bigUint64BE(): Answer<'bigUint64BE'> {
    try {
      return this.#answer(this.#begin().bigUint64BE())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  bigUint64LE(): Answer<'bigUint64LE'> {
    try {
      return this.#answer(this.#begin().bigUint64LE())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  varint(): Answer<'varint'> {
    try {
      return this.#answer(this.#begin().varint())
    } catch (error) {
      return Promise.reject(error)
    }
  }

  rest(): Answer<'rest'> {
    try {
      return this.#answer(this.#begin().rest())
    } catch (error) {
      return Promise.reject(error)
    }
  }
}
