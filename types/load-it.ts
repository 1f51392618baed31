import type { Codec, CompressionName, Serializer } from './codec.js'
import type { ErrorCode } from './errors.js'
import type { Progress } from './progress.js'
import type { ReadableOf, Source } from './source.js'

export interface ReadOptions {
  /** Gives up with `signal.reason`. */
  signal?: AbortSignal
}

/** Which part of a sequence is walked, in its order, and in what portions. */
export interface WalkOptions extends ReadOptions {
  /** First item, counted from 0; default 0. There is no counting from the end here. */
  start?: number
  /** The item before which it ends; default: the end of the sequence. */
  end?: number
  /** Items of a batch at most, or items a stream reads ahead; default 256. */
  maxItems?: number
  /** Go on where this cursor stands. Not together with `start`. One of another sequence is `MILL_CURSOR`. */
  cursor?: Cursor
}

export interface ShuffleOptions {
  /** The same seed gives the same order, in every process and version; `7` and `'7'` are the same seed. Default 0. */
  seed?: number | string
  /** Shuffle blocks of so many items, and the items within each; a last partial block stays last. Default: all items as one. */
  block?: number
  /** With `block`: `'kept'` leaves the blocks where they are and shuffles only within them. Default `'shuffled'`. */
  order?: 'shuffled' | 'kept'
}

/** A place in a sequence, as plain JSON: to be stored, and given to `batches` or `stream` of the same sequence later. */
export interface Cursor {
  readonly millrace: 1
  /** The `description` of the sequence it belongs to. */
  readonly sequence: string
  /** The items before this one have been had. */
  readonly next: number
}

/** What can be joined to a sequence. An array is not copied: leave it alone while it is in use. */
export type SequenceLike<T> = Sequence<T> | readonly T[]

/**
 * Items by index, some of which may still have to be made: a LoadIt, a view of one, `sequence(array)`. An index that is
 * not a safe integer is `MILL_INDEX`; a shard that is not there and cannot be made is `MILL_SHARD_UNAVAILABLE` wherever
 * it is met, never the end of the data. Making a view reads nothing.
 */
export interface Sequence<T> extends AsyncIterable<T> {
  /** One item, a fresh value each time; negative: from the end. Undefined: outside, never "not available". */
  at(index: number, options?: ReadOptions): Promise<T | undefined>
  /** The same at once; undefined unless its bytes are in memory now. Never touches disk or source. */
  peek(index: number): T | undefined
  /** Many items, in the order asked, read shard by shard; undefined where the index is outside. */
  getMany(indices: Iterable<number>, options?: ReadOptions): Promise<(T | undefined)[]>
  /** How many items there are; walks the source to its end if nobody has yet. Infinity: it is repeated for ever. */
  length(options?: ReadOptions): Promise<number>
  /** The same without walking; undefined while it is not known. */
  readonly knownLength: number | undefined
  /** As Python's `[start:end:step]`: negative counts from the end, bounds are clamped, a negative step goes backwards. Step 0: `MILL_INVALID_ARGUMENT`. */
  slice(start?: number, end?: number, step?: number): Sequence<T>
  /** The items of these indices, in any order, with repeats, negative ones too. The list is copied. */
  view(indices: Iterable<number>): Sequence<T>
  /** `length` items, the one at i being the parent's at `indexOf(i)`, which must always say the same. */
  view(indexOf: (i: number) => number, length: number): Sequence<T>
  /** All items in another order, which is computed: no memory, whatever the length. */
  shuffle(options?: ShuffleOptions): Sequence<T>
  /**
   * Part `index` of `count`: from ⌊index · n / count⌋ to ⌊(index + 1) · n / count⌋. Strided: `index`, `index + count`,
   * and so on, which needs no length.
   */
  shard(index: number, count: number, options?: { strided?: boolean }): Sequence<T>
  /** These items, then those of the others. Lengths are asked for only where they are needed. */
  concat(...others: SequenceLike<T>[]): Sequence<T>
  /** An item of each in turn; who is exhausted drops out. */
  interleave(...others: SequenceLike<T>[]): Sequence<T>
  /**
   * The items `times` times over; default: for ever. `each` makes the sequence of an epoch from this one, e.g. shuffles
   * it; what it returns must have the same length (else `MILL_INVALID_ARGUMENT`).
   */
  repeat(times?: number, each?: (epoch: number, sequence: Sequence<T>) => SequenceLike<T>): Sequence<T>
  /** The items in arrays, never empty, of what is ready: the fast way to read in order. Can be walked again. */
  batches(options?: WalkOptions): AsyncIterable<T[]>
  /** The items as a stream, 256 ahead at most. `null` and `undefined` cannot travel: `MILL_UNSUPPORTED_ITEM`. */
  stream(options?: WalkOptions): ReadableOf<T>
  /** "I have had the items before `next`." */
  cursor(next: number): Cursor
  /** What a cursor compares, e.g. `loadit(v1).slice(5,-5,3).shuffle(7)`. Functions can't be compared and look alike. */
  readonly description: string
}

