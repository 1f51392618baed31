import type { Label, MapBufferHeader, ParserOptions } from '../../types/mapbuffer.js'
import { checkSignal } from '../base/abort.js'
import { allocate } from '../base/bytes.js'
import { ArgumentError, MapBufferError } from '../base/errors.js'
import { piecesOf } from '../streams/shape.js'
import { EntryReader, type ReadSettings, readOptions } from './entry.js'
import { CRC_BYTES, dataStart, HEADER_BYTES, makeHeader, readHeader, TWO32 } from './format.js'
import { checkIndex, ROW_WORDS, trailingData } from './index-check.js'
import { joinLabel } from './label.js'
import { indexWords } from './lookup.js'
import { Pacer } from './pace.js'
import { ENTRY_BYTES, type NoStrings, Stage } from './stream.js'
import { Wanted } from './wanted.js'

/** Bytes an index may have unless `maxIndexBytes` says otherwise: 16 million rows. */
const MAX_INDEX_BYTES = 2 ** 28
/** Beyond it no typed array of words fits, whatever the option says. */
const MOST_INDEX_BYTES = 2 ** 32
/** The first memory of something whose length is only claimed so far. It doubles as bytes come. */
const FIRST_BYTES = 65536

/**
 * The bytes of a MapBuffer file in, `[label, value]` out in file order as they arrive, from any stream: nothing is
 * stored but the index and at most one incomplete value. An uncompressed value without a serializer that came in one
 * chunk is a view of that chunk, and keeps it alive; only the last one of the file is always a copy. With `labels` only
 * those entries come out and the rest is dropped unread.
 *
 * Ends with the codes of a reader. How long the file is shows at its end only, so `MILL_TRUNCATED_DATA` and the faults of
 * the last value come last, after all entries that were whole. `strict: false` takes what can be read in one pass: a
 * value that lies before one that has passed by is `MILL_BAD_OFFSETS`.
 */
export interface MapBufferParser<V = Uint8Array> extends NoStrings<Uint8Array, [Label, V]> {
  /** What the first 16 bytes say; undefined before they have come. */
  readonly header: MapBufferHeader | undefined
}

/** The constructor of {@link MapBufferParser}; it can be extended. */
export interface MapBufferParserConstructor {
  /** Throws `MILL_INVALID_ARGUMENT`, and `MILL_BAD_LABEL` for what is no label. Takes all `labels` at once. */
  new <V = Uint8Array>(options?: ParserOptions<V>): MapBufferParser<V>
  readonly prototype: MapBufferParser<unknown>
}

class ParserStream<V> extends Stage<unknown> {
  readonly #options: ReadSettings<V>
  readonly #maxIndexBytes: number
  readonly #wanted: Wanted | undefined
  readonly #pacer = new Pacer()
  #header: MapBufferHeader | undefined
  /** Undefined until the whole index has come. */
  #words: Uint32Array | undefined
  #entry: EntryReader<V> | undefined
  /** What has come and is not used up: some pieces, and the place in the first one. */
  #pieces: Uint8Array[] = []
  #from = 0
  /** Bytes of the file that are used up. */
  #at = 0
  /** The beginning of the header, of the index or of a value, whose rest is still to come. */
  #held: Uint8Array | undefined
  #heldBytes = 0
  /** What was gathered last is a view of the first piece; that piece has been counted as output that waits. */
  #viewed = false
  #counted = false
  /** The entry that is next: its row from 0, or -1 when no more are wanted; where its bytes begin and end. */
  #position = 0
  #start = 0
  #end = 0

  constructor(options: ParserOptions<V> = {}) {
    const settings = readOptions<V>(options)
    const { labels, maxIndexBytes = MAX_INDEX_BYTES } = options
    const signal = checkSignal(options.signal)
    if (!(typeof maxIndexBytes === 'number' && maxIndexBytes >= 0)) {
      throw new ArgumentError('options.maxIndexBytes', 'a number of bytes >= 0', maxIndexBytes)
    }
    const wanted = labels === undefined ? undefined : new Wanted(labels)
    super()
    this.#options = settings
    this.#maxIndexBytes = Math.min(maxIndexBytes, MOST_INDEX_BYTES)
    this.#wanted = wanted
    this._bind(signal)
  }

  get header(): MapBufferHeader | undefined {
    return this.#header
  }

  override _accept(item: unknown): Promise<void> | undefined {
    this.#pieces = piecesOf(item)
    this.#counted = false
    return this.#go()
  }

