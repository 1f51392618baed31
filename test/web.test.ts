import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { Readable as NodeReadable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createGzip, gunzipSync } from 'node:zlib'
import test from 'ava'
import { type AnyBytes, Bytes } from '../lib/buffer/index.js'
import {
  batches,
  ChunkedBuffer,
  isMillraceError,
  lines,
  pump,
  readable,
  type Source,
  toWeb,
  writable,
} from '../lib/streams/index.js'
import { asBuffer, collect, failure, gather, pieces, settle, watch, within } from './fixtures/stream-kit.js'

const items = pieces(40)
const whole = Buffer.concat(items)

/** Byte streams over different sources; each may be asked once. */
const byteStreams: Record<string, () => ReadableStream<Uint8Array>> = {
  array: () => toWeb(items, { type: 'bytes' }),
  Bytes: () => toWeb(Bytes.merge(items), { type: 'bytes' }),
  'Bytes items': () => toWeb([Bytes.merge(items.slice(0, 9)), ...items.slice(9)], { type: 'bytes' }),
  node: () => toWeb(NodeReadable.from(items), { type: 'bytes' }),
  ours: () => readable(items).toWeb({ type: 'bytes' }),
  buffer: () => readable(items).pipe(new ChunkedBuffer()).toWeb({ type: 'bytes' }).readable,
}

for (const [name, make] of Object.entries(byteStreams)) {
  test(`BYOB from ${name}, views of 1, 16, 333, 4000 bytes`, async (t) => {
    for (const size of [1, 16, 333, 4000]) {
      const reader = make().getReader({ mode: 'byob' })
      const hash = createHash('sha1')
      let length = 0
      // One byte at a time is slow in every runtime: a prefix will do.
      const enough = size === 1 ? 3000 : whole.length
      let view = new Uint8Array(size)
      while (length < enough) {
        const { done, value } = await within(reader.read(view), `${name}, ${size}`)
        if (done) break
        t.true(value.byteLength > 0 && value.byteLength <= size)
        hash.update(value)
        length += value.byteLength
        view = new Uint8Array(value.buffer)
      }
      t.is(length, enough)
      t.is(hash.digest('hex'), createHash('sha1').update(whole.subarray(0, enough)).digest('hex'))
      if (size === 1) await within(reader.cancel(), 'cancel')
      else t.true((await within(reader.read(new Uint8Array(1)), 'end')).done)
    }
  })
}

test('strings are bytes in a byte stream, other items an error', async (t) => {
  t.is((await within(collect(toWeb(['hö', 're'], { type: 'bytes' })), 'strings')).toString(), 'höre')
  const error = await failure(collect(toWeb([7] as unknown as string[], { type: 'bytes' })))
  t.true(isMillraceError(error, 'MILL_UNSUPPORTED_ITEM'), String(error))
  t.deepEqual(await gather(toWeb([''], { type: 'bytes' })), [], 'an empty piece is no end')
  t.is((await collect(toWeb(['a', '', 'b'], { type: 'bytes' }))).toString(), 'ab')
})

test("B3: the caller's memory and Node's pool survive a consumer that transfers what it got", async (t) => {
  for (let round = 0; round < 4; round++) {
    const mine = [Buffer.from('pooled, one'), Buffer.from('pooled, two'), Buffer.alloc(70_000, 7), new Uint8Array(10)]
    const neighbour = Buffer.from('neighbour')
    const before = mine.map((buffer) => Buffer.from(buffer).toString('latin1'))
    const streams: ReadableStream<Uint8Array>[] = [
      toWeb(mine, { type: 'bytes' }),
      readable(mine).toWeb({ type: 'bytes' }),
      toWeb(NodeReadable.from(mine), { type: 'bytes' }),
      toWeb(Bytes.merge(mine), { type: 'bytes' }),
      readable(mine).pipe(new ChunkedBuffer()).toWeb({ type: 'bytes' }).readable,
    ]
    for (const stream of streams) {
      const reader = round % 2 === 0 ? stream.getReader() : stream.getReader({ mode: 'byob' })
      let length = 0
      for (;;) {
        const { done, value } = await within(reader.read(new Uint8Array(1000)), 'read')
        if (done) break
        length += value.byteLength
        structuredClone(value, { transfer: [value.buffer as ArrayBuffer] })
      }
      t.is(length, 70_032)
    }
    // The default kind gives the pieces themselves, and the platform's own consumers leave them alone.
    t.is((await new Response(toWeb(mine)).arrayBuffer()).byteLength, 70_032)
    t.is((await new Response(readable(mine).toWeb()).bytes?.())?.length ?? 70_032, 70_032)
    const [left, right] = toWeb(mine).tee()
    t.deepEqual(
      (await Promise.all([collect(left), collect(right)])).map((all) => all.length),
      [70_032, 70_032],
    )
    const zipped = await collect(toWeb(mine).pipeThrough(new CompressionStream('gzip')))
    t.is(gunzipSync(zipped).length, 70_032)
    t.deepEqual(
      mine.map((buffer) => Buffer.from(buffer).toString('latin1')),
      before,
    )
    t.is(neighbour.toString(), 'neighbour')
    t.is(Buffer.from('the pool is alive').toString(), 'the pool is alive')
  }
})

