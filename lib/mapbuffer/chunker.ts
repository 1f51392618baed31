import { allocate } from '../base/bytes.js'
import { Pacer } from './pace.js'

/** Bytes of a chunk that is given out. */
export const CHUNK_BYTES = 2 ** 18

/** What a chunker needs of the stream it fills. */
export interface Outlet {
  _offer(chunk: Uint8Array, weight: number): boolean
  /** Undefined if there is room for more, else a promise of it. */
  _space(): Promise<void> | undefined
}

/** Cuts output into fresh chunks of 256 KiB, the last one shorter, which belong to whoever reads them. */
export class Chunker {
  /** Bytes that have been handed out. */
  bytes = 0
  readonly #to: Outlet
  readonly #pacer = new Pacer()
  /** Bytes that are still to come, so that no chunk is larger than it need be. */
  #left: number
  #chunk: Uint8Array
  #filled = 0

  /** `length`: bytes there will be in all. */
  constructor(to: Outlet, length: number) {
    this.#to = to
    this.#left = length
    this.#chunk = this.#fresh()
  }

  /** True when the chunk is full: `turn()` before the next byte. */
  get full(): boolean {
    return this.#filled === this.#chunk.length
  }

  /** What is free of this chunk, to be written to; then {@link Chunker.filled}. */
  free(): Uint8Array {
    return this.#chunk.subarray(this.#filled)
  }

  /** So many bytes of {@link Chunker.free} have been written. */
  filled(count: number): void {
    this.#filled += count
  }

  /** Copies what fits into this chunk of `from[start]` to `from[end - 1]`; gives back how many bytes that are. */
  put(from: Uint8Array, start: number, end: number): number {
    const room = this.#chunk.length - this.#filled
    const count = end - start < room ? end - start : room
    if (count > 0) this.#chunk.set(from.subarray(start, start + count), this.#filled)
    this.filled(count)
    return count
  }

  /**
   * Hands out the chunk and begins the next one; a promise if that has to wait, for the reader or for whoever else has a
   * turn in the event loop.
   */
  turn(): Promise<void> | undefined {
    const { length } = this.#chunk
    this.#to._offer(this.#chunk, length)
    this.bytes += length
    this.#left -= length
    this.#chunk = this.#fresh()
    this.#filled = 0
    return this.#to._space() ?? (this.#pacer.due(length) ? this.#pacer.pause() : undefined)
  }

  /** All has come: hands out the last chunk. */
  end(): void {
    if (this.#filled === 0) return
    this.bytes += this.#filled
    this.#to._offer(this.#chunk, this.#filled)
  }

  #fresh(): Uint8Array {
    return allocate(Math.min(CHUNK_BYTES, this.#left))
  }
}
