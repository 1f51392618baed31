import { PassThrough, Readable } from 'node:stream'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import fc from 'fast-check'
import { LoadIt, type LoadItOptions } from '../lib/loadit/index.js'
import { readable } from '../lib/streams/index.js'
import { countedSource, folder, itemAt, opened, record, shardFiles, temporaries, until } from './fixtures/loadit-kit.js'
import { codeOf, failure, gather, settle, within } from './fixtures/stream-kit.js'

const SCALE = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

/** Every kind of thing that can be walked through. */
const SOURCES: Record<string, (items: readonly number[], start: number) => unknown> = {
  generator: function* (items, start) {
    yield* items.slice(start)
  },
  'async generator': async function* (items, start) {
    for (const item of items.slice(start)) {
      if (item % 3 === 0) await turn()
      yield item
    }
  },
  array: (items, start) => items.slice(start),
  set: (items, start) => new Set(items.slice(start)),
  promise: async (items, start) => items.slice(start),
  'promise of a stream': async (items, start) => Readable.from(items.slice(start)),
  'Node stream': (items, start) => Readable.from(items.slice(start)),
  'Node pipe': (items, start) => Readable.from(items.slice(start)).pipe(new PassThrough({ objectMode: true })),
  'Web stream': (items, start) =>
    new ReadableStream({
      start(controller) {
        for (const item of items.slice(start)) controller.enqueue(item)
        controller.close()
      },
    }),
  'stream of ours': (items, start) => readable(items.slice(start)),
  'bare iterator': (items, start) => {
    let next = start
    const iterator = {
      next: () => (next < items.length ? { done: false, value: items[next++] } : { done: true, value: undefined }),
      [Symbol.iterator]: () => iterator,
    }
    return iterator
  },
}

for (const [name, make] of Object.entries(SOURCES)) {
  test(`a source that is a ${name} is read like an array, seekable or not`, async (t) => {
    for (const seekable of [false, true]) {
      for (const count of [0, 1, 6, 7, 8, 14, 30]) {
        const items = numbers(count)
        const loader = await opened(t, {
          root: folder(t),
          seekable,
          maxShardLength: 7,
          source: ({ start }) => make(items, start) as Iterable<number>,
        })
        t.deepEqual(await within(gather(loader), 'for await'), items)
        t.is(await loader.length(), count)
        for (let i = -count - 3; i <= count + 3; i++)
          t.is(await within(loader.at(i), 'at'), items.at(i), `${i} of ${count}`)
        t.true(loader.allCachedToDisk())
        const bad = [...items, -1, count, 0].map((i) => i)
        t.deepEqual(
          await loader.getMany(bad),
          bad.map((i) => items.at(i)),
        )
      }
    }
  })
}

test('any order of questions gives what the array has, with evictions and reopening in between', async (t) => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ do: fc.constant('at' as const), i: fc.integer({ min: -70, max: 70 }) }),
      fc.record({
        do: fc.constant('many' as const),
        list: fc.array(fc.integer({ min: -70, max: 70 }), { maxLength: 9 }),
      }),
      fc.record({
        do: fc.constant('batches' as const),
        start: fc.nat(70),
        end: fc.nat(70),
        maxItems: fc.integer({ min: 1, max: 20 }),
        leave: fc.boolean(),
      }),
      fc.record({ do: fc.constantFrom('length' as const, 'reopen' as const, 'verify' as const) }),
    ),
    { minLength: 1, maxLength: 12 },
  )
  const shape = fc.record({
    count: fc.nat(60),
    maxShardLength: fc.integer({ min: 1, max: 12 }),
    seekable: fc.boolean(),
    limit: fc.option(fc.integer({ min: 0, max: 4000 }), { nil: undefined }),
    maxSources: fc.integer({ min: 1, max: 3 }),
    preload: fc.nat(3),
    isAsync: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(shape, steps, async (given, plan) => {
      const root = folder(t)
      const items = numbers(given.count).map(itemAt)
      const options: LoadItOptions<(typeof items)[number]> = {
        root,
        maxShardLength: given.maxShardLength,
        seekable: given.seekable,
        maxSources: given.maxSources,
        preload: given.preload,
        ...(given.limit !== undefined && { memoryLimit: given.limit }),
        source: ({ start }) =>
          given.isAsync
            ? (async function* () {
                yield* items.slice(start)
              })()
            : items.slice(start),
      }
      let loader = await LoadIt.open(options)
      try {
        for (const step of plan) {
          if (step.do === 'at') t.deepEqual(await within(loader.at(step.i), 'at'), items.at(step.i))
          else if (step.do === 'many') {
            t.deepEqual(
              await within(loader.getMany(step.list), 'getMany'),
              step.list.map((i) => items.at(i)),
            )
          } else if (step.do === 'length') t.is(await within(loader.length(), 'length'), items.length)
          else if (step.do === 'verify') t.deepEqual((await within(loader.verify(), 'verify')).bad, [])
          else if (step.do === 'reopen') {
            await within(loader.close(), 'close')
            loader = await LoadIt.open(options)
          } else if (step.do === 'batches') {
            const { start, end, maxItems, leave } = step
            const got: unknown[] = []
            const walk = async () => {
              for await (const batch of loader.batches({ start, end, maxItems })) {
                if (batch.length === 0 || batch.length > maxItems) t.fail(`a batch of ${batch.length}`)
                got.push(...batch)
                if (leave) break
              }
            }
            await within(walk(), 'batches')
            const all = items.slice(start, Math.max(start, end))
            t.deepEqual(got, leave ? all.slice(0, got.length) : all)
          }
        }
        if (given.limit !== undefined) t.true(loader.stats().diskBytes <= given.limit)
      } finally {
        await within(loader.close(), 'close')
      }
      t.deepEqual(temporaries(root), [])
    }),
    { numRuns: 60 * SCALE },
  )
})

