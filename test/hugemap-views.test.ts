import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import fc from 'fast-check'
import { ChainedMap, HugeMap, type Key, type Range } from '../lib/hugemap/index.js'
import { memoryStore } from '../lib/store/index.js'
import { failure, freshPath, SCALE, within } from './fixtures/hugemap-kit.js'
import { Model } from './fixtures/hugemap-model.js'
import { codeOf, settle } from './fixtures/stream-kit.js'

// ---- ChainedMap ---------------------------------------------------------------------------------------------------------

const key = fc.oneof(
  fc.integer({ min: 0, max: 9 }),
  fc.constantFrom('a', 'b', 'ab'),
  fc.constantFrom(Uint8Array.of(1), Uint8Array.of(1, 2)),
  fc.constantFrom(['a', 1], ['a', 2], ['b']),
) as fc.Arbitrary<Key>

test('a ChainedMap is its maps laid over each other, each key once, in order', async (t) => {
  const lists = fc.array(fc.tuple(fc.boolean(), fc.array(fc.tuple(key, fc.nat(99)), { maxLength: 12 })), {
    maxLength: 4,
  })
  const bound = fc.record({ gte: key, lt: key, reverse: fc.boolean(), limit: fc.nat(6) }, { requiredKeys: [] })
  await fc.assert(
    fc.asyncProperty(lists, bound, key, async (layers, range, wanted) => {
      const model = new Model<number>()
      const maps: (Map<Key, number> | HugeMap<Key, number>)[] = []
      for (const [onDisk, entries] of layers.toReversed()) {
        for (const [k, value] of entries) model.set(k, value)
        if (!onDisk) {
          // A plain Map knows bytes and tuples by identity: each of our keys once.
          const unique = new Model<number>()
          for (const [k, value] of entries) unique.set(k, value)
          maps.unshift(new Map(unique.entries()))
        } else {
          const map = await HugeMap.open<Key, number>(memoryStore())
          await map.setMany(entries)
          maps.unshift(map)
        }
      }
      const chained = new ChainedMap(...maps)
      t.deepEqual([...chained], model.entries())
      t.deepEqual([...chained.entries(range as Range<Key>)], model.entries(range as Range<Key>))
      t.deepEqual(
        [...chained.keys(range as Range<Key>)],
        model.entries(range as Range<Key>).map(([k]) => k),
      )
      t.deepEqual(
        [...chained.values()],
        model.entries().map(([, value]) => value),
      )
      t.is(chained.count(range as Range<Key>), model.entries(range as Range<Key>).length)
      t.is(chained.get(wanted), model.get(wanted))
      t.is(chained.has(wanted), model.has(wanted))
    }),
    { numRuns: 150 * SCALE },
  )
})

test('a ChainedMap closes what it began when its reader stops, and refuses what is no map', async (t) => {
  const map = await HugeMap.open<string, number>(memoryStore())
  await map.setMany([['a', 1], ['b', 2]]) // biome-ignore format: as a table
  const chained = new ChainedMap<string, number>(map, new Map([['c', 3]]))
  for (const [first] of chained) {
    t.is(first, 'a')
    break
  }
  const seen: unknown[] = []
  chained.forEach((value, k, self) => void seen.push([k, value, self === chained]))
  t.deepEqual(seen.at(-1), ['c', 3, true])
  t.is(codeOf(await failure(() => new ChainedMap({} as never))), 'MILL_INVALID_ARGUMENT')
  t.deepEqual([...new ChainedMap()], [])
  await map.close()
  t.is(codeOf(await failure(() => chained.get('a'))), 'MILL_CLOSED')
})

test('a ChainedMap sorts as its first map on disk does', async (t) => {
  await using map = await HugeMap.open<number | bigint, string>(memoryStore(), { key: 'u64' })
  await map.set(2n ** 60n, 'big')
  const chained = new ChainedMap<number | bigint, string>(new Map([[300, 'plain']]), map)
  t.deepEqual([...chained.keys()], [300, 2n ** 60n])
})

// ---- CachedMap ----------------------------------------------------------------------------------------------------------

