import { BufferError, type Bytes } from 'millrace'

/** 0..15 for a hexadecimal digit, else -1. */
export function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

/** Is each byte one that a name may have (RFC 9110's `tchar`)? */
const nameBytes = new Uint8Array(256)
for (const character of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  nameBytes[character.charCodeAt(0)] = 1
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Blank, tab, or a character one can see; no other control character, so neither CR nor LF. */
const isText = (byte: number): boolean => byte === 0x09 || (byte >= 0x20 && byte !== 0x7f)

/** Checks `;name=value;name="quoted \" value"`, from `at` to the end of the line. No blanks outside of quotes. */
export function checkExtensions(line: Bytes, at: number, offset: number): void {
  while (at < line.length) {
    if (line.at(at) !== 0x3b) throw unexpected(line, at, offset, 'a semicolon')
    at = name(line, at + 1, offset)
    if (line.at(at) !== 0x3d) continue
    at = line.at(at + 1) === QUOTE ? quoted(line, at + 2, offset) : name(line, at + 1, offset)
  }
}

/** Checks `Name: value` and returns where the colon is. */
export function checkField(line: Bytes, offset: number): number {
  const colon = name(line, 0, offset)
  if (line.at(colon) !== 0x3a) throw unexpected(line, colon, offset, 'a colon')
  for (let at = colon + 1; at < line.length; at++) {
    if (!isText(line.at(at) as number)) throw unexpected(line, at, offset, 'text')
  }
  return colon
}

/** Where the name that starts at `at` ends. */
function name(line: Bytes, at: number, offset: number): number {
  const start = at
  while (nameBytes[line.at(at) ?? 0] === 1) at++
  if (at === start) throw unexpected(line, at, offset, 'a name')
  return at
}

/** Where the quoted string that starts at `at` (after its quote) ends. */
function quoted(line: Bytes, at: number, offset: number): number {
  for (; ; at++) {
    const byte = line.at(at)
    if (byte === QUOTE) return at + 1
    if (byte === BACKSLASH) at++
    const text = line.at(at)
    if (text === undefined || !isText(text)) throw unexpected(line, at, offset, 'a quoted string')
  }
}

function unexpected(line: Bytes, at: number, offset: number, wanted: string): BufferError {
  const found = line.slice(at, at + 1).copy()
  const message = `expected ${wanted} at offset ${offset + at}`
  return new BufferError('MILL_UNEXPECTED_BYTES', message, { found, offset: offset + at })
}
