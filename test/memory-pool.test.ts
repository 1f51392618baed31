import test from 'ava'
import { ByteQueue, type Bytes, MemoryPool } from '../lib/buffer/index.js'
import { PoisonedPool } from './fixtures/buffer-model.js'

test('MemoryPool: last in first out, never over its limit', (t) => {
  const pool = new MemoryPool({ maxBytes: 100 })
  t.deepEqual([pool.maxBytes, pool.bytes, pool.allocated], [100, 0, 0])
  const queue = () => new ByteQueue({ pool, minimumChunkSize: 64, maximumChunkSize: 64 })
  const [one, two] = [queue(), queue()]
  one.append('a')
  two.append('b')
  t.is(pool.allocated, 2)
  one.clear()
  two.clear()
  t.is(pool.bytes, 64, 'the second would pass the limit')
  queue().append('c')
  t.deepEqual([pool.bytes, pool.allocated], [0, 2])
  one.append('d')
  one.clear()
  pool.clear()
  t.is(pool.bytes, 0)
  t.is(MemoryPool.shared.maxBytes, 2 ** 24)
  for (const wrong of [-1, Number.NaN, '5'])
    t.throws(() => new MemoryPool({ maxBytes: wrong as number }), { code: 'MILL_INVALID_ARGUMENT' })
})

test('a steady state allocates nothing, and a forgotten release is only slower', (t) => {
  const pool = new MemoryPool()
  const queue = new ByteQueue({ pool, minimumChunkSize: 1024, maximumChunkSize: 1024 })
  const turn = (release: boolean): Bytes => {
    const chunk = queue.getChunk(1024)
    chunk.fill(7)
    queue.chunkWritten(1024)
    const bytes = queue.take()
    if (release) bytes.release()
    return bytes
  }
  for (let i = 0; i < 10; i++) turn(true)
  const before = pool.allocated
  for (let i = 0; i < 1000; i++) turn(true)
  t.is(pool.allocated, before)
  const kept = Array.from({ length: 5 }, () => turn(false))
  t.true(pool.allocated > before && pool.allocated <= before + 5)
  t.true(kept.every((bytes) => bytes.copy().every((byte) => byte === 7)))
})

test('sizes of chunks are few, so that a pool finds memory again', (t) => {
  const pool = new MemoryPool()
  for (const hint of [1, 17, 33, 100, 1000, 63, 129, 900, 1024]) {
    const queue = new ByteQueue({ pool, minimumChunkSize: 16, maximumChunkSize: 1024 })
    t.true(queue.getChunk(hint).length >= hint)
    queue.chunkWritten(1)
    queue.clear()
  }
  t.true(pool.allocated <= 6, `${pool.allocated} memories for nine sizes`)
})

test('B3: a read that is still under way when a longer chunk is asked for writes into nobody else’s memory', (t) => {
  const pool = new PoisonedPool()
  const options = { pool, minimumChunkSize: 16, maximumChunkSize: 64 }
  const queue = new ByteQueue(options)
  const first = queue.getChunk(16)
  t.is(queue.getChunk(8), first, 'long enough: the same')
  const second = queue.getChunk(64)
  t.not(second.buffer, first.buffer)
  const other = new ByteQueue(options)
  other.append('0123456789')
  const taken = other.take()
  first.fill(33)
  t.is(taken.toString(), '0123456789')
  second.set(Buffer.from('abc'))
  queue.chunkWritten(3)
  t.is(queue.take().toString(), 'abc')
})

test('B3: memory goes back once, when the last of all holders lets go', (t) => {
  const pool = new PoisonedPool()
  const queue = new ByteQueue({ pool, minimumChunkSize: 64, maximumChunkSize: 64 })
  queue.append('x'.repeat(64))
  const all = queue.take()
  const handles = [all, all.retain(), all.slice(1, 3), ...all.split('y')]
  queue.clear()
  t.is(pool.bytes, 0)
  for (const handle of handles) {
    t.is(pool.bytes, 0)
    handle.release()
    handle.release()
  }
  t.is(pool.bytes, 64)
})

test('pool: null holds nothing back and works the same', (t) => {
  const before = MemoryPool.shared.allocated
  const queue = new ByteQueue({ pool: null })
  for (let i = 0; i < 20; i++) {
    queue.append('some text')
    const bytes = queue.take()
    t.is(bytes.toString(), 'some text')
    bytes.release()
  }
  queue.clear()
  t.is(MemoryPool.shared.allocated, before)
})
