import { closeSync, constants, ftruncateSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DATA_FILE, damaged, LAST_PAGE_AT, MAIN_ROOT_AT, PAGE_SIZE_AT, storeFault, TRANSACTION_AT } from './look.js'
import type { PageSink, Tree } from './tree-builder.js'

/** Bytes of pages that are written at a time. */
const BLOCK = 1_048_576
/** Where a page's flags, and the end of its pointers, stand; its pointers begin behind its head. */
const FLAGS_AT = 18
const LOWER_AT = 20
const PAGE_HEAD = 24
const LEAF = 2
const NODE_HEAD = 8
/** A node that has a tree as its value, as LMDB keeps it: u32 0, u16 flags, u16 depth, and six u64. */
const IS_TREE = 2
const TREE_BYTES = 48
const DEPTH_AT = 6

/**
 * Puts a tree into the data file of an environment that nobody has open and nobody else knows of, behind its last page,
 * without LMDB: no transaction, and a full disk is an error like any other. Nothing shows before {@link plant}.
 */
export class TreeFile implements PageSink {
  next: number
  readonly pageSize: number
  /** The last one that was committed. */
  readonly transaction: number
  readonly #folder: string
  readonly #file: number
  readonly #block = new Uint8Array(BLOCK)
  #filled = 0
  /** Where the block begins in the file. */
  #position: number
  /** Where the meta page in use begins, and where what LMDB keeps of the tree. */
  readonly #metaAt: number
  readonly #treeAt: number

  /**
   * @param database its name; it is there and empty
   *
   * Throws `MILL_MAP_DAMAGED` where it isn't, `MILL_STORE_IO` …
   */
  constructor(folder: string, database: string) {
    this.#folder = folder
    try {
      this.#file = openSync(join(folder, DATA_FILE), constants.O_RDWR | (constants.O_NOFOLLOW ?? 0))
    } catch (error) {
      throw storeFault(folder, error)
    }
    try {
      this.pageSize = this.#read(0, PAGE_SIZE_AT + 4).getUint32(PAGE_SIZE_AT, true)
      const metas = [0, this.pageSize].map((at) => this.#read(at, this.pageSize))
      const transactions = metas.map((meta) => Number(meta.getBigUint64(TRANSACTION_AT, true)))
      const newest = (transactions[1] as number) > (transactions[0] as number) ? 1 : 0
      const meta = metas[newest] as DataView
      this.#metaAt = newest * this.pageSize
      this.transaction = transactions[newest] as number
      this.next = Number(meta.getBigUint64(LAST_PAGE_AT, true)) + 1
      this.#position = this.next * this.pageSize
      this.#treeAt = this.#find(Number(meta.getBigUint64(MAIN_ROOT_AT, true)), database)
    } catch (error) {
      this.close()
      throw storeFault(folder, error)
    }
  }

  write(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      const count = Math.min(bytes.length - at, BLOCK - this.#filled)
      this.#block.set(count === bytes.length ? bytes : bytes.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
      if (this.#filled === BLOCK) this.#flush()
    }
    this.next = (this.#position + this.#filled) / this.pageSize
  }

  /** Makes the tree the database's own, and the file as long as it has pages. */
  plant(tree: Tree | undefined): void {
    this.#flush()
    try {
      ftruncateSync(this.#file, this.#position)
    } catch (error) {
      throw storeFault(this.#folder, error)
    }
    if (tree === undefined) return
    const record = this.#read(this.#treeAt, TREE_BYTES)
    record.setUint16(DEPTH_AT, tree.depth, true)
    const { branches, leaves, long, entries, root } = tree
    for (const [i, number] of [branches, leaves, long, entries, root].entries()) {
      record.setBigUint64(8 + 8 * i, BigInt(number), true)
    }
    this.#write(new Uint8Array(record.buffer), TREE_BYTES, this.#treeAt)
    const last = new BigUint64Array([BigInt(this.next - 1)])
    this.#write(new Uint8Array(last.buffer), last.byteLength, this.#metaAt + LAST_PAGE_AT)
  }

  close(): void {
    closeSync(this.#file)
  }

  /** Where the tree of this name stands in the file: the list of names has one page as long as they are few. */
  #find(root: number, database: string): number {
    const page = this.#read(root * this.pageSize, this.pageSize)
    // The binding gives LMDB names with the zero that ends them.
    const name = new TextEncoder().encode(`${database}\0`)
    if (page.getUint16(FLAGS_AT, true) !== LEAF) throw damaged(this.#folder, 'its list of names is no single page')
    for (let at = 0; at < page.getUint16(LOWER_AT, true); at += 2) {
      const node = PAGE_HEAD + page.getUint16(PAGE_HEAD + at, true)
      if ((page.getUint16(node + 4, true) & IS_TREE) === 0) continue
      if (page.getUint32(node, true) !== TREE_BYTES || page.getUint16(node + 6, true) !== name.length) continue
      if (name.every((byte, i) => page.getUint8(node + NODE_HEAD + i) === byte)) {
        return root * this.pageSize + node + NODE_HEAD + name.length
      }
    }
    throw damaged(this.#folder, `the database ${database} is not there`)
  }

  #read(at: number, length: number): DataView<ArrayBuffer> {
    const bytes = new Uint8Array(length)
    if (readSync(this.#file, bytes, 0, length, at) !== length) throw damaged(this.#folder, 'it is cut short')
    return new DataView(bytes.buffer)
  }

  #flush(): void {
    this.#write(this.#block, this.#filled, this.#position)
    this.#position += this.#filled
    this.#filled = 0
  }

  #write(bytes: Uint8Array, length: number, position: number): void {
    try {
      // A short count means that the rest failed, and only the next call says why.
      for (let at = 0; at < length; ) {
        const count = writeSync(this.#file, bytes, at, length - at, position + at)
        if (count === 0) throw new Error('nothing was written')
        at += count
      }
    } catch (error) {
      throw storeFault(this.#folder, error)
    }
  }
}
