import type { RangeOptions } from '../../types/byte-source.js'
import { checkCount, checkRange } from './check.js'

/** A piece of a source. */
export interface Range {
  readonly offset: number
  readonly length: number
}

/** Ranges that are read together: bytes `start` to `end`, for the ranges `order[from]` to `order[to - 1]`. */
export interface Group {
  readonly start: number
  readonly end: number
  readonly from: number
  readonly to: number
}

/** The options with their defaults. Throws `MILL_INVALID_ARGUMENT`. */
export function rangeOptions(options: RangeOptions = {}): Required<RangeOptions> {
  return {
    gap: checkCount(options.gap, 'options.gap', 32768),
    span: checkCount(options.span, 'options.span', 8388608, 1),
    concurrency: checkCount(options.concurrency, 'options.concurrency', 16, 1),
  }
}

/**
 * Which ranges to read together: those that are at most `gap` apart, as long as they span no more than `span`. Empty
 * ranges are in no group. Throws `MILL_INVALID_ARGUMENT` for a range that is none.
 */
export function planReads(
  ranges: readonly Range[],
  gap: number,
  span: number,
): { order: Uint32Array; groups: Group[] } {
  const order = new Uint32Array(ranges.length)
  let count = 0
  let sorted = true
  let last = 0
  for (let i = 0; i < ranges.length; i++) {
    const { offset, length } = ranges[i] as Range
    checkRange(offset, length)
    if (length === 0) continue
    sorted &&= offset >= last
    last = offset
    order[count++] = i
  }
  const used = order.subarray(0, count)
  if (!sorted) used.sort((a, b) => (ranges[a] as Range).offset - (ranges[b] as Range).offset || a - b)
  const groups: Group[] = []
  for (let from = 0; from < count; ) {
    const first = ranges[used[from] as number] as Range
    let end = first.offset + first.length
    let to = from + 1
    for (; to < count; to++) {
      const { offset, length } = ranges[used[to] as number] as Range
      const grown = Math.max(end, offset + length)
      // What lies inside costs nothing, also in a range that is longer than the span by itself.
      if (offset > end + gap || (grown > end && grown - first.offset > span)) break
      end = grown
    }
    groups.push({ start: first.offset, end, from, to })
    from = to
  }
  return { order: used, groups }
}

/** The bytes of one range out of those that were read from `start` on; fewer where the source ends before. A view. */
export function cut(bytes: Uint8Array, start: number, { offset, length }: Range): Uint8Array {
  return bytes.subarray(offset - start, offset - start + length)
}
