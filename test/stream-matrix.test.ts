import { once } from 'node:events'
import { createReadStream, createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable as NodeReadable, Writable as NodeWritable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createGzip, gunzipSync } from 'node:zlib'
import test from 'ava'
import { Readable as StreamxReadable } from 'streamx'
import { Bytes } from '../lib/buffer/index.js'
import {
  batches,
  ChunkedBuffer,
  isMillraceError,
  lines,
  pump,
  readable,
  type Sink,
  type Source,
  toNode,
  toWeb,
  writable,
} from '../lib/streams/index.js'
import { collect, failure, gather, pieces, watch, within } from './fixtures/stream-kit.js'
import { asStream, type MadeSink, sinkShapes } from './fixtures/stream-sinks.js'
import { sourceShapes } from './fixtures/stream-sources.js'

type Way = (source: Source<Uint8Array>, made: MadeSink) => Promise<unknown>

/** How all of a source gets into a sink; each resolves when the sink has ended. */
const ways: Record<string, Way> = {
  pump: (source, { sink }) => pump(source, sink),
  pipe: async (source, { sink }) => {
    const to = asStream(sink)
    const ended = once(to, 'finish')
    readable(source).pipe(to)
    await ended
  },
  pipeline: (source, { sink }) => pipeline(readable(source) as unknown as NodeJS.ReadableStream, asStream(sink)),
}

const items = pieces()
const whole = Buffer.concat(items)

for (const shape of sourceShapes) {
  test(`${shape.name} into every sink, each way`, async (t) => {
    const wrong: string[] = []
    for (const sinkShape of sinkShapes) {
      for (const [name, way] of Object.entries(ways)) {
        const label = `${name} into ${sinkShape.name}`
        const made = sinkShape.make()
        try {
          await within(way(shape.make(items).source, made), label)
          const content = await within(made.content(), `${label}: content`)
          if (!content.equals(whole)) wrong.push(`${label}: ${content.length} bytes of ${whole.length}, or other ones`)
          // A source that ended is no fault: the sink saw no error, and ended once.
          if (made.ends !== undefined) {
            await within(made.ends.closed, `${label}: 'close'`)
            const { errors, counts } = made.ends
            if (errors.length > 0 || counts.finish !== 1 || counts.close !== 1) {
              wrong.push(`${label}: ${errors.length} errors, ${JSON.stringify(counts)}`)
            }
          }
        } catch (error) {
          wrong.push(`${label}: ${error}`)
        }
      }
    }
    t.deepEqual(wrong, [])
  })
}

for (const shape of sourceShapes) {
  test(`${shape.name}: for await, batches, toNode, toWeb`, async (t) => {
    const make = (): Source<Uint8Array> => shape.make(items).source
    t.true((await within(collect(readable(make())), 'for await')).equals(whole), 'for await')
    const list = await within(gather(batches(make())), 'batches')
    t.true(
      list.every((batch) => Array.isArray(batch) && batch.length > 0),
      'a batch is never empty',
    )
    t.true((await collect(list.flat())).equals(whole), 'batches')
    const few = await within(gather(readable(make()).batches({ maxItems: 3 })), 'stream.batches')
    t.true(
      few.every((batch) => batch.length >= 1 && batch.length <= 3),
      'maxItems',
    )
    t.true((await collect(few.flat())).equals(whole), 'stream.batches')
    const node = toNode(make())
    t.true(node instanceof NodeReadable)
    t.true((await within(collect(node), 'toNode')).equals(whole), 'toNode')
    t.true((await within(collect(readable(make()).toNode()), 'stream.toNode')).equals(whole), 'stream.toNode')
    t.true((await within(collect(toWeb(make())), 'toWeb')).equals(whole), 'toWeb')
    t.true((await within(collect(readable(make()).toWeb()), 'stream.toWeb')).equals(whole), 'stream.toWeb')
    t.true((await within(collect(toWeb(make(), { type: 'bytes' })), 'toWeb bytes')).equals(whole), 'toWeb bytes')
    t.true((await within(collect(readable(make()).toWeb({ type: 'bytes' })), 'toWeb')).equals(whole), 'stream.toWeb b')
  })
}

