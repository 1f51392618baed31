import type { ByteSource } from '../../types/byte-source.js'
import type { OpenOptions, ReadInput } from '../../types/mapbuffer.js'
import { abortable, checkSignal, onAbort } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { checkCount } from '../io/check.js'
import { coalesced } from '../io/coalesce.js'
import { sourceOf } from '../io/open.js'
import { rangeOptions } from '../io/plan.js'
import { ignore } from '../streams/machine.js'
import { EntryReader, type ReadSettings, readOptions } from './entry.js'
import { dataStart, MAX_ROWS_IN_MEMORY, readHeader } from './format.js'
import { type Opened, readFullIndex } from './full-index.js'
import { LazyIndex } from './lazy-index.js'
import type { Joining } from './ordered-reads.js'
import { PinnedSource } from './pinned-source.js'
import { MapBufferReader } from './remote.js'
import type { RowIndex } from './rows.js'

/** The first read: the header and 12 levels of the index. */
const READ_AHEAD = 65536
/** The first read is so many bytes or a multiple: rows are read in pages of this size. */
const PAGE = 1024
/** An index up to this size is read whole: in parts it would cost ten requests, to save 40 ms of a slow line. */
const WHOLE_INDEX = 524288
/** Rows that a lazy index keeps: a million. */
const INDEX_MEMORY = 2 ** 24
/** Pages of a lazy index that are at most so far apart are read together. */
const PAGE_GAP = 4096

interface OpenSettings<V> extends ReadSettings<V> {
  readonly index: 'auto' | 'full' | 'lazy'
  readonly readAhead: number
  readonly indexMemory: number
  readonly joining: Joining
}

function openSettings<V>(options: OpenOptions<V>): OpenSettings<V> {
  const read = readOptions(options)
  const { index = 'auto' } = options
  if (index !== 'auto' && index !== 'full' && index !== 'lazy') {
    throw new ArgumentError('options.index', "'auto', 'full' or 'lazy'", index)
  }
  const readAhead = checkCount(options.readAhead, 'options.readAhead', READ_AHEAD)
  return {
    ...read,
    index,
    readAhead: Math.max(PAGE, Math.ceil(Math.min(readAhead, 2 ** 30) / PAGE) * PAGE),
    indexMemory: checkCount(options.indexMemory, 'options.indexMemory', INDEX_MEMORY),
    joining: rangeOptions(options),
  }
}

/**
 * Opens a MapBuffer that lies somewhere: at a URL, in a file (Node), a Blob, memory, or a {@link ByteSource} of your
 * own. Reads its first 64 KiB, and of the index what `options.index` says. Values are read when they are asked for.
 *
 * Rejects with `MILL_INVALID_ARGUMENT`; with what is wrong with the header (`MILL_TRUNCATED_HEADER`, `MILL_BAD_MAGIC`,
 * `MILL_BAD_VERSION`, `MILL_BAD_COMPRESSION`, `MILL_TRUNCATED_INDEX`) and, unless `strict` is false, with the index as
 * far as it is read (`MILL_TRAILING_DATA`, `MILL_BAD_OFFSETS`, `MILL_TRUNCATED_DATA`, `MILL_BAD_ENTRY_LENGTH`,
 * `MILL_BAD_LABEL_ORDER`); with `MILL_TOO_MANY` for an index that can't be in memory whole; with what the source
 * throws; and with `signal.reason`. A source that was made for it is closed then.
 */
export async function openMapBuffer<V = Uint8Array>(
  input: ReadInput,
  options: OpenOptions<V> = {},
): Promise<MapBufferReader<V>> {
  const settings = openSettings(options)
  const signal = checkSignal(options.signal)
  const { source, owned } = sourceOf(input)
  const work = new AbortController()
  const forget = onAbort(signal, (reason) => work.abort(reason))
  try {
    signal?.throwIfAborted()
    return await abortable(connect(source, owned, settings, work.signal), work.signal)
  } catch (error) {
    work.abort(error)
    // Why it could not be opened matters more than how closing went.
    if (owned) await source.close?.().catch(ignore)
    throw error
  } finally {
    forget()
  }
}

async function connect<V>(
  source: ByteSource,
  owned: boolean,
  settings: OpenSettings<V>,
  signal: AbortSignal,
): Promise<MapBufferReader<V>> {
  const { readAhead, joining } = settings
  const pinned = new PinnedSource(source)
  const first = await pinned.read(0, readAhead, { signal })
  // The header is looked at first: a file that is none needs no measuring.
  readHeader(first, undefined)
  const byteLength = first.length < readAhead ? first.length : await pinned.measure(first.length, signal)
  const header = readHeader(first, byteLength)
  const file: Opened = { source: pinned, header, byteLength, first }
  const entry = new EntryReader<V>(header, settings)
  const index = await openIndex(file, entry, settings, signal)
  const values = coalesced(pinned, joining)
  return new MapBufferReader<V>({ ...file, original: source, owned, values, entry, settings, joining, index })
}

async function openIndex<V>(
  file: Opened,
  entry: EntryReader<V>,
  settings: OpenSettings<V>,
  signal: AbortSignal,
): Promise<RowIndex> {
  const { source, header, byteLength, first } = file
  const { joining, indexMemory } = settings
  const end = dataStart(header.size)
  const whole =
    settings.index === 'full' ||
    first.length >= end ||
    (settings.index === 'auto' && (end <= WHOLE_INDEX || (source.local === true && header.size <= MAX_ROWS_IN_MEMORY)))
  if (whole) return readFullIndex(file, settings, joining, signal)
  const pages = coalesced(source, { ...joining, gap: Math.min(joining.gap, PAGE_GAP) })
  const lazy = new LazyIndex({ pages, source, joining, header, byteLength, memory: indexMemory, first })
  if (settings.strict) lazy.checkKnown(entry)
  return lazy
}
