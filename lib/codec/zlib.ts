import { builtin } from '../base/builtin.js'
import { ownBytes } from '../base/bytes.js'
import { checkLimit, notDecodable, tooLarge } from './fault.js'

/** What the synchronous decoders of node:zlib have in common. */
type ZlibDecoder = (data: Uint8Array, options: { info: true; maxOutputLength: number; chunkSize: number }) => unknown

/** Smallest and largest piece of output node:zlib is asked to make; it allocates one before it decodes anything. */
const LEAST_CHUNK = 1024
const MOST_CHUNK = 65536

/**
 * A strict decoder on one of node:zlib's: all bytes used, nothing missing, never more than the limit. `guess` is how
 * many bytes will come out, as far as one can tell; a wrong guess costs time, nothing else.
 */
export function zlibDecode(codec: string, decoder: ZlibDecoder, data: Uint8Array, limit: number, guess: number) {
  checkLimit(limit)
  // node:zlib takes neither 0 nor more than a buffer can hold as a limit.
  const most = builtin('node:buffer')?.constants.MAX_LENGTH ?? limit
  const maxOutputLength = Math.max(1, Math.min(Math.floor(limit), most))
  const chunkSize = Math.max(LEAST_CHUNK, Math.min(guess, maxOutputLength + 1, MOST_CHUNK))
  let result: { buffer: Uint8Array; engine: { bytesWritten: number } }
  try {
    result = decoder(data, { info: true, maxOutputLength, chunkSize }) as typeof result
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(codec, limit)
    throw notDecodable(codec, 'the data is damaged or cut short', cause)
  }
  const { buffer, engine } = result
  if (buffer.length > limit) throw tooLarge(codec, limit)
  // Without `info` gzip passes zeros behind the end, brotli anything. The engine's bytesWritten is what it has consumed.
  if (engine.bytesWritten !== data.length) throw notDecodable(codec, 'bytes are left over behind the data')
  return ownBytes(buffer)
}