test('the default kind gives the very pieces, not copies', async (t) => {
  const first = Buffer.alloc(70_000)
  const seen = await gather(toWeb([first]))
  t.is(seen.length, 1)
  t.is(seen[0]?.buffer, first.buffer)
})

test('toWeb reads nothing ahead', async (t) => {
  const make = (): { source: Source<Uint8Array>; pulled(): number } => {
    let pulled = 0
    const source = (function* () {
      for (const item of items) {
        pulled++
        yield item
      }
    })()
    return { source, pulled: () => pulled }
  }
  for (const options of [{}, { type: 'bytes' as const }]) {
    for (const [name, open] of [
      ['toWeb(source)', (s: Source<Uint8Array>) => toWeb(s, options as { type: 'bytes' })],
      ['stream.toWeb()', (s: Source<Uint8Array>) => readable(s).toWeb(options)],
    ] as const) {
      const { source, pulled } = make()
      const stream = open(source)
      await settle(5)
      t.is(pulled(), 0, `${name}: before the first read`)
      const reader = stream.getReader()
      await within(reader.read(), 'read')
      await settle(5)
      // The web stream itself asks for nothing; the stream of ours below it may fill up to its mark, and a byte stream
      // fills the view that the read brought.
      t.true(
        pulled() <= (name === 'toWeb(source)' && !('type' in options) ? 1 : items.length),
        `${name}: ${pulled()} after one read`,
      )
      await reader.cancel()
    }
  }
  const { source, pulled } = make()
  const reader = toWeb(source, { highWaterMark: 3 }).getReader()
  await within(reader.read(), 'read')
  await settle(5)
  t.true(pulled() >= 3 && pulled() <= 5, `${pulled()} with a mark of 3`)
  await reader.cancel()
})

test('cancel: the source is told once, whatever is pending', async (t) => {
  for (const type of [undefined, 'bytes'] as const) {
    for (const pending of [false, true]) {
      let stops = 0
      const source: AsyncIterableIterator<Uint8Array> = {
        next: () => (pending ? new Promise(() => {}) : Promise.resolve({ done: false, value: Buffer.from('x') })),
        return: async () => {
          stops++
          return { done: true, value: undefined }
        },
        [Symbol.asyncIterator]: () => source,
      }
      const stream = type === undefined ? toWeb(source) : toWeb(source, { type })
      const reader = stream.getReader()
      const read = reader.read()
      if (!pending) await within(read, 'read')
      await within(reader.cancel(new Error('enough')), 'cancel')
      await within(reader.closed, 'closed')
      await settle(3)
      t.is(stops, 1, `${type}, pending ${pending}`)
    }
  }
  const error = new Error('source')
  const failing = () =>
    (async function* () {
      yield Buffer.from('x')
      throw error
    })()
  t.is(await failure(collect(toWeb(failing()))), error)
  t.is(await failure(collect(toWeb(failing(), { type: 'bytes' }))), error)
})

test('pipeThrough(buffer.toWeb()): frames, errors and cancel both ways', async (t) => {
  const parser = () =>
    new ChunkedBuffer<string>({
      *parser(input) {
        while (yield* input.more()) input.emit((yield* input.until('\n')).toString())
      },
    })
  const text = Array.from({ length: 3000 }, (_, i) => `line ${i}`)
  const stream = toWeb(`${text.join('\n')}\n`).pipeThrough(parser().toWeb())
  t.deepEqual(await within(gather(stream), 'frames'), text)

  const broken = toWeb<string>(['a\nno end']).pipeThrough(parser().toWeb())
  const reader = broken.getReader()
  t.is((await within(reader.read(), 'a')).value, 'a')
  t.true(isMillraceError(await failure(reader.read()), 'MILL_UNEXPECTED_END'))

  let cancelled: unknown
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(Buffer.from('x\n')),
    cancel(reason) {
      cancelled = reason
    },
  })
  const buffer = parser()
  const ends = watch(buffer)
  const half = endless.pipeThrough(buffer.toWeb()).getReader()
  await within(half.read(), 'read')
  await within(half.cancel(new Error('enough')), 'cancel')
  await within(ends.closed, 'close')
  await settle()
  t.not(cancelled, undefined)
  t.true(buffer.destroyed)

  const failing = parser()
  const seen = watch(failing)
  const error = new Error('source')
  const source = new ReadableStream<Uint8Array>({ start: (controller) => controller.error(error) })
  t.is(await failure(gather(source.pipeThrough(failing.toWeb()))), error)
  await within(seen.closed, 'close')
  t.deepEqual(seen.errors, [error])
})

