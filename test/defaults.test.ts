import test from 'ava'
import {
  ByteQueue,
  ChunkedBuffer,
  FrameParser,
  httpSource,
  lines,
  MapBuffer,
  MapBufferWriter,
  MemoryPool,
  readable,
  writable,
} from '../lib/index.js'

// The limits the README promises, seen from outside.

test('a queue holds 2^30 bytes, a ChunkedBuffer 2^26, a pool keeps 2^24', (t) => {
  t.is(new ByteQueue().maxLength, 2 ** 30)
  t.is(
    new FrameParser(function* (input) {
      yield* input.rest()
    }).queue.maxLength,
    2 ** 30,
  )
  t.is(new ChunkedBuffer().queue.maxLength, 2 ** 26)
  t.is(new ChunkedBuffer({ maxLength: 5 }).queue.maxLength, 5)
  t.is(new MemoryPool().maxBytes, 2 ** 24)
})

test('chunks begin with 16,384 bytes, double up to 262,144, and stay there', (t) => {
  const queue = new ByteQueue({ pool: new MemoryPool() })
  const sizes = Array.from({ length: 8 }, () => {
    const { length } = queue.getChunk()
    queue.chunkWritten(length)
    return length
  })
  t.deepEqual(sizes, [16384, 32768, 65536, 131072, 262144, 262144, 262144, 262144])
})

test('511 bytes are copied, 512 are pointed at', (t) => {
  for (const [size, pointed] of [
    [511, false],
    [512, true],
  ] as const) {
    const mine = new Uint8Array(size)
    const queue = new ByteQueue()
    queue.append(mine)
    t.is(queue.take().toUint8Array().buffer === mine.buffer, pointed)
  }
})

test('writers wait at 65,536 bytes; an item that is neither bytes nor a string counts 64', (t) => {
  const buffer = new ChunkedBuffer()
  t.true(buffer.write(new Uint8Array(65535)))
  t.false(buffer.write('x'))
  t.true(buffer.writableNeedDrain)
  buffer.destroy()

  const frames = new ChunkedBuffer<object>({
    parser: function* (input) {
      for (;;) input.emit({ byte: yield* input.uint8() })
    },
  })
  frames.write(new Uint8Array(5000))
  t.is(5000 - frames.queue.length, 1024, 'an unread frame of one byte counts 64')
  frames.destroy()

  const sink = writable<object>(() => new Promise(() => {}))
  let taken = 0
  while (sink.write({})) taken++
  t.is(taken + 1, 1024)
  sink.destroy()
})

test('a source is read 65,536 bytes ahead', async (t) => {
  let given = 0
  const stream = readable(
    (function* () {
      for (;;) {
        given += 1000
        yield new Uint8Array(1000)
      }
    })(),
  )
  await stream[Symbol.asyncIterator]().next()
  t.is(given, 66000)
  stream.destroy()
})

test('a line may have 2^24 bytes and no more', async (t) => {
  const gather = async (bytes: Uint8Array[]): Promise<number> => {
    for await (const line of lines(bytes)) return line.length
    return -1
  }
  const most = new Uint8Array(2 ** 24).fill(97)
  t.is(await gather([most, Buffer.from('\n')]), 2 ** 24)
  t.is(await gather([most, Buffer.from('\r\n')]), 2 ** 24)
  await t.throwsAsync(gather([most, Buffer.from('a\n')]), { code: 'MILL_TOO_LONG' })
})

test('a writer keeps 64 MiB of values in memory, and gives chunks of 256 KiB', async (t) => {
  const value = new Uint8Array(2 ** 20)
  for (const [more, mode] of [
    [0, 'memory'],
    [1, 'spool'],
  ] as const) {
    const writer = new MapBufferWriter({ crc: false })
    const read = (async () => {
      let most = 0
      let bytes = 0
      for await (const { length } of writer) {
        most = Math.max(most, length)
        bytes += length
      }
      return { most, bytes }
    })()
    for (let label = 0; label < 64; label++) {
      if (!writer.write([label, value])) await new Promise<void>((resolve) => writer.once('drain', () => resolve()))
    }
    writer.end([64, new Uint8Array(more)])
    t.deepEqual(await read, { most: 2 ** 18, bytes: 16 + 65 * 16 + 2 ** 26 + more })
    t.is(writer.stats.mode, mode)
  }
})

test('a server that ignores ranges may send 8 MiB', async (t) => {
  for (const [size, code] of [
    [2 ** 23, undefined],
    [2 ** 23 + 1, 'MILL_SOURCE_NO_RANGES'],
  ] as const) {
    for (const told of [true, false]) {
      const headers = told ? { 'content-length': String(size) } : undefined
      const fetch = async () => new Response(new Uint8Array(size), { ...(headers !== undefined && { headers }) })
      const read = httpSource('http://millrace.test/file', { fetch }).read(size - 5, 5)
      if (code === undefined) t.is((await read).length, 5)
      else await t.throwsAsync(read, { code })
    }
  }
})

test('verify lists 1,000 problems', async (t) => {
  for (const count of [1000, 1001]) {
    const bytes = MapBuffer.from(Array.from({ length: count }, (_, label) => [label, Uint8Array.of(1)])).toBytes()
    bytes.fill(2, 16 + 16 * count)
    const { ok, entries, problems } = await new MapBuffer(bytes).verify()
    t.deepEqual([ok, entries, problems.length], [false, count, 1000])
  }
})
