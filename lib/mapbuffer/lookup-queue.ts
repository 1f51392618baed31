import { onAbort } from '../base/abort.js'
import { nextTurn } from './pace.js'
import type { Found } from './rows.js'

type Find = (low: Uint32Array, high: Uint32Array, signal: AbortSignal) => Promise<Found>

interface Ask {
  readonly from: number
  readonly to: number
  readonly resolve: (found: Found) => void
  readonly reject: (error: unknown) => void
  gone: boolean
}

/** The questions of one turn of the event loop. */
class Turn {
  readonly low: number[] = []
  readonly high: number[] = []
  readonly asks: Ask[] = []
  readonly work = new AbortController()
  live = 0
}

/** Collects the labels that are asked for in one turn of the event loop, and looks them up together. */
export class LookupQueue {
  readonly #find: Find
  #turn: Turn | undefined

  constructor(find: Find) {
    this.#find = find
  }

  /**
   * What looking up these labels comes to. An abort rejects this question alone; the lookup itself is aborted when all
   * questions of its turn have been.
   */
  look(low: ArrayLike<number>, high: ArrayLike<number>, signal: AbortSignal): Promise<Found> {
    if (signal.aborted) return Promise.reject(signal.reason)
    return new Promise<Found>((resolve, reject) => {
      const turn = this.#turn ?? this.#begin()
      const from = turn.low.length
      for (let i = 0; i < low.length; i++) {
        turn.low.push(low[i] as number)
        turn.high.push(high[i] as number)
      }
      const off = onAbort(signal, (reason) => {
        ask.gone = true
        turn.live--
        reject(reason)
        if (turn.live === 0) turn.work.abort(reason)
      })
      const ask: Ask = {
        from,
        to: turn.low.length,
        resolve: (found) => {
          off()
          resolve(found)
        },
        reject: (error) => {
          off()
          reject(error)
        },
        gone: false,
      }
      turn.live++
      turn.asks.push(ask)
    })
  }

  #begin(): Turn {
    const turn = new Turn()
    this.#turn = turn
    void nextTurn().then(() => {
      this.#turn = undefined
      return turn.live > 0 ? this.#serve(turn) : undefined
    })
    return turn
  }

  async #serve(turn: Turn): Promise<void> {
    try {
      const found = await this.#find(Uint32Array.from(turn.low), Uint32Array.from(turn.high), turn.work.signal)
      for (const ask of turn.asks) if (!ask.gone) ask.resolve(part(found, ask.from, ask.to))
    } catch (error) {
      for (const ask of turn.asks) if (!ask.gone) ask.reject(error)
    }
  }
}

function part(found: Found, from: number, to: number): Found {
  if (from === 0 && to === found.position.length) return found
  const faults = new Map<number, unknown>()
  if (found.faults.size > 0) {
    for (let i = from; i < to; i++) if (found.faults.has(i)) faults.set(i - from, found.faults.get(i))
  }
  return {
    position: found.position.subarray(from, to),
    offset: found.offset.subarray(from, to),
    length: found.length.subarray(from, to),
    before: found.before.subarray(from, to),
    faults,
  }
}
