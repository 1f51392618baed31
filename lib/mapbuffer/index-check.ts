import { MapBufferError } from '../base/errors.js'
import { CRC_BYTES, dataStart, type Header, MAX_ROWS_IN_MEMORY, TWO32 } from './format.js'
import { joinLabel } from './label.js'

/** Words of one row: label low, label high, then the low and high half of an offset or value. */
export const ROW_WORDS = 4

/**
 * What strict opening asks of an index, in a fixed order, so that a file with several faults always has the same code:
 * nothing behind an empty map; values begin right behind the index, in row order, inside the file; each is long enough
 * for its checksum; labels are in order. 3.8 ns a row. Without `byteLength` what needs the end of the file is left out.
 *
 * Throws `MILL_TRAILING_DATA`, `MILL_BAD_OFFSETS`, `MILL_TRUNCATED_DATA`, `MILL_BAD_ENTRY_LENGTH`, `MILL_BAD_LABEL_ORDER`.
 */
export function checkIndex(words: Uint32Array, header: Header, byteLength: number | undefined): void {
  const fault = layoutFault(words, header, byteLength)
  if (fault !== undefined) throw fault
  const { size } = header
  if (size === 0) return
  const least = header.version === 1 ? CRC_BYTES : 0
  let short = 0
  let before = dataStart(size)
  for (let row = 2; row <= size; row++) {
    const offset = offsetOf(words, row)
    if (offset < before + least) {
      if (offset < before) throw badOffset(words, row, before)
      if (short === 0) short = row - 1
    }
    before = offset
  }
  const end = byteLength ?? Number.MAX_SAFE_INTEGER
  if (before > end) {
    let row = size
    while (row > 1 && offsetOf(words, row - 1) > end) row--
    throw beyondEnd(words, row, end)
  }
  if (short === 0 && end - before < least) short = size
  if (short !== 0) throw tooShort(words, short, short === size ? end : offsetOf(words, short + 1))
  if (!inOrder(words)) throw badOrder(words, rowOutOfOrder(words, 1))
}

/** What is wrong with the file as a whole: bytes behind an empty map, or values that do not begin behind the index. */
export function layoutFault(
  words: Uint32Array,
  header: Header,
  byteLength: number | undefined,
): MapBufferError | undefined {
  const expected = dataStart(header.size)
  if (header.size === 0) {
    return byteLength !== undefined && byteLength > expected ? trailingData(byteLength, expected) : undefined
  }
  const offset = offsetOf(words, 1)
  if (offset === expected) return undefined
  const message = `The first value begins at byte ${offset}, but the index ends at ${expected}`
  return new MapBufferError('MILL_BAD_OFFSETS', message, { ...entryOf(words, 1), offset, expected })
}

/**
 * Are the labels where a search expects them, and all different? Of two labels that are neighbours in order one stands in
 * a row without a child on the side of the other, which is then its nearest ancestor on that side. So the lower half of
 * the rows meets every pair of neighbours once: half the time of asking each row for both its bounds.
 */
export function inOrder(words: Uint32Array): boolean {
  const size = (words.length / ROW_WORDS) | 0
  for (let k = (size + 1) >>> 1; k <= size; k++) {
    // A right child's parent is below it; the nearest ancestor above is the parent of its leftmost line. And mirrored.
    const right = (k & 1) === 1
    const parent = k >>> 1
    const other = k >>> (32 - Math.clz32(right ? ~k & (k + 1) : k & -k))
    const at = (k - 1) * ROW_WORDS
    const low = words[at] as number
    const high = words[at + 1] as number
    const below = right ? parent : other
    if (below !== 0) {
      const there = (below - 1) * ROW_WORDS
      const h = words[there + 1] as number
      if (h >= high && (h > high || (words[there] as number) >= low)) return false
    }
    const above = right ? other : parent
    if (above !== 0) {
      const there = (above - 1) * ROW_WORDS
      const h = words[there + 1] as number
      if (h <= high && (h < high || (words[there] as number) <= low)) return false
    }
  }
  return true
}