test('the source is walked once, and all that passed is there', async (t) => {
  const root = folder(t)
  const { source, seen } = countedSource(1000)
  const loader = await opened(t, { root, source, maxShardLength: 64 })
  t.deepEqual(await loader.at(700), itemAt(700))
  t.is(await loader.length(), 1000)
  t.deepEqual(await gather(loader), numbers(1000).map(itemAt))
  t.deepEqual(await loader.at(-1), itemAt(999))
  t.like(seen, { walks: 1, pulled: 1000, ended: 1 })
  t.is(shardFiles(root).length, 16)
  t.like(loader.stats(), { generated: 16, restarts: 0, evicted: 0, corrupt: 0 })
  await loader.close()
  const again = await opened(t, { root })
  t.is(again.knownLength, 1000)
  t.is(again.shardLength, 64)
  t.deepEqual(await gather(again), numbers(1000).map(itemAt))
  t.deepEqual(await again.at(-1), itemAt(999))
})

test('a value belongs to who read it, unless decoded items are shared', async (t) => {
  const root = folder(t)
  const loader = await opened(t, { root, source: () => [{ a: [1] }], maxShardLength: 8 })
  const first = await loader.at(0)
  first?.a.push(2)
  t.deepEqual(await loader.at(0), { a: [1] })
  t.not(await loader.at(0), await loader.at(0))
  const shared = await opened(t, { root, cache: { form: 'decoded' } })
  t.deepEqual(await gather(shared as LoadIt<unknown>), [{ a: [1] }])
  t.is(await shared.at(0), await shared.at(0))
})

test('null, undefined and all a serializer keeps are items', async (t) => {
  const items = [undefined, null, 0, '', Number.NaN, new Date(0), new Map([[1, 2]]), 10n, [undefined]]
  for (const serializer of ['msgpack', 'v8'] as const) {
    const loader = await opened(t, { root: folder(t), source: () => items, serializer, maxShardLength: 4 })
    t.deepEqual(await gather(loader), items)
    t.deepEqual(await loader.getMany(numbers(9)), items)
    t.is(codeOf(await failure(gather(loader.stream()))), 'MILL_UNSUPPORTED_ITEM')
  }
  const bytes = [new Uint8Array([1, 2]), new Uint8Array()]
  const raw = await opened(t, { root: folder(t), source: () => bytes, serializer: 'bytes' })
  t.deepEqual(await gather(raw), bytes)
})

test('peek gives what is in memory, and touches nothing', async (t) => {
  const root = folder(t)
  const { source, seen } = countedSource(20)
  const loader = await opened(t, { root, source, maxShardLength: 8 })
  t.is(loader.peek(0), undefined)
  t.is(seen.walks, 0)
  await loader.at(9)
  t.deepEqual(loader.peek(3), itemAt(3))
  t.is(loader.peek(19), undefined)
  await loader.length()
  t.deepEqual(loader.peek(-1), itemAt(19))
  t.is(loader.peek(20), undefined)
  t.is(loader.peek(-21), undefined)
  const other = await opened(t, { root })
  t.is(other.peek(3), undefined)
})

