import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { createServer } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { Readable, Writable } from 'node:stream'
import test from 'ava'
import { type AnyBytes, Bytes, type ParserInput } from '../lib/buffer/index.js'
import { ChunkedBuffer, lines, pump, readable } from '../lib/streams/index.js'
import { settle, within } from './fixtures/stream-kit.js'

const letters = () =>
  new ChunkedBuffer<string>({
    parser: function* (input) {
      while (yield* input.more()) input.emit(String(yield* input.take(1)))
    },
  })

test('G5: a file that is piped in is closed when the loop over the buffer is left, or the buffer fails', async (t) => {
  const file = createReadStream(process.execPath)
  for await (const _ of file.pipe(letters())) break
  if (!file.closed) await once(file, 'close')
  t.true(file.destroyed)

  const other = createReadStream(process.execPath)
  const buffer = other.pipe(
    new ChunkedBuffer({
      parser: function* (input) {
        yield* input.expect('no such beginning')
      },
    }),
  )
  await t.throwsAsync(
    async () => {
      for await (const _ of buffer);
    },
    { code: 'MILL_UNEXPECTED_BYTES' },
  )
  if (!other.closed) await once(other, 'close')
  t.true(other.destroyed)
})

test('a socket and an HTTP request that are piped in can still be answered when the loop is left', async (t) => {
  const sockets = net.createServer(async (socket) => {
    for await (const letter of socket.pipe(letters())) if (letter === 'q') break
    socket.end('bye')
  })
  sockets.listen(0, '127.0.0.1')
  await once(sockets, 'listening')
  const client = net.connect((sockets.address() as AddressInfo).port, '127.0.0.1')
  client.write('abq')
  const [answer] = (await once(client, 'data')) as [Buffer]
  t.is(answer.toString(), 'bye')
  client.destroy()
  sockets.close()

  const server = createServer(async (request, response) => {
    for await (const letter of request.pipe(letters())) if (letter === 'q') break
    response.end('bye')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const reply = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    method: 'POST',
    body: 'abq',
  })
  t.is(await reply.text(), 'bye')
  server.closeAllConnections()
  server.close()
  await settle()
})

test('a source that fails while the sink is stuck ends both, at once', async (t) => {
  const error = new Error('source')
  const stuck = [
    new Writable({ highWaterMark: 1, write() {} }),
    new WritableStream({ write: () => new Promise(() => {}) }, { highWaterMark: 1 }),
    () => new Promise<void>(() => {}),
  ]
  for (const sink of stuck) {
    const source = new Readable({ read() {} })
    source.push('one piece, which the sink never finishes')
    const pumped = pump(source, sink)
    await settle(5)
    source.destroy(error)
    t.is(
      await within(
        pumped.catch((seen) => seen),
        'pump',
      ),
      error,
    )
  }
})

test('G3: a Node stream is paused while enough waits, and goes on when half of it is gone', async (t) => {
  let given = 0
  const source = new Readable({
    highWaterMark: 1000,
    read() {
      given += 1000
      this.push(Buffer.alloc(1000))
    },
  })
  const stream = readable(source, { highWaterMark: 10_000 })
  const items = stream[Symbol.asyncIterator]()
  await items.next()
  await settle()
  t.true(given >= 10_000 && given <= 13_000, `${given} bytes were read`)
  const before = given
  for (let i = 0; i < 7; i++) await items.next()
  await settle()
  t.true(given > before, 'more was read before all was taken')
  stream.destroy()
})

test("'drain' comes when half of what waited has been read", async (t) => {
  const buffer = new ChunkedBuffer<string>({
    highWaterMark: 640,
    parser: function* (input) {
      while (yield* input.more()) input.emit(String(yield* input.take(1)))
    },
  })
  let drained = 0
  buffer.on('drain', () => drained++)
  t.false(buffer.write('x'.repeat(10)))
  const items = buffer[Symbol.asyncIterator]()
  await items.next()
  t.is(drained, 0)
  for (let i = 0; i < 5; i++) await items.next()
  await settle(2)
  t.is(drained, 1)
  buffer.destroy()
})

test('B4: a CR at the very end of the input is data, and counts', async (t) => {
  const gather = async (text: string) => {
    const all: string[] = []
    for await (const line of lines(text, { maxLength: 3 })) all.push(line)
    return all
  }
  t.deepEqual(await gather('abc\r\nab\r'), ['abc', 'ab\r'])
  await t.throwsAsync(gather('abc\r'), { code: 'MILL_TOO_LONG' })
})

