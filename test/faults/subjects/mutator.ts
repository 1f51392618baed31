import type { Chance } from '../lab.js'

/** Numbers at which code that reads numbers breaks. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]
const WORDS = ['-1', '0', '99999999999', '9007199254740993', '1e9', '\r\n', '\n', '\0', '\xff', '%', '__proto__']
/** Changes of an input at the most. */
const MOST = 5

/** The input, changed in some of many ways; `others` are what parts can be taken from. */
export function mutate(chance: Chance, input: Uint8Array, others: readonly Uint8Array[]): Uint8Array {
  let bytes: Buffer = Buffer.from(input)
  for (let left = 1 + chance.below(MOST); left > 0; left--) bytes = change(chance, bytes, others)
  return new Uint8Array(bytes)
}

function change(chance: Chance, bytes: Buffer, others: readonly Uint8Array[]): Buffer {
  const at = chance.below(bytes.length + 1)
  const length = 1 + chance.below(Math.min(64, bytes.length + 1))
  const spliced = (insert: Uint8Array, removed = 0): Buffer =>
    Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + removed)])
  switch (chance.below(9)) {
    case 0: // a bit
      if (at < bytes.length) bytes[at] = (bytes[at] as number) ^ (1 << chance.below(8))
      return bytes
    case 1: // a byte
      if (at < bytes.length) bytes[at] = chance.below(256)
      return bytes
    case 2: // a number, of 1, 2, 4 or 8 bytes, in either order
      return number(chance, bytes, at)
    case 3: // something less
      return spliced(new Uint8Array(0), length)
    case 4: // the end is missing
      return bytes.subarray(0, at)
    case 5: // a part twice
      return spliced(bytes.subarray(at, at + length))
    case 6: {
      // a part of another one
      const other = chance.pick(others)
      const from = chance.below(other.length + 1)
      return spliced(other.subarray(from, from + length), chance.below(2) * length)
    }
    case 7: // text that means something
      return spliced(Buffer.from(chance.pick(WORDS), 'latin1'), chance.below(3))
    default: // noise
      return spliced(Buffer.from(Array.from({ length: 1 + chance.below(8) }, () => chance.below(256))))
  }
}

function number(chance: Chance, bytes: Buffer, at: number): Buffer {
  const size = 1 << chance.below(4)
  if (at + size > bytes.length) return bytes
  const value = BigInt(chance.pick(EDGES)) + BigInt(chance.below(3)) - 1n
  const number = Buffer.alloc(8)
  number.writeBigInt64LE(value)
  const part = number.subarray(0, size)
  if (chance.below(2) === 0) part.reverse()
  bytes.set(part, at)
  return bytes
}
