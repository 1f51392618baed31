import { Packr, RESET_BUFFER_MODE, REUSE_BUFFER_MODE, Unpackr } from 'msgpackr'
import type { PlacedSerializer } from './contract.js'

const OPTIONS = { structuredClone: true, moreTypes: true, copyBuffers: true } as const

const packer = new Packr({
  ...OPTIONS,
  // It would become `undefined` without a word.
  writeFunction() {
    throw new TypeError('a function can not be kept')
  },
})
// One of its own: record shapes that were met while packing must not be believed while unpacking.
const unpacker = new Unpackr(OPTIONS)

/** The part of Node's Buffer that makes one of a view: what was a Buffer comes back as one only if it is read from one. */
interface Natives {
  from(memory: ArrayBufferLike, at: number, length: number): Uint8Array
  isBuffer(value: unknown): boolean
}
const natives = (globalThis as { Buffer?: Natives }).Buffer

/** Packed bytes stay in msgpackr's memory, at `start` to `end`; where ids had to be put in, it returns a view instead. */
interface Packed extends Uint8Array {
  start?: number
  end?: number
}

/** A value is being packed. All packers share one piece of memory: a getter that packs another would spoil both. */
let packing = false

function pack(value: unknown): Uint8Array {
  if (packing) throw new TypeError('another value is being packed, whose getter wants this one packed')
  packing = true
  let packed: Packed
  try {
    packed = packer.pack(value, REUSE_BUFFER_MODE | RESET_BUFFER_MODE)
  } finally {
    packing = false
  }
  const { start, end } = packed
  if (start === undefined || end === undefined) return packed
  packed.start = packed.end = undefined as never
  return packed.subarray(start, end)
}

/** Memory up to this size is remembered as a Buffer: what is read again and again lies in one place. */
const KEPT = 131_072
let seen: Uint8Array | undefined
let seenBuffer = new Uint8Array(0) as Uint8Array

/** The same memory as a Buffer, where there are such. */
function asBuffer(data: Uint8Array): Uint8Array {
  if (data === seen) return seenBuffer
  if (natives === undefined || natives.isBuffer(data)) return data
  const made = natives.from(data.buffer, data.byteOffset, data.length)
  if (data.length > KEPT) return made
  seen = data
  seenBuffer = made
  return made
}

/**
 * MessagePack with what structured clones have: Date, Map, Set, RegExp, Error, bigint, typed arrays, Buffer, cycles, NaN
 * and `undefined` within objects. It loses −0, holes of arrays, lone surrogates and what is not a property; instances of
 * classes become plain objects, a `__proto__` key is renamed. Functions and symbols are refused.
 */
export const msgpack: PlacedSerializer<unknown> = {
  name: 'msgpack',
  exact: false,
  encode: (value) => new Uint8Array(pack(value)),
  decode: (data) => msgpack.decodeFrom(data, 0, data.length),
  encodeInto(value, target, at) {
    const packed = pack(value)
    if (at + packed.length <= target.length) target.set(packed, at)
    return at + packed.length
  },
  decodeFrom: (data, from, to) => unpacker.unpack(asBuffer(data), { start: from, end: to }),
}
