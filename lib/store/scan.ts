import type { ByteEntry, ByteRange, LocalTable, ScanOptions } from '../../types/store.js'
import { ArgumentError, StoreError } from '../base/errors.js'

/** The first `length` bytes, as memory of their own. The array's own length is not asked: that of LMDB's is a lie. */
export function copyOf(bytes: Uint8Array, length: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, length).slice()
}

/** `StoreTable.scan` over what is read synchronously. */
export async function* scanLocal(
  table: LocalTable,
  range: ByteRange,
  { maxItems, values, signal }: ScanOptions,
): AsyncGenerator<ByteEntry[]> {
  if (!(Number.isSafeInteger(maxItems) && maxItems > 0)) {
    throw new ArgumentError('options.maxItems', 'an integer of 1 or more', maxItems)
  }
  signal?.throwIfAborted()
  const cursor = table.cursor(range)
  try {
    let more = true
    while (more) {
      signal?.throwIfAborted()
      const batch: ByteEntry[] = []
      while (batch.length < maxItems) {
        more = cursor.next()
        if (!more) break
        const value = values ? copyOf(cursor.value, cursor.valueLength) : undefined
        batch.push([copyOf(cursor.key, cursor.keyLength), value])
      }
      if (batch.length > 0) yield batch
    }
  } finally {
    cursor.close()
  }
}

/** Throws `MILL_BAD_KEY` for a length that no key has. */
export function checkKeyLength(length: number, limit: number): void {
  if (length > 0 && length <= limit) return
  const reason = length === 0 ? 'it has no bytes' : 'it is too long'
  const message = `Not a key: ${reason} (${length} bytes, of at most ${limit})`
  throw new StoreError('MILL_BAD_KEY', message, { reason, length, limit })
}

const encoder = new TextEncoder()
const MOST_NAME = 200

/** Throws `MILL_INVALID_ARGUMENT` for what is no name of a table. */
export function checkTableName(name: string): string {
  if (typeof name !== 'string' || encoder.encode(name).length > MOST_NAME || name.includes('\0')) {
    throw new ArgumentError('name', `a text of at most ${MOST_NAME} bytes without NUL`, name)
  }
  return name
}
