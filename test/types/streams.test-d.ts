// Compiled, never run: what must compile does, and each `@ts-expect-error` fails the build once the line below it compiles.
import { createWriteStream } from 'node:fs'
import type { Socket } from 'node:net'
import { type Duplex, PassThrough, type Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import {
  type AnyBytes,
  type AsyncReader,
  type Bytes,
  batches,
  ChunkedBuffer,
  type DuplexOf,
  lines,
  type Parser,
  type ParserInput,
  pump,
  type ReadableOf,
  readable,
  type Sink,
  type Source,
  toNode,
  toWeb,
  type WritableOf,
  writable,
} from 'millrace'
import type { Exactly } from './exactly.js'

declare const socket: Socket
declare const signal: AbortSignal

/** `<length>\r\n<payload>\r\n`, again and again. */
function* messages(input: ParserInput<Bytes>) {
  while (yield* input.more()) {
    const length = yield* input.integer('\r\n')
    const body = yield* input.take(length)
    yield* input.expect('\r\n')
    input.emit(body)
  }
}

export async function inPipes(): Promise<void> {
  // pipe() hands back what it was given, so that the frames keep their type.
  for await (const message of socket.pipe(new ChunkedBuffer({ parser: messages }))) {
    true satisfies Exactly<typeof message, Bytes>
  }
  for await (const chunk of socket.pipe(new ChunkedBuffer())) true satisfies Exactly<typeof chunk, Uint8Array>
  for await (const some of new ChunkedBuffer({ parser: messages }).batches({ maxItems: 10 })) {
    true satisfies Exactly<typeof some, Bytes[]>
  }
  // A ChunkedBuffer is a stream to Node: at the beginning, in the middle and at the end of a pipeline.
  await pipeline(socket, new ChunkedBuffer(), createGzip(), createWriteStream('copy.gz'))
  await pipeline(
    socket,
    new ChunkedBuffer({ parser: messages }),
    async function* (frames) {
      for await (const frame of frames) yield String(frame)
    },
    createWriteStream('copy'),
  )
  await pipeline(readable(['a']), new PassThrough(), new ChunkedBuffer(), { signal })
  await pipeline(lines(socket), createWriteStream('copy'))
}

export async function inBuffers(buffer: ChunkedBuffer<Bytes>): Promise<void> {
  true satisfies Exactly<typeof buffer.reader, AsyncReader>
  const size = await buffer.reader.integer('\r\n')
  const line = await buffer.reader.line({ max: 100 })
  true satisfies Exactly<typeof size, number>
  true satisfies Exactly<typeof line, Bytes | undefined>
  buffer satisfies DuplexOf<AnyBytes, Bytes>
  buffer satisfies ReadableOf<Bytes> | DuplexOf<AnyBytes, Bytes>
  true satisfies Exactly<ReturnType<typeof buffer.takeLine>, Bytes | undefined>
  true satisfies Exactly<ReturnType<typeof buffer.toNode>, Duplex>
  buffer.write('text')
  buffer.end(new Uint8Array(1)).on('close', () => {})
  // @ts-expect-error bytes go in, not numbers
  buffer.write(5)
  // @ts-expect-error there is no such option
  new ChunkedBuffer({ highWatermark: 5 })
  new ReadableStream<Uint8Array>().pipeThrough(buffer.toWeb()) satisfies ReadableStream<Bytes>
  ChunkedBuffer.merge(['a', await buffer.reader.rest()]) satisfies Bytes
}

export function inParsers(): void {
  // F is inferred from the parser.
  const buffer = new ChunkedBuffer({ parser: messages })
  true satisfies Exactly<typeof buffer, ChunkedBuffer<Bytes>>
  declareParser<{ id: number }>((input) => {
    input.emit({ id: 1 })
    // @ts-expect-error the frame's own type
    input.emit({ id: '1' })
    return [][Symbol.iterator]()
  })
  messages satisfies Parser<Bytes>
  // @ts-expect-error a parser of Bytes gives no numbers
  new ChunkedBuffer<number>({ parser: messages })
}
declare function declareParser<F>(parser: Parser<F>): ChunkedBuffer<F>

export async function inAdapters(web: ReadableStream<Uint8Array>, node: Readable): Promise<void> {
  // Any source, by its items.
  true satisfies Exactly<ReturnType<typeof numbersOf>, ReadableOf<number>>
  true satisfies Exactly<ReturnType<typeof bytesOf>, ReadableOf<Uint8Array>>
  readable(web) satisfies ReadableOf<Uint8Array>
  readable(node) satisfies ReadableOf<unknown>
  for await (const item of readable(new Set([1n]))) true satisfies Exactly<typeof item, bigint>
  for await (const some of lines(web).batches()) true satisfies Exactly<typeof some, string[]>
  for await (const line of lines('a\nb', { encoding: 'latin1', maxLength: 100, signal })) {
    true satisfies Exactly<typeof line, string>
  }
  for await (const some of batches([1, 2], { maxItems: 1 })) true satisfies Exactly<typeof some, number[]>
  // @ts-expect-error lines are made of bytes or text
  lines([1, 2])
  // @ts-expect-error a number is no source
  readable(5)

  // Any sink.
  writable(socket) satisfies WritableOf<Uint8Array>
  writable(new WritableStream<string>()) satisfies WritableOf<string>
  writable(async (item: number) => void item.toFixed()) satisfies WritableOf<number>
  await pump([1, 2, 3], async (item) => void item.toFixed(), { signal })
  await pump(web, socket)
  await pump('text', createWriteStream('copy'))
  // @ts-expect-error the function takes strings
  await pump([1, 2, 3], (item: string) => void item)

  // Node and Web streams out.
  toNode([1, 2, 3], { objectMode: true }) satisfies Readable
  true satisfies Exactly<ReturnType<typeof webOf>, ReadableStream<number>>
  toWeb(web, { type: 'bytes' }) satisfies ReadableStream<Uint8Array>
  // @ts-expect-error a byte stream of numbers cannot be
  toWeb([1, 2, 3], { type: 'bytes' })

  // The contracts take what Node, the Web and the language have.
  node satisfies Source<unknown>
  web satisfies Source<Uint8Array>
  new Map<string, number>() satisfies Source<[string, number]>
  socket satisfies Sink<Uint8Array>

  await using scoped = readable([1])
  scoped.destroy(new Error('enough'))
}
const numbersOf = () => readable([1, 2, 3])
const bytesOf = () => readable(new ArrayBuffer(8))
const webOf = () => toWeb([1, 2, 3])
