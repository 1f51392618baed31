import type { Delimiter } from '../../types/bytes.js'
import { isBytesLike, toUint8Array } from '../base/bytes.js'
import { ArgumentError, BufferError } from '../base/errors.js'
import {
  type AnyBytes,
  Bytes,
  bytesOf,
  checkCount,
  checkIndex,
  decoder,
  handle,
  piecesOf,
  sameAt,
  sliceParts,
} from './bytes.js'
import { delimiterBytes, Needle, partAt, search } from './find.js'
import { decodeLines } from './lines.js'
import { Memory, type Part, partOf, retainedBy } from './memory.js'
import { parseInteger, parseVarint, uint } from './numbers.js'
import { MemoryPool } from './pool.js'
import { WriteMemory } from './write-memory.js'

/** Below it copying is cheaper than an object that points; measured break-even 256 to 512 bytes. */
const COPY_BELOW = 512
const MAX_LENGTH = 2 ** 30
const LF = 10
const CR = 13
/** Delimiters whose search position is remembered. */
const NEEDLES = 4

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

/**
 * Bytes in, zero-copy pieces out. What you append you promise not to change. "Not enough yet" is `undefined`, and what
 * returns `undefined` or throws has consumed nothing.
 */
export class ByteQueue {
  /** Bytes that can be taken now. */
  length = 0
  /** Bytes the queue may hold. */
  readonly maxLength: number
  readonly #copyBelow: number
  readonly #write: WriteMemory
  #chunk: Uint8Array | null = null

  // The parts, from #head on. The first one is hoisted into plain fields: the common take() is one comparison, one
  // addition and one object.
  #parts: Part[] = []
  #head = 0
  #memory: Memory | null = null
  #u8: Uint8Array = EMPTY
  #off = 0
  #end = 0
  /** Position of the byte at #off, less #off. */
  #shift = 0

  #needles: Needle[] = []
  #oldest = 0

  constructor(options: ByteQueueOptions = {}) {
    const { pool, minimumChunkSize, maximumChunkSize, copyBelow = COPY_BELOW, maxLength = MAX_LENGTH } = options
    if (pool !== undefined && pool !== null && !(pool instanceof MemoryPool)) {
      throw new ArgumentError('options.pool', 'a MemoryPool or null', pool)
    }
    this.#write = new WriteMemory(pool, minimumChunkSize, maximumChunkSize)
    this.#copyBelow = copyBelow === Number.POSITIVE_INFINITY ? copyBelow : checkCount(copyBelow, 'options.copyBelow')
    this.maxLength = maxLength === Number.POSITIVE_INFINITY ? maxLength : checkCount(maxLength, 'options.maxLength')
  }

  /** Points at all of them, in order; same as `Bytes.merge`. */
  static merge(parts: Iterable<AnyBytes>): Bytes {
    return Bytes.merge(parts)
  }

  /** Bytes taken since the queue was made: the position of the next byte. */
  get offset(): number {
    return this.#shift + this.#off
  }