test('a bad index is refused wherever it is given', async (t) => {
  const loader = await opened(t, { root: folder(t), source: () => [1, 2, 3] })
  for (const index of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1', undefined] as number[]) {
    t.is(codeOf(await failure(loader.at(index))), 'MILL_INDEX')
    t.is(codeOf(await failure(loader.getMany([0, index]))), 'MILL_INDEX')
    t.is(codeOf(await failure(() => loader.peek(index))), 'MILL_INDEX')
  }
})

test('wrong options are refused before anything is opened', async (t) => {
  const root = folder(t)
  const wrong: Record<string, unknown>[] = [
    { root: '' },
    { root: 7 },
    { source: [1] },
    { maxShardLength: 0 },
    { maxShardLength: 2 ** 20 + 1 },
    { maxShardLength: '4kb' },
    { maxShardLength: 'mb' },
    { cache: { bytes: -1 } },
    { cache: { form: 'both' } },
    { memoryLimit: 1.5 },
    { maxSources: 0 },
    { preload: -1 },
    { length: -1 },
    { verify: 'some' },
    { onMismatch: 'ignore' },
    { nondeterministic: true },
    { durability: 'none' },
    { leaseMs: 0 },
    { seekable: 1 },
    { push: 'yes' },
    { remote: {} },
    { fingerprint: 1 },
    { serializer: 'xml' },
    { compression: 5 },
    { signal: 'now' },
  ]
  for (const options of wrong) {
    t.is(
      codeOf(await failure(LoadIt.open({ root, ...options } as LoadItOptions<number>))),
      'MILL_INVALID_ARGUMENT',
      JSON.stringify(options),
    )
  }
  t.is(codeOf(await failure(LoadIt.open({ root, compression: 'nope' }))), 'MILL_CODEC_UNKNOWN')
  t.is(codeOf(await failure(LoadIt.open({ root, signal: AbortSignal.abort('no') }))), 'no')
})

test('the size of a shard in MiB settles with the first one, and holds for ever', async (t) => {
  const root = folder(t)
  const { source } = countedSource(3000, (n) => ({ n, text: 'x'.repeat(200) }))
  const loader = await opened(t, { root, source, maxShardLength: '0.1mb' })
  t.is(loader.shardLength, undefined)
  // A question for another shard waits for the first one.
  t.like(await within(loader.at(2500), 'at'), { n: 2500 })
  const length = loader.shardLength as number
  t.true(length > 300 && length < 600, String(length))
  t.is(await loader.length(), 3000)
  const other = await opened(t, { root, maxShardLength: '64mb' })
  t.is(other.shardLength, length)
  t.is(codeOf(await failure(LoadIt.open({ root, maxShardLength: length + 1 }))), 'MILL_DATASET_MISMATCH')
  const small = await opened(t, { root: folder(t), source: () => [1, 2, 3], maxShardLength: '1mb' })
  t.deepEqual(await gather(small), [1, 2, 3])
  t.true((small.shardLength as number) > 3)
})

test('another dataset in the folder is refused, or reset; what is not given is accepted', async (t) => {
  const root = folder(t)
  const first = await opened(t, {
    root,
    source: () => [1, 2, 3],
    fingerprint: 'v1',
    maxShardLength: 2,
    serializer: 'json',
  })
  t.is(await first.length(), 3)
  t.is(first.description, 'loadit(v1)')
  const different: [string, Partial<LoadItOptions<number>>][] = [
    ['fingerprint', { fingerprint: 'v2' }],
    ['serializer', { serializer: 'v8' }],
    ['compression', { compression: 'gzip' }],
    ['maxShardLength', { maxShardLength: 3 }],
  ]
  for (const [field, options] of different) {
    const error = await failure(LoadIt.open({ root, ...options }))
    t.like(error, { code: 'MILL_DATASET_MISMATCH', field })
  }
  const same = await opened(t, { root })
  t.deepEqual(await gather(same), [1, 2, 3])
  t.is(same.description, 'loadit(v1)')
  const other = await opened(t, {
    root,
    source: () => [4, 5],
    fingerprint: 'v2',
    maxShardLength: 2,
    onMismatch: 'reset',
  })
  t.deepEqual(await gather(other), [4, 5])
  await until('the reset is seen', () => {
    try {
      first.allCachedToDisk()
      return false
    } catch (error) {
      return codeOf(error) === 'MILL_DATASET_RESET'
    }
  })
  t.is(codeOf(await failure(first.at(0))), 'MILL_DATASET_RESET')
})

