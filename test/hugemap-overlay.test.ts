import test from 'ava'
import { HugeMap, isMillraceError, type Key, StoreError } from '../lib/hugemap/index.js'
import { failure, type GatedStore, gatedStore, within } from './fixtures/hugemap-kit.js'
import { codeOf, settle } from './fixtures/stream-kit.js'

/** A map with `a`, `b` and `c` on the disk, whose next writes wait. */
async function gated(): Promise<{ gate: GatedStore; map: HugeMap<Key, unknown> }> {
  const gate = gatedStore()
  const map = await HugeMap.open(gate.store)
  for (const key of ['a', 'b', 'c']) map.set(key, `old ${key}`)
  await settle()
  await gate.pass()
  return { gate, map }
}

const full = (): StoreError => new StoreError('MILL_DISK_FULL', 'no room')

test('what is set can be read at once, and its promise waits for the disk', async (t) => {
  const { gate, map } = await gated()
  let told = false
  const promise = map.set('a', 'new').then((done) => {
    told = true
    return done
  })
  t.is(map.get('a'), 'new')
  await settle()
  t.is(gate.waiting, 1)
  t.false(told)
  await gate.pass()
  t.true(await promise)
  t.is(map.get('a'), 'new')
})

test('get, has, size and count see pending sets and deletes', async (t) => {
  const { gate, map } = await gated()
  map.set('a', 1)
  map.set('d', 2)
  map.delete('b')
  map.delete('nothing')
  t.is(map.size, 3)
  t.is(map.count(), 3)
  t.is(map.count({ gte: 'b', lt: 'd' }), 1)
  t.deepEqual([map.has('a'), map.has('b'), map.has('d'), map.has('nothing')], [true, false, true, false])
  t.is(map.get('b'), undefined)
  map.delete('d')
  map.set('b', 3)
  t.is(map.size, 3)
  await gate.open()
  await map.flush()
  t.is(map.size, 3)
  t.deepEqual(
    [...map],
    [
      ['a', 1],
      ['b', 3],
      ['c', 'old c'],
    ],
  )
})

test('ranges merge what is pending, in both directions, with bounds and limits', async (t) => {
  const { gate, map } = await gated()
  const keys = (range: object): Key[] => [...map.keys(range)]
  map.set('0', 0)
  map.set('aa', 0)
  map.delete('b')
  map.set('c', 'new c')
  map.set('z', 0)
  t.deepEqual(keys({}), ['0', 'a', 'aa', 'c', 'z'])
  t.deepEqual(keys({ reverse: true }), ['z', 'c', 'aa', 'a', '0'])
  t.deepEqual(keys({ gt: 'a', lte: 'c' }), ['aa', 'c'])
  t.deepEqual(keys({ limit: 3 }), ['0', 'a', 'aa'])
  t.deepEqual(keys({ limit: 3, reverse: true }), ['z', 'c', 'aa'])
  t.deepEqual(keys({ prefix: 'a' }), ['a', 'aa'])
  t.deepEqual(keys({ limit: 0 }), [])
  t.deepEqual([...map.values({ gte: 'b' })], ['new c', 0])
  // An iterator keeps what it began with.
  const walk = map.entries()
  t.deepEqual(walk.next().value, ['0', 0])
  await settle()
  await gate.pass()
  map.set('b', 'later')
  t.deepEqual(
    [...walk].map(([key]) => key),
    ['a', 'aa', 'c', 'z'],
  )
  await gate.open()
})

test('several writes of one key: each reader sees the last one, whatever has landed', async (t) => {
  const { gate, map } = await gated()
  map.set('a', 1)
  await settle()
  map.set('a', 2)
  await settle()
  t.is(gate.waiting, 1)
  t.is(map.get('a'), 2)
  await gate.pass()
  t.is(map.get('a'), 2)
  t.is(gate.waiting, 1)
  await gate.pass()
  t.is(map.get('a'), 2)
})

test('H2: a write that fails rejects, and the old value is back when it does', async (t) => {
  const { gate, map } = await gated()
  const set = failure(map.set('a', 'new'))
  const deleted = failure(map.delete('b'))
  const added = failure(map.set('x', 'new'))
  t.deepEqual([map.get('a'), map.get('b'), map.get('x'), map.size], ['new', undefined, 'new', 3])
  await settle()
  await gate.fail(full())
  for (const error of await Promise.all([set, deleted, added])) t.true(isMillraceError(error, 'MILL_DISK_FULL'))
  t.deepEqual([map.get('a'), map.get('b'), map.get('x'), map.size], ['old a', 'old b', undefined, 3])
  t.deepEqual([...map.keys()], ['a', 'b', 'c'])
  map.set('a', 'again')
  await settle()
  await gate.pass()
  t.is(map.get('a'), 'again')
})

test('what was set after a write that fails stays', async (t) => {
  const { gate, map } = await gated()
  const first = failure(map.set('a', 1))
  await settle()
  const second = map.set('a', 2)
  await gate.fail(full())
  t.is(codeOf(await first), 'MILL_DISK_FULL')
  t.is(map.get('a'), 2)
  await gate.pass()
  t.true(await second)
  t.is(map.get('a'), 2)
})

