import type { RawOptions } from './lmdb.js'

/**
 * How keys and values pass between the binding and us without an object or a copy for each: the binding asks for a key
 * or hands one over by calling back, and meanwhile they lie here. All is synchronous, so that one place per thread is
 * enough.
 */

/** Stands for the key that {@link aim} was told. Where this is the key, the bytes are not. */
export const AIMED = Object.freeze({ aimed: true })
/** Stands for the value that {@link aimValue} was told. */
export const AIMED_VALUE = Object.freeze({ aimed: true })

let keyBytes: Uint8Array = new Uint8Array(0)
let keyAt = 0
let keyLength = 0

/** Up to here a loop is faster than `set` with the view it takes; measured, 16 bytes take 12 ns and 55 ns. */
const LOOP = 48

/** The key that {@link AIMED} stands for from now on. */
export function aim(bytes: Uint8Array, at: number, length: number): void {
  keyBytes = bytes
  keyAt = at
  keyLength = length
}

function writeKey(key: unknown, target: Uint8Array, at: number): number {
  if (key !== AIMED) {
    const bytes = key as Uint8Array
    target.set(bytes, at)
    return at + bytes.length
  }
  if (keyLength <= LOOP) {
    for (let i = 0; i < keyLength; i++) target[at + i] = keyBytes[keyAt + i] as number
  } else target.set(keyBytes.subarray(keyAt, keyAt + keyLength), at)
  return at + keyLength
}

/** What a cursor stands on; the views are the binding's own memory. */
export const found = {
  key: new Uint8Array(0) as Uint8Array,
  keyLength: 0,
  value: new Uint8Array(0) as Uint8Array,
  valueLength: 0,
}
let foundIn: Uint8Array | undefined
let foundAt = -1

function readKey(target: Uint8Array, from: number, to: number): unknown {
  // Always the same memory at the same place: a view of it once, not once per key.
  if (target !== foundIn || from !== foundAt) {
    foundIn = target
    foundAt = from
    found.key = new Uint8Array(target.buffer, target.byteOffset + from, target.buffer.byteLength - from)
  }
  found.keyLength = to - from
  return AIMED
}

/** The binding's one place for values, as it hands it out and as {@link plain} does. */
let place: Uint8Array | undefined
let plainPlace = new Uint8Array(0) as Uint8Array

/**
 * A value that the binding has found, without what makes its one place for small values special: there `length` is a
 * property of its own, and each access to a byte is slower for that. Measured: 8 ns of 60 for a checksum.
 */
export function plain(bytes: Uint8Array): Uint8Array {
  if (bytes === place) return plainPlace
  const { isGlobal, maxLength } = bytes as { isGlobal?: boolean; maxLength?: number }
  // Large values have a view each.
  if (isGlobal !== true || maxLength === undefined) return bytes
  place = bytes
  plainPlace = new Uint8Array(bytes.buffer, bytes.byteOffset, maxLength)
  return plainPlace
}

/** What the binding takes for a buffer with `start` and `end`; `address` it fills in and keeps. */
const value = { buffer: new ArrayBuffer(0) as ArrayBufferLike, start: 0, end: 0, address: 0 }

/** The value that {@link AIMED_VALUE} stands for from now on. Its memory must not be shared between threads. */
export function aimValue(bytes: Uint8Array, at: number, length: number): void {
  if (value.buffer !== bytes.buffer) {
    value.buffer = bytes.buffer
    value.address = 0
  }
  value.start = bytes.byteOffset + at
  value.end = value.start + length
}

/** For every database that is opened. */
export const RAW_OPTIONS: RawOptions = {
  keyEncoder: { writeKey, readKey },
  encoder: {
    // Tells the binding that the memory may be used again after the call.
    copyBuffers: true,
    encode: () => value,
    decode: (bytes: Uint8Array, length: number) => {
      found.value = plain(bytes)
      found.valueLength = length
      return AIMED_VALUE
    },
  },
}
