import type { Codec } from '../../types/codec.js'
import { builtin } from '../base/builtin.js'
import { ownBytes } from '../base/bytes.js'
import { checkLevel, missing } from './fault.js'
import { zlibDecode } from './zlib.js'

/** Brotli (RFC 7932) by node:zlib; there is no other implementation. Quality 0 to 11, default 5. */
export function brotli(options: { level?: number }): Codec {
  const quality = checkLevel(options.level, 5, 0, 11)
  const zlib = builtin('node:zlib')
  if (zlib === undefined) throw missing('br')
  const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_SIZE_HINT } = zlib.constants
  return {
    name: 'br',
    encode: (data) =>
      ownBytes(
        zlib.brotliCompressSync(data, {
          params: { [BROTLI_PARAM_QUALITY]: quality, [BROTLI_PARAM_SIZE_HINT]: data.length },
        }),
      ),
    // Text shrinks to a third or a quarter: then one piece is enough.
    decode: (data, maxLength) => zlibDecode('br', zlib.brotliDecompressSync, data, maxLength, 4 * data.length),
  }
}
