import type { Delimiter } from '../../types/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { delimiterBytes } from './find.js'
import type { Part } from './memory.js'

/** What is cut here, namely `Bytes`: said by what is needed of them, for they need this file. */
interface Cuttable<B> {
  readonly length: number
  find(delimiter: Delimiter, start?: number): number
  slice(start?: number, end?: number): B
}

/** Space, TAB, LF, VT, FF, CR: what Python's `bytes` calls whitespace. */
const WHITESPACE = Uint8Array.of(32, 9, 10, 11, 12, 13)
const LF = 10
const CR = 13

function tableOf(set: Uint8Array): Uint8Array {
  const table = new Uint8Array(256)
  for (const byte of set) table[byte] = 1
  return table
}
const white = tableOf(WHITESPACE)

/** All bytes with their indices, piece by piece. */
function* piecewise(pieces: readonly Part[]): Generator<{ u8: Uint8Array; at: number }> {
  for (const { u8, start, end, position } of pieces) yield { u8: u8.subarray(start, end), at: position }
}

/** At each separator; at most `most + 1` pieces. */
export function splitOn<B>(bytes: Cuttable<B>, separator: Delimiter, most: number): B[] {
  const { length } = delimiterBytes(separator, 'separator')
  if (length === 0) throw new ArgumentError('separator', 'not empty', separator)
  const out: B[] = []
  let from = 0
  while (out.length < most) {
    const at = bytes.find(separator, from)
    if (at === -1) break
    out.push(bytes.slice(from, at))
    from = at + length
  }
  out.push(bytes.slice(from))
  return out
}

/** At runs of whitespace, none of which is kept. */
export function splitWhitespace<B>(bytes: Cuttable<B>, pieces: readonly Part[], most: number): B[] {
  const out: B[] = []
  let from = -1
  for (const { u8, at } of piecewise(pieces)) {
    for (let i = 0; i < u8.length; i++) {
      if (white[u8[i] as number] === 1) {
        if (from !== -1) out.push(bytes.slice(from, at + i))
        from = -1
      } else if (from === -1) {
        from = at + i
        // The last piece is all the rest, with the whitespace behind it.
        if (out.length >= most) {
          out.push(bytes.slice(from))
          return out
        }
      }
    }
  }
  if (from !== -1) out.push(bytes.slice(from))
  return out
}

/** At LF, CRLF and CR. */
export function splitLines<B>(bytes: Cuttable<B>, pieces: readonly Part[], keepEnds: boolean): B[] {
  const out: B[] = []
  let from = 0
  let afterCr = false
  const cut = (end: number, next: number): void => {
    out.push(bytes.slice(from, keepEnds ? next : end))
    from = next
  }
  for (const { u8, at } of piecewise(pieces)) {
    for (let i = 0; i < u8.length; i++) {
      const byte = u8[i]
      if (afterCr) {
        afterCr = false
        if (byte === LF) {
          cut(at + i - 1, at + i + 1)
          continue
        }
        cut(at + i - 1, at + i)
      }
      if (byte === LF) cut(at + i, at + i + 1)
      else if (byte === CR) afterCr = true
    }
  }
  if (afterCr) cut(bytes.length - 1, bytes.length)
  if (from < bytes.length) out.push(bytes.slice(from))
  return out
}

/** Without the bytes of `set` (whitespace) at both ends. */
export function stripped<B>(bytes: Cuttable<B>, pieces: readonly Part[], set?: Delimiter): B {
  const table = set === undefined ? white : tableOf(delimiterBytes(set, 'set'))
  let start = 0
  search: for (const { u8, at } of piecewise(pieces)) {
    for (let i = 0; i < u8.length; i++) {
      if (table[u8[i] as number] === 0) break search
      start = at + i + 1
    }
  }
  return bytes.slice(start, endOf(pieces, bytes.length, start, table))
}

/** Where the bytes end when those of the table are dropped from the end, not going below `start`. */
function endOf(pieces: readonly Part[], length: number, start: number, table: Uint8Array): number {
  let end = length
  for (let p = pieces.length - 1; p >= 0; p--) {
    const piece = pieces[p] as Part
    for (let i = piece.end - 1; i >= piece.start; i--, end--) {
      if (end <= start || table[piece.u8[i] as number] === 0) return end
    }
  }
  return end
}
