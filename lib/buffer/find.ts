import type { Delimiter } from '../../types/bytes.js'
import { equalBytes, indexOfByte, isBytesLike, toUint8Array } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import type { Part } from './memory.js'

/** Up to this length a hit of the last byte is compared backwards; beyond it that could cost n times m. */
const COMPARE_UP_TO = 32

/** A delimiter made ready to be searched for, with what is known of the place it was searched in. */
export class Needle {
  /** The string or byte it was given as; undefined for bytes. */
  readonly key: string | number | undefined
  readonly bytes: Uint8Array
  /** It does not start before this position. */
  floor: number
  /**
   * For long needles: it starts nowhere in [origin, scanned - matched], and the bytes up to `scanned` end with its first
   * `matched` bytes.
   */
  origin: number
  scanned: number
  matched = 0
  #borders: Int32Array | undefined

  /** Nothing is known yet of what lies from `floor` on, and nobody asks for what lies before it. */
  constructor(delimiter: Delimiter, floor = 0) {
    this.key = typeof delimiter === 'string' || typeof delimiter === 'number' ? delimiter : undefined
    // A copy, since the caller may change theirs. Not by slice(): that of a Buffer is a view.
    this.bytes = new Uint8Array(delimiterBytes(delimiter))
    this.floor = this.origin = this.scanned = floor
  }

  is(delimiter: Delimiter): boolean {
    if (typeof delimiter === 'object')
      return this.key === undefined && equalBytes(this.bytes, delimiterBytes(delimiter))
    return delimiter !== undefined && this.key === delimiter
  }

  /** Knuth–Morris–Pratt: for each prefix, the length of its longest border. */
  get borders(): Int32Array {
    if (this.#borders !== undefined) return this.#borders
    const { bytes } = this
    const borders = new Int32Array(bytes.length)
    for (let i = 1, k = 0; i < bytes.length; i++) {
      while (k > 0 && bytes[i] !== bytes[k]) k = borders[k - 1] as number
      if (bytes[i] === bytes[k]) k++
      borders[i] = k
    }
    this.#borders = borders
    return borders
  }
}

/** Delimiters of a queue whose search position is remembered. */
const REMEMBERED = 4

/** The last few delimiters a queue was searched for. */
export class Needles {
  #list: Needle[] = []
  #oldest = 0

  /**
   * The delimiter made ready, with the memory of where it was searched. A new one has not been looked for from `offset`
   * on, where the queue begins. Throws `MILL_INVALID_ARGUMENT`.
   */
  get(delimiter: Delimiter, offset: number): Needle {
    const list = this.#list
    for (let i = 0; i < list.length; i++) {
      const needle = list[i] as Needle
      if (needle.is(delimiter)) return needle
    }
    const needle = new Needle(delimiter, offset)
    if (list.length < REMEMBERED) list.push(needle)
    else list[this.#oldest++ % REMEMBERED] = needle
    return needle
  }

  clear(): void {
    this.#list = []
  }
}

/** What a delimiter stands for, as bytes. Points where it can. Throws `MILL_INVALID_ARGUMENT`. */
export function delimiterBytes(delimiter: Delimiter, argument = 'delimiter'): Uint8Array {
  if (typeof delimiter === 'number') {
    if (delimiter >= 0 && delimiter <= 255 && Number.isInteger(delimiter)) {
      singles[delimiter] ??= Uint8Array.of(delimiter)
      return singles[delimiter]
    }
    throw new ArgumentError(argument, 'a byte from 0 to 255', delimiter)
  }
  if (typeof delimiter === 'string') return encoded(delimiter)
  if (isBytesLike(delimiter)) return toUint8Array(delimiter)
  throw new ArgumentError(argument, 'a byte, a string or bytes', delimiter)
}

/** Single bytes that were used as delimiters. */
const singles: Uint8Array[] = []
/** Strings that were used as delimiters: encoding one costs 20 times as much as comparing it. A parser uses few. */
const known = new Map<string, Uint8Array>()
const KNOWN = 64

let lastText = ''
let lastBytes: Uint8Array = new Uint8Array(0)

function encoded(text: string): Uint8Array {
  if (text === lastText) return lastBytes
  let bytes = known.get(text)
  if (bytes === undefined) {
    bytes = toUint8Array(text)
    if (bytes.length > COMPARE_UP_TO) return bytes
    if (known.size < KNOWN) known.set(text, bytes)
  }
  lastText = text
  lastBytes = bytes
  return bytes
}

/** The index of the part that contains `position`; the parts cover it. */
export function partAt(parts: readonly Part[], head: number, position: number): number {
  let low = head
  let high = parts.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((parts[middle] as Part).position <= position) low = middle
    else high = middle - 1
  }
  return low
}

/**
 * The position of the first whole match inside [from, end), or -1. Linear in the bytes looked at, whatever their content
 * and however they are cut.
 */
export function search(parts: readonly Part[], head: number, needle: Needle, from: number, end: number): number {
  const { length } = needle.bytes
  if (end - from < length) return -1
  if (length === 0) return from
  return length > COMPARE_UP_TO
    ? searchLong(parts, head, needle, from, end)
    : searchShort(parts, head, needle, from, end)
}

function searchShort(parts: readonly Part[], head: number, needle: Needle, from: number, end: number): number {
  const { bytes } = needle
  const before = bytes.length - 1
  const last = bytes[before] as number
  let position = from + before
  for (let i = partAt(parts, head, position); i < parts.length && position < end; i++) {
    const part = parts[i] as Part
    // A memory that is filled only in part is looked at through a view that ends with the data: behind it are stale bytes.
    if (part.seen.length !== part.end) part.seen = part.u8.subarray(0, part.end)
    const shift = part.position - part.start
    let at = indexOfByte(part.seen, last, position - shift)
    while (at !== -1 && at + shift < end) {
      if (before === 0 || endsHere(parts, i, at - 1, bytes, before - 1)) return at + shift - before
      at = indexOfByte(part.seen, last, at + 1)
    }
    position = part.end + shift
  }
  return -1
}

/** Do the bytes up to `at` of part `i` end with the first `last + 1` bytes? Goes back over borders of parts. */
function endsHere(parts: readonly Part[], i: number, at: number, bytes: Uint8Array, last: number): boolean {
  let part = parts[i] as Part
  for (; last >= 0; last--, at--) {
    while (at < part.start) {
      part = parts[--i] as Part
      at = part.end - 1
    }
    if (part.u8[at] !== bytes[last]) return false
  }
  return true
}

/** Goes on where the last search for this needle stopped, if that one has seen all that lies between. */
function searchLong(parts: readonly Part[], head: number, needle: Needle, from: number, end: number): number {
  const { bytes, borders } = needle
  let { scanned, matched } = needle
  if (from < needle.origin || scanned - matched < from || scanned > end) {
    needle.origin = scanned = from
    matched = 0
  }
  for (let i = partAt(parts, head, scanned); i < parts.length && scanned < end; i++) {
    const { u8, start, end: partEnd, position } = parts[i] as Part
    const to = Math.min(partEnd, end - position + start)
    for (let at = scanned - position + start; at < to; at++) {
      const byte = u8[at]
      while (matched > 0 && byte !== bytes[matched]) matched = borders[matched - 1] as number
      if (byte === bytes[matched]) matched++
      if (matched === bytes.length) {
        const found = at + 1 + position - start - matched
        needle.scanned = found
        needle.matched = 0
        return found
      }
    }
    scanned = to + position - start
  }
  needle.scanned = scanned
  needle.matched = matched
  return -1
}
