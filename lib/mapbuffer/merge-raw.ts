import type { Progress } from '../../types/progress.js'
import { allocate } from '../base/bytes.js'
import { crc32c } from '../base/crc32c.js'
import { entriesInRowOrder, putRows } from './assemble.js'
import { type Batch, ChunkBatch } from './batch-stream.js'
import { CHUNK_BYTES } from './chunker.js'
import { CRC_BYTES, dataStart, type Header, makeHeader, ROW_BYTES, writeU32 } from './format.js'
import type { FullIndex } from './full-index.js'
import type { MergeInput } from './merge-input.js'
import type { Plan } from './merge-plan.js'
import { readWindow } from './merge-window.js'
import { nextTurn, Reporter } from './pace.js'

/** A window of output is at most this long, unless one value by itself is longer. */
const MOST_WINDOW = 2 ** 23
/** Entries of a window, however small they are. */
const WINDOW_ENTRIES = 65536

/** Memory for a stretch of output, in chunks that have nothing to do with each other. */
class Stretch {
  readonly chunks: Uint8Array[] = []

  constructor(length: number) {
    for (let left = length; left > 0; left -= CHUNK_BYTES) this.chunks.push(allocate(Math.min(CHUNK_BYTES, left)))
  }

  put(bytes: Uint8Array, at: number): void {
    for (let done = 0; done < bytes.length; ) {
      const chunk = this.chunks[Math.floor((at + done) / CHUNK_BYTES)] as Uint8Array
      const place = (at + done) % CHUNK_BYTES
      const count = Math.min(bytes.length - done, chunk.length - place)
      chunk.set(count === bytes.length ? bytes : bytes.subarray(done, done + count), place)
      done += count
    }
  }
}

/**
 * The file of a plan whose values need no decoding. All lengths are known: header and index leave at once, then the
 * values, in the order of the new file, window by window.
 */
export async function* rawChunks<V>(
  plan: Plan<V>,
  made: Pick<Header, 'version' | 'compression'>,
  memory: number,
  onProgress: ((progress: Progress) => void) | undefined,
  signal: AbortSignal,
): AsyncGenerator<Batch<Uint8Array>, void, undefined> {
  const { count, order } = plan
  const reporter = new Reporter(onProgress)
  reporter.begin('write', count)
  const columns = { low: plan.low, high: plan.high, lengths: await storedLengths(plan, made.version, signal) }
  // Labels ascend in `order`, so what stands in each row is a matter of arithmetic.
  const rows = entriesInRowOrder(order)
  let offset = dataStart(count)
  // Row k begins at byte 16 k: the header takes the place of row 0.
  const perChunk = CHUNK_BYTES / ROW_BYTES
  for (let from = 0; from <= count; from += perChunk) {
    const to = Math.min(from + perChunk, count + 1)
    const chunk = allocate((to - from) * ROW_BYTES)
    if (from === 0) chunk.set(makeHeader({ ...made, size: count }))
    const skip = from === 0 ? 1 : 0
    offset = putRows(chunk, skip * ROW_BYTES, columns, rows, from - 1 + skip, to - 1, offset)
    yield new ChunkBatch([chunk])
  }
  const limit = Math.min(memory, MOST_WINDOW)
  for (let from = 0, to = 0; from < count; from = to) {
    let bytes = 0
    for (; to < count && to - from < WINDOW_ENTRIES; to++) {
      const length = columns.lengths[rows[to] as number] as number
      if (to > from && bytes + length > limit) break
      bytes += length
    }
    yield new ChunkBatch(await readStretch(plan, rows.subarray(from, to), columns.lengths, bytes, signal))
    reporter.add(to - from, bytes)
    reporter.tick()
    await nextTurn()
  }
  reporter.end()
}

/** Bytes of each used entry as it will be stored, checksum included. Throws what is wrong with its bounds. */
async function storedLengths<V>(plan: Plan<V>, version: 0 | 1, signal: AbortSignal): Promise<Float64Array> {
  const lengths = new Float64Array(plan.low.length)
  const tails = plan.inputs.map(({ header }) => (version - header.version) * CRC_BYTES)
  const indexes = await Promise.all(plan.inputs.map((input) => input.index(signal)))
  for (const entry of plan.order) {
    const map = plan.map[entry] as number
    const index = indexes[map] as FullIndex
    const input = plan.inputs[map] as MergeInput<V>
    const row = plan.row[entry] as number
    const { lookup } = index
    const length = index.lengthOf(row)
    const before = row > 1 ? lookup.offset(row - 1) : 0
    const label = lookup.label(row, plan.bigint)
    input.entry.check(row - 1, label, lookup.offset(row), length, input.byteLength, before)
    lengths[entry] = length + (tails[map] as number)
  }
  return lengths
}

async function readStretch<V>(
  plan: Plan<V>,
  entries: Uint32Array,
  lengths: Float64Array,
  bytes: number,
  signal: AbortSignal,
): Promise<Uint8Array[]> {
  const places = new Float64Array(entries.length)
  for (let i = 1; i < entries.length; i++) {
    places[i] = (places[i - 1] as number) + (lengths[entries[i - 1] as number] as number)
  }
  const stretch = new Stretch(bytes)
  const tail = new Uint8Array(CRC_BYTES)
  const take = (i: number, stored: Uint8Array): void => {
    const place = places[i] as number
    const length = lengths[entries[i] as number] as number
    // With a checksum or without on either side: what is stored is cut, or gets one.
    if (stored.length >= length) stretch.put(stored.subarray(0, length), place)
    else {
      stretch.put(stored, place)
      writeU32(tail, 0, crc32c(stored))
      stretch.put(tail, place + stored.length)
    }
  }
  await readWindow(plan, entries, take, signal)
  return stretch.chunks
}
