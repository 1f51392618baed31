import type { Codec } from '../../types/codec.js'
import { crc32cOf, PlacedCrc32c } from '../base/crc32c.js'
import { CodecError, StoreError } from '../base/errors.js'
import { difference } from '../codec/fidelity.js'
import type { PlacedSerializer } from '../codec/serializer.js'

/** Payloads from so many bytes on are worth compressing. */
const COMPRESS_FROM = 512
const CRC_BYTES = 4
/** Room that a small value finds at once. */
const SMALL = 256
const PLAIN = 0
const COMPRESSED = 1

/** How the values of one map are kept. */
export interface ValueOptions<V> {
  readonly serializer: PlacedSerializer<V>
  /** Undefined: values are never compressed, and records have no byte that says so. */
  readonly codec: Codec | undefined
  readonly checksum: boolean
  /** Bytes of a value, serialized, before and after compression. */
  readonly maxValueBytes: number
  /** For errors. */
  readonly path: string
  readonly name: string
}

/**
 * Values to records and back: `[u32 crc32c, if checksum] [u8 0 plain, 1 compressed, if compress] payload`, little-endian.
 * The checksum is of the encoded key and of all that follows itself, so that a value which ends up under another key is
 * found.
 */
export class ValueCodec<V> {
  readonly serializer: PlacedSerializer<V>
  readonly #codec: Codec | undefined
  readonly #checksum: boolean
  readonly #most: number
  /** Bytes before the payload. */
  readonly #head: number
  readonly #path: string
  readonly #name: string
  /** Keys and records that are read lie at the same two places again and again. */
  readonly #keyCrc = new PlacedCrc32c()
  readonly #recordCrc = new PlacedCrc32c()

  constructor(options: ValueOptions<V>) {
    this.serializer = options.serializer
    this.#codec = options.codec
    this.#checksum = options.checksum
    this.#most = options.maxValueBytes
    this.#head = (options.checksum ? CRC_BYTES : 0) + (options.codec === undefined ? 0 : 1)
    this.#path = options.path
    this.#name = options.name
  }