  /** Bytes of memory this queue keeps alive, >= length. */
  get retained(): number {
    return retainedBy(this.#parts.slice(this.#head), this.#write.memory)
  }

  // ---- in -----------------------------------------------------------------------------------------------------------

  /**
   * Under `copyBelow` bytes: copied. Else pointed at and never written to. Throws `MILL_BUFFER_FULL` and
   * `MILL_CHUNK_PENDING`, and has appended nothing then.
   */
  append(data: AnyBytes): void {
    if (this.#chunk !== null)
      throw new BufferError('MILL_CHUNK_PENDING', 'append() between getChunk() and chunkWritten()')
    if (data instanceof Bytes) {
      const pieces = piecesOf(data)
      this.#checkRoom(data.length)
      for (const { memory, start, end } of pieces) this.#add(memory, start, end)
      return
    }
    const u8 = data instanceof Uint8Array ? data : toUint8Array(data)
    const { length } = u8
    if (length === 0) return
    if (this.length + length > this.maxLength) this.#checkRoom(length)
    if (length < this.#copyBelow) this.#copy(u8, 0, length)
    else this.#push(new Memory(u8, null), 0, length)
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
   * Memory to read into, at least min(sizeHint, maximumChunkSize) bytes; its content is garbage. Tell with
   * {@link chunkWritten} how much of it is data; until then nothing can be appended. Throws `MILL_BUFFER_FULL`.
   */
  getChunk(sizeHint?: number): Uint8Array {
    const write = this.#write
    const hint = sizeHint === undefined ? 0 : checkCount(sizeHint, 'sizeHint')
    const room = this.maxLength - this.length
    if (room <= 0) this.#checkRoom(1)
    // Without a hint a rest of less than a quarter is not worth a read of its own.
    const wanted = Math.max(1, Math.min(hint === 0 ? write.size >> 2 : hint, write.maximum))
    const memory = write.reserve(wanted, this.length === 0)
    this.#chunk = memory.u8.subarray(write.at, Math.min(memory.u8.length, write.at + room))
    return this.#chunk
  }

  /** The first `count` bytes of the chunk are data now; 0 gives it back. Throws `MILL_NO_CHUNK`. */
  chunkWritten(count: number): void {
    const chunk = this.#chunk
    if (chunk === null) throw new BufferError('MILL_NO_CHUNK', 'chunkWritten() without getChunk()')
    if (!(Number.isSafeInteger(count) && count >= 0 && count <= chunk.length)) {
      throw new ArgumentError('count', `a whole number from 0 to ${chunk.length}, the length of the chunk`, count)
    }
    this.#chunk = null
    if (count === 0) return
    this.#write.adapt(count, chunk.length)
    this.#written(count)
  }

  #checkRoom(needed: number): void {
    const { length, maxLength: limit } = this
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
  #add(memory: Memory, start: number, end: number): void {
    if (end === start) return
    if (end - start < this.#copyBelow) this.#copy(memory.u8, start, end)
    else {
      memory.refs++
      this.#push(memory, start, end)
    }
  }

  #copy(u8: Uint8Array, from: number, to: number): void {
    const write = this.#write
    while (from < to) {
      let memory = write.memory
      // A full chunk is left at its end; otherwise a piece goes where it fits whole, or in as many as it takes.
      if (memory === null || memory.u8.length === write.at || (this.length === 0 && write.at > 0)) {
        memory = write.reserve(Math.min(to - from, write.maximum), this.length === 0)
      }
      const count = Math.min(to - from, memory.u8.length - write.at)
      if (count < 32) for (let i = 0; i < count; i++) memory.u8[write.at + i] = u8[from + i] as number
      else memory.u8.set(from === 0 && count === u8.length ? u8 : u8.subarray(from, from + count), write.at)
      this.#written(count)
      from += count
    }
  }

  /** `count` bytes of the write memory have become data. */
  #written(count: number): void {
    const write = this.#write
    const memory = write.memory as Memory
    const start = write.at
    write.at += count
    const last = this.#parts[this.#parts.length - 1]
    if (last !== undefined && last.memory === memory && last.end === start) {
      last.end += count
      if (this.#parts.length - 1 === this.#head) this.#end += count
      this.length += count
    } else {
      memory.refs++
      this.#push(memory, start, write.at)
    }
  }

  /** A part at the end; its reference is already counted. */
  #push(memory: Memory, start: number, end: number): void {
    const position = this.#shift + this.#off + this.length
    this.#parts.push(partOf(memory, start, end, position))
    this.length += end - start
    if (this.#parts.length - 1 === this.#head) this.#hoist()
  }

  #hoist(): void {
    const first = this.#parts[this.#head]
    if (first === undefined) return
    this.#memory = first.memory
    this.#u8 = first.u8
    this.#off = first.start
    this.#end = first.end
    this.#shift = first.position - first.start
  }

  // ---- consuming ----------------------------------------------------------------------------------------------------

  /** `count` bytes are gone. Drops the parts that are used up. */
  #consume(count: number): void {
    this.length -= count
    let left = count
    while (left > 0 && left >= this.#end - this.#off) {
      left -= this.#end - this.#off
      this.#off = this.#end
      this.#next()?.drop()
    }
    this.#off += left
  }

  /** The first part is used up: goes on to the next one. Returns the memory, whose reference is now the caller's. */
  #next(): Memory | null {
    const memory = this.#memory
    if (memory === null) return null
    const offset = this.#shift + this.#off
    this.#head++
    if (this.#head === this.#parts.length) {
      this.#parts.length = 0
      this.#head = 0
      this.#memory = null
      this.#u8 = EMPTY
      this.#off = this.#end = 0
      this.#shift = offset
    } else {
      if (this.#head > 63 && this.#head * 2 > this.#parts.length) {
        this.#parts.splice(0, this.#head)
        this.#head = 0
      }
      this.#hoist()
    }
    return memory
  }

