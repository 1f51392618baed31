import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { isMillraceError, type StoreError } from '../base/errors.js'
import { packError } from '../store/failure.js'
import { BadRecord, type Place, recordError } from './bulk-bad.js'
import { encodedRecords, formatOf, type RecordFormat } from './bulk-format.js'
import { HandedInput, type Input, openInput, unreadable } from './bulk-input.js'
import { KeyField } from './bulk-key.js'
import type { FromParser, ParsePlan, Piece, ToParser } from './bulk-messages.js'
import { loadRecordFunction } from './bulk-module.js'
import { BinSplitter, LineSplitter, RecordSplitter, type Splitter, Window } from './bulk-split.js'
import { ValueField } from './bulk-value.js'
import { codingOf } from './config.js'
import { KeyCoder } from './key-coder.js'
import { gather } from './run-gather.js'
import { Records } from './run-records.js'
import { compareKeys, sortRecords } from './run-sort.js'
import { ValueCodec } from './values.js'

/*
 * A thread of a bulk load: reads pieces of the input, encodes their records, sorts them and hands over runs. Its memory
 * is what `runBytes` says, twice: one for records as they come, one for the run that is made of them.
 */

/** A run is full when less than this is left, so that usual records never make its memory grow. */
const SPARE = 16_384
/** Besides key and value a line has names and marks. */
const AROUND = 1_048_576
/** Packed input comes in small blocks: what was read is told in larger ones. */
const TOLD = 1_048_576
const LF = 10

/** What is wrong with a record, rather than with us: these may be skipped. */
const FAULTS_OF_RECORDS = ['MILL_BAD_KEY', 'MILL_SERIALIZE', 'MILL_TOO_LARGE'] as const

type Answer = (bytes: Uint8Array | undefined) => void

class Parser {
  readonly #plan: ParsePlan
  readonly #format: RecordFormat
  readonly #records: Records
  readonly #capacity: number
  #skipped = 0
  #toldBytes = 0
  #parsed = 0
  #answer: Answer = () => {}

  static async create(plan: ParsePlan): Promise<Parser> {
    const { config, format, maxKeyBytes, maxValueBytes, path, name } = plan
    // Their codecs may be objects, which only those know who encoded them.
    if (format.type === 'records') return new Parser(plan, encodedRecords())
    const { keys, serializer, codec } = await codingOf<unknown, unknown>({}, config, { path, name })
    const { checksum } = config
    const values = new ValueCodec({ serializer, codec, checksum, maxValueBytes, path, name })
    const record = format.type === 'module' ? await loadRecordFunction(format.url, format.name) : undefined
    const made = formatOf(format, new KeyField(new KeyCoder(keys, maxKeyBytes)), new ValueField(values), record)
    return new Parser(plan, made)
  }

  private constructor(plan: ParsePlan, format: RecordFormat) {
    this.#plan = plan
    this.#format = format
    this.#capacity = plan.runBytes + SPARE
    this.#records = new Records(this.#capacity)
  }

  /** An answer to what was asked last. */
  answered(bytes: Uint8Array | undefined): void {
    this.#answer(bytes)
  }

