import type { ByteSource, RangeOptions } from '../../types/byte-source.js'
import { onAbort } from '../base/abort.js'
import { allocate } from '../base/bytes.js'
import { MapBufferError, SourceError } from '../base/errors.js'
import { ignore } from '../streams/machine.js'

/** A piece of a source, in bytes. */
export interface Range {
  readonly offset: number
  readonly length: number
}

/** {@link RangeOptions}, complete. */
export type Joining = Required<RangeOptions>

/** Exactly the bytes of the range. Throws `MILL_SOURCE_SHORT` where the source has fewer. */
export async function readExactly(source: ByteSource, range: Range, signal?: AbortSignal): Promise<Uint8Array> {
  const { offset, length } = range
  signal?.throwIfAborted()
  if (length === 0) return new Uint8Array(0)
  const bytes = await source.read(offset, length, signal === undefined ? {} : { signal })
  if (bytes.length === length) return bytes
  const message = `The source gave ${bytes.length} of the ${length} bytes from byte ${offset} on`
  throw new SourceError('MILL_SOURCE_SHORT', message, { offset, expected: length, got: bytes.length })
}

/**
 * The bytes of all ranges, in order. At most `concurrency` are being read or wait to be taken, the one the caller works
 * on included: that is the bound on memory. Leaving the loop aborts what is still being read.
 */
export async function* readInOrder<R extends Range>(
  source: ByteSource,
  ranges: Iterable<R>,
  concurrency: number,
  signal: AbortSignal,
): AsyncGenerator<[range: R, bytes: Uint8Array], void, undefined> {
  const ahead: Ahead<R>[] = []
  const stop = (reason: unknown): void => {
    for (const { work } of ahead) work.abort(reason)
  }
  const forget = onAbort(signal, stop)
  const from = ranges[Symbol.iterator]()
  let more = true
  try {
    for (;;) {
      while (more && ahead.length < concurrency) {
        const { done, value } = from.next()
        if (done === true) more = false
        else ahead.push(readAhead(source, value))
      }
      const first = ahead[0]
      signal.throwIfAborted()
      if (first === undefined) return
      yield [first.range, await first.bytes]
      ahead.shift()
    }
  } finally {
    forget()
    stop(undefined)
  }
}

/** A read that will be wanted. */
interface Ahead<R> {
  readonly range: R
  readonly bytes: Promise<Uint8Array>
  /** Its own: a signal that all reads shared would have as many listeners, and Node warns of that. */
  readonly work: AbortController
}

function readAhead<R extends Range>(source: ByteSource, range: R): Ahead<R> {
  const work = new AbortController()
  const bytes = readExactly(source, range, work.signal)
  bytes.catch(ignore) // thrown when its turn comes, if it does
  return { range, bytes, work }
}

/** The ranges that cover `length` bytes from `offset` on, each of at most `span` bytes. */
export function* pieces(offset: number, length: number, span: number): Generator<Range, void, undefined> {
  for (const end = offset + length; offset < end; offset += span) yield { offset, length: Math.min(span, end - offset) }
}

/** Reads a range into memory, in pieces of at most `span` bytes, several at once. */
export async function readWhole(
  source: ByteSource,
  range: Range,
  into: Uint8Array,
  { span, concurrency }: Joining,
  signal: AbortSignal,
): Promise<void> {
  const { offset, length } = range
  for await (const [piece, bytes] of readInOrder(source, pieces(offset, length, span), concurrency, signal)) {
    into.set(bytes, piece.offset - offset)
  }
}

/** Fresh memory. Throws `MILL_TOO_LARGE` where there is not so much: a size may be a lie, and costs nothing until it is read. */
export function makeRoom(length: number): Uint8Array {
  try {
    return allocate(length)
  } catch (cause) {
    throw new MapBufferError('MILL_TOO_LARGE', `${length} bytes do not fit into memory`, { length, cause })
  }
}
