import type { Codec } from '../../types/codec.js'
import type { Header } from './format.js'

/** What is known of bytes that were made here: their header, and a codec that nobody registered. */
export interface Made {
  readonly header: Header
  readonly codec?: Codec
}

/** The bytes of a file, to be had at once: in memory, or by synchronous reads. */
export abstract class StoredBytes {
  /** All of them. */
  abstract readonly length: number
  /** Undefined where the bytes can be changed in place; else why not. */
  abstract readonly readOnly: string | undefined
  readonly made: Made | undefined = undefined
  /** These bytes, whole; in memory a view. Throws `MILL_SOURCE_SHORT`, `MILL_SOURCE_CLOSED`, `MILL_SOURCE_FAILED`. */
  abstract read(offset: number, length: number): Uint8Array
  /** Idempotent. */
  abstract close(): void
}

/** Bytes in memory; nothing is copied. */
export class MemoryBytes extends StoredBytes {
  readonly #bytes: Uint8Array
  readonly length: number
  readonly readOnly = undefined
  override readonly made: Made | undefined

  constructor(bytes: Uint8Array, made?: Made) {
    super()
    this.made = made
    this.#bytes = bytes
    this.length = bytes.length
  }

  read(offset: number, length: number): Uint8Array {
    // Three times as fast as subarray().
    return new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + offset, length)
  }

  close(): void {}
}