test('the length can be given, and is checked when the end is met', async (t) => {
  const { source, seen } = countedSource(50)
  const loader = await opened(t, { root: folder(t), source, seekable: true, length: 50, maxShardLength: 8 })
  t.is(loader.knownLength, 50)
  t.deepEqual(await loader.at(-1), itemAt(49))
  t.deepEqual(seen.starts, [48])
  t.is(await loader.at(50), undefined)
  t.is(await loader.length(), 50)
  for (const length of [49, 51, 48, 56]) {
    const wrong = await opened(t, { root: folder(t), source: countedSource(50).source, length, maxShardLength: 8 })
    const error = await failure(gather(wrong))
    t.like(error, { code: 'MILL_ITEM_SOURCE_CHANGED', what: 'length', expected: length }, String(length))
  }
})

test('items before a stall are served while the source hangs; an abort disturbs nobody else', async (t) => {
  let release = (): void => {}
  let ended = 0
  const source = async function* () {
    try {
      for (let n = 0; n < 10; n++) {
        if (n === 5) {
          await new Promise<void>((resolve) => {
            release = resolve
          })
        }
        yield n
      }
    } finally {
      ended++
    }
  }
  const loader = await opened(t, { root: folder(t), source, maxShardLength: 100 })
  t.is(await within(loader.at(0), 'at 0'), 0)
  t.deepEqual(await within(loader.getMany([4, 2]), 'getMany'), [4, 2])
  const stop = new AbortController()
  const aborted = loader.at(7, { signal: stop.signal })
  const patient = loader.at(8)
  const walk = loader.batches()[Symbol.asyncIterator]()
  t.deepEqual((await within(walk.next(), 'batch')).value, [0, 1, 2, 3, 4])
  stop.abort('enough')
  t.is(await failure(aborted), 'enough')
  t.is(ended, 0)
  release()
  t.is(await within(patient, 'patient'), 8)
  t.deepEqual((await within(walk.next(), 'batch')).value?.[0], 5)
  await walk.return?.()
  t.is(await within(loader.length(), 'length'), 10)
  t.is(ended, 1)
})

const endless = () => {
  const seen = { walks: 0, ended: 0, aborted: 0 }
  const source = async function* ({ signal }: { signal: AbortSignal }) {
    seen.walks++
    signal.addEventListener('abort', () => seen.aborted++)
    try {
      for (let n = 0; ; n++) {
        await turn()
        yield n
      }
    } finally {
      seen.ended++
    }
  }
  return { source, seen }
}

const WAYS_OUT: Record<string, (loader: LoadIt<number>) => Promise<unknown>> = {
  break: async (loader) => {
    for await (const n of loader) if (n === 25) break
  },
  destroy: async (loader) => {
    const stream = loader.stream()
    const walk = async () => {
      for await (const n of stream) if (n === 25) stream.destroy()
    }
    return failure(walk())
  },
  'abort of at': async (loader) => {
    const stop = new AbortController()
    const wanted = loader.at(1e6, { signal: stop.signal })
    await settle()
    stop.abort('stop')
    await failure(wanted)
  },
  'abort of length': (loader) => failure(loader.length({ signal: AbortSignal.timeout(30) })),
  'abort of batches': async (loader) => {
    const stop = new AbortController()
    const walk = async () => {
      for await (const batch of loader.batches({ signal: stop.signal })) if (batch.includes(25)) stop.abort('stop')
    }
    return failure(walk())
  },
  close: async (loader) => {
    const wanted = failure(loader.at(1e6))
    await settle()
    await loader.close()
    return wanted
  },
}

