import type { ByteSource } from '../../types/byte-source.js'
import type { Codec } from '../../types/codec.js'
import { ArgumentError } from '../base/errors.js'
import { EntryReader } from './entry.js'
import type { Header } from './format.js'
import { FullIndex } from './full-index.js'
import { MapBuffer, partsOf } from './map-buffer.js'
import type { Joining } from './ordered-reads.js'
import { insideOf, MapBufferReader } from './remote.js'
import type { Works } from './works.js'

/** A map whose values are at hand, or one that reads them from a source. */
export type AnyMap<V> = MapBuffer<V> | MapBufferReader<V>

/** One of the maps that are merged. */
export interface MergeInput<V> {
  readonly header: Header
  readonly byteLength: number
  readonly entry: EntryReader<V>
  /** Decompresses, and leaves the bytes as they are. */
  readonly plain: EntryReader<Uint8Array>
  /** A codec that nobody registered. */
  readonly codec: Codec | undefined
  readonly bigint: boolean
  readonly source: ByteSource
  readonly joining: Joining
  index(signal: AbortSignal): Promise<FullIndex>
  /** What reads from it, where closing the map ends that. */
  readonly works: Works | undefined
}

/** Runs of small reads cost most in a file; in memory nothing does. What is joined is at most what is kept. */
const LOCAL: Joining = { gap: 32768, span: 2 ** 20, concurrency: 1 }
/** A merge reads windows of a few MiB: longer reads, and more of them at once, would only take memory. */
const MOST_SPAN = 2 ** 20
const MOST_AT_ONCE = 8

/** The map as a merge sees it. Throws `MILL_INVALID_ARGUMENT`. */
export function inputOf<V>(map: AnyMap<V>): MergeInput<V> {
  if (map instanceof MapBuffer) {
    const { header, byteLength, entry, settings, lookup, bytes } = partsOf(map)
    const index = new FullIndex(lookup, byteLength)
    return {
      header,
      byteLength,
      entry,
      plain: new EntryReader(header, { maxValueBytes: entry.maxValueBytes }, bytes.made?.codec),
      codec: bytes.made?.codec,
      bigint: settings.bigint,
      source: { local: true, read: async (offset, length) => bytes.read(offset, length) },
      joining: LOCAL,
      index: async () => index,
      works: undefined,
    }
  }
  if (map instanceof MapBufferReader) {
    const { parts, whole, works } = insideOf(map)
    const { header, byteLength, entry, settings, source, joining } = parts
    return {
      header,
      byteLength,
      entry,
      plain: new EntryReader(header, { maxValueBytes: entry.maxValueBytes }),
      codec: undefined,
      bigint: settings.bigint,
      source,
      joining: {
        gap: joining.gap,
        span: Math.min(joining.span, MOST_SPAN),
        concurrency: Math.min(joining.concurrency, MOST_AT_ONCE),
      },
      index: whole,
      works,
    }
  }
  throw new ArgumentError('maps', 'MapBuffers and MapBufferReaders', map)
}
