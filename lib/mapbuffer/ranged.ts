import type { ByteSource } from '../../types/byte-source.js'
import type { Label, LabelRange } from '../../types/mapbuffer.js'
import { ITEM_WEIGHT } from '../streams/shape.js'
import type { Batch } from './batch-stream.js'
import type { FullIndex } from './full-index.js'
import { splitLabel } from './label.js'
import type { Lookup } from './lookup.js'
import { type Joining, readInOrder } from './ordered-reads.js'
import { pickRows, type Rows } from './rows.js'
import { checkRange, rangeOf, walk } from './rows-in-order.js'
import { type Decoding, labelOf, ownValue, runsOf, soundRows, storedOf } from './values.js'

/** Entries of a range that are read together, however small they are. */
const WINDOW_ROWS = 4096

const HALVES = new Uint32Array(2)

/** Throws `MILL_BAD_LABEL` or `MILL_INVALID_ARGUMENT` for what is no range of labels. */
export function checkLabelRange(range: LabelRange | undefined): void {
  if (range === undefined) return
  checkRange(range)
  if (range.from !== undefined) splitLabel(range.from, HALVES)
  if (range.to !== undefined) splitLabel(range.to, HALVES)
}

/** The labels of some rows, in their order. */
export class KeyBatch implements Batch<Label> {
  readonly weight = ITEM_WEIGHT
  readonly #rows: Rows
  readonly #bigint: boolean
  #next = 0

  constructor(rows: Rows, bigint: boolean) {
    this.#rows = rows
    this.#bigint = bigint
  }

  next(): Label | undefined {
    return this.#next < this.#rows.count ? labelOf(this.#rows, this.#next++, this.#bigint) : undefined
  }
}

/** The labels of a range. */
export class RangeBatch implements Batch<Label> {
  readonly weight = ITEM_WEIGHT
  readonly #labels: Iterator<Label, undefined>

  constructor(lookup: Lookup, range: LabelRange, bigint: boolean) {
    this.#labels = walk(lookup, rangeOf(lookup, range), (row) => lookup.label(row, bigint))
  }

  next(): Label | undefined {
    return this.#labels.next().value
  }
}

/** Entries whose stored bytes are in memory, given out in the order of the rows. */
class WindowBatch<V> implements Batch<[Label, V]> {
  readonly #rows: Rows
  readonly #count: number
  readonly #stored: readonly Uint8Array[]
  readonly #decoding: Decoding<V>
  #next = 0
  weight = 0

  constructor(rows: Rows, count: number, stored: readonly Uint8Array[], decoding: Decoding<V>) {
    this.#rows = rows
    this.#count = count
    this.#stored = stored
    this.#decoding = decoding
  }

  next(): [Label, V] | undefined {
    if (this.#next === this.#count) return undefined
    const i = this.#next++
    const { entry, bigint } = this.#decoding
    const label = labelOf(this.#rows, i, bigint)
    const stored = this.#stored[i] as Uint8Array
    this.weight = ITEM_WEIGHT + stored.length
    return [label, ownValue(entry.decode(stored, this.#rows.position[i] as number, label))]
  }
}

/**
 * The entries of a range in the order of their labels. They lie all over the file: as many as make `span` bytes are
 * read in the order of the file, then given out.
 */
export async function* rangedEntries<V>(
  index: FullIndex,
  range: LabelRange,
  decoding: Decoding<V>,
  joining: Joining,
  signal: AbortSignal,
): AsyncGenerator<Batch<[Label, V]>, void, undefined> {
  const { lookup } = index
  const walked = walk(lookup, rangeOf(lookup, range), (row) => row)
  let next = walked.next().value
  while (next !== undefined) {
    const window: number[] = []
    let bytes = 0
    while (next !== undefined && window.length < WINDOW_ROWS) {
      bytes += Math.max(0, index.lengthOf(next))
      if (bytes > joining.span && window.length > 0) break
      window.push(next)
      next = walked.next().value
    }
    const rows = index.rowsAt(window)
    const { count, fault } = soundRows(rows, decoding)
    yield new WindowBatch(rows, count, await readStored(rows, count, decoding.source, joining, signal), decoding)
    if (fault !== undefined) throw fault
  }
}

/** The stored bytes of the first `count` rows, in their order: copies, so that no long read is kept for short values. */
async function readStored(
  rows: Rows,
  count: number,
  source: ByteSource,
  joining: Joining,
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort(
    (a, b) => (rows.offset[a] as number) - (rows.offset[b] as number),
  )
  const inFile = pickRows(rows, order)
  const stored = new Array<Uint8Array>(count)
  for await (const [run, bytes] of readInOrder(source, runsOf(inFile, count, joining), joining.concurrency, signal)) {
    for (let i = run.from; i < run.to; i++) stored[order[i] as number] = storedOf(inFile, i, run, bytes).slice()
  }
  return stored
}
