import {
  BRANCH,
  childOf,
  copyTo,
  FLAGS_AT,
  keyOf,
  LEAF,
  LONG,
  LOWER_AT,
  NODE_HEAD,
  PAGE_HEAD,
  Page,
  POINTER,
  placeChild,
  UPPER_AT,
} from './tree-page.js'

/*
 * A tree of LMDB, built from the leaves up out of records that come in key order: each page is filled once and never
 * touched again. Layout and limits are those of LMDB's data format 2 (64 bit, little-endian); pages are filled as `put`
 * with `append` fills them, to the byte. Branches differ: LMDB splits full ones in halves, here they are full too.
 */

/** Its value is on pages of its own: u64 the first, u64 transaction, u64 how many. */
const IS_LONG = 1
const LONG_BYTES = 24
/** From so many bytes on the native copy is worth its call. */
const MANY = 1024
/** Where a tree may be at most so high: LMDB's own limit. */
const MOST_LEVELS = 32

/** Takes pages, in the order of their numbers. */
export interface PageSink {
  /** The number of the page that comes next. */
  readonly next: number
  /** Bytes that are one page, or a part of several: what is written together are whole pages. They are copied. */
  write(bytes: Uint8Array): void
}

/** What LMDB keeps of a tree. */
export interface Tree {
  readonly depth: number
  readonly branches: number
  readonly leaves: number
  /** Pages of long values. */
  readonly long: number
  readonly entries: number
  readonly root: number
}

/** Branches of one height. */
interface Level {
  filling: Page
  /** The one before, full: it waits, since the last of a level may need one of its children. */
  held: Page
  isHeld: boolean
}

/** Fills pages with records and hands them on. */
export class TreeBuilder {
  readonly #pageSize: number
  readonly #transaction: number
  readonly #sink: PageSink
  /** Bytes of a node; with more the value goes to pages of its own. */
  readonly #mostNode: number
  readonly #leaf: Page
  readonly #levels: Level[] = []
  #branches = 0
  #leaves = 0
  #long = 0
  #entries = 0

  /** @param transaction the last one that was committed: to all later ones the pages are old */
  constructor(pageSize: number, transaction: number, sink: PageSink) {
    this.#pageSize = pageSize
    this.#transaction = transaction
    this.#sink = sink
    this.#mostNode = (((pageSize - PAGE_HEAD) >>> 1) & ~1) - POINTER
    this.#leaf = new Page(pageSize)
  }

  /**
   * Adds a record, whose key must be above the one before and no longer than LMDB takes. The value stands behind the key.
   * @param at where the key begins, a multiple of 4; `words` is a view of the same bytes
   * @returns whether it is the first of its leaf
   */
  add(bytes: Uint8Array, words: Uint32Array, at: number, keyLength: number, valueLength: number): boolean {
    const size = NODE_HEAD + keyLength + valueLength
    const long = size > this.#mostNode
    const inLeaf = long ? NODE_HEAD + keyLength + LONG_BYTES : size
    const leaf = this.#leaf
    let node = leaf.place(inLeaf)
    if (node < 0) {
      this.#closeLeaf()
      node = leaf.place(inLeaf)
    }
    const half = node >>> 1
    leaf.halves[half] = valueLength
    leaf.halves[half + 1] = valueLength >>> 16
    leaf.halves[half + 2] = long ? IS_LONG : 0
    leaf.halves[half + 3] = keyLength
    const payload = node + NODE_HEAD
    if (long) {
      leaf.bytes.set(bytes.subarray(at, at + keyLength), payload)
      this.#placeLong(bytes, at + keyLength, valueLength, payload + keyLength)
    } else if (size > MANY) leaf.bytes.set(bytes.subarray(at, at + keyLength + valueLength), payload)
    else copyTo(bytes, words, at, leaf, payload, keyLength + valueLength)
    this.#entries++
    const isFirst = leaf.lower === POINTER
    if (isFirst) leaf.first = bytes.slice(at, at + keyLength)
    return isFirst
  }