for (const [way, leave] of Object.entries(WAYS_OUT)) {
  test(`G5: ${way} ends the walk it drove, once, and leaves nothing behind`, async (t) => {
    const { source, seen } = endless()
    const root = folder(t)
    const loader = await opened(t, { root, source, maxShardLength: 10 })
    await within(leave(loader), way)
    await until('the end of the walk', () => seen.ended === 1 && temporaries(root).length === 0)
    await settle()
    t.deepEqual(seen, { walks: 1, ended: 1, aborted: 1 })
    if (way === 'close') {
      t.is(codeOf(await failure(loader.at(0))), 'MILL_CLOSED')
    } else {
      // Complete shards stay, and it goes on when it is asked to.
      t.is(await within(loader.at(33), 'at'), 33)
    }
    await within(loader.close(), 'close')
    await until('the end', () => seen.ended === seen.walks)
    t.deepEqual(temporaries(root), [])
  })
}

test('a source that hangs for ever does not hold up who gives it up', async (t) => {
  let aborted = 0
  const root = folder(t)
  const loader = await opened(t, {
    root,
    maxShardLength: 10,
    source: async function* ({ signal }) {
      signal.addEventListener('abort', () => aborted++)
      yield 1
      await new Promise(() => {})
    },
  })
  t.is(await within(loader.at(0), 'at'), 1)
  t.is(codeOf(await failure(loader.at(1, { signal: AbortSignal.timeout(20) }))), 23)
  const pending = failure(loader.at(1))
  await within(loader.close(), 'close')
  t.is(codeOf(await pending), 'MILL_CLOSED')
  t.is(aborted, 1)
  t.deepEqual(temporaries(root), [])
})

test('G4: a slow reader stops the source at the end of the shards it may have ahead', async (t) => {
  for (const preload of [0, 1, 3]) {
    for (const way of ['batches', 'for await', 'stream'] as const) {
      const { source, seen } = countedSource(100_000)
      const loader = await opened(t, { root: folder(t), source, maxShardLength: 50, preload })
      const iterator: AsyncIterator<unknown> =
        way === 'batches'
          ? loader.batches({ maxItems: 10 })[Symbol.asyncIterator]()
          : way === 'stream'
            ? loader.stream({ maxItems: 10 })[Symbol.asyncIterator]()
            : loader[Symbol.asyncIterator]()
      await within(iterator.next(), 'next')
      let before = -1
      while (seen.pulled !== before) {
        before = seen.pulled
        await delay(20)
      }
      // A stream has 256 items ahead by itself.
      const ahead = way === 'stream' ? 256 : way === 'for await' ? 50 : 0
      t.true(seen.pulled <= (1 + preload) * 50 + 1 + ahead + 50, `${way}, preload ${preload}: ${seen.pulled}`)
      if (way === 'batches') t.true(seen.pulled <= (1 + preload) * 50 + 1, `${way}, preload ${preload}: ${seen.pulled}`)
      await iterator.return?.()
    }
  }
})

/** How often a 10 ms timer ticks while something runs for 400 ms; the best of three, for a busy machine may take its turns. */
async function ticksDuring(work: (stop: () => boolean) => Promise<unknown>): Promise<number> {
  let most = 0
  for (let tried = 0; tried < 3 && most < 5; tried++) {
    let ticks = 0
    const timer = setInterval(() => ticks++, 10)
    const end = performance.now() + 400
    await within(
      work(() => performance.now() > end),
      'the loop',
    )
    clearInterval(timer)
    most = Math.max(most, ticks)
  }
  return most
}

test('timers go on during tight loops of hits, of for await, and of a walk over an endless synchronous source', async (t) => {
  const { source } = countedSource(5000)
  const loader = await opened(t, { root: folder(t), source, maxShardLength: 1000 })
  await loader.length()
  const hits = await ticksDuring(async (stop) => {
    for (let i = 0; !stop(); i++) await loader.at(i % 5000)
  })
  t.true(hits >= 5, `at: ${hits}`)
  const loops = await ticksDuring(async (stop) => {
    while (!stop()) for await (const _ of loader) if (stop()) break
  })
  t.true(loops >= 5, `for await: ${loops}`)
  const endlessly = await opened(t, {
    root: folder(t),
    maxShardLength: 10,
    source: function* () {
      for (let n = 0; ; n++) yield n
    },
  })
  const walked = await ticksDuring(async (stop) => {
    for await (const _ of endlessly.batches()) if (stop()) break
  })
  t.true(walked >= 5, `walk: ${walked}`)
  const skipped = await ticksDuring((stop) => {
    const signal = AbortSignal.timeout(400)
    return stop() ? Promise.resolve() : failure(endlessly.length({ signal }))
  })
  t.true(skipped >= 5, `length: ${skipped}`)
})