  async piece(piece: Piece): Promise<void> {
    const { blockBytes, maxKeyBytes, maxValueBytes } = this.#plan
    this.#skipped = 0
    this.#toldBytes = 0
    this.#parsed = 0
    const input =
      piece.file === undefined ? new HandedInput(() => this.#ask({ type: 'more' })) : openInput(piece, blockBytes)
    try {
      const window = new Window(blockBytes, maxKeyBytes + maxValueBytes + AROUND, piece.from)
      const splitter = this.#splitter(window, piece)
      try {
        await this.#read(input, window, splitter, piece)
      } catch (error) {
        if (!(error instanceof BadRecord)) throw error
        // It is not known where the next one begins: there is nothing to be skipped.
        throw this.#bad(error, piece, window, window.begin, window.end, splitter.line + 1)
      }
      await this.#flush()
      this.#tell(input, 0)
    } finally {
      input.close()
      this.#records.reset(this.#capacity)
    }
    post({ type: 'done', skipped: this.#skipped })
  }

  #splitter(window: Window, piece: Piece): Splitter {
    switch (this.#plan.format.type) {
      case 'bin':
        return new BinSplitter(window, this.#plan.maxValueBytes)
      case 'records':
        return new RecordSplitter(window)
      default:
        return new LineSplitter(window, piece.to)
    }
  }

  async #read(input: Input, window: Window, splitter: Splitter, piece: Piece): Promise<void> {
    const records = this.#records
    const { runBytes, sorted } = this.#plan
    for (;;) {
      while (splitter.next()) {
        const { from, to } = splitter
        try {
          this.#format.add(window.bytes, from, to, records)
        } catch (error) {
          this.#skip(error, piece, window, splitter)
          continue
        }
        this.#parsed++
        if (sorted) this.#checkOrder(piece, window, splitter)
        if (records.length >= runBytes) await this.#flush()
      }
      if (splitter.done) return
      window.makeRoom()
      const reading = input.read(window)
      window.ended = !(typeof reading === 'boolean' ? reading : await reading)
      this.#tell(input, TOLD)
    }
  }

  /** Counts a record that is to be left out, or throws what is wrong with it. */
  #skip(error: unknown, piece: Piece, window: Window, { from, to, line }: Splitter): void {
    const ofRecord = error instanceof BadRecord || FAULTS_OF_RECORDS.some((code) => isMillraceError(error, code))
    if (!ofRecord) throw error
    if (!this.#plan.skipBad) throw this.#bad(error as BadRecord, piece, window, from, to, line)
    this.#skipped++
  }

  #checkOrder(piece: Piece, window: Window, { from, to, line }: Splitter): void {
    const { starts, count } = this.#records
    if (count < 2) return
    if (compareKeys(this.#records, starts[count - 2] as number, starts[count - 1] as number, 0) <= 0) return
    const reason = 'its key is below the one before it'
    throw recordError('MILL_NOT_SORTED', reason, place(piece, window, from, line), window.bytes.subarray(from, to))
  }

  #bad(
    error: BadRecord | StoreError,
    piece: Piece,
    window: Window,
    from: number,
    to: number,
    line: number,
  ): StoreError {
    const reason = error.reason ?? error.message
    const known = this.#plan.format.type === 'bin' ? 0 : line
    const cause = error instanceof BadRecord ? error.cause : error
    const more = cause === undefined ? {} : { cause }
    return recordError(
      'MILL_BAD_RECORD',
      reason,
      place(piece, window, from, known),
      window.bytes.subarray(from, to),
      more,
    )
  }

  async #flush(): Promise<void> {
    const records = this.#records
    if (records.count === 0) return
    const run = gather(records, sortRecords(records), this.#plan.duplicates)
    records.reset(this.#capacity)
    await this.#ask({ type: 'run', ...run }, [run.bytes.buffer])
  }

  #ask(message: FromParser, transfer: ArrayBuffer[] = []): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      this.#answer = resolve
      post(message, transfer)
    })
  }

  #tell(input: Input, least: number): void {
    const bytes = input.bytesIn - this.#toldBytes
    if (bytes < least) return
    this.#toldBytes += bytes
    post({ type: 'read', bytes, records: this.#parsed })
    this.#parsed = 0
  }
}

function place(piece: Piece, window: Window, from: number, line: number): Place {
  const before = line > 0 && piece.from > 0 ? linesBefore(piece.file as string, piece.from) + 1 : 0
  return { file: piece.file, line: line > 0 ? before + line : 0, offset: window.base + from }
}

/** Line ends before this byte: only those who have to tell a line's number count them. */
function linesBefore(path: string, end: number): number {
  const block = new Uint8Array(1_048_576)
  let lines = 0
  let file: number | undefined
  try {
    file = openSync(path, 'r')
    for (let at = 0; at < end; ) {
      const count = readSync(file, block, 0, Math.min(block.length, end - at), at)
      if (count === 0) break
      for (let i = 0; i < count; i++) if (block[i] === LF) lines++
      at += count
    }
  } catch (cause) {
    throw unreadable(path, cause)
  } finally {
    if (file !== undefined) closeSync(file)
  }
  return lines
}

function post(message: FromParser, transfer: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, transfer)
}

const parser = Parser.create(workerData as ParsePlan)
// Who gives it a piece hears of it.
parser.catch(() => {})
parentPort?.on('message', async (message: ToParser) => {
  try {
    const made = await parser
    if (message.type === 'piece') await made.piece(message.piece)
    else made.answered(message.type === 'block' ? message.bytes : undefined)
  } catch (error) {
    post({ type: 'failed', error: packError(error) })
  }
})
