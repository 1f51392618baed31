import type { Delimiter } from '../../types/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { type AnyBytes, Bytes, bytesOf, handle } from './bytes.js'
import { checkCount, checkIndex, decoder } from './check.js'
import { delimiterBytes, type Needle, Needles, partAt, search } from './find.js'
import { decodeLines } from './lines.js'
import { type Memory, type Part, partOf } from './memory.js'
import { NumberQueue } from './number-queue.js'
import { parseInteger, parseVarint } from './numbers.js'
import { sameAt, sliceParts } from './parts.js'

export type { ByteQueueOptions } from './part-queue.js'

const LF = 10
const CR = 13

/**
 * Bytes in, zero-copy pieces out. What you append you promise not to change. "Not enough yet" is `undefined`, and what
 * returns `undefined` or throws has consumed nothing.
 */
export class ByteQueue extends NumberQueue {
  readonly #needles = new Needles()

  /** Points at all of them, in order; same as `Bytes.merge`. */
  static merge(parts: Iterable<AnyBytes>): Bytes {
    return Bytes.merge(parts)
  }

  /** At most `count` bytes, all of them without; zero-copy. */
  take(count?: number): Bytes {
    if (count === undefined || count > this._length) {
      if (count !== undefined && count !== Number.POSITIVE_INFINITY) checkCount(count)
      count = this._length
    } else if (!Number.isSafeInteger(count) || count < 0) checkCount(count)
    const off = this._off
    const end = off + count
    if (end < this._end) {
      const memory = this._memory as Memory
      memory.refs++
      this._off = end
      this._length -= count
      return handle(memory, off, end)
    }
    return this.#takeAcross(count)
  }