test('small pieces, strings and large pieces in one batch keep their order and their bytes', async (t) => {
  const items = [
    'a',
    Buffer.from('b'),
    Buffer.from('c'),
    'd',
    Bytes.merge(['e', 'f']),
    'g',
    Buffer.alloc(2000, 'h'),
    Buffer.from('i'),
    '',
    'j',
  ]
  const written: Buffer[] = []
  const sink = new Writable({
    highWaterMark: 2 ** 20,
    write(chunk, _, done) {
      written.push(chunk)
      done()
    },
  })
  await pump<AnyBytes>(items, sink)
  t.is(Buffer.concat(written).toString(), `abcdefg${'h'.repeat(2000)}ij`)
  t.true(written.length < items.length, 'neighbours were joined')
})

test('toNode: a frame that Node holds is not lost when a fault comes later', async (t) => {
  const buffer = new ChunkedBuffer<string>({
    parser: function* (input) {
      while (yield* input.more()) {
        yield* input.expect('a')
        input.emit('a')
      }
    },
  })
  const node = buffer.toNode()
  node.read(0)
  buffer.write('a')
  await settle(3)
  t.is(node.readableLength, 1)
  buffer.write('x')
  await settle(3)
  const seen: string[] = []
  await t.throwsAsync(
    async () => {
      for await (const frame of node) seen.push(frame)
    },
    { code: 'MILL_UNEXPECTED_BYTES' },
  )
  t.deepEqual(seen, ['a'])
})

test('an abort gives the reason itself, whatever it is', async (t) => {
  for (const reason of [0, '', null, 'text', { any: 'thing' }]) {
    const controller = new AbortController()
    controller.abort(reason)
    t.is(await pump(['a'], () => {}, { signal: controller.signal }).catch((seen) => seen), reason)
    const later = new AbortController()
    const stuck = pump(['a'], () => new Promise<void>(() => {}), { signal: later.signal })
    await settle(2)
    later.abort(reason)
    t.is(
      await within(
        stuck.catch((seen) => seen),
        'pump',
      ),
      reason,
    )
  }
})

test('a sink of pipe() that fails while nobody listens is an uncaught error, as with any stream', (t) => {
  const program = `
    import { Writable } from 'node:stream'
    import { readable } from ${JSON.stringify(new URL('../lib/index.js', import.meta.url).href)}
    process.on('uncaughtException', (error) => {
      console.log('uncaught', error.message)
      process.exit(7)
    })
    readable(['a']).pipe(new Writable({ write: (chunk, encoding, done) => done(new Error('sink')) }))
    setTimeout(() => console.log('silence'), 500)`
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' })
  t.is(stdout.trim(), 'uncaught sink')
  t.is(status, 7)
})

test('B1: a write larger than maxLength is no fault where its messages are not', async (t) => {
  const parser = function* (input: ParserInput<string>) {
    while (yield* input.more()) input.emit(String(yield* input.until(';')))
  }
  for (const cut of [1, 3, 4, 5, 12]) {
    const buffer = new ChunkedBuffer({ parser, maxLength: 4 })
    const text = 'ab;c;def;g;;'
    for (let at = 0; at < text.length; at += cut) buffer.write(text.slice(at, at + cut))
    buffer.end()
    const frames: string[] = []
    for await (const frame of buffer) frames.push(frame)
    t.deepEqual(frames, ['ab', 'c', 'def', 'g', ''])
    const long = new ChunkedBuffer({ parser, maxLength: 4 })
    const seen: string[] = []
    const read = (async () => {
      for await (const frame of long) seen.push(frame)
    })()
    for (let at = 0; at < text.length; at += cut) long.write('ab;cdefg;hi;'.slice(at, at + cut))
    await t.throwsAsync(read, { code: 'MILL_BUFFER_FULL' })
    t.deepEqual(seen, ['ab'])
  }
})

test('an error that nobody is told of is not swallowed: the reader tells it, the verbs cannot', async (t) => {
  const error = new Error('gone')
  const byVerbs = new ChunkedBuffer()
  byVerbs.write('a')
  byVerbs.take(1)
  t.is(byVerbs.listenerCount('error'), 0)
  const heard = once(byVerbs, 'error')
  byVerbs.destroy(error)
  t.deepEqual(await heard, [error])

  const byReader = new ChunkedBuffer()
  const waiting = byReader.reader.take(1) as Promise<unknown>
  byReader.destroy(error)
  t.is(await waiting.catch((seen) => seen), error)
  await settle(2)
  t.is(await (byReader.reader.more() as Promise<unknown>).catch((seen) => seen), error)
})
