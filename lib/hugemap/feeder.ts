import type { Committer } from './committer.js'
import type { MapWriter } from './map-writer.js'
import type { Request } from './request.js'

/** What takes pairs, one by one, and writes them in pieces. */
export interface PairFeeder<K, V> {
  /** Pairs that were taken. */
  readonly count: number
  /** Throws what is wrong with the pair, or what became of an earlier one. */
  put(key: K, value: V): void
  /** Undefined if there is room for more, else a promise of it. */
  room(): Promise<void> | undefined
  /** Resolves when all of it is written; rejects with the first fault. */
  finish(): Promise<void>
}

/** Writes a stream of pairs: waits where the disk is behind, and knows when all of it is there. */
export class Feeder<K, V> implements PairFeeder<K, V> {
  count = 0
  readonly #writer: MapWriter<K, V>
  readonly #committer: Committer
  #last: Request | undefined
  #fault: { readonly cause: unknown } | undefined
  readonly #under = new Set<Request>()
  #drained: (() => void) | undefined

  constructor(writer: MapWriter<K, V>) {
    this.#writer = writer
    this.#committer = writer.committer
  }

  put(key: K, value: V): void {
    if (this.#fault !== undefined) throw this.#fault.cause
    this.#writer.check()
    const request = this.#writer.put(key, value)
    this.count++
    if (request === this.#last) return
    this.#last = request
    this.#under.add(request)
    request.onSettled((fault) => {
      this.#under.delete(request)
      if (this.#last === request) this.#last = undefined
      this.#fault ??= fault
      if (this.#under.size === 0) this.#drained?.()
    })
  }

  room(): Promise<void> | undefined {
    return this.#committer.room()
  }

  /** Resolves when all of it is on the disk; rejects with the first fault. */
  async finish(): Promise<void> {
    if (this.#under.size > 0) {
      await new Promise<void>((resolve) => {
        this.#drained = resolve
      })
    }
    if (this.#fault !== undefined) throw this.#fault.cause
  }
}
