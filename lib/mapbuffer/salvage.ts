import type { ByteSource } from '../../types/byte-source.js'
import type { Label, ReadInput, SalvageOptions } from '../../types/mapbuffer.js'
import type { ReadableOf } from '../../types/source.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError, MapBufferError, type MillraceError } from '../base/errors.js'
import { sourceOf } from '../io/open.js'
import { type Batch, batchStream } from './batch-stream.js'
import { EntryReader, type ReadSettings, readOptions } from './entry.js'
import { dataStart, HEADER_BYTES, ROW_BYTES, readHeader, TWO32 } from './format.js'
import { indexWords } from './lookup.js'
import { readExactly } from './ordered-reads.js'
import { Pacer } from './pace.js'
import { PinnedSource } from './pinned-source.js'
import { problemOf } from './verify.js'
import { type Walked, walkEntries } from './walk-entries.js'

/** What an entry counts against the stream's mark besides its bytes. */
const ENTRY_WEIGHT = 64

/**
 * What can be saved of a damaged file whose header is readable: every entry with sane bounds and, in version 1, a right
 * checksum, that decodes, in file order, whatever the order of the labels. Where the header's count and the first offset
 * disagree, the rows between them decide which one is spoilt. All else is told to `onProblem`. A label may come twice
 * where the index is damaged: `new MapBufferWriter({ duplicates: 'first' })` makes a file of the rest.
 *
 * Uncompressed values are views of up to 1 MiB of neighbours that were read together. In version 0, which has no
 * checksums, an uncompressed value may be wrong without a sign.
 *
 * Throws `MILL_INVALID_ARGUMENT`; the stream fails with what is wrong with the header, what the source throws,
 * `MILL_CODEC_MISSING`, `MILL_CODEC_UNKNOWN`, `signal.reason`, and what `onProblem` throws.
 */
export function salvage<V = Uint8Array>(input: ReadInput, options: SalvageOptions<V> = {}): ReadableOf<[Label, V]> {
  const settings = readOptions<V>(options)
  const signal = checkSignal(options.signal)
  const { onProblem } = options
  if (onProblem !== undefined && typeof onProblem !== 'function') {
    throw new ArgumentError('options.onProblem', 'a function', onProblem)
  }
  const { source, owned } = sourceOf(input)
  const say = (error: MillraceError, position: number, label?: Label): void =>
    onProblem?.(problemOf(error, position, label))
  return batchStream((work) => salvaged(source, owned, settings, say, work.signal), { signal })
}

type Say = (error: MillraceError, position: number, label?: Label) => void

async function* salvaged<V>(
  source: ByteSource,
  owned: boolean,
  settings: ReadSettings<V>,
  say: Say,
  signal: AbortSignal,
): AsyncGenerator<Batch<[Label, V]>, void, undefined> {
  try {
    const file = new PinnedSource(source)
    const first = await file.read(0, HEADER_BYTES + ROW_BYTES, { signal })
    const found = readHeader(first, undefined)
    const byteLength = first.length < HEADER_BYTES + ROW_BYTES ? first.length : await file.measure(first.length, signal)
    const read = (offset: number, length: number): Promise<Uint8Array> => readExactly(file, { offset, length }, signal)
    const words = async (row: number, count: number): Promise<Uint32Array> =>
      indexWords(await read(HEADER_BYTES + (row - 1) * ROW_BYTES, count * ROW_BYTES))
    const size = await countRows(found.size, byteLength, words, say)
    const header = { ...found, size }
    const entry = new EntryReader<V>(header, settings)
    await entry.load()
    const pace = new Pacer()
    for await (const batch of walkEntries({ header, byteLength, bigint: settings.bigint, words, read }, entry)) {
      yield new Salvaged(batch, entry, say)
      const last = batch[batch.length - 1] as Walked
      if (pace.due(batch.length * ENTRY_WEIGHT + (last.stored?.byteLength ?? 0))) await pace.pause()
    }
  } finally {
    if (owned) await source.close?.()
  }
}

