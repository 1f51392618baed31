import type { MillraceError } from '../base/errors.js'

/** What a loader asks of the remote store. */
export interface Remote<T> {
  /** What `0.shd` says of the dataset; undefined: it isn't there. */
  head(signal?: AbortSignal): Promise<RemoteHead | undefined>
  /** Downloads the shard that begins at `start` into `path`, all checked; undefined: it isn't there. */
  fetchShard(start: number, options: { path: string; signal: AbortSignal }): Promise<RemoteShard | undefined>
  /**
   * One item, for scattered reads of large shards; undefined: it isn't there, or the whole shard is to be fetched. The
   * item itself is in `value`.
   */
  fetchItem(start: number, i: number, signal?: AbortSignal): Promise<{ readonly value: T | undefined } | undefined>
  /** Where the data end, as far as the shards there tell; undefined: they don't. */
  findLength(shardLength: number, signal?: AbortSignal): Promise<number | undefined>
  /** Who is told of uploads that failed. */
  listen(tell: (error: MillraceError) => void): void
  /** Puts a finished shard there, later. */
  push(start: number, path: string): void
  /** Resolves when nothing is waiting to be put there. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** What a remote store says of its dataset. */
export interface RemoteHead {
  readonly serializer: string
  readonly compression: string
  readonly fingerprint?: string | undefined
  readonly shardLength: number
}

/** What was found in a shard that came from a remote store. */
export interface RemoteShard {
  readonly count: number
  readonly bytes: number
  readonly crc: number
  readonly ends: boolean
  /** Items of a full shard of that dataset. */
  readonly shardLength: number
}
