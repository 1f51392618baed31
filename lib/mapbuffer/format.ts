import type { MapBufferHeader } from '../../types/mapbuffer.js'
import { MapBufferError } from '../base/errors.js'
import { isCodec } from '../codec/index.js'

/** Bytes before the index of a MapBuffer. */
export const HEADER_BYTES = 16
/** Bytes of one row of an index: a label and an offset, or a label and a value. */
export const ROW_BYTES = 16
/** Bytes before the rows of an IntMap. */
export const INT_MAP_HEADER_BYTES = 10
/** Bytes of the checksum behind each value of version 1. */
export const CRC_BYTES = 4
/** Entries a file can have: its count is a u32. */
export const MAX_ENTRIES = 0xffffffff
/** Entries whose index fits into one typed array of four words a row, with `4 * row` still an int32. */
export const MAX_ROWS_IN_MEMORY = 2 ** 28

/** What the upper half of a u64 counts. */
export const TWO32 = 2 ** 32

/** What the first 16 bytes of a MapBuffer say. */
export type Header = MapBufferHeader

const MAGIC = [109, 97, 112, 98, 117, 102, 114] // mapbufr
const INT_MAP_MAGIC = [105, 110, 116, 109] // intm
/** The only type of an IntMap: unsigned 64 bit integers. */
const U64 = 3
/** What short compression names are padded with on the left: the character, not the byte. */
const PADDING = 48

/**
 * The header at the beginning of `bytes`. The order of the checks is fixed, so that a file with several faults always
 * has the same code: length, magic, version, compression, and that the index fits; the last only where `byteLength`,
 * the length of the whole file, is known. Throws `MILL_TRUNCATED_HEADER`, `MILL_BAD_MAGIC`, `MILL_BAD_VERSION`,
 * `MILL_BAD_COMPRESSION`, `MILL_TRUNCATED_INDEX`.
 */
export function readHeader(bytes: Uint8Array, byteLength: number | undefined): Header {
  checkStart(bytes, HEADER_BYTES, MAGIC, 'a MapBuffer')
  const version = bytes[MAGIC.length] as number
  if (version !== 0 && version !== 1) {
    throw new MapBufferError('MILL_BAD_VERSION', `This MapBuffer has version ${version}; known are 0 and 1`, {
      found: version,
    })
  }
  const compression = compressionOf(bytes)
  const size = readU32(bytes, 12)
  if (byteLength !== undefined) checkFits(size, HEADER_BYTES, byteLength)
  return { version, compression, size }
}

/** The number of rows of an IntMap whose file begins with `bytes`; codes as {@link readHeader}, and `MILL_BAD_DTYPE`. */
export function readIntMapHeader(bytes: Uint8Array, byteLength: number): number {
  checkStart(bytes, INT_MAP_HEADER_BYTES, INT_MAP_MAGIC, 'an IntMap')
  const version = bytes[4] as number
  if (version !== 0) {
    throw new MapBufferError('MILL_BAD_VERSION', `This IntMap has version ${version}; known is 0`, { found: version })
  }
  const type = bytes[5] as number
  if (type !== U64) {
    throw new MapBufferError('MILL_BAD_DTYPE', `This IntMap has values of type ${type}; known is 3, u64`, {
      found: type,
    })
  }
  const size = readU32(bytes, 6)
  checkFits(size, INT_MAP_HEADER_BYTES, byteLength)
  return size
}

/** The 16 bytes of a header. */
export function makeHeader({ version, compression, size }: Header): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES)
  bytes.set(MAGIC)
  bytes[7] = version
  bytes.fill(PADDING, 8, 12)
  for (let i = 0; i < compression.length; i++) bytes[12 - compression.length + i] = compression.charCodeAt(i)
  writeU32(bytes, 12, size)
  return bytes
}

/** The 10 bytes of an IntMap's header. */
export function makeIntMapHeader(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(INT_MAP_HEADER_BYTES)
  bytes.set(INT_MAP_MAGIC)
  bytes[5] = U64
  writeU32(bytes, 6, size)
  return bytes
}

/** Bytes of header and index: where the first value of a file begins. */
export function dataStart(size: number): number {
  return HEADER_BYTES + ROW_BYTES * size
}

/** A u32, little-endian, at any byte. */
export function readU32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)) >>>
    0
  )
}

/** Puts one there. */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value
  bytes[at + 1] = value >>> 8
  bytes[at + 2] = value >>> 16
  bytes[at + 3] = value >>> 24
}

function checkStart(bytes: Uint8Array, needed: number, magic: readonly number[], what: string): void {
  if (bytes.length < needed) {
    const message = `${bytes.length} bytes are no header of ${what}, which has ${needed}`
    throw new MapBufferError('MILL_TRUNCATED_HEADER', message, { size: bytes.length, needed })
  }
  if (magic.some((byte, i) => bytes[i] !== byte)) {
    const found = bytes.slice(0, magic.length)
    throw new MapBufferError('MILL_BAD_MAGIC', `This is not ${what}: it does not begin as one`, { found })
  }
}

/** Asked before anything is allocated: a count is believed only where its rows are. */
function checkFits(size: number, headerBytes: number, byteLength: number): void {
  const needed = headerBytes + ROW_BYTES * size
  if (needed <= byteLength) return
  throw new MapBufferError('MILL_TRUNCATED_INDEX', `${size} rows need ${needed} bytes, there are ${byteLength}`, {
    size: byteLength,
    needed,
    count: size,
  })
}

function compressionOf(bytes: Uint8Array): string {
  let from = 8
  while (from < 12 && bytes[from] === PADDING) from++
  let name = ''
  for (let i = from; i < 12; i++) name += String.fromCharCode(bytes[i] as number)
  if (name !== '' && isCodec(name)) return name
  const found = String.fromCharCode(...bytes.subarray(8, 12))
  throw new MapBufferError('MILL_BAD_COMPRESSION', `No codec is known for the compression ${JSON.stringify(found)}`, {
    found,
  })
}
