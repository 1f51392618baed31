import { crc32 } from 'node:zlib'
import type { LoadItError } from '../base/errors.js'
import type { Session } from '../codec/session.js'
import type { ShardKit } from './kit.js'
import type { Asking } from './remote-ask.js'
import { keyOf } from './remote-key.js'
import { shardCorrupt } from './shard-file.js'
import {
  FOOTER_BYTES,
  HEADER_BYTES,
  parseEnd,
  parseFooter,
  parseHeader,
  type ShardFooter,
  type ShardMeta,
} from './shard-format.js'
import type { ShardTables } from './shard-tables.js'

/** The tables of most shards lie in so many bytes at the end, and small shards as a whole. */
const TAIL_BYTES = 65_536
/** Bytes, plain, over which single reads are counted. */
const STRETCH = 1_048_576

/** A shard as the remote store has it: what its end and its header say, all compared with each other. */
export interface FarShard {
  readonly start: number
  readonly shardLength: number
  readonly footer: ShardFooter
  readonly tables: ShardTables
  readonly dictionary: Uint8Array
  readonly meta: ShardMeta
  /** Bytes of the file. */
  readonly bytes: number
  /** The last bytes of it, which have come already. */
  readonly tail: Uint8Array
}

/** The shard went away between two requests. */
export class Gone extends Error {}

const corrupt = (start: number, reason: string): LoadItError => shardCorrupt(start, keyOf(start), reason)

/**
 * Looks at the end of a shard, which tells everything: one request, or up to three for one with large tables. Undefined:
 * it isn't there. Rejects with `MILL_SHARD_CORRUPT`, `MILL_REMOTE`.
 */
export async function lookAt(asking: Asking, start: number, signal: AbortSignal): Promise<FarShard | undefined> {
  const tail = await asking.tail(start, TAIL_BYTES, signal)
  if (tail === undefined) return undefined
  const parsed = <R>(result: R | string): R => {
    if (typeof result === 'string') throw corrupt(start, result)
    return result
  }
  if (tail.length < HEADER_BYTES + FOOTER_BYTES) throw corrupt(start, 'it is cut short')
  const end = tail.subarray(tail.length - FOOTER_BYTES)
  const bytes = sizeIn(end)
  const footer = parsed(parseFooter(end, bytes))
  const isWhole = bytes === tail.length
  if (!isWhole && (tail.length < TAIL_BYTES || bytes < tail.length))
    throw corrupt(start, 'its size is not what it says')
  const more = async (offset: number, length: number): Promise<Uint8Array> => {
    const part = await asking.part(start, offset, length, signal)
    if (part === undefined) throw new Gone()
    return part
  }
  const tablesAt = footer.tablesAt - (bytes - tail.length)
  const table = tablesAt >= 0 ? tail.subarray(tablesAt, tablesAt + footer.tablesBytes) : undefined
  const { tables, dictionary, meta } = parsed(
    parseEnd(table ?? (await more(footer.tablesAt, footer.tablesBytes)), footer),
  )
  const header = parsed(parseHeader(isWhole ? tail.subarray(0, HEADER_BYTES) : await more(0, HEADER_BYTES)))
  const { shardLength } = header
  if (header.start !== start) throw corrupt(start, `it is the shard of item ${header.start}`)
  const isShort = tables.count < shardLength
  if (tables.count > shardLength || (isShort && !footer.ends)) throw corrupt(start, 'it has too few items, or too many')
  return { start, shardLength, footer, tables, dictionary, meta, bytes, tail }
}

/** How long the file is, by what its footer says; the footer is checked against it only afterwards. */
function sizeIn(end: Uint8Array): number {
  const view = new DataView(end.buffer, end.byteOffset, end.byteLength)
  const rows = 24 * view.getUint32(4, true) + 8 * view.getUint32(0, true)
  const rest = view.getUint32(16, true) + view.getUint32(20, true)
  return Number(view.getBigUint64(8, true)) + rows + rest + FOOTER_BYTES
}

