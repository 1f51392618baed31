import { unpackParts } from './frames.js'

/** Keys of records in a folder's `meta`. */
export const WRITER_KEYS = 'writer:'

export const recordKey = (writer: string): string => WRITER_KEYS + writer

/** What a side process writes down within each transaction, so that its owner can tell what was committed. */
export interface WriterRecord {
  /** Of the last request in that transaction. */
  readonly sequence: number
  /** Milliseconds since 1970. */
  readonly time: number
  /** Of the requests of that transaction, in order. Views. */
  readonly results: Uint8Array[]
}

/** Its key (UTF-8 of {@link recordKey}), then what stands under it: `f64 sequence · f64 time · results`, packed as in a `DONE` frame. */
export function makeRecord(key: Uint8Array, sequence: number, results: Uint8Array): Uint8Array {
  const record = new Uint8Array(key.length + 16 + results.length)
  const view = new DataView(record.buffer)
  record.set(key)
  view.setFloat64(key.length, sequence, true)
  view.setFloat64(key.length + 8, Date.now(), true)
  record.set(results, key.length + 16)
  return record
}

export function readRecord(record: Uint8Array): WriterRecord {
  const view = new DataView(record.buffer, record.byteOffset, record.length)
  return {
    sequence: view.getFloat64(0, true),
    time: view.getFloat64(8, true),
    results: unpackParts(record.subarray(16)),
  }
}