  /**
   * Writes the record of a value into `target` from `at` on and returns where it ends; a result above `target.length`
   * says how much room it needs. Throws `MILL_SERIALIZE`, `MILL_TOO_LARGE`.
   */
  encodeInto(value: V, key: Uint8Array, keyAt: number, keyLength: number, target: Uint8Array, at: number): number {
    if (value === undefined) throw this.#unserializable('undefined is no value', undefined)
    const from = at + this.#head
    let to: number
    try {
      to = this.serializer.encodeInto(value, target, from)
    } catch (cause) {
      throw this.#unserializable((cause as Error | undefined)?.message ?? 'it threw', cause)
    }
    if (to - from > this.#most) throw this.#tooLarge(to - from)
    return to > target.length ? to : this.#finish(key, keyAt, keyLength, target, at, to)
  }

  /** The record of a value, in memory of its own. Throws as {@link encodeInto} does. */
  record(value: V, key: Uint8Array): Uint8Array {
    let target = new Uint8Array(SMALL)
    let end = this.encodeInto(value, key, 0, key.length, target, 0)
    while (end > target.length) {
      target = new Uint8Array(end)
      end = this.encodeInto(value, key, 0, key.length, target, 0)
    }
    return target.subarray(0, end)
  }

  /** The same for a payload that is there already: the bytes of `payload` from `from` to `to`. */
  wrapInto(
    payload: Uint8Array,
    from: number,
    to: number,
    key: Uint8Array,
    keyAt: number,
    keyLength: number,
    target: Uint8Array,
    at: number,
  ): number {
    if (to - from > this.#most) throw this.#tooLarge(to - from)
    const start = at + this.#head
    const end = start + to - from
    if (end > target.length) return end
    target.set(payload.subarray(from, to), start)
    return this.#finish(key, keyAt, keyLength, target, at, end)
  }

  #finish(key: Uint8Array, keyAt: number, keyLength: number, target: Uint8Array, at: number, to: number): number {
    let end = to
    if (this.#codec !== undefined) {
      const from = at + this.#head
      target[from - 1] = PLAIN
      if (to - from >= COMPRESS_FROM) {
        const packed = this.#codec.encode(target.subarray(from, to))
        if (packed.length < to - from) {
          target[from - 1] = COMPRESSED
          target.set(packed, from)
          end = from + packed.length
        }
      }
    }
    if (this.#checksum) {
      const crc = crc32cOf(target, at + CRC_BYTES, end, crc32cOf(key, keyAt, keyAt + keyLength))
      target[at] = crc
      target[at + 1] = crc >>> 8
      target[at + 2] = crc >>> 16
      target[at + 3] = crc >>> 24
    }
    return end
  }

  /**
   * The value of a record, `length` bytes of `data` from `at` on, that was found under the first `keyLength` bytes of
   * `key`. Shares no memory with either. Throws `MILL_BAD_CRC`, `MILL_DECODE`, `MILL_TOO_LARGE`.
   */
  decode(key: Uint8Array, keyLength: number, data: Uint8Array, at: number, length: number): V {
    const from = at + this.#head
    const to = at + length
    if (this.#checksum) this.#check(key, keyLength, data, at, to)
    if (to < from) throw this.#undecodable(key, keyLength, new RangeError('the record is cut short'))
    if (to - from > this.#most) throw this.#tooLarge(to - from)
    try {
      if (this.#codec === undefined || data[from - 1] === PLAIN) return this.serializer.decodeFrom(data, from, to)
      if (data[from - 1] !== COMPRESSED) throw new RangeError('it is neither plain nor compressed')
      const packed = new Uint8Array(data.buffer, data.byteOffset + from, to - from)
      const payload = this.#codec.decode(packed, this.#most)
      return this.serializer.decodeFrom(payload, 0, payload.length)
    } catch (cause) {
      if (cause instanceof CodecError && cause.code === 'MILL_TOO_LARGE') throw this.#tooLarge(cause.length ?? 0, cause)
      throw this.#undecodable(key, keyLength, cause)
    }
  }

  #check(key: Uint8Array, keyLength: number, data: Uint8Array, at: number, to: number): void {
    const found =
      ((data[at] as number) |
        ((data[at + 1] as number) << 8) |
        ((data[at + 2] as number) << 16) |
        ((data[at + 3] as number) << 24)) >>>
      0
    if (to - at >= CRC_BYTES) {
      const crc = this.#recordCrc.of(data, at + CRC_BYTES, to, this.#keyCrc.of(key, 0, keyLength))
      if (crc === found) return
    }
    const fields = { path: this.#path, map: this.#name, key: key.slice(0, keyLength) }
    throw new StoreError('MILL_BAD_CRC', 'The stored value is not the one that was stored for this key', fields)
  }

  /** Throws `MILL_FIDELITY` if the record, just written to `data`, gives back another value. */
  verify(value: V, key: Uint8Array, keyLength: number, data: Uint8Array, at: number, length: number): void {
    if (this.serializer.exact) return
    const path = difference(value, this.decode(key, keyLength, data, at, length))
    if (path === undefined) return
    const { name } = this.serializer
    const where = path === '' ? 'The value' : `The value's ${path}`
    const way = name === 'msgpack' ? ": take 'v8' or another shape" : ''
    throw new StoreError('MILL_FIDELITY', `${where} would come back different from the serializer ${name}${way}`, {
      path,
      map: this.#name,
      serializer: name,
    })
  }

  #unserializable(why: string, cause: unknown): StoreError {
    const { name } = this.serializer
    const fields = { map: this.#name, serializer: name, ...(cause !== undefined && { cause }) }
    return new StoreError('MILL_SERIALIZE', `The serializer ${name} can not keep this value: ${why}`, fields)
  }

  #undecodable(key: Uint8Array, keyLength: number, cause: unknown): StoreError {
    const { name } = this.serializer
    const fields = { path: this.#path, map: this.#name, key: key.slice(0, keyLength), serializer: name, cause }
    const why = (cause as Error | undefined)?.message ?? String(cause)
    return new StoreError('MILL_DECODE', `The serializer ${name} can not read the stored value: ${why}`, fields)
  }

  #tooLarge(length: number, cause?: unknown): StoreError {
    const limit = this.#most
    const fields = { map: this.#name, length, limit, ...(cause !== undefined && { cause }) }
    return new StoreError('MILL_TOO_LARGE', `A value of ${length} bytes, of at most ${limit}`, fields)
  }
}
