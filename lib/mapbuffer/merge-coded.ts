import type { Label, WriterOptions } from '../../types/mapbuffer.js'
import { ITEM_WEIGHT } from '../streams/shape.js'
import { type Batch, batchStream, ChunkBatch } from './batch-stream.js'
import type { EntryReader } from './entry.js'
import type { FullIndex } from './full-index.js'
import { joinLabel } from './label.js'
import type { MergeInput } from './merge-input.js'
import type { Plan, Policy } from './merge-plan.js'
import { readWindow } from './merge-window.js'
import { MapBufferWriter } from './writer.js'

/** Stored bytes that are read together, unless one value by itself is longer. */
const MOST_WINDOW = 2 ** 23
/** Labels of a window, however small their values are. */
const WINDOW_LABELS = 16384

/** What makes values of stored bytes: with the map's serializer, or without where the bytes go through as they are. */
type ReaderOf<V> = (input: MergeInput<V>) => EntryReader<V>

/**
 * The file of a plan whose values are decoded and encoded anew. Entries come by label and their number is known, so
 * the writer needs no more memory for many of them than for a few. `plain`: values are bytes for it, nothing else.
 */
export async function* codedBatches<V>(
  plan: Plan<V>,
  options: WriterOptions<V>,
  policy: Policy<V>,
  plain: boolean,
  signal: AbortSignal,
): AsyncGenerator<Batch<Uint8Array>, void, undefined> {
  const reader: ReaderOf<V> = (input) => (plain ? (input.plain as EntryReader<unknown> as EntryReader<V>) : input.entry)
  await Promise.all(plan.inputs.map((input) => reader(input).load()))
  signal.throwIfAborted()
  const writer = new MapBufferWriter<V>({ ...options, sorted: true, count: plan.count, signal })
  const entries = batchStream<[Label, V]>((work) => entryWindows(plan, reader, policy, work.signal))
  entries.pipe(writer)
  for await (const chunks of writer.batches()) yield new ChunkBatch(chunks)
}

/** The entries of the new file by label, window by window. */
async function* entryWindows<V>(
  plan: Plan<V>,
  reader: ReaderOf<V>,
  policy: Policy<V>,
  signal: AbortSignal,
): AsyncGenerator<Batch<[Label, V]>, void, undefined> {
  const { count, starts, order } = plan
  const indexes = await Promise.all(plan.inputs.map((input) => input.index(signal)))
  for (let from = 0, to = 0; from < count; from = to) {
    let bytes = 0
    for (; to < count && to - from < WINDOW_LABELS; to++) {
      let more = 0
      for (let i = starts[to] as number; i < (starts[to + 1] as number); i++) {
        const entry = order[i] as number
        const index = indexes[plan.map[entry] as number] as FullIndex
        more += Math.max(0, index.lengthOf(plan.row[entry] as number))
      }
      if (to > from && bytes + more > MOST_WINDOW) break
      bytes += more
    }
    const entries = order.subarray(starts[from], starts[to])
    const stored = new Array<Uint8Array>(entries.length)
    const take = (i: number, view: Uint8Array): void => {
      stored[i] = view.slice()
    }
    await readWindow(plan, entries, take, signal)
    yield new WindowBatch(plan, from, to, stored, reader, policy)
  }
}

/** The entries of a window, decoded as they are taken. */
class WindowBatch<V> implements Batch<[Label, V]> {
  readonly #plan: Plan<V>
  readonly #to: number
  readonly #stored: readonly Uint8Array[]
  readonly #reader: ReaderOf<V>
  readonly #policy: Policy<V>
  readonly #base: number
  #next: number
  weight = 0

  constructor(
    plan: Plan<V>,
    from: number,
    to: number,
    stored: readonly Uint8Array[],
    reader: ReaderOf<V>,
    policy: Policy<V>,
  ) {
    this.#plan = plan
    this.#to = to
    this.#stored = stored
    this.#reader = reader
    this.#policy = policy
    this.#base = plan.starts[from] as number
    this.#next = from
  }

  next(): [Label, V] | undefined {
    if (this.#next === this.#to) return undefined
    const { starts, order, low, high, bigint } = this.#plan
    const at = starts[this.#next] as number
    const end = starts[++this.#next] as number
    const entry = order[at] as number
    const label = joinLabel(low[entry] as number, high[entry] as number, bigint)
    this.weight = ITEM_WEIGHT
    const first = this.#value(at, label)
    if (end - at === 1 || typeof this.#policy !== 'function') return [label, first]
    const values = [first]
    for (let i = at + 1; i < end; i++) values.push(this.#value(i, label))
    return [label, this.#policy(label, values)]
  }

  #value(at: number, label: Label): V {
    const { order, map, row, inputs } = this.#plan
    const entry = order[at] as number
    const stored = this.#stored[at - this.#base] as Uint8Array
    this.weight += stored.length
    // The checksum was looked at when the bytes were read.
    const input = inputs[map[entry] as number] as MergeInput<V>
    return this.#reader(input).decode(stored, (row[entry] as number) - 1, label, true)
  }
}
