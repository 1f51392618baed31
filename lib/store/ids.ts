import type { TableConfig } from '../../types/store.js'

/** Ids of the two tables that are no maps; those of maps are {@link FIRST_MAP} and up. */
export const META_TABLE = 0
export const LEASE_TABLE = 1
export const FIRST_MAP = 2
/** Of tables that hold bytes as they are. */
export const PLAIN_CONFIG: TableConfig = { key: 'bytes', value: 'bytes', compress: 'none', checksum: false }
