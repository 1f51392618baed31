// What the contestants read: built once, the same for all of them.
import { Readable } from 'node:stream'

/** How the pieces come: half of what Node's sockets read at most, and what its files give. */
export const PIECE = 65536

/** Printable bytes that do not repeat soon: a message that is off by one byte is another message. */
const noise = (() => {
  const bytes = Buffer.allocUnsafeSlow(PIECE * 2)
  for (let i = 0, state = 1; i < bytes.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    bytes[i] = 33 + ((state >>> 16) % 94)
  }
  return bytes
})()

/** @param {number} index @param {number} size @returns {Buffer} the body of message number `index`, at most 64 KiB + 64 */
export const body = (index, size) => noise.subarray(index % 61, (index % 61) + size)

/** Cuts into pieces that have their memory for themselves, as reads have. @param {Buffer} whole @param {number} [size] */
export function cut(whole, size = PIECE) {
  /** @type {Buffer[]} */
  const pieces = []
  for (let at = 0; at < whole.length; at += size) {
    const piece = Buffer.allocUnsafeSlow(Math.min(size, whole.length - at))
    whole.copy(piece, 0, at)
    pieces.push(piece)
  }
  return pieces
}

/** The same memory as plain arrays, for who is faster with them. @param {Buffer[]} pieces */
export const plain = (pieces) => pieces.map((piece) => new Uint8Array(piece.buffer, piece.byteOffset, piece.length))

/** @param {number} count @param {(index: number) => (string | Uint8Array)[]} parts of message number `index` */
export function repeat(count, parts) {
  const all = []
  for (let i = 0; i < count; i++)
    for (const part of parts(i)) all.push(typeof part === 'string' ? Buffer.from(part) : part)
  const whole = Buffer.concat(all)
  return { count, whole, pieces: cut(whole) }
}

/** `<length>\r\n<payload>\r\n`, about `bytes` of them. @param {number} size of a payload @param {number} bytes */
export function messages(size, bytes) {
  const header = `${size}\r\n`
  const count = Math.ceil(bytes / (header.length + size + 2))
  return repeat(count, (i) => [header, body(i, size), '\r\n'])
}

/** A Node stream that always has its next piece ready, as a file in the page cache. @param {Buffer[]} pieces */
export function source(pieces) {
  let next = 0
  return new Readable({
    highWaterMark: 65536,
    read() {
      this.push(next < pieces.length ? pieces[next++] : null)
    },
  })
}
