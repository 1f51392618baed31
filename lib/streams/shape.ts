import { isBytesLike, toUint8Array } from '../base/bytes.js'
import { describe, StreamError } from '../base/errors.js'
import { type AnyBytes, Bytes } from '../buffer/index.js'

/** The mark on streams of ours, with the version of what is behind it; the same in every copy of the package. */
export const OURS = Symbol.for('millrace.stream/1')

/** How a source is read, and a sink written to. */
export type SourceKind = 'bytes' | 'ours' | 'events' | 'web' | 'async' | 'sync'
export type SinkKind = 'ours' | 'events' | 'web' | 'function'

type Members = Record<PropertyKey, unknown>
const has = (value: Members, name: PropertyKey): boolean => typeof value[name] === 'function'

/** A string, raw memory, or `Bytes`. */
export function isAnyBytes(value: unknown): value is AnyBytes {
  return typeof value === 'string' || value instanceof Bytes || isBytesLike(value)
}

/** What can be read, told by shape alone. Throws `MILL_NOT_A_STREAM`. */
export function sourceKind(value: unknown): SourceKind {
  if (isAnyBytes(value)) return 'bytes'
  if ((typeof value === 'object' && value !== null) || typeof value === 'function') {
    const it = value as Members
    if (it[OURS] === true && has(it, 'batches')) return 'ours'
    if (has(it, 'pipe') && has(it, 'on')) return 'events'
    if (has(it, 'getReader')) return 'web'
    if (has(it, Symbol.asyncIterator)) return 'async'
    if (has(it, Symbol.iterator)) return 'sync'
  }
  throw notAStream(value, 'read from')
}

/** What can be written to, told by shape alone. Throws `MILL_NOT_A_STREAM`. */
export function sinkKind(value: unknown): SinkKind {
  if ((typeof value === 'object' && value !== null) || typeof value === 'function') {
    const it = value as Members
    if (has(it, 'write') && has(it, 'end') && has(it, 'on')) return it[OURS] === true ? 'ours' : 'events'
    if (has(it, 'getWriter')) return 'web'
    if (typeof value === 'function') return 'function'
  }
  throw notAStream(value, 'write to')
}

function notAStream(value: unknown, use: string): StreamError {
  return new StreamError('MILL_NOT_A_STREAM', `This is nothing that streams ${use}: ${describe(value)}`, { value })
}

/** `null` and `undefined` cannot travel: they would mean the end. */
export function unsupportedItem(value: unknown, needed = 'an item other than null and undefined'): StreamError {
  return new StreamError('MILL_UNSUPPORTED_ITEM', `A stream needs ${needed}, got ${describe(value)}`, { value })
}

/** What an item that is neither bytes nor a string weighs against a mark in bytes. */
export const ITEM_WEIGHT = 64

/** Bytes an item counts against `highWaterMark`; at least 1, so that a stream of empty pieces is bounded too. */
export function weigh(item: unknown): number {
  if (typeof item === 'string') return item.length || 1
  if (ArrayBuffer.isView(item)) return item.byteLength || 1
  if (item instanceof Bytes) return item.length || 1
  if (item instanceof ArrayBuffer) return item.byteLength || 1
  return ITEM_WEIGHT
}

/** An item as raw pieces: bytes and strings only. Points, except that a string is encoded. Throws `MILL_UNSUPPORTED_ITEM`. */
export function piecesOf(item: unknown): Uint8Array[] {
  if (item instanceof Uint8Array) return [item]
  if (item instanceof Bytes) return item.chunks()
  if (typeof item === 'string' || isBytesLike(item)) return [toUint8Array(item)]
  throw unsupportedItem(item, 'bytes or a string here')
}
