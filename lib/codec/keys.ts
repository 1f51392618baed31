import type { Key, KeyCodec } from '../../types/key.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { fromU64 } from '../base/u64.js'
import { decodeTagged, encodeTagged, TUPLE } from './any-key.js'
import { badKey, readUtf8, writeUtf8 } from './key-text.js'

export { badKey } from './key-text.js'

/** Bytes a key may have at most; an engine may take fewer. */
export const MOST_KEY_BYTES = 0xffff
/** Bytes tried first. */
const USUAL = 64

/** The built-in codecs: {@link Key}s of any type · UTF-8, not `''` · bytes as they are, not none · a label, 0 … 2^64−1. */
export type KeyCodecName = 'any' | 'string' | 'bytes' | 'u64'

type EncodeInto<K> = (key: K, target: Uint8Array, at: number) => number

/** A codec of its two halves; `encode` is made of `encodeInto`. */
function codec<K>(
  name: string,
  encodeInto: EncodeInto<K>,
  decode: (data: Uint8Array) => K,
): KeyCodec<K> & { encodeInto: EncodeInto<K> } {
  return { name, encodeInto, decode, encode: (key) => encodeWith(encodeInto, key) }
}

function encodeWith<K>(encodeInto: EncodeInto<K>, key: K): Uint8Array {
  let target = new Uint8Array(USUAL)
  let end = encodeInto(key, target, 0)
  if (end > target.length) {
    if (end > MOST_KEY_BYTES) throw tooLong(end)
    target = new Uint8Array(end)
    end = encodeInto(key, target, 0)
  }
  return target.slice(0, end)
}

function tooLong(length: number): StoreError {
  const fields = { reason: 'too long', length, limit: MOST_KEY_BYTES }
  return new StoreError('MILL_BAD_KEY', `The key is too long: ${length} bytes, of at most ${MOST_KEY_BYTES}`, fields)
}

const any = codec<Key>('any', encodeTagged, decodeTagged)

const string = codec<string>(
  'string',
  (key, target, at) => {
    if (typeof key !== 'string' || key === '') throw badKey('it must be a string of at least one character', key)
    return writeUtf8(key, target, at)
  },
  (data) => {
    if (data.length === 0) throw badKey('it has no bytes', data)
    return readUtf8(data)
  },
)

const bytes = codec<Uint8Array>(
  'bytes',
  (key, target, at) => {
    if (!(key instanceof Uint8Array) || key.length === 0) throw badKey('it must be at least one byte', key)
    if (at + key.length <= target.length) target.set(key, at)
    return at + key.length
  },
  (data) => {
    if (data.length === 0) throw badKey('it has no bytes', data)
    return new Uint8Array(data)
  },
)

const LIMIT = 1n << 64n

const u64 = codec<number | bigint>(
  'u64',
  (key, target, at) => {
    if (at + 8 > target.length) return at + 8
    let high: number
    let low: number
    if (typeof key === 'number' && Number.isSafeInteger(key) && key >= 0) {
      high = Math.floor(key / 2 ** 32)
      low = key >>> 0
    } else if (typeof key === 'bigint' && key >= 0n && key < LIMIT) {
      high = Number(key >> 32n)
      low = Number(key & 0xffff_ffffn)
    } else throw badKey('it must be a safe integer >= 0 or a bigint below 2^64', key)
    for (let i = 3; i >= 0; i--, high >>>= 8, low >>>= 8) {
      target[at + i] = high
      target[at + 4 + i] = low
    }
    return at + 8
  },
  (data) => {
    if (data.length !== 8) throw badKey('it must have 8 bytes', data)
    const view = new DataView(data.buffer, data.byteOffset, 8)
    return fromU64(view.getBigUint64(0))
  },
)

const BUILT_IN = new Map<unknown, KeyCodec<never>>(
  [any, string, bytes, u64].map((made) => [made.name, made as unknown as KeyCodec<never>]),
)

/**
 * The codec for what an option `key` says: a built-in name, a codec of your own, or nothing for `'any'`. Throws
 * `MILL_INVALID_ARGUMENT` for anything else.
 */
export function keyCodecOf<K = Key>(key?: KeyCodecName | KeyCodec<K>, argument = 'options.key'): KeyCodec<K> {
  const builtIn = BUILT_IN.get(key === undefined ? 'any' : key)
  if (builtIn !== undefined) return builtIn as unknown as KeyCodec<K>
  const own = key as Partial<KeyCodec<K>> | null
  if (typeof own?.name === 'string' && (BUILT_IN.get(own.name) as unknown) === own) return own as KeyCodec<K>
  const complete =
    typeof own === 'object' &&
    typeof own?.name === 'string' &&
    own.name !== '' &&
    typeof own.encode === 'function' &&
    typeof own.decode === 'function' &&
    (own.encodeInto === undefined || typeof own.encodeInto === 'function')
  if (complete && !BUILT_IN.has(own.name)) return own as KeyCodec<K>
  throw new ArgumentError(argument, "'any', 'string', 'bytes', 'u64' or a codec with a name of its own", key)
}

/**
 * What the keys begin with that begin with `prefix`: a string, bytes, or the first elements of a tuple. Throws
 * `MILL_BAD_KEY` for what can be no such beginning.
 */
export function encodePrefix<K>(keys: KeyCodec<K>, prefix: K): Uint8Array {
  if (keys.name === 'u64') throw badKey('labels have no prefix', prefix)
  if (keys.name === 'any' && (typeof prefix === 'number' || typeof prefix === 'bigint')) {
    throw badKey('a number is no prefix', prefix)
  }
  const empty = keys.name === 'string' ? prefix === '' : prefix instanceof Uint8Array && prefix.length === 0
  if (empty && keys.name !== 'any') return new Uint8Array(0)
  return keys.encode(prefix)
}

/**
 * Bytes above all keys that begin with an encoded prefix, and not above any other key; undefined where there are none
 * (`ff ff …`, or nothing).
 */
export function afterPrefix<K>(keys: KeyCodec<K>, prefix: Uint8Array): Uint8Array | undefined {
  if (keys.name === 'any' && prefix[0] === TUPLE) {
    // Behind a whole element comes another one, which begins with a type, or the end. An `ff` there is none: it says
    // that the zero before it belongs to a longer string than the one that was given.
    const after = new Uint8Array(prefix.length + 1)
    after.set(prefix)
    after[prefix.length] = 0xff
    return after
  }
  let length = prefix.length
  while (length > 0 && prefix[length - 1] === 0xff) length--
  if (length === 0) return undefined
  const after = prefix.slice(0, length)
  after[length - 1] = (after[length - 1] as number) + 1
  return after
}