/**
 * The first row of `from` to `to` whose label is not strictly between those of its nearest ancestors on either side; 0
 * where there is none. That all are is what makes a search find every label, and it needs no walk in label order.
 */
export function rowOutOfOrder(words: Uint32Array, from: number, to = words.length / ROW_WORDS): number {
  for (let k = from; k <= to; k++) {
    // A right child's parent is below it; the nearest ancestor above is the parent of its leftmost line. And mirrored.
    const right = (k & 1) === 1
    const run = right ? ~k & (k + 1) : k & -k
    const parent = k >>> 1
    const other = k >>> (32 - Math.clz32(run))
    const at = (k - 1) * ROW_WORDS
    const low = words[at] as number
    const high = words[at + 1] as number
    const below = right ? parent : other
    if (below !== 0) {
      const there = (below - 1) * ROW_WORDS
      const h = words[there + 1] as number
      if (h > high || (h === high && (words[there] as number) >= low)) return k
    }
    const above = right ? other : parent
    if (above !== 0) {
      const there = (above - 1) * ROW_WORDS
      const h = words[there + 1] as number
      if (h < high || (h === high && (words[there] as number) <= low)) return k
    }
  }
  return 0
}

/** Throws `MILL_TOO_MANY` for an index that does not fit into one typed array. */
export function checkInMemory(count: number): void {
  if (count <= MAX_ROWS_IN_MEMORY) return
  const message = `An index of ${count} entries does not fit into memory: openMapBuffer(…, { index: 'lazy' }) reads it in parts`
  throw new MapBufferError('MILL_TOO_MANY', message, { count, limit: MAX_ROWS_IN_MEMORY })
}

/** There are bytes behind the last value. */
export function trailingData(size: number, expected: number): MapBufferError {
  const message = `The map ends at byte ${expected}, the file only at ${size}`
  return new MapBufferError('MILL_TRAILING_DATA', message, { size, expected })
}

/** A label that no search would find. */
export function badOrder(words: Uint32Array, row: number): MapBufferError {
  const { position, label } = entryOf(words, row)
  const message = `Label ${label} at position ${position} is not where its order puts it`
  return new MapBufferError('MILL_BAD_LABEL_ORDER', message, { position, label })
}

function badOffset(words: Uint32Array, row: number, before: number): MapBufferError {
  const entry = entryOf(words, row)
  const offset = offsetOf(words, row)
  const message = `The value of label ${entry.label} (position ${entry.position}) begins at byte ${offset}, before the one in front of it, at ${before}`
  return new MapBufferError('MILL_BAD_OFFSETS', message, { ...entry, offset })
}

function beyondEnd(words: Uint32Array, row: number, size: number): MapBufferError {
  const entry = entryOf(words, row)
  const offset = offsetOf(words, row)
  const message = `The value of label ${entry.label} (position ${entry.position}) begins at byte ${offset}, but the file has ${size}`
  return new MapBufferError('MILL_TRUNCATED_DATA', message, { ...entry, offset, size })
}

function tooShort(words: Uint32Array, row: number, end: number): MapBufferError {
  const entry = entryOf(words, row)
  const offset = offsetOf(words, row)
  const length = end - offset
  const message = `The value of label ${entry.label} (position ${entry.position}) has ${length} bytes, less than its checksum`
  return new MapBufferError('MILL_BAD_ENTRY_LENGTH', message, { ...entry, offset, length })
}

function entryOf(words: Uint32Array, row: number) {
  const at = (row - 1) * ROW_WORDS
  return { position: row - 1, label: joinLabel(words[at] as number, words[at + 1] as number, false) }
}

/** Above 2^53 not exact, but still above every length. */
function offsetOf(words: Uint32Array, row: number): number {
  const at = (row - 1) * ROW_WORDS + 2
  return (words[at + 1] as number) * TWO32 + (words[at] as number)
}
