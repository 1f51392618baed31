import { allocate } from '../base/bytes.js'

/** Buffers are made in steps of so many bytes, so that they fit again; from 64 KiB on the steps are coarser. */
const FINE = 4096
const COARSE = 65_536
/** Buffers above this are one-offs. */
const MOST_RECYCLED = 2_097_152
/** Bytes of free buffers that are kept. */
const MOST_FREE = 4_194_304
/** Blocks that are being walked stay, however small the cache: two walks, each with a block ahead, of normal blocks. */
const MOST_PINS = 4
const MOST_PINNED = 8_388_608
/** Tables of so many shards stay, however small the cache. */
const LEAST_TABLES = 4
/** What a decoded item is taken to weigh, besides twice its bytes. */
const DECODED_ITEM = 128
const DECODED_FACTOR = 2

/** Where blocks are looked for: a shard's blocks by number. */
export type BlockHome = (Block | undefined)[]

/** The plain bytes of a block, in memory. */
export interface Block {
  /** Its first `length` bytes are the block; recycled once it is dropped. */
  buffer: Uint8Array
  length: number
  /** Decoded items, or HOLE; there if the cache keeps those, from the first one on. */
  values: unknown[] | undefined
  /** Index in the shard of the first of them. */
  first: number
  /** It was used since the hand of the clock came by. */
  used: boolean
  pinned: boolean
  /** Place in the ring; -1: it is not the cache's to drop. */
  slot: number
  /** What it costs, in bytes. */
  weight: number
  /** Who reads it at this moment: its buffer is not used again before they have done. */
  holds: number
  /** It was dropped. */
  gone: boolean
  readonly home: BlockHome
  readonly number: number
}

/** Something whose tables are in memory. */
export interface TableHolder {
  readonly tableBytes: number
  /** Counts up with each use. */
  readonly usedAt: number
  /** Nobody waits for it. */
  readonly idle: boolean
  /** It gives back all it has. */
  close(): void
}

/**
 * The memory of a loader: blocks of all its shards, and their tables, up to a limit in bytes. What is dropped is found by
 * a hand that goes round (a block that was used since the last time gets another round), so that a hit costs one write.
 * The buffers of blocks are used again: fresh ones, a mebibyte each, would have V8 collect all the time.
 */
export class BlockCache {
  readonly limit: number
  #weight = 0
  #tables = 0
  #hand = 0
  readonly #ring: Block[] = []
  readonly #pins: Block[] = []
  readonly #holders = new Set<TableHolder>()
  readonly #free = new Map<number, Uint8Array[]>()
  #freeBytes = 0

  /** @param limit bytes of blocks and tables; 0: nothing is kept but what is needed at the moment */
  constructor(limit: number) {
    this.limit = limit
  }

  /** Bytes it holds: blocks and tables. */
  get bytes(): number {
    return this.#weight + this.#tables
  }

  /** Memory for a block of `length` bytes, not zeroed, possibly longer. Give it to `put`, or back to `recycle`. */
  allocate(length: number): Uint8Array {
    const size = sizeFor(length)
    const free = this.#free.get(size)?.pop()
    if (free === undefined) return allocate(size)
    this.#freeBytes -= size
    return free
  }

