import { constants, writeSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { DATA_FILE, damaged, LAST_PAGE_AT, MAIN_ROOT_AT, PAGE_SIZE_AT, storeFault, TRANSACTION_AT } from './look.js'
import type { PageSink, Tree } from './tree-builder.js'
import { FLAGS_AT, LEAF, LOWER_AT, NODE_HEAD, PAGE_HEAD } from './tree-page.js'

/** Bytes of pages that are written at a time, and how many such blocks may be under way. */
const BLOCK = 1_048_576
const MOST_UNDER_WAY = 8
/** A node that has a tree as its value, as LMDB keeps it: u32 0, u16 flags, u16 depth, and six u64. */
const IS_TREE = 2
const TREE_BYTES = 48
const DEPTH_AT = 6

/** What is known of a file before anything is written. */
interface Start {
  readonly pageSize: number
  readonly transaction: number
  readonly next: number
  /** Where the meta page in use begins, and where what LMDB keeps of the tree. */
  readonly metaAt: number
  readonly treeAt: number
}

/**
 * Puts a tree into the data file of an environment that nobody has open and nobody else knows of, behind its last page,
 * without LMDB: no transaction, and a full disk is an error like any other. Nothing shows before {@link plant}. Pages are
 * written by threads of Node's own as long as somebody lets the event loop turn.
 */
export class TreeFile implements PageSink {
  next: number
  readonly pageSize: number
  /** The last one that was committed. */
  readonly transaction: number
  readonly #folder: string
  readonly #file: FileHandle
  readonly #start: Start
  #block = new Uint8Array(BLOCK)
  #filled = 0
  /** Where the block begins in the file. */
  #position: number
  readonly #underWay = new Set<Promise<void>>()
  readonly #free: Uint8Array<ArrayBuffer>[] = []
  #fault: { readonly error: unknown } | undefined

  /**
   * @param database its name; it is there and empty
   *
   * Rejects with `MILL_MAP_DAMAGED` where it isn't, `MILL_STORE_IO` …
   */
  static async open(folder: string, database: string): Promise<TreeFile> {
    let file: FileHandle | undefined
    try {
      file = await open(join(folder, DATA_FILE), constants.O_RDWR | (constants.O_NOFOLLOW ?? 0))
      return new TreeFile(folder, file, await startOf(folder, file, database))
    } catch (error) {
      await file?.close()
      throw storeFault(folder, error)
    }
  }

  private constructor(folder: string, file: FileHandle, start: Start) {
    this.#folder = folder
    this.#file = file
    this.#start = start
    this.pageSize = start.pageSize
    this.transaction = start.transaction
    this.next = start.next
    this.#position = start.next * start.pageSize
  }

  /** Throws what an earlier write has failed with: `MILL_DISK_FULL`, `MILL_STORE_IO`. */
  write(bytes: Uint8Array): void {
    if (this.#fault !== undefined) throw storeFault(this.#folder, this.#fault.error)
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

  /** Makes the tree the database's own, and the file as long as it has pages. Rejects as {@link write} throws. */
  async plant(tree: Tree | undefined): Promise<void> {
    this.#flush()
    await this.#written()
    if (this.#fault !== undefined) throw storeFault(this.#folder, this.#fault.error)
    try {
      await this.#file.truncate(this.#position)
      if (tree === undefined) return
      const { treeAt, metaAt } = this.#start
      const record = await read(this.#folder, this.#file, treeAt, TREE_BYTES)
      record.setUint16(DEPTH_AT, tree.depth, true)
      const { branches, leaves, long, entries, root } = tree
      for (const [i, number] of [branches, leaves, long, entries, root].entries()) {
        record.setBigUint64(8 + 8 * i, BigInt(number), true)
      }
      await this.#write(new Uint8Array(record.buffer), TREE_BYTES, treeAt)
      const last = new BigUint64Array([BigInt(this.next - 1)])
      await this.#write(new Uint8Array(last.buffer), last.byteLength, metaAt + LAST_PAGE_AT)
    } catch (error) {
      throw storeFault(this.#folder, error)
    }
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#written()
    await this.#file.close()
  }

  async #written(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay)
  }

  #flush(): void {
    const block = this.#block
    const length = this.#filled
    const position = this.#position
    this.#position += length
    this.#filled = 0
    if (this.#underWay.size >= MOST_UNDER_WAY) {
      // Nobody has let the loop turn, or the disk is behind: now this thread waits for it.
      this.#writeNow(block, length, position)
      return
    }
    this.#follow(this.#write(block, length, position).then(() => void this.#free.push(block)))
    this.#block = this.#free.pop() ?? new Uint8Array(BLOCK)
  }

  /** Remembers the first failure, for those who ask next. */
  #follow(work: Promise<void>): void {
    const followed = work
      .catch((error: unknown) => {
        this.#fault ??= { error }
      })
      .finally(() => this.#underWay.delete(followed))
    this.#underWay.add(followed)
  }

  /** A short count means that the rest failed, and only the next call says why. */
  async #write(bytes: Uint8Array, length: number, position: number): Promise<void> {
    for (let at = 0; at < length; ) {
      at += written((await this.#file.write(bytes, at, length - at, position + at)).bytesWritten)
    }
  }

  #writeNow(bytes: Uint8Array, length: number, position: number): void {
    try {
      for (let at = 0; at < length; ) {
        at += written(writeSync(this.#file.fd, bytes, at, length - at, position + at))
      }
    } catch (error) {
      throw storeFault(this.#folder, error)
    }
  }
}

function written(count: number): number {
  if (count === 0) throw new Error('nothing was written')
  return count
}

async function startOf(folder: string, file: FileHandle, database: string): Promise<Start> {
  const pageSize = (await read(folder, file, 0, PAGE_SIZE_AT + 4)).getUint32(PAGE_SIZE_AT, true)
  const metas = [await read(folder, file, 0, pageSize), await read(folder, file, pageSize, pageSize)] as const
  const [first, second] = metas.map((meta) => Number(meta.getBigUint64(TRANSACTION_AT, true))) as [number, number]
  const newest = second > first ? 1 : 0
  const meta = metas[newest]
  const root = Number(meta.getBigUint64(MAIN_ROOT_AT, true))
  const names = await read(folder, file, root * pageSize, pageSize)
  const at = treeIn(names, database)
  if (at === undefined) throw damaged(folder, `the database ${database} is not where it should be`)
  return {
    pageSize,
    transaction: Math.max(first, second),
    next: Number(meta.getBigUint64(LAST_PAGE_AT, true)) + 1,
    metaAt: newest * pageSize,
    treeAt: root * pageSize + at,
  }
}

/** Where the tree of this name stands in the list of names, which has one page as long as they are few. */
function treeIn(page: DataView, database: string): number | undefined {
  // The binding gives LMDB names with the zero that ends them.
  const name = new TextEncoder().encode(`${database}\0`)
  if (page.getUint16(FLAGS_AT, true) !== LEAF) return undefined
  for (let at = 0; at < page.getUint16(LOWER_AT, true); at += 2) {
    const node = PAGE_HEAD + page.getUint16(PAGE_HEAD + at, true)
    if ((page.getUint16(node + 4, true) & IS_TREE) === 0) continue
    if (page.getUint32(node, true) !== TREE_BYTES || page.getUint16(node + 6, true) !== name.length) continue
    if (name.every((byte, i) => page.getUint8(node + NODE_HEAD + i) === byte)) return node + NODE_HEAD + name.length
  }
  return undefined
}

async function read(folder: string, file: FileHandle, at: number, length: number): Promise<DataView<ArrayBuffer>> {
  const bytes = new Uint8Array(length)
  const { bytesRead } = await file.read(bytes, 0, length, at)
  if (bytesRead !== length) throw damaged(folder, 'it is cut short')
  return new DataView(bytes.buffer)
}
