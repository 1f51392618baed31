import { allocate } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { copyWords, RECORD_HEADER, type Records, recordSize, wordsOf } from './run-records.js'

/** Which of equal keys stays. */
export type Duplicates = 'last' | 'first' | 'error'

/** Records in key order, each key once, in memory of their own. */
export interface Run {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly count: number
  /** Where the last record begins. */
  readonly lastAt: number
  /** Records that were left out for one of equal key. */
  readonly duplicates: number
}

/**
 * Copies records in this order into a run, in one pass. In memory in key order they are merged at the speed of reading;
 * through an order beside them each record would be a cache miss (0.6 µs). Throws `MILL_DUPLICATE_KEY` where that is the
 * policy.
 */
export function gather(records: Records, order: Uint32Array, policy: Duplicates): Run {
  const { words } = records
  const bytes = allocate(records.length)
  const target = wordsOf(bytes)
  let at = 0
  let last = -1
  let count = 0
  for (let i = 0; i < order.length; i++) {
    const start = order[i] as number
    if (last >= 0 && isSameKey(records, start, bytes, target, last)) {
      if (policy === 'first') continue
      if (policy === 'error') throw duplicateKey(keyAt(records, start))
      at = last
    } else {
      last = at
      count++
    }
    const size = recordSize(words[start] as number, words[start + 1] as number) >>> 2
    copyWords(words, start, target, at, size)
    at += size
  }
  const run = bytes.subarray(0, at << 2)
  return {
    // Most of the memory would be held for nothing.
    bytes: run.length < bytes.length / 2 ? run.slice() : run,
    count,
    lastAt: Math.max(0, last) << 2,
    duplicates: order.length - count,
  }
}

/** Has the record the key of the one at this word of the run? From the end: neighbours in order differ there. */
function isSameKey(records: Records, start: number, run: Uint8Array, words: Uint32Array, last: number): boolean {
  const { bytes } = records
  const length = records.words[start] as number
  if (words[last] !== length) return false
  const at = (start << 2) + RECORD_HEADER
  const lastAt = (last << 2) + RECORD_HEADER
  for (let i = length - 1; i >= 0; i--) if (bytes[at + i] !== run[lastAt + i]) return false
  return true
}

function keyAt({ bytes, words }: Records, start: number): Uint8Array {
  const at = (start << 2) + RECORD_HEADER
  return bytes.slice(at, at + (words[start] as number))
}

/** A key that came twice. `key` is the encoded key. */
export function duplicateKey(key: Uint8Array): StoreError {
  return new StoreError('MILL_DUPLICATE_KEY', 'A key comes twice in the input', { key })
}
