import type { ByteSource } from '../../types/byte-source.js'
import type { BytesLike } from '../../types/bytes.js'
import { isBytesLike, toUint8Array } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { checkRange } from './check.js'

/** Bytes in memory as a source. What it gives are views: nothing is copied. Throws `MILL_INVALID_ARGUMENT`. */
export function memorySource(bytes: BytesLike): ByteSource {
  if (!isBytesLike(bytes)) throw new ArgumentError('bytes', 'bytes', bytes)
  const all = toUint8Array(bytes)
  return {
    size: all.length,
    local: true,
    async read(offset, length, options) {
      options?.signal?.throwIfAborted()
      checkRange(offset, length)
      return all.subarray(offset, offset + length)
    },
  }
}