test('a writable of ours as a WritableStream: backpressure, close, abort', async (t) => {
  const got: unknown[] = []
  const sink = writable<string>(async (item) => {
    await settle(1)
    got.push(item)
  })
  await within(new Blob(['abc']).stream().pipeThrough(new TextDecoderStream()).pipeTo(sink.toWeb()), 'pipeTo')
  t.is(got.join(''), 'abc')

  const error = new Error('abort')
  const aborted = writable(() => {})
  const ends = watch(aborted)
  await aborted.toWeb().abort(error)
  await within(ends.closed, 'close')
  t.deepEqual(ends.errors, [error])

  const failing = writable(() => Promise.reject(error))
  watch(failing)
  const writer = failing.toWeb().getWriter()
  writer.closed.catch(() => {})
  await failure(
    (async () => {
      for (let i = 0; i < 10; i++) await writer.write(i)
      await writer.close()
    })(),
  ).then((seen) => t.is(seen, error))
})

test('a locked web stream is refused, a web sink is released for good', async (t) => {
  const locked = new ReadableStream()
  locked.getReader()
  t.true(isMillraceError(await failure(async () => gather(readable(locked)))))
  const sink = new WritableStream<unknown>()
  await within(pump([1, 2], sink), 'pump')
  t.false(sink.locked)
  t.is(await sink.getWriter().closed, undefined)
})

test('new Response(stream.toWeb()), and a body into lines', async (t) => {
  const gz = readable(NodeReadable.from([whole]))
    .toNode()
    .pipe(createGzip())
  const response = new Response(readable(gz).toWeb())
  t.true(gunzipSync(await response.arrayBuffer()).equals(whole))
  t.deepEqual(await gather(lines(new Response('a\r\nb').body as ReadableStream<Uint8Array>)), ['a', 'b'])
  t.deepEqual(await gather(lines(new Blob(['x\ny']).stream())), ['x', 'y'])
})

const asyncStreamable = Symbol.for('Stream.toAsyncStreamable')
const streamable = Symbol.for('Stream.toStreamable')

test("streams and Bytes speak the protocol of Node's stream/iter", async (t) => {
  const protocol = <R>(object: unknown, symbol: symbol): R => (object as Record<symbol, () => R>)[symbol]?.() as R
  for (const stream of [readable(items), readable(items).pipe(new ChunkedBuffer())]) {
    const all: Uint8Array[] = []
    for await (const batch of protocol<AsyncIterable<Uint8Array[]>>(stream, asyncStreamable)) {
      t.true(Array.isArray(batch) && batch.length > 0 && batch.every((piece) => piece instanceof Uint8Array))
      all.push(...batch)
    }
    t.true(Buffer.concat(all).equals(whole))
  }
  const bytes = Bytes.merge(items)
  const chunks = [...protocol<Iterable<Uint8Array>>(bytes, streamable)]
  t.true(chunks.every((chunk) => chunk instanceof Uint8Array))
  t.true(Buffer.concat(chunks).equals(whole))

  if (process.allowedNodeEnvironmentFlags.has('--experimental-stream-iter')) {
    const child = fileURLToPath(new URL('./fixtures/stream-iter.js', import.meta.url))
    const flags = ['--experimental-stream-iter', '--no-warnings']
    const { stdout } = await promisify(execFile)(process.execPath, [...flags, child], { timeout: 45_000 })
    t.is(stdout.trim(), 'buffer, stream and Bytes: grüße grüße grüße')
  }
})

test('batches of every kind of web stream', async (t) => {
  const parts: AnyBytes[] = (await gather(batches(new Blob(items as Uint8Array<ArrayBuffer>[]).stream()))).flat()
  t.true(Buffer.concat(parts.map(asBuffer)).equals(whole))
})
