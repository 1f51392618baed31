import '../streams/node.js'

export type { Codec, CompressionName, Serializer, SerializerSession } from '../../types/codec.js'
export type {
  Cursor,
  HttpStoreOptions,
  LoadItEvents,
  LoadItOptions,
  LoadItSinkOptions,
  LoadItStats,
  PreloadOptions,
  ReadOptions,
  S3StoreOptions,
  Sequence,
  SequenceLike,
  ShardStore,
  ShuffleOptions,
  SourceContext,
  VerifyOptions as LoadItVerifyOptions,
  VerifyReport as LoadItVerifyReport,
  WalkOptions,
} from '../../types/load-it.js'
export type { Progress } from '../../types/progress.js'
export type { ReadableOf, Source, WritableOf } from '../../types/source.js'
export { isMillraceError, LoadItError, MillraceError } from '../base/errors.js'
export { LoadIt } from './load-it.js'
export { s3Store } from './s3.js'
export { sequence } from './sequence.js'
export { fileStore, httpStore } from './stores.js'
