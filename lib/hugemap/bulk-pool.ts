import { Worker } from 'node:worker_threads'
import { StoreError } from '../base/errors.js'
import { unpackError } from '../store/failure.js'
import type { FromParser, ParsePlan, Piece, ToParser } from './bulk-messages.js'
import type { Run } from './run-gather.js'

/** What comes of parsing. */
export interface ParserEvents {
  /** Runs of a piece come in its order. */
  run(piece: number, run: Run): void
  read(bytes: number, records: number): void
  skipped(count: number): void
  /** The next block of what has no file; undefined: there is no more. */
  block(): Promise<Uint8Array | undefined>
}

/**
 * Parses pieces in threads, each piece in one of them. Rejects with the error of the first piece, in the order of the
 * input, that has one: which it is does not depend on which thread was faster. The threads have ended when it settles.
 */
export async function parsePieces(
  plan: ParsePlan,
  pieces: readonly Piece[],
  threads: number,
  events: ParserEvents,
): Promise<void> {
  let next = 0
  const failures: { readonly index: number; readonly error: unknown }[] = []
  const work = async (): Promise<void> => {
    const thread = new ParserThread(plan, events)
    try {
      // Those before a piece that has failed are under way already; those behind it don't matter any more.
      for (let piece = pieces[next++]; piece !== undefined && failures.length === 0; piece = pieces[next++]) {
        try {
          await thread.parse(piece)
        } catch (error) {
          failures.push({ index: piece.index, error })
        }
      }
    } finally {
      await thread.end()
    }
  }
  await Promise.all(Array.from({ length: Math.min(threads, pieces.length) }, work))
  const [first] = failures.sort((a, b) => a.index - b.index)
  if (first !== undefined) throw first.error
}

class ParserThread {
  readonly #worker: Worker
  readonly #events: ParserEvents
  #piece = -1
  #resolve: () => void = () => {}
  #reject: (error: unknown) => void = () => {}
  #lost: unknown

  constructor(plan: ParsePlan, events: ParserEvents) {
    this.#events = events
    this.#worker = new Worker(new URL('./bulk-parse.js', import.meta.url), { name: 'millrace load', workerData: plan })
    this.#worker.on('message', (message: FromParser) => {
      try {
        this.#message(message)
      } catch (error) {
        this.#reject(error)
      }
    })
    this.#worker.on('error', (error) => this.#lose(error))
    this.#worker.on('exit', (code) => this.#lose(new Error(`a thread ended with exit code ${code}`)))
  }

  parse(piece: Piece): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== undefined) return reject(this.#lost)
      this.#resolve = resolve
      this.#reject = reject
      this.#piece = piece.index
      this.#post({ type: 'piece', piece })
    })
  }

  async end(): Promise<void> {
    this.#lost ??= new Error('ended')
    await this.#worker.terminate()
  }

  #message(message: FromParser): void {
    switch (message.type) {
      case 'run':
        this.#events.run(this.#piece, message)
        this.#post({ type: 'taken' })
        break
      case 'read':
        this.#events.read(message.bytes, message.records)
        break
      case 'more':
        this.#events
          .block()
          .then((bytes) => this.#hand(bytes))
          .catch(this.#reject)
        break
      case 'done':
        this.#events.skipped(message.skipped)
        this.#resolve()
        break
      case 'failed':
        this.#reject(unpackError(message.error))
    }
  }

  /** Of memory, most of all. */
  #lose(cause: unknown): void {
    this.#lost ??= new StoreError('MILL_STORE_IO', `A thread of the load was lost: ${(cause as Error).message}`, {
      cause,
    })
    this.#reject(this.#lost)
  }

  /** A copy, given away: a view would be sent with all the memory it is part of. */
  #hand(bytes: Uint8Array | undefined): void {
    const own = bytes && new Uint8Array(bytes)
    this.#post({ type: 'block', bytes: own }, own === undefined ? [] : [own.buffer])
  }

  #post(message: ToParser, transfer: ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer)
  }
}
