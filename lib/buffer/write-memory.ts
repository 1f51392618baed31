import { allocate } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { Memory } from './memory.js'
import { MemoryPool } from './pool.js'

const MINIMUM = 16384
const MAXIMUM = 262144
/** The chunk size halves after more than this many writes in a row that left half of it empty. */
const PATIENCE = 10

/** The memory a queue writes into: small pieces are copied here, and the kernel may read into it. */
export class WriteMemory {
  /** Null until the first write. */
  memory: Memory | null = null
  /** Where the next byte goes. */
  at = 0
  readonly maximum: number
  readonly #minimum: number
  readonly #pool: MemoryPool | null
  #size: number
  #meagre = 0

  constructor(pool: MemoryPool | null | undefined, minimum: number | undefined, maximum: number | undefined) {
    this.#pool = pool === undefined ? MemoryPool.shared : pool
    this.maximum = checkSize(maximum ?? Math.max(MAXIMUM, minimum ?? 0), 'options.maximumChunkSize')
    this.#minimum = checkSize(minimum ?? Math.min(MINIMUM, this.maximum), 'options.minimumChunkSize')
    if (this.#minimum > this.maximum) {
      throw new ArgumentError('options.minimumChunkSize', `at most maximumChunkSize (${this.maximum})`, minimum)
    }
    this.#size = this.#minimum
  }

  /** Bytes a chunk has now. */
  get size(): number {
    return this.#size
  }

  /** Room for at least `count` bytes (at most `maximum`); what was there before is let go when it is too small. */
  reserve(count: number, empty: boolean): Memory {
    let { memory } = this
    if (memory !== null) {
      // Started again only if nobody else holds it and nobody may look: the queue is empty, so it holds no part either.
      if (empty && this.at > 0 && memory.refs === 1 && !memory.pinned) this.at = 0
      if (memory.u8.length - this.at >= count) return memory
      memory.drop()
    }
    memory = this.#make(Math.min(Math.max(count, this.#size), this.maximum))
    this.memory = memory
    this.at = 0
    return memory
  }

  #make(size: number): Memory {
    // Sizes are the minimum times a power of two, so that a pool finds memory again.
    let rounded = this.#minimum
    while (rounded < size) rounded *= 2
    rounded = Math.min(rounded, this.maximum)
    const u8 = this.#pool === null ? allocate(rounded) : this.#pool.acquire(rounded)
    return new Memory(u8, this.#pool)
  }

  /** A read has brought `count` of the `offered` bytes: chunks grow when reads fill them and shrink when they do not. */
  adapt(count: number, offered: number): void {
    if (count === offered) {
      this.#size = Math.min(this.#size * 2, this.maximum)
      this.#meagre = 0
    } else if (count * 2 < this.#size) {
      if (++this.#meagre > PATIENCE) {
        this.#size = Math.max(this.#size >> 1, this.#minimum)
        this.#meagre = 0
      }
    } else this.#meagre = 0
  }

  /** Lets the memory go. */
  release(): void {
    this.memory?.drop()
    this.memory = null
    this.at = 0
  }
}

function checkSize(size: number, argument: string): number {
  if (Number.isSafeInteger(size) && size >= 1) return size
  throw new ArgumentError(argument, 'a whole number of bytes >= 1', size)
}
