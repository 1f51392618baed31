import { crc32 } from 'node:zlib'
import { utf8 } from '../base/bytes.js'
import { MAX_ITEMS, ShardTables } from './shard-tables.js'

/*
 * A shard file, little-endian: header, blocks, tables, footer; see docs/shard-format.md. Every byte of it is under some
 * checksum. What is parsed here is not believed before it was compared with the size of the file.
 */

/** Bytes of the header. */
export const HEADER_BYTES = 24
/** Bytes of the footer. */
export const FOOTER_BYTES = 56
const BLOCK_ROW = 24
const ITEM_ROW = 8
/** Bytes of a dictionary, at most. */
export const MAX_DICTIONARY = 16_777_216
/** Bytes of the meta data, at most. */
export const MAX_META = 131_072
/** Bytes of one encoded item, at most; so long is a block that holds only that. */
export const MAX_ITEM_BYTES = 2 ** 30
/** The dataset ends with this shard. */
const ENDS = 1

/** `MILLSHD` and the version; backwards at the end of a file. */
const MAGIC = Uint8Array.of(0x4d, 0x49, 0x4c, 0x4c, 0x53, 0x48, 0x44, 0x01)
const END_MAGIC = Uint8Array.of(0x44, 0x48, 0x53, 0x4c, 0x4c, 0x49, 0x4d, 0x0a)

const encoder = new TextEncoder()

/** What a shard's bytes were made with. */
export interface ShardMeta {
  readonly serializer: string
  readonly compression: string
  readonly fingerprint?: string
}

/** What the footer says. */
export interface ShardFooter {
  readonly items: number
  readonly blocks: number
  /** Where the tables begin in the file. */
  readonly tablesAt: number
  /** Bytes of the tables, the dictionary and the meta data, which lie together. */
  readonly tablesBytes: number
  readonly dictionaryBytes: number
  readonly metaBytes: number
  readonly plainBytes: number
  /** Checksum over all frames. */
  readonly crc: number
  /** The dataset ends with this shard. */
  readonly ends: boolean
  readonly tablesCrc: number
}

/** What follows the blocks. */
export interface ShardEnd {
  readonly tables: ShardTables
  readonly dictionary: Uint8Array
  readonly meta: ShardMeta
}

/** The first bytes of a shard that begins with item `start`, full with `shardLength` items. */
export function encodeHeader(start: number, shardLength: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  bytes.set(MAGIC)
  view.setBigUint64(8, BigInt(start), true)
  view.setUint32(16, shardLength, true)
  view.setUint32(20, crc32(bytes.subarray(0, 20)), true)
  return bytes
}

/** Start and shard length; a text says what is wrong. */
export function parseHeader(bytes: Uint8Array): { readonly start: number; readonly shardLength: number } | string {
  const view = viewOf(bytes)
  if (!begins(bytes, MAGIC)) return 'it does not begin as a shard does'
  if (crc32(bytes.subarray(0, 20)) !== view.getUint32(20, true)) return 'its header is damaged'
  const start = Number(view.getBigUint64(8, true))
  const shardLength = view.getUint32(16, true)
  if (!Number.isSafeInteger(start) || shardLength > MAX_ITEMS) return 'its header is out of range'
  return { start, shardLength }
}

/** All that follows the blocks, which end at `tablesAt`. */
export function encodeEnd({ tables, dictionary, meta }: ShardEnd, tablesAt: number, ends: boolean): Uint8Array {
  const metaBytes = encodeMeta(meta)
  const rows = BLOCK_ROW * tables.blocks + ITEM_ROW * tables.count
  const footerAt = rows + dictionary.length + metaBytes.length
  const bytes = new Uint8Array(footerAt + FOOTER_BYTES)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (let block = 0; block < tables.blocks; block++, at += BLOCK_ROW) {
    view.setBigUint64(at, BigInt(tables.offsetOf(block)), true)
    view.setUint32(at + 8, tables.storedOf(block), true)
    view.setUint32(at + 12, tables.plainOf(block), true)
    view.setUint32(at + 16, tables.firstOf(block), true)
    view.setUint32(at + 20, tables.blockCrcOf(block), true)
  }
  for (let item = 0; item < tables.count; item++, at += ITEM_ROW) {
    view.setUint32(at, tables.frameFrom(item), true)
    view.setUint32(at + 4, tables.frameCrc(item), true)
  }
  bytes.set(dictionary, rows)
  bytes.set(metaBytes, rows + dictionary.length)
  const footer = new DataView(bytes.buffer, footerAt)
  footer.setUint32(0, tables.count, true)
  footer.setUint32(4, tables.blocks, true)
  footer.setBigUint64(8, BigInt(tablesAt), true)
  footer.setUint32(16, metaBytes.length, true)
  footer.setUint32(20, dictionary.length, true)
  footer.setBigUint64(24, BigInt(tables.plainBytes), true)
  footer.setUint32(32, contentCrc(tables), true)
  footer.setUint32(36, ends ? ENDS : 0, true)
  footer.setUint32(40, crc32(bytes.subarray(0, footerAt)), true)
  footer.setUint32(44, crc32(bytes.subarray(footerAt, footerAt + 44)), true)
  bytes.set(END_MAGIC, footerAt + 48)
  return bytes
}

