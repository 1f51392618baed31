import type { Session } from '../codec/session.js'
import { type Block, type BlockHome, blockOf, type TableHolder } from './cache.js'
import type { ShardKit } from './kit.js'
import { type ShardFile, shardCorrupt, shardGone } from './shard-file.js'
import type { ShardMeta } from './shard-format.js'
import type { ShardTables } from './shard-tables.js'

/** What `find` gives for an item that is not in memory; no item is it. */
export const MISS = Symbol('not in memory')

/** Once an eighth of a block's items were read one by one, the whole block is. */
const EIGHTH = 8

const ignore = (): void => {}

/** What a shard says of itself. */
export interface ShardFacts {
  /** Items of a full shard of this dataset. */
  readonly shardLength: number
  /** The dataset ends with it. */
  readonly ends: boolean
  /** Checksum over all frames. */
  readonly crc: number
  /** Bytes of the file. */
  readonly bytes: number
  readonly meta: ShardMeta
}

/** A block on its way into memory. */
interface Loading {
  readonly block: Promise<Block>
  /** Who waits for it. */
  users: number
  pin: boolean
}

/**
 * The items of one shard: from memory, else from its file, one frame or one block at a time. Everything that is given out
 * was compared with a checksum. What it gives are fresh values, but for a kit that keeps decoded ones. Items are counted
 * from 0 in the shard; there must be one at `i`.
 *
 * Methods throw or reject with `MILL_SHARD_CORRUPT`, and with `MILL_SHARD_UNAVAILABLE` for a file that is gone or can't be
 * opened; the items of undamaged blocks, and undamaged frames of a damaged one that isn't compressed, stay readable.
 */
export class ShardReader<T> implements TableHolder {
  /** Index of the first item. */
  readonly start: number
  facts: ShardFacts
  /** Counts up with each use. */
  usedAt = 0
  /** Blocks in memory. */
  readonly blocks: BlockHome = []
  readonly #kit: ShardKit<T>
  readonly #tables: ShardTables
  readonly #session: Session<T>
  /** Undefined: all of it lies in memory. */
  #file: ShardFile | undefined
  #closed = false
  readonly #loading = new Map<number, Loading>()
  /** Reads of single frames, by block. */
  readonly #singles: number[] = []

  /** See `openShard` for files, and `ShardWriter` for shards in work. */
  constructor(
    kit: ShardKit<T>,
    start: number,
    tables: ShardTables,
    session: Session<T>,
    file: ShardFile | undefined,
    facts: ShardFacts,
  ) {
    this.#kit = kit
    this.start = start
    this.#tables = tables
    this.#session = session
    this.#file = file
    this.facts = facts
  }

  /** Where the file lies, for messages; it may have been removed since. */
  get path(): string {
    return this.#file?.path ?? `of item ${this.start}, in memory`
  }

  /** Items. */
  get count(): number {
    return this.#tables.count
  }

  get tableBytes(): number {
    return this.#tables.bytes
  }

