import type { Codec, CompressionName, Serializer } from '../../types/codec.js'
import type { LoadItOptions } from '../../types/load-it.js'
import { loadCodec } from '../codec/compression.js'
import { loadSerializer, type PlacedSerializer } from '../codec/serializer.js'
import { loadSessions, type Sessions } from '../codec/session.js'
import { BlockCache } from './cache.js'
import { type FileOps, nodeFiles } from './file-ops.js'
import { Handles } from './handles.js'
import { ReadPace } from './read-pace.js'
import { MAX_ITEM_BYTES, type ShardMeta } from './shard-format.js'

/** Bytes of a block, plain: 1 MiB, or 64 KiB where a whole block has to be unpacked for one item. */
const BLOCK_BYTES = 1_048_576
const PACKED_BLOCK_BYTES = 65_536
/** Bytes of memory for blocks and tables. */
const CACHE_BYTES = 268_435_456

/** How a kit is made; names and defaults as in `LoadItOptions`. */
export interface KitOptions<T> {
  readonly serializer?: LoadItOptions<T>['serializer'] | string | undefined
  readonly compression?: CompressionName | Codec | undefined
  readonly fingerprint?: string | undefined
  readonly cache?: LoadItOptions<T>['cache'] | undefined
  /** For tests: the file system. */
  readonly files?: FileOps | undefined
  /** For tests: bytes of a block. */
  readonly blockBytes?: number | undefined
  /** For tests: bytes of an encoded item at most. */
  readonly maxItemBytes?: number | undefined
}

/** What all shards of a loader share: how items become bytes, memory, descriptors, and the file system. */
export class ShardKit<T> {
  readonly sessions: Sessions<T>
  readonly serializer: PlacedSerializer<T>
  /** Undefined: blocks are stored as they are. */
  readonly codec: Codec | undefined
  readonly meta: ShardMeta
  readonly cache: BlockCache
  readonly handles: Handles
  readonly files: FileOps
  readonly pace = new ReadPace()
  readonly blockBytes: number
  readonly maxItemBytes: number
  /** Decoded items are kept, and shared. */
  readonly decoded: boolean
  /** Items served from memory, and reads of files. */
  readonly stats = { hits: 0, reads: 0 }
  readonly #leaving = new Set<Promise<void>>()

  private constructor(serializer: PlacedSerializer<T>, sessions: Sessions<T>, codec: Codec, options: KitOptions<T>) {
    const { fingerprint, cache, files = nodeFiles } = options
    this.serializer = serializer
    this.sessions = sessions
    this.codec = codec.name === 'none' ? undefined : codec
    this.meta = {
      serializer: serializer.name,
      compression: codec.name,
      ...(fingerprint !== undefined && { fingerprint }),
    }
    this.cache = new BlockCache(cache?.bytes ?? CACHE_BYTES)
    this.decoded = cache?.form === 'decoded'
    this.files = files
    this.maxItemBytes = options.maxItemBytes ?? MAX_ITEM_BYTES
    this.handles = new Handles(files)
    this.blockBytes = options.blockBytes ?? (this.codec === undefined ? BLOCK_BYTES : PACKED_BLOCK_BYTES)
  }

  /**
   * Loads serializer and codec. Rejects with `MILL_INVALID_ARGUMENT` and, for packages that aren't there, as `loadCodec`
   * does.
   */
  static async create<T>(options: KitOptions<T>): Promise<ShardKit<T>> {
    const { serializer, compression = 'none' } = options
    const given = serializer as Parameters<typeof loadSerializer<T>>[0]
    const placed = await loadSerializer<T>(given, 'options.serializer')
    const codec = typeof compression === 'string' ? await loadCodec(compression) : compression
    // One of the user's own may have sessions, which `placed` knows nothing of.
    const own = typeof serializer === 'object' && serializer !== null ? (serializer as Serializer<T>) : placed
    return new ShardKit(placed, await loadSessions(own), codec, options)
  }

  /** Files are being removed, which never rejects; nobody has to wait for it, since {@link close} does. */
  leaving(work: Promise<void>): Promise<void> {
    this.#leaving.add(work)
    return work.finally(() => this.#leaving.delete(work))
  }

  /**
   * Drops what is in memory and closes all files, each when its last read is done; resolves when those that have to go are
   * gone. Never rejects.
   */
  async close(): Promise<void> {
    this.cache.clear()
    await this.handles.close()
    await Promise.all(this.#leaving)
  }
}
