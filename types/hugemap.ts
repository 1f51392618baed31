import type { Codec, CompressionName, Serializer } from './codec.js'
import type { KeyCodec } from './key.js'
import type { Progress } from './progress.js'
import type { Source } from './source.js'

/** The built-in key codecs: any {@link Key}; text but not `''`; bytes but not none; unsigned 64-bit integers. */
export type KeyCodecName = 'any' | 'string' | 'bytes' | 'u64'

/** The built-in value serializers. Those of numbers are little-endian, `i64` and `u64` give bigints. */
export type SerializerName =
  | 'msgpack'
  | 'json'
  | 'v8'
  | 'string'
  | 'bytes'
  | 'f32'
  | 'f64'
  | 'i32'
  | 'u32'
  | 'i64'
  | 'u64'

/**
 * How a map keeps keys and values. Fixed when the map is created; later it may be left out or be equal, anything else is
 * `MILL_MAP_MISMATCH`. A codec of your own is known by its name and has to be given each time.
 */
export interface MapOptions<K, V> {
  /** Default `'any'`: numbers < bigints < strings < bytes < tuples, each sorted by value. */
  key?: KeyCodecName | KeyCodec<K>
  /** Default `'msgpack'`, which keeps Date, Map, Set, bigint and typed arrays. */
  value?: SerializerName | Serializer<V>
  /** Values from 512 bytes up are compressed, each by itself, where that makes them smaller. Default `'none'`. */
  compress?: CompressionName | Codec
  /** A CRC-32C of key and value is kept with every value, and checked when it is read. Default true. */
  checksum?: boolean
}

/** How a map is opened by this handle. */
export interface HugeMapOptions<K, V> extends MapOptions<K, V> {
  /** Which map of the folder, up to 200 bytes of UTF-8; default `''`. */
  name?: string
  /** Create folder and map where they aren't there; default true, false for `readonly`. Else `MILL_MAP_MISSING`. */
  create?: boolean
  /** Nothing is written, locked or started; writing methods are `MILL_READ_ONLY`. Default false. */
  readonly?: boolean
  /**
   * Who writes. Default `'process'`: a side process, so that the event loop never waits. `'inline'`: this thread, which
   * then waits for the write lock and the disk; only on the main thread.
   */
  writer?: 'process' | 'inline'
  /**
   * Default true: what was acknowledged survives a power cut. False: it survives the crash of any process, but not of
   * the machine, after which the whole map may be lost.
   */
  durable?: boolean
  /**
   * What is set is decoded again and compared, and refused with `MILL_FIDELITY` if it came back different. Default
   * `'first'`: the first 16 values that this handle sets.
   */
  verify?: 'first' | 'always' | 'off'
  /** Milliseconds without the write lock after which writes are rejected with `MILL_LOCKED`; default 30,000. */
  lockTimeoutMs?: number
  /** Bytes of writes that may wait for the disk; above, `MILL_BACKLOG`. Default 64 MiB. Streams wait instead. */
  maxPendingBytes?: number
  /** Bytes a value may have, stored and decompressed; default 256 MiB. Else `MILL_TOO_LARGE`. */
  maxValueBytes?: number
  /** Bytes of a page when the folder is created; default 4,096. 8,192 suits values over 1 KB and longer keys. */
  pageSize?: 4096 | 8192 | 16384
  /** Maps a folder may have; default 64. */
  maxMaps?: number
  /** Gives up waiting to open, with `signal.reason`. */
  signal?: AbortSignal
}

/** What keys can begin with: of a tuple its first elements. */
export type Prefix<K> = K extends readonly [...infer Head, unknown] ? K | Prefix<Head> : K

/** Part of a map, in key order. Bounds need not be keys that are there. */
export interface Range<K> {
  gt?: K
  gte?: K
  lt?: K
  lte?: K
  /** Keys that begin so: the first characters of a string, the first bytes, or the first elements of a tuple. */
  prefix?: Prefix<K>
  /** The last key first. */
  reverse?: boolean
  /** Entries at most. */
  limit?: number
}

/** How a range is streamed. */
export interface StreamRange {
  /** Entries of a batch at most; default 256. */
  maxItems?: number
  /**
   * Default false: one snapshot from the first item to the last, for which the file keeps its old pages. True: each
   * batch sees the newest state and goes on after the last key, for walks of hours.
   */
  live?: boolean
  /** Ends the stream with `signal.reason`. */
  signal?: AbortSignal
}

/**
 * The reading half of a map. Values are yours: nothing is shared with the map, except where it says so. Iterators take
 * their snapshot at the first `next()`; leaving a `for` loop closes them, who calls `next()` by hand calls `return()`.
 */
