import type { ChunkSink } from '../../types/run.js'
import { DONE } from './board.js'
import { type BlockData, type BlockResult, fromBase64, MAX_STALLED, type Packer } from './bullmq-kit.js'
import { textOf, unpackError } from './run-error.js'

/** Consecutive chunks in the queue, and what is known of them. */
export class Block {
  readonly #ids: string[]
  #data: BlockData
  readonly over: Promise<void>
  readonly count: number
  readonly #sink: ChunkSink
  readonly #packer: Packer
  readonly #lost: Map<number, number>
  #resolve: () => void = () => {}
  /** Attempt of its chunks when it was new. */
  readonly #first: number
  #begun = 0
  #seen = false
  #missed = false

  /** @param lost gets how often chunks that failed were begun by workers that were lost */
  constructor(id: string, data: BlockData, count: number, sink: ChunkSink, packer: Packer, lost: Map<number, number>) {
    this.#ids = [id]
    this.#data = data
    this.#first = data.attempt
    this.count = count
    this.#sink = sink
    this.#packer = packer
    this.#lost = lost
    this.over = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  /** What it is called in the queue. */
  get id(): string {
    return this.#ids.at(-1) as string
  }

  /** All that it was called: its result may still come under an earlier name. */
  get ids(): readonly string[] {
    return this.#ids
  }

  get data(): BlockData {
    return this.#data
  }

  /** It goes into the queue again, under another name. False: it was lost too often. */
  renew(id: string): boolean {
    if (this.#ids.length > MAX_STALLED) return false
    this.#ids.push(id)
    // Every worker that was given it counts.
    this.#data = { ...this.#data, attempt: this.#first + this.#begun }
    this.#seen = false
    this.#missed = false
    return true
  }

  /** No more of it will be heard. */
  end(): void {
    this.#resolve()
  }

  /** A worker was given it. */
  begun(): void {
    this.#begun++
  }

  /** It is in the queue, or being worked on. */
  seen(): void {
    this.#seen = true
    this.#missed = false
  }

  /** It was there and is not: true at the second time, as its result may just be on its way. */
  missed(): boolean {
    const twice = this.#missed
    this.#missed = this.#seen
    return twice
  }

  completed(returned: unknown): void {
    try {
      const { failed, values, left } = this.#packer.unpack(textIn(returned)) as BlockResult
      const errors = new Map(failed)
      const given = new Map(values)
      const open = new Set(left)
      for (let k = 0; k < this.count; k++) {
        const error = errors.get(k)
        if (error !== undefined) this.#fail(this.data.first + k, unpackError(error))
        else if (!open.has(k)) this.#sink.done(this.data.first + k, given.get(k))
      }
      this.end()
    } catch (cause) {
      this.failed(new Error(`The result of a block cannot be read: ${textOf(cause)}`, { cause }))
    }
  }

  failed(error: Error): void {
    for (let k = 0; k < this.count; k++) this.#fail(this.data.first + k, error)
    this.end()
  }

  #fail(index: number, error: unknown): void {
    if (this.#begun > 1) this.#lost.set(index, (this.#lost.get(index) ?? 0) + this.#begun - 1)
    this.#sink.failed(index, error)
  }

  /** A worker's board. With values a chunk is done when its value is there, at the end of the block. */
  progress(data: unknown): void {
    if (this.data.values || typeof data !== 'string') return
    const states = fromBase64(data)
    for (let k = 0; k < this.count; k++) if (states[k] === DONE) this.#sink.done(this.data.first + k)
  }
}

/** Versions of BullMQ differ in whether they have parsed what they hand over. */
function textIn(returned: unknown): string {
  if (typeof returned === 'string') return returned.startsWith('"') ? (JSON.parse(returned) as string) : returned
  throw new TypeError('it is no text')
}
