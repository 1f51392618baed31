import type { ReadableOf, Source, StreamOptions } from '../../types/source.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError, BufferError } from '../base/errors.js'
import { type AnyBytes, ByteQueue } from '../buffer/index.js'
import { type FaceOptions, ReadableFace } from './face.js'
import { piecesOf } from './shape.js'
import { readable } from './source.js'
import type { Tap } from './tap.js'

/** Bytes a line may have; a line without an end is an attack. */
const MAX_LINE = 2 ** 24
/** A huge piece is split in slices of this size, so that its lines do not all wait at once; it also fits the L2 cache. */
const SLICE = 65536

/** How lines are decoded, and how long one may be. */
export interface LinesOptions extends StreamOptions {
  /** How bytes become text; default `'utf8'`, where invalid bytes become U+FFFD. */
  encoding?: 'utf8' | 'latin1'
  /** Bytes a line may have, its end not counted; default 2^24. */
  maxLength?: number
}

/**
 * The lines of any bytes, decoded, without their ends. A line ends with LF or CRLF; a CR alone is data, and the last
 * line needs no end. A line over `maxLength` is `MILL_TOO_LONG`, after the lines before it.
 */
export function lines(source: Source<AnyBytes> | AnyBytes, options: LinesOptions = {}): ReadableOf<string> {
  const { encoding = 'utf8', maxLength = MAX_LINE } = options
  if (encoding !== 'utf8' && encoding !== 'latin1') {
    throw new ArgumentError('options.encoding', "'utf8' or 'latin1'", encoding)
  }
  if (!(Number.isSafeInteger(maxLength) && maxLength > 0)) {
    throw new ArgumentError('options.maxLength', 'a whole number of bytes > 0', maxLength)
  }
  const face: FaceOptions = { signal: checkSignal(options.signal), highWaterMark: options.highWaterMark }
  const from = readable(source as Source<AnyBytes>, {
    ...(options.highWaterMark !== undefined && { highWaterMark: options.highWaterMark }),
  })
  return new Lines(from as unknown as ReadableFaceOf, encoding, maxLength, face) as unknown as ReadableOf<string>
}

type ReadableFaceOf = InstanceType<typeof ReadableFace>

class Lines extends ReadableFace {
  readonly #tap: Tap<unknown>
  readonly #encoding: 'utf8' | 'latin1'
  readonly #maxLength: number
  readonly #queue: ByteQueue
  /** What has been taken from the source and is not in the queue yet. */
  #pieces: Uint8Array[] = []
  #next = 0
  #waiting = false

  constructor(from: ReadableFaceOf, encoding: 'utf8' | 'latin1', maxLength: number, options: FaceOptions) {
    super(options)
    this.#encoding = encoding
    this.#maxLength = maxLength
    this.#queue = new ByteQueue({ maxLength: maxLength + 2 * SLICE })
    this.#tap = from._claim()
    this._bind(options.signal)
  }

  override _pull(): void {
    if (!this.#waiting) this.#run()
  }

  override _eased(): void {
    this._pull()
  }

  #run(): void {
    try {
      for (;;) {
        while (this.#next < this.#pieces.length) {
          if (!this.#split()) return
        }
        const items = this.#tap.batch()
        if (items === undefined) break
        this.#next = 0
        this.#pieces = items.length === 1 ? piecesOf(items[0]) : items.flatMap(piecesOf)
      }
    } catch (error) {
      this._fail(error)
      this.#tap.stream.destroy(error as Error)
      return
    }
    this.#waiting = true
    this.#tap.arrival().then(this.#onArrival, this.#onError)
  }

  readonly #onArrival = (there: boolean): void => {
    this.#waiting = false
    if (this._failure !== undefined) return
    if (there) this.#run()
    else this.#last()
  }

  /** What comes after the last line end is a line too. */
  #last(): void {
    const at = this.#queue.offset
    const rest = this.#queue.take()
    if (rest.length > this.#maxLength) {
      this._fail(this.#tooLong(at))
      return
    }
    if (rest.length > 0) this._offer(rest.toString(this.#encoding))
    this._finish()
  }

  readonly #onError = (error: unknown): void => {
    this.#waiting = false
    this._fail(error)
  }

  /** Splits one slice of what is there; false when enough lines wait. */
  #split(): boolean {
    const piece = this.#pieces[this.#next] as Uint8Array
    if (piece.length <= SLICE) {
      this.#next++
      this.#queue.append(piece)
    } else {
      this.#queue.append(piece.subarray(0, SLICE))
      this.#pieces[this.#next] = piece.subarray(SLICE)
    }
    const queue = this.#queue
    if (queue.length > this.#maxLength) return this.#splitLong()
    let room = true
    for (const line of queue.takeLines(this.#encoding)) room = this._offer(line, line.length + 1)
    return room
  }

  /** More than `maxLength` is there: each line is measured before it is decoded. */
  #splitLong(): boolean {
    const queue = this.#queue
    let room = true
    for (;;) {
      const at = queue.offset
      const line = queue.takeLine()
      if (line === undefined) {
        // A CR at the very end may belong to a line end that is still to come.
        const length = queue.at(-1) === 13 ? queue.length - 1 : queue.length
        if (length > this.#maxLength) throw this.#tooLong(at)
        return room
      }
      if (line.length > this.#maxLength) throw this.#tooLong(at)
      room = this._offer(line.toString(this.#encoding), line.length + 1)
    }
  }

  #tooLong(offset: number): BufferError {
    const limit = this.#maxLength
    return new BufferError('MILL_TOO_LONG', `A line is longer than ${limit} bytes, at byte ${offset}`, {
      limit,
      offset,
    })
  }

  override _stop(error: Error | undefined): undefined {
    this.#pieces = []
    this.#queue.clear()
    this.#tap.stream.destroy(error)
  }
}
