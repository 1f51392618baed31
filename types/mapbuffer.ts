import type { ByteSource, RangeOptions } from './byte-source.js'
import type { BytesLike } from './bytes.js'
import type { Codec, CompressionName, Serializer } from './codec.js'
import type { ErrorCode } from './errors.js'
import type { Progress } from './progress.js'

/**
 * What a value is found by: 0 … 2^64−1. A number must be a safe integer, anything else is `MILL_BAD_LABEL`. Labels that
 * are given out are numbers up to 2^53−1 and bigints above, or always bigints with the option `bigint`.
 */
export type Label = number | bigint

/** A `Map`, pairs, or a plain object, whose keys are labels in decimal. */
export type Entries<V> = Iterable<readonly [Label, V]> | Readonly<Record<string, V>>

/** A range of labels; without `from` and `to` it is all of them. */
export interface LabelRange {
  /** The least label, itself included. */
  from?: Label
  /** Where it ends; this label itself is left out. */
  to?: Label
  /** The greatest label first. */
  reverse?: boolean
}

/** Where the stored bytes of an entry are; the checksum behind them (version 1) is not counted. */
export interface Location {
  /** Row in the file, from 0. */
  readonly position: number
  /** Bytes from the beginning of the file. */
  readonly offset: number
  /** Bytes as stored, that is compressed if the file is. */
  readonly length: number
}

/**
 * Bytes to read from. A string that begins with `http://` or `https://` is fetched; other strings are paths in Node and
 * relative URLs in a browser.
 */
export type ReadInput = string | URL | Blob | BytesLike | ByteSource

/** How all readers of MapBuffer files read. */
export interface MapBufferReadOptions<V = Uint8Array> {
  /** Makes values of bytes, after decompression. Default: the bytes themselves. */
  serializer?: Serializer<V>
  /**
   * Every fault that the index can show is an error at opening; default true. With false the file opens as long as
   * header and index are there, and each read still checks the bounds of its own entry.
   */
  strict?: boolean
  /** Check the checksum of each value of a version 1 file; default true. */
  crc?: boolean
  /** Give out all labels as bigints; default false: numbers up to 2^53−1, bigints above. */
  bigint?: boolean
  /**
   * `'search'` keeps no memory besides the index; `'hash'` builds a hash at the first lookup, of 18 to 36 bytes per
   * entry; `'auto'`, the default, builds it once about half as many lookups have been made as there are entries.
   */
  lookup?: 'auto' | 'search' | 'hash'
  /** Bytes a value may have, both as stored and as decoded, else `MILL_TOO_LARGE`; default 256 MiB. */
  maxValueBytes?: number
}

/** How values are put into a MapBuffer file. */
export interface MapBufferWriteOptions<V = BytesLike> {
  /** Each value is compressed by itself; default `'none'`. */
  compress?: CompressionName | Codec
  /** How hard to compress. Default: gzip 9, br 5, zstd 3, lzma 6. */
  level?: number
  /** True, the default, writes version 1, where each value has its checksum; false writes version 0. */
  crc?: boolean
  /** Makes bytes of values, before compression. Without one values must be bytes. */
  serializer?: Serializer<V>
  /** Which entry stays when a label comes twice; default `'error'`: `MILL_DUPLICATE_LABEL`. */
  duplicates?: 'error' | 'first' | 'last'
}

/** How a MapBuffer file is opened. `signal` is for the opening alone. */
export interface OpenOptions<V = Uint8Array> extends MapBufferReadOptions<V>, RangeOptions {
  /** Ends the opening with `signal.reason`. */
  signal?: AbortSignal
  /**
   * Whether the whole index is read at once. Default `'auto'`: `'full'` for local sources and for indexes up to
   * 512 KiB, else `'lazy'`: rows are read when a lookup needs them.
   */
  index?: 'auto' | 'full' | 'lazy'
  /** Bytes of the first read, rounded up to 1 KiB; default 64 KiB, which are the header and 12 levels of the index. */
  readAhead?: number
  /** Bytes of rows that a lazy index keeps; default 16 MiB. */
  indexMemory?: number
}