/** What a source is told about the walk it is opened for. */
export interface SourceContext {
  /** The first item wanted; 0 unless the source is `seekable`. */
  start: number
  /** Aborts when the walk is given up. */
  signal: AbortSignal
  /** How often the source has failed before, from 0. */
  attempt: number
}

/** How a LoadIt is opened. What is stored with the data is compared if you give it, and taken as it is if you don't. */
export interface LoadItOptions<T> {
  /** Folder on a local disk; created with mode 0700. */
  root: string
  /** A new walk each call, the same items in the same order. Absent: read what is there. */
  source?: (context: SourceContext) => Source<T> | Promise<Source<T>>
  /** The source begins at `context.start`: a lost shard costs one shard, not all before it. Default false. */
  seekable?: boolean
  /** Your name for this version of the data; another one in `root` is `MILL_DATASET_MISMATCH`. */
  fingerprint?: string
  /** Items of a shard, up to 2^20; or MiB of the first shard, whose count then holds for all. Default `'4mb'`. */
  maxShardLength?: number | `${number}mb`
  /** Default `'msgpack'`. */
  serializer?: 'msgpack' | 'v8' | 'json' | 'bytes' | Serializer<T>
  /** Of blocks of 64 KiB, so that one item stays cheap. Default `'none'`. */
  compression?: CompressionName | Codec
  /**
   * Memory for blocks and tables of open shards, in bytes, default 256 MiB. `'decoded'` keeps decoded items, which are
   * then shared and must be left alone; default `'encoded'`.
   */
  cache?: { bytes?: number; form?: 'encoded' | 'decoded' }
  /** Bytes of shard files in `root`, for all processes together; default: no limit, nothing is ever evicted. */
  memoryLimit?: number
  /** The length, if you know it: no walk for `at(-1)`. Checked when the end is met: `MILL_ITEM_SOURCE_CHANGED`. */
  length?: number
  /** Walks of the source open at a time; default 1. */
  maxSources?: number
  /** Shards ahead of a sequential reader, default 1; or indices to have ready, asked at each change of shard. */
  preload?: number | ((index: number) => Iterable<number>)
  /** Looked into before the source. */
  remote?: ShardStore
  /** Generated shards are put into `remote`; default true. */
  push?: boolean
  /** Encode, decode, compare (`MILL_FIDELITY`): the first 16 items generated, all, or none. Default `'first'`. */
  verify?: 'first' | 'always' | 'off'
  /** What to do with another dataset in `root`; `'reset'` throws its items away. Default `'error'`. */
  onMismatch?: 'error' | 'reset'
  /** What to do with a shard that comes back different: `MILL_ITEM_SOURCE_CHANGED`, or take it. Default `'error'`. */
  nondeterministic?: 'error' | 'accept'
  /** `'full'`: a shard counts only once it is on the disk, and survives a power cut without being made again. Default `'process'`. */
  durability?: 'process' | 'full'
  /** Milliseconds after which the work of a stalled process is taken over; default 10,000. Dead ones are noticed at once. */
  leaseMs?: number
  /** Gives up opening, with `signal.reason`. */
  signal?: AbortSignal
}

