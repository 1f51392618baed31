import { execFile } from 'node:child_process'
import { Readable as NodeReadable, Writable as NodeWritable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { Writable as StreamxWritable } from 'streamx'
import { ChunkedBuffer, lines, pump, readable, type Sink, toNode, toWeb, writable } from '../lib/streams/index.js'
import { collect, collectGarbage, failure, gather, settle, within } from './fixtures/stream-kit.js'

const MARK = 65536
const PIECE = 10_000
const PIECES = 200

/** 2 MB in pieces; counts what was asked of it. */
function producer(): { source: Generator<Uint8Array>; given(): number } {
  let given = 0
  function* source(): Generator<Uint8Array> {
    for (let i = 0; i < PIECES; i++) {
      given += PIECE
      yield Buffer.alloc(PIECE, i)
    }
  }
  return { source: source(), given: () => given }
}

/** 250 frames of 40 bytes a piece. */
const frames = () =>
  new ChunkedBuffer<Uint8Array>({
    *parser(input) {
      while (yield* input.more()) input.emit((yield* input.take(40)).toUint8Array())
    },
  })

const buffers: Record<string, () => ChunkedBuffer> = {
  'without a parser': () => new ChunkedBuffer(),
  'with a parser': frames,
}

for (const [name, make] of Object.entries(buffers)) {
  const fills: Record<string, (source: Iterable<Uint8Array>, buffer: ChunkedBuffer) => unknown> = {
    pump: (source, buffer) => pump(source, buffer),
    pipe: (source, buffer) => readable(source).pipe(buffer),
    'Node pipe': (source, buffer) => NodeReadable.from(source, { objectMode: false, highWaterMark: 1 }).pipe(buffer),
  }
  for (const [way, fill] of Object.entries(fills)) {
    test(`G3: nobody reads a ChunkedBuffer ${name}, filled by ${way}`, async (t) => {
      const { source, given } = producer()
      const buffer = make()
      fill(source, buffer)
      await settle(30)
      // What is read ahead by a stream of ours or of Node before the buffer is its own mark.
      const ahead = way === 'pump' ? 0 : way === 'pipe' ? MARK + PIECE : PIECE * 2
      // A frame of 40 bytes counts 64.
      t.true(given() >= MARK / 2, `${given()} is less than the mark`)
      t.true(given() <= 2 * MARK + PIECE + ahead, `${given()} bytes were taken in`)
      t.true(buffer.queue.length <= 2 * MARK + PIECE)
      const before = given()
      await settle(30)
      t.is(given(), before, 'nothing more comes')
      t.is((await within(collect(buffer), 'all')).length, PIECES * PIECE)
    })
  }
}

test('G4: a slow consumer of any kind stops the producer', async (t) => {
  const hold = (): { sink: (item: unknown) => Promise<void>; go(): void; count(): number } => {
    let count = 0
    let go = (): void => {}
    const gate = new Promise<void>((resolve) => {
      go = resolve
    })
    return {
      sink: async (item) => {
        count += (item as Uint8Array).length
        await gate
      },
      go: () => go(),
      count: () => count,
    }
  }
  const ways: Record<
    string,
    (source: Iterable<Uint8Array>, take: (item: unknown) => Promise<void>) => Promise<unknown>
  > = {
    'pump, function': (source, take) => pump(source, take),
    'pump, writable': (source, take) => pump(source, writable(take)),
    'pump, web': (source, take) => pump(source, new WritableStream({ write: take }) as Sink<Uint8Array>),
    'pump, node': (source, take) =>
      pump(
        source,
        new NodeWritable({
          highWaterMark: 1,
          write: (chunk, _e, done) => void take(chunk).then(() => done(), done),
        }),
      ),
    'pump, streamx': (source, take) =>
      pump(
        source,
        new StreamxWritable({
          highWaterMark: 1,
          write: (chunk: unknown, done: (error: null) => void) => void take(chunk).then(() => done(null)),
        }) as unknown as Sink<Uint8Array>,
      ),
    'through a buffer': async (source, take) => {
      for await (const item of readable(source).pipe(new ChunkedBuffer())) await take(item)
    },
    'for await': async (source, take) => {
      for await (const item of readable(source)) await take(item)
    },
    batches: async (source, take) => {
      for await (const batch of readable(source).batches()) for (const item of batch) await take(item)
    },
    toNode: async (source, take) => {
      for await (const item of toNode(source)) await take(item)
    },
    toWeb: async (source, take) => {
      for await (const item of toWeb(source)) await take(item)
    },
  }
  for (const [name, way] of Object.entries(ways)) {
    const { source, given } = producer()
    const { sink, go, count } = hold()
    const done = way(source, sink)
    await settle(30)
    t.true(count() > 0, `${name}: something has come`)
    t.true(given() <= 4 * MARK + 2 * PIECE, `${name}: ${given()} bytes were read`)
    const before = given()
    await settle(20)
    t.is(given(), before, name)
    go()
    await within(done, name)
    t.is(given(), PIECES * PIECE)
    t.is(count(), PIECES * PIECE, name)
  }
})

test('G3: one write of 4 MB does not become a heap of frames', async (t) => {
  let made = 0
  const buffer = new ChunkedBuffer<number>({
    *parser(input) {
      while (yield* input.more()) {
        yield* input.skip(16)
        input.emit(made++)
      }
    },
  })
  const all = 4 * 1024 * 1024
  t.false(buffer.write(Buffer.alloc(all)))
  buffer.end()
  await settle(10)
  // An unread frame counts 64 bytes at least.
  t.true(made <= MARK / 64 + 1, `${made} frames wait`)
  let count = 0
  let most = 0
  for await (const batch of buffer.batches()) {
    count += batch.length
    most = Math.max(most, batch.length)
    t.true(made - count <= MARK / 64 + 1)
  }
  t.is(count, all / 16)
  t.true(most <= MARK / 64 + 1, `a batch of ${most}`)
})

test('highWaterMark is kept by readable and writable', async (t) => {
  for (const highWaterMark of [1, 1000, 100_000]) {
    const { source, given } = producer()
    const it = readable(source, { highWaterMark })[Symbol.asyncIterator]()
    await within(it.next(), 'first')
    await settle(10)
    t.true(given() <= 2 * highWaterMark + 2 * PIECE, `${given()} with a mark of ${highWaterMark}`)
    await it.return?.()

    const sink = writable<Uint8Array>(() => new Promise(() => {}), { highWaterMark })
    let written = 0
    while (written < PIECES * PIECE && sink.write(Buffer.alloc(PIECE))) written += PIECE
    t.true(written <= 2 * highWaterMark + PIECE, `${written} written with a mark of ${highWaterMark}`)
    t.true(sink.writableNeedDrain)
    sink.destroy()
  }
  // Objects count 64 each.
  let objects = 0
  const source = (function* () {
    for (;;) yield { n: objects++ }
  })()
  const it = readable(source, { highWaterMark: 640 })[Symbol.asyncIterator]()
  await within(it.next(), 'first')
  await settle(10)
  t.true(objects <= 22, `${objects} objects`)
  await it.return?.()
})

test('a mark of 0 still moves everything', async (t) => {
  const text = Array.from({ length: 50 }, (_, i) => `${i}`)
  const source = () => readable(text, { highWaterMark: 0 })
  t.deepEqual(await within(gather(source()), 'for await'), text)
  const seen: string[] = []
  await within(
    pump(
      source(),
      writable<string>((item) => void seen.push(item), { highWaterMark: 0 }),
    ),
    'pump',
  )
  t.deepEqual(seen, text)
  t.is(
    (await within(collect(source().pipe(new ChunkedBuffer({ highWaterMark: 0 }))), 'pipe')).toString(),
    text.join(''),
  )
})

test('nothing is read before somebody reads', async (t) => {
  const { source, given } = producer()
  const streams = [readable(source), lines(source), toWeb(source), toNode(source)]
  await settle(10)
  t.is(given(), 0)
  t.is(streams.length, 4)
  const node = new NodeReadable({ read: () => t.fail('the source was read') })
  const early = readable(node)
  await wait(5)
  early.destroy()
  await settle(3)
  t.true(node.destroyed)
})

test('an unread stream keeps nothing alive', async (t) => {
  const refs: WeakRef<object>[] = []
  const open = (): void => {
    const payload = Buffer.alloc(100_000)
    const unread = readable([payload])
    const buffer = new ChunkedBuffer()
    buffer.write(payload)
    const piped = readable([payload])
    piped.pipe(new ChunkedBuffer())
    const web = toWeb([payload])
    const waiting = new ChunkedBuffer()
    void (waiting.reader.take(5) as Promise<unknown>).catch(() => {})
    const node = readable(NodeReadable.from([payload]))
    for (const object of [payload, unread, buffer, piped, web, waiting, node]) refs.push(new WeakRef<object>(object))
  }
  open()
  for (let i = 0; i < 10 && refs.some((ref) => ref.deref() !== undefined); i++) {
    await wait(2)
    collectGarbage()
  }
  t.deepEqual(
    refs.map((ref) => ref.deref()?.constructor.name),
    refs.map(() => undefined),
  )
})

test('a stream that has ended keeps neither its items nor its signal', async (t) => {
  const { signal } = new AbortController()
  const refs: WeakRef<object>[] = []
  const run = async (): Promise<void> => {
    const payload = Buffer.alloc(50_000)
    refs.push(new WeakRef<object>(payload))
    const stream = readable([payload], { signal })
    refs.push(new WeakRef<object>(stream))
    await pump(stream, new ChunkedBuffer({ signal }).resume(), { signal })
    const destroyed = new ChunkedBuffer({ signal })
    destroyed.on('error', () => {})
    destroyed.write(payload)
    destroyed.destroy()
    refs.push(new WeakRef<object>(destroyed))
    await failure(gather(destroyed))
  }
  await run()
  for (let i = 0; i < 10 && refs.some((ref) => ref.deref() !== undefined); i++) {
    await wait(2)
    collectGarbage()
  }
  t.deepEqual(
    refs.map((ref) => ref.deref()?.constructor.name),
    [undefined, undefined, undefined],
  )
})

const child = async (name: string, ...flags: string[]): Promise<Record<string, number>> => {
  const path = fileURLToPath(new URL(`./fixtures/${name}.js`, import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, path], { timeout: 15_000 })
  return JSON.parse(stdout) as Record<string, number>
}

test('G3: 200 MB through parser, lines and pump: memory stays flat', async (t) => {
  const { bytes, growth, arrayBuffers } = await child('stream-rss', '--max-old-space-size=64')
  t.is(bytes, 200 * 2 ** 20)
  t.true((growth as number) < 100 * 2 ** 20, `RSS grew by ${growth} bytes`)
  t.true((arrayBuffers as number) < 100 * 2 ** 20, `${arrayBuffers} bytes of buffers at once`)
})

test('G4: fast, slow and dying sockets: bounded memory, no handle left, a late reset kills nobody', async (t) => {
  const seen = await child('stream-sockets', '--max-old-space-size=64')
  t.is(seen.whole, seen.fast, 'every fast client got everything')
  t.is(seen.settled, seen.connections, 'every connection ended, once')
  t.is(seen.late, 3, 'resets after a pump was done')
  t.is(seen.handles, 0)
  t.true((seen.peak as number) < 60 * 2 ** 20, `${seen.peak} bytes of buffers at once`)
})
