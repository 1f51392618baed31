import { notDecodable } from './fault.js'

const MAGIC = 0xfd2fb528
/** Skippable frames begin with 0x184D2A50 to 0x184D2A5F. */
const SKIPPABLE = 0x184d2a5
/** No block of a frame decodes to more than this. */
export const MOST_IN_BLOCK = 131072
/** Bytes of the content size field, by the two bits of the descriptor that tell; 0 means 1 in a single segment. */
const SIZE_BYTES = [0, 2, 4, 8] as const
const DICTIONARY_BYTES = [0, 1, 2, 4] as const
const RAW = 0
const RLE = 1
const COMPRESSED = 2

/** Where one Zstandard frame lies in the data and what is known of its content without decoding it. */
export interface ZstdFrame {
  readonly start: number
  readonly end: number
  /** Bytes of content as the header says; undefined where it doesn't. Not safe as an integer from 2^53 on, but large. */
  readonly size: number | undefined
  /** The content is no longer than this, whatever the header says. */
  readonly most: number
}

/**
 * The frames of the data, found by their headers and those of their blocks (RFC 8878, section 3.1), without decoding
 * them. Throws `MILL_DECOMPRESS` unless they fill the data exactly and at least one has content: decoders differ in
 * whether they say that data is cut, and in what they do with bytes behind it.
 */
export function zstdFrames(data: Uint8Array): ZstdFrame[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const frames: ZstdFrame[] = []
  for (let at = 0; at < data.length; ) {
    need(data, at, 8)
    const magic = view.getUint32(at, true)
    if (magic === MAGIC) {
      const frame = readFrame(data, view, at)
      frames.push(frame)
      at = frame.end
    } else if (magic >>> 4 === SKIPPABLE) {
      at += 8 + view.getUint32(at + 4, true)
      need(data, at, 0)
    } else throw notDecodable('zstd', at === 0 ? 'not a Zstandard frame' : 'bytes are left over behind the data')
  }
  if (frames.length === 0) throw notDecodable('zstd', 'there is no frame')
  return frames
}

function readFrame(data: Uint8Array, view: DataView, start: number): ZstdFrame {
  const descriptor = data[start + 4] as number
  const single = (descriptor & 0x20) !== 0
  if ((descriptor & 0x08) !== 0) throw notDecodable('zstd', 'the frame uses a reserved bit')
  const sizeBytes = descriptor >>> 6 === 0 && single ? 1 : (SIZE_BYTES[descriptor >>> 6] as number)
  const sizeAt = start + 5 + (single ? 0 : 1) + (DICTIONARY_BYTES[descriptor & 3] as number)
  let at = sizeAt + sizeBytes
  need(data, at, 0)
  const size = contentSize(view, sizeAt, sizeBytes)
  let most = 0
  for (let last = false; !last; ) {
    need(data, at, 3)
    const header = (data[at] as number) | ((data[at + 1] as number) << 8) | ((data[at + 2] as number) << 16)
    const type = (header >>> 1) & 3
    const length = header >>> 3
    last = (header & 1) !== 0
    if (type > COMPRESSED) throw notDecodable('zstd', 'the frame has a block of a reserved type')
    if (length > MOST_IN_BLOCK) throw notDecodable('zstd', 'the frame has a block that is too long')
    most += type === RAW || type === RLE ? length : MOST_IN_BLOCK
    at += 3 + (type === RLE ? 1 : length)
    need(data, at, 0)
  }
  if ((descriptor & 0x04) !== 0) at += 4 // a checksum of the content
  need(data, at, 0)
  return { start, end: at, size, most }
}

function contentSize(view: DataView, at: number, bytes: number): number | undefined {
  switch (bytes) {
    case 0:
      return undefined
    case 1:
      return view.getUint8(at)
    case 2:
      return view.getUint16(at, true) + 256
    case 4:
      return view.getUint32(at, true)
    default:
      return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32
  }
}

function need(data: Uint8Array, at: number, bytes: number): void {
  if (at + bytes > data.length) throw notDecodable('zstd', 'the data is cut short')
}