/** How a folder is filled by pushing; see {@link LoadItOptions}. */
export type LoadItSinkOptions = Pick<
  LoadItOptions<unknown>,
  | 'root'
  | 'fingerprint'
  | 'maxShardLength'
  | 'serializer'
  | 'compression'
  | 'cache'
  | 'verify'
  | 'durability'
  | 'signal'
>

/** What one loader has done so far; `diskBytes` counts the shard files of all processes. */
export interface LoadItStats {
  /** Items served from memory. */
  readonly hits: number
  /** Reads of shard files. */
  readonly reads: number
  /** Shards made from the source. */
  readonly generated: number
  /** Shards taken from the remote. */
  readonly fetched: number
  readonly evicted: number
  /** Damaged shards met. */
  readonly corrupt: number
  /** Times another process's lease was waited for. */
  readonly waits: number
  /** Leases taken over from stalled or dead processes. */
  readonly takeovers: number
  /** Walks of the source begun anew. */
  readonly restarts: number
  /** Bytes in memory: blocks and tables. */
  readonly cacheBytes: number
  /** Bytes of shard files in `root`, of all processes. */
  readonly diskBytes: number
  /** Shard files open now. */
  readonly openFiles: number
}

/** What a loader tells while it works. Times are milliseconds. There is no `'error'` event. */
export interface LoadItEvents {
  /** A shard was made by this loader; told after it is published. `stored` false: it did not fit on the disk. */
  generated: { start: number; gen: number; count: number; bytes: number; ms: number; stored: boolean }
  /** A shard came from the remote. */
  fetched: { start: number; count: number; bytes: number; ms: number }
  /** A shard was dropped from the disk by this loader. */
  evicted: { start: number; gen: number; bytes: number }
  /** Another process makes this shard; it is waited for. */
  waiting: { start: number }
  /** The lease of a stalled or dead process was taken over. */
  takeover: { start: number; pid: number }
  corrupt: { start: number; reason: string }
  /** A walk of the source began anew. */
  restart: { start: number; attempt: number }
  /** The length has become known. */
  length: { length: number }
  /** Background trouble without a caller; it is never thrown. */
  warning: Error & { readonly code: ErrorCode }
}

/** What `verify` found. */
export interface VerifyReport {
  /** Shards read. */
  readonly checked: number
  readonly bad: readonly { readonly start: number; readonly reason: string }[]
  /** Bytes read. */
  readonly bytes: number
}

export interface VerifyOptions extends ReadOptions {
  /** Make damaged shards again from source or remote; default false. */
  repair?: boolean
  onProgress?: (progress: Progress) => void
}

export interface PreloadOptions extends ReadOptions {
  onProgress?: (progress: Progress) => void
}

/** Where shards lie elsewhere: two methods. Keys are names of files, such as `4096.shd`. */
export interface ShardStore {
  /** The bytes of a key, or a part of them; `offset` < 0 counts from the end. Undefined: there is no such key. */
  get(
    key: string,
    options?: { offset?: number; length?: number; signal?: AbortSignal },
  ): Promise<Uint8Array | undefined>
  /** Puts a key that isn't there; never overwrites one. Absent: read only. */
  put?(key: string, data: Uint8Array, options?: { signal?: AbortSignal }): Promise<'stored' | 'exists'>
}

export interface HttpStoreOptions {
  headers?: Record<string, string>
  fetch?: typeof fetch
  /** Milliseconds without a byte after which a request has failed; default 30,000. */
  timeout?: number
}

export interface S3StoreOptions {
  /** Bucket and prefix, in either style; ends with `/`. */
  url: string
  region: string
  accessKeyId: string
  secretAccessKey: string
  sessionToken?: string
  fetch?: typeof fetch
  /** Milliseconds without a byte after which a request has failed; default 30,000. */
  timeout?: number
}
