import { crc32 } from 'node:zlib'
import { FileError, LoadItError } from '../base/errors.js'
import type { Session } from '../codec/session.js'
import { type Block, blockOf } from './cache.js'
import { compareItem } from './fidelity.js'
import { OPEN_NEW, SHARD_MODE, writeFully } from './file-ops.js'
import { Handle } from './handles.js'
import type { ShardKit } from './kit.js'
import { ShardFile } from './shard-file.js'
import { contentCrc, encodeEnd, encodeHeader, HEADER_BYTES, MAX_DICTIONARY } from './shard-format.js'
import { type ShardFacts, ShardReader } from './shard-reader.js'
import { ShardTables } from './shard-tables.js'

/** Asked when the disk refuses: the same once more, or all of it in memory. May reject. */
export type OnFault = (error: LoadItError | FileError, needed: number) => Promise<'retry' | 'memory'>

/** Where and how a shard is made. */
export interface WriterOptions {
  /** Index of the first item. */
  readonly start: number
  /** The temporary file; undefined: it is made in memory. */
  readonly path: string | undefined
  /**
   * Called with `MILL_DISK_FULL` or `MILL_WRITE_FAILED` and how many bytes were to be written. Absent: such an error goes
   * to the caller of `add` or `finish`.
   */
  readonly onFull?: OnFault | undefined
}

/** What is known when the last item has come. */
export interface Ending {
  /** Items of a full shard. */
  readonly shardLength: number
  /** The dataset ends with this shard. */
  readonly ends: boolean
  /** It must be on the disk before `finish` resolves. */
  readonly sync?: boolean | undefined
}

/** A finished shard. */
export interface Finished {
  readonly count: number
  /** Of the file; of the one it would be, if it is in memory. */
  readonly bytes: number
  /** Checksum over all frames. */
  readonly crc: number
}

/** Bytes of the first block's memory, which grows: a shard may be small. */
const FIRST_BYTES = 4096
const FULL = ['ENOSPC', 'EDQUOT', 'EFBIG']

/**
 * Makes one shard, item by item. Holds the open block and at most one that is being written, besides what the cache keeps;
 * the items that were added can be read all the time.
 */
export class ShardWriter<T> {
  readonly start: number
  readonly #kit: ShardKit<T>
  readonly #session: Session<T>
  readonly #tables = new ShardTables()
  readonly #reader: ShardReader<T>
  readonly #onFull: OnFault | undefined
  /** Undefined: in memory. */
  #path: string | undefined
  #handle: Handle | undefined
  readonly #file: ShardFile | undefined
  /** The block that is being filled. */
  #open: Block | undefined
  #flight: Promise<void> | undefined
  #failure: { readonly error: unknown } | undefined
  /** Where the next block goes. */
  #end = HEADER_BYTES
  #isHandedOut = false
  #discarding: Promise<void> | undefined

