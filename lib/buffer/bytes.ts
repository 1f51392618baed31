import type { BytesLike, Delimiter } from '../../types/bytes.js'
import { allocate, toUint8Array } from '../base/bytes.js'
import { ArgumentError, BufferError } from '../base/errors.js'
import { checkCount, checkIndex, clamp, decoder } from './check.js'
import { delimiterBytes, Needle, partAt, search } from './find.js'
import { Memory, type Part, partOf, retainedBy } from './memory.js'
import { sameAt, sliceParts } from './parts.js'
import { splitLines, splitOn, splitWhitespace, stripped } from './text.js'

/** Whatever holds bytes; a string is UTF-8. */
export type AnyBytes = BytesLike | Bytes | string

/** Set below: makes a handle of one piece that already counts as a reference of its memory. */
let handle: (memory: Memory, start: number, end: number) => Bytes
/** Set below: makes a handle of several pieces, each of which already counts as a reference. */
let handles: (parts: Part[], length: number) => Bytes
/** Set below: the pieces of a handle, not counted again. Throws `MILL_RELEASED`. */
let piecesOf: (bytes: Bytes) => readonly Part[]

/**
 * Bytes that never change, in one or many pieces of memory. Cheap to make, valid for ever, and alive with them the whole
 * memory they lie in: `copy()` what is small and kept long. `release()` gives memory back to the pool early; forgetting
 * it is slower, never wrong.
 */
export class Bytes implements Iterable<Uint8Array>, Disposable {
  /** How many bytes. */
  readonly length: number
  /** One piece: its memory, from `start` on. Null when there are many pieces, or after release(). */
  #memory: Memory | null
  #start: number
  #parts: Part[] | null = null
  #view: Uint8Array | undefined

  static {
    handle = (memory, start, end) => new Bytes(memory, start, end - start)
    handles = (parts, length) => {
      const bytes = new Bytes(null, 0, length)
      bytes.#parts = parts
      return bytes
    }
    piecesOf = (bytes) => bytes.#pieces()
  }

  private constructor(memory: Memory | null, start: number, length: number) {
    this.length = length
    this.#memory = memory
    this.#start = start
  }

  /** Points at the data; a string is encoded. Throws `MILL_INVALID_ARGUMENT`. */
  static from(data: AnyBytes): Bytes {
    if (data instanceof Bytes) return data.retain()
    const u8 = toUint8Array(data)
    return handle(new Memory(u8, null), 0, u8.length)
  }

  /** Points at all of them, in order; the parts stay valid and are handles of their own. */
  static merge(parts: Iterable<AnyBytes>): Bytes {
    if (
      typeof parts === 'string' ||
      typeof (parts as Partial<Iterable<unknown>> | null)?.[Symbol.iterator] !== 'function'
    ) {
      throw new ArgumentError('parts', 'an iterable of bytes', parts)
    }
    const pieces: Part[] = []
    let length = 0
    for (const part of parts) {
      const bytes = part instanceof Bytes ? part : Bytes.from(part)
      for (const { memory, start, end } of bytes.#pieces()) {
        if (end === start) continue
        if (bytes === part) memory.refs++
        pieces.push(partOf(memory, start, end, length))
        length += end - start
      }
    }
    return bytesOf(pieces, length)
  }

  /** Does it lie in one piece of memory? */
  get contiguous(): boolean {
    this.#check()
    return this.#parts === null || this.#parts.length < 2
  }

