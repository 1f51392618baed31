import { crc32 } from 'node:zlib'
import { LoadItError } from '../base/errors.js'
import { readFully } from './file-ops.js'
import type { Handle } from './handles.js'
import type { ShardKit } from './kit.js'
import { MOST_SYNC_BYTES } from './read-pace.js'
import type { ShardTables } from './shard-tables.js'

/** Small reads go into this, and are looked at before anything else is read. */
const scratch = new Uint8Array(MOST_SYNC_BYTES)

/** A shard whose bytes are not what was written. */
export function shardCorrupt(start: number, path: string, reason: string, cause?: unknown): LoadItError {
  const fields = { start, reason, path, ...(cause !== undefined && { cause }) }
  return new LoadItError('MILL_SHARD_CORRUPT', `The shard ${path} is damaged: ${reason}`, fields)
}

/** A shard whose file is gone, or can't be opened. */
export function shardGone(start: number, path: string, cause: unknown): LoadItError {
  const fields = { index: start, start, path, cause }
  return new LoadItError('MILL_SHARD_UNAVAILABLE', `The shard ${path} cannot be opened`, fields)
}

/**
 * The file of a shard: reads frames and blocks, and gives out none whose checksum is wrong. Throws or rejects with
 * `MILL_SHARD_CORRUPT`, and with `MILL_SHARD_UNAVAILABLE` where it can't be opened.
 */
export class ShardFile {
  readonly #kit: ShardKit<unknown>
  readonly #start: number
  readonly #tables: ShardTables
  readonly #handle: Handle
  /** Blocks whose checksum is wrong: their frames are looked at one by one. */
  readonly #bad = new Set<number>()
  /** Where it lies, for messages; it may have been removed since. */
  path: string

  constructor(kit: ShardKit<unknown>, start: number, tables: ShardTables, handle: Handle, path: string) {
    this.#kit = kit
    this.#start = start
    this.#tables = tables
    this.#handle = handle
    this.path = path
  }

  /** Reads under way. */
  get pending(): number {
    return this.#handle.pending
  }

  /** This block is damaged, but single frames of it may not be. */
  isBad(block: number): boolean {
    return this.#bad.has(block)
  }

  /** A read of so many bytes can be done at once, which may take a while on a slow disk: it is measured. */
  canReadNow(bytes: number): boolean {
    return this.#handle.now >= 0 && this.#kit.pace.allows(bytes)
  }

  /**
   * Reads the frame of an item at once; only where `canReadNow` said so. It is what the memory that is returned begins with,
   * which is always the same, until the next read.
   */
  frameNow(i: number, block: number): Uint8Array {
    const from = this.#tables.frameFrom(i)
    this.#frame(this.#readNow(this.#tables.frameTo(i, block) - from, this.#tables.offsetOf(block) + from), i)
    return scratch
  }

  async frame(i: number, block: number): Promise<Uint8Array> {
    const from = this.#tables.frameFrom(i)
    const bytes = new Uint8Array(this.#tables.frameTo(i, block) - from)
    await this.#read(bytes, this.#tables.offsetOf(block) + from)
    return this.#frame(bytes, i)
  }

  #frame(bytes: Uint8Array, i: number): Uint8Array {
    if (crc32(bytes) === this.#tables.frameCrc(i)) return bytes
    throw this.corrupt(`item ${this.#start + i} is damaged`)
  }

  /** A block as it is stored, at once; as `frameNow`. */
  blockNow(block: number): Uint8Array {
    return this.#block(this.#readNow(this.#tables.storedOf(block), this.#tables.offsetOf(block)), block)
  }

  /** A block as it is stored, into memory of its stored length. */
  async block(block: number, target: Uint8Array): Promise<void> {
    await this.#read(target, this.#tables.offsetOf(block))
    this.#block(target, block)
  }

  #block(stored: Uint8Array, block: number): Uint8Array {
    const tables = this.#tables
    if (this.#kit.codec === undefined && stored.length !== tables.plainOf(block)) {
      throw this.corrupt(`block ${block} is longer or shorter than it says`)
    }
    if (crc32(stored) === tables.blockCrcOf(block)) return stored
    this.#bad.add(block)
    throw this.corrupt(`block ${block} is damaged`)
  }

  /** The plain bytes of a block that was read; not a copy where blocks aren't packed. */
  unpack(block: number, stored: Uint8Array): Uint8Array {
    const { codec } = this.#kit
    if (codec === undefined) return stored
    const length = this.#tables.plainOf(block)
    let plain: Uint8Array
    try {
      plain = codec.decode(stored, length)
    } catch (cause) {
      throw this.corrupt(`block ${block} cannot be unpacked`, cause)
    }
    if (plain.length === length) return plain
    throw this.corrupt(`block ${block} is longer or shorter than it says`)
  }

  /** Reads a block and compares all of its frames. */
  async check(block: number): Promise<void> {
    const tables = this.#tables
    const { cache } = this.#kit
    const length = tables.storedOf(block)
    const buffer = cache.allocate(length)
    try {
      const stored = buffer.subarray(0, length)
      await this.block(block, stored)
      const plain = this.unpack(block, stored)
      const next = tables.firstOf(block + 1)
      for (let i = tables.firstOf(block); i < next; i++) {
        this.#frame(plain.subarray(tables.frameFrom(i), tables.frameTo(i, block)), i)
      }
    } finally {
      cache.recycle(buffer)
    }
  }

  #readNow(length: number, position: number): Uint8Array {
    const { files, pace, stats } = this.#kit
    stats.reads++
    const began = performance.now()
    let done = 0
    try {
      while (done < length) {
        const read = files.readSync(this.#handle.now, scratch, done, length - done, position + done)
        if (read === 0) break
        done += read
      }
    } catch (cause) {
      throw this.corrupt('it cannot be read', cause)
    }
    pace.took(performance.now() - began)
    if (done < length) throw this.corrupt('it is cut short')
    return scratch.subarray(0, length)
  }

  async #read(target: Uint8Array, position: number): Promise<void> {
    const handle = this.#handle
    const fd = await handle.acquire().catch((cause: unknown) => {
      throw this.gone(cause)
    })
    this.#kit.stats.reads++
    let read: number
    try {
      read = await readFully(this.#kit.files, fd, target, position)
    } catch (cause) {
      throw this.corrupt('it cannot be read', cause)
    } finally {
      handle.release()
    }
    if (read < target.length) throw this.corrupt('it is cut short')
  }

  /** When the last read is done. */
  close(): Promise<void> {
    return this.#handle.close()
  }

  /** An error that says what is wrong with it. */
  corrupt(reason: string, cause?: unknown): LoadItError {
    return shardCorrupt(this.#start, this.path, reason, cause)
  }

  gone(cause: unknown): LoadItError {
    return shardGone(this.#start, this.path, cause)
  }
}
