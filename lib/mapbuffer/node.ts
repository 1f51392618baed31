import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import type { MapBufferReadOptions } from '../../types/mapbuffer.js'
import { allocate } from '../base/bytes.js'
import { SourceError } from '../base/errors.js'
import { closedError, shortError } from '../io/check.js'
import { pathOf } from '../io/file.js'
import { type MapBuffer, mapOver } from './map-buffer.js'
import { StoredBytes } from './stored-bytes.js'

/** Linux reads no more than 2 GiB less a page at once; asking for more is an error in Node. */
const MOST_AT_ONCE = 2 ** 30

/**
 * Opens a MapBuffer file, of which header and index are read now and each value when it is asked for, synchronously: a
 * cached value of 1 KB takes about 1 µs, where an asynchronous read takes 40. Close it.
 *
 * Throws as the constructor of `MapBuffer`; and `MILL_SOURCE_FAILED` for a path that can't be opened or is no regular
 * file.
 */
export function openMapBufferSync<V = Uint8Array>(path: string | URL, options?: MapBufferReadOptions<V>): MapBuffer<V> {
  const file = new FileBytes(pathOf(path))
  try {
    return mapOver(file, options)
  } catch (error) {
    file.close()
    throw error
  }
}

/** The bytes of a file, as many as it had when it was opened. */
class FileBytes extends StoredBytes {
  readonly length: number
  readonly readOnly = 'A map over a file can only be read: open its bytes with new MapBuffer() to change them'
  readonly #path: string
  #file: number | undefined

  constructor(path: string) {
    super()
    this.#path = path
    try {
      // Without O_NONBLOCK the open of a FIFO waits for a writer, for ever.
      this.#file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
      const status = fstatSync(this.#file)
      if (!status.isFile()) throw this.#failed('is not a regular file')
      this.length = status.size
    } catch (cause) {
      this.close()
      throw cause instanceof SourceError ? cause : this.#failed('cannot be opened', cause)
    }
  }

  read(offset: number, length: number): Uint8Array {
    if (this.#file === undefined) throw closedError(this.#path)
    const bytes = allocate(length)
    let got = 0
    try {
      while (got < length) {
        const count = readSync(this.#file, bytes, got, Math.min(length - got, MOST_AT_ONCE), offset + got)
        if (count === 0) break
        got += count
      }
    } catch (cause) {
      throw this.#failed('cannot be read', cause)
    }
    if (got < length) throw shortError(this.#path, offset, length, got, 'the file has become shorter')
    return bytes
  }

  close(): void {
    if (this.#file === undefined) return
    closeSync(this.#file)
    this.#file = undefined
  }

  #failed(what: string, cause?: unknown): SourceError {
    const fields = { url: this.#path, ...(cause !== undefined && { cause }) }
    return new SourceError('MILL_SOURCE_FAILED', `${this.#path} ${what}`, fields)
  }
}