test('items pass as they are: same objects, in order', async (t) => {
  const objects = Array.from({ length: 300 }, (_, id) => (id % 3 === 0 ? id : id % 3 === 1 ? `s${id}` : { id }))
  const from: Record<string, () => Source<unknown>> = {
    array: () => objects,
    Set: () => new Set(objects),
    Map: () => new Map(objects.map((o) => [o, o])).values(),
    async: () =>
      (async function* () {
        yield* objects
      })(),
    node: () => NodeReadable.from(objects),
    streamx: () => {
      const stream = new StreamxReadable()
      for (const o of objects) stream.push(o)
      stream.push(null)
      return stream as unknown as Source<unknown>
    },
    web: () => ReadableStream.from(objects) as ReadableStream<unknown>,
    ours: () => readable(readable(objects)),
  }
  for (const [name, make] of Object.entries(from)) {
    const seen: unknown[] = []
    const sinks: Record<string, Sink<unknown>> = {
      function: (o) => {
        seen.push(o)
      },
      later: async (o) => {
        await null
        seen.push(o)
      },
      web: new WritableStream<unknown>({ write: (o) => void seen.push(o) }),
      node: new NodeWritable({
        objectMode: true,
        write(o, _e, done) {
          seen.push(o)
          done()
        },
      }),
      ours: writable<unknown>((o) => void seen.push(o)),
    }
    for (const [to, sink] of Object.entries(sinks)) {
      seen.length = 0
      await within(pump(make(), sink), `${name} to ${to}`)
      t.true(seen.length === objects.length && seen.every((o, i) => o === objects[i]), `${name} to ${to}`)
    }
    t.deepEqual(await within(gather(readable(make())), name), objects)
    t.deepEqual((await gather(batches(make()))).flat(), objects)
    t.deepEqual(await within(gather(toNode(make())), `${name} toNode`), objects)
    t.deepEqual(await within(gather(toWeb(make()) as ReadableStream<unknown>), `${name} toWeb`), objects)
  }
})

test('a string and bytes are one item; a stream of ours comes back as it is', async (t) => {
  const stream = readable(['a'])
  t.is(readable(stream), stream)
  const buffer = new ChunkedBuffer()
  t.is<unknown, unknown>(readable(buffer), buffer)
  buffer.destroy()
  for (const data of ['höre', Buffer.from('höre'), Bytes.from('höre'), Bytes.merge(['hö', 're'])]) {
    const got = await gather(readable(data))
    t.is(got.length, 1)
    t.true(got[0] instanceof Uint8Array)
    t.is(Buffer.concat(got).toString(), 'höre')
  }
  const shared = new Uint8Array(new SharedArrayBuffer(3)).fill(65)
  t.is((await collect(readable(shared.buffer))).toString(), 'AAA')
  t.is((await collect(readable(new DataView(Buffer.from('xyz').buffer.slice(0, 0))))).length, 0)
  t.deepEqual(await gather(readable([])), [])
})

