import type { BytesLike } from '../../types/bytes.js'
import type { Codec, Serializer } from '../../types/codec.js'
import type { Label, MapBufferReadOptions } from '../../types/mapbuffer.js'
import { isBytesLike, toUint8Array } from '../base/bytes.js'
import { crc32c } from '../base/crc32c.js'
import { ArgumentError, CodecError, isMillraceError, MapBufferError } from '../base/errors.js'
import { codecOf, loadCodec } from '../codec/index.js'
import { CRC_BYTES, dataStart, type Header, readU32 } from './format.js'

/** Bytes a value may have unless `maxValueBytes` says otherwise: values of 16 MiB are real, bombs of a few bytes are too. */
export const MAX_VALUE_BYTES = 2 ** 28

/** {@link MapBufferReadOptions}, checked and complete. */
export interface ReadSettings<V> {
  readonly serializer: Serializer<V> | undefined
  readonly strict: boolean
  readonly crc: boolean
  readonly bigint: boolean
  readonly lookup: 'auto' | 'search' | 'hash'
  readonly maxValueBytes: number
}

/** The options with their defaults. Throws `MILL_INVALID_ARGUMENT`. */
export function readOptions<V>(options: MapBufferReadOptions<V> = {}): ReadSettings<V> {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const { serializer, strict = true, crc = true, bigint = false, maxValueBytes = MAX_VALUE_BYTES } = options
  if (serializer !== undefined && typeof serializer?.decode !== 'function') {
    throw new ArgumentError('options.serializer', 'an object with encode() and decode()', serializer)
  }
  checkFlag(strict, 'options.strict')
  checkFlag(crc, 'options.crc')
  checkFlag(bigint, 'options.bigint')
  if (!(typeof maxValueBytes === 'number' && maxValueBytes >= 0)) {
    throw new ArgumentError('options.maxValueBytes', 'a number of bytes >= 0', maxValueBytes)
  }
  return { serializer, strict, crc, bigint, lookup: checkLookup(options.lookup), maxValueBytes }
}

/** `options.lookup`, or its default. Throws `MILL_INVALID_ARGUMENT`. */
export function checkLookup(lookup: unknown = 'auto'): 'auto' | 'search' | 'hash' {
  if (lookup === 'auto' || lookup === 'search' || lookup === 'hash') return lookup
  throw new ArgumentError('options.lookup', "'auto', 'search' or 'hash'", lookup)
}

/** Throws `MILL_INVALID_ARGUMENT` unless it is true or false. */
export function checkFlag(value: unknown, argument: string): void {
  if (typeof value !== 'boolean') throw new ArgumentError(argument, 'true or false', value)
}

/** The memory a map is read from. A string is no bytes here but, most likely, a path. Throws `MILL_INVALID_ARGUMENT`. */
export function checkBytes(bytes: BytesLike): Uint8Array {
  if (isBytesLike(bytes)) return toUint8Array(bytes)
  throw new ArgumentError('bytes', 'the bytes of a file (a file is opened by another function)', bytes)
}

/** Turns the stored bytes of an entry into its value: bounds, checksum, decompression, deserialization. Every reader has one. */
export class EntryReader<V> {
  readonly header: Header
  readonly serializer: Serializer<V> | undefined
  /** Checksums are there and are to be checked. */
  readonly crc: boolean
  readonly maxValueBytes: number
  /** Bytes behind each value that do not belong to it. */
  readonly #tail: number
  readonly #start: number
  #codec: Codec | undefined

  constructor(
    header: Header,
    options: Pick<MapBufferReadOptions<V>, 'serializer' | 'crc' | 'maxValueBytes'> | ReadSettings<V>,
    codec?: Codec,
  ) {
    this.header = header
    this.#codec = codec
    this.serializer = options.serializer
    this.crc = header.version === 1 && options.crc !== false
    this.maxValueBytes = options.maxValueBytes ?? MAX_VALUE_BYTES
    this.#tail = header.version === 1 ? CRC_BYTES : 0
    this.#start = dataStart(header.size)
  }

  /** Loads what is needed to decode, where that takes time. Rejects with `MILL_CODEC_MISSING`. */
  async load(): Promise<void> {
    if (this.header.compression !== 'none') this.#codec ??= await loadCodec(this.header.compression)
  }