export interface ReadableMap<K, V> extends Iterable<[K, V]> {
  /** The value, undefined where there is none. Throws `MILL_BAD_KEY`, `MILL_BAD_CRC`, `MILL_DECODE`. */
  get(key: K): V | undefined
  has(key: K): boolean
  entries(range?: Range<K>): IterableIterator<[K, V]>
  keys(range?: Range<K>): IterableIterator<K>
  values(range?: Range<K>): IterableIterator<V>
  /** Entries of a range; walks it, decoding nothing. */
  count(range?: Range<K>): number
  forEach(fn: (value: V, key: K, map: this) => void): void
}

/** One state of a map. While it is open its pages are kept: the file grows as others write. */
export interface Snapshot<K, V> extends ReadableMap<K, V>, Disposable {
  readonly size: number
  /** Idempotent; reading afterwards is `MILL_CLOSED`. */
  close(): void
}

/** What `stats()` tells. */
export interface MapStats {
  /** Entries of this map, as `size`. */
  readonly entries: number
  /** Bytes of the data file, all maps together; 0 in memory. */
  readonly fileBytes: number
  /** Maps of the folder. */
  readonly maps: number
  /** Readers of all processes; 0 in memory. */
  readonly readers: number
  /** Bytes of writes that are not on the disk yet. */
  readonly pendingBytes: number
  readonly writer: 'none' | 'idle' | 'waiting' | 'writing'
  /** How often the side process was started again. */
  readonly restarts: number
  /** Counts the transactions of all processes. */
  readonly transactionId: number
}

/** What `HugeMap.check` found. */
export interface CheckReport {
  readonly ok: boolean
  /** Per map: entries that it says it has, entries that were counted, bytes of their keys and values. */
  readonly maps: readonly {
    readonly name: string
    readonly entries: number
    readonly counted: number
    readonly bytes: number
  }[]
  readonly problems: readonly {
    readonly map: string
    /** The encoded key. */
    readonly key?: Uint8Array
    readonly code: string
    readonly message: string
  }[]
  /** The signal that ended the checking process: the file is damaged. */
  readonly signal?: string
}

/** Files; or one stream of bytes, with `format`; or pairs, without. */
export type LoadSource<K, V> = string | readonly string[] | Source<Uint8Array> | Source<readonly [K, V]>

/** What the records of an input look like. */
export type LoadFormat =
  /** `key TAB value` a line; the first TAB counts. */
  | { type: 'tsv' }
  /** An object a line; `key` and `value` are paths such as `a.b[0].c`; without `value` it is the whole object. */
  | { type: 'ndjson'; key: string; value?: string }
  /** `[key, value]` a line, with paths into either. */
  | { type: 'tuple2'; key?: string; value?: string }
  /** u64 length, key, u64 length, value; little-endian. */
  | { type: 'bin' }
  /** A module's export `(record: Uint8Array) => [K, V] | undefined`, run per line in the threads; default `default`. */
  | { type: 'module'; url: URL; name?: string }

export interface LoadOptions<K, V> extends MapOptions<K, V> {
  /** Which map of the folder; default `''`. */
  name?: string
  /** Needed for files and byte streams. */
  format?: LoadFormat
  /** Swap an existing folder for the new one; default false: merge into it, in one transaction. */
  replace?: boolean
  /** Which of equal keys stays, in the order of the input; default `'last'`. `'error'`: `MILL_DUPLICATE_KEY`. */
  duplicates?: 'last' | 'first' | 'error'
  /** Default `'error'`: `MILL_BAD_RECORD`. `'skip'` counts them. */
  badRecords?: 'error' | 'skip'
  /** Each input is in key order; checked, `MILL_NOT_SORTED`. Default false. */
  sorted?: boolean
  /** Threads that parse; default: cores, at most 16. */
  threads?: number
  /** Bytes of records in memory before they are spilled; default 1 GiB, at most a quarter of the free memory. */
  memory?: number
  /** Where to spill; default: next to the map. */
  tempDir?: string
  onProgress?: (progress: Progress) => void
  signal?: AbortSignal
  /** Bytes of a page when the folder is created; default 4,096. */
  pageSize?: number
}

export interface LoadStats {
  /** Entries written. */
  readonly records: number
  readonly duplicates: number
  /** Bad records that were left out. */
  readonly skipped: number
  readonly bytesIn: number
  readonly fileBytes: number
  /** Sorted runs that were merged. */
  readonly runs: number
  readonly spilledBytes: number
  readonly elapsedMs: number
}
