import type { Label, WriterOptions } from '../../types/mapbuffer.js'
import { checkSignal } from '../base/abort.js'
import { MapBufferError } from '../base/errors.js'
import { unsupportedItem } from '../streams/shape.js'
import { entriesInRowOrder, putPairs } from './assemble.js'
import { Chunker } from './chunker.js'
import { checkOptions } from './encode.js'
import { INT_MAP_HEADER_BYTES, MAX_ROWS_IN_MEMORY, makeIntMapHeader, ROW_BYTES } from './format.js'
import { splitLabel } from './label.js'
import { Pacer } from './pace.js'
import { dropDuplicates, sortLabels } from './sort.js'
import { type NoStrings, Stage } from './stream.js'
import { checkCount, checkDuplicates, countMismatch } from './writer.js'

type Pair = readonly [Label, Label]
/** Words of a pair: the halves of its label, and of its value. */
const WORDS = 4
/** Rows that are put into a scratch before they are cut into chunks: a header of 10 bytes lets rows lie across them. */
const SCRATCH_ROWS = 4096

/**
 * Pairs of label and value in, the bytes of an IntMap file out. It is all index: it is kept in memory, 16 bytes a pair.
 * Ends with `MILL_BAD_LABEL` (of values, too), `MILL_DUPLICATE_LABEL`, `MILL_COUNT_MISMATCH`, `MILL_TOO_MANY`.
 */
export interface IntMapWriter extends NoStrings<readonly [Label, Label], Uint8Array> {}

/** The constructor of {@link IntMapWriter}; it can be extended. */
export interface IntMapWriterConstructor {
  new (options?: Pick<WriterOptions, 'duplicates' | 'count' | 'signal'>): IntMapWriter
  readonly prototype: IntMapWriter
}

class IntMapWriterStream extends Stage<Pair> {
  readonly #duplicates: 'error' | 'first' | 'last'
  readonly #count: number | undefined
  readonly #pacer = new Pacer()
  readonly #label = new Uint32Array(2)
  #came = 0
  #columns: [Uint32Array, Uint32Array, Uint32Array, Uint32Array]
  #rows: Uint32Array = new Uint32Array(0)

  constructor(options: Pick<WriterOptions, 'duplicates' | 'count' | 'signal'> = {}) {
    checkOptions(options)
    const signal = checkSignal(options.signal)
    const count = checkCount(options.count)
    const duplicates = checkDuplicates(options.duplicates)
    super()
    this._carriesBytes = true
    this.#count = count
    this.#duplicates = duplicates
    const capacity = Math.min(count ?? 1024, 2 ** 16)
    this.#columns = columnsOf(capacity)
    this._bind(signal)
  }

  override _accept(item: Pair): Promise<void> | undefined {
    if (!Array.isArray(item) || item.length !== 2) throw unsupportedItem(item, 'a pair [label, value] here')
    const at = this.#came
    if (at === this.#count) throw countMismatch(this.#count, at + 1)
    if (at === this.#columns[0].length) this.#grow()
    const [low, high, valueLow, valueHigh] = this.#columns
    const halves = this.#label
    splitLabel(item[0], halves)
    low[at] = halves[0] as number
    high[at] = halves[1] as number
    splitLabel(item[1], halves)
    valueLow[at] = halves[0] as number
    valueHigh[at] = halves[1] as number
    this.#came = at + 1
    return this.#pacer.due(WORDS * 4) ? this.#pacer.pause() : undefined
  }

  #grow(): void {
    const { length } = this.#columns[0]
    if (length >= MAX_ROWS_IN_MEMORY) {
      const message = `An IntMap of more than ${MAX_ROWS_IN_MEMORY} entries cannot be sorted in memory`
      throw new MapBufferError('MILL_TOO_MANY', message, { limit: MAX_ROWS_IN_MEMORY })
    }
    const larger = columnsOf(Math.min(2 * length, this.#count ?? MAX_ROWS_IN_MEMORY, MAX_ROWS_IN_MEMORY))
    this.#columns.forEach((column, i) => {
      larger[i]?.set(column)
    })
    this.#columns = larger
  }

  override async _close(): Promise<void> {
    if (this.#count !== undefined && this.#came !== this.#count) throw countMismatch(this.#count, this.#came)
    const [low, high] = this.#columns
    const order = sortLabels(low, high, this.#came)
    this.#rows = entriesInRowOrder(dropDuplicates(low, high, order, this.#duplicates))
  }

  override async _give(): Promise<void> {
    const rows = this.#rows
    const out = new Chunker(this, INT_MAP_HEADER_BYTES + rows.length * ROW_BYTES)
    out.put(makeIntMapHeader(rows.length), 0, INT_MAP_HEADER_BYTES)
    const scratch = new Uint8Array(Math.min(SCRATCH_ROWS, rows.length) * ROW_BYTES)
    for (let row = 0; row < rows.length; row += SCRATCH_ROWS) {
      const to = Math.min(rows.length, row + SCRATCH_ROWS)
      const end = (to - row) * ROW_BYTES
      putPairs(scratch, 0, this.#columns, rows, row, to)
      for (let at = 0; at < end; ) {
        if (out.full) await out.turn()
        at += out.put(scratch, at, end)
      }
    }
    out.end()
  }
}

function columnsOf(capacity: number): [Uint32Array, Uint32Array, Uint32Array, Uint32Array] {
  const column = (): Uint32Array => new Uint32Array(capacity)
  return [column(), column(), column(), column()]
}

/** See {@link IntMapWriterConstructor}; the type of the same name is what it makes. */
export const IntMapWriter = IntMapWriterStream as unknown as IntMapWriterConstructor
