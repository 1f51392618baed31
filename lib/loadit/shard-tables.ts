/** Items of a shard, at most: their table takes 8 MiB then. */
export const MAX_ITEMS = 2 ** 20

/** Room that tables have at first: items, and blocks. */
const FIRST_ITEMS = 64
const FIRST_BLOCKS = 4

/**
 * Where each frame of a shard lies: in which block, from where to where, and with which checksum. Grows while the shard is
 * written; the last block is then the open one, whose place in the file is not known yet.
 */
export class ShardTables {
  /** Items. */
  count = 0
  /** Blocks. */
  blocks = 0
  /** Bytes of all frames. */
  plainBytes = 0
  #offsets: Uint32Array
  #crcs: Uint32Array
  #first: Uint32Array
  #plain: Uint32Array
  #stored: Uint32Array
  #blockCrcs: Uint32Array
  /** Files may be larger than 4 GiB. */
  #at: Float64Array

  /** With room for so many. */
  constructor(items = FIRST_ITEMS, blocks = FIRST_BLOCKS) {
    this.#offsets = new Uint32Array(items)
    this.#crcs = new Uint32Array(items)
    this.#first = new Uint32Array(blocks)
    this.#plain = new Uint32Array(blocks)
    this.#stored = new Uint32Array(blocks)
    this.#blockCrcs = new Uint32Array(blocks)
    this.#at = new Float64Array(blocks)
  }

  /** Memory it takes, in bytes. */
  get bytes(): number {
    return 8 * this.#offsets.length + 24 * this.#first.length
  }

  /** The block an item lies in. */
  blockOf(item: number): number {
    let low = 0
    let high = this.blocks - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#first[middle] as number) <= item) low = middle
      else high = middle - 1
    }
    return low
  }

  /** First item of a block; for the number of blocks: the number of items. */
  firstOf(block: number): number {
    return block < this.blocks ? (this.#first[block] as number) : this.count
  }

  /** Bytes of a block, unpacked. */
  plainOf(block: number): number {
    return this.#plain[block] as number
  }

  /** Bytes of a block in the file. */
  storedOf(block: number): number {
    return this.#stored[block] as number
  }

  /** Where a block begins in the file. */
  offsetOf(block: number): number {
    return this.#at[block] as number
  }

  /** Checksum of a block's bytes in the file. */
  blockCrcOf(block: number): number {
    return this.#blockCrcs[block] as number
  }

  /** Where a frame begins in its block. */
  frameFrom(item: number): number {
    return this.#offsets[item] as number
  }

  /** Where a frame of this block ends in it. */
  frameTo(item: number, block: number): number {
    return item + 1 < this.firstOf(block + 1) ? (this.#offsets[item + 1] as number) : (this.#plain[block] as number)
  }

  frameCrc(item: number): number {
    return this.#crcs[item] as number
  }

  /** The next items go into a new block. */
  addBlock(): void {
    if (this.blocks === this.#first.length) {
      this.#first = larger(this.#first)
      this.#plain = larger(this.#plain)
      this.#stored = larger(this.#stored)
      this.#blockCrcs = larger(this.#blockCrcs)
      const at = new Float64Array(2 * this.#at.length)
      at.set(this.#at)
      this.#at = at
    }
    this.#first[this.blocks] = this.count
    this.#plain[this.blocks] = 0
    this.blocks++
  }

  /** A frame of so many bytes follows in the last block. */
  addItem(length: number, crc: number): void {
    if (this.count === this.#offsets.length) {
      this.#offsets = larger(this.#offsets)
      this.#crcs = larger(this.#crcs)
    }
    const block = this.blocks - 1
    const offset = this.#plain[block] as number
    this.#offsets[this.count] = offset
    this.#crcs[this.count] = crc
    this.#plain[block] = offset + length
    this.count++
    this.plainBytes += length
  }

  /** A block has found its place in the file. */
  placeBlock(block: number, at: number, stored: number, crc: number): void {
    this.#at[block] = at
    this.#stored[block] = stored
    this.#blockCrcs[block] = crc
  }

  /** An item as it stands in a file. */
  setItem(item: number, offset: number, crc: number): void {
    this.#offsets[item] = offset
    this.#crcs[item] = crc
  }

  /** A block as it stands in a file. */
  setBlock(block: number, first: number, plain: number): void {
    this.#first[block] = first
    this.#plain[block] = plain
  }
}

function larger(table: Uint32Array): Uint32Array {
  const more = new Uint32Array(2 * table.length)
  more.set(table)
  return more
}
