import type { TableConfig } from '../../types/store.js'
import type { Format } from './bulk-messages.js'
import type { Duplicates } from './run-gather.js'

/*
 * What a bulk load's owner and its side process say to each other, besides what all side processes say.
 */

/** To it, once: JSON {@link BulkArguments}. Not at its start: a list of files may be longer than an argument can be. */
export const PLAN = 15
/** To it: bytes of the input, or whole records. */
export const DATA = 16
/** To it: there is no more. */
export const END = 17
/** From it: it begins to wait for the write lock of a map that is there. */
export const WAITING = 18
/** From it: it has the lock. */
export const LOCKED = 19
/** From it: room for so many bytes more, sequence is the count. */
export const CREDIT = 20
/** From it: all is ready, JSON {@link Sealed}. What follows happens as a whole or not at all. */
export const SEALED = 21

/** By what one sees whether it has happened, should the side process not live to tell. */
export interface Sealed {
  /** The data file that will be at the path … */
  readonly file?: string
  /** … or what will be in the folder's `meta` under {@link LOAD_KEY}. */
  readonly token?: string
  readonly result: BulkResult
}

/** Where a folder's `meta` has the token of the last load that was merged into it. */
export const LOAD_KEY = 'load'

/** What becomes of the folder: there is none · its map gets the records · it is swapped. */
export type LoadMode = 'new' | 'merge' | 'replace'

/** What is to be loaded. */
export interface BulkArguments {
  /** Absolute, without links. */
  readonly path: string
  readonly name: string
  readonly mode: LoadMode
  readonly config: TableConfig
  readonly format: Format
  /** Undefined: the input is sent. */
  readonly files?: readonly string[]
  readonly duplicates: Duplicates
  readonly skipBad: boolean
  readonly sorted: boolean
  readonly threads: number
  readonly memory: number
  /** Bytes of records that are sorted at a time, of runs that are kept, and of a piece; for tests. */
  readonly runBytes?: number
  readonly keptBytes?: number
  readonly pieceBytes?: number
  /** Where runs are spilled; undefined: next to the map. */
  readonly tempDir?: string
  readonly pageSize: number
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
  /** Maps that the folder may have. */
  readonly maxMaps: number
}

/** What the side process answers when it is done. */
export interface BulkResult {
  readonly records: number
  readonly duplicates: number
  readonly skipped: number
  readonly bytesIn: number
  readonly runs: number
  readonly spilledBytes: number
}