/** The footer of a file of `size` bytes, compared with that size; a text says what is wrong. */
export function parseFooter(bytes: Uint8Array, size: number): ShardFooter | string {
  const view = viewOf(bytes)
  if (!begins(bytes.subarray(48), END_MAGIC)) return 'it does not end as a shard does'
  if (crc32(bytes.subarray(0, 44)) !== view.getUint32(44, true)) return 'its footer is damaged'
  const items = view.getUint32(0, true)
  const blocks = view.getUint32(4, true)
  const tablesAt = Number(view.getBigUint64(8, true))
  const metaBytes = view.getUint32(16, true)
  const dictionaryBytes = view.getUint32(20, true)
  const plainBytes = Number(view.getBigUint64(24, true))
  const flags = view.getUint32(36, true)
  if (items > MAX_ITEMS || blocks > items || (blocks === 0) !== (items === 0)) return 'its counts are out of range'
  if (dictionaryBytes > MAX_DICTIONARY || metaBytes > MAX_META || flags > ENDS) return 'its footer is out of range'
  const tablesBytes = BLOCK_ROW * blocks + ITEM_ROW * items + dictionaryBytes + metaBytes
  if (tablesAt < HEADER_BYTES || tablesAt + tablesBytes + FOOTER_BYTES !== size) return 'its size is not what it says'
  return {
    items,
    blocks,
    tablesAt,
    tablesBytes,
    dictionaryBytes,
    metaBytes,
    plainBytes,
    crc: view.getUint32(32, true),
    ends: flags === ENDS,
    tablesCrc: view.getUint32(40, true),
  }
}

/** Tables, dictionary and meta data out of their `tablesBytes` bytes; what it gives are copies. A text says what is wrong. */
export function parseEnd(bytes: Uint8Array, footer: ShardFooter): ShardEnd | string {
  if (crc32(bytes) !== footer.tablesCrc) return 'its tables are damaged'
  const tables = parseTables(bytes, footer)
  if (typeof tables === 'string') return tables
  if (contentCrc(tables) !== footer.crc) return 'its tables are not those of its content'
  const dictionaryAt = BLOCK_ROW * footer.blocks + ITEM_ROW * footer.items
  const metaAt = dictionaryAt + footer.dictionaryBytes
  const meta = parseMeta(utf8(bytes, metaAt, metaAt + footer.metaBytes))
  if (meta === undefined) return 'its meta data is not readable'
  return { tables, dictionary: bytes.slice(dictionaryAt, metaAt), meta }
}

/** A checksum does not tell whether whoever made it meant well: blocks and frames must lie one behind the other. */
function parseTables(bytes: Uint8Array, footer: ShardFooter): ShardTables | string {
  const { items, blocks } = footer
  const view = viewOf(bytes)
  const tables = new ShardTables(items, blocks)
  let offset = HEADER_BYTES
  let plainBytes = 0
  let at = 0
  let item = 0
  for (let block = 0; block < blocks; block++, at += BLOCK_ROW) {
    const stored = view.getUint32(at + 8, true)
    const plain = view.getUint32(at + 12, true)
    const first = view.getUint32(at + 16, true)
    const next = block + 1 < blocks ? view.getUint32(at + BLOCK_ROW + 16, true) : items
    if (plain > MAX_ITEM_BYTES) return `block ${block} is out of range`
    if (Number(view.getBigUint64(at, true)) !== offset) return `block ${block} is not where it should be`
    if (first !== item || next <= first || next > items) return `block ${block} has no items`
    tables.setBlock(block, first, plain)
    tables.placeBlock(block, offset, stored, view.getUint32(at + 20, true))
    let last = 0
    for (let row = BLOCK_ROW * blocks + ITEM_ROW * item; item < next; item++, row += ITEM_ROW) {
      const from = view.getUint32(row, true)
      if (from < last || from > plain || (item === first && from !== 0)) return `item ${item} is not where it should be`
      tables.setItem(item, from, view.getUint32(row + 4, true))
      last = from
    }
    offset += stored
    plainBytes += plain
  }
  if (offset !== footer.tablesAt || plainBytes !== footer.plainBytes) return 'its blocks do not add up'
  tables.count = items
  tables.blocks = blocks
  tables.plainBytes = plainBytes
  return tables
}

/** One checksum for what all frames are, whatever blocks they lie in and however those are compressed. */
export function contentCrc(tables: ShardTables): number {
  const rows = new Uint8Array(8 * tables.count)
  const view = new DataView(rows.buffer)
  let block = 0
  for (let item = 0; item < tables.count; item++) {
    while (item >= tables.firstOf(block + 1)) block++
    view.setUint32(8 * item, tables.frameTo(item, block) - tables.frameFrom(item), true)
    view.setUint32(8 * item + 4, tables.frameCrc(item), true)
  }
  return crc32(rows)
}

/** Throws nothing: what is too long for a file is refused where it comes from. */
function encodeMeta({ serializer, compression, fingerprint }: ShardMeta): Uint8Array {
  return encoder.encode(JSON.stringify({ serializer, compression, fingerprint }))
}

function parseMeta(text: string): ShardMeta | undefined {
  try {
    const parsed = JSON.parse(text) as Partial<ShardMeta> | null
    const { serializer, compression, fingerprint } = parsed ?? {}
    if (typeof serializer !== 'string' || typeof compression !== 'string') return undefined
    if (fingerprint === undefined) return { serializer, compression }
    return typeof fingerprint === 'string' ? { serializer, compression, fingerprint } : undefined
  } catch {
    return undefined
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function begins(bytes: Uint8Array, with_: Uint8Array): boolean {
  for (let i = 0; i < with_.length; i++) if (bytes[i] !== with_[i]) return false
  return true
}