  /** To the end of the first part or beyond. The references of parts that are used up go over to the Bytes. */
  #takeAcross(count: number): Bytes {
    const parts: Part[] = []
    for (let left = count; left > 0; ) {
      const memory = this._memory as Memory
      const start = this._off
      const size = Math.min(left, this._end - start)
      this._off = start + size
      if (this._off === this._end) this._next()
      else memory.refs++
      if (size === count) {
        this._length -= count
        return handle(memory, start, start + size)
      }
      parts.push(partOf(memory, start, start + size, count - left))
      left -= size
    }
    this._length -= count
    return bytesOf(parts, count)
  }

  /** Exactly `count` bytes, or nothing. */
  takeExact(count: number): Bytes | undefined {
    return checkCount(count) > this._length ? undefined : this.take(count)
  }

  /** Up to the delimiter, which is taken too and dropped unless `include`. Throws for an empty one. */
  takeUntil(delimiter: Delimiter, options?: { include?: boolean }): Bytes | undefined {
    const needle = this.#needles.get(delimiter, this.offset)
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
    const at = this.#locate(this.#needles.get(LF, this.offset))
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
    const needle = this.#needles.get(LF, this.offset)
    for (let at = this.#locate(needle); at !== -1; at = this.#locate(needle)) {
      if (at >= this._shift + this._end) {
        const line = this.takeLine() as Bytes
        lines.push(line.toString(encoding))
        line.release()
      } else {
        const end = decodeLines(lines, this._u8, this._off, this._end, at - this._shift, decode)
        this._consume(end - this._off)
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
      const u8 = this._u8
      const last = Math.min(this._end - 2, this._off + 15)
      let at = this._off
      let value = 0
      for (; at < last; at++) {
        const digit = (u8[at] as number) - 48
        if (digit < 0 || digit > 9) break
        value = value * 10 + digit
      }
      if (at > this._off && at + 1 < this._end && u8[at] === CR && u8[at + 1] === LF) {
        const taken = at + 2 - this._off
        if (at + 2 < this._end) {
          this._off = at + 2
          this._length -= taken
        } else this._consume(taken)
        return value
      }
    }
    return parseInteger(this, until, radix)
  }

  /** Unsigned LEB128 up to 2^53-1, in at most 8 bytes. Throws `MILL_BAD_NUMBER`. */
  takeVarint(): number | undefined {
    const byte = this._off < this._end - 1 ? (this._u8[this._off] as number) : 128
    if (byte < 128) {
      this._off++
      this._length--
      return byte
    }
    return parseVarint(this)
  }

  /** Drops at most `count` bytes, all without; returns how many. */
  skip(count?: number): number {
    if (count === undefined || count > this._length) {
      if (count !== undefined && count !== Number.POSITIVE_INFINITY) checkCount(count)
      count = this._length
    } else if (!Number.isSafeInteger(count) || count < 0) checkCount(count)
    const end = this._off + count
    if (end < this._end) {
      this._off = end
      this._length -= count
    } else this._consume(count)
    return count
  }

  /** Drops the prefix if the queue starts with it; undefined: what is there fits so far, but is too short to say. */
  skipIfStartsWith(prefix: Delimiter): boolean | undefined {
    if (prefix === '\r\n' && this._off + 2 < this._end) {
      // What most messages end with, inside one part: no look-up.
      if (this._u8[this._off] !== CR || this._u8[this._off + 1] !== LF) return false
      this._off += 2
      this._length -= 2
      return true
    }
    const u8 = delimiterBytes(prefix, 'prefix')
    const { length } = u8
    const off = this._off
    if (off + length < this._end) {
      const first = this._u8
      for (let i = 0; i < length; i++) if (first[off + i] !== u8[i]) return false
      this._off = off + length
      this._length -= length
      return true
    }
    const there = Math.min(length, this._length)
    if (!sameAt(this._parts, this._head, this.offset, there === length ? u8 : u8.subarray(0, there))) return false
    if (there < length) return undefined
    this.skip(length)
    return true
  }

  /** Drops all. */
  clear(): void {
    this._consume(this._length)
    if (this._chunk === null) this._write.release()
  }

  /** @internal */
  override _putBack(data: AnyBytes): void {
    super._putBack(data)
    this.#needles.clear() // what they know of this place is no longer true
  }

  // ---- looking ------------------------------------------------------------------------------------------------------

  /** Like take, consumes nothing. */
  peek(count?: number): Bytes {
    if (count === undefined || count > this._length) {
      if (count !== undefined && count !== Number.POSITIVE_INFINITY) checkCount(count)
      count = this._length
    } else checkCount(count)
    const { offset } = this
    return bytesOf(sliceParts(this._parts, this._head, offset, offset + count), count)
  }

  /** Where the first whole match inside [start, end) begins, or -1; an empty one is found at `start`. */
  find(delimiter: Delimiter, start?: number, end?: number): number {
    const needle = this.#needles.get(delimiter, this.offset)
    const from = checkIndex(start, 0, 'start')
    const to = checkIndex(end, this._length, 'end')
    if (from > this._length) return -1
    const { offset } = this
    const at = this.#locate(needle, offset + from, offset + Math.min(to, this._length))
    return at === -1 ? -1 : at - offset
  }

  /** One byte, negative from the end; undefined outside. */
  at(index: number): number | undefined {
    const near = this._off + index
    if (index >>> 0 === index && near < this._end) return this._u8[near]
    if (!Number.isInteger(index)) throw new ArgumentError('index', 'a whole number', index)
    const i = index < 0 ? this._length + index : index
    if (i < 0 || i >= this._length) return undefined
    const position = this.offset + i
    const part = this._parts[partAt(this._parts, this._head, position)] as Part
    return part.u8[part.start + position - part.position]
  }

  /** Position of the delimiter's first whole match, or -1; remembers from where on to look the next time. */
  #locate(needle: Needle, from = this.offset, end = this.offset + this._length): number {
    const start = Math.max(from, needle.floor)
    const at = search(this._parts, this._head, needle, start, end)
    if (from <= Math.max(needle.floor, this.offset)) {
      const floor = at === -1 ? end - needle.bytes.length + 1 : at
      if (floor > needle.floor) needle.floor = floor
    }
    return at
  }
}