  private constructor(kit: ShardKit<T>, { start, path, onFull }: WriterOptions, handle: Handle | undefined) {
    this.#kit = kit
    this.start = start
    this.#path = handle === undefined ? undefined : path
    this.#handle = handle
    this.#onFull = onFull
    this.#session = kit.sessions()
    const facts: ShardFacts = { shardLength: 0, ends: false, crc: 0, bytes: 0, meta: kit.meta }
    const file = handle && new ShardFile(kit, start, this.#tables, handle, path as string)
    this.#file = file
    this.#reader = new ShardReader(kit, start, this.#tables, this.#session, file, facts)
  }

  /** Makes the temporary file. Rejects with `MILL_DISK_FULL` or `MILL_WRITE_FAILED`, unless `onFull` knows better. */
  static async create<T>(kit: ShardKit<T>, options: WriterOptions): Promise<ShardWriter<T>> {
    const { path, onFull } = options
    while (path !== undefined) {
      try {
        const fd = await kit.files.open(path, OPEN_NEW, SHARD_MODE)
        // Without a path it is never closed while it is idle.
        return new ShardWriter(kit, options, new Handle(kit.handles, undefined, fd))
      } catch (cause) {
        const error = writeFault(options.start, path, HEADER_BYTES, cause)
        if (onFull === undefined) throw error
        if ((await onFull(error, HEADER_BYTES)) === 'memory') break
      }
    }
    return new ShardWriter(kit, options, undefined)
  }

  /** Items so far. */
  get count(): number {
    return this.#tables.count
  }

  /** Bytes of their frames. */
  get bytes(): number {
    return this.#tables.plainBytes
  }

  /** Checksum over the frames so far. */
  get contentCrc(): number {
    return contentCrc(this.#tables)
  }

  /** There is no file, or none any more. */
  get inMemory(): boolean {
    return this.#handle === undefined
  }

  /** What of it lies in memory beside the cache. */
  get memoryBytes(): number {
    let bytes = 0
    for (const block of this.#reader.blocks) if (block !== undefined && block.slot < 0) bytes += block.weight
    return bytes
  }

  /**
   * Adds an item. Where it gives a promise, nothing else may be added before that resolves. Throws `MILL_SERIALIZE`,
   * `MILL_ITEM_TOO_LARGE` and, with `check`, `MILL_FIDELITY`, all of which leave the shard as it was; what writing met
   * goes to `onFull`, or comes from here.
   */
  add(value: T, check: boolean): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure.error
    const index = this.start + this.#tables.count
    const frame = this.#encode(value, index)
    if (check && !this.#kit.serializer.exact) this.#compare(value, frame, index)
    const open = this.#open
    if (open === undefined)
      this.#newBlock(Math.max(frame.length, this.#tables.blocks === 0 ? FIRST_BYTES : this.#kit.blockBytes))
    else {
      const length = open.length + frame.length
      // A block is full when the next frame would make it too long, and then has one at least.
      if (length > this.#kit.blockBytes && this.#tables.count > this.#tables.firstOf(open.number)) {
        // The next one to be written has to wait until the last one is.
        if (this.#flight !== undefined) return this.#addLater(new Uint8Array(frame))
        this.#nextBlock(open, frame.length)
      } else if (length > open.buffer.length) {
        this.#kit.cache.resize(open, Math.max(length, Math.min(2 * open.buffer.length, this.#kit.blockBytes)))
      }
    }
    this.#place(frame)
    return undefined
  }

  async #addLater(frame: Uint8Array): Promise<void> {
    await this.#landed()
    this.#nextBlock(this.#open as Block, frame.length)
    this.#place(frame)
  }

  #encode(value: T, index: number): Uint8Array {
    const { serializer, maxItemBytes } = this.#kit
    let frame: Uint8Array
    try {
      frame = this.#session.encode(value)
    } catch (cause) {
      const message = `Item ${index} cannot be encoded by ${serializer.name}`
      throw new LoadItError('MILL_SERIALIZE', message, { index, serializer: serializer.name, cause })
    }
    if (frame.length <= maxItemBytes) return frame
    const fields = { index, bytes: frame.length, limit: maxItemBytes }
    throw new LoadItError(
      'MILL_ITEM_TOO_LARGE',
      `Item ${index} has ${frame.length} bytes, of at most ${maxItemBytes}`,
      fields,
    )
  }

  #compare(value: T, frame: Uint8Array, index: number): void {
    const { name } = this.#kit.serializer
    let back: T
    try {
      back = this.#session.decode(frame, 0, frame.length)
    } catch (cause) {
      const message = `Item ${index} cannot be decoded by ${name}, which has encoded it`
      throw new LoadItError('MILL_FIDELITY', message, { index, path: '', serializer: name, cause })
    }
    compareItem(value, back, index, name)
  }

  #place(frame: Uint8Array): void {
    const open = this.#open as Block
    open.buffer.set(frame, open.length)
    open.length += frame.length
    this.#tables.addItem(frame.length, crc32(frame))
  }