  /** At most `count` bytes, all of them without; zero-copy. */
  take(count?: number): Bytes {
    if (count === undefined || count > this.length) {
      if (count !== undefined && count !== Number.POSITIVE_INFINITY) checkCount(count)
      count = this.length
    } else if (count >>> 0 !== count) checkCount(count)
    const off = this.#off
    const end = off + count
    if (end < this.#end) {
      const memory = this.#memory as Memory
      memory.refs++
      this.#off = end
      this.length -= count
      return handle(memory, off, end)
    }
    return this.#takeAcross(count)
  }

  #takeAcross(count: number): Bytes {
    if (count > 0 && count === this.#end - this.#off) {
      // The whole rest of a part: its reference goes over to the Bytes.
      const start = this.#off
      this.#off = this.#end
      this.length -= count
      const memory = this.#next() as Memory
      return handle(memory, start, start + count)
    }
    const bytes = this.peek(count)
    this.#consume(count)
    return bytes
  }

  /** Exactly `count` bytes, or nothing. */
  takeExact(count: number): Bytes | undefined {
    return checkCount(count) > this.length ? undefined : this.take(count)
  }

  /** Up to the delimiter, which is taken too and dropped unless `include`. Throws for an empty one. */
  takeUntil(delimiter: Delimiter, options?: { include?: boolean }): Bytes | undefined {
    const needle = this.#needle(delimiter)
    if (needle.bytes.length === 0) throw new ArgumentError('delimiter', 'not empty', delimiter)
    const at = this.#locate(needle)
    if (at === -1) return undefined
    const length = at - this.offset
    if (options?.include === true) return this.take(length + needle.bytes.length)
    const bytes = this.take(length)
    this.skip(needle.bytes.length)
    return bytes
  }

  /** Up to LF; a CR right before it goes with it, a CR alone is data. */
  takeLine(options?: { keepEnd?: boolean }): Bytes | undefined {
    const at = this.#locate(this.#needle(LF))
    if (at === -1) return undefined
    const length = at - this.offset
    if (options?.keepEnd === true) return this.take(length + 1)
    const cr = length > 0 && this.at(length - 1) === CR
    const bytes = this.take(cr ? length - 1 : length)
    this.skip(cr ? 2 : 1)
    return bytes
  }

  /** Every complete line there is, decoded in bulk: the fast path for text. Line ends as in {@link takeLine}. */
  takeLines(encoding: 'utf8' | 'latin1' = 'utf8'): string[] {
    const decode = decoder(encoding)
    const lines: string[] = []
    const needle = this.#needle(LF)
    for (let at = this.#locate(needle); at !== -1; at = this.#locate(needle)) {
      if (at >= this.#shift + this.#end) {
        const line = this.takeLine() as Bytes
        lines.push(line.toString(encoding))
        line.release()
      } else {
        const end = decodeLines(lines, this.#u8, this.#off, this.#end, at - this.#shift, decode)
        this.#consume(end - this.#off)
      }
    }
    return lines
  }

  /**
   * A whole number in text, then `until` ('\r\n'): sign, digits, nothing else; all of it is consumed. Throws
   * `MILL_BAD_NUMBER` for text that is none, beyond 2^53-1, or where 32 bytes come without the end.
   */
  takeInteger(until: Delimiter = '\r\n', radix: 10 | 16 = 10): number | undefined {
    if (until === '\r\n' && radix === 10) {
      // The usual case, inside one part: up to 15 digits cannot pass 2^53.
      const u8 = this.#u8
      const last = Math.min(this.#end - 2, this.#off + 15)
      let at = this.#off
      let value = 0
      for (; at < last; at++) {
        const digit = (u8[at] as number) - 48
        if (digit < 0 || digit > 9) break
        value = value * 10 + digit
      }
      if (at > this.#off && at < this.#end - 2 + 1 && u8[at] === CR && u8[at + 1] === LF && at + 1 < this.#end) {
        this.#consume(at + 2 - this.#off)
        return value
      }
    }
    return parseInteger(this, until, radix)
  }

  takeUInt8(): number | undefined {
    return uint(this, 1, false)
  }
  takeUInt16BE(): number | undefined {
    return uint(this, 2, false)
  }
  takeUInt16LE(): number | undefined {
    return uint(this, 2, true)
  }
  takeUInt32BE(): number | undefined {
    if (this.#end - this.#off > 4) {
      const u8 = this.#u8
      const at = this.#off
      this.#off = at + 4
      this.length -= 4
      return (
        (u8[at] as number) * 0x1000000 +
        (((u8[at + 1] as number) << 16) | ((u8[at + 2] as number) << 8) | (u8[at + 3] as number))
      )
    }
    return uint(this, 4, false)
  }
  takeUInt32LE(): number | undefined {
    return uint(this, 4, true)
  }
  takeBigUInt64BE(): bigint | undefined {
    if (this.length < 8) return undefined
    const high = uint(this, 4, false) as number
    return (BigInt(high) << 32n) | BigInt(uint(this, 4, false) as number)
  }
  takeBigUInt64LE(): bigint | undefined {
    if (this.length < 8) return undefined
    const low = uint(this, 4, true) as number
    return (BigInt(uint(this, 4, true) as number) << 32n) | BigInt(low)
  }

  /** Unsigned LEB128 up to 2^53-1, in at most 8 bytes. Throws `MILL_BAD_NUMBER`. */
  takeVarint(): number | undefined {
    const byte = this.#off < this.#end - 1 ? (this.#u8[this.#off] as number) : 128
    if (byte < 128) {
      this.#off++
      this.length--
      return byte
    }
    return parseVarint(this)
  }

  /** Drops at most `count` bytes, all without; returns how many. */
  skip(count?: number): number {
    if (count === undefined || count > this.length) {
      if (count !== undefined && count !== Number.POSITIVE_INFINITY) checkCount(count)
      count = this.length
    } else if (count >>> 0 !== count) checkCount(count)
    const end = this.#off + count
    if (end < this.#end) {
      this.#off = end
      this.length -= count
    } else this.#consume(count)
    return count
  }

  /** Drops the prefix if the queue starts with it; undefined: what is there fits so far, but is too short to say. */
  skipIfStartsWith(prefix: Delimiter): boolean | undefined {
    const u8 = delimiterBytes(prefix, 'prefix')
    const { length } = u8
    const off = this.#off
    if (off + length < this.#end) {
      const first = this.#u8
      for (let i = 0; i < length; i++) if (first[off + i] !== u8[i]) return false
      this.#off = off + length
      this.length -= length
      return true
    }
    const there = Math.min(length, this.length)
    if (!sameAt(this.#parts, this.#head, this.offset, there === length ? u8 : u8.subarray(0, there))) return false
    if (there < length) return undefined
    this.skip(length)
    return true
  }

  /** Drops all. */
  clear(): void {
    this.#consume(this.length)
    if (this.#chunk === null) this.#write.release()
  }

  // ---- looking ------------------------------------------------------------------------------------------------------

  /** Like take, consumes nothing. */
  peek(count?: number): Bytes {
    if (count === undefined || count > this.length) {
      if (count !== undefined && count !== Number.POSITIVE_INFINITY) checkCount(count)
      count = this.length
    } else checkCount(count)
    const { offset } = this
    return bytesOf(sliceParts(this.#parts, this.#head, offset, offset + count), count)
  }

  /** Where the first whole match inside [start, end) begins, or -1; an empty one is found at `start`. */
  find(delimiter: Delimiter, start?: number, end?: number): number {
    const needle = this.#needle(delimiter)
    const from = checkIndex(start, 0, 'start')
    const to = checkIndex(end, this.length, 'end')
    if (from > this.length) return -1
    const { offset } = this
    const at = this.#locate(needle, offset + from, offset + Math.min(to, this.length))
    return at === -1 ? -1 : at - offset
  }

  /** One byte, negative from the end; undefined outside. */
  at(index: number): number | undefined {
    if (!Number.isInteger(index)) throw new ArgumentError('index', 'a whole number', index)
    const i = index < 0 ? this.length + index : index
    if (i < 0 || i >= this.length) return undefined
    const near = this.#off + i
    if (near < this.#end) return this.#u8[near]
    const position = this.offset + i
    const part = this.#parts[partAt(this.#parts, this.#head, position)] as Part
    return part.u8[part.start + position - part.position]
  }

  /** The delimiter made ready, with the memory of where it was searched. */
  #needle(delimiter: Delimiter): Needle {
    const needles = this.#needles
    for (let i = 0; i < needles.length; i++) {
      const needle = needles[i] as Needle
      if (needle.is(delimiter)) return needle
    }
    const needle = new Needle(delimiter)
    if (needles.length < NEEDLES) needles.push(needle)
    else needles[this.#oldest++ % NEEDLES] = needle
    return needle
  }

  /** Position of the delimiter's first whole match, or -1; remembers from where on to look the next time. */
  #locate(needle: Needle, from = this.offset, end = this.offset + this.length): number {
    const start = Math.max(from, needle.floor)
    const at = search(this.#parts, this.#head, needle, start, end)
    if (from <= Math.max(needle.floor, this.offset)) {
      const floor = at === -1 ? end - needle.bytes.length + 1 : at
      if (floor > needle.floor) needle.floor = floor
    }
    return at
  }
}

const EMPTY = new Uint8Array(0)
