import { isBytesLike, toUint8Array } from '../base/bytes.js'
import { ArgumentError, BufferError } from '../base/errors.js'
import { type AnyBytes, Bytes, piecesOf } from './bytes.js'
import { checkCount } from './check.js'
import { Memory, type Part, partOf, retainedBy, USED } from './memory.js'
import { MemoryPool } from './pool.js'
import { WriteMemory } from './write-memory.js'

/** Below it copying is cheaper than an object that points; measured break-even 256 to 512 bytes. */
const COPY_BELOW = 512
const MAX_LENGTH = 2 ** 30

/** How a queue gets its memory, and how much it may hold. */
export interface ByteQueueOptions {
  /** Where memory comes from and goes back to; default {@link MemoryPool.shared}, null for none. */
  pool?: MemoryPool | null
  /** Bytes of the first chunk, >= 1; default 16,384. */
  minimumChunkSize?: number
  /** Bytes of a chunk at most; default 262,144. */
  maximumChunkSize?: number
  /** Pieces shorter than this are copied, others pointed at; default 512, 0 points at all. */
  copyBelow?: number
  /** Bytes the queue may hold; default 2^30. */
  maxLength?: number
}

const EMPTY = new Uint8Array(0)

/** The way into a queue, and the parts it is made of. What takes bytes out again is in {@link ByteQueue}. */
export abstract class PartQueue {
  protected _length = 0
  /** Bytes the queue may hold. */
  readonly maxLength: number
  protected readonly _copyBelow: number
  protected readonly _write: WriteMemory
  protected _chunk: Uint8Array | null = null

  // The parts, from _head on. The first one is hoisted into plain fields: the common take() is one comparison, one
  // addition and one object.
  protected _parts: Part[] = []
  protected _head = 0
  protected _memory: Memory | null = null
  protected _u8: Uint8Array = EMPTY
  protected _off = 0
  protected _end = 0
  /** Position of the byte at _off, less _off. */
  protected _shift = 0

  constructor(options: ByteQueueOptions = {}) {
    const { pool, minimumChunkSize, maximumChunkSize, copyBelow = COPY_BELOW, maxLength = MAX_LENGTH } = options
    if (pool !== undefined && pool !== null && !(pool instanceof MemoryPool)) {
      throw new ArgumentError('options.pool', 'a MemoryPool or null', pool)
    }
    this._write = new WriteMemory(pool, minimumChunkSize, maximumChunkSize)
    this._copyBelow = copyBelow === Number.POSITIVE_INFINITY ? copyBelow : checkCount(copyBelow, 'options.copyBelow')
    this.maxLength = maxLength === Number.POSITIVE_INFINITY ? maxLength : checkCount(maxLength, 'options.maxLength')
  }

  /** Bytes that can be taken now. */
  get length(): number {
    return this._length
  }

  /** Bytes taken since the queue was made: the position of the next byte. */
  get offset(): number {
    return this._shift + this._off
  }

  /** Bytes of memory this queue keeps alive, >= length. */
  get retained(): number {
    return retainedBy(this._parts.slice(this._head), this._write.memory)
  }

  // ---- in -----------------------------------------------------------------------------------------------------------

  /**
   * Under `copyBelow` bytes: copied. Else pointed at and never written to. Throws `MILL_BUFFER_FULL` and
   * `MILL_CHUNK_PENDING`, and has appended nothing then.
   */
  append(data: AnyBytes): void {
    if (this._chunk !== null)
      throw new BufferError('MILL_CHUNK_PENDING', 'append() between getChunk() and chunkWritten()')
    if (data instanceof Bytes) {
      const pieces = piecesOf(data)
      this._checkRoom(data.length)
      for (const { memory, start, end } of pieces) this._add(memory, start, end)
      return
    }
    const u8 = data instanceof Uint8Array ? data : toUint8Array(data)
    const { length } = u8
    if (length === 0) return
    if (this._length + length > this.maxLength) this._checkRoom(length)
    if (length < this._copyBelow) this._copy(u8, 0, length)
    else this._push(new Memory(u8, null), 0, length)
  }

  /** Appends one, or each. */
  extend(data: AnyBytes | Iterable<AnyBytes>): void {
    if (typeof data === 'string' || data instanceof Bytes || isBytesLike(data)) {
      this.append(data)
      return
    }
    if (typeof (data as Partial<Iterable<unknown>> | null)?.[Symbol.iterator] !== 'function') {
      throw new ArgumentError('data', 'bytes, a string or an iterable of them', data)
    }
    for (const item of data) this.append(item)
  }

  /**
   * Memory to read into, at least min(sizeHint, maximumChunkSize) bytes or what `maxLength` leaves; its content is
   * garbage. Tell with {@link chunkWritten} how much of it is data; until then nothing can be appended. Asked again
   * before that, it is the same chunk if that is long enough. Throws `MILL_BUFFER_FULL`.
   */
  getChunk(sizeHint?: number): Uint8Array {
    const write = this._write
    const hint = sizeHint === undefined ? 0 : checkCount(sizeHint, 'sizeHint')
    const room = this.maxLength - this._length
    if (room <= 0) this._checkRoom(1)
    // Without a hint a rest of less than a quarter is not worth a read of its own.
    const wanted = Math.max(1, Math.min(hint === 0 ? write.size >> 2 : hint, write.maximum))
    if (this._chunk !== null) {
      if (this._chunk.length >= Math.min(wanted, room)) return this._chunk
      // A read into the first chunk may still be under way: its memory must never be anybody else's.
      if (write.memory !== null) write.memory.pinned = true
    }
    const memory = write.reserve(wanted, this._length === 0)
    this._chunk = memory.u8.subarray(write.at, Math.min(memory.u8.length, write.at + room))
    return this._chunk
  }

