import { closeSync, createReadStream, openSync, readSync } from 'node:fs'
import type { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream'
import * as zlib from 'node:zlib'
import { CodecError, SourceError } from '../base/errors.js'
import type { Piece } from './bulk-messages.js'
import type { Window } from './bulk-split.js'

/** Bytes of packed input, and of what comes out of it, at a time. */
const PACKED_BLOCK = 262_144
/** Bytes read at a time behind the end of a piece, where only the end of a line is wanted. */
const TAIL_BLOCK = 16_384

/** Bytes of a piece, one block after the other. */
export interface Input {
  /** Appends a block to the window, where there is room; false: there was no more. */
  read(window: Window): boolean | Promise<boolean>
  /** Bytes of the piece that were read so far: packed ones where it is packed. */
  readonly bytesIn: number
  close(): void
}

/** The bytes of a piece of a file. Throws `MILL_SOURCE_FAILED`, `MILL_CODEC_MISSING`. */
export function openInput(piece: Piece, blockBytes: number): Input {
  const file = piece.file as string
  if (piece.packing !== undefined) return new PackedInput(file, piece.packing)
  return new FileInput(file, piece, blockBytes)
}

class FileInput implements Input {
  bytesIn = 0
  readonly #path: string
  readonly #file: number
  readonly #size: number | undefined
  readonly #to: number
  readonly #blockBytes: number
  #position: number

  constructor(path: string, { from, to, size }: Piece, blockBytes: number) {
    this.#path = path
    this.#file = open(path)
    this.#size = size
    this.#to = to
    this.#position = from
    this.#blockBytes = blockBytes
  }

  read(window: Window): boolean {
    const rest = this.#to - this.#position
    const wanted = Math.min(this.#blockBytes, rest > 0 ? rest : TAIL_BLOCK)
    const room = Math.min(wanted, window.bytes.length - window.end)
    let count: number
    try {
      // What is no regular file has no positions.
      count = readSync(this.#file, window.bytes, window.end, room, this.#size === undefined ? null : this.#position)
    } catch (cause) {
      throw unreadable(this.#path, cause)
    }
    // What the next piece reads, too, is counted there.
    if (rest > 0) this.bytesIn += count
    window.end += count
    this.#position += count
    if (count === 0 && this.#size !== undefined && this.#position < this.#size) {
      throw new SourceError('MILL_SOURCE_SHORT', `${this.#path} was cut short while it was read`, {
        url: this.#path,
        expected: this.#size,
        got: this.#position,
      })
    }
    return count > 0
  }

  close(): void {
    closeSync(this.#file)
  }
}

class PackedInput implements Input {
  readonly #path: string
  readonly #packing: 'gzip' | 'br' | 'zstd'
  readonly #file: Readable & { bytesRead: number }
  readonly #unpacker: Transform & { bytesWritten: number }
  readonly #blocks: AsyncIterator<Uint8Array>
  #failure: { readonly error: unknown } | undefined
  #rest: Uint8Array | undefined

  constructor(path: string, packing: 'gzip' | 'br' | 'zstd') {
    this.#path = path
    this.#packing = packing
    this.#unpacker = unpackerOf(packing)
    this.#file = createReadStream(path, { highWaterMark: PACKED_BLOCK, fd: open(path), autoClose: true })
    this.#blocks = this.#unpacker[Symbol.asyncIterator]()
    this.#file.on('error', (cause) => {
      this.#failure ??= { error: unreadable(path, cause) }
    })
    pipeline(this.#file, this.#unpacker, (cause) => {
      if (cause) this.#failure ??= { error: this.#damaged('the data is damaged or cut short', cause) }
    })
  }

  get bytesIn(): number {
    return this.#file.bytesRead
  }

  async read(window: Window): Promise<boolean> {
    let block = this.#rest
    this.#rest = undefined
    while (block === undefined || block.length === 0) {
      let result: IteratorResult<Uint8Array>
      try {
        result = await this.#blocks.next()
      } catch (cause) {
        throw this.#failure?.error ?? this.#damaged('the data is damaged or cut short', cause)
      }
      if (result.done === true) {
        this.#checkEnd()
        return false
      }
      block = result.value
    }
    const count = Math.min(block.length, window.bytes.length - window.end)
    window.bytes.set(block.subarray(0, count), window.end)
    window.end += count
    if (count < block.length) this.#rest = block.subarray(count)
    return true
  }

  /** What node:zlib passes in silence: an empty file, and brotli followed by something. */
  #checkEnd(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    const { bytesRead } = this.#file
    if (bytesRead === 0) throw this.#damaged('the file is empty')
    if (this.#packing !== 'gzip' && this.#unpacker.bytesWritten < bytesRead) {
      throw this.#damaged('bytes are left over behind the data')
    }
  }

  #damaged(why: string, cause?: unknown): CodecError {
    return new CodecError('MILL_DECOMPRESS', `${this.#path}: ${why}`, {
      codec: this.#packing,
      path: this.#path,
      ...(cause !== undefined && { cause }),
    })
  }

  close(): void {
    this.#unpacker.destroy()
    this.#file.destroy()
  }
}

/** Blocks that are asked for, one by one; undefined: there are no more. */
export class HandedInput implements Input {
  bytesIn = 0
  readonly #ask: () => Promise<Uint8Array | undefined>
  #rest: Uint8Array | undefined

  constructor(ask: () => Promise<Uint8Array | undefined>) {
    this.#ask = ask
  }

  async read(window: Window): Promise<boolean> {
    let block = this.#rest
    this.#rest = undefined
    while (block === undefined || block.length === 0) {
      block = await this.#ask()
      if (block === undefined) return false
      this.bytesIn += block.length
    }
    const count = Math.min(block.length, window.bytes.length - window.end)
    window.bytes.set(block.subarray(0, count), window.end)
    window.end += count
    if (count < block.length) this.#rest = block.subarray(count)
    return true
  }

  close(): void {}
}

function open(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw unreadable(path, cause)
  }
}

/** `MILL_SOURCE_FAILED` for a file. */
export function unreadable(path: string, cause: unknown): SourceError {
  return new SourceError('MILL_SOURCE_FAILED', `${path} can not be read: ${(cause as Error).message}`, {
    url: path,
    cause,
  })
}

type Unpacker = Transform & { bytesWritten: number }

function unpackerOf(packing: 'gzip' | 'br' | 'zstd'): Unpacker {
  const options = { chunkSize: PACKED_BLOCK }
  if (packing === 'gzip') return zlib.createGunzip(options) as unknown as Unpacker
  if (packing === 'br') return zlib.createBrotliDecompress(options) as unknown as Unpacker
  const make = (zlib as { createZstdDecompress?: (options: object) => unknown }).createZstdDecompress
  if (make !== undefined) return make(options) as Unpacker
  const way = 'unpack it yourself and pass the byte stream, or use Node 22.15 or later'
  throw new CodecError('MILL_CODEC_MISSING', `This Node can not read .zst files: ${way}`, { codec: 'zstd' })
}