/** The entries of a batch that are whole; each is decoded when it is taken. */
class Salvaged<V> implements Batch<[Label, V]> {
  readonly #batch: readonly Walked[]
  readonly #entry: EntryReader<V>
  readonly #say: Say
  #at = 0
  weight = 0

  constructor(batch: readonly Walked[], entry: EntryReader<V>, say: Say) {
    this.#batch = batch
    this.#entry = entry
    this.#say = say
  }

  next(): [Label, V] | undefined {
    while (this.#at < this.#batch.length) {
      const { position, label, stored, fault } = this.#batch[this.#at++] as Walked
      if (stored === undefined) {
        this.#say(fault as MapBufferError, position, label)
        continue
      }
      let value: V
      try {
        value = this.#entry.decode(stored, position, label)
      } catch (error) {
        this.#say(error as MillraceError, position, label)
        continue
      }
      const { byteLength = stored.length } = value as { byteLength?: number }
      this.weight = ENTRY_WEIGHT + byteLength
      return [label, value]
    }
    return undefined
  }
}

type ReadWords = (row: number, count: number) => Promise<Uint32Array>

/**
 * How many rows there are. The header says so, and the first offset does: values begin right behind the index. Where
 * they disagree, the first row behind the shorter of the two indexes decides: if it has an offset that is none, values
 * begin there.
 */
async function countRows(said: number, byteLength: number, words: ReadWords, say: Say): Promise<number> {
  const room = Math.floor((byteLength - HEADER_BYTES) / ROW_BYTES)
  const offset = room >= 1 ? offsetIn(await words(1, 1), 0) : 0
  const implied = (offset - HEADER_BYTES) / ROW_BYTES
  const plausible = Number.isInteger(implied) && implied >= 1 && implied <= room
  if (!plausible || implied === said) {
    if (said > room) say(indexCut(said, byteLength), -1)
    else if (said > 0 && implied !== said) say(firstOffset(offset, said), -1)
    return said > room ? 0 : said
  }
  const most = Math.max(said, implied)
  const count = most <= room && (await isRow(Math.min(said, implied) + 1, most, byteLength, words)) ? most : 0
  const rows = count === 0 ? Math.min(said, implied) : count
  say(rows === said ? firstOffset(offset, said) : wrongCount(said, rows, byteLength), -1)
  return rows
}

/** Does a row of an index of `size` rows stand here? The bytes of values hardly ever have an offset that fits. */
async function isRow(row: number, size: number, byteLength: number, words: ReadWords): Promise<boolean> {
  const from = Math.max(1, row - 1)
  const found = await words(from, row - from + 1)
  const offset = offsetIn(found, row - from)
  const before = row > 1 ? offsetIn(found, 0) : 0
  // The row before may be the damaged one: then it is no measure.
  const least = before <= byteLength ? Math.max(before, dataStart(size)) : dataStart(size)
  return offset >= least && offset <= byteLength
}

function offsetIn(words: Uint32Array, i: number): number {
  return (words[4 * i + 3] as number) * TWO32 + (words[4 * i + 2] as number)
}

function indexCut(count: number, size: number): MapBufferError {
  const needed = dataStart(count)
  const message = `${count} rows need ${needed} bytes, there are ${size}: no value is left`
  return new MapBufferError('MILL_TRUNCATED_INDEX', message, { size, needed, count })
}

function wrongCount(count: number, rows: number, size: number): MapBufferError {
  const code = count > rows && dataStart(count) > size ? 'MILL_TRUNCATED_INDEX' : 'MILL_BAD_OFFSETS'
  return new MapBufferError(code, `The header counts ${count} rows, the index has ${rows}`, { count, expected: rows })
}

function firstOffset(offset: number, count: number): MapBufferError {
  const expected = dataStart(count)
  const message = `The first value begins at byte ${offset}, but the index ends at ${expected}`
  return new MapBufferError('MILL_BAD_OFFSETS', message, { offset, expected })
}
