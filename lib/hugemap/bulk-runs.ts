import { allocate, compareBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Piece } from './bulk-messages.js'
import { RunFile } from './run-file.js'
import type { Duplicates, Run } from './run-gather.js'
import { Merge } from './run-merge.js'
import { RunReader, type SpilledRun, SpilledRunReader } from './run-reader.js'
import { RECORD_HEADER, recordSize, wordsOf } from './run-records.js'

/** Runs that are merged at a time; more are merged into longer ones first. */
const MOST_RUNS = 128
/** Bytes of a window on a spilled run. */
const MOST_WINDOW = 1_048_576
const LEAST_WINDOW = 65_536
/** Bytes of merged runs that are written at a time. */
const WRITTEN_AT_ONCE = 1_048_576

interface KeptRun {
  /** Place in the order of the input: the piece, then the run within. */
  readonly piece: number
  readonly number: number
  readonly count: number
  readonly first: Uint8Array
  readonly last: Uint8Array
  /** In memory, or … */
  readonly bytes?: Uint8Array<ArrayBuffer>
  /** … in the file. */
  readonly spilled?: SpilledRun
}

/** The runs of a load: in memory as long as they fit, then in a file. */
export class RunStore {
  /** Records that were left out for one of equal key, so far. */
  duplicates = 0
  spilledBytes = 0
  /** Records that are left. */
  records = 0
  /** Runs that came in, and their bytes. */
  count = 0
  bytes = 0
  readonly #memory: number
  readonly #folder: string
  readonly #policy: Duplicates
  #runs: KeptRun[] = []
  #held = 0
  #file: RunFile | undefined

  /**
   * @param memory bytes of runs that are kept
   * @param folder where they are spilled
   */
  constructor(memory: number, folder: string, policy: Duplicates) {
    this.#memory = memory
    this.#folder = folder
    this.#policy = policy
  }

  /** Takes over a run of a piece; those of one piece come in their order. Throws `MILL_DISK_FULL`, `MILL_STORE_IO`. */
  add(piece: number, run: Run): void {
    const { bytes, count, lastAt } = run
    this.duplicates += run.duplicates
    this.records += count
    this.bytes += bytes.length
    const about = { piece, number: this.count++, count, first: keyAt(bytes, 0), last: keyAt(bytes, lastAt) }
    if (this.#held + bytes.length <= this.#memory) {
      this.#held += bytes.length
      this.#runs.push({ ...about, bytes })
      return
    }
    this.#file ??= new RunFile(this.#folder)
    const from = this.#file.write(bytes)
    this.spilledBytes += bytes.length
    this.#runs.push({ ...about, spilled: { count, from, to: from + bytes.length } })
  }

  /** Throws `MILL_NOT_SORTED` if a run begins below the end of the one before it in the same file. */
  checkOrder(pieces: readonly Piece[]): void {
    let before: KeptRun | undefined
    for (const run of this.#inOrder()) {
      const { input, file } = pieces[run.piece] as Piece
      const sameFile = before !== undefined && pieces[before.piece]?.input === input
      if (sameFile && compareBytes((before as KeptRun).last, run.first) > 0) {
        const fields = { key: run.first, ...(file !== undefined && { file }) }
        throw new StoreError('MILL_NOT_SORTED', `${file ?? 'the stream'} is not in key order`, fields)
      }
      before = run
    }
  }

  /** All records in key order, each key once. */
  merge(): Merge {
    let runs = this.#inOrder()
    while (runs.length > MOST_RUNS) runs = this.#longer(runs)
    return this.#merge(runs)
  }

  /** Gives back file and memory. Idempotent. */
  close(): void {
    this.#file?.close()
    this.#file = undefined
    this.#runs = []
  }

  #inOrder(): KeptRun[] {
    return this.#runs.sort((a, b) => a.piece - b.piece || a.number - b.number)
  }

  #merge(runs: readonly KeptRun[]): Merge {
    const spilled = runs.reduce((count, run) => count + (run.spilled === undefined ? 0 : 1), 0)
    const share = Math.floor(this.#memory / Math.max(1, spilled))
    const window = Math.min(MOST_WINDOW, Math.max(LEAST_WINDOW, share)) & ~3
    const file = this.#file
    const readers = runs.map(({ bytes, spilled }) =>
      bytes === undefined
        ? new SpilledRunReader(spilled as SpilledRun, (file as RunFile).read, window)
        : new RunReader(bytes),
    )
    const skip = commonPrefix(runs)
    for (const reader of readers) reader.skip = skip
    return new Merge(readers, this.#policy)
  }

  /** Merges neighbours, such that few enough are left or as many at once as can be; all go into a new file. */
  #longer(runs: readonly KeptRun[]): KeptRun[] {
    const together = Math.min(MOST_RUNS, Math.ceil(runs.length / MOST_RUNS))
    const file = new RunFile(this.#folder)
    const longer: KeptRun[] = []
    try {
      for (let i = 0; i < runs.length; i += together) {
        const some = runs.slice(i, i + together)
        const from = file.size
        const count = this.#write(this.#merge(some), file)
        const { piece } = some[0] as KeptRun
        const { first } = some.reduce((a, b) => (compareBytes(b.first, a.first) < 0 ? b : a))
        const { last } = some.reduce((a, b) => (compareBytes(b.last, a.last) > 0 ? b : a))
        longer.push({ piece, number: i, count, first, last, spilled: { count, from, to: file.size } })
      }
    } catch (error) {
      file.close()
      throw error
    }
    this.spilledBytes += file.size
    this.#file?.close()
    this.#file = file
    return longer
  }

  #write(merge: Merge, file: RunFile): number {
    const block = allocate(WRITTEN_AT_ONCE)
    let filled = 0
    let count = 0
    for (let run = merge.next(); run !== undefined; run = merge.next()) {
      const size = recordSize(run.keyLength, run.valueLength)
      const record = run.bytes.subarray(run.at, run.at + size)
      count++
      if (filled + size > block.length) {
        file.write(block.subarray(0, filled))
        filled = 0
      }
      if (size > block.length) file.write(record)
      else {
        block.set(record, filled)
        filled += size
      }
    }
    file.write(block.subarray(0, filled))
    this.duplicates += merge.duplicates
    this.records -= merge.duplicates
    return count
  }
}

function keyAt(bytes: Uint8Array<ArrayBuffer>, at: number): Uint8Array {
  const length = wordsOf(bytes)[at >>> 2] as number
  return bytes.slice(at + RECORD_HEADER, at + RECORD_HEADER + length)
}

/** How many bytes all keys begin with: what the least and the greatest have in common. */
function commonPrefix(runs: readonly KeptRun[]): number {
  let least: Uint8Array | undefined
  let greatest: Uint8Array | undefined
  for (const { first, last } of runs) {
    if (least === undefined || compareBytes(first, least) < 0) least = first
    if (greatest === undefined || compareBytes(last, greatest) > 0) greatest = last
  }
  if (least === undefined || greatest === undefined) return 0
  let same = 0
  while (same < least.length && same < greatest.length && least[same] === greatest[same]) same++
  return same
}
