import type { Codec } from '../../types/codec.js'
import { optionalPackage } from '../base/builtin.js'
import { concatBytes, ownBytes } from '../base/bytes.js'
import { checkLevel, checkLimit, missing, notDecodable, tooLarge } from './fault.js'

const PACKAGE = 'lzma-native'
/** The check Python's lzma module uses, and xz itself. The package would take CRC32. */
const CHECK_CRC64 = 4
/** LZMA makes at most about 7,000 bytes of one: 16 MiB of zeros are 2,576 bytes. */
const MOST_RATIO = 8192
/** Bytes of input one call gets, at least and at most. */
const LEAST_SLICE = 64
const MOST_SLICE = 65536
/** What a decoder may need besides its dictionary. */
const DECODER_MEMORY = 16777216
/** The dictionary of preset 9 is 64 MiB, whatever the size of the value. */
const LEAST_MEMORY = 134217728

/**
 * Called with each piece of output, then with null: the end of a stream, unless there is an error. `bytesIn` counts
 * what the stream has consumed.
 */
type BufferHandler = (
  piece: Uint8Array | null | undefined,
  chunks: number | undefined,
  error: Error | null | undefined,
  bytesIn: number,
) => void

/** The part of liblzma's binding we use. With `false` as second argument `code` works synchronously. */
interface NativeStream {
  bufferHandler: BufferHandler
  code(data: Uint8Array | null, inBackground: boolean): void
  easyEncoder(options: { preset: number; check: number }): void
  autoDecoder(options: { memlimit: number }): void
  resetUnderlying(): void
}

interface LzmaNative {
  Stream: new () => NativeStream
}

/** .xz by liblzma, the package `lzma-native`; also reads the older .lzma. Preset 0 to 9, default 6. */
export function lzma(options: { level?: number }): Codec {
  const preset = checkLevel(options.level, 6, 0, 9)
  const Stream = loadStream()
  return {
    name: 'lzma',
    encode: (data) => encode(new Stream(), preset, unshared(data)),
    decode: (data, maxLength) => decode(Stream, unshared(data), Math.floor(checkLimit(maxLength))),
  }
}

/** The binding can't read shared memory. */
function unshared(data: Uint8Array): Uint8Array {
  return data.buffer instanceof ArrayBuffer ? data : data.slice()
}

function loadStream(): LzmaNative['Stream'] {
  let native: LzmaNative | undefined
  try {
    native = optionalPackage<LzmaNative>(PACKAGE)
  } catch (cause) {
    throw missing('lzma', PACKAGE, cause)
  }
  // In a browser no package helps.
  if (native === undefined) throw missing('lzma')
  return native.Stream
}

function encode(stream: NativeStream, preset: number, data: Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = []
  let fault: Error | undefined
  stream.bufferHandler = (piece, _chunks, error) => {
    if (error) fault = error
    else if (piece) pieces.push(piece)
  }
  stream.easyEncoder({ preset, check: CHECK_CRC64 })
  // An empty piece of input would be taken for the end.
  if (data.length > 0) stream.code(data, false)
  stream.code(null, false)
  if (fault !== undefined) throw fault
  return joined(pieces)
}

/** What has come out so far, of all streams of the data. */
interface Output {
  readonly pieces: Uint8Array[]
  length: number
  readonly limit: number
}

/** Streams one after the other give their contents one after the other; zeros in fours may lie behind each. */
function decode(Stream: LzmaNative['Stream'], data: Uint8Array, limit: number): Uint8Array {
  if (data.length === 0) throw notDecodable('lzma', 'there is no data')
  const output: Output = { pieces: [], length: 0, limit }
  for (let at = 0; at < data.length; ) {
    at += decodeStream(new Stream(), data.subarray(at), output)
    const padding = at
    while (data[at] === 0) at++
    if ((at - padding) % 4 !== 0) throw notDecodable('lzma', 'bytes are left over behind the data')
  }
  return joined(output.pieces)
}

/** Decodes the stream at the beginning of `data`; returns how many bytes it has. */
function decodeStream(stream: NativeStream, data: Uint8Array, output: Output): number {
  const { pieces, limit } = output
  let fault: Error | undefined
  let used: number | undefined
  stream.bufferHandler = (piece, _chunks, error, bytesIn) => {
    if (error) fault ??= error
    else if (piece === null) used = bytesIn
    else if (piece !== undefined) {
      output.length += piece.length
      if (output.length <= limit) pieces.push(piece)
    }
  }
  stream.autoDecoder({ memlimit: Math.min(Number.MAX_SAFE_INTEGER, Math.max(LEAST_MEMORY, limit + DECODER_MEMORY)) })
  // All that one call's input makes is made before anyone is asked: so it gets no more than may still come out of it.
  for (let at = 0; used === undefined && fault === undefined && output.length <= limit; ) {
    const slice = Math.min(MOST_SLICE, LEAST_SLICE + Math.floor((limit - output.length) / MOST_RATIO))
    stream.code(at < data.length ? data.subarray(at, at + slice) : null, false)
    at += slice
  }
  if (output.length > limit) {
    stream.resetUnderlying()
    throw tooLarge('lzma', limit)
  }
  if (fault?.name === 'LZMA_MEMLIMIT_ERROR') throw tooLarge('lzma', limit)
  if (used === undefined) throw notDecodable('lzma', 'the data is damaged or cut short', fault)
  return used
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? ownBytes(pieces[0] as Uint8Array) : concatBytes(pieces)
}
