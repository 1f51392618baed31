import { allocate } from '../base/bytes.js'
import type { Chunker } from './chunker.js'
import type { Collector } from './collector.js'
import { firstRow, nextRow } from './eytzinger.js'
import { dataStart, ROW_BYTES, readU32, TWO32, writeU32 } from './format.js'
import { TempFile } from './temp-file.js'

/** Bytes a level keeps of its rows, and of its values, before they go to its file: 4,096 rows. */
const BUFFER_BYTES = 65536
/** Buffers on their way to a file; the next one has to wait. */
const MOST_WRITES = 4

/**
 * Entries that come by ascending label, and whose number is known: the rank of each, hence its row, hence its level in
 * the index is known when it comes, and the file has level after level, in each the labels ascending. So there is a log
 * of rows and one of values for each level; all of them are written, and read, from beginning to end, and what is in
 * memory at a time does not depend on the number of entries: two buffers a level, 4 MiB with 2^32 entries.
 */
export class Levels implements Collector {
  readonly mode = 'levels'
  readonly #count: number
  readonly #writes: Writes
  /** By level: label and stored length of each entry, 16 bytes. */
  readonly #rows: ByteLog[] = []
  readonly #values: ByteLog[] = []
  readonly #rowBytes = new Uint8Array(ROW_BYTES)
  #row: number
  #length = 0

  /** `dir`: where the files are made. */
  constructor(count: number, dir: string | undefined) {
    this.#count = count
    this.#row = firstRow(count)
    this.#writes = new Writes(dir)
    for (let level = 0; 2 ** level <= count; level++) {
      this.#rows.push(new ByteLog(this.#writes))
      this.#values.push(new ByteLog(this.#writes))
    }
  }

  get size(): number {
    return this.#count
  }

  get length(): number {
    return this.#length
  }

  get spooled(): number {
    return this.#writes.bytes
  }

