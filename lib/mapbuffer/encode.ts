import type { BytesLike } from '../../types/bytes.js'
import type { Codec, CompressionName, Serializer } from '../../types/codec.js'
import type { MapBufferWriteOptions } from '../../types/mapbuffer.js'
import { isBytesLike, toUint8Array } from '../base/bytes.js'
import { crc32c } from '../base/crc32c.js'
import { ArgumentError, describe, isMillraceError, MapBufferError } from '../base/errors.js'
import { codecOf, loadCodec } from '../codec/index.js'
import { CRC_BYTES, writeU32 } from './format.js'

/** Values to the bytes that a file has for them: serialized, compressed, with a checksum behind them in version 1. */
export class EntryWriter<V = BytesLike> {
  /** What the header of the file says; its `size` is known later. */
  readonly header: { readonly version: 0 | 1; readonly compression: CompressionName }
  /** Bytes behind each payload: 4 in version 1, none in version 0. */
  readonly crcBytes: number
  readonly #serializer: Serializer<V> | undefined
  readonly #level: { level?: number }
  /** Undefined as long as it is not loaded. */
  #codec: Codec | undefined

  /** Throws `MILL_INVALID_ARGUMENT` and `MILL_CODEC_UNKNOWN`; a codec whose package is missing shows when it is used. */
  constructor(options: MapBufferWriteOptions<V> = {}) {
    checkOptions(options)
    const { compress = 'none', level, crc = true, serializer } = options
    if (typeof crc !== 'boolean') throw new ArgumentError('options.crc', 'true or false', crc)
    if (level !== undefined && !Number.isSafeInteger(level)) {
      throw new ArgumentError('options.level', 'a whole number', level)
    }
    if (serializer !== undefined && typeof serializer?.encode !== 'function') {
      throw new ArgumentError('options.serializer', 'a serializer with encode() and decode()', serializer)
    }
    if (typeof compress === 'object' && compress !== null) {
      // A file that says 'none' is read as it is, whatever a codec of that name does.
      if (typeof compress.encode !== 'function' || !isCodecName(compress.name) || compress.name === 'none') {
        const expected = "a codec with encode(), named by 1 to 4 characters a–z, 0–9, and not 'none'"
        throw new ArgumentError('options.compress', expected, compress)
      }
      this.#codec = compress
    } else if (typeof compress !== 'string') {
      throw new ArgumentError('options.compress', 'the name of a codec, or a codec', compress)
    }
    this.header = { version: crc ? 1 : 0, compression: typeof compress === 'string' ? compress : compress.name }
    this.crcBytes = crc ? CRC_BYTES : 0
    this.#serializer = serializer
    this.#level = level === undefined ? {} : { level }
    if (!this.ready) this.#codec = codecIfThere(this.header.compression, this.#level)
  }

  /** True when {@link EntryWriter.load} has nothing to do. */
  get ready(): boolean {
    return this.#codec !== undefined || this.header.compression === 'none'
  }

  /** Gets the codec. Rejects with `MILL_CODEC_UNKNOWN` or `MILL_CODEC_MISSING`. */
  async load(): Promise<void> {
    if (!this.ready) this.#codec = await loadCodec(this.header.compression, this.#level)
  }

  /**
   * What the file holds for this value, without the checksum. Copies nothing: without serializer and compression these
   * are the value's own bytes. Throws `MILL_BAD_VALUE`, and what serializer and codec throw.
   */
  payload(label: number | bigint, value: V): Uint8Array {
    const raw = this.#serializer === undefined ? value : this.#serializer.encode(value)
    if (!isBytesLike(raw)) throw badValue(label, value, this.#serializer?.name)
    const bytes = toUint8Array(raw)
    if (!this.ready) this.#codec = codecOf(this.header.compression, this.#level)
    if (this.#codec === undefined) return bytes
    const payload = this.#codec.encode(bytes)
    if (payload instanceof Uint8Array) return payload
    const message = `The codec ${this.#codec.name} made no Uint8Array of the value of label ${label}`
    throw new MapBufferError('MILL_BAD_VALUE', message, { label, value })
  }

  /** All that the file holds for this value. In version 0 it may be the value's own bytes, in version 1 it is a copy. */
  encode(label: number | bigint, value: V): Uint8Array {
    const payload = this.payload(label, value)
    if (this.crcBytes === 0) return payload
    const stored = new Uint8Array(payload.length + CRC_BYTES)
    stored.set(payload)
    writeU32(stored, payload.length, crc32c(payload))
    return stored
  }
}

/** Throws `MILL_INVALID_ARGUMENT` for options that are none. */
export function checkOptions(options: unknown): void {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
}

/** The codec, if it needs no loading. */
function codecIfThere(name: string, level: { level?: number }): Codec | undefined {
  try {
    return codecOf(name, level)
  } catch (error) {
    if (isMillraceError(error, 'MILL_CODEC_NOT_LOADED') || isMillraceError(error, 'MILL_CODEC_MISSING'))
      return undefined
    throw error
  }
}

/** Up to four characters a–z, 0–9; not beginning with 0, with which the header pads on the left. */
function isCodecName(name: unknown): boolean {
  if (typeof name !== 'string' || name.length < 1 || name.length > 4 || name[0] === '0') return false
  for (const char of name) {
    if (!((char >= 'a' && char <= 'z') || (char >= '0' && char <= '9'))) return false
  }
  return true
}

function badValue(label: number | bigint, value: unknown, serializer: string | undefined): MapBufferError {
  const message =
    serializer === undefined
      ? `The value of label ${label} must be bytes, or needs a serializer: got ${describe(value)}`
      : `The serializer ${serializer} made no bytes of the value of label ${label}`
  return new MapBufferError('MILL_BAD_VALUE', message, { label, value })
}
