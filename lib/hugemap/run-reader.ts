import { allocate } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { RECORD_HEADER, recordSize, wordsOf } from './run-records.js'
import { word } from './run-sort.js'

/**
 * Walks the records of a run. `next()` moves the fields on to the following record; they are valid until then.
 */
export class RunReader {
  bytes: Uint8Array<ArrayBuffer>
  words: Uint32Array
  /** Where the record begins. */
  at = 0
  keyAt = 0
  keyLength = 0
  valueAt = 0
  valueLength = 0
  /** The first eight bytes of the key behind those that are the same in all runs, as numbers that sort as they do. */
  high = 0
  low = 0
  /** There is no record any more. */
  ended = false
  /** How many bytes all keys of all runs begin with. */
  skip = 0
  protected next_ = 0
  protected end: number

  /** A run that lies in memory. */
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes
    this.words = wordsOf(bytes)
    this.end = bytes.length
  }

  /** False: there was no more. */
  next(): boolean {
    if (this.end - this.next_ < RECORD_HEADER || !this.#whole()) {
      if (!this.refill()) {
        this.ended = true
        return false
      }
    }
    const at = this.next_
    const keyLength = this.words[at >>> 2] as number
    const valueLength = this.words[(at >>> 2) + 1] as number
    const keyAt = at + RECORD_HEADER
    this.at = at
    this.keyAt = keyAt
    this.keyLength = keyLength
    this.valueAt = keyAt + keyLength
    this.valueLength = valueLength
    this.next_ = at + recordSize(keyLength, valueLength)
    this.#load(keyAt + this.skip, keyLength - this.skip)
    return true
  }

  #whole(): boolean {
    const start = this.next_ >>> 2
    return this.next_ + recordSize(this.words[start] as number, this.words[start + 1] as number) <= this.end
  }

  #load(at: number, rest: number): void {
    const { bytes } = this
    if (rest >= 8) {
      this.high = word(bytes, at)
      this.low = word(bytes, at + 4)
      return
    }
    let high = 0
    let low = 0
    for (let i = 0; i < 8; i++) {
      const byte = i < rest ? (bytes[at + i] as number) : 0
      if (i < 4) high = (high << 8) | byte
      else low = (low << 8) | byte
    }
    this.high = high >>> 0
    this.low = low >>> 0
  }

  /** Brings the next record whole into `bytes`, where there is one. */
  protected refill(): boolean {
    return false
  }
}

/** Where a spilled run lies, and how it is read. */
export interface SpilledRun {
  readonly count: number
  /** Its place in the file. */
  readonly from: number
  readonly to: number
}

/** Reads a part of a file into `target`, from its byte `at` on, as many bytes as there are asked for. */
export type ReadAt = (target: Uint8Array, at: number, length: number, position: number) => void

/** A run that lies in a file, read through a window. */
export class SpilledRunReader extends RunReader {
  readonly #read: ReadAt
  #position: number
  readonly #to: number

  /** @param window bytes read at a time, a multiple of 4; it grows for a record that is longer */
  constructor(run: SpilledRun, read: ReadAt, window: number) {
    super(allocate(Math.min(window, run.to - run.from)))
    this.#read = read
    this.#position = run.from
    this.#to = run.to
    this.end = 0
  }

  protected override refill(): boolean {
    const rest = this.end - this.next_
    if (rest === 0 && this.#position === this.#to) return false
    let needed = RECORD_HEADER
    if (rest >= RECORD_HEADER) {
      const start = this.next_ >>> 2
      needed = recordSize(this.words[start] as number, this.words[start + 1] as number)
    }
    this.#fill(needed)
    // What was there did not even hold the lengths: now they are known.
    const size = recordSize(this.words[0] as number, this.words[1] as number)
    if (size > this.end) this.#fill(size)
    return true
  }

  /** Moves what is left to the front and fills up; at least `needed` bytes must come together. */
  #fill(needed: number): void {
    const rest = this.end - this.next_
    let target = this.bytes
    if (needed > target.length) target = allocate(needed)
    target.set(this.bytes.subarray(this.next_, this.end))
    if (target !== this.bytes) {
      this.bytes = target
      this.words = wordsOf(target)
    }
    const length = Math.min(target.length - rest, this.#to - this.#position)
    if (rest + length < needed) {
      throw new StoreError('MILL_STORE_IO', 'A spilled run ends within a record', { reason: 'cut short' })
    }
    this.#read(target, rest, length, this.#position)
    this.#position += length
    this.next_ = 0
    this.end = rest + length
  }
}
