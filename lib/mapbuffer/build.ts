import type { Entries, Label, MapBufferWriteOptions } from '../../types/mapbuffer.js'
import { allocate } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { dropDuplicates, entriesInRowOrder, makeIndex, makeIntMap, sortLabels } from './assemble.js'
import { EntryWriter } from './encode.js'
import { checkInMemory } from './index-check.js'
import { pairsOf, splitLabel } from './label.js'
import { MemoryBytes } from './stored-bytes.js'

const HALVES = new Uint32Array(2)

/** Numbers of 64 bits that come one after the other, as halves in typed arrays that grow. */
class Words {
  low = new Uint32Array(64)
  high = new Uint32Array(64)

  /** Throws `MILL_BAD_LABEL`. */
  put(at: number, value: unknown): void {
    splitLabel(value, HALVES)
    if (at === this.low.length) {
      this.low = grown(this.low)
      this.high = grown(this.high)
    }
    this.low[at] = HALVES[0] as number
    this.high[at] = HALVES[1] as number
  }
}

function grown(words: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const longer = new Uint32Array(words.length * 2)
  longer.set(words)
  return longer
}

/** The file of a MapBuffer with these entries, in memory. Every value is copied as it comes: a source may reuse its memory. */
export function build<V>(entries: Entries<V>, options: MapBufferWriteOptions<V> = {}): MemoryBytes {
  const writer = new EntryWriter<V>(options)
  const policy = checkDuplicates(options.duplicates)
  const labels = new Words()
  const values: Uint8Array[] = []
  for (const [label, value] of pairsOf(entries)) {
    labels.put(values.length, label)
    const stored = writer.encode(label, value)
    values.push(writer.crcBytes === 0 ? stored.slice() : stored)
    checkInMemory(values.length)
  }
  const { low, high } = labels
  const order = dropDuplicates(low, high, sortLabels(low, high, values.length), policy)
  const lengths = Float64Array.from(values, (value) => value.length)
  const header = { ...writer.header, size: order.length }
  const index = makeIndex(header, low, high, lengths, order)
  let at = index.length
  for (const entry of order) at += lengths[entry] as number
  const bytes = allocate(at)
  bytes.set(index)
  at = index.length
  for (const entry of entriesInRowOrder(order)) {
    const value = values[entry] as Uint8Array
    bytes.set(value, at)
    at += value.length
  }
  const { compress } = options
  return new MemoryBytes(bytes, typeof compress === 'object' ? { header, codec: compress } : { header })
}

/** The file of an IntMap with these entries. */
export function buildIntMap(entries: Entries<Label>, duplicates: unknown): Uint8Array {
  const policy = checkDuplicates(duplicates)
  const labels = new Words()
  const values = new Words()
  let count = 0
  for (const [label, value] of pairsOf(entries)) {
    labels.put(count, label)
    values.put(count, value)
    checkInMemory(++count)
  }
  const order = dropDuplicates(labels.low, labels.high, sortLabels(labels.low, labels.high, count), policy)
  return makeIntMap(labels.low, labels.high, values.low, values.high, order)
}

/** `options.duplicates`, or its default. Throws `MILL_INVALID_ARGUMENT`. */
function checkDuplicates(duplicates: unknown = 'error'): 'error' | 'first' | 'last' {
  if (duplicates === 'error' || duplicates === 'first' || duplicates === 'last') return duplicates
  throw new ArgumentError('options.duplicates', "'error', 'first' or 'last'", duplicates)
}
