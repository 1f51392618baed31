import type { TableConfig } from '../../types/store.js'
import { StoreError } from '../base/errors.js'

/** What `meta` has under `format`: whose folder it is, and how it is laid out. */
const FORMAT_NAME = 'millrace-map'
const VERSION = 1
export const FORMAT_RECORD = JSON.stringify({ format: FORMAT_NAME, version: VERSION })

const decoder = new TextDecoder()

/** Is it a folder of maps, of this version or a later one? */
export function isOurs(record: Uint8Array | undefined): record is Uint8Array {
  const { format, version } = parse(record)
  return format === FORMAT_NAME && typeof version === 'number'
}

/** An error for a format that this version does not know. */
export function laterVersion(path: string, record: Uint8Array): StoreError | undefined {
  const { version } = parse(record)
  if (version === VERSION) return undefined
  const fields = { path, field: 'version', expected: VERSION, found: version }
  return new StoreError('MILL_MAP_MISMATCH', `${path} was written by another version of this library`, fields)
}

/** What `meta` has under `map:<name>`; undefined for what can't be read. */
export function parseConfig(record: Uint8Array): TableConfig | undefined {
  const { key, value, compress, checksum } = parse(record)
  const strings = typeof key === 'string' && typeof value === 'string' && typeof compress === 'string'
  return strings && typeof checksum === 'boolean' ? { key, value, compress, checksum } : undefined
}

function parse(record: Uint8Array | undefined): Record<string, unknown> {
  try {
    const parsed: unknown = record && JSON.parse(decoder.decode(record))
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
