import { allocate } from '../base/bytes.js'
import { ignore } from '../streams/machine.js'
import type { Chunker } from './chunker.js'
import { sortLabels } from './sort.js'
import type { TempFile } from './temp-file.js'

/** Bytes between two values that are read, and dropped, rather than asked for in another read. */
const GAP_BYTES = 32768
/** Bytes of one read. There are two such buffers: one is read while the other is copied from. */
const READ_BYTES = 2 ** 18
/** A window has at most one value in so many bytes of its memory, so that lists of small values stay small, too. */
const BYTES_A_PIECE = 64

/** Memory that a window may use: pages of the same size, in any order. */
interface Memory {
  readonly pages: readonly Uint8Array[]
  readonly pageBytes: number
}

/** A stretch of the file that is read at once, beginning with byte `within` of the piece at `cursor`. */
interface Run {
  readonly buffer: Uint8Array
  cursor: number
  within: number
  position: number
  length: number
}

/**
 * Gives out values that lie in a file in another order: window after window of output, as large as the memory. What a
 * window needs is read in the order of the file, near pieces together, then goes out in order. `starts` says where in
 * the file each entry begins, and where the last one ends; `rows` are the entries in the order of the output.
 */
export async function giveWindows(
  out: Chunker,
  file: TempFile,
  memory: Memory,
  starts: Float64Array,
  rows: Uint32Array,
  onEntries: (entries: number, bytes: number) => void,
): Promise<void> {
  const window = new Window(file, memory, starts, rows.length)
  for (let row = 0; row < rows.length; ) {
    const first = row
    row = window.choose(rows, row)
    await window.fill()
    await window.give(out)
    onEntries(row - first, window.bytes)
  }
}

class Window {
  /** Bytes of the output that this window has. */
  bytes = 0
  readonly #file: TempFile
  readonly #memory: Memory
  readonly #starts: Float64Array
  /** The pieces of output, in order: whose value it is, and where in the window it belongs; at the end, where that is. */
  readonly #entries: Uint32Array
  readonly #targets: Float64Array
  #count = 0
  /** Bytes of the first piece's value that an earlier window had, and of the last one's that this window has. */
  #skipped = 0
  #begun = 0
  readonly #run = newRun()
  readonly #ahead = newRun()
  /** The pieces in the order of the file, and which comes next. */
  #order: Uint32Array = new Uint32Array(0)
  #cursor = 0
  #within = 0

  constructor(file: TempFile, memory: Memory, starts: Float64Array, rows: number) {
    this.#file = file
    this.#memory = memory
    this.#starts = starts
    const most = Math.min(rows, Math.ceil((memory.pages.length * memory.pageBytes) / BYTES_A_PIECE))
    this.#entries = new Uint32Array(most)
    this.#targets = new Float64Array(most + 1)
  }

  /** The next window, from this row on; gives back the first row that is not, or not wholly, in it. */
  choose(rows: Uint32Array, from: number): number {
    const room = this.#memory.pages.length * this.#memory.pageBytes
    let row = from
    let filled = 0
    let count = 0
    this.#skipped = this.#begun
    this.#begun = 0
    while (row < rows.length && count < this.#entries.length && filled < room) {
      const entry = rows[row] as number
      const skipped = row === from ? this.#skipped : 0
      const length = (this.#starts[entry + 1] as number) - (this.#starts[entry] as number) - skipped
      this.#entries[count] = entry
      this.#targets[count++] = filled
      if (length > room - filled) {
        this.#begun = skipped + room - filled
        filled = room
      } else {
        filled += length
        row++
      }
    }
    this.#targets[count] = filled
    this.#count = count
    this.bytes = filled
    return row
  }

  /** Reads all pieces. Two reads may be under way: the next one while the last one is copied from. */
  async fill(): Promise<void> {
    // Entries were numbered as they came, so their numbers sort as their bytes lie in the file.
    this.#order = sortLabels(this.#entries, undefined, this.#count)
    this.#cursor = this.#within = 0
    let run = this.#run
    let ahead = this.#ahead
    let reading = this.#start(run)
    while (reading !== undefined) {
      const next = this.#start(ahead)
      next?.catch(ignore) // told when it is awaited, unless an earlier one fails first
      await reading
      this.#copy(run)
      const done = run
      run = ahead
      ahead = done
      reading = next
    }
  }

  async give(out: Chunker): Promise<void> {
    const { pages, pageBytes } = this.#memory
    for (let at = 0; at < this.bytes; ) {
      if (out.full) await out.turn()
      const inPage = at % pageBytes
      const end = Math.min(pageBytes, inPage + this.bytes - at)
      at += out.put(pages[Math.floor(at / pageBytes)] as Uint8Array, inPage, end)
    }
  }

  #positionOf(piece: number): number {
    return (this.#starts[this.#entries[piece] as number] as number) + (piece === 0 ? this.#skipped : 0)
  }

  #lengthOf(piece: number): number {
    return (this.#targets[piece + 1] as number) - (this.#targets[piece] as number)
  }

  #start(run: Run): Promise<void> | undefined {
    if (!this.#plan(run)) return undefined
    return this.#file.read(run.buffer.subarray(0, run.length), run.position)
  }

  /** Takes the next pieces, as far as they are near each other and fit into one read; false if there is none. */
  #plan(run: Run): boolean {
    while (this.#cursor < this.#count && this.#lengthOf(this.#order[this.#cursor] as number) === 0) this.#cursor++
    if (this.#cursor === this.#count) return false
    run.cursor = this.#cursor
    run.within = this.#within
    run.position = this.#positionOf(this.#order[this.#cursor] as number) + this.#within
    const limit = run.position + READ_BYTES
    let end = run.position
    while (this.#cursor < this.#count) {
      const piece = this.#order[this.#cursor] as number
      const position = this.#positionOf(piece)
      const from = position + this.#within
      const to = position + this.#lengthOf(piece)
      if (from - end > GAP_BYTES || from >= limit) break
      if (to > limit) {
        end = limit
        this.#within = limit - position
        break
      }
      end = to
      this.#cursor++
      this.#within = 0
    }
    run.length = end - run.position
    return true
  }

  /** Puts what was read where it belongs. */
  #copy(run: Run): void {
    const end = run.position + run.length
    let { cursor, within } = run
    while (cursor < this.#count) {
      const piece = this.#order[cursor] as number
      const position = this.#positionOf(piece)
      const from = position + within
      if (from >= end) return
      const to = Math.min(position + this.#lengthOf(piece), end)
      this.#put(run.buffer, from - run.position, to - run.position, (this.#targets[piece] as number) + within)
      cursor++
      within = 0
    }
  }

  #put(from: Uint8Array, start: number, end: number, target: number): void {
    const { pages, pageBytes } = this.#memory
    for (let at = start; at < end; ) {
      const inPage = target % pageBytes
      const count = Math.min(end - at, pageBytes - inPage)
      ;(pages[Math.floor(target / pageBytes)] as Uint8Array).set(from.subarray(at, at + count), inPage)
      at += count
      target += count
    }
  }
}

function newRun(): Run {
  return { buffer: allocate(READ_BYTES), cursor: 0, within: 0, position: 0, length: 0 }
}
