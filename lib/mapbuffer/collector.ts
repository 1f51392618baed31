import { MapBufferError } from '../base/errors.js'
import { type Columns, entriesInRowOrder, putRows } from './assemble.js'
import type { Chunker } from './chunker.js'
import { dataStart, MAX_ROWS_IN_MEMORY, ROW_BYTES } from './format.js'
import { dropDuplicates, sortLabels } from './sort.js'
import { Spool } from './spool.js'
import { giveWindows } from './windows.js'

/** Where a writer keeps its entries until all have come. */
export interface Collector {
  readonly mode: 'memory' | 'spool' | 'levels'
  /** Entries that the file will have; right after `close()`. */
  readonly size: number
  /** Stored bytes of all values that the file will have; right after `close()`. */
  readonly length: number
  /** Bytes written to temporary files. */
  readonly spooled: number
  /**
   * Takes a copy of payload and checksum; where it gives a promise they must stay as they are until it resolves, and
   * nothing may come before.
   */
  add(low: number, high: number, payload: Uint8Array, crc: Uint8Array | undefined): Promise<void> | undefined
  /** All have come. */
  close(): Promise<void>
  /** Gives out index and values, and tells of entries that are through, and of bytes of values. */
  give(out: Chunker, onEntries: (entries: number, bytes: number) => void): Promise<void>
  /** Lets go of everything, temporary files above all. Idempotent; never rejects. */
  drop(): Promise<void>
}

/**
 * Entries in any order. Values go to a spool; label and length of each, 16 bytes, stay in memory, and while the index
 * is written out 8 more: the order of the labels, and that of the rows.
 */
export class SpoolCollector implements Collector {
  readonly #spool: Spool
  readonly #duplicates: 'error' | 'first' | 'last'
  /** Entries at most, where that is known. */
  readonly #count: number | undefined
  #came = 0
  #low: Uint32Array
  #high: Uint32Array
  #lengths: Float64Array
  /** After the end of the input: the entries in the order of their rows. */
  #rows: Uint32Array | undefined
  #length = 0

  constructor(options: {
    memory: number
    dir: string | undefined
    duplicates: 'error' | 'first' | 'last'
    count: number | undefined
  }) {
    this.#spool = new Spool(options.memory, options.dir)
    this.#duplicates = options.duplicates
    this.#count = options.count
    const capacity = Math.min(options.count ?? 1024, 2 ** 16)
    this.#low = new Uint32Array(capacity)
    this.#high = new Uint32Array(capacity)
    this.#lengths = new Float64Array(capacity + 1)
  }

  get mode(): 'memory' | 'spool' {
    return this.#spool.file === undefined ? 'memory' : 'spool'
  }

  get size(): number {
    return this.#rows?.length ?? this.#came
  }

  get length(): number {
    return this.#length
  }

  get spooled(): number {
    return this.#spool.spooled
  }

  add(low: number, high: number, payload: Uint8Array, crc: Uint8Array | undefined): Promise<void> | undefined {
    const entry = this.#came
    if (entry === this.#low.length) this.#grow()
    this.#low[entry] = low
    this.#high[entry] = high
    this.#lengths[entry] = crc === undefined ? payload.length : payload.length + crc.length
    this.#came = entry + 1
    const turn = this.#spool.append(payload)
    if (crc === undefined) return turn
    return turn === undefined ? this.#spool.append(crc) : turn.then(() => this.#spool.append(crc))
  }

  #grow(): void {
    const { length } = this.#low
    if (length >= MAX_ROWS_IN_MEMORY) {
      const message = `An index of more than ${length} entries cannot be sorted in memory: give them sorted, and count`
      throw new MapBufferError('MILL_TOO_MANY', message, { limit: MAX_ROWS_IN_MEMORY })
    }
    const capacity = Math.min(2 * length, this.#count ?? MAX_ROWS_IN_MEMORY, MAX_ROWS_IN_MEMORY)
    this.#low = grown(this.#low, new Uint32Array(capacity))
    this.#high = grown(this.#high, new Uint32Array(capacity))
    this.#lengths = grown(this.#lengths, new Float64Array(capacity + 1))
  }

  async close(): Promise<void> {
    const order = sortLabels(this.#low, this.#high, this.#came)
    const rows = entriesInRowOrder(dropDuplicates(this.#low, this.#high, order, this.#duplicates))
    for (let i = 0; i < rows.length; i++) this.#length += this.#lengths[rows[i] as number] as number
    this.#rows = rows
    await this.#spool.flush()
  }

  async give(out: Chunker, onEntries: (entries: number, bytes: number) => void): Promise<void> {
    const rows = this.#rows as Uint32Array
    await giveRows(out, { low: this.#low, high: this.#high, lengths: this.#lengths }, rows)
    this.#low = this.#high = new Uint32Array(0)
    const starts = startsOf(this.#lengths, this.#came)
    if (this.#spool.file === undefined) await givePages(out, this.#spool, starts, rows, onEntries)
    else await giveWindows(out, this.#spool.file, this.#spool, starts, rows, onEntries)
  }

  async drop(): Promise<void> {
    await this.#spool.close()
  }
}

function grown<A extends Uint32Array | Float64Array>(from: A, to: A): A {
  to.set(from)
  return to
}

/** The lengths become, in place, where in the spool each entry begins; one more says where the last one ends. */
function startsOf(lengths: Float64Array, count: number): Float64Array {
  let start = 0
  for (let i = 0; i <= count; i++) {
    const length = lengths[i] as number
    lengths[i] = start
    start += length
  }
  return lengths
}

/** The index, chunk by chunk: it is never whole in memory. */
async function giveRows(out: Chunker, columns: Columns, rows: Uint32Array): Promise<void> {
  let offset = dataStart(rows.length)
  for (let row = 0; row < rows.length; ) {
    if (out.full) await out.turn()
    const free = out.free()
    const to = Math.min(rows.length, row + Math.floor(free.length / ROW_BYTES))
    offset = putRows(free, 0, columns, rows, row, to, offset)
    out.filled((to - row) * ROW_BYTES)
    row = to
  }
}

/** Values that are all in memory. */
async function givePages(
  out: Chunker,
  spool: Spool,
  starts: Float64Array,
  rows: Uint32Array,
  onEntries: (entries: number, bytes: number) => void,
): Promise<void> {
  const { pages, pageBytes } = spool
  for (let row = 0; row < rows.length; row++) {
    const entry = rows[row] as number
    const start = starts[entry] as number
    const end = starts[entry + 1] as number
    for (let at = start; at < end; ) {
      if (out.full) await out.turn()
      const inPage = at % pageBytes
      at += out.put(pages[Math.floor(at / pageBytes)] as Uint8Array, inPage, Math.min(pageBytes, inPage + end - at))
    }
    onEntries(1, end - start)
  }
}
