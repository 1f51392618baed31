import { allocate } from '../base/bytes.js'
import type { LmdbTable } from '../store/lmdb-table.js'
import { type Duplicates, duplicateKey } from './run-gather.js'
import type { Merge } from './run-merge.js'
import type { RunReader } from './run-reader.js'
import { copyWords, recordSize, wordsOf } from './run-records.js'

/** Records of this size and below go through one place: the binding asks for the address of each other memory anew. */
const STAGE = 65_536
const APPEND = Object.freeze({ append: true })

/** Puts merged records into a table, within write transactions. */
export class Appender {
  /** Records that were put. */
  records = 0
  /** Bytes of keys and values that were put. */
  bytes = 0
  /** Records that were left out, because the table had their keys. */
  duplicates = 0
  readonly #table: LmdbTable
  readonly #policy: Duplicates
  /** All keys are above those that are there: they go to the end without a search. */
  #appending: boolean
  readonly #stage = allocate(STAGE)
  readonly #words = wordsOf(this.#stage)

  /**
   * @param policy what becomes of a key that the table has already, which counts as the earlier one
   * @param empty nothing is there
   */
  constructor(table: LmdbTable, policy: Duplicates, empty: boolean) {
    this.#table = table
    this.#policy = policy
    this.#appending = empty
  }

  /** Up to so many records and bytes; false: those were the last. Throws `MILL_DUPLICATE_KEY`. */
  put(merge: Merge, mostRecords: number, mostBytes: number): boolean {
    const untilRecords = this.records + this.duplicates + mostRecords
    const untilBytes = this.bytes + mostBytes
    while (this.records + this.duplicates < untilRecords && this.bytes < untilBytes) {
      const run = merge.next()
      if (run === undefined) return false
      this.#put(run)
    }
    return true
  }

  #put(run: RunReader): void {
    const { keyLength, valueLength } = run
    const size = recordSize(keyLength, valueLength)
    let { bytes, keyAt, valueAt } = run
    if (size <= STAGE) {
      copyWords(run.words, run.at >>> 2, this.#words, 0, size >>> 2)
      bytes = this.#stage
      keyAt -= run.at
      valueAt -= run.at
    }
    const table = this.#table
    if (this.#appending) {
      if (!table.put(bytes, keyAt, keyLength, valueAt, valueLength, APPEND)) throw new Error('records out of order')
    } else {
      if (this.#policy !== 'last' && table.has(bytes, keyAt, keyLength)) {
        if (this.#policy === 'error') throw duplicateKey(bytes.slice(keyAt, valueAt))
        this.duplicates++
        return
      }
      table.put(bytes, keyAt, keyLength, valueAt, valueLength)
    }
    this.records++
    this.bytes += keyLength + valueLength
  }
}