test('preload makes shards ahead, by number or as a function says', async (t) => {
  const one = countedSource(1000)
  const loader = await opened(t, { root: folder(t), source: one.source, maxShardLength: 10, preload: 4 })
  await loader.at(5)
  await settle()
  t.is(one.seen.pulled, 10)
  await loader.at(15)
  await loader.at(25)
  await until('four shards ahead', () => loader.stats().generated === 7)
  const asked: number[] = []
  const two = countedSource(1000)
  const chosen = await opened(t, {
    root: folder(t),
    source: two.source,
    seekable: true,
    maxShardLength: 10,
    preload: (index) => {
      asked.push(index)
      return [500, -1, 0.5]
    },
  })
  await chosen.at(3)
  await chosen.at(4)
  await chosen.at(13)
  t.deepEqual(asked, [3, 13])
  await until('what was asked for', () => chosen.stats().generated === 3)
  t.deepEqual(chosen.peek(505), itemAt(505))
})

test('preload that throws, and preloading that fails, disturb nobody', async (t) => {
  const loader = await opened(t, {
    root: folder(t),
    source: () => numbers(30),
    maxShardLength: 10,
    preload: () => {
      throw new Error('no idea')
    },
  })
  const told = record(loader)
  t.is(await loader.at(5), 5)
  t.deepEqual(await gather(loader), numbers(30))
  t.true(told.of('warning').length > 0)
})

test('preloadAll, waitUntilAllCached and allCachedToDisk', async (t) => {
  const root = folder(t)
  const { source } = countedSource(1000)
  const loader = await opened(t, { root, source, maxShardLength: 100 })
  const other = await opened(t, { root })
  t.false(loader.allCachedToDisk())
  const waiting = other.waitUntilAllCached()
  t.is(await failure(other.waitUntilAllCached({ signal: AbortSignal.abort('no') })), 'no')
  const seen: number[] = []
  await within(loader.preloadAll({ onProgress: (p) => seen.push(p.done) }), 'preloadAll')
  t.is(seen.at(-1), 1000)
  await within(waiting, 'waitUntilAllCached')
  t.true(loader.allCachedToDisk())
  t.is(other.knownLength, 1000)
})

test('finalize: what is cached is all, unless there is a gap', async (t) => {
  const { source } = countedSource(100)
  const loader = await opened(t, { root: folder(t), source, maxShardLength: 10 })
  await loader.at(25)
  await until('three shards', () => loader.stats().generated === 3)
  t.is(await loader.finalize(), 30)
  t.deepEqual(await gather(loader), numbers(30).map(itemAt))
  t.is(await loader.length(), 30)
  t.true(loader.allCachedToDisk())
  const gap = await opened(t, { root: folder(t), source, seekable: true, maxShardLength: 10 })
  await gap.at(3)
  await gap.at(55)
  await until('two shards', () => gap.stats().generated === 2)
  t.like(await failure(gap.finalize()), { code: 'MILL_SHARD_UNAVAILABLE', start: 10 })
})

test('extend walks on where the data ended before', async (t) => {
  for (const [before, after] of [
    [0, 5],
    [25, 25],
    [25, 28],
    [25, 30],
    [25, 77],
    [30, 30],
    [30, 33],
    [30, 60],
  ] as const) {
    const root = folder(t)
    let count: number = before
    const loader = await opened(t, { root, source: () => numbers(count).map(itemAt), maxShardLength: 10 })
    t.deepEqual(await gather(loader), numbers(before).map(itemAt))
    count = after
    t.is(await loader.length(), before)
    t.is(await within(loader.extend(), 'extend'), after, `${before} to ${after}`)
    t.deepEqual(await gather(loader), numbers(after).map(itemAt))
    t.true(loader.allCachedToDisk())
    await loader.close()
    const again = await opened(t, { root })
    t.deepEqual(await gather(again), numbers(after).map(itemAt))
    t.deepEqual((await again.verify()).bad, [])
  }
})

