import type { ByteSource } from '../../types/byte-source.js'
import type { Label } from '../../types/mapbuffer.js'
import { ITEM_WEIGHT } from '../streams/shape.js'
import type { Batch } from './batch-stream.js'
import type { EntryReader } from './entry.js'
import { joinLabel } from './label.js'
import { type Joining, type Range, readInOrder } from './ordered-reads.js'
import type { Rows } from './rows.js'

/** Rows that are read together: those from `from` to before `to`, and what lies between them. */
export interface Run extends Range {
  readonly from: number
  readonly to: number
}

/** How the values of a map become what users get. */
export interface Decoding<V> {
  readonly source: ByteSource
  readonly entry: EntryReader<V>
  readonly byteLength: number
  readonly bigint: boolean
}

/** The label of a row; `bigint`: as one, however small. */
export const labelOf = (rows: Rows, i: number, bigint: boolean): Label =>
  joinLabel(rows.low[i] as number, rows.high[i] as number, bigint)

/** Where the stored bytes of these rows are. */
export function rangesOf({ count, offset, length }: Rows): Range[] {
  return Array.from({ length: count }, (_, i) => ({ offset: offset[i] as number, length: length[i] as number }))
}

/** The rows in as few reads as `joining` allows. Rows that do not ascend, as in a damaged file, are not joined. */
export function* runsOf(rows: Rows, count: number, { gap, span }: Joining): Generator<Run, void, undefined> {
  for (let from = 0; from < count; ) {
    const offset = rows.offset[from] as number
    let end = offset + (rows.length[from] as number)
    let to = from + 1
    for (; to < count; to++) {
      const next = rows.offset[to] as number
      const nextEnd = next + (rows.length[to] as number)
      if (next < offset || next - end > gap || Math.max(end, nextEnd) - offset > span) break
      if (nextEnd > end) end = nextEnd
    }
    yield { from, to, offset, length: end - offset }
    from = to
  }
}

/** Bytes of the value as stored, without checksum. Throws what is wrong with its bounds. */
export function checkRow(
  rows: Omit<Rows, 'count' | 'low' | 'high'>,
  i: number,
  label: Label,
  entry: EntryReader<unknown>,
  byteLength: number,
): number {
  const offset = rows.offset[i] as number
  const length = rows.length[i] as number
  return entry.check(rows.position[i] as number, label, offset, length, byteLength, rows.before[i] as number)
}

/** How many rows come before the first whose bounds are wrong, and what is wrong with that one. */
export function soundRows<V>(
  rows: Rows,
  { entry, byteLength, bigint }: Decoding<V>,
): { count: number; fault: unknown } {
  for (let i = 0; i < rows.count; i++) {
    try {
      checkRow(rows, i, labelOf(rows, i, bigint), entry, byteLength)
    } catch (fault) {
      return { count: i, fault }
    }
  }
  return { count: rows.count, fault: undefined }
}

/** The stored bytes of one row out of those of its run: a view. */
export function storedOf(rows: Rows, i: number, run: Run, bytes: Uint8Array): Uint8Array {
  const at = (rows.offset[i] as number) - run.offset
  return bytes.subarray(at, at + (rows.length[i] as number))
}

/**
 * The value in memory that holds little else: small values of a long read would keep all of it alive. (A copy of 500
 * bytes costs less than making the view did.)
 */
export function ownValue<V>(value: V): V {
  if (!(value instanceof Uint8Array) || value.buffer.byteLength <= 2 * value.length) return value
  return value.slice() as V
}

/** The entries of one run, decoded as they are taken. */
class EntryBatch<V> implements Batch<[Label, V]> {
  readonly #rows: Rows
  readonly #run: Run
  readonly #bytes: Uint8Array
  readonly #decoding: Decoding<V>
  #next: number
  weight = 0

  constructor(rows: Rows, run: Run, bytes: Uint8Array, decoding: Decoding<V>) {
    this.#rows = rows
    this.#run = run
    this.#bytes = bytes
    this.#decoding = decoding
    this.#next = run.from
  }

  next(): [Label, V] | undefined {
    const i = this.#next
    if (i === this.#run.to) return undefined
    this.#next++
    const { entry, bigint } = this.#decoding
    const label = labelOf(this.#rows, i, bigint)
    const stored = storedOf(this.#rows, i, this.#run, this.#bytes)
    const value = ownValue(entry.decode(stored, this.#rows.position[i] as number, label))
    this.weight = ITEM_WEIGHT + (value instanceof Uint8Array ? value.length : stored.length)
    return [label, value]
  }
}

/** The entries of these rows, which are in file order. Memory is bounded by `span` × `concurrency`. */
export async function* entryBatches<V>(
  rows: Rows,
  decoding: Decoding<V>,
  joining: Joining,
  signal: AbortSignal,
): AsyncGenerator<Batch<[Label, V]>, void, undefined> {
  const { count, fault } = soundRows(rows, decoding)
  const runs = runsOf(rows, count, joining)
  for await (const [run, bytes] of readInOrder(decoding.source, runs, joining.concurrency, signal)) {
    yield new EntryBatch(rows, run, bytes, decoding)
  }
  if (fault !== undefined) throw fault
}
