import test from 'ava'
import { countedSource, folder, type Item, itemAt, opened, record, until } from './fixtures/loadit-kit.js'
import { all, fails, filled, kinds, LENGTH, N, own, s3, server } from './fixtures/remote-kit.js'
import { within } from './fixtures/stream-kit.js'

/*
 * Loaders over a store.
 */

test('two roots share their shards: each is generated once, whoever comes first', async (t) => {
  const at = await server(t)
  const mine = countedSource(N)
  const yours = countedSource(N)
  const options = { maxShardLength: LENGTH, preload: 0 }
  const me = await opened<Item>(t, { root: folder(t), source: mine.source, remote: s3(at, 'set/'), ...options })
  const you = await opened<Item>(t, { root: folder(t), source: yours.source, remote: s3(at, 'set/'), ...options })
  t.deepEqual(await within(me.at(3), 'at'), all[3])
  await within(me.at(20), 'at')
  await until('three shards there', () => ['0.shd', '8.shd', '16.shd'].every((key) => at.objects.has(`set/${key}`)))
  await within(me.flush(), 'flush')
  const heard = record(you)
  t.deepEqual(await within(you.getMany([0, 9, 23]), 'many'), [all[0], all[9], all[23]])
  t.deepEqual([yours.seen.pulled, you.stats().fetched], [0, 3])
  t.deepEqual(
    heard.of('fetched').map(({ start, count }) => [start, count]),
    [
      [0, 8],
      [8, 8],
      [16, 8],
    ],
  )
  t.is(await within(you.length(), 'length'), N)
  await within(you.waitUntilAllCached(), 'all')
  await within(you.flush(), 'flush')
  const made = you.stats().generated
  t.true(made <= 4, `${made} made`)
  const before = mine.seen.pulled
  t.deepEqual(await within(me.getMany(all.map((_, n) => n)), 'many'), all)
  t.is(mine.seen.pulled, before)
  t.is(me.stats().generated + made, 7)
  t.deepEqual([...at.objects.keys()].sort(), [0, 16, 24, 32, 40, 48, 8].map((start) => `set/${start}.shd`).sort())
  t.deepEqual((await within(you.verify(), 'verify')).bad, [])
})

test('two machines that put the same key at once: the first one stays', async (t) => {
  const at = await server(t)
  const loaders = await Promise.all(
    [0, 1].map(() =>
      opened<Item>(t, { root: folder(t), source: countedSource(N).source, maxShardLength: LENGTH, remote: s3(at) }),
    ),
  )
  const heard = loaders.map((loader) => record(loader))
  await within(Promise.all(loaders.map(async (loader) => loader.preloadAll())), 'all')
  await within(Promise.all(loaders.map((loader) => loader.flush())), 'flush')
  t.is(at.objects.size, 7)
  t.deepEqual(
    heard.flatMap((one) => one.of('warning')),
    [],
  )
  const third = await opened<Item>(t, { root: folder(t), remote: s3(at) })
  t.is(await within(third.length(), 'length'), N)
  t.deepEqual(await within(third.getMany(all.map((_, n) => n)), 'many'), all)
})

for (const [name, make] of Object.entries(kinds)) {
  test(`a root without a source is filled from a store, ${name}`, async (t) => {
    const { store, writer } = await make(t)
    await filled(t, writer, { compression: 'gzip', fingerprint: 'v1' })
    const root = folder(t)
    const loader = await opened<Item>(t, { root, remote: store })
    t.is(loader.shardLength, LENGTH)
    t.is(loader.description, 'loadit(v1)')
    t.deepEqual(await within(loader.at(33), 'at'), all[33])
    t.is(await within(loader.length(), 'length'), N)
    t.deepEqual(await within(loader.at(-1), 'at'), all[N - 1])
    t.is(await within(loader.at(N), 'at'), undefined)
    const items: Item[] = []
    await within(
      (async () => {
        for await (const item of loader) items.push(item)
      })(),
      'loop',
    )
    t.deepEqual(items, all)
    await loader.close()
    const again = await opened<Item>(t, { root })
    t.deepEqual(await within(again.getMany([0, 49, 17]), 'many'), [all[0], all[49], all[17]])
  })
}

test('a length that is a multiple of the shards ends with an empty one, and the search finds it', async (t) => {
  for (const count of [1, 8, 16, 64, 65, 120]) {
    const remote = own()
    const { source } = countedSource(count)
    const loader = await opened<Item>(t, { root: folder(t), source, maxShardLength: LENGTH, remote })
    await within(loader.length(), 'length')
    await within(loader.flush(), 'flush')
    const far = await opened<Item>(t, { root: folder(t), remote })
    remote.gets = 0
    t.is(await within(far.length(), 'length'), count)
    t.true(remote.gets <= 4 + 2 * Math.ceil(Math.log2(count / LENGTH + 2)), `${remote.gets} requests for ${count}`)
    t.deepEqual(await within(far.at(-1), 'at'), itemAt(count - 1))
  }
})

test('without its end in the store the length is unknown, never guessed', async (t) => {
  const at = await server(t)
  await filled(t, s3(at))
  at.objects.delete('48.shd')
  const far = await opened<Item>(t, { root: folder(t), remote: s3(at) })
  t.deepEqual(await within(far.at(47), 'at'), all[47])
  await fails(t, far.length(), 'MILL_SHARD_UNAVAILABLE')
  await fails(t, far.at(49), 'MILL_SHARD_UNAVAILABLE')
})
