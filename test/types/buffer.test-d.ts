// Compiled, never run: what must compile does, and each `@ts-expect-error` fails the build once the line below it compiles.
import {
  type AnyBytes,
  type BufferError,
  ByteQueue,
  Bytes,
  type BytesLike,
  type ErrorCode,
  FrameParser,
  isMillraceError,
  MemoryPool,
  type MillraceError,
  type Need,
  type Parser,
  type ParserInput,
} from 'millrace/buffer'
import type { Exactly } from './exactly.js'

declare const queue: ByteQueue
declare const bytes: Bytes
declare const input: ParserInput<string>

// What may be missing says so.
true satisfies Exactly<ReturnType<typeof queue.take>, Bytes>
true satisfies Exactly<ReturnType<typeof queue.takeExact>, Bytes | undefined>
true satisfies Exactly<ReturnType<typeof queue.takeUntil>, Bytes | undefined>
true satisfies Exactly<ReturnType<typeof queue.takeLines>, string[]>
true satisfies Exactly<ReturnType<typeof queue.takeInteger>, number | undefined>
true satisfies Exactly<ReturnType<typeof queue.takeBigUInt64LE>, bigint | undefined>
true satisfies Exactly<ReturnType<typeof queue.skipIfStartsWith>, boolean | undefined>
true satisfies Exactly<ReturnType<typeof queue.at>, number | undefined>
// @ts-expect-error a line may not be there yet
queue.takeLine().length

// Every shape of bytes goes in, and nothing else.
queue.append('text')
queue.append(new ArrayBuffer(1))
queue.append(new SharedArrayBuffer(1))
queue.append(new DataView(new ArrayBuffer(1)))
queue.append(new Float64Array(1))
queue.append(bytes)
queue.extend([bytes, 'text', new Uint8Array(1)])
queue.extend('text')
true satisfies Exactly<AnyBytes, BytesLike | Bytes | string>
// @ts-expect-error a number is no bytes
queue.append(5)
// @ts-expect-error neither is an array of numbers
queue.append([5])

// Options: named, and `null` means no pool.
new ByteQueue({ pool: null, minimumChunkSize: 1, maximumChunkSize: 2, copyBelow: 0, maxLength: 10 })
new ByteQueue({ pool: new MemoryPool({ maxBytes: 1 }) })
// @ts-expect-error misspelt options are refused
new ByteQueue({ copybelow: 0 })
queue.takeUntil(10, { include: true })
// @ts-expect-error options are objects, not flags
queue.takeUntil('\n', true)
// @ts-expect-error two encodings
queue.takeLines('utf16le')
// @ts-expect-error two radixes
queue.takeInteger('\r\n', 8)

// Bytes cannot be made with `new`, cannot be changed, and are no Uint8Array.
// @ts-expect-error Bytes.from() makes them
new Bytes()
// @ts-expect-error read only
bytes.length = 1
// @ts-expect-error one has to say toUint8Array() or copy()
bytes satisfies Uint8Array
bytes.copy() satisfies Uint8Array<ArrayBuffer>
for (const chunk of bytes) chunk satisfies Uint8Array
export function sum(): number {
  using scoped = bytes.slice(0, 4)
  return Number(scoped)
}

// Parsers: the operations answer through `yield*`, and emit takes the frames of the parser's own type.
export function* operations(): Generator<void, void, void> {
  true satisfies Exactly<ReturnType<typeof input.take>, Need<Bytes>>
  const taken = yield* input.take(3)
  const line = yield* input.line()
  const size = yield* input.uint32BE()
  const big = yield* input.bigUint64BE()
  const more = yield* input.more()
  true satisfies Exactly<typeof taken, Bytes>
  true satisfies Exactly<typeof line, Bytes | undefined>
  true satisfies Exactly<typeof size, number>
  true satisfies Exactly<typeof big, bigint>
  true satisfies Exactly<typeof more, boolean>
  input.emit('frame')
  // @ts-expect-error frames are strings here
  input.emit(5)
  // @ts-expect-error exactly how many must be said
  yield* input.take()
}

// The type of the frames is inferred, from the parameter of the parser or from the parser's own type.
function* numbers(parser: ParserInput<number>) {
  parser.emit(yield* parser.uint8())
}
numbers satisfies Parser<number>
const inferred = new FrameParser(numbers)
true satisfies Exactly<typeof inferred, FrameParser<number>>
true satisfies Exactly<ReturnType<typeof inferred.push>, number[]>
declare const typed: Parser<{ id: bigint }>
true satisfies Exactly<ReturnType<FrameParser<{ id: bigint }>['end']>, { id: bigint }[]>
true satisfies Exactly<ReturnType<typeof parserOf>, { id: bigint }[]>
export const parserOf = () => new FrameParser(typed).frames
// @ts-expect-error a parser of numbers gives no strings
new FrameParser<string>(numbers)
// @ts-expect-error a generator function, not a generator
new FrameParser(numbers(input))

// Errors: a code narrows, and codes that do not exist are refused.
export function onError(error: unknown): string | number | undefined {
  if (isMillraceError(error, 'MILL_TOO_LONG')) {
    true satisfies Exactly<typeof error.code, 'MILL_TOO_LONG'>
    return (error as MillraceError as BufferError).limit
  }
  // @ts-expect-error no such code
  if (isMillraceError(error, 'MILL_TOO_LON')) return 'misspelt'
  if (isMillraceError(error)) {
    true satisfies Exactly<typeof error.code, ErrorCode>
    return error.code
  }
  return undefined
}
