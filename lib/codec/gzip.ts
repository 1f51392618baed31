import {
  gzip as pakoGzip,
  type Z_CallStatus,
  Z_NO_FLUSH,
  Z_OK,
  Z_STREAM_END,
  ZStream,
  zlibInflate,
  zlibInflateInit2,
  zlibInflateReset,
} from 'pako'
import type { Codec } from '../../types/codec.js'
import { builtin } from '../base/builtin.js'
import { concatBytes, ownBytes } from '../base/bytes.js'
import { checkLevel, checkLimit, notDecodable, tooLarge } from './fault.js'
import { zlibDecode } from './zlib.js'

/** zlib's way to say: a gzip header and nothing else, the largest window. */
const GZIP_WINDOW = 31
/** Bytes of output at a time, in JavaScript. */
const CHUNK = 65536

/** gzip (RFC 1952) by node:zlib, or by pako where there is none. Level 0 to 9, default 9. */
export function gzip(options: { level?: number }): Codec {
  const level = checkLevel(options.level, 9, 0, 9)
  const zlib = builtin('node:zlib')
  if (zlib === undefined) return { name: 'gzip', encode: (data) => pakoGzip(data, { level }), decode: inflate }
  return {
    name: 'gzip',
    encode: (data) => ownBytes(zlib.gzipSync(data, { level })),
    decode: (data, maxLength) => zlibDecode('gzip', zlib.gunzipSync, data, maxLength, sizeOf(data)),
  }
}

/** What the last four bytes say: the size of the last member, modulo 2^32. */
function sizeOf(data: Uint8Array): number {
  if (data.length < 18) return 0
  const at = data.byteOffset + data.byteLength - 4
  return new DataView(data.buffer, at, 4).getUint32(0, true) + 1
}

/** Like zlib's gunzip, several members and all, but what is left over is an error, and so is one byte above the limit. */
export function inflate(data: Uint8Array, maxLength: number): Uint8Array {
  checkLimit(maxLength)
  const stream = new ZStream()
  zlibInflateInit2(stream, GZIP_WINDOW)
  stream.input = data
  stream.avail_in = data.length
  stream.avail_out = 0
  const chunks: Uint8Array[] = []
  let before = 0
  const made = (): number => before + stream.next_out
  for (;;) {
    if (stream.avail_out === 0) {
      if (stream.output !== null && stream.next_out > 0) chunks.push(stream.output)
      before = made()
      stream.output = new Uint8Array(Math.max(1, Math.min(CHUNK, maxLength + 1 - before)))
      stream.next_out = 0
      stream.avail_out = stream.output.length
    }
    const status: Z_CallStatus = zlibInflate(stream, Z_NO_FLUSH)
    if (made() > maxLength) throw tooLarge('gzip', maxLength)
    if (status === Z_STREAM_END) {
      if (stream.avail_in === 0) break
      // Another member, unless its first bytes say otherwise.
      zlibInflateReset(stream)
    } else if (status !== Z_OK) throw notDecodable('gzip', stream.msg || 'the data is damaged or cut short')
    else if (stream.avail_in === 0 && stream.avail_out > 0) throw notDecodable('gzip', 'the data is cut short')
  }
  chunks.push(stream.output.subarray(0, stream.next_out))
  return concatBytes(chunks)
}
