import { utf8 } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'

/** Bytes of a bad record that its error shows. */
const EXCERPT = 80

/** What is wrong with the record at hand; where it stands is known to whoever catches it. */
export class BadRecord extends Error {
  readonly reason: string

  constructor(reason: string, cause?: unknown) {
    super(reason, cause === undefined ? undefined : { cause })
    this.reason = reason
  }
}

/** Where a record stands. */
export interface Place {
  /** Undefined: it came by a stream. */
  readonly file: string | undefined
  /** From 1; 0 where there are no lines. */
  readonly line: number
  /** Its first byte in its (unpacked) file. */
  readonly offset: number
}

/** An error about one record, with its first 80 bytes. */
export function recordError(
  code: 'MILL_BAD_RECORD' | 'MILL_NOT_SORTED' | 'MILL_DUPLICATE_KEY',
  reason: string,
  { file, line, offset }: Place,
  record: Uint8Array,
  more: { readonly cause?: unknown; readonly key?: Uint8Array } = {},
): StoreError {
  const where = `${file ?? 'the stream'}${line > 0 ? `, line ${line}` : ''}, byte ${offset}`
  const excerpt = utf8(record, 0, Math.min(EXCERPT, record.length))
  return new StoreError(code, `${where}: ${reason}`, {
    reason,
    offset,
    excerpt,
    ...(file !== undefined && { file }),
    ...(line > 0 && { line }),
    ...more,
  })
}