test('conditional writes, batches and streams show once they are on the disk', async (t) => {
  const { gate, map } = await gated()
  const all = Promise.all([
    map.set('a', 1, { ifValue: 'old a' }),
    map.set('d', 1, { ifAbsent: true }),
    map.set('a', 2, { ifAbsent: true }),
    map.batch((b) => b.set('e', 1).delete('b')),
    map.setMany([['f', 1]]),
  ])
  await settle()
  t.deepEqual(
    [...map],
    [
      ['a', 'old a'],
      ['b', 'old b'],
      ['c', 'old c'],
    ],
  )
  await gate.open()
  t.deepEqual(await within(all, 'writes'), [true, true, false, true, 1])
  t.deepEqual([...map.keys()], ['a', 'c', 'd', 'e', 'f'])
})

test('operations are applied in the order of the calls, whatever their kind', async (t) => {
  const { gate, map } = await gated()
  const results = Promise.all([
    map.set('k', 1),
    map.set('k', 2, { ifValue: 1 }),
    map.batch((b) => b.require('k', 2).set('k', 3)),
    map.delete('k', { ifValue: 3 }),
    map.set('k', 4, { ifAbsent: true }),
    map.delete('k'),
    map.delete('k'),
  ])
  await gate.open()
  t.deepEqual(await within(results, 'results'), [true, true, true, true, true, true, false])
})

test('clear takes away what was set before it and nothing that is set after it', async (t) => {
  const { gate, map } = await gated()
  map.set('before', 1)
  const cleared = map.clear()
  map.set('after', 1)
  await gate.open()
  await within(cleared, 'clear')
  t.deepEqual([...map.keys()], ['after'])
})

test('sets of one go are one write, and what comes while it is under way is the next', async (t) => {
  const { gate, map } = await gated()
  const promises = new Set<Promise<boolean>>()
  for (let i = 0; i < 1000; i++) promises.add(map.set(i, i))
  t.is(promises.size, 1, 'plain sets of an arena share a promise')
  await settle()
  t.is(gate.waiting, 1)
  for (let i = 0; i < 5; i++) {
    map.set('x', i)
    await settle(1)
  }
  t.is(gate.waiting, 1)
  await gate.pass()
  t.is(gate.waiting, 1)
  t.is(map.stats().pendingBytes > 0, true)
  await gate.pass()
  t.is(map.stats().pendingBytes, 0)
  t.is(map.get('x'), 4)
})

test('G3: above maxPendingBytes a set is MILL_BACKLOG, and nothing of it is written', async (t) => {
  const gate = gatedStore()
  const map = await HugeMap.open<string, string>(gate.store, { maxPendingBytes: 100_000, verify: 'off' })
  const written: string[] = []
  let refused: unknown
  for (let i = 0; i < 1000 && refused === undefined; i++) {
    const key = `k${i}`
    await Promise.race([map.set(key, 'x'.repeat(1000)), settle(1)]).then(
      () => void written.push(key),
      (error) => {
        refused = error
      },
    )
  }
  t.true(isMillraceError(refused, 'MILL_BACKLOG'))
  const { pendingBytes, limit } = refused as StoreError
  t.is(limit, 100_000)
  t.true((pendingBytes as number) > 90_000 && (pendingBytes as number) <= 100_000)
  t.is(map.size, written.length)
  await gate.open()
  await map.flush()
  t.deepEqual([...map.keys()].sort(), written.sort())
  t.true(await map.set('more', 'now there is room'))
})

test('setMany and writable wait instead of piling up', async (t) => {
  const gate = gatedStore()
  const map = await HugeMap.open<number, string>(gate.store, { maxPendingBytes: 2 ** 30, verify: 'off' })
  let made = 0
  function* pairs(): Generator<[number, string]> {
    for (; made < 20_000; made++) yield [made, 'x'.repeat(1000)]
  }
  const all = map.setMany(pairs())
  await settle(200)
  const before = made
  t.true(before < 8000, `${before} pairs were taken although nothing could be written`)
  await settle(200)
  t.is(made, before)
  await gate.open()
  t.is(await within(all, 'setMany'), 20_000)
  t.is(map.size, 20_000)
})

test('a transaction sees what was called before it, and nothing that was called after it is sent before', async (t) => {
  const { gate, map } = await gated()
  const before = map.set('a', 'mine', { ifValue: 'old a' })
  const seen: unknown[] = []
  const transaction = map.transaction((tr) => {
    seen.push(tr.get('a'), tr.get('later'))
    tr.set('b', tr.get('a'))
  })
  const after = map.set('later', 'x')
  t.is(map.get('later'), 'x')
  await gate.open()
  await within(Promise.all([before, transaction, after]), 'all')
  t.deepEqual(seen, ['mine', undefined])
  t.deepEqual([map.get('b'), map.get('later')], ['mine', 'x'])
})

test('a failed write releases the transaction that waits for it', async (t) => {
  const { gate, map } = await gated()
  const before = failure(map.set('a', 'mine'))
  const transaction = map.update('a', (old) => `${old}!`)
  await settle()
  await gate.fail(full())
  t.is(codeOf(await before), 'MILL_DISK_FULL')
  await gate.open()
  t.is(await within(transaction, 'transaction'), 'old a!')
})