test('a CachedMap hands out what it keeps, and drops it when this process writes by another way', async (t) => {
  await using map = await HugeMap.open<string, { n: number }>(memoryStore())
  const cached = map.cached()
  await map.set('a', { n: 1 })
  const first = cached.get('a')
  t.is(cached.get('a'), first)
  t.is(cached.map, map)
  t.is(cached.get('none'), undefined)
  t.true(cached.has('a'))
  const ways: [string, () => unknown, number | undefined][] = [
    ['set of the map', () => map.set('a', { n: 2 }), 2],
    ['set of the cache', () => cached.set('a', { n: 3 }), 3],
    ['setMany', () => map.setMany([['a', { n: 4 }]]), 4],
    ['batch', () => map.batch((b) => b.set('a', { n: 5 })), 5],
    ['update', () => map.update('a', () => ({ n: 6 })), 6],
    ['a condition', () => map.set('a', { n: 7 }, { ifValue: { n: 6 } }), 7],
    ['transactionSync', () => map.transactionSync(() => void map.set('a', { n: 8 })), 8],
    ['delete', () => cached.delete('a'), undefined],
    ['set again', () => cached.set('a', { n: 9 }), 9],
    ['clear', () => map.clear(), undefined],
  ]
  for (const [name, write, expected] of ways) {
    cached.get('a')
    await write()
    t.is(cached.get('a')?.n, expected, name)
    t.is(map.get('a')?.n, expected, name)
  }
  const thrown = await failure(() =>
    map.transactionSync(() => {
      map.set('a', { n: 10 })
      t.is(cached.get('a')?.n, 10)
      throw new Error('undone')
    }),
  )
  t.true(thrown instanceof Error)
  t.is(cached.get('a'), undefined)
})

test('a write through the cache drops that value only, and preset spares the first read', async (t) => {
  await using map = await HugeMap.open<number, { n: number }>(memoryStore())
  await map.setMany([0, 1, 2].map((n) => [n, { n }] as const))
  const cached = map.cached()
  const kept = cached.get(1)
  await cached.set(0, { n: 10 })
  await settle()
  t.is(cached.get(1), kept)
  t.is(cached.get(0)?.n, 10)
  const mine = { n: 2 }
  t.is(cached.preset([[2, mine]]).get(2), mine)
  t.deepEqual([...cached.keys()], [0, 1, 2])
  t.deepEqual([...cached.values({ limit: 1 })], [{ n: 10 }])
  t.is(cached.count(), 3)
  t.deepEqual([...cached][2], [2, { n: 2 }])
})

test('G3: a CachedMap keeps maxItems values at most', async (t) => {
  await using map = await HugeMap.open<number, object>(memoryStore())
  await map.setMany(Array.from({ length: 100 }, (_, n) => [n, { n }] as const))
  const cached = map.cached({ maxItems: 10 })
  const first = cached.get(0)
  for (let n = 1; n < 10; n++) cached.get(n)
  t.is(cached.get(0), first)
  for (let n = 10; n < 20; n++) cached.get(n)
  t.not(cached.get(0), first)
  t.deepEqual(cached.get(0), first)
  for (const maxItems of [0, -1, NaN, 1.5]) {
    t.is(codeOf(await failure(() => map.cached({ maxItems }))), 'MILL_INVALID_ARGUMENT')
  }
})

test('a CachedMap is never behind a commit of another process that it could have seen', async (t) => {
  const path = freshPath(t)
  await using map = await HugeMap.open<string, number>(path)
  await map.set('n', 0)
  const cached = map.cached()
  t.is(cached.get('n'), 0)
  const child = fork(fileURLToPath(new URL('./fixtures/hugemap-child.js', import.meta.url)), ['count', path])
  t.teardown(() => child.kill('SIGKILL'))
  for (let i = 1; i <= 20; i++) {
    child.send('next')
    const [n] = (await within(once(child, 'message'), 'the other process')) as [number]
    t.is(n, i)
    map.refresh()
    await settle(1)
    t.is(cached.get('n'), i)
    // A write of our own in between is no reason to believe that nobody else has written.
    await map.set('mine', i)
    t.is(cached.get('n'), i)
  }
})