  /**
   * The bytes of a value as stored, without its checksum, of an entry that takes `length` bytes from `offset` on in a
   * file of `byteLength` bytes (undefined: not known yet). `before` is the offset of the entry in front of it: without
   * checksums, offsets that don't ascend are the only sign that one of the two is wrong. Throws `MILL_BAD_OFFSETS`,
   * `MILL_TRUNCATED_DATA`, `MILL_BAD_ENTRY_LENGTH`, `MILL_TOO_LARGE`.
   */
  check(
    position: number,
    label: Label,
    offset: number,
    length: number,
    byteLength: number | undefined,
    before = 0,
  ): number {
    const stored = length - this.#tail
    if (
      offset >= this.#start &&
      (before <= offset || this.#tail > 0) &&
      stored >= 0 &&
      stored <= this.maxValueBytes &&
      (byteLength === undefined ? Number.isSafeInteger(offset + length) : offset + length <= byteLength)
    ) {
      return stored
    }
    throw this.#outOfBounds(position, label, offset, length, byteLength, before)
  }

  /** Compares the checksum of the stored bytes, whose last four it is. Throws `MILL_BAD_CRC`. Version 1 only. */
  checkCrc(stored: Uint8Array, position: number, label: Label): void {
    const end = stored.length - CRC_BYTES
    this.#checkCrc(stored.subarray(0, end), readU32(stored, end), position, label)
  }

  /**
   * The value of an entry, from its stored bytes, checksum included, which {@link check} has let through. `trusted`: the
   * checksum has been checked before. Without compression and serializer the value is a view of `stored`. Throws
   * `MILL_BAD_CRC`, `MILL_DECOMPRESS`, `MILL_TOO_LARGE`, `MILL_CODEC_MISSING`, `MILL_CODEC_NOT_LOADED`, and
   * `MILL_BAD_VALUE` where the serializer fails.
   */
  decode(stored: Uint8Array, position: number, label: Label, trusted = false): V {
    let bytes = stored
    if (this.#tail > 0) {
      const end = stored.length - CRC_BYTES
      // Three times as fast as subarray().
      bytes = new Uint8Array(stored.buffer, stored.byteOffset, end)
      if (this.crc && !trusted) this.#checkCrc(bytes, readU32(stored, end), position, label)
    }
    if (this.header.compression !== 'none') bytes = this.#decompress(bytes, position, label)
    if (this.serializer === undefined) return bytes as V
    try {
      return this.serializer.decode(bytes)
    } catch (cause) {
      const message = `The serializer cannot read the value of label ${label} (position ${position})`
      throw new MapBufferError('MILL_BAD_VALUE', message, { position, label, cause })
    }
  }

  #decompress(bytes: Uint8Array, position: number, label: Label): Uint8Array {
    this.#codec ??= codecOf(this.header.compression)
    const { compression } = this.header
    let decoded: Uint8Array
    try {
      decoded = this.#codec.decode(bytes, this.maxValueBytes)
      if (!ArrayBuffer.isView(decoded)) throw new ArgumentError('what decode() returns', 'bytes', decoded)
    } catch (cause) {
      if (isMillraceError(cause, 'MILL_TOO_LARGE')) {
        throw this.#tooLarge(position, label, (cause as CodecError).length, cause)
      }
      // A codec of a user's own may throw anything.
      const message = `The value of label ${label} (position ${position}) is not ${compression}, or is damaged`
      throw new CodecError('MILL_DECOMPRESS', message, { codec: compression, position, label, cause })
    }
    if (decoded.length > this.maxValueBytes) throw this.#tooLarge(position, label, decoded.length)
    return decoded
  }

  #checkCrc(bytes: Uint8Array, stored: number, position: number, label: Label): void {
    const computed = crc32c(bytes)
    if (computed === stored) return
    const message = `The value of label ${label} (position ${position}) is damaged: its checksum does not match`
    throw new MapBufferError('MILL_BAD_CRC', message, { position, label, stored, computed })
  }

  #outOfBounds(
    position: number,
    label: Label,
    offset: number,
    length: number,
    byteLength: number | undefined,
    before: number,
  ): Error {
    const entry = `label ${label} (position ${position})`
    const fields = { position, label, offset, length }
    if (byteLength !== undefined && offset > byteLength) {
      const message = `The value of ${entry} begins at byte ${offset}, behind the end of the file at ${byteLength}`
      return new MapBufferError('MILL_TRUNCATED_DATA', message, fields)
    }
    if (!(offset >= this.#start && length >= 0 && (before <= offset || this.#tail > 0))) {
      const message = `The value of ${entry} can't be the ${length} bytes from byte ${offset} on`
      return new MapBufferError('MILL_BAD_OFFSETS', message, fields)
    }
    if (length < this.#tail) {
      const message = `The value of ${entry} has ${length} bytes, less than its checksum`
      return new MapBufferError('MILL_BAD_ENTRY_LENGTH', message, fields)
    }
    if (byteLength === undefined ? !Number.isSafeInteger(offset + length) : offset + length > byteLength) {
      const message = `The value of ${entry} ends at byte ${offset + length}, behind the end of the file`
      return new MapBufferError('MILL_TRUNCATED_DATA', message, fields)
    }
    return this.#tooLarge(position, label, length - this.#tail)
  }

  #tooLarge(position: number, label: Label, length: number | undefined, cause?: unknown): MapBufferError {
    const limit = this.maxValueBytes
    const size = length === undefined ? '' : ` of ${length} bytes`
    const message = `The value of label ${label} (position ${position})${size} is larger than maxValueBytes, ${limit}`
    const fields = { position, label, limit, ...(length !== undefined && { length }) }
    return new MapBufferError('MILL_TOO_LARGE', message, cause === undefined ? fields : { ...fields, cause })
  }
}
