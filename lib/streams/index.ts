import './node.js'

export type { BytesLike, Delimiter } from '../../types/bytes.js'
export type { ErrorCode } from '../../types/errors.js'
export type {
  DuplexOf,
  Emits,
  EventName,
  Listener,
  ReadableOf,
  ReadSide,
  Sink,
  Source,
  StreamOptions,
  WritableOf,
} from '../../types/source.js'
export { AbortError, ArgumentError, BufferError, isMillraceError, MillraceError, StreamError } from '../base/errors.js'
export type { AnyBytes, ByteQueueOptions, Bytes, Need, Parser, ParserInput, Reads } from '../buffer/index.js'
export {
  ChunkedBuffer,
  type ChunkedBufferConstructor,
  type ChunkedBufferOptions,
  type QueueVerbs,
} from './chunked-buffer.js'
export { type LinesOptions, lines } from './lines.js'
export type { AsyncReader } from './reader.js'
export { pump, writable } from './sink.js'
export { batches, readable, toNode, toWeb } from './source.js'
