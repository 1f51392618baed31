import type { Readable as NodeReadable } from 'node:stream'
import type { ReadableOf, Source, StreamOptions } from '../../types/source.js'
import { checkSignal, onAbort } from '../base/abort.js'
import type { AnyBytes } from '../buffer/index.js'
import type { FaceOptions } from './face.js'
import { asError } from './machine.js'
import { sourceKind } from './shape.js'
import { EventSource, type EventStream } from './source-events.js'
import { AsyncSource, BytesSource, IterableSource, webIterable } from './source-iterable.js'

/** Bytes or a string as a stream of one item; nothing is copied, a string is encoded as UTF-8. */
export function readable(data: AnyBytes, options?: StreamOptions): ReadableOf<Uint8Array>
/**
 * Anything that can be read as one of our streams; a stream of ours comes back as it is. Nothing is read before the
 * first consumer asks, and at most `highWaterMark` waits. When the consumer stops early, the source is destroyed,
 * cancelled or returned, once. Throws `MILL_NOT_A_STREAM`, and `MILL_ALREADY_READING` for a locked Web stream.
 */
export function readable<T>(source: Source<T>, options?: StreamOptions): ReadableOf<T>
export function readable(source: unknown, options: StreamOptions = {}): ReadableOf<unknown> {
  const kind = sourceKind(source)
  const face: FaceOptions = { signal: checkSignal(options.signal), highWaterMark: options.highWaterMark }
  switch (kind) {
    case 'ours': {
      const ours = source as ReadableOf<unknown>
      if (options.signal !== undefined) {
        const forget = onAbort(options.signal, (reason) => ours.destroy(asError(reason)))
        ours.once('close', forget)
      }
      return ours
    }
    case 'bytes':
      return asReadable(new BytesSource(source as AnyBytes, face))
    case 'sync':
      return asReadable(new IterableSource(source as Iterable<unknown>, face))
    case 'async':
      return asReadable(new AsyncSource(source as AsyncIterable<unknown>, face))
    case 'web':
      return asReadable(new AsyncSource(webIterable(source as ReadableStream<unknown>), face, true))
    case 'events':
      return asReadable(new EventSource(source as EventStream, face))
  }
}

const asReadable = (stream: object): ReadableOf<unknown> => stream as ReadableOf<unknown>

/** {@link readable} and its `batches()`: what has arrived, never an empty array. */
export function batches<T>(
  source: Source<T>,
  options: { maxItems?: number; signal?: AbortSignal } = {},
): AsyncIterable<T[]> {
  return readable<T>(source, options).batches(options)
}

/**
 * {@link readable} and its `toNode()`. Bytes come out as Buffers on the same memory. `objectMode` is true unless given,
 * or the source is known to carry bytes. Throws `MILL_UNSUPPORTED` where there is no Node.
 */
export function toNode<T>(source: Source<T> | AnyBytes, options?: { objectMode?: boolean }): NodeReadable {
  return readable(source as Source<T>).toNode(options)
}

/** A Web byte stream with BYOB reading. The bytes are always copied into the reader's memory. */
export function toWeb(source: Source<AnyBytes> | AnyBytes, options: { type: 'bytes' }): ReadableStream<Uint8Array>
/** A Web stream of the same items, not copied. Reads nothing ahead unless `highWaterMark` (items) says so. */
export function toWeb<T>(source: Source<T> | AnyBytes, options?: { highWaterMark?: number }): ReadableStream<T>
export function toWeb(source: unknown, options?: { type?: 'bytes'; highWaterMark?: number }): ReadableStream<unknown> {
  // The marks of the Web stream decide what is read ahead; one of ours below it would read ahead by itself.
  return readable(source as Source<unknown>, { highWaterMark: 1 }).toWeb(options)
}