  /** A buffer that nobody looks at any more. */
  recycle(buffer: Uint8Array): void {
    const size = buffer.length
    if (size > MOST_RECYCLED || sizeFor(size) !== size || this.#freeBytes + size > MOST_FREE) return
    const list = this.#free.get(size)
    if (list === undefined) this.#free.set(size, [buffer])
    else list.push(buffer)
    this.#freeBytes += size
  }

  /** Moves a block that is not the cache's into memory for `length` bytes: more than it has, or less that are enough. */
  resize(block: Block, length: number): void {
    const { buffer } = block
    if (sizeFor(length) === buffer.length) return
    block.buffer = this.allocate(length)
    block.buffer.set(buffer.subarray(0, block.length))
    block.weight = block.buffer.length
    this.recycle(buffer)
  }

  /** Could a block of so many bytes stay? */
  takes(length: number): boolean {
    return sizeFor(length) <= this.limit - this.#tables
  }

  /**
   * Puts a block of `length` bytes into its home. It stays as long as there is room, and longer if it is pinned, which the
   * last few are. What finds no room at all is not in its home afterwards. The block that is returned is held `holds`
   * times: until it was let go as often it can be read, dropped or not.
   */
  put(home: BlockHome, number: number, buffer: Uint8Array, length: number, pin: boolean, holds: number): Block {
    const block = blockOf(home, number, buffer, length)
    block.holds = holds
    this.adopt(block, pin)
    return block
  }

  /** A block that was not the cache's to drop is so from now on. */
  adopt(block: Block, pin = false): void {
    block.slot = this.#ring.length
    this.#ring.push(block)
    this.#weight += block.weight
    block.home[block.number] = block
    if (pin) this.pin(block)
    this.#shrink()
  }

  /** Who held a block has done. */
  unhold(block: Block): void {
    if (--block.holds === 0 && block.gone) this.recycle(block.buffer)
  }

  /** Someone walks through this block: it stays until others are walked through. */
  pin(block: Block): void {
    if (block.pinned || block.slot < 0) return
    block.pinned = true
    this.#pins.push(block)
    let pinned = 0
    for (const { weight } of this.#pins) pinned += weight
    while (this.#pins.length > 1 && (this.#pins.length > MOST_PINS || pinned > MOST_PINNED)) {
      const oldest = this.#pins.shift() as Block
      oldest.pinned = false
      pinned -= oldest.weight
    }
  }

  /** The items of this block are kept decoded, too. */
  keepValues(block: Block, items: number, hole: unknown): unknown[] {
    const values = new Array<unknown>(items).fill(hole)
    block.values = values
    const more = DECODED_FACTOR * block.length + DECODED_ITEM * items
    block.weight += more
    if (block.slot >= 0) {
      this.#weight += more
      this.#shrink(block)
    }
    return values
  }

  /** Takes a block out of the cache, but leaves it in its home. */
  release(block: Block): void {
    if (block.slot < 0) return
    const last = this.#ring.pop() as Block
    if (last !== block) {
      last.slot = block.slot
      this.#ring[block.slot] = last
    }
    block.slot = -1
    this.#weight -= block.weight
    if (block.pinned) {
      block.pinned = false
      this.#pins.splice(this.#pins.indexOf(block), 1)
    }
  }

  /** Drops a block; its buffer is used again. */
  drop(block: Block): void {
    this.release(block)
    if (block.home[block.number] === block) block.home[block.number] = undefined
    if (block.gone) return
    block.gone = true
    if (block.holds === 0) this.recycle(block.buffer)
  }

  /** The tables of a shard have come into memory. */
  hold(holder: TableHolder): void {
    if (this.#holders.has(holder)) return
    this.#holders.add(holder)
    this.#tables += holder.tableBytes
    // Tables alone must not fill it: at most half of it is theirs.
    while (this.#tables > this.limit / 2 && this.#holders.size > LEAST_TABLES) {
      let coldest: TableHolder | undefined
      for (const each of this.#holders) {
        if (each !== holder && each.idle && each.usedAt < (coldest?.usedAt ?? Number.POSITIVE_INFINITY)) coldest = each
      }
      if (coldest === undefined) break
      coldest.close()
    }
    this.#shrink()
  }

  /** They have gone. */
  letGo(holder: TableHolder): void {
    if (this.#holders.delete(holder)) this.#tables -= holder.tableBytes
  }

  /** Nothing is kept any more. */
  clear(): void {
    for (const holder of [...this.#holders]) holder.close()
    while (this.#ring.length > 0) this.drop(this.#ring[this.#ring.length - 1] as Block)
    this.#free.clear()
    this.#freeBytes = 0
  }

  #shrink(keep?: Block): void {
    // Twice round: the first time a block may only lose its mark.
    let left = 2 * this.#ring.length + 1
    while (this.#weight + this.#tables > this.limit && left-- > 0 && this.#ring.length > 0) {
      if (this.#hand >= this.#ring.length) this.#hand = 0
      const block = this.#ring[this.#hand] as Block
      if (block.used || block.pinned || block === keep) {
        block.used = false
        this.#hand++
      } else this.drop(block)
    }
  }
}

/** A block that is not the cache's. */
export function blockOf(home: BlockHome, number: number, buffer: Uint8Array, length: number): Block {
  return {
    buffer,
    length,
    values: undefined,
    first: 0,
    used: false,
    pinned: false,
    slot: -1,
    weight: buffer.length,
    holds: 0,
    gone: false,
    home,
    number,
  }
}

function sizeFor(length: number): number {
  const step = length <= COARSE ? FINE : COARSE
  return length > MOST_RECYCLED ? length : Math.max(FINE, Math.ceil(length / step) * step)
}
