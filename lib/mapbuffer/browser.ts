// All that needs no Node: what is read and written lies in memory, in a Blob, or on a server.
export type {
  ByteSource,
  HttpRequestInfo,
  HttpSourceOptions,
  RangeOptions,
} from '../../types/byte-source.js'
export type { BytesLike } from '../../types/bytes.js'
export type { Codec, CompressionName, Serializer } from '../../types/codec.js'
export type { ErrorCode } from '../../types/errors.js'
export type {
  Entries,
  IntMapOptions,
  Label,
  LabelRange,
  Location,
  MapBufferHeader,
  MapBufferReadOptions,
  MapBufferWriteOptions,
  MergeOptions,
  OpenOptions,
  ParserOptions,
  Problem,
  ReadInput,
  SalvageOptions,
  VerifyOptions,
  VerifyReport,
  WriterOptions,
  WriterStats,
} from '../../types/mapbuffer.js'
export type { Progress } from '../../types/progress.js'
export type { DuplexOf, Emits, EventName, Listener, ReadableOf, ReadSide, Source } from '../../types/source.js'
export { crc32c } from '../base/crc32c.js'
export {
  AbortError,
  ArgumentError,
  CodecError,
  isMillraceError,
  MapBufferError,
  MillraceError,
  SourceError,
  StreamError,
} from '../base/errors.js'
export { loadCodec, registerCodec } from '../codec/index.js'
export { blobSource, cached, coalesced, httpSource, memorySource, readRanges } from '../io/index.js'
export { IntMap } from './int-map.js'
export { IntMapWriter } from './int-map-writer.js'
export { MapBuffer } from './map-buffer.js'
export { merge, transcode } from './merge.js'
export type { AnyMap } from './merge-input.js'
export { openMapBuffer } from './open.js'
export { MapBufferParser } from './parser.js'
export { MapBufferReader } from './remote.js'
export { salvage } from './salvage.js'
export { MapBufferWriter } from './writer.js'
