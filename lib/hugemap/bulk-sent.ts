import { sendFrame } from '../store/side-io.js'
import { CREDIT } from './bulk-frames.js'

const NOTHING = new Uint8Array(0)

/** Blocks that the owner sends, until a thread asks for them. */
export class SentBlocks {
  readonly #blocks: Uint8Array[] = []
  #waiting: ((block: Uint8Array | undefined) => void) | undefined
  #ended = false

  push(block: Uint8Array): void {
    if (this.#waiting === undefined) this.#blocks.push(block)
    else this.#answer(block)
  }

  end(): void {
    this.#ended = true
    if (this.#waiting !== undefined) this.#answer(undefined)
  }

  async next(): Promise<Uint8Array | undefined> {
    const block = this.#blocks.shift()
    if (block === undefined && !this.#ended) {
      return new Promise((resolve) => {
        this.#waiting = resolve
      })
    }
    if (block !== undefined) sendFrame(CREDIT, block.length, NOTHING)
    return block
  }

  #answer(block: Uint8Array | undefined): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    if (block !== undefined) sendFrame(CREDIT, block.length, NOTHING)
    waiting?.(block)
  }
}
