import '../streams/node.js'

export type { BytesLike } from '../../types/bytes.js'
export type { Codec, CompressionName, Serializer } from '../../types/codec.js'
export type { ErrorCode } from '../../types/errors.js'
export type {
  CheckReport,
  HugeMapOptions,
  KeyCodecName,
  LoadFormat,
  LoadOptions,
  LoadSource,
  LoadStats,
  MapOptions,
  MapStats,
  Prefix,
  Range,
  ReadableMap,
  SerializerName,
  Snapshot,
  StreamRange,
} from '../../types/hugemap.js'
export type { Key, KeyCodec } from '../../types/key.js'
export type { Progress } from '../../types/progress.js'
export type { ReadableOf, Source, WritableOf } from '../../types/source.js'
export type { LocalStore } from '../../types/store.js'
export {
  AbortError,
  ArgumentError,
  CodecError,
  isMillraceError,
  MillraceError,
  StoreError,
  StreamError,
} from '../base/errors.js'
export type { Batch } from './batch.js'
export { type CachedFunction, type CacheOptions, type CacheStats, cacheFunction } from './cached-function.js'
export { ChainedMap } from './chained-map.js'
export { type CachedMap, HugeMap } from './huge-map.js'
export type { RemoteBatch } from './remote-batch.js'
export { RemoteMap } from './remote-map.js'
export type { Transaction } from './transaction.js'
export type { MapWritable } from './writable.js'