  /** Reads under way. */
  get busy(): number {
    return (this.#file?.pending ?? 0) + this.#loading.size
  }

  get idle(): boolean {
    return this.busy === 0
  }

  /** It can't be read any more, by `close` or because the tables of open shards took too much memory: open it anew. */
  get closed(): boolean {
    return this.#closed
  }

  /** The item at `i` of the shard if its bytes are in memory, else {@link MISS}. */
  find(i: number): T | typeof MISS {
    const block = this.blocks[this.#tables.blockOf(i)]
    if (block === undefined) return MISS
    return this.#hit(block, i)
  }

  /** As `find`; undefined is both an item and none. */
  peek(i: number): T | undefined {
    const block = this.blocks[this.#tables.blockOf(i)]
    if (block === undefined) return undefined
    const { values } = block
    if (values === undefined) return this.#hit(block, i)
    const kept = values[i - block.first]
    if (kept === MISS) return this.#hit(block, i)
    this.#used(block)
    return kept as T
  }

  /** The item at `i` of the shard, at once where that is quick. */
  get(i: number): T | Promise<T> {
    const number = this.#tables.blockOf(i)
    const block = this.blocks[number]
    return block === undefined ? this.#read(i, number) : this.#hit(block, i)
  }

  /**
   * The items from `i` on, 1 to `max` of them, up to the end of their block at most. Reads whole blocks, and the next one
   * ahead.
   */
  run(i: number, max: number): T[] | Promise<T[]> {
    const tables = this.#tables
    const number = tables.blockOf(i)
    const to = Math.min(i + max, tables.firstOf(number + 1))
    const block = this.blocks[number]
    if (block !== undefined) {
      this.#kit.cache.pin(block)
      this.ahead(number + 1)
      return this.#values(block, i, to)
    }
    const file = this.#file
    if (file === undefined || this.#closed) throw shardGone(this.start, this.path, new Error('the shard is closed'))
    return file.isBad(number) ? this.#runSingly(i, to) : this.#runFrom(file, number, i, to)
  }

  async #runFrom(file: ShardFile, number: number, i: number, to: number): Promise<T[]> {
    try {
      return await this.#with(file, number, true, (block) => {
        this.ahead(number + 1)
        return this.#values(block, i, to)
      })
    } catch (error) {
      // The first to find it damaged still gets what can be had of it.
      if (!file.isBad(number) || this.#kit.codec !== undefined) throw error
      return this.#runSingly(i, to)
    }
  }

  /** Items of a damaged block up to the first that is damaged itself; that one rejects when it is the first. */
  async #runSingly(i: number, to: number): Promise<T[]> {
    const items: T[] = []
    try {
      for (let at = i; at < to; at++) items.push(await this.get(at))
    } catch (error) {
      if (items.length === 0) throw error
    }
    return items
  }

  /** Begins to read a block that will be wanted. */
  ahead(number: number): void {
    const file = this.#file
    if (number >= this.#tables.blocks || this.blocks[number] !== undefined || this.#closed) return
    if (file === undefined || this.#loading.has(number) || file.isBad(number)) return
    // Whoever comes for it meets the error, or tries again.
    this.#with(file, number, true, ignore).catch(ignore)
  }

  #used(block: Block): void {
    const kit = this.#kit
    block.used = true
    this.usedAt = ++kit.handles.uses
    kit.stats.hits++
  }

  #hit(block: Block, i: number): T {
    const kit = this.#kit
    this.#used(block)
    return kit.decoded && block.slot >= 0 ? this.#kept(block, i) : this.#decode(block, i)
  }

  #values(block: Block, i: number, to: number): T[] {
    const kit = this.#kit
    block.used = true
    this.usedAt = ++kit.handles.uses
    kit.stats.hits += to - i
    const keep = kit.decoded && block.slot >= 0
    const items = new Array<T>(to - i)
    let at = i
    try {
      for (; at < to; at++) items[at - i] = keep ? this.#kept(block, at) : this.#decode(block, at)
    } catch (error) {
      // What comes before is fine, and this one is met again as the first of the next run.
      if (at === i) throw error
      items.length = at - i
    }
    return items
  }

