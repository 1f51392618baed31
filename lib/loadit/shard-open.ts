import type { LoadItError } from '../base/errors.js'
import type { Session } from '../codec/session.js'
import { type FileOps, OPEN_TO_READ, readFully } from './file-ops.js'
import { Handle } from './handles.js'
import type { ShardKit } from './kit.js'
import { ShardFile, shardCorrupt, shardGone } from './shard-file.js'
import { FOOTER_BYTES, HEADER_BYTES, parseEnd, parseFooter, parseHeader, type ShardEnd } from './shard-format.js'
import { type ShardFacts, ShardReader } from './shard-reader.js'

/** The tables of most shards lie in so many bytes at the end, and small shards as a whole. */
const TAIL_BYTES = 65_536

/** What is known of a shard from elsewhere; undefined: not. */
export interface Expected {
  readonly count?: number | undefined
  readonly crc?: number | undefined
  readonly bytes?: number | undefined
}

/**
 * Opens a shard's file: reads its header, tables and footer, and compares them with each other, with the size of the file
 * and with what is expected. Rejects with `MILL_SHARD_UNAVAILABLE` (its `cause` is the system's error, e.g. `ENOENT`), and
 * with `MILL_SHARD_CORRUPT` for links and devices, for what is no shard, or another one, or made in another way.
 */
export async function openShard<T>(
  kit: ShardKit<T>,
  path: string,
  start: number,
  expected: Expected = {},
): Promise<ShardReader<T>> {
  const handle = new Handle(kit.handles, path)
  const fd = await handle.acquire().catch((cause: NodeJS.ErrnoException) => {
    throw openFault(start, path, cause)
  })
  try {
    kit.stats.reads++
    const { facts, end } = await inspect(kit.files, fd, start, path)
    const { meta } = facts
    const sameMaker = meta.serializer === kit.meta.serializer && meta.compression === kit.meta.compression
    if (!sameMaker) throw shardCorrupt(start, path, `it was made by ${meta.serializer} and ${meta.compression}`)
    const { count = end.tables.count, crc = facts.crc, bytes = facts.bytes } = expected
    if (count !== end.tables.count || crc !== facts.crc || bytes !== facts.bytes) {
      throw shardCorrupt(start, path, 'it is another one than was published')
    }
    const session = sessionOf(kit, end.dictionary, start, path)
    const file = new ShardFile(kit, start, end.tables, handle, path)
    const reader = new ShardReader(kit, start, end.tables, session, file, facts)
    reader.usedAt = ++kit.handles.uses
    kit.cache.hold(reader)
    return reader
  } catch (error) {
    void handle.close()
    throw error
  } finally {
    handle.release()
  }
}

/** What a shard's file says of itself, without reading its blocks. Rejects as {@link openShard} does. */
export async function inspectShard(files: FileOps, path: string, start: number): Promise<Inspected> {
  const fd = await files.open(path, OPEN_TO_READ).catch((cause: NodeJS.ErrnoException) => {
    throw openFault(start, path, cause)
  })
  try {
    return await inspect(files, fd, start, path)
  } finally {
    await files.close(fd).catch(() => {})
  }
}

function openFault(start: number, path: string, cause: NodeJS.ErrnoException): LoadItError {
  const isOdd = cause.code === 'ELOOP' || cause.code === 'ENXIO'
  return isOdd ? shardCorrupt(start, path, 'it is a link or a device', cause) : shardGone(start, path, cause)
}

function sessionOf<T>(kit: ShardKit<T>, dictionary: Uint8Array, start: number, path: string): Session<T> {
  try {
    return kit.sessions(dictionary)
  } catch (cause) {
    throw shardCorrupt(start, path, 'its dictionary is not readable', cause)
  }
}

/** Header, tables and footer of a shard. */
export interface Inspected {
  readonly facts: ShardFacts
  readonly end: ShardEnd
}

async function inspect(files: FileOps, fd: number, start: number, path: string): Promise<Inspected> {
  const corrupt = (reason: string, cause?: unknown): LoadItError => shardCorrupt(start, path, reason, cause)
  const parsed = <R>(result: R | string): R => {
    if (typeof result === 'string') throw corrupt(result)
    return result
  }
  const unreadable = (cause: unknown): never => {
    throw corrupt('it cannot be read', cause)
  }
  const read = async (position: number, length: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(length)
    const done = await readFully(files, fd, bytes, position).catch(unreadable)
    if (done < length) throw corrupt('it is cut short')
    return bytes
  }
  const { size, isFile } = await files.fstat(fd).catch(unreadable)
  if (!isFile) throw corrupt('it is no regular file')
  if (size < HEADER_BYTES + FOOTER_BYTES) throw corrupt('it is cut short')
  const tail = await read(Math.max(0, size - TAIL_BYTES), Math.min(size, TAIL_BYTES))
  const footer = parsed(parseFooter(tail.subarray(tail.length - FOOTER_BYTES), size))
  // Mostly the tables have been read with it, and small shards as a whole.
  const tablesAt = footer.tablesAt - (size - tail.length)
  const tables = tablesAt >= 0 ? tail.subarray(tablesAt, tablesAt + footer.tablesBytes) : undefined
  const end = parsed(parseEnd(tables ?? (await read(footer.tablesAt, footer.tablesBytes)), footer))
  const header = parsed(
    parseHeader(tail.length === size ? tail.subarray(0, HEADER_BYTES) : await read(0, HEADER_BYTES)),
  )
  const { shardLength } = header
  const { count } = end.tables
  if (header.start !== start) throw corrupt(`it is the shard of item ${header.start}`)
  if (count > shardLength || (count < shardLength && !footer.ends)) throw corrupt('it has too few items, or too many')
  const facts: ShardFacts = { shardLength, ends: footer.ends, crc: footer.crc, bytes: size, meta: end.meta }
  return { facts, end }
}
