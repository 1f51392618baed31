import type { Sink, Source, StreamOptions, WritableOf } from '../../types/source.js'
import { checkSignal, onAbort } from '../base/abort.js'
import type { AnyBytes } from '../buffer/index.js'
import type { Drain } from './drain.js'
import type { FaceOptions, ReadableFace } from './face.js'
import { drainOf, flow } from './flow.js'
import { asError, type Callback, prematureClose } from './machine.js'
import { checkMark } from './read-core.js'
import { sinkKind, weigh } from './shape.js'
import { readable } from './source.js'
import { WriteFace } from './write-face.js'

/**
 * Anything that can be written to as one of our streams; a stream of ours comes back as it is. A write is done when
 * the sink wants more: a function's promise has resolved, a Node stream has drained, a Web stream is ready. Raw
 * pieces for a byte stream of Node's are joined where that is cheaper. Throws `MILL_NOT_A_STREAM`.
 */
export function writable<T>(to: Sink<T>, options: StreamOptions = {}): WritableOf<T> {
  const signal = checkSignal(options.signal)
  const kind = sinkKind(to)
  if (kind === 'ours') {
    const ours = to as WritableOf<T>
    if (signal !== undefined)
      ours.once(
        'close',
        onAbort(signal, (reason) => ours.destroy(asError(reason))),
      )
    return ours
  }
  const mark = checkMark(options.highWaterMark)
  return new SinkStream(drainOf(to), { signal, highWaterMark: mark }) as unknown as WritableOf<T>
}

/**
 * All of it, then the sink is ended and has finished. Whichever side fails, the other is destroyed with that error and
 * the promise rejects with it; after an abort both are destroyed with `signal.reason`. `Bytes` and strings become raw
 * pieces for byte streams of Node's, small ones joined into one write.
 */
export async function pump<T>(
  from: Source<T> | AnyBytes,
  to: Sink<T>,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  const signal = checkSignal(options.signal)
  sinkKind(to)
  const source = readable(from as Source<T>) as unknown as InstanceType<typeof ReadableFace>
  const tap = source._claim()
  let drain: Drain
  try {
    drain = drainOf(to)
  } catch (error) {
    source.destroy(asError(error))
    throw error
  }
  let aborted = false
  const forget = onAbort(signal, (reason) => {
    aborted = true
    const error = asError(reason)
    source.destroy(error)
    drain.abort(error)
  })
  try {
    await flow(tap, drain)
  } catch (error) {
    throw aborted ? signal?.reason : error
  } finally {
    forget()
  }
}

/** The stream in front of a sink of another kind. */
class SinkStream extends WriteFace {
  readonly #drain: Drain

  constructor(drain: Drain, options: FaceOptions) {
    super(options.highWaterMark, weigh)
    this.#drain = drain
    drain.onfail = (error) => this.destroy(error)
    this._bind(options.signal)
  }

  override _writev(items: unknown[], done: Callback): void {
    try {
      const room = this.#drain.write(items)
      if (room === undefined) done(null)
      else room.then(() => done(null), done)
    } catch (error) {
      done(asError(error))
    }
  }

  override _final(done: Callback): void {
    this.#drain.end().then(() => done(null), done)
  }

  override _predestroy(): void {
    this.#drain.onfail = undefined
    this.#drain.abort(this._failure?.error ?? prematureClose())
  }
}
