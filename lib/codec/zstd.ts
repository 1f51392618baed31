import type { Codec } from '../../types/codec.js'
import { sleep } from '../base/abort.js'
import { builtin } from '../base/builtin.js'
import { concatBytes, ownBytes } from '../base/bytes.js'
import { checkLevel, checkLimit, missing, notDecodable, tooLarge } from './fault.js'
import { type ZstdFrame, zstdFrames } from './zstd-frame.js'

const PACKAGE = '@bokuweb/zstd-wasm'
/** Where a frame doesn't say how much it holds, the package is given this much room, then four times as much, and so on. */
const FIRST_ROOM = 1048576
/** The package's memory ends at 2 GiB, never shrinks, and is lost when an allocation fails: it is not asked for more than this. */
const MOST_IN_WASM = 536870912
/** How long the package's WebAssembly may take to load, in milliseconds. */
const INIT_MS = 30_000
/** How the package says that there was too little room: zstd's error 70. */
const TOO_LITTLE_ROOM = 'code -70'

/** An implementation. */
interface Engine {
  encode(data: Uint8Array): Uint8Array
  /** Decodes one frame, which ends where `frame` ends, to at most `limit` bytes; else `MILL_TOO_LARGE`. */
  decode(frame: Uint8Array, about: ZstdFrame, limit: number): Uint8Array
}

/** What node:zlib has from Node 22.15 on. */
interface ZlibWithZstd {
  zstdCompressSync?(data: Uint8Array, options: object): Uint8Array
  zstdDecompressSync?(data: Uint8Array, options: object): Uint8Array
  readonly constants: Record<string, number>
}

const levelOf = (options: { level?: number }): number => checkLevel(options.level, 3, 1, 22)

/** Zstandard (RFC 8878) by node:zlib, level 1 to 22, default 3; undefined before Node 22.15 and in browsers: {@link loadZstd}. */
export function zstd(options: { level?: number }): Codec | undefined {
  const level = levelOf(options)
  const zlib = builtin('node:zlib') as unknown as ZlibWithZstd | undefined
  const { zstdCompressSync: compress, zstdDecompressSync: decompress } = zlib ?? {}
  if (zlib === undefined || compress === undefined || decompress === undefined) return undefined
  const { ZSTD_c_compressionLevel, ZSTD_c_contentSizeFlag } = zlib.constants
  const params = { [ZSTD_c_compressionLevel as number]: level, [ZSTD_c_contentSizeFlag as number]: 1 }
  return codecOn({
    // A frame that doesn't say its size can't be read by the Python library: both options see to it that ours do.
    encode: (data) => ownBytes(compress(data, { params, pledgedSrcSize: data.length })),
    decode(frame, about, limit) {
      try {
        return ownBytes(decompress(frame, { maxOutputLength: Math.max(1, about.size ?? limit) }))
      } catch (cause) {
        const over = about.size === undefined && (cause as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE'
        throw over ? tooLarge('zstd', limit) : notDecodable('zstd', 'the data is damaged', cause)
      }
    },
  })
}

type Wasm = typeof import('@bokuweb/zstd-wasm')

/** The package with its WebAssembly, once: a second `init()` would put a new memory under those who use the first. */
let wasmLoading: Promise<Wasm> | undefined

async function loadWasm(): Promise<Wasm> {
  const settled = new AbortController()
  try {
    const wasm = await import('@bokuweb/zstd-wasm')
    // In a browser that can't fetch the .wasm file its init() never settles.
    const tooLate = sleep(INIT_MS, settled.signal).then(() => {
      throw new Error(`its WebAssembly was not there within ${INIT_MS} ms`)
    })
    await Promise.race([wasm.init(), tooLate])
    return wasm
  } catch (cause) {
    wasmLoading = undefined
    throw missing('zstd', PACKAGE, cause)
  } finally {
    settled.abort()
  }
}

/**
 * Zstandard by `@bokuweb/zstd-wasm`. A bundle for browsers has to bring the package's `zstd.wasm` along. Rejects with
 * `MILL_CODEC_MISSING` where the package is not installed.
 */
export async function loadZstd(options: { level?: number }): Promise<Codec> {
  const level = levelOf(options)
  wasmLoading ??= loadWasm()
  const wasm = await wasmLoading
  return codecOn({
    encode: (data) => wasm.compress(data, level),
    decode(frame, about, limit) {
      const most = Math.min(about.size ?? about.most, limit, MOST_IN_WASM)
      for (let room = about.size ?? FIRST_ROOM; ; room *= 4) {
        const last = room >= most
        try {
          return wasm.decompress(frame, { defaultHeapSize: last ? most : room })
        } catch (cause) {
          const tooSmall = about.size === undefined && String(cause).includes(TOO_LITTLE_ROOM)
          if (!tooSmall) throw notDecodable('zstd', 'the data is damaged', cause)
          if (last) throw tooLarge('zstd', most)
        }
      }
    },
  })
}

function codecOn(engine: Engine): Codec {
  return {
    name: 'zstd',
    encode: (data) => engine.encode(data),
    decode(data, maxLength) {
      const limit = Math.floor(checkLimit(maxLength))
      const frames = zstdFrames(data)
      let said = 0
      for (const { size } of frames) said += size ?? 0
      if (said > limit) throw tooLarge('zstd', limit, said)
      if (frames.length === 1) return decodeFrame(engine, data, frames[0] as ZstdFrame, limit)
      const parts: Uint8Array[] = []
      let room = limit
      for (const frame of frames) {
        const part = decodeFrame(engine, data, frame, room)
        room -= part.length
        parts.push(part)
      }
      return concatBytes(parts)
    },
  }
}

function decodeFrame(engine: Engine, data: Uint8Array, frame: ZstdFrame, limit: number): Uint8Array {
  const { start, end, size, most } = frame
  // A size that the blocks can't hold would be allocated before anything is decoded.
  if (size !== undefined && size > most) throw notDecodable('zstd', 'the frame says it holds more than it can')
  const bytes = engine.decode(data.subarray(start, end), frame, limit)
  if (bytes.length > limit) throw tooLarge('zstd', limit)
  if (size !== undefined && bytes.length !== size) {
    throw notDecodable('zstd', `the frame says it holds ${size} bytes and holds ${bytes.length}`)
  }
  return bytes
}