  add(low: number, high: number, payload: Uint8Array, crc: Uint8Array | undefined): Promise<void> | undefined {
    const length = payload.length + (crc === undefined ? 0 : crc.length)
    const level = 31 - Math.clz32(this.#row)
    this.#row = nextRow(this.#row, this.#count)
    this.#length += length
    const row = this.#rowBytes
    writeU32(row, 0, low)
    writeU32(row, 4, high)
    writeU32(row, 8, length)
    writeU32(row, 12, length / TWO32)
    ;(this.#rows[level] as ByteLog).put(row)
    const values = this.#values[level] as ByteLog
    const turn = values.append(payload)
    if (turn !== undefined) return crc === undefined ? turn : turn.then(() => values.put(crc))
    if (crc !== undefined) values.put(crc)
    return this.#writes.room()
  }

  async close(): Promise<void> {
    await this.#writes.done()
  }

  async give(out: Chunker, onEntries: (entries: number, bytes: number) => void): Promise<void> {
    let offset = dataStart(this.#count)
    for (const log of this.#rows) {
      await log.read(out, (bytes) => {
        offset = putOffsets(bytes, offset)
      })
    }
    for (let level = 0; level < this.#values.length; level++) {
      await (this.#values[level] as ByteLog).read(out, (bytes) => onEntries(0, bytes.length))
      onEntries(Math.min(2 ** level, this.#count - 2 ** level + 1), 0)
    }
  }

  async drop(): Promise<void> {
    await Promise.all([...this.#rows, ...this.#values].map((log) => log.drop()))
  }
}

/** Rows that have a length where the file has an offset; gives back the offset behind the last one. */
function putOffsets(rows: Uint8Array, offset: number): number {
  for (let at = 0; at < rows.length; at += ROW_BYTES) {
    const length = readU32(rows, at + 8) + readU32(rows, at + 12) * TWO32
    writeU32(rows, at + 8, offset)
    writeU32(rows, at + 12, offset / TWO32)
    offset += length
  }
  return offset
}

/** The writes of all logs: a few at a time, each with a buffer that comes back. */
class Writes {
  bytes = 0
  readonly #dir: string | undefined
  readonly #spare: Uint8Array[] = []
  #pending = 0
  #failure: { readonly error: unknown } | undefined
  #waiting: (() => void) | undefined

  constructor(dir: string | undefined) {
    this.#dir = dir
  }

  buffer(): Uint8Array {
    return this.#spare.pop() ?? allocate(BUFFER_BYTES)
  }

  file(): TempFile {
    return new TempFile(this.#dir, BUFFER_BYTES)
  }

  write(file: TempFile, buffer: Uint8Array): void {
    this.bytes += buffer.length
    this.#pending++
    file.append(buffer).then(
      () => this.#written(buffer),
      (error) => {
        this.#failure ??= { error }
        this.#written(buffer)
      },
    )
  }

  #written(buffer: Uint8Array): void {
    this.#pending--
    this.#spare.push(buffer)
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.()
  }

  /** Undefined if another write may begin. Throws or rejects with the error of an earlier one. */
  room(): Promise<void> | undefined {
    if (this.#failure !== undefined) throw this.#failure.error
    return this.#pending < MOST_WRITES ? undefined : this.#until(MOST_WRITES)
  }

  /** Resolves when everything is written. */
  done(): Promise<void> {
    return this.#until(1)
  }

  async #until(pending: number): Promise<void> {
    while (this.#pending >= pending) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve
      })
    }
    if (this.#failure !== undefined) throw this.#failure.error
  }
}

/** Bytes that are written, and later read, from beginning to end: the last ones in memory, the others in a file. */
class ByteLog {
  readonly #writes: Writes
  #buffer: Uint8Array | undefined
  #filled = 0
  #file: TempFile | undefined

  constructor(writes: Writes) {
    this.#writes = writes
  }

  /** A few bytes, which are copied. */
  put(bytes: Uint8Array): void {
    this.#copy(bytes, 0, bytes.length)
  }

  /** Any number of bytes, which are copied; where it gives a promise they must stay as they are until it resolves. */
  append(bytes: Uint8Array): Promise<void> | undefined {
    return this.#appendFrom(bytes, 0)
  }

  #appendFrom(bytes: Uint8Array, from: number): Promise<void> | undefined {
    for (let at = from; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + BUFFER_BYTES)
      this.#copy(bytes, at, end)
      at = end
      const room = at < bytes.length ? this.#writes.room() : undefined
      if (room !== undefined) return room.then(() => this.#appendFrom(bytes, at))
    }
    return undefined
  }

  #copy(bytes: Uint8Array, from: number, to: number): void {
    for (let at = from; at < to; ) {
      this.#buffer ??= this.#writes.buffer()
      const buffer = this.#buffer
      const count = Math.min(to - at, buffer.length - this.#filled)
      buffer.set(count === bytes.length ? bytes : bytes.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
      if (this.#filled === buffer.length) this.#flush(buffer)
    }
  }

  #flush(buffer: Uint8Array): void {
    this.#file ??= this.#writes.file()
    this.#writes.write(this.#file, buffer)
    this.#buffer = undefined
    this.#filled = 0
  }

  /** Gives out all bytes, once; `change` may change them on their way. */
  async read(out: Chunker, change: (bytes: Uint8Array) => void): Promise<void> {
    const file = this.#file
    for (let at = 0; file !== undefined && at < file.size; ) {
      if (out.full) await out.turn()
      const free = out.free()
      const part = free.length <= file.size - at ? free : free.subarray(0, file.size - at)
      await file.read(part, at)
      change(part)
      out.filled(part.length)
      at += part.length
    }
    const buffer = this.#buffer
    if (buffer === undefined) return
    change(buffer.subarray(0, this.#filled))
    for (let at = 0; at < this.#filled; ) {
      if (out.full) await out.turn()
      at += out.put(buffer, at, this.#filled)
    }
  }

  async drop(): Promise<void> {
    this.#buffer = undefined
    await this.#file?.close()
  }
}
