import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import {
  ByteQueue,
  ChunkedBuffer,
  FrameParser,
  HugeMap,
  httpSource,
  lines,
  MapBuffer,
  MapBufferWriter,
  MemoryPool,
  memoryStore,
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

test('a key of a HugeMap has at most 1,978 bytes, with pages of 8,192 at most 4,026', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  for (const [pageSize, limit] of [
    [undefined, 1978],
    [8192, 4026],
  ] as const) {
    const path = join(folder, String(limit))
    await using map = await HugeMap.open<string, number>(path, { key: 'string', ...(pageSize && { pageSize }) })
    t.true(await map.set('x'.repeat(limit), 1))
    t.is(map.get('x'.repeat(limit)), 1)
    await t.throwsAsync(map.set('x'.repeat(limit + 1), 1), { code: 'MILL_BAD_KEY', message: new RegExp(`${limit}`) })
  }
})

test('a folder has at most 64 maps, with names of at most 200 bytes', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  await using map = await HugeMap.open(join(folder, 'maps'))
  const names = Array.from({ length: 63 }, (_, i) => `${i}`.padEnd(200, 'x'))
  for (const name of names) await (await map.namespace(name)).close()
  t.deepEqual(map.namespaces(), ['', ...names].sort())
  await t.throwsAsync(map.namespace('one more'), { code: 'MILL_TOO_MANY' })
  await t.throwsAsync(map.namespace('x'.repeat(201)), { code: 'MILL_INVALID_ARGUMENT' })
  await t.throwsAsync(map.namespace('ü'.repeat(101)), { code: 'MILL_INVALID_ARGUMENT' })
})

test('64 MiB of writes may wait for the disk', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  await using map = await HugeMap.open<number, Uint8Array>(join(folder, 'map'), { value: 'bytes', verify: 'off' })
  const value = new Uint8Array(2 ** 20)
  // In one turn of the event loop nothing of it can have been written.
  const written = await Promise.allSettled(Array.from({ length: 70 }, (_, i) => map.set(i, value)))
  const refused = written.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
  t.is(refused.length, 7)
  for (const error of refused) t.like(error, { code: 'MILL_BACKLOG', limit: 2 ** 26 })
  t.is(map.size, 63)
})

test('batches have 256 entries, a transaction is tried 10 times', async (t) => {
  const store = memoryStore()
  await using map = await HugeMap.open<number, number>(store)
  await using other = await HugeMap.open<number, number>(store)
  await map.setMany(Array.from({ length: 600 }, (_, i) => [i, i] as const))
  const sizes: number[] = []
  for await (const some of map.batches()) sizes.push(some.length)
  t.deepEqual(sizes, [256, 256, 88])
  let tried = 0
  const losing = map.transaction((transaction) => {
    transaction.set(0, (transaction.get(0) ?? 0) + 1)
    // Somebody else is always faster.
    void other.set(0, -++tried)
  })
  await t.throwsAsync(losing, { code: 'MILL_CONFLICT' })
  t.is(tried, 10)
})

test('a value may have 256 MiB', async (t) => {
  await using map = await HugeMap.open<number, Uint8Array>(memoryStore(), { value: 'bytes', checksum: false })
  await t.throwsAsync(map.set(1, new Uint8Array(2 ** 28 + 1)), { code: 'MILL_TOO_LARGE' })
})

test('10,000 decoded values are kept in memory', async (t) => {
  await using map = await HugeMap.open<number, object>(memoryStore())
  await map.setMany(Array.from({ length: 10_001 }, (_, i) => [i, { i }] as const))
  const cached = map.cached()
  const kept = Array.from({ length: 10_000 }, (_, i) => cached.get(i))
  t.true(kept.every((value, i) => cached.get(i) === value))
  cached.get(10_000)
  t.is(cached.get(1), kept[1])
  t.deepEqual(cached.get(0), kept[0])
  t.not(cached.get(0), kept[0], 'it was used least recently, and made way')
})