test('frames (Bytes of several pieces, strings) are flattened for byte sinks', async (t) => {
  const small = Array.from({ length: 500 }, (_, i) => Bytes.merge([`<${i}`, ':', `${i * i}>`]))
  const mixed: (Bytes | string | Uint8Array)[] = [...small, 'é'.repeat(700), Bytes.merge([Buffer.alloc(5000, 1), 'z'])]
  const expected = Buffer.concat(mixed.map((x) => Buffer.from(typeof x === 'string' ? x : Bytes.from(x).copy())))
  const got: Buffer[] = []
  const sink = new NodeWritable({
    write(chunk: Buffer, _e, done) {
      got.push(chunk)
      setImmediate(done)
    },
  })
  await within(pump<unknown>(mixed, sink), 'pump')
  t.true(Buffer.concat(got).equals(expected))
  t.is(sink.listenerCount('drain'), 0)
  const server = createServer((socket) => void pump<unknown>(mixed, socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  t.true((await within(collect(connect(port, '127.0.0.1')), 'socket')).equals(expected))
  server.close()
})

test('null and undefined cannot travel', async (t) => {
  for (const bad of [null, undefined]) {
    const list: unknown[] = ['a', bad, 'b']
    const from: Record<string, () => Source<unknown>> = {
      array: () => list,
      generator: () =>
        (function* () {
          yield* list
        })(),
      async: () =>
        (async function* () {
          yield* list
        })(),
      web: () =>
        new ReadableStream<unknown>({
          start(c) {
            for (const x of list) c.enqueue(x)
            c.close()
          },
        }),
    }
    for (const [name, make] of Object.entries(from)) {
      const seen: unknown[] = []
      const error = await failure(() => pump(make(), (x) => void seen.push(x)), name)
      t.true(isMillraceError(error, 'MILL_UNSUPPORTED_ITEM'), `${name} ${bad}: ${error}`)
      t.true(seen.length <= 1 && seen.every((x) => x === 'a'), `${name}: nothing in its place`)
      t.true(isMillraceError(await failure(() => gather(readable(make()))), 'MILL_UNSUPPORTED_ITEM'), name)
      t.true(isMillraceError(await failure(() => gather(batches(make()))), 'MILL_UNSUPPORTED_ITEM'), name)
    }
    const sink = writable<unknown>(() => {})
    const ends = watch(sink)
    try {
      sink.write(bad)
      await within(ends.closed, 'close')
      t.true(isMillraceError(ends.errors[0], 'MILL_UNSUPPORTED_ITEM'))
    } catch (error) {
      t.true(isMillraceError(error, 'MILL_UNSUPPORTED_ITEM'))
      sink.destroy()
    }
  }
  // Where bytes are needed, nothing else will do.
  for (const bad of [7, {}, [1]]) {
    const error = await failure(() => gather(lines([bad] as unknown as string[])), 'lines')
    t.true(isMillraceError(error, 'MILL_UNSUPPORTED_ITEM'), String(error))
    const buffer = new ChunkedBuffer()
    const fault = await failure(() => pump([bad] as unknown as string[], buffer), 'pump')
    t.true(isMillraceError(fault, 'MILL_UNSUPPORTED_ITEM'), String(fault))
  }
})

test('what is no stream is refused at once', async (t) => {
  const none = [undefined, null, 5, true, {}, Symbol('x'), 5n] as unknown[]
  for (const value of none) {
    for (const call of [readable, writable, toNode, toWeb, lines, batches] as ((x: unknown) => unknown)[]) {
      const error = t.throws(() => call(value), undefined, `${call.name}(${String(value)})`)
      t.true(isMillraceError(error, 'MILL_NOT_A_STREAM'), `${call.name}(${String(value)}): ${error}`)
      t.is((error as { value?: unknown }).value, value)
    }
    t.true(isMillraceError(await failure(async () => pump(value as string, () => {})), 'MILL_NOT_A_STREAM'))
    t.true(isMillraceError(await failure(async () => pump('x', value as () => void)), 'MILL_NOT_A_STREAM'))
  }
  // A readable is no sink, a writable no source.
  t.throws(() => writable(NodeReadable.from([]) as never), { code: 'MILL_NOT_A_STREAM' })
  t.throws(() => readable(new WritableStream() as never), { code: 'MILL_NOT_A_STREAM' })
  t.throws(() => readable((() => {}) as never), { code: 'MILL_NOT_A_STREAM' })
})

test('wrong options are refused at once', (t) => {
  for (const highWaterMark of [-1, Number.NaN, '9', 1.5] as number[]) {
    t.throws(() => readable(['a'], { highWaterMark }), { code: 'MILL_INVALID_ARGUMENT' }, String(highWaterMark))
    t.throws(() => new ChunkedBuffer({ highWaterMark }), { code: 'MILL_INVALID_ARGUMENT' })
    t.throws(() => writable(() => {}, { highWaterMark }), { code: 'MILL_INVALID_ARGUMENT' })
  }
  t.throws(() => readable(['a'], { signal: {} as AbortSignal }), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => new ChunkedBuffer({ signal: 1 as never }), { code: 'MILL_INVALID_ARGUMENT' })
  for (const maxItems of [0, -1, 1.5]) t.throws(() => readable(['a']).batches({ maxItems }))
  t.throws(() => readable(['a']).wrap(NodeReadable.from([])), { code: 'MILL_UNSUPPORTED' })
})

test('write() waits for the function, one item at a time, and refuses after end()', async (t) => {
  let running = 0
  const seen: number[] = []
  const sink = writable<number>(async (n) => {
    t.is(running++, 0)
    await new Promise((resolve) => setTimeout(resolve, 1))
    seen.push(n)
    running--
  })
  const ends = watch(sink)
  for (let i = 0; i < 5; i++) sink.write(i)
  sink.end(5)
  await within(ends.closed, 'close')
  t.deepEqual(seen, [0, 1, 2, 3, 4, 5])
  t.deepEqual([ends.counts.finish, ends.counts.close, ends.errors.length], [1, 1, 0])

  const late = writable<number>(() => {})
  const lateEnds = watch(late)
  late.end(1)
  t.false(late.write(2))
  await within(lateEnds.closed, 'close')
  t.is(lateEnds.errors.length, 1)
  t.true(isMillraceError(lateEnds.errors[0], 'MILL_WRITE_AFTER_END'), String(lateEnds.errors[0]))
  t.true(late.destroyed)
})

test('an echo of a short message ends well though the socket ended itself first', async (t) => {
  const buffers: Promise<unknown>[] = []
  const server = createServer((socket) => {
    const buffer = new ChunkedBuffer()
    const { closed, errors } = watch(buffer)
    buffers.push(closed.then(() => t.deepEqual(errors, [])))
    socket.pipe(buffer).pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  socket.end('hello')
  t.is((await within(collect(socket), 'echo')).toString(), 'hello')
  await within(Promise.all(buffers), 'buffers')
  server.close()
})

test('files, zlib, sockets, fetch', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'streams-'))
  try {
    const text = Array.from({ length: 20_000 }, (_, i) => `line ${i} ä€`).join('\n')
    const path = join(folder, 'in.txt')
    writeFileSync(path, text)
    t.is((await gather(lines(createReadStream(path)))).join('\n'), text)

    // fs -> ours -> gzip -> file, and back, by pipeline and by pump
    const gz = join(folder, 'a.gz')
    await within(pipeline(createReadStream(path), new ChunkedBuffer(), createGzip(), createWriteStream(gz)), 'gzip')
    t.is(gunzipSync(readFileSync(gz)).toString(), text)
    const back = join(folder, 'back.txt')
    await within(pump(createReadStream(gz).pipe(createGunzip()), createWriteStream(back)), 'gunzip')
    t.is(readFileSync(back, 'utf8'), text)
    await within(pump(readable(text), createWriteStream(back)), 'string to file')
    t.is(readFileSync(back, 'utf8'), text)
    await t.throwsAsync(pump(createReadStream(join(folder, 'none')), createWriteStream(join(folder, 'x'))), {
      code: 'ENOENT',
    })

    // a loopback socket: frames out of a parser, echo by pipe
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.pipe(new ChunkedBuffer()).pipe(socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    const echoed = collect(socket.pipe(new ChunkedBuffer<Uint8Array>()))
    await within(pump(createReadStream(path), socket), 'to socket')
    t.is((await within(echoed, 'echo')).toString(), text)
    server.close()

    // fetch: a body in, a body out
    const http = createHttpServer((request, response) => void pump<Uint8Array>(request, response))
    http.listen(0, '127.0.0.1')
    await once(http, 'listening')
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/`
    const init = { method: 'POST', body: toWeb(createReadStream(path)), duplex: 'half' } as RequestInit
    const response = await within(fetch(url, init), 'fetch')
    t.is((await within(gather(lines(response.body as ReadableStream<Uint8Array>)), 'body')).join('\n'), text)
    http.closeAllConnections()
    http.close()
    t.is(await new Response(readable(createReadStream(path)).toWeb()).text(), text)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
