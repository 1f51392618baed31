import type { ByteSource, RangeOptions } from '../../types/byte-source.js'
import { Semaphore } from '../base/mutex.js'
import { checkRange } from './check.js'
import { cut, type Group, planReads, type Range, rangeOptions } from './plan.js'
import { SharedRead } from './shared-read.js'
import { SourceWrapper } from './wrapper.js'

/** A read that waits for the end of the turn. */
interface Waiting extends Range {
  readonly signal: AbortSignal | undefined
  readonly resolve: (bytes: Uint8Array | Promise<Uint8Array>) => void
  readonly reject: (error: unknown) => void
}

/** Calls `fn` when all that is ready has run. */
const atEndOfTurn: (fn: () => void) => void =
  typeof setImmediate === 'function' ? (fn) => void setImmediate(fn) : (fn) => void setTimeout(fn, 0)

/**
 * The same source, in which the reads of one turn of the event loop become few: those near each other are one read,
 * and at most `concurrency` are under way. What it gives are views of what was read together: copy what you keep for
 * long. A read of the source is aborted when all its callers have aborted. Throws `MILL_INVALID_ARGUMENT`.
 */
export function coalesced(source: ByteSource, options?: RangeOptions): ByteSource {
  return new CoalescedSource(source, rangeOptions(options))
}

class CoalescedSource extends SourceWrapper {
  readonly #gap: number
  readonly #span: number
  readonly #lanes: Semaphore
  #waiting: Waiting[] = []

  constructor(source: ByteSource, { gap, span, concurrency }: Required<RangeOptions>) {
    super(source)
    this.#gap = gap
    this.#span = span
    this.#lanes = new Semaphore(concurrency)
  }

  override async read(offset: number, length: number, options: { signal?: AbortSignal } = {}): Promise<Uint8Array> {
    const { signal } = options
    signal?.throwIfAborted()
    checkRange(offset, length)
    if (length === 0) return new Uint8Array(0)
    return new Promise<Uint8Array>((resolve, reject) => {
      this.#waiting.push({ offset, length, signal, resolve, reject })
      if (this.#waiting.length === 1) atEndOfTurn(() => this.#flush())
    })
  }

  override async close(): Promise<void> {
    await this._source.close?.()
  }

  #flush(): void {
    const waiting = this.#waiting.filter((one) => {
      if (one.signal?.aborted !== true) return true
      one.reject(one.signal.reason)
      return false
    })
    this.#waiting = []
    const { order, groups } = planReads(waiting, this.#gap, this.#span)
    for (const group of groups) this.#start(group, order, waiting)
  }

  #start({ start, end, from, to }: Group, order: Uint32Array, waiting: readonly Waiting[]): void {
    const shared = new SharedRead((signal) =>
      this.#lanes.run(() => this._source.read(start, end - start, { signal }), signal),
    )
    for (let i = from; i < to; i++) {
      const one = waiting[order[i] as number] as Waiting
      one.resolve(shared.join(one.signal).then((bytes) => cut(bytes, start, one)))
    }
  }
}
