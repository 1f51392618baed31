import type { ByteSource } from '../../types/byte-source.js'
import { concatBytes } from '../base/bytes.js'
import { Lru } from '../base/lru.js'
import { checkCount, checkRange } from './check.js'
import { SharedRead } from './shared-read.js'
import { SourceWrapper } from './wrapper.js'

const BLOCK_SIZE = 65536
const MAX_BYTES = 33554432

/** Blocks that are being read together. */
interface Flight {
  readonly first: number
  readonly blocks: SharedRead<Uint8Array[]>
}

/**
 * The same source with a cache: it is read in aligned blocks of `blockSize` bytes (64 KiB), adjacent ones together, and
 * the most recently used are kept, up to `maxBytes` (32 MiB). A block is read once, however many ask for it at a time;
 * failures are not kept. A read longer than `maxBytes` goes past the cache. What it gives may be views of the cache.
 * Throws `MILL_INVALID_ARGUMENT`.
 */
export function cached(source: ByteSource, options: { blockSize?: number; maxBytes?: number } = {}): ByteSource {
  const blockSize = checkCount(options.blockSize, 'options.blockSize', BLOCK_SIZE, 1)
  return new CachedSource(source, blockSize, checkCount(options.maxBytes, 'options.maxBytes', MAX_BYTES))
}

class CachedSource extends SourceWrapper {
  readonly #blockSize: number
  readonly #maxBytes: number
  readonly #blocks: Lru<number, Uint8Array>
  readonly #flights = new Map<number, Flight>()

  constructor(source: ByteSource, blockSize: number, maxBytes: number) {
    super(source)
    this.#blockSize = blockSize
    this.#maxBytes = maxBytes
    this.#blocks = new Lru({ maxWeight: maxBytes, weigh: (block) => block.length })
  }

  override async close(): Promise<void> {
    this.#blocks.clear()
    await this._source.close?.()
  }

  override async read(offset: number, length: number, options: { signal?: AbortSignal } = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    checkRange(offset, length)
    if (length > this.#maxBytes) return this._source.read(offset, length, options)
    const end = Math.min(offset + length, this._source.size ?? offset + length)
    if (end <= offset) return new Uint8Array(0)
    const first = Math.floor(offset / this.#blockSize)
    const last = Math.floor((end - 1) / this.#blockSize)
    const blocks = await this.#take(first, last, options.signal)
    return this.#cut(blocks, offset - first * this.#blockSize, end - offset)
  }

  /** The blocks from `first` to `last`; fewer where the source ends. */
  async #take(first: number, last: number, signal: AbortSignal | undefined): Promise<Uint8Array[]> {
    const found: (Uint8Array | undefined)[] = []
    const flights = new Set<Flight>()
    for (let block = first; block <= last; block++) {
      const kept = this.#blocks.get(block)
      found.push(kept)
      if (kept === undefined) flights.add(this.#flightOf(block, last))
    }
    if (flights.size > 0) {
      const landings = Array.from(flights, async (flight) => {
        const blocks = await flight.blocks.join(signal)
        for (let i = 0; i < blocks.length; i++) {
          const at = flight.first + i - first
          if (at >= 0 && at < found.length) found[at] ??= blocks[i]
        }
      })
      await Promise.all(landings)
    }
    const end = found.indexOf(undefined)
    return (end < 0 ? found : found.slice(0, end)) as Uint8Array[]
  }

  /** The read that brings this block: one under way, or a new one of it and the missing ones behind it. */
  #flightOf(first: number, last: number): Flight {
    const known = this.#flights.get(first)
    if (known !== undefined && !known.blocks.signal.aborted) return known
    let end = first + 1
    while (end <= last && this.#blocks.peek(end) === undefined && !this.#flights.has(end)) end++
    const flight: Flight = { first, blocks: new SharedRead((signal) => this.#read(first, end, signal)) }
    for (let block = first; block < end; block++) this.#flights.set(block, flight)
    return flight
  }

  async #read(first: number, end: number, signal: AbortSignal): Promise<Uint8Array[]> {
    const size = this.#blockSize
    try {
      const bytes = await this._source.read(first * size, (end - first) * size, { signal })
      const blocks: Uint8Array[] = []
      for (let at = 0; at < bytes.length; at += size) {
        // Copies, so that a block that is dropped gives its memory back.
        const block = end - first === 1 ? bytes : bytes.slice(at, at + size)
        blocks.push(block)
        if (!signal.aborted) this.#blocks.set(first + at / size, block)
      }
      return blocks
    } finally {
      for (let block = first; block < end; block++) {
        // Where everybody has gone, a newer flight may have taken the place of this one.
        if (this.#flights.get(block)?.blocks.signal === signal) this.#flights.delete(block)
      }
    }
  }

  #cut(blocks: readonly Uint8Array[], offset: number, length: number): Uint8Array {
    const [only] = blocks
    if (only === undefined) return new Uint8Array(0)
    if (blocks.length === 1) return only.subarray(offset, offset + length)
    const parts: Uint8Array[] = []
    let from = offset
    let left = length
    for (const block of blocks) {
      const part = block.subarray(from, from + left)
      parts.push(part)
      left -= part.length
      from = 0
      // Behind a short block there is nothing, whatever the source may have got since.
      if (block.length < this.#blockSize) break
    }
    return concatBytes(parts)
  }
}