  /** Sends the open block on its way and begins another, for a frame of `length` bytes. */
  #nextBlock(open: Block, length: number): void {
    this.#send(open)
    this.#newBlock(Math.max(length, this.#kit.blockBytes))
  }

  #newBlock(bytes: number): void {
    const { blocks } = this.#reader
    const number = this.#tables.blocks
    this.#tables.addBlock()
    this.#open = blocks[number] = blockOf(blocks, number, this.#kit.cache.allocate(bytes), 0)
  }

  #send(block: Block): void {
    this.#open = undefined
    const flight = this.#write(block).then(
      () => {
        if (this.#flight === flight) this.#flight = undefined
      },
      (error: unknown) => {
        this.#failure ??= { error }
        if (this.#flight === flight) this.#flight = undefined
      },
    )
    this.#flight = flight
  }

  /** Resolves when nothing is being written; rejects with what has gone wrong. */
  async #landed(): Promise<void> {
    while (this.#flight !== undefined) await this.#flight
    if (this.#failure !== undefined) throw this.#failure.error
  }

  async #write(block: Block): Promise<void> {
    const plain = block.buffer.subarray(0, block.length)
    const stored = this.#kit.codec?.encode(plain) ?? plain
    this.#tables.placeBlock(block.number, this.#end, stored.length, crc32(stored))
    await this.#store(stored, this.#end)
    this.#end += stored.length
    // From now on it can be had from the file.
    if (this.#handle !== undefined && !this.#reader.closed) this.#kit.cache.adopt(block)
  }

  async #store(bytes: Uint8Array, position: number): Promise<void> {
    const handle = this.#handle
    if (handle === undefined || this.#discarding !== undefined) return
    try {
      const fd = await handle.acquire()
      try {
        await writeFully(this.#kit.files, fd, bytes, position)
      } finally {
        handle.release()
      }
    } catch (cause) {
      await this.#refused(cause, bytes.length)
      await this.#store(bytes, position)
    }
  }

  /** Resolves if it is worth another try, or if there is no file any more. */
  async #refused(cause: unknown, needed: number, mayRetry = true): Promise<void> {
    const path = this.#path as string
    const error = writeFault(this.start, path, needed, cause)
    const answer = await this.#onFull?.(error, needed)
    if (answer === undefined) throw error
    if (answer === 'retry' && mayRetry) return
    await this.#reader.leaveFile()
    this.#handle = undefined
    this.#path = undefined
    await this.#remove(path)
  }

  /** The item at `i` of the shard, which was added before. Throws or rejects as `ShardReader.get` does. */
  get(i: number): T | Promise<T> {
    return this.#reader.get(i)
  }

  /** Completes the file, which stays where it is. Nothing may be added any more. */
  async finish({ shardLength, ends, sync }: Ending): Promise<Finished> {
    await this.#landed()
    const open = this.#open
    if (open !== undefined) {
      // It may stay in memory for long, and be much smaller than those before it.
      this.#kit.cache.resize(open, open.length)
      this.#send(open)
    }
    await this.#landed()
    const dictionary = this.#session.dictionary()
    if (dictionary.length > MAX_DICTIONARY) throw this.#tooMuch(dictionary.length)
    const tables = this.#tables
    const { meta } = this.#kit
    const end = encodeEnd({ tables, dictionary, meta }, this.#end, ends)
    await this.#store(end, this.#end)
    await this.#store(encodeHeader(this.start, shardLength), 0)
    if (sync === true) await this.#sync()
    const facts = { shardLength, ends, crc: contentCrc(tables), bytes: this.#end + end.length, meta }
    this.#reader.facts = facts
    return { count: tables.count, bytes: facts.bytes, crc: facts.crc }
  }

  async #sync(): Promise<void> {
    const handle = this.#handle
    if (handle === undefined) return
    try {
      const fd = await handle.acquire()
      try {
        await this.#kit.files.fdatasync(fd)
      } finally {
        handle.release()
      }
    } catch (cause) {
      // A second one might succeed though the first has lost the pages: what is on the disk is not to be trusted.
      await this.#refused(cause, this.#end, false)
    }
  }

  #tooMuch(bytes: number): LoadItError {
    const { name } = this.#kit.serializer
    const fields = { index: this.start, serializer: name, bytes, limit: MAX_DICTIONARY }
    return new LoadItError('MILL_SERIALIZE', `The dictionary of ${name} has ${bytes} bytes`, fields)
  }

  /**
   * After `finish`: the shard as a reader, which belongs to the caller. With the path that the file has got by now it is
   * like one that was opened there; without, it keeps its descriptor open until it is closed, and may be unlinked.
   */
  reader(path?: string): ShardReader<T> {
    this.#isHandedOut = true
    const reader = this.#reader
    if (path !== undefined) {
      if (this.#handle !== undefined) this.#handle.path = path
      if (this.#file !== undefined) this.#file.path = path
      this.#path = undefined
    }
    reader.usedAt = ++this.#kit.handles.uses
    this.#kit.cache.hold(reader)
    return reader
  }

  /**
   * Removes the temporary file, unless `reader` was told where it has gone, and gives everything back that no reader was
   * handed out for. Idempotent; never rejects.
   */
  discard(): Promise<void> {
    this.#discarding ??= this.#kit.leaving(this.#discard())
    return this.#discarding
  }

  async #discard(): Promise<void> {
    const path = this.#path
    this.#path = undefined
    this.#failure ??= { error: new LoadItError('MILL_CLOSED', `The shard of item ${this.start} was given up`) }
    await this.#flight
    if (!this.#isHandedOut) {
      this.#reader.close()
      await this.#handle?.close()
    }
    if (path !== undefined) await this.#remove(path)
  }

  async #remove(path: string): Promise<void> {
    // What can't be removed now is swept when the folder is opened the next time.
    await this.#kit.files.unlink(path).catch(() => {})
  }
}

function writeFault(start: number, path: string, needed: number, cause: unknown): LoadItError | FileError {
  if (FULL.includes(String((cause as NodeJS.ErrnoException | undefined)?.code))) {
    return new LoadItError('MILL_DISK_FULL', `${path}: the disk is full`, { start, path, needed, cause })
  }
  return new FileError('MILL_WRITE_FAILED', `${path} cannot be written`, { path, needed, cause })
}
