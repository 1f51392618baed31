import type { Label, Problem, VerifyOptions, VerifyReport } from '../../types/mapbuffer.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError, type MillraceError } from '../base/errors.js'
import { checkCount } from '../io/check.js'
import { checkFlag, type EntryReader } from './entry.js'
import type { Header } from './format.js'
import { badOrder, layoutFault, ROW_WORDS, rowOutOfOrder } from './index-check.js'
import { joinLabel } from './label.js'
import { Pacer, Reporter } from './pace.js'
import { walkEntries } from './walk-entries.js'

/** Problems that a report lists unless `maxProblems` says otherwise. */
const MAX_PROBLEMS = 1000
/** Rows whose order is checked in one piece: 0.3 ms. */
const ORDER_ROWS = 65536

/** A file with its index in memory. */
export interface Verifiable {
  readonly header: Header
  readonly byteLength: number
  /** The whole index, four words a row. */
  readonly words: Uint32Array
  readonly entry: EntryReader<unknown>
  /** Whether labels are given out as bigints. */
  readonly bigint: boolean
  /** These bytes, whole; asked for in file order, up to 1 MiB of neighbours at a time. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>
}

/** What `verify()` of every kind of map does. */
export async function verifyMap(map: Verifiable, options: VerifyOptions = {}): Promise<VerifyReport> {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const { decode = false, onProgress } = options
  const signal = checkSignal(options.signal)
  checkFlag(decode, 'options.decode')
  const maxProblems = checkCount(options.maxProblems, 'options.maxProblems', MAX_PROBLEMS)
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new ArgumentError('options.onProgress', 'a function', onProgress)
  }
  signal?.throwIfAborted()
  const { header, byteLength, words, entry } = map
  // A codec that is not there is no fault of the file.
  if (decode) await entry.load()
  const list = new ProblemList(maxProblems)
  const pace = new Pacer()
  const giveWay = async (): Promise<void> => {
    await pace.pause()
    signal?.throwIfAborted()
  }
  const layout = layoutFault(words, header, byteLength)
  if (layout !== undefined) list.add(layout, -1)
  for (let from = 1; from <= header.size; from += ORDER_ROWS) {
    const to = Math.min(header.size, from + ORDER_ROWS - 1)
    for (let row = rowOutOfOrder(words, from, to); row !== 0; row = rowOutOfOrder(words, row + 1, to)) {
      list.add(badOrder(words, row), row - 1, labelOf(words, row, map.bigint))
      // An error takes far longer than a row that is right.
      if (pace.due(0)) await giveWay()
    }
    if (pace.due(4 * ORDER_ROWS)) await giveWay()
  }
  const reporter = new Reporter(onProgress)
  reporter.begin('verify', header.size)
  const rows = (row: number, count: number) => words.subarray((row - 1) * ROW_WORDS, (row - 1 + count) * ROW_WORDS)
  const source = { header, byteLength, bigint: map.bigint, words: rows, read: map.read }
  for await (const batch of walkEntries(source, entry)) {
    signal?.throwIfAborted()
    for (const { position, label, stored, fault } of batch) {
      const found = stored === undefined ? fault : entryFault(entry, stored, position, label, decode)
      if (found !== undefined) list.add(found, position, label)
      const bytes = stored?.length ?? 0
      reporter.add(1, bytes)
      if (pace.due(bytes)) {
        reporter.tick()
        await giveWay()
      }
    }
  }
  reporter.end()
  return { ok: list.count === 0, entries: header.size, bytes: byteLength, problems: list.problems }
}

/** What is wrong with the stored bytes of an entry: its checksum is looked at whatever the options of the map say. */
function entryFault(
  entry: EntryReader<unknown>,
  stored: Uint8Array,
  position: number,
  label: Label,
  decode: boolean,
): MillraceError | undefined {
  try {
    if (entry.header.version === 1) entry.checkCrc(stored, position, label)
    if (decode) entry.decode(stored, position, label, true)
    return undefined
  } catch (error) {
    return error as MillraceError
  }
}

/** Counts all problems, keeps the first ones. */
class ProblemList {
  readonly problems: Problem[] = []
  readonly #most: number
  count = 0

  constructor(most: number) {
    this.#most = most
  }

  add(error: MillraceError, position: number, label?: Label): void {
    this.count++
    if (this.problems.length < this.#most) this.problems.push(problemOf(error, position, label))
  }
}

/** An error as an entry of a report. */
export function problemOf({ code, message }: MillraceError, position: number, label?: Label): Problem {
  return label === undefined ? { position, code, message } : { position, label, code, message }
}

function labelOf(words: Uint32Array, row: number, bigint: boolean): Label {
  const at = (row - 1) * ROW_WORDS
  return joinLabel(words[at] as number, words[at + 1] as number, bigint)
}
