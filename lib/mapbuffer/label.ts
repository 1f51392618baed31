import type { Entries, Label } from '../../types/mapbuffer.js'
import { ArgumentError, describe, MapBufferError } from '../base/errors.js'
import { TWO32 } from './format.js'

/** A bigint is split through shared memory: 54 ns against 110 by shifts. Its halves lie in the order of the host. */
const WHOLE = new BigUint64Array(1)
const HALVES = new Uint32Array(WHOLE.buffer)
/** The host has the low half of a number first. Files have; big-endian hosts have not. */
export const LITTLE_ENDIAN = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1
const LOW = LITTLE_ENDIAN ? 0 : 1
const HIGH = 1 - LOW

/** The greatest label that is given out as a number has this high half. */
const MAX_SAFE_HIGH = 0x1fffff

/** Puts the low half of a label into `out[0]` and the high half into `out[1]`. Throws `MILL_BAD_LABEL`. */
export function splitLabel(label: unknown, out: Uint32Array): void {
  if (typeof label === 'number' && Number.isSafeInteger(label) && label >= 0) {
    out[0] = label
    out[1] = label / TWO32
    return
  }
  if (typeof label === 'bigint') {
    WHOLE[0] = label
    // What does not fit is cut to 64 bits without a word: compare.
    if (WHOLE[0] === label) {
      out[0] = HALVES[LOW] as number
      out[1] = HALVES[HIGH] as number
      return
    }
  }
  throw badLabel(label)
}

/** The label of two halves: a number up to 2^53−1 unless `bigint`, else a bigint. */
export function joinLabel(low: number, high: number, bigint: boolean): Label {
  if (!bigint && high <= MAX_SAFE_HIGH) return high * TWO32 + low
  HALVES[LOW] = low
  HALVES[HIGH] = high
  return WHOLE[0] as bigint
}

/** Below 0, 0 or above 0, as the first label is below, equal to or above the second. */
export function compareHalves(low: number, high: number, otherLow: number, otherHigh: number): number {
  return high === otherHigh ? low - otherLow : high - otherHigh
}

/** What was given is no label. */
export function badLabel(label: unknown): MapBufferError {
  const message = `A label must be a safe integer >= 0 or a bigint from 0 to 2^64-1, got ${describe(label)}`
  return new MapBufferError('MILL_BAD_LABEL', message, { label })
}

/** Throws `MILL_INVALID_ARGUMENT` for what is not iterable; the labels are looked at when they are taken. */
export function checkLabels(labels: Iterable<Label>, argument = 'labels'): void {
  if (typeof (labels as Partial<Iterable<Label>> | null | undefined)?.[Symbol.iterator] === 'function') return
  throw new ArgumentError(argument, 'an iterable of labels', labels)
}

/** The pairs of a `Map`, of any iterable of pairs, or of a plain object with decimal keys. Throws `MILL_INVALID_ARGUMENT`, `MILL_BAD_LABEL`. */
export function* pairsOf<V>(entries: Entries<V>): Generator<readonly [Label, V]> {
  if (typeof entries !== 'object' || entries === null) throw noEntries(entries)
  if (Symbol.iterator in entries) {
    for (const pair of entries as Iterable<readonly [Label, V]>) {
      if (!Array.isArray(pair) || pair.length !== 2) throw new ArgumentError('an entry', 'a pair [label, value]', pair)
      yield pair as unknown as readonly [Label, V]
    }
    return
  }
  if (Symbol.asyncIterator in entries) throw noEntries(entries)
  for (const key of Object.keys(entries)) yield [labelOfKey(key), (entries as Record<string, V>)[key] as V]
}

function noEntries(entries: unknown): ArgumentError {
  return new ArgumentError('entries', 'a Map, an iterable of pairs, or an object with labels as keys', entries)
}

/** A label in decimal. Only the one way in which it is usually written, so that no two keys are the same label. */
function labelOfKey(key: string): Label {
  const number = Number(key)
  if (Number.isSafeInteger(number) && number >= 0 && String(number) === key) return number
  // BigInt() takes spaces, signs and other bases, too; only the decimal form comes back as it was.
  if (key.length > 20 || !isDecimal(key)) throw badLabel(key)
  const label = BigInt(key)
  if (String(label) !== key || BigInt.asUintN(64, label) !== label) throw badLabel(key)
  return label
}

function isDecimal(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 48 || code > 57) return false
  }
  return text.length > 0
}