  /** Uses up what is there; a promise if it has to go on later. */
  #go(): Promise<void> | undefined {
    if (this.#header === undefined && !this.#takeHeader()) return undefined
    if (this.#words === undefined) {
      if (!this.#takeIndex()) return undefined
      if (this.#header?.compression !== 'none' && this.#position >= 0) return this.#entry?.load().then(this.#goOn)
    }
    return this.#takeValues()
  }

  readonly #goOn = (): Promise<void> | undefined => this.#go()

  #takeHeader(): boolean {
    const bytes = this.#gather(HEADER_BYTES)
    if (bytes === undefined) return false
    this.#header = readHeader(bytes, undefined)
    return true
  }

  #takeIndex(): boolean {
    const header = this.#header as MapBufferHeader
    const length = dataStart(header.size) - HEADER_BYTES
    const own = this.#held !== undefined
    // The count is not believed: too large an index is one only when that many bytes have come.
    const bytes = this.#gather(length, this.#maxIndexBytes)
    if (bytes === undefined) return false
    const words = indexWords(own ? bytes : bytes.slice())
    if (this.#options.strict) checkIndex(words, header, undefined)
    this.#words = words
    this.#entry = new EntryReader<V>(header, this.#options)
    this.#wanted?.find(words)
    this.#enter(this.#wanted === undefined ? (header.size === 0 ? -1 : 0) : this.#wanted.next())
    return true
  }

  #takeValues(): Promise<void> | undefined {
    for (;;) {
      if (this.#position < 0) {
        this.#dropAll()
        return undefined
      }
      if (this.#at < this.#start && !this.#dropUntil(this.#start)) return undefined
      const stored = this.#takeStored()
      if (stored === undefined) return undefined
      this.#giveValue(stored)
      const wait = this._space() ?? (this.#pacer.due(stored.length) ? this.#pacer.pause() : undefined)
      if (wait !== undefined) return wait.then(this.#goOn)
    }
  }

  /** The bytes of the next entry, if they are all there; those of the last one never are before the end. */
  #takeStored(): Uint8Array | undefined {
    if (this.#end < Number.POSITIVE_INFINITY) return this.#gather(this.#end - this.#start)
    const most = this.#options.maxValueBytes + CRC_BYTES
    for (let piece = this.#piece(); piece !== undefined; piece = this.#piece()) {
      const rest = piece.length - this.#from
      if (this.#heldBytes + rest > most) this.#check(this.#heldBytes + rest, undefined)
      this.#hold(piece, rest, Number.POSITIVE_INFINITY)
    }
    return undefined
  }

  #giveValue(stored: Uint8Array): void {
    const position = this.#position
    const label = this.#labelOf(position)
    const value = (this.#entry as EntryReader<V>).decode(stored, position, label)
    this._offer([label, value], ENTRY_BYTES + this.#weigh(value, stored))
    const next = position + 1
    this.#enter(this.#wanted === undefined ? (next === this.#header?.size ? -1 : next) : this.#wanted.next())
  }

  /**
   * Bytes that a value keeps alive while it waits. A view keeps the whole piece it lies in, which counts once, with its
   * first view: of a file with a few wanted values far apart, all of it would otherwise wait as a few bytes.
   */
  #weigh(value: V, stored: Uint8Array): number {
    const piece = this.#pieces[0]
    if (!this.#viewed || piece === undefined || this.#header?.compression !== 'none') {
      return value instanceof Uint8Array ? value.length : stored.length
    }
    if (this.#counted) return 0
    this.#counted = true
    return piece.length
  }

  /** From now on that entry is next; -1: none is. */
  #enter(position: number): void {
    this.#position = position
    if (position < 0) return
    const last = position + 1 === this.#header?.size
    this.#start = this.#offsetOf(position)
    this.#end = last ? Number.POSITIVE_INFINITY : this.#offsetOf(position + 1)
    if (!last) this.#check(this.#end - this.#start, undefined)
    if (this.#start >= this.#at) return
    const label = this.#labelOf(position)
    const message = `The value of label ${label} (position ${position}) begins at byte ${this.#start}, which has passed by`
    throw new MapBufferError('MILL_BAD_OFFSETS', message, { position, label, offset: this.#start })
  }

  #check(length: number, byteLength: number | undefined): void {
    const position = this.#position
    const before = position === 0 ? 0 : this.#offsetOf(position - 1)
    this.#entry?.check(position, this.#labelOf(position), this.#start, length, byteLength, before)
  }

  #labelOf(position: number): Label {
    const words = this.#words as Uint32Array
    const at = position * ROW_WORDS
    return joinLabel(words[at] as number, words[at + 1] as number, this.#options.bigint)
  }

  #offsetOf(position: number): number {
    const words = this.#words as Uint32Array
    const at = position * ROW_WORDS + 2
    return (words[at + 1] as number) * TWO32 + (words[at] as number)
  }

  // ---- bytes ----------------------------------------------------------------------------------------------------------

  /** The piece that is next, behind all empty ones; undefined when nothing is there. */
  #piece(): Uint8Array | undefined {
    while (this.#pieces.length > 0 && this.#from === (this.#pieces[0] as Uint8Array).length) {
      this.#pieces.shift()
      this.#from = 0
      this.#counted = false
    }
    return this.#pieces[0]
  }

  #use(count: number): void {
    this.#from += count
    this.#at += count
  }

  #dropAll(): void {
    for (let piece = this.#piece(); piece !== undefined; piece = this.#piece()) {
      this.#use(piece.length - this.#from)
      if (this.#header?.size === 0 && this.#options.strict) throw trailingData(this.#at, HEADER_BYTES)
    }
  }

  /** True when the byte before this one is used up. */
  #dropUntil(offset: number): boolean {
    for (let piece = this.#piece(); piece !== undefined && this.#at < offset; piece = this.#piece()) {
      this.#use(Math.min(piece.length - this.#from, offset - this.#at))
    }
    return this.#at === offset
  }

  /**
   * The next `length` bytes once they are all there, a view of the piece they came in if it is one; until then what is
   * there is copied. More than `limit` bytes are `MILL_TOO_LARGE` when they have come.
   */
  #gather(length: number, limit = Number.POSITIVE_INFINITY): Uint8Array | undefined {
    for (;;) {
      const missing = length - this.#heldBytes
      const piece = this.#piece()
      const there = piece === undefined ? 0 : piece.length - this.#from
      if (this.#heldBytes + Math.min(there, missing) > limit) throw this.#indexTooLarge(length, limit)
      if (this.#heldBytes === 0 && piece !== undefined && there >= missing) {
        const whole = new Uint8Array(piece.buffer, piece.byteOffset + this.#from, length)
        this.#use(length)
        this.#viewed = true
        return whole
      }
      if (missing === 0) return this.#release()
      if (piece === undefined) return undefined
      this.#hold(piece, Math.min(there, missing), length)
    }
  }

  /** Uses up the next `count` bytes of this piece: copies them to those of the same `length` that are held already. */
  #hold(piece: Uint8Array, count: number, length: number): void {
    const needed = this.#heldBytes + count
    const held = this.#held
    if (held === undefined || needed > held.length) {
      const larger = allocate(Math.min(length, Math.max(FIRST_BYTES, needed, 2 * (held?.length ?? 0))))
      if (held !== undefined) larger.set(held.subarray(0, this.#heldBytes))
      this.#held = larger
    }
    this.#held?.set(new Uint8Array(piece.buffer, piece.byteOffset + this.#from, count), this.#heldBytes)
    this.#heldBytes = needed
    this.#use(count)
  }

  /** What is held, in memory of its own size. */
  #release(): Uint8Array {
    const held = this.#held ?? new Uint8Array(0)
    const bytes = held.length === this.#heldBytes ? held : held.slice(0, this.#heldBytes)
    this.#held = undefined
    this.#heldBytes = 0
    this.#viewed = false
    return bytes
  }

  #indexTooLarge(length: number, limit: number): MapBufferError {
    const message = `The index of ${length} bytes is larger than maxIndexBytes, ${limit}`
    return new MapBufferError('MILL_TOO_LARGE', message, { length, limit })
  }

  // ---- the end --------------------------------------------------------------------------------------------------------

  override async _close(): Promise<void> {
    const header = this.#header
    if (header === undefined) readHeader(this.#release(), undefined)
    else if (this.#words === undefined) readHeader(makeHeader(header), HEADER_BYTES + this.#heldBytes)
    else this.#takeLast(this.#words, header)
  }

  #takeLast(words: Uint32Array, header: MapBufferHeader): void {
    if (this.#options.strict) checkIndex(words, header, this.#at)
    if (this.#position < 0) return
    const last = this.#end === Number.POSITIVE_INFINITY
    this.#check((last ? this.#at : this.#end) - this.#start, this.#at)
    this.#giveValue(this.#release())
  }

  override async _give(): Promise<void> {}

  override _stop(): undefined {
    this.#pieces = []
    this.#held = undefined
  }
}

/** See {@link MapBufferParserConstructor}; the type of the same name is what it makes. */
export const MapBufferParser = ParserStream as unknown as MapBufferParserConstructor
