import type { ReadableOf } from '../../types/source.js'
import { abortable, checkSignal } from '../base/abort.js'
import { SourceError } from '../base/errors.js'
import { type Batch, batchStream } from './batch-stream.js'
import { onSharedAbort } from './shared-signal.js'

/** What is under way in a reader: closing the reader ends it. */
export class Works {
  readonly #live = new Set<AbortController>()
  #closed = false

  /** From now on this work ends when the reader is closed. Throws `MILL_SOURCE_CLOSED`. */
  enter(work: AbortController): void {
    if (this.#closed) throw closedError()
    this.#live.add(work)
  }

  leave(work: AbortController): void {
    this.#live.delete(work)
  }

  /** Ends all of it with `MILL_SOURCE_CLOSED`, and what is asked for later. */
  close(): void {
    this.#closed = true
    for (const work of this.#live) work.abort(closedError())
  }

  /** Runs a call of the reader. Rejects with the reason of the caller's signal, whatever the call is waiting for. */
  async run<T>(options: { signal?: AbortSignal } | undefined, call: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = checkSignal(options?.signal)
    const work = new AbortController()
    this.enter(work)
    const forget = onSharedAbort(signal, (reason) => work.abort(reason))
    try {
      return await abortable(call(work.signal), work.signal)
    } finally {
      forget()
      this.leave(work)
    }
  }

  /** A stream of the reader. It counts as under way from its first item on. */
  stream<T>(
    signal: AbortSignal | undefined,
    open: (signal: AbortSignal) => AsyncGenerator<Batch<T>, void, undefined>,
  ): ReadableOf<T> {
    return batchStream<T>((work) => this.#tracked(work, open), { signal })
  }

  async *#tracked<T>(
    work: AbortController,
    open: (signal: AbortSignal) => AsyncGenerator<Batch<T>, void, undefined>,
  ): AsyncGenerator<Batch<T>, void, undefined> {
    this.enter(work)
    try {
      for await (const batch of open(work.signal)) {
        yield batch
        // While the consumer was busy the reader may have been closed.
        work.signal.throwIfAborted()
      }
    } finally {
      this.leave(work)
    }
  }
}

function closedError(): SourceError {
  return new SourceError('MILL_SOURCE_CLOSED', 'This reader has been closed')
}