  /** The first `count` bytes of the chunk are data now; 0 gives it back. Throws `MILL_NO_CHUNK`. */
  chunkWritten(count: number): void {
    const chunk = this._chunk
    if (chunk === null) throw new BufferError('MILL_NO_CHUNK', 'chunkWritten() without getChunk()')
    if (!(Number.isSafeInteger(count) && count >= 0 && count <= chunk.length)) {
      throw new ArgumentError('count', `a whole number from 0 to ${chunk.length}, the length of the chunk`, count)
    }
    this._chunk = null
    if (count === 0) return
    this._write.adapt(count, chunk.length)
    this._written(count)
  }

  protected _checkRoom(needed: number): void {
    const { _length: length, maxLength: limit } = this
    if (length + needed <= limit) return
    throw new BufferError(
      'MILL_BUFFER_FULL',
      `${needed} bytes more than the ${length} held pass the limit of ${limit}`,
      {
        length,
        needed,
        limit,
      },
    )
  }

  /** Memory that somebody else holds too. */
  protected _add(memory: Memory, start: number, end: number): void {
    if (end === start) return
    if (end - start < this._copyBelow) this._copy(memory.u8, start, end)
    else {
      memory.refs++
      this._push(memory, start, end)
    }
  }

  protected _copy(u8: Uint8Array, from: number, to: number): void {
    const write = this._write
    while (from < to) {
      let memory = write.memory
      // A full chunk is left at its end; otherwise a piece goes where it fits whole, or in as many as it takes.
      if (memory === null || memory.u8.length === write.at || (this._length === 0 && write.at > 0)) {
        memory = write.reserve(Math.min(to - from, write.maximum), this._length === 0)
      }
      const count = Math.min(to - from, memory.u8.length - write.at)
      if (count < 32) for (let i = 0; i < count; i++) memory.u8[write.at + i] = u8[from + i] as number
      else memory.u8.set(from === 0 && count === u8.length ? u8 : u8.subarray(from, from + count), write.at)
      this._written(count)
      from += count
    }
  }

  /** `count` bytes of the write memory have become data. */
  protected _written(count: number): void {
    const write = this._write
    const memory = write.memory as Memory
    const start = write.at
    write.at += count
    const last = this._parts[this._parts.length - 1]
    if (last !== undefined && last.memory === memory && last.end === start) {
      last.end += count
      if (this._parts.length - 1 === this._head) this._end += count
      this._length += count
    } else {
      memory.refs++
      this._push(memory, start, write.at)
    }
  }

  /** A part at the end; its reference is already counted. */
  protected _push(memory: Memory, start: number, end: number): void {
    const position = this._shift + this._off + this._length
    this._parts.push(partOf(memory, start, end, position))
    this._length += end - start
    if (this._parts.length - 1 === this._head) this._hoist()
  }

  protected _hoist(): void {
    const first = this._parts[this._head]
    if (first === undefined) return
    this._memory = first.memory
    this._u8 = first.u8
    this._off = first.start
    this._end = first.end
    this._shift = first.position - first.start
  }

  // ---- consuming ----------------------------------------------------------------------------------------------------

  /** `count` bytes are gone. Drops the parts that are used up. */
  protected _consume(count: number): void {
    this._length -= count
    let left = count
    while (left > 0 && left >= this._end - this._off) {
      left -= this._end - this._off
      this._off = this._end
      this._next()?.drop()
    }
    this._off += left
  }

  /** The first part is used up: goes on to the next one. Returns the memory, whose reference is now the caller's. */
  protected _next(): Memory | null {
    const memory = this._memory
    if (memory === null) return null
    const offset = this._shift + this._off
    this._parts[this._head++] = USED
    if (this._head === this._parts.length) {
      this._parts.length = 0
      this._head = 0
      this._memory = null
      this._u8 = EMPTY
      this._off = this._end = 0
      this._shift = offset
    } else {
      if (this._head > 63 && this._head * 2 > this._parts.length) {
        this._parts.splice(0, this._head)
        this._head = 0
      }
      this._hoist()
    }
    return memory
  }

  /** @internal Puts bytes back before all others, pointed at: `offset` goes back by their length. */
  _putBack(data: AnyBytes): void {
    const u8 = data instanceof Bytes ? data.toUint8Array() : toUint8Array(data)
    if (u8.length === 0) return
    this._checkRoom(u8.length)
    const { offset } = this
    const first = this._parts[this._head]
    if (first !== undefined) this._parts[this._head] = partOf(first.memory, this._off, first.end, offset)
    this._parts.splice(this._head, 0, partOf(new Memory(u8, null), 0, u8.length, offset - u8.length))
    this._length += u8.length
    this._hoist()
  }
}