test('info is one value, kept with the data', async (t) => {
  const root = folder(t)
  const loader = await opened(t, { root, source: () => [1] })
  t.is(loader.info(), undefined)
  loader.setInfo({ from: 'a file', parts: [1, 2] })
  for (const wrong of [undefined, () => 1, 'x'.repeat(70_000), 10n, new Map()]) {
    t.is(codeOf(await failure(() => loader.setInfo(wrong))), 'MILL_INVALID_ARGUMENT')
  }
  t.deepEqual(loader.info(), { from: 'a file', parts: [1, 2] })
  const other = await opened(t, { root })
  t.deepEqual(other.info(), { from: 'a file', parts: [1, 2] })
})

test('a sink makes a dataset of what is written to it', async (t) => {
  for (const count of [0, 1, 9, 10, 11, 500]) {
    const root = folder(t)
    const sink = await LoadIt.sink<unknown>({ root, maxShardLength: 10 })
    const done = new Promise<void>((resolve, reject) => {
      sink.on('finish', resolve)
      sink.on('error', reject)
    })
    readable(numbers(count).map(itemAt)).pipe(sink)
    await within(done, 'finish')
    const loader = await opened(t, { root })
    t.is(loader.knownLength, count)
    t.deepEqual(await gather(loader), numbers(count).map(itemAt))
    t.true(loader.allCachedToDisk())
    if (count > 0) t.is(codeOf(await failure(LoadIt.sink({ root }))), 'MILL_DATASET_EXISTS')
  }
})

test('a sink that is given up leaves no file in work, and the folder to the next one', async (t) => {
  const root = folder(t)
  const sink = await LoadIt.sink<number>({ root, maxShardLength: 10 })
  t.is(codeOf(await failure(LoadIt.sink({ root }))), 'MILL_DATASET_EXISTS')
  for (let n = 0; n < 5; n++) sink.write(n)
  await settle()
  const error = new Error('enough')
  const told = new Promise((resolve) => sink.on('error', resolve))
  const closed = new Promise((resolve) => sink.on('close', resolve))
  sink.destroy(error)
  t.is(await within(told, 'error'), error)
  await within(closed, 'close')
  t.deepEqual(shardFiles(root), [])
  const next = await LoadIt.sink<unknown>({ root, maxShardLength: 10 })
  const failed = new Promise((resolve) => next.on('error', resolve))
  next.write(null as unknown as object)
  t.is(codeOf(await within(failed, 'null')), 'MILL_UNSUPPORTED_ITEM')
})

test('events: names are checked, once is once, and what a listener throws is not ours', async (t) => {
  const loader = await opened(t, { root: folder(t), source: () => numbers(30), maxShardLength: 10 })
  t.is(codeOf(await failure(() => loader.on('error' as 'warning', () => {}))), 'MILL_INVALID_ARGUMENT')
  t.is(codeOf(await failure(() => loader.on('length', 1 as never))), 'MILL_INVALID_ARGUMENT')
  let once = 0
  const seen: number[] = []
  const listener = (event: { start: number }): void => void seen.push(event.start)
  loader.once('generated', () => once++).on('generated', listener)
  await loader.at(5)
  await until('one shard', () => seen.length > 0)
  loader.off('generated', listener)
  await loader.length()
  t.is(once, 1)
  t.deepEqual(seen, [0])
  t.like(loader.stats(), { generated: 3 })
})

test('without a source what is there is read, and what is not is never the end', async (t) => {
  const root = folder(t)
  const loader = await opened(t, { root, source: countedSource(100).source, maxShardLength: 10 })
  await loader.at(25)
  await until('three shards', () => loader.stats().generated === 3)
  await loader.close()
  const bare = await opened(t, { root })
  t.deepEqual(await bare.at(29), itemAt(29))
  for (const ask of [
    () => bare.at(30),
    () => bare.getMany([0, 30]),
    () => bare.length(),
    () => gather(bare),
    () => gather(bare.batches()),
    () => gather(bare.stream()),
    () => bare.preloadAll(),
    () => bare.at(-1),
  ]) {
    t.like(await failure(ask), { code: 'MILL_SHARD_UNAVAILABLE', start: 30, index: 30 }, String(ask))
  }
  t.deepEqual(
    await gather(bare.batches({ end: 30 })),
    [numbers(30).map(itemAt)].flatMap((all) => chunks(all)),
  )
})

function chunks<T>(all: T[]): T[][] {
  return [all.slice(0, 10), all.slice(10, 20), all.slice(20)]
}