/** How an IntMap is read. */
export interface IntMapOptions {
  /** Bytes behind the last row, and labels out of order, are an error at opening; default true. */
  strict?: boolean
  /** Give out all labels and values as bigints; default false: numbers up to 2^53−1, bigints above. */
  bigint?: boolean
  /** As in {@link MapBufferReadOptions.lookup}. */
  lookup?: 'auto' | 'search' | 'hash'
}

/** How a MapBuffer file is written as a stream. */
export interface WriterOptions<V = BytesLike> extends MapBufferWriteOptions<V> {
  /** Ends the stream with `signal.reason`. */
  signal?: AbortSignal
  /** Labels come in ascending order, else `MILL_NOT_SORTED`; default false. */
  sorted?: boolean
  /** So many entries come, else `MILL_COUNT_MISMATCH`. Together with `sorted` memory stays constant. */
  count?: number
  /** Bytes of stored values that are kept in memory before a temporary file is made; default 64 MiB. */
  memory?: number
  /** The folder of temporary files; default `os.tmpdir()`. */
  dir?: string
  /** Called at most every 100 ms, in the phases `'take'` and `'write'`. */
  onProgress?: (progress: Progress) => void
}

/** What a writer has done so far. */
export interface WriterStats {
  /** `'memory'` until a temporary file is made (`'spool'`); `'levels'` for sorted input whose count is known. */
  readonly mode: 'memory' | 'spool' | 'levels'
  /** Entries taken. */
  readonly entries: number
  /** Bytes given out. */
  readonly bytes: number
  /** Bytes written to temporary files. */
  readonly spooled: number
}

/** How a MapBuffer file is read as it passes by. */
export interface ParserOptions<V = Uint8Array> extends MapBufferReadOptions<V> {
  /** Ends the stream with `signal.reason`. */
  signal?: AbortSignal
  /** Only entries with these labels are given out; the bytes of the others are dropped unread. */
  labels?: Iterable<Label>
  /** Bytes an index may have, else `MILL_TOO_LARGE`; default 256 MiB. */
  maxIndexBytes?: number
}

/** What the first 16 bytes of a MapBuffer file say. */
export interface MapBufferHeader {
  /** 1: each value is followed by its checksum. */
  readonly version: 0 | 1
  /** How each value is compressed. */
  readonly compression: CompressionName
  /** Number of entries. */
  readonly size: number
}

/** One fault of a file. */
export interface Problem {
  /** Row of the entry, from 0; −1: the file as a whole. */
  readonly position: number
  /** Label of the entry. */
  readonly label?: Label
  readonly code: ErrorCode
  readonly message: string
}

/** What `verify()` found. */
export interface VerifyReport {
  /** Nothing is wrong; right also when more problems were found than are listed. */
  readonly ok: boolean
  /** Entries that were looked at. */
  readonly entries: number
  /** Bytes of the file. */
  readonly bytes: number
  /** Faults of the structure first, then those of entries in file order, at most one each. */
  readonly problems: readonly Problem[]
}

/** How `verify()` works. */
export interface VerifyOptions {
  /** Ends it with `signal.reason`. */
  signal?: AbortSignal
  /** Decompress and deserialize each value too; default false. */
  decode?: boolean
  /** Problems that are listed; default 1000. */
  maxProblems?: number
  /** Called at most every 100 ms, in the phase `'verify'`. */
  onProgress?: (progress: Progress) => void
}

/** How `salvage()` works. */
export interface SalvageOptions<V = Uint8Array>
  extends Pick<MapBufferReadOptions<V>, 'serializer' | 'maxValueBytes' | 'bigint'> {
  /** Ends the stream with `signal.reason`. */
  signal?: AbortSignal
  /** Told about each entry that is left out, and each fault of the structure. An error it throws ends the stream. */
  onProblem?: (problem: Problem) => void
}

/** How maps are merged into a new file. */
export interface MergeOptions<V> extends Omit<WriterOptions<V>, 'duplicates' | 'sorted' | 'count'> {
  /**
   * Which entry stays when several maps have the label: first and last in the order of the maps; or a function that
   * makes one value of them all. Default `'error'`: `MILL_DUPLICATE_LABEL`.
   */
  duplicates?: 'error' | 'first' | 'last' | ((label: Label, values: V[]) => V)
  /** False leaves the label out. */
  select?: (label: Label) => boolean
}