/** Compares the blocks of a shard with their checksums as the bytes of the file come by, from its beginning. */
export class BlockCheck {
  readonly #shard: FarShard
  #block = 0
  /** Bytes of this block so far, and their checksum. */
  #done = 0
  #crc = 0
  #at = 0

  constructor(shard: FarShard) {
    this.#shard = shard
  }

  /** The next bytes of the file. Throws `MILL_SHARD_CORRUPT`. */
  add(bytes: Uint8Array): void {
    const { start, tables } = this.#shard
    // The header has been looked at.
    let from = Math.min(bytes.length, Math.max(0, HEADER_BYTES - this.#at))
    this.#at += bytes.length
    while (this.#block < tables.blocks) {
      const to = Math.min(bytes.length, from + tables.storedOf(this.#block) - this.#done)
      this.#crc = crc32(bytes.subarray(from, to), this.#crc)
      this.#done += to - from
      from = to
      if (this.#done < tables.storedOf(this.#block)) return
      if (this.#crc !== tables.blockCrcOf(this.#block)) throw corrupt(start, `block ${this.#block} is damaged`)
      this.#block++
      this.#done = 0
      this.#crc = 0
    }
  }
}

/** Reads single items of a shard that stays where it is. */
export class FarItems<T> {
  readonly shard: FarShard
  readonly #kit: ShardKit<T>
  readonly #session: Session<T>
  /** Items read one by one, by stretch: so many items as fill a MiB, whatever blocks they lie in. */
  readonly #singles: number[] = []
  readonly #stretch: number

  /** Throws `MILL_SHARD_CORRUPT`. */
  constructor(kit: ShardKit<T>, shard: FarShard) {
    this.shard = shard
    this.#kit = kit
    const { count, plainBytes } = shard.tables
    this.#stretch = Math.max(1, Math.ceil((count * STRETCH) / Math.max(1, plainBytes)))
    try {
      this.#session = kit.sessions(shard.dictionary)
    } catch (cause) {
      throw shardCorrupt(shard.start, keyOf(shard.start), 'its dictionary is not readable', cause)
    }
  }

  /** Counts a single read; true once an eighth of a MiB has been read so: the whole shard is the better way. */
  isWorthAll(i: number): boolean {
    const stretch = Math.floor(i / this.#stretch)
    const singles = (this.#singles[stretch] ?? 0) + 1
    this.#singles[stretch] = singles
    return singles > Math.max(1, this.#stretch / 8)
  }

  /** One item: its frame alone, or its block where that is compressed. Undefined: the shard isn't there any more. */
  async item(asking: Asking, i: number, signal: AbortSignal): Promise<{ readonly value: T } | undefined> {
    const { start, tables } = this.shard
    const block = tables.blockOf(i)
    const { codec } = this.#kit
    const from = tables.frameFrom(i)
    const to = tables.frameTo(i, block)
    let frame: Uint8Array | undefined
    if (codec === undefined) frame = await asking.part(start, tables.offsetOf(block) + from, to - from, signal)
    else {
      const stored = await asking.part(start, tables.offsetOf(block), tables.storedOf(block), signal)
      if (stored !== undefined && crc32(stored) !== tables.blockCrcOf(block)) {
        throw corrupt(start, `block ${block} is damaged`)
      }
      frame = stored && this.#unpacked(stored, block).subarray(from, to)
    }
    if (frame === undefined) return undefined
    if (crc32(frame) !== tables.frameCrc(i)) throw corrupt(start, `item ${start + i} is damaged`)
    try {
      return { value: this.#session.decode(frame, 0, frame.length) }
    } catch (cause) {
      throw shardCorrupt(start, keyOf(start), `item ${start + i} cannot be decoded`, cause)
    }
  }

  #unpacked(stored: Uint8Array, block: number): Uint8Array {
    const { start, tables } = this.shard
    const plain = tables.plainOf(block)
    try {
      const bytes = this.#kit.codec?.decode(stored, plain)
      if (bytes?.length === plain) return bytes
    } catch (cause) {
      throw shardCorrupt(start, keyOf(start), `block ${block} cannot be unpacked`, cause)
    }
    throw corrupt(start, `block ${block} is of another length unpacked`)
  }
}
