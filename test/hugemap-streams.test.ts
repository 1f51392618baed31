import { Readable, Transform, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import test from 'ava'
import { HugeMap, type Progress, StoreError } from '../lib/hugemap/index.js'
import { memoryStore } from '../lib/store/index.js'
import { pump } from '../lib/streams/index.js'
import { ENGINES, failure, gatedStore, within } from './fixtures/hugemap-kit.js'
import { abortKit, codeOf, gather, settle, watch } from './fixtures/stream-kit.js'

const entries = (count: number, from = 0): [number, string][] =>
  Array.from({ length: count }, (_, i) => [from + i, `value ${from + i}`])

for (const engine of ENGINES) {
  const name = (what: string): string => `${what} (${engine.name})`

  test(name('readable and batches give a range in order, after waiting for what was set'), async (t) => {
    await using map = await HugeMap.open<number, string>(engine.where(t))
    const all = entries(3000)
    for (const [key, value] of all) map.set(key, value)
    t.deepEqual(await gather(map.readable()), all)
    t.deepEqual(
      await gather(map.readable({ gte: 100, lt: 2500, reverse: true, limit: 10 })),
      all.slice(2490, 2500).reverse(),
    )
    const sizes: number[] = []
    const found: [number, string][] = []
    for await (const batch of map.batches({ gte: 10 })) {
      sizes.push(batch.length)
      found.push(...batch)
    }
    t.deepEqual(found, all.slice(10))
    t.is(Math.max(...sizes), 256)
    t.deepEqual(
      (await gather(map.batches({ maxItems: 7, limit: 20 }))).map((batch) => batch.length),
      [7, 7, 6],
    )
    t.deepEqual(await gather(map.batches({ gt: 5000 })), [])
    t.deepEqual(await gather(map.readable({ limit: 0 })), [])
  })

  test(name('a stream sees the state it began with; a live one sees the newest, batch by batch'), async (t) => {
    await using map = await HugeMap.open<number, string>(engine.where(t))
    await map.setMany(entries(1000))
    for (const live of [false, true]) {
      const seen: string[] = []
      let first = true
      for await (const batch of map.batches({ maxItems: 100, live })) {
        for (const [, value] of batch) seen.push(value)
        if (!first) continue
        first = false
        await Promise.all([map.set(999, `changed ${live}`), map.delete(500), map.set(0, 'behind')])
      }
      t.is(seen.at(-1), live ? 'changed true' : 'value 999')
      t.is(seen.length, live ? 999 : 1000)
      await map.set(500, 'value 500')
    }
    const backwards = await gather(map.batches({ live: true, reverse: true, maxItems: 300 }))
    t.deepEqual(
      backwards.flat().map(([key]) => key),
      Array.from({ length: 1000 }, (_, i) => 999 - i),
    )
  })

  test(name('pipeline both ways, through Node streams and Web streams'), async (t) => {
    await using map = await HugeMap.open<number, string>(engine.where(t))
    await using copy = await map.namespace<number, string>('copy')
    await pipeline(Readable.from(entries(2000)), map.writable())
    t.is(map.size, 2000)
    const upper = new Transform({
      objectMode: true,
      transform([key, value]: [number, string], _encoding, done) {
        done(null, [key, value.toUpperCase()])
      },
    })
    await pipeline(map.readable({ lt: 1000 }), upper, copy.writable())
    t.deepEqual([copy.size, copy.get(999)], [1000, 'VALUE 999'])
    await copy.clear()
    await map.readable({ gte: 1500 }).toWeb().pipeTo(copy.writable().toWeb())
    t.deepEqual([...copy.keys({ limit: 2 }), copy.size], [1500, 1501, 500])
    await pump(map.batches({ maxItems: 100 }), copy.writable({ batches: true }))
    t.deepEqual([copy.size, copy.get(0)], [2000, 'value 0'])
    t.is(await copy.setMany(map.readable().toNode()), 2000)
  })

  test(name('setMany takes any source, tells its progress and how many there were'), async (t) => {
    await using map = await HugeMap.open<number, string>(engine.where(t))
    const told: Progress[] = []
    t.is(await map.setMany(entries(5000), { onProgress: (progress) => told.push(progress) }), 5000)
    t.is(told.at(-1)?.done, 5000)
    t.is(told.at(-1)?.phase, 'write')
    async function* slowly(): AsyncGenerator<[number, string]> {
      for (const entry of entries(5, 5000)) {
        await settle(1)
        yield entry
      }
    }
    t.is(await map.setMany(slowly()), 5)
    t.is(await map.setMany(new Map(entries(3, 6000))), 3)
    t.is(await map.setMany([]), 0)
    t.is(map.size, 5008)
    t.is(codeOf(await failure(map.setMany(5 as never))), 'MILL_NOT_A_STREAM')
    t.is(codeOf(await failure(map.setMany([[1, 'a', 2]] as never))), 'MILL_UNSUPPORTED_ITEM')
    t.is(codeOf(await failure(map.setMany([], { onProgress: 1 as never }))), 'MILL_INVALID_ARGUMENT')
    t.is(codeOf(await failure(map.setMany([[NaN, 'a']]))), 'MILL_BAD_KEY')
  })

  test(name('G4: a fault in the source ends it; what was sent before is there, in order, nothing after'), async (t) => {
    await using map = await HugeMap.open<number, string>(engine.where(t))
    const thrown = new Error('mine')
    function* faulty(): Generator<[number, string]> {
      yield* entries(2000)
      throw thrown
    }
    t.is(await failure(map.setMany(faulty())), thrown)
    await map.flush()
    const size = map.size
    t.true(size <= 2000)
    t.deepEqual(
      [...map.keys()],
      Array.from({ length: size }, (_, i) => i),
    )
    await map.clear()
    const sink = map.writable()
    t.is(await failure(pipeline(Readable.from(faulty()), sink)), thrown)
    await map.flush()
    t.deepEqual(
      [...map.keys()],
      Array.from({ length: map.size }, (_, i) => i),
    )
    await map.clear()
    const bad = [...entries(300), [NaN, 'x'] as [number, string], ...entries(300, 300)]
    t.is(codeOf(await failure(pipeline(Readable.from(bad), map.writable()))), 'MILL_BAD_KEY')
    await map.flush()
    t.true(map.size <= 300)
    t.false(map.has(300))
  })

  test(name('abort ends readers and writers with the reason'), async (t) => {
    await using map = await HugeMap.open<number, string>(engine.where(t))
    await map.setMany(entries(5000))
    const reason = new Error('enough')
    const kit = abortKit()
    let seen = 0
    const error = await failure(async () => {
      for await (const _ of map.readable({ signal: kit.signal })) if (++seen === 300) kit.abort(reason)
    })
    t.is(error, reason)
    t.true(seen < 5000)
    const batched = abortKit()
    const ended = await failure(async () => {
      for await (const _ of map.batches({ signal: batched.signal, maxItems: 10 })) batched.abort(reason)
    })
    t.is(ended, reason)
    const writing = abortKit()
    const sink = map.writable({ signal: writing.signal })
    const ends = watch(sink)
    sink.write([9000, 'x'])
    writing.abort(reason)
    await within(ends.closed, 'close')
    t.deepEqual([ends.errors, ends.counts.finish], [[reason], 0])
    const many = abortKit()
    function* endless(): Generator<[number, string]> {
      for (let i = 10_000; ; i++) {
        if (i === 12_000) many.abort(reason)
        yield [i, 'x']
      }
    }
    t.is(await failure(map.setMany(endless(), { signal: many.signal })), reason)
    t.is(many.live(), 0)
    await map.flush()
    const more = [...map.keys({ gte: 10_000 })]
    t.deepEqual(
      more,
      Array.from({ length: more.length }, (_, i) => 10_000 + i),
    )
    t.is(await failure(map.getMany([1], { signal: AbortSignal.abort(reason) })), reason)
  })

  test(name('closing the map ends its streams with MILL_CLOSED'), async (t) => {
    const map = await HugeMap.open<number, string>(engine.where(t))
    await map.setMany(entries(3000))
    const stream = map.readable()
    const sink = map.writable()
    const ends = watch(sink)
    sink.write([5000, 'first'])
    const error = await failure(async () => {
      for await (const _ of stream) void map.close()
    })
    t.is(codeOf(error), 'MILL_CLOSED')
    sink.write([5001, 'x'])
    sink.end()
    await within(ends.closed, 'sink')
    t.is(codeOf(ends.errors[0]), 'MILL_CLOSED')
    t.is(codeOf(await failure(async () => gather(map.batches()))), 'MILL_CLOSED')
  })
}

test('G4: a slow reader makes the stream wait, one that leaves closes it', async (t) => {
  const store = memoryStore()
  let taken = 0
  await using map = await HugeMap.open<number, string>(store, {
    value: {
      name: 'counted',
      encode: (text: string) => Buffer.from(text),
      decode: (data) => {
        taken++
        return Buffer.from(data).toString()
      },
    },
    verify: 'off',
  })
  await map.setMany(entries(20_000))
  const slow = new Writable({ objectMode: true, highWaterMark: 1, write() {} })
  const stream = map.readable()
  const ends = watch(stream)
  stream.pipe(slow)
  await settle(100)
  t.true(taken > 0 && taken < 3000, `${taken} values were decoded for a reader that took one`)
  const before = taken
  await settle(100)
  t.is(taken, before)
  slow.destroy()
  await within(ends.closed, 'close')
  for await (const _ of map.readable()) break
  for await (const _ of map.batches()) break
  t.is(map.size, 20_000)
})

test("G4: 'finish' of writable comes when all is on the disk, 'drain' when there is room", async (t) => {
  const gate = gatedStore()
  const map = await HugeMap.open<number, string>(gate.store, { verify: 'off' })
  const sink = map.writable()
  const ends = watch(sink)
  let key = 0
  let drains = 0
  sink.on('drain', () => drains++)
  while (sink.write([key, 'x'.repeat(5000)])) key++
  t.true(sink.writableNeedDrain)
  for (let i = 0; i < 2000; i++) sink.write([++key, 'x'.repeat(5000)])
  await settle(50)
  t.is(drains, 0, 'more than 4 MiB wait for the disk')
  sink.end([++key, 'last'])
  await settle(50)
  t.is(ends.counts.finish, 0)
  t.is(map.size, 0)
  await gate.open()
  await within(ends.closed, 'close')
  t.deepEqual([ends.counts.finish, ends.errors, map.size], [1, [], key + 1])
})

test('H2: a write that fails ends the stream that it belongs to', async (t) => {
  const gate = gatedStore()
  const map = await HugeMap.open<number, string>(gate.store)
  const full = new StoreError('MILL_DISK_FULL', 'no room')
  const sink = map.writable()
  const ends = watch(sink)
  sink.write([1, 'a'])
  await settle()
  await gate.fail(full)
  sink.end([2, 'b'])
  await within(ends.closed, 'close')
  t.deepEqual([ends.errors, ends.counts.finish], [[full], 0])
  const many = failure(map.setMany([[1, 'a']]))
  await settle()
  await gate.fail(full)
  t.is(await many, full)
  await gate.open()
  t.is(await map.setMany([[3, 'c']]), 1)
  t.deepEqual([...map.keys()], [3])
})

test('wrong items and options of streams', async (t) => {
  await using map = await HugeMap.open<number, string>(memoryStore())
  const items: unknown[] = [5, 'text', [1], [1, 'a', 2], {}, null]
  for (const item of items) {
    const sink = map.writable()
    const ends = watch(sink)
    sink.write(item as never)
    await within(ends.closed, 'close')
    t.is(codeOf(ends.errors[0]), 'MILL_UNSUPPORTED_ITEM', String(item))
  }
  const sink = map.writable({ batches: true })
  const ends = watch(sink)
  sink.write([[1, 'a'], [2]] as never)
  await within(ends.closed, 'close')
  t.is(codeOf(ends.errors[0]), 'MILL_UNSUPPORTED_ITEM')
  const ended = map.writable()
  const late = watch(ended)
  ended.end()
  ended.write([1, 'a'])
  await within(late.closed, 'close')
  t.is(codeOf(late.errors[0]), 'MILL_WRITE_AFTER_END')
  for (const options of [{ maxItems: 0 }, { maxItems: 1.5 }, { live: 1 }, { signal: 1 }] as object[]) {
    t.is(codeOf(await failure(() => map.batches(options))), 'MILL_INVALID_ARGUMENT')
    t.is(codeOf(await failure(() => map.readable(options))), 'MILL_INVALID_ARGUMENT')
  }
  t.is(codeOf(await failure(() => map.writable({ batches: 1 } as never))), 'MILL_INVALID_ARGUMENT')
  await using disposed = map.writable()
  t.true(disposed.writable)
})

test("what Node's pipeline() asks of a stream to write to: is it closed, and of what", async (t) => {
  await using map = await HugeMap.open<number, string>(memoryStore())
  const sink = map.writable() as unknown as Writable & { writableErrored: Error | null }
  t.deepEqual([sink.closed, sink.errored, sink.writableErrored], [false, null, null])
  const ends = watch(sink as never)
  const fault = new Error('enough')
  sink.destroy(fault)
  await within(ends.closed, 'close')
  t.true(sink.closed)
  t.is(sink.errored, fault)
  t.is(sink.writableErrored, fault)
  // It closed before it came: pipeline() would wait for events for ever.
  const source = Readable.from(entries(3))
  t.truthy(
    await within(
      failure(() => pipeline(source, sink)),
      'pipeline',
    ),
  )
})
