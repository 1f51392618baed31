import { allocate, indexOfByte } from '../base/bytes.js'
import { BadRecord } from './bulk-bad.js'
import { RECORD_HEADER, recordSize, wordsOf } from './run-records.js'

const LF = 10
const CR = 13

/** Bytes of input that have been read and not been used, in memory that is used again. */
export class Window {
  bytes: Uint8Array<ArrayBuffer>
  /** The first byte that has not been used. */
  begin = 0
  /** Behind the last byte that has been read. */
  end = 0
  /** Where `bytes[0]` stands in the input. */
  base: number
  /** There is no more to be read. */
  ended = false
  readonly #most: number

  /**
   * @param size bytes to begin with; it grows for a longer record, twice as large each time
   * @param most bytes a record may have
   */
  constructor(size: number, most: number, base: number) {
    this.bytes = allocate(size)
    this.#most = most
    this.base = base
  }

  /** Makes room to read into, behind `end`. Throws {@link BadRecord} where a record is too long. */
  makeRoom(): void {
    const { bytes, begin, end } = this
    const rest = end - begin
    if (rest > this.#most) throw new BadRecord(`it is longer than ${this.#most} bytes`)
    if (rest > bytes.length / 2) {
      this.bytes = allocate((2 * bytes.length + 3) & ~3)
      this.bytes.set(bytes.subarray(begin, end))
    } else if (begin > 0) bytes.copyWithin(0, begin, end)
    this.base += begin
    this.begin = 0
    this.end = rest
  }
}

/** Finds records in a window. `next()`: is one there, whole? If not, more has to be read, unless `done`. */
export interface Splitter {
  /** Where the record found begins and ends in the window. */
  readonly from: number
  readonly to: number
  /** Lines so far, the one found too; 0 where there are none. */
  readonly line: number
  /** The piece has no more. */
  readonly done: boolean
  next(): boolean
}

/**
 * Lines end with LF or CRLF, the last needs no end; empty ones are passed over. A piece that does not begin with its file
 * begins behind the first LF at or behind its start, and has the lines that don't begin behind its end: so each line is
 * in one piece, wherever it is cut.
 */
export class LineSplitter implements Splitter {
  from = 0
  to = 0
  line = 0
  done = false
  readonly #window: Window
  readonly #last: number
  /** The line at hand began in the piece before. */
  #passing: boolean
  /** Bytes from the beginning of the line that have no LF. */
  #searched = 0

  /** @param last where the last line of the piece may begin */
  constructor(window: Window, last: number) {
    this.#window = window
    this.#last = last
    this.#passing = window.base > 0
  }

  next(): boolean {
    const window = this.#window
    while (!this.done) {
      const { bytes, begin, end } = window
      if (window.base + begin > this.#last && !this.#passing) break
      const from = begin + this.#searched
      const found = from < end ? indexOfByte(bytes, LF, from) : -1
      if (found < 0 || found >= end) {
        if (!window.ended) {
          this.#searched = end - begin
          return false
        }
        if (begin === end || this.#passing) break
        window.begin = end
        this.line++
        this.from = begin
        this.to = end
        return true
      }
      this.#searched = 0
      window.begin = found + 1
      if (this.#passing) {
        this.#passing = false
        continue
      }
      this.line++
      this.from = begin
      this.to = found > begin && bytes[found - 1] === CR ? found - 1 : found
      if (this.to > begin) return true
    }
    this.done = true
    return false
  }
}

/** u64 length, key, u64 length, value, repeated. What is cut short is a {@link BadRecord}, wherever it is cut. */
export class BinSplitter implements Splitter {
  from = 0
  to = 0
  readonly line = 0
  done = false
  readonly #window: Window
  readonly #most: number

  /** @param most bytes of a key or value; more can only be something else than a length */
  constructor(window: Window, most: number) {
    this.#window = window
    this.#most = most
  }

  next(): boolean {
    const { begin, end, ended } = this.#window
    this.done = ended && begin === end
    if (this.done) return false
    this.from = begin
    this.to = end
    const keyTo = this.#part(begin)
    const valueTo = keyTo < 0 ? keyTo : this.#part(keyTo)
    if (valueTo < 0) {
      if (ended) throw new BadRecord('it is cut short')
      return false
    }
    this.to = this.#window.begin = valueTo
    return true
  }

  /** Where a part ends whose length stands at `at`; -1: it is not all there. */
  #part(at: number): number {
    const { bytes, end } = this.#window
    if (at + 8 > end) return -1
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8)
    const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32
    if (length > this.#most) throw new BadRecord(`a length of ${length} bytes, of at most ${this.#most}`)
    return at + 8 + length <= end ? at + 8 + length : -1
  }
}

/** Records as in a run; each block that is handed over has whole ones. */
export class RecordSplitter implements Splitter {
  from = 0
  to = 0
  readonly line = 0
  done = false
  readonly #window: Window
  #words: Uint32Array = new Uint32Array(0)

  constructor(window: Window) {
    this.#window = window
  }

  next(): boolean {
    const { bytes, begin, end, ended } = this.#window
    if (end - begin < RECORD_HEADER) {
      this.done = ended
      return false
    }
    if (this.#words.buffer !== bytes.buffer) this.#words = wordsOf(bytes)
    const size = recordSize(this.#words[begin >>> 2] as number, this.#words[(begin >>> 2) + 1] as number)
    if (begin + size > end) return false
    this.from = begin
    this.to = this.#window.begin = begin + size
    return true
  }
}
