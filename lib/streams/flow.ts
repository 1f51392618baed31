import { type Drain, FunctionDrain } from './drain.js'
import { EventDrain, type EventSink } from './drain-events.js'
import { WebDrain } from './drain-web.js'
import { asError } from './machine.js'
import { sinkKind } from './shape.js'
import type { Tap } from './tap.js'

/** Anything one can write to. Throws `MILL_NOT_A_STREAM`. */
export function drainOf(to: unknown, options?: { loud?: boolean }): Drain {
  switch (sinkKind(to)) {
    case 'web':
      return new WebDrain(to as WritableStream<unknown>)
    case 'function':
      return new FunctionDrain(to as (item: unknown) => unknown)
    default:
      return new EventDrain(to as EventSink, options?.loud === true)
  }
}

/**
 * Everything from the tap into the drain. Whichever side fails, the other is destroyed with that error, and the
 * promise rejects with it.
 */
export async function flow(tap: Tap<unknown>, drain: Drain, end = true): Promise<void> {
  tap.onfail = (error) => drain.abort(error)
  drain.onfail = (error) => tap.stream.destroy(error)
  try {
    await undefined // listeners that are added right after pipe() are in time
    for (;;) {
      const items = tap.batch()
      if (items === undefined) {
        if (!(await tap.arrival())) break
      } else {
        const room = drain.write(items)
        if (room !== undefined) await room
      }
    }
    if (end && !tap.released) await drain.end()
    else drain.forget()
  } catch (thrown) {
    const error = asError(thrown)
    drain.abort(error)
    tap.stream.destroy(error)
    throw thrown
  } finally {
    tap.onfail = undefined
  }
}