  /** The rest of the pages; undefined if there was no record. Nothing can be added afterwards. */
  finish(): Tree | undefined {
    if (this.#entries === 0) return undefined
    const lastLeaf = this.#emit(this.#leaf, LEAF)
    this.#leaves++
    let root = lastLeaf
    let first = this.#leaf.first
    let depth = 1
    for (let height = 0; height < this.#levels.length; height++, depth++) {
      this.#addChild(height, root, first)
      const level = this.#levels[height] as Level
      if (level.isHeld && level.filling.count === 1) this.#even(level)
      if (level.isHeld) this.#closeHeld(height)
      root = this.#emit(level.filling, BRANCH)
      first = level.filling.first
      this.#branches++
    }
    return {
      depth,
      branches: this.#branches,
      leaves: this.#leaves,
      long: this.#long,
      entries: this.#entries,
      root,
    }
  }

  #closeLeaf(): void {
    const leaf = this.#leaf
    const number = this.#emit(leaf, LEAF)
    this.#leaves++
    this.#addChild(0, number, leaf.first)
    leaf.reset()
  }

  #addChild(height: number, number: number, first: Uint8Array<ArrayBuffer>): void {
    const level = this.#level(height)
    if (placeChild(level.filling, number, first)) return
    if (level.isHeld) this.#closeHeld(height)
    const { held } = level
    level.held = level.filling
    level.isHeld = true
    level.filling = held
    held.reset()
    placeChild(held, number, first)
  }

  #closeHeld(height: number): void {
    const level = this.#levels[height] as Level
    level.isHeld = false
    const number = this.#emit(level.held, BRANCH)
    this.#branches++
    this.#addChild(height + 1, number, level.held.first)
  }

  /** The last branch of a level has one child, which LMDB does not allow: it gets the last of the one before, too. */
  #even({ filling, held }: Level): void {
    const key = filling.first
    const number = childOf(filling)
    const moved = childOf(held)
    const movedKey = keyOf(held)
    held.drop()
    filling.reset()
    placeChild(filling, moved, movedKey)
    placeChild(filling, number, key)
  }

  #level(height: number): Level {
    const there = this.#levels[height]
    if (there !== undefined) return there
    if (height >= MOST_LEVELS) throw new Error('the tree is too high')
    const level = { filling: new Page(this.#pageSize), held: new Page(this.#pageSize), isHeld: false }
    this.#levels.push(level)
    return level
  }

  #placeLong(bytes: Uint8Array, at: number, length: number, reference: number): void {
    const pages = Math.ceil((PAGE_HEAD + length) / this.#pageSize)
    const first = this.#sink.next
    const view = new DataView(this.#leaf.bytes.buffer)
    view.setBigUint64(reference, BigInt(first), true)
    view.setBigUint64(reference + 8, BigInt(this.#transaction), true)
    view.setBigUint64(reference + 16, BigInt(pages), true)
    const head = new Uint8Array(PAGE_HEAD)
    const headView = this.#head(head, first, LONG)
    headView.setUint32(LOWER_AT, pages, true)
    this.#sink.write(head)
    this.#sink.write(bytes.subarray(at, at + length))
    this.#sink.write(new Uint8Array(pages * this.#pageSize - PAGE_HEAD - length))
    this.#long += pages
  }

  #emit(page: Page, flags: number): number {
    const number = this.#sink.next
    const { bytes, lower, upper } = page
    const view = this.#head(bytes, number, flags)
    view.setUint16(LOWER_AT, lower, true)
    view.setUint16(UPPER_AT, upper, true)
    // What an earlier page has left between pointers and nodes is nobody's.
    bytes.fill(0, PAGE_HEAD + lower, PAGE_HEAD + upper)
    this.#sink.write(bytes)
    return number
  }

  #head(bytes: Uint8Array<ArrayBuffer>, number: number, flags: number): DataView {
    const view = new DataView(bytes.buffer)
    view.setBigUint64(0, BigInt(number), true)
    view.setBigUint64(8, BigInt(this.#transaction), true)
    view.setUint16(FLAGS_AT, flags, true)
    return view
  }
}