  /** Bytes of memory that this keeps alive. */
  get retained(): number {
    return this.released ? 0 : retainedBy(this.#pieces())
  }

  get released(): boolean {
    return this.#memory === null && this.#parts === null
  }

  /** One byte, negative from the end; undefined outside. */
  at(index: number): number | undefined {
    this.#check()
    if (!Number.isInteger(index)) throw new ArgumentError('index', 'a whole number', index)
    const i = index < 0 ? this.length + index : index
    if (i < 0 || i >= this.length) return undefined
    if (this.#memory !== null) return this.#memory.u8[this.#start + i]
    const pieces = this.#pieces()
    const { u8, start, position } = pieces[partAt(pieces, 0, i)] as Part
    return u8[start + i - position]
  }

  /** As an array's; zero-copy; a handle of its own. */
  slice(start?: number, end?: number): Bytes {
    this.#check()
    const from = clamp(start, 0, this.length)
    const to = Math.max(from, clamp(end, this.length, this.length))
    if (this.#memory !== null) {
      this.#memory.refs++
      return handle(this.#memory, this.#start + from, this.#start + to)
    }
    const pieces = this.#pieces()
    return bytesOf(sliceParts(pieces, partAt(pieces, 0, from), from, to), to - from)
  }

  /** Its pieces, none empty, neighbours in memory joined. Zero-copy; pins: this memory will not go back to a pool. */
  chunks(): Uint8Array[] {
    const chunks: Uint8Array[] = []
    let last: Uint8Array | undefined
    for (const { memory, start, end } of this.#pieces()) {
      if (end === start) continue
      const at = memory.u8.byteOffset + start
      if (last !== undefined && last.buffer === memory.buffer && last.byteOffset + last.length === at) {
        memory.pinned = true
        last = new Uint8Array(memory.buffer, last.byteOffset, last.length + end - start)
        chunks[chunks.length - 1] = last
      } else {
        last = memory.view(start, end)
        chunks.push(last)
      }
    }
    return chunks
  }

  [Symbol.iterator](): Iterator<Uint8Array> {
    return this.chunks()[Symbol.iterator]()
  }

  /** One view: zero-copy and pinned where it lies in one piece; else copied once, the copy kept and the memory let go. */
  toUint8Array(): Uint8Array {
    this.#check()
    if (this.#view !== undefined) return this.#view
    if (this.#memory === null) {
      const copy = new Memory(this.copy(), null)
      this.release()
      this.#memory = copy
      this.#start = 0
    }
    const memory = this.#memory as unknown as Memory
    this.#view = memory.view(this.#start, this.#start + this.length)
    return this.#view
  }

  /** A copy, exactly as long, nobody else's. */
  copy(): Uint8Array<ArrayBuffer> {
    const copy = allocate(this.length)
    this.copyTo(copy)
    return copy
  }

  /** Copies into `target` from `at` on; returns `length`. Throws `MILL_INVALID_ARGUMENT` when it does not fit. */
  copyTo(target: Uint8Array, at = 0): number {
    if (!(target instanceof Uint8Array)) throw new ArgumentError('target', 'a Uint8Array', target)
    if (!(Number.isSafeInteger(at) && at >= 0 && at + this.length <= target.length)) {
      throw new ArgumentError('at', `a position with room for ${this.length} bytes`, at)
    }
    for (const { u8, start, end } of this.#pieces()) {
      target.set(u8.subarray(start, end), at)
      at += end - start
    }
    return this.length
  }

  /** Decoded. Invalid UTF-8 becomes U+FFFD, a byte order mark stays; latin1 is ISO 8859-1. So `Number(bytes)` works. */
  toString(encoding: 'utf8' | 'latin1' = 'utf8'): string {
    this.#check()
    const decode = decoder(encoding)
    if (this.#memory !== null) return decode(this.#memory.u8, this.#start, this.#start + this.length)
    return decode(this.copy())
  }

  equals(other: AnyBytes): boolean {
    if (!(other instanceof Bytes)) {
      const u8 = toUint8Array(other, 'other')
      return u8.length === this.length && this.#startsWith(u8)
    }
    if (other.length !== this.length) return false
    let at = 0
    const pieces = this.#pieces()
    for (const { u8, start, end } of other.#pieces()) {
      if (!sameAt(pieces, partAt(pieces, 0, at), at, u8.subarray(start, end))) return false
      at += end - start
    }
    return true
  }

  startsWith(prefix: Delimiter): boolean {
    return this.#startsWith(delimiterBytes(prefix, 'prefix'))
  }

  #startsWith(u8: Uint8Array): boolean {
    return u8.length <= this.length && sameAt(this.#pieces(), 0, 0, u8)
  }

  /** Where the first whole match inside [start, end) begins, or -1; an empty one is found at `start`, as in Python. */
  find(delimiter: Delimiter, start?: number, end?: number): number {
    const from = checkIndex(start, 0, 'start')
    const to = Math.min(checkIndex(end, this.length, 'end'), this.length)
    const needle = new Needle(delimiter)
    if (from > this.length) return -1
    return search(this.#pieces(), 0, needle, from, to)
  }

  /**
   * Python's: without a separator at runs of whitespace; at most `maxSplits + 1` pieces, the last of which is the rest as
   * it is. Zero-copy.
   */
  split(separator?: Delimiter, maxSplits?: number): Bytes[] {
    const most =
      maxSplits === undefined || maxSplits === Number.POSITIVE_INFINITY
        ? Number.POSITIVE_INFINITY
        : checkCount(maxSplits, 'maxSplits')
    return separator === undefined ? splitWhitespace(this, this.#pieces(), most) : splitOn(this, separator, most)
  }

  /** Python's: at LF, CRLF and CR; no empty last piece. Zero-copy. */
  splitLines(keepEnds = false): Bytes[] {
    return splitLines(this, this.#pieces(), keepEnds)
  }

  /** Without the bytes of `set` (whitespace) at both ends. Zero-copy. */
  strip(set?: Delimiter): Bytes {
    return stripped(this, this.#pieces(), set)
  }

  /** One more handle on the same bytes. */
  retain(): Bytes {
    return this.slice()
  }

  /** Memory may go back to the pool; later use throws `MILL_RELEASED`, a second release does nothing. */
  release(): void {
    this.#memory?.drop()
    for (const part of this.#parts ?? []) part.memory.drop()
    this.#memory = this.#parts = null
    this.#view = undefined
  }

  [Symbol.dispose](): void {
    this.release()
  }

  #check(): void {
    if (this.#memory === null && this.#parts === null) {
      throw new BufferError('MILL_RELEASED', 'These bytes have been released')
    }
  }

  #pieces(): readonly Part[] {
    this.#check()
    if (this.#memory === null) return this.#parts as Part[]
    return [partOf(this.#memory, this.#start, this.#start + this.length, 0)]
  }
}

export { handle, piecesOf }

const NOTHING = new Memory(new Uint8Array(0), null)

/** A handle of parts that already count as references. */
export function bytesOf(parts: Part[], length: number): Bytes {
  if (parts.length > 1) return handles(parts, length)
  const part = parts[0]
  if (part !== undefined) return handle(part.memory, part.start, part.end)
  NOTHING.refs++
  return handle(NOTHING, 0, 0)
}

Object.defineProperty(Bytes.prototype, Symbol.for('Stream.toStreamable'), {
  value(this: Bytes): Uint8Array[] {
    return this.chunks()
  },
})
