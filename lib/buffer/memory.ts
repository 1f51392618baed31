import type { MemoryPool } from './pool.js'

/**
 * A piece of memory and who holds it. One reference each for being a queue's write memory, for every part in a queue
 * and for every `Bytes`. At zero it goes back to its pool, unless it is pinned. Counting costs 1.7 ns a view;
 * a FinalizationRegistry would cost 43 to 184.
 */
export class Memory {
  readonly u8: Uint8Array
  /** Where it came from and may go back to; null for memory that was handed in. */
  readonly pool: MemoryPool | null
  refs = 1
  /** A raw view escaped: nobody knows who looks, so it must never be written to again. */
  pinned = false
  #buffer: ArrayBufferLike | undefined

  constructor(u8: Uint8Array, pool: MemoryPool | null) {
    this.u8 = u8
    this.pool = pool
  }

  /** `u8.buffer`, kept: the getter is slow. */
  get buffer(): ArrayBufferLike {
    this.#buffer ??= this.u8.buffer
    return this.#buffer
  }

  /** A raw view of it; pins. */
  view(start: number, end: number): Uint8Array {
    this.pinned = true
    // What was handed in may be a Buffer, whose slice() and toString() are others: a plain array comes out.
    if (start === 0 && end === this.u8.length && this.u8.constructor === Uint8Array) return this.u8
    return new Uint8Array(this.buffer, this.u8.byteOffset + start, end - start)
  }

  /** One holder less. */
  drop(): void {
    if (--this.refs === 0 && this.pool !== null && !this.pinned) this.pool.recycle(this.u8)
  }
}

/** Bytes `start` to `end` of a memory, standing at `position` of their queue. */
export interface Part {
  readonly memory: Memory
  readonly u8: Uint8Array
  readonly start: number
  end: number
  readonly position: number
  /** `u8` up to `end`: what a search may look at, since a native `indexOf` knows no end. Made when it is needed. */
  seen: Uint8Array
}

/** A part that covers `start` to `end`; does not count as a reference by itself. */
export function partOf(memory: Memory, start: number, end: number, position: number): Part {
  const { u8 } = memory
  return { memory, u8, start, end, position, seen: u8 }
}

/** Stands where a part was used up: an array keeps what it holds alive, and nobody would count it. */
export const USED: Part = partOf(new Memory(new Uint8Array(0), null), 0, 0, 0)

/** Bytes of distinct memory that these parts keep alive, and `also`. */
export function retainedBy(parts: Iterable<Part>, also?: Memory | null): number {
  const buffers = new Set<ArrayBufferLike>()
  if (also) buffers.add(also.buffer)
  for (const part of parts) buffers.add(part.memory.buffer)
  let total = 0
  for (const buffer of buffers) total += buffer.byteLength
  return total
}
