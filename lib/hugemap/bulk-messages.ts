import type { TableConfig } from '../../types/store.js'
import type { PackedError } from '../store/failure.js'
import type { JsonPath } from './bulk-json-path.js'
import type { Duplicates } from './run-gather.js'

/** What the records of an input look like, ready to be sent. `records`: encoded already, as in a run. */
export type Format =
  | { readonly type: 'tsv' | 'bin' | 'records' }
  /** Where key and value stand in the JSON of a line; `exactly` so many elements must its array have. */
  | { readonly type: 'json'; readonly key: JsonPath; readonly value: JsonPath; readonly exactly?: number }
  | { readonly type: 'module'; readonly url: string; readonly name: string }

/** How records are read and encoded; the same for all threads. */
export interface ParsePlan {
  readonly config: TableConfig
  readonly format: Format
  readonly duplicates: Duplicates
  readonly skipBad: boolean
  readonly sorted: boolean
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
  /** Bytes of records that are sorted at a time. */
  readonly runBytes: number
  /** Bytes read at a time. */
  readonly blockBytes: number
  /** For messages. */
  readonly path: string
  readonly name: string
}

/** A part of the input, read by one thread from its beginning to its end. */
export interface Piece {
  /** Pieces are numbered in the order of the input. */
  readonly index: number
  /** Which of the files it is part of, from 0. */
  readonly input: number
  /** Undefined: blocks are handed over, see `more`. */
  readonly file?: string
  /** Lines that begin behind `from` and not behind `to`; from 0 the first too. */
  readonly from: number
  readonly to: number
  /** Bytes that the file had when the plan was made; undefined where it can't be known. */
  readonly size?: number
  readonly packing?: 'gzip' | 'br' | 'zstd'
}

/** What the loading process says to a thread that parses. */
export type ToParser =
  | { readonly type: 'piece'; readonly piece: Piece }
  /** The run has been taken in. */
  | { readonly type: 'taken' }
  /** Undefined: there is no more. */
  | { readonly type: 'block'; readonly bytes: Uint8Array | undefined }

/** What such a thread says back. */
export type FromParser =
  | {
      readonly type: 'run'
      readonly bytes: Uint8Array<ArrayBuffer>
      readonly count: number
      readonly lastAt: number
      readonly duplicates: number
    }
  | { readonly type: 'read'; readonly bytes: number; readonly records: number }
  | { readonly type: 'more' }
  | { readonly type: 'done'; readonly skipped: number }
  | { readonly type: 'failed'; readonly error: PackedError }