  #kept(block: Block, i: number): T {
    const at = i - this.#tables.firstOf(block.number)
    const values = block.values ?? this.#keepValues(block)
    const kept = values[at]
    if (kept !== MISS) return kept as T
    const value = this.#decode(block, i)
    values[at] = value
    return value
  }

  #keepValues(block: Block): unknown[] {
    const tables = this.#tables
    block.first = tables.firstOf(block.number)
    return this.#kit.cache.keepValues(block, tables.firstOf(block.number + 1) - block.first, MISS)
  }

  #decode(block: Block, i: number): T {
    const tables = this.#tables
    return this.#decodeFrom(block.buffer, tables.frameFrom(i), tables.frameTo(i, block.number), i)
  }

  #decodeFrom(bytes: Uint8Array, from: number, to: number, i: number): T {
    try {
      return this.#session.decode(bytes, from, to)
    } catch (cause) {
      throw shardCorrupt(this.start, this.path, `item ${this.start + i} cannot be decoded`, cause)
    }
  }

  // ---- from the file ------------------------------------------------------------------------------------------------

  #read(i: number, number: number): T | Promise<T> {
    const tables = this.#tables
    const kit = this.#kit
    this.usedAt = ++kit.handles.uses
    const file = this.#file
    if (file === undefined || this.#closed) throw shardGone(this.start, this.path, new Error('the shard is closed'))
    if (kit.codec !== undefined) {
      if (this.#loading.has(number) || !file.canReadNow(tables.storedOf(number))) return this.#readVia(file, number, i)
      const stored = file.blockNow(number)
      const block = this.#unpacked(file, number, stored, false, 1)
      try {
        return this.#decode(block, i)
      } finally {
        kit.cache.unhold(block)
      }
    }
    if (!file.isBad(number)) {
      const singles = (this.#singles[number] ?? 0) + 1
      const items = tables.firstOf(number + 1) - tables.firstOf(number)
      const isWorth = singles * EIGHTH >= items && kit.cache.takes(tables.plainOf(number))
      // Where it does not stay, it is not worth it so soon again. Measured, at random over ten times the cache, 8 µs an
      // item without this and 5 with it.
      this.#singles[number] = isWorth ? -items : singles
      if (isWorth) return this.#readVia(file, number, i)
    }
    const length = tables.frameTo(i, number) - tables.frameFrom(i)
    if (!file.canReadNow(length)) return this.#readOne(file, number, i)
    return this.#decodeFrom(file.frameNow(i, number), 0, length, i)
  }

  async #readVia(file: ShardFile, number: number, i: number): Promise<T> {
    try {
      return await this.#with(file, number, false, (block) => this.#decode(block, i))
    } catch (error) {
      if (!file.isBad(number) || this.#kit.codec !== undefined) throw error
      return this.#readOne(file, number, i)
    }
  }

  async #readOne(file: ShardFile, number: number, i: number): Promise<T> {
    const frame = await file.frame(i, number)
    return this.#decodeFrom(frame, 0, frame.length, i)
  }

  /** What `use` makes of a block, which it must do at once; reads the block if nobody does yet. */
  async #with<R>(file: ShardFile, number: number, pin: boolean, use: (block: Block) => R): Promise<R> {
    let loading = this.#loading.get(number)
    if (loading === undefined) {
      loading = { block: this.#load(file, number), users: 0, pin: false }
      this.#loading.set(number, loading)
    }
    loading.users++
    loading.pin ||= pin
    const block = await loading.block
    try {
      return use(block)
    } finally {
      this.#kit.cache.unhold(block)
    }
  }

  async #load(file: ShardFile, number: number): Promise<Block> {
    const { cache, codec } = this.#kit
    const length = this.#tables.storedOf(number)
    const buffer = cache.allocate(length)
    let isKept = false
    try {
      const stored = buffer.subarray(0, length)
      await file.block(number, stored)
      const { users, pin } = this.#loading.get(number) as Loading
      if (codec !== undefined) return this.#unpacked(file, number, stored, pin, users)
      isKept = true
      return this.#put(number, buffer, length, pin, users)
    } finally {
      this.#loading.delete(number)
      if (!isKept) cache.recycle(buffer)
    }
  }

  #unpacked(file: ShardFile, number: number, stored: Uint8Array, pin: boolean, users: number): Block {
    const plain = file.unpack(number, stored)
    const buffer = this.#kit.cache.allocate(plain.length)
    buffer.set(plain)
    return this.#put(number, buffer, plain.length, pin, users)
  }

  #put(number: number, buffer: Uint8Array, length: number, pin: boolean, users: number): Block {
    if (!this.#closed) return this.#kit.cache.put(this.blocks, number, buffer, length, pin, users)
    const block = blockOf(this.blocks, number, buffer, length)
    block.holds = users
    block.gone = true
    return block
  }

  // ---- as a whole ---------------------------------------------------------------------------------------------------

  /** Reads every byte of the blocks and compares it, frame by frame. The tables were when it was opened. */
  async check(signal?: AbortSignal): Promise<void> {
    for (let number = 0; number < this.#tables.blocks; number++) {
      signal?.throwIfAborted()
      await this.#file?.check(number)
    }
  }

  /** Gives memory and descriptor back, the latter when the last read is done. Idempotent. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    const { cache } = this.#kit
    cache.letGo(this)
    for (const block of this.blocks) if (block !== undefined) cache.drop(block)
    void this.#file?.close()
  }

  /** For the writer: all is brought into memory, where it stays, and the file is let go. */
  async leaveFile(): Promise<void> {
    const file = this.#file
    if (file === undefined) return
    for (let number = 0; number < this.#tables.blocks; number++) {
      const block = this.blocks[number]
      if (block === undefined) await this.#with(file, number, false, (loaded) => this.#keep(loaded))
      else this.#keep(block)
    }
    this.#file = undefined
    await file.close()
  }

  #keep(block: Block): void {
    this.#kit.cache.release(block)
    // It may have found no room in the cache, and not be in its home.
    block.gone = false
    this.blocks[block.number] = block
  }
}
