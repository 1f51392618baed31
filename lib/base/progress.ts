import type { Progress } from '../../types/progress.js'

/** Weight of the newest interval in the smoothed rate: about the last ten intervals count. */
const NEWEST = 0.2

/** Counts what is done and tells how fast it goes. Reads the clock only when it is asked. */
export class Meter {
  readonly #phase: string
  readonly #total: number | undefined
  readonly #everyMs: number
  readonly #start = performance.now()
  #done = 0
  #bytes: number | undefined
  #rate: number | undefined
  #sampledAt = this.#start
  #sampledDone = 0

  /** `everyMs`: how long an interval of the smoothed rate is; default 500. */
  constructor(phase: string, options: { total?: number; everyMs?: number } = {}) {
    this.#phase = phase
    this.#total = options.total
    this.#everyMs = options.everyMs ?? 500
  }

  /** So many more items, and bytes, are done. */
  add(items: number, bytes?: number): void {
    this.#done += items
    if (bytes !== undefined) this.#bytes = (this.#bytes ?? 0) + bytes
  }

  /** Where it stands now. */
  read(): Progress {
    const now = performance.now()
    const elapsedMs = now - this.#start
    const since = now - this.#sampledAt
    if (since >= this.#everyMs) {
      const rate = ((this.#done - this.#sampledDone) * 1000) / since
      this.#rate = this.#rate === undefined ? rate : this.#rate + NEWEST * (rate - this.#rate)
      this.#sampledAt = now
      this.#sampledDone = this.#done
    }
    const rate = this.#rate ?? (elapsedMs > 0 ? (this.#done * 1000) / elapsedMs : 0)
    const total = this.#total
    return {
      phase: this.#phase,
      done: this.#done,
      ...(total !== undefined && { total }),
      ...(this.#bytes !== undefined && { bytes: this.#bytes }),
      elapsedMs,
      rate,
      ...(total !== undefined &&
        this.#done > 0 &&
        rate > 0 && { etaMs: (Math.max(0, total - this.#done) * 1000) / rate }),
    }
  }
}
