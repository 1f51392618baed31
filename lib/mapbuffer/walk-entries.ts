import type { Label } from '../../types/mapbuffer.js'
import type { MapBufferError } from '../base/errors.js'
import type { EntryReader } from './entry.js'
import { type Header, TWO32 } from './format.js'
import { ROW_WORDS } from './index-check.js'
import { joinLabel } from './label.js'

/** Neighbours in the file are read together up to so many bytes. A value that is larger is read by itself. */
const WINDOW_BYTES = 2 ** 20
/** Rows that are looked at together: 64 KiB of an index. */
const BLOCK_ROWS = 4096

/** A file whose entries are to be looked at one after the other. */
export interface EntrySource {
  readonly header: Header
  readonly byteLength: number
  /** Whether labels are given out as bigints. */
  readonly bigint: boolean
  /** The words of `count` rows, the first of which is `row`, counted from 1. */
  words(row: number, count: number): Uint32Array | Promise<Uint32Array>
  /** These bytes, whole. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>
}

/** An entry: its stored bytes, checksum included, or why it can't have any. */
export interface Walked {
  readonly position: number
  readonly label: Label
  readonly stored: Uint8Array | undefined
  readonly fault: MapBufferError | undefined
}

interface Place {
  readonly position: number
  readonly label: Label
  readonly offset: number
  readonly end: number
  readonly fault: MapBufferError | undefined
}

/** All entries in file order, in batches, with no more bytes at a time than a window or one value has. */
export async function* walkEntries(source: EntrySource, entry: EntryReader<unknown>): AsyncGenerator<Walked[]> {
  const { size } = source.header
  let before = 0
  for (let row = 1; row <= size; row += BLOCK_ROWS) {
    const count = Math.min(BLOCK_ROWS, size - row + 1)
    // One row more at the right: the next offset is where a value ends.
    const words = await source.words(row, Math.min(count + 1, size - row + 1))
    const places: Place[] = []
    for (let i = 0; i < count; i++) {
      const place = placeOf(source, entry, words, row, i, before)
      before = place.offset
      places.push(place)
    }
    for (let from = 0; from < count; ) {
      const to = endOfWindow(places, from)
      yield await readWindow(source, places, from, to)
      from = to
    }
  }
}

function placeOf(
  source: EntrySource,
  entry: EntryReader<unknown>,
  words: Uint32Array,
  row: number,
  i: number,
  before: number,
): Place {
  const at = i * ROW_WORDS
  const label = joinLabel(words[at] as number, words[at + 1] as number, source.bigint)
  const position = row - 1 + i
  const offset = offsetAt(words, i)
  const end = position + 1 < source.header.size ? offsetAt(words, i + 1) : source.byteLength
  let fault: MapBufferError | undefined
  try {
    entry.check(position, label, offset, end - offset, source.byteLength, before)
  } catch (error) {
    fault = error as MapBufferError
  }
  return { position, label, offset, end, fault }
}

/** Where the entries end that are read together with the first: the next ones, each of which begins where the one before it ends. */
function endOfWindow(places: readonly Place[], from: number): number {
  const first = places[from] as Place
  let to = from + 1
  if (first.fault !== undefined) {
    while (to < places.length && places[to]?.fault !== undefined) to++
    return to
  }
  for (; to < places.length; to++) {
    const next = places[to] as Place
    if (next.fault !== undefined || next.end - first.offset > WINDOW_BYTES) break
  }
  return to
}

async function readWindow(source: EntrySource, places: readonly Place[], from: number, to: number): Promise<Walked[]> {
  const first = places[from] as Place
  const last = places[to - 1] as Place
  const bytes = first.fault === undefined ? await source.read(first.offset, last.end - first.offset) : undefined
  const batch: Walked[] = []
  for (let i = from; i < to; i++) {
    const { position, label, offset, end, fault } = places[i] as Place
    const stored = bytes?.subarray(offset - first.offset, end - first.offset)
    batch.push({ position, label, stored, fault })
  }
  return batch
}

function offsetAt(words: Uint32Array, i: number): number {
  return (words[i * ROW_WORDS + 3] as number) * TWO32 + (words[i * ROW_WORDS + 2] as number)
}
