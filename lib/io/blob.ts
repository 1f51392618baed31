import type { ByteSource } from '../../types/byte-source.js'
import { abortable } from '../base/abort.js'
import { ArgumentError, SourceError } from '../base/errors.js'
import { checkRange, shortError } from './check.js'

/** Is this a Blob, or a File? Told by its shape, so that one of another realm is known too. */
export function isBlob(value: unknown): value is Blob {
  const { size, slice, arrayBuffer } = (value ?? {}) as Partial<Blob>
  return typeof size === 'number' && typeof slice === 'function' && typeof arrayBuffer === 'function'
}

/**
 * A Blob or File as a source; each read gives new memory. A file that was changed or removed after it was chosen is
 * `MILL_SOURCE_FAILED`. Throws `MILL_INVALID_ARGUMENT`.
 */
export function blobSource(blob: Blob): ByteSource {
  if (!isBlob(blob)) throw new ArgumentError('blob', 'a Blob', blob)
  const url = 'a Blob'
  return {
    size: blob.size,
    local: true,
    async read(offset, length, options) {
      const signal = options?.signal
      signal?.throwIfAborted()
      checkRange(offset, length)
      const expected = Math.max(0, Math.min(length, blob.size - offset))
      if (expected === 0) return new Uint8Array(0)
      let failure: unknown
      const reading = blob.slice(offset, offset + expected).arrayBuffer()
      const memory = await abortable(
        reading.catch((cause: unknown) => {
          failure = cause
        }),
        signal,
      )
      if (memory === undefined) {
        throw new SourceError('MILL_SOURCE_FAILED', `${url} cannot be read`, { url, offset, cause: failure })
      }
      if (memory.byteLength !== expected) throw shortError(url, offset, expected, memory.byteLength, 'it has changed')
      return new Uint8Array(memory)
    },
  }
}
