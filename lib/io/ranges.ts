import type { ByteSource, RangeOptions } from '../../types/byte-source.js'
import { checkSignal, onAbort } from '../base/abort.js'
import { cut, type Group, planReads, type Range, rangeOptions } from './plan.js'

/**
 * Many ranges of a source, in few reads: `[index, bytes]` as they come, `index` being that of the range. Bytes are
 * views of what was read together; fewer than asked for where the source ends. At most `concurrency` reads are under
 * way or wait to be taken, so memory is bounded by `span` · `concurrency`. Leaving the loop aborts what is under way.
 *
 * Throws `MILL_INVALID_ARGUMENT` at once; the loop throws the first error of the source, or `signal.reason`.
 */
export function readRanges(
  source: ByteSource,
  ranges: readonly Range[],
  options: RangeOptions & { signal?: AbortSignal } = {},
): AsyncIterable<[index: number, bytes: Uint8Array]> {
  const { gap, span, concurrency } = rangeOptions(options)
  const signal = checkSignal(options.signal)
  const { order, groups } = planReads(ranges, gap, span)
  return { [Symbol.asyncIterator]: () => iterate(source, ranges, order, groups, concurrency, signal) }
}

/** A read that has come back. */
type Done = { readonly group: Group; readonly bytes: Uint8Array }

async function* iterate(
  source: ByteSource,
  ranges: readonly Range[],
  order: Uint32Array,
  groups: readonly Group[],
  concurrency: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<[index: number, bytes: Uint8Array], void, undefined> {
  signal?.throwIfAborted()
  // One for each read: a signal that all of them shared would have as many listeners, of which Node warns.
  const works = new Set<AbortController>()
  const stop = (reason: unknown): void => {
    for (const work of works) work.abort(reason)
  }
  const done: Done[] = []
  const faults: unknown[] = []
  let wake = (): void => {}
  const fail = (error: unknown): void => {
    faults.push(error)
    wake()
  }
  const forget = onAbort(signal, (reason) => {
    fail(reason)
    stop(reason)
  })
  const start = async (group: Group): Promise<void> => {
    const work = new AbortController()
    works.add(work)
    try {
      const bytes = await source.read(group.start, group.end - group.start, { signal: work.signal })
      done.push({ group, bytes })
      wake()
    } catch (error) {
      fail(error)
    } finally {
      works.delete(work)
    }
  }
  try {
    for (let i = 0; i < ranges.length; i++) if (ranges[i]?.length === 0) yield [i, new Uint8Array(0)]
    let started = 0
    for (let taken = 0; taken < groups.length; taken++) {
      // What waits in `done` counts as under way: a slow consumer stops the reading.
      while (started < groups.length && started - taken < concurrency) void start(groups[started++] as Group)
      if (done.length === 0 && faults.length === 0) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      if (faults.length > 0) throw faults[0]
      const { group, bytes } = done.shift() as Done
      for (let i = group.from; i < group.to; i++) {
        const index = order[i] as number
        yield [index, cut(bytes, group.start, ranges[index] as Range)]
        if (faults.length > 0) throw faults[0]
      }
    }
  } finally {
    forget()
    stop(undefined)
  }
}
