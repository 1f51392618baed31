import { readdirSync } from 'node:fs'
import test from 'ava'
import {
  HugeMap,
  isMillraceError,
  type Key,
  type KeyCodec,
  type Serializer,
  type StoreError,
} from '../lib/hugemap/index.js'
import { memoryStore } from '../lib/store/index.js'
import { Arena } from '../lib/store/operations.js'
import { ENGINES, failure, freshPath, within } from './fixtures/hugemap-kit.js'
import { codeOf } from './fixtures/stream-kit.js'

const code = async (fn: (() => unknown) | PromiseLike<unknown>): Promise<unknown> => codeOf(await failure(fn))

for (const engine of ENGINES) {
  const name = (what: string): string => `${what} (${engine.name})`

  test(name('get, set, has, delete, size and iteration are those of a Map'), async (t) => {
    await using map = await HugeMap.open<string, number>(engine.where(t))
    t.is(map.size, 0)
    t.is(map.get('a'), undefined)
    t.true(await map.set('b', 2))
    await Promise.all([map.set('a', 1), map.set('c', 3)])
    t.deepEqual([map.get('a'), map.get('b'), map.has('c'), map.has('d')], [1, 2, true, false])
    t.is(map.size, 3)
    t.deepEqual([...map], [['a', 1], ['b', 2], ['c', 3]]) // biome-ignore format: as a table
    t.deepEqual([...map.keys()], ['a', 'b', 'c'])
    t.deepEqual([...map.values({ reverse: true })], [3, 2, 1])
    const seen: unknown[] = []
    map.forEach((value, key, self) => void seen.push([key, value, self === map]))
    t.deepEqual(seen[2], ['c', 3, true])
    t.true(await map.delete('b'))
    t.false(await map.delete('b'))
    await map.clear()
    t.deepEqual([map.size, [...map]], [0, []])
  })

  test(name('values are yours: changing what was set or got changes nothing in the map'), async (t) => {
    await using map = await HugeMap.open<string, { list: number[] }>(engine.where(t))
    const value = { list: [1] }
    const written = map.set('a', value)
    value.list.push(2)
    t.deepEqual(map.get('a'), { list: [1] })
    await written
    map.get('a')?.list.push(3)
    t.deepEqual(map.get('a'), { list: [1] })
  })

  test(name('conditions: ifAbsent and ifValue, of set and delete'), async (t) => {
    await using map = await HugeMap.open<string, unknown>(engine.where(t))
    t.true(await map.set('a', { x: 1 }, { ifAbsent: true }))
    t.false(await map.set('a', 'other', { ifAbsent: true }))
    t.false(await map.set('a', 'other', { ifValue: { x: 2 } }))
    t.true(await map.set('a', 'other', { ifValue: { x: 1 } }))
    t.false(await map.set('none', 1, { ifValue: 1 }))
    t.false(await map.delete('a', { ifValue: 'another' }))
    t.is(map.get('a'), 'other')
    t.true(await map.delete('a', { ifValue: 'other' }))
    t.true(await map.set('a', 1, {}))
    t.is(await code(map.set('a', 1, { ifAbsent: true, ifValue: 1 })), 'MILL_INVALID_ARGUMENT')
  })

  test(name('a batch is done as a whole or not at all, over maps of one folder too'), async (t) => {
    await using map = await HugeMap.open<string, number>(engine.where(t))
    await using other = await map.namespace<number, string>('other')
    t.true(await map.batch((b) => b.set('a', 1).set('b', 2).delete('c').on(other).set(1, 'x')))
    t.deepEqual([[...map.keys()], other.get(1)], [['a', 'b'], 'x'])
    t.false(await map.batch((b) => b.set('a', 9).require('b', 3).on(other).set(2, 'y')))
    t.false(await map.batch((b) => b.require('b', undefined).set('a', 9)))
    t.true(await map.batch((b) => b.require('b', 2).require('z', undefined).set('a', 3).on(other).require(1, 'x')))
    t.deepEqual([map.get('a'), other.size], [3, 1])
    t.true(await map.batch(() => {}))
    let kept: { set(key: string, value: number): unknown } | undefined
    await map.batch((b) => {
      kept = b
    })
    t.is(await code(() => kept?.set('late', 1)), 'MILL_CLOSED')
    t.is(await code(map.batch((async () => {}) as () => void)), 'MILL_INVALID_ARGUMENT')
    await using foreign = await HugeMap.open<string, number>(memoryStore())
    t.is(await code(map.batch((b) => b.on(foreign).set('a', 1))), 'MILL_INVALID_ARGUMENT')
    const thrown = new Error('mine')
    t.is(
      await failure(
        map.batch((b) => {
          b.set('half', 1)
          throw thrown
        }),
      ),
      thrown,
    )
    t.false(map.has('half'))
  })

  test(name('update and transaction: what they read is what they write over'), async (t) => {
    await using map = await HugeMap.open<string, number>(engine.where(t))
    const counts = await Promise.all(Array.from({ length: 20 }, () => map.update('n', (old = 0) => old + 1)))
    t.deepEqual(
      counts,
      Array.from({ length: 20 }, (_, i) => i + 1),
    )
    t.is(await map.update('n', () => undefined), undefined)
    t.false(map.has('n'))
    t.is(await map.update('none', () => undefined), undefined)
    await map.set('from', 10)
    const left = await map.transaction((tr) => {
      tr.set('to', (tr.get('to') ?? 0) + 3)
      tr.set('from', (tr.get('from') as number) - 3)
      t.deepEqual([tr.get('to'), tr.has('to'), tr.has('none')], [3, true, false])
      tr.delete('to')
      t.is(tr.get('to'), undefined)
      tr.set('to', 3)
      return tr.get('from')
    })
    t.deepEqual([left, map.get('from'), map.get('to')], [7, 7, 3])
    await using other = await map.namespace<string, string>('log')
    await map.transaction((tr) => {
      tr.on(other).set('moved', `${tr.get('to')}`)
      tr.delete('to')
    })
    t.deepEqual([other.get('moved'), map.has('to')], ['3', false])
    const thrown = new Error('mine')
    const failed = map.transaction((tr) => {
      tr.set('from', 0)
      throw thrown
    })
    t.is(await failure(failed), thrown)
    t.is(map.get('from'), 7)
    t.is(await code(map.transaction(async (tr) => tr.get('from'))), 'MILL_INVALID_ARGUMENT')
    t.is(await code(map.transaction(() => 1, { attempts: 0 })), 'MILL_INVALID_ARGUMENT')
  })

  test(name('getMany keeps the order, and sees what is pending'), async (t) => {
    await using map = await HugeMap.open<number, string>(engine.where(t))
    await map.setMany(Array.from({ length: 3000 }, (_, i) => [i, `v${i}`] as const))
    map.set(5, 'pending')
    map.delete(6)
    t.deepEqual(await map.getMany([2999, 5, 6, -1, 0, 5]), ['v2999', 'pending', undefined, undefined, 'v0', 'pending'])
    t.deepEqual(await map.getMany([]), [])
    const signal = AbortSignal.abort(new Error('no'))
    t.is(((await failure(map.getMany([1], { signal }))) as Error).message, 'no')
  })

  test(name('a snapshot stays as it was'), async (t) => {
    await using map = await HugeMap.open<number, string>(engine.where(t))
    await map.setMany(Array.from({ length: 100 }, (_, i) => [i, 'old'] as const))
    map.set(100, 'just set')
    const snapshot = await map.snapshot()
    await Promise.all([map.set(0, 'new'), map.delete(1), map.set(101, 'more')])
    t.deepEqual(
      [snapshot.get(0), snapshot.get(1), snapshot.get(100), snapshot.has(101)],
      ['old', 'old', 'just set', false],
    )
    t.deepEqual([snapshot.size, snapshot.count({ lt: 50 }), [...snapshot].length], [101, 50, 101])
    t.deepEqual([...snapshot.keys({ gte: 98 })], [98, 99, 100])
    snapshot.close()
    snapshot.close()
    t.is(await code(() => snapshot.get(0)), 'MILL_CLOSED')
    t.is(await code(() => snapshot.entries()), 'MILL_CLOSED')
    t.deepEqual([map.get(0), map.size], ['new', 101])
  })

  test(name('namespaces are maps of their own, with codecs of their own'), async (t) => {
    await using map = await HugeMap.open<string, string>(engine.where(t), { key: 'string', value: 'string' })
    await using numbers = await map.namespace<number | bigint, number>('numbers', { key: 'u64', value: 'f64' })
    await Promise.all([map.set('1', 'text'), numbers.set(1, 0.5)])
    t.deepEqual([map.get('1'), numbers.get(1), map.size, numbers.size], ['text', 0.5, 1, 1])
    t.deepEqual(map.namespaces(), ['', 'numbers'])
    t.is(map.stats().maps, 2)
    const again = await map.namespace('numbers', { create: false })
    t.is(again.get(1), 0.5)
    await again.close()
    t.is(numbers.get(1), 0.5)
    t.true(await map.drop('numbers'))
    t.false(await map.drop('numbers'))
    t.deepEqual(map.namespaces(), [''])
    t.is(await code(map.namespace('numbers', { create: false })), 'MILL_MAP_MISSING')
    t.is(await code(map.namespace('x'.repeat(201))), 'MILL_INVALID_ARGUMENT')
    t.is(await code(map.drop(1 as never)), 'MILL_INVALID_ARGUMENT')
  })

  test(name('a map is opened as it was made: anything else is MILL_MAP_MISMATCH'), async (t) => {
    const where = engine.where(t)
    const made = await HugeMap.open<string, string>(where, { key: 'string', compress: 'gzip', checksum: false })
    await made.set('a', 'x'.repeat(1000))
    await using map = await HugeMap.open<string, string>(where)
    t.is(map.get('a'), 'x'.repeat(1000))
    await using same = await HugeMap.open(where, { key: 'string', value: 'msgpack', compress: 'gzip', checksum: false })
    t.is(same.size, 1)
    const cases = [
      ['key', { key: 'any' }, 'any', 'string'],
      ['value', { value: 'json' }, 'json', 'msgpack'],
      ['compress', { compress: 'none' }, 'none', 'gzip'],
      ['checksum', { checksum: true }, true, false],
    ] as const
    for (const [field, options, expected, found] of cases) {
      const error = (await failure(HugeMap.open(where, options as object))) as StoreError
      t.is(error.code, 'MILL_MAP_MISMATCH')
      t.deepEqual([error.field, error.expected, error.found], [field, expected, found])
    }
    await made.close()
  })

  test(name('codecs of your own are known by their names'), async (t) => {
    const where = engine.where(t)
    const key: KeyCodec<{ id: number }> = {
      name: 'ids',
      encode: ({ id }) => Uint8Array.of(id >> 8, id),
      decode: (data) => ({ id: ((data[0] as number) << 8) | (data[1] as number) }),
    }
    const value: Serializer<string> = {
      name: 'upper',
      encode: (text) => new TextEncoder().encode(text),
      decode: (data) => new TextDecoder().decode(data),
    }
    const map = await HugeMap.open(where, { key, value })
    await Promise.all([map.set({ id: 258 }, 'b'), map.set({ id: 3 }, 'a')])
    t.deepEqual([...map], [[{ id: 3 }, 'a'], [{ id: 258 }, 'b']]) // biome-ignore format: as a table
    t.is(map.get({ id: 3 }), 'a')
    t.is(await code(HugeMap.open(where, { value })), 'MILL_MAP_MISMATCH')
    t.is(await code(HugeMap.open(where, { key })), 'MILL_MAP_MISMATCH')
    const empty = { ...key, name: 'ids', encode: () => new Uint8Array(0) }
    await using other = await HugeMap.open(where, { key: empty, value })
    t.is(await code(other.set({ id: 1 }, 'a')), 'MILL_BAD_KEY')
    await map.close()
  })

  test(name('G2: keys and values that can not be stored reject, and nothing is written'), async (t) => {
    await using map = await HugeMap.open<Key, unknown>(engine.where(t), { maxValueBytes: 1000 })
    const cyclic: unknown[] = []
    cyclic.push(cyclic)
    for (const key of [
      NaN,
      '\ud800',
      { a: 1 },
      null,
      undefined,
      true,
      Symbol('x'),
      () => 1,
      'x'.repeat(2000),
      cyclic,
    ]) {
      t.is(await code(map.set(key as never, 1)), 'MILL_BAD_KEY', String(typeof key))
      t.is(await code(() => map.get(key as never)), 'MILL_BAD_KEY')
      t.is(await code(map.delete(key as never)), 'MILL_BAD_KEY')
      t.is(await code(map.batch((b) => b.delete('fine').set(key as never, 1))), 'MILL_BAD_KEY')
    }
    t.is(await code(map.set('a', undefined)), 'MILL_SERIALIZE')
    t.is(await code(map.set('a', () => 1)), 'MILL_SERIALIZE')
    t.is(await code(map.set('a', { deep: [() => 1] })), 'MILL_SERIALIZE')
    const large = (await failure(map.set('a', 'x'.repeat(1100)))) as StoreError
    t.deepEqual([large.code, large.limit], ['MILL_TOO_LARGE', 1000])
    class Point {
      x = 1
    }
    const fidelity = (await failure(map.set('a', { list: [0, new Point()] }))) as StoreError
    t.is(fidelity.code, 'MILL_FIDELITY')
    t.is(fidelity.path, 'list[1]')
    t.is(await code(map.set('a', -0)), 'MILL_FIDELITY')
    t.is(await code(map.set('a', 1, 5 as never)), 'MILL_INVALID_ARGUMENT')
    await map.flush()
    t.is(map.size, 0)
  })

  test(name('verify: the first 16 values, all, or none'), async (t) => {
    const where = engine.where(t)
    await using first = await HugeMap.open<number, number>(where)
    for (let i = 0; i < 15; i++) first.set(i, i)
    t.is(await code(first.set(15, -0)), 'MILL_FIDELITY')
    t.true(await first.set(16, -0))
    t.true(Object.is(first.get(16), 0))
    await using always = await HugeMap.open<number, number>(where, { verify: 'always' })
    await always.setMany(Array.from({ length: 100 }, (_, i) => [i, i] as const))
    t.is(await code(always.set(1, -0)), 'MILL_FIDELITY')
    await using off = await HugeMap.open<number, number>(where, { verify: 'off' })
    t.true(await off.set(1, -0))
  })

  test(name('readonly never writes'), async (t) => {
    const where = engine.where(t)
    t.is(await code(HugeMap.open(where, { readonly: true })), 'MILL_MAP_MISSING')
    t.is(await code(HugeMap.open(where, { create: false })), 'MILL_MAP_MISSING')
    const map = await HugeMap.open<string, number>(where)
    await map.set('a', 1)
    await using readonly = await HugeMap.open<string, number>(where, { readonly: true })
    t.is(readonly.get('a'), 1)
    const writes = [
      () => readonly.set('a', 2),
      () => readonly.delete('a'),
      () => readonly.clear(),
      () => readonly.setMany([['a', 2]]),
      () => readonly.batch((b) => b.set('a', 2)),
      () => readonly.update('a', () => 2),
      () => readonly.transaction(() => 1),
      () => readonly.transactionSync(() => 1),
      () => readonly.writable(),
      () => readonly.drop(''),
      () => readonly.namespace('new'),
    ]
    for (const write of writes) {
      const found = await code(write)
      t.true(found === 'MILL_READ_ONLY' || (found === 'MILL_MAP_MISSING' && write === writes.at(-1)), `${write}`)
    }
    t.is(readonly.get('a'), 1)
    await map.close()
  })

  test(name('after close everything is MILL_CLOSED, and close() waits for what was set'), async (t) => {
    const where = engine.where(t)
    const map = await HugeMap.open<string, number>(where)
    const set = map.set('a', 1)
    const updated = map.update('b', () => 2)
    const walk = map.entries()
    walk.next()
    const first = map.close()
    t.is(first, map.close())
    const calls: (() => unknown)[] = [
      () => map.get('a'),
      () => map.has('a'),
      () => map.size,
      () => map.entries(),
      () => map.count(),
      () => map.set('a', 1),
      () => map.delete('a'),
      () => map.clear(),
      () => map.getMany(['a']),
      () => map.setMany([]),
      () => map.batch(() => {}),
      () => map.update('a', () => 1),
      () => map.transactionSync(() => 1),
      () => map.snapshot(),
      () => map.flush(),
      () => map.batches(),
      () => map.readable(),
      () => map.writable(),
      () => map.refresh(),
      () => map.stats(),
      () => map.cached(),
      () => map.namespaces(),
      () => map.namespace('x'),
      () => map.drop('x'),
      () => map.backup('/nowhere'),
      () => walk.next(),
    ]
    for (const call of calls) t.is(await code(call), 'MILL_CLOSED', String(call))
    await within(first, 'close')
    t.deepEqual([await set, await updated], [true, 2])
    await using again = await HugeMap.open<string, number>(where)
    t.deepEqual([...again], [['a', 1], ['b', 2]]) // biome-ignore format: as a table
  })

  test(name('options that make no sense are MILL_INVALID_ARGUMENT'), async (t) => {
    const where = engine.where(t)
    const wrong: object[] = [
      { key: 'text' },
      { key: { name: 'any' } },
      { value: 'yaml' },
      { value: {} },
      { compress: 5 },
      { checksum: 1 },
      { name: 5 },
      { name: 'x'.repeat(201) },
      { create: 1 },
      { readonly: 'no' },
      { verify: true },
      { maxPendingBytes: 0 },
      { maxValueBytes: NaN },
      { signal: 5 },
    ]
    for (const options of wrong)
      t.is(await code(HugeMap.open(where, options)), 'MILL_INVALID_ARGUMENT', JSON.stringify(options))
    t.is(await code(HugeMap.open(5 as never)), 'MILL_INVALID_ARGUMENT')
    t.is(await code(HugeMap.open(where, { compress: 'nope' })), 'MILL_CODEC_UNKNOWN')
    const reason = new Error('mine')
    t.is(await failure(HugeMap.open(where, { signal: AbortSignal.abort(reason) })), reason)
    await using map = await HugeMap.open(where)
    const ranges: object[] = [{ limit: -1 }, { limit: 0.5 }, { reverse: 1 }]
    for (const range of ranges) {
      t.is(await code(() => map.entries(range)), 'MILL_INVALID_ARGUMENT')
      t.is(await code(() => map.count(range)), 'MILL_INVALID_ARGUMENT')
      t.is(await code(() => map.batches(range)), 'MILL_INVALID_ARGUMENT')
    }
    t.is(await code(() => map.keys({ gt: NaN })), 'MILL_BAD_KEY')
    t.is(await code(() => map.keys({ prefix: 5 })), 'MILL_BAD_KEY')
    t.is(await code(() => map.keys('a' as never)), 'MILL_INVALID_ARGUMENT')
    t.is(await code(() => map.forEach(1 as never)), 'MILL_INVALID_ARGUMENT')
  })

  test(name('bounds longer than any key are bounds all the same'), async (t) => {
    await using map = await HugeMap.open<string, number>(engine.where(t), { key: 'string' })
    const long = 'b'.repeat(1978)
    await Promise.all(['a', 'b', long, 'c'].map((key, i) => map.set(key, i)))
    const beyond = `${long}bbb`
    t.deepEqual([...map.keys({ gte: beyond })], ['c'])
    t.deepEqual([...map.keys({ gt: beyond })], ['c'])
    t.deepEqual([...map.keys({ lt: beyond })], ['a', 'b', long])
    t.deepEqual([...map.keys({ lte: beyond, reverse: true })], [long, 'b', 'a'])
    t.deepEqual([...map.keys({ prefix: long })], [long])
    t.deepEqual([...map.keys({ prefix: beyond })], [])
    t.deepEqual([...map.keys({ prefix: '' })].length, 4)
  })

  test(name('two handles of one map see each other, at once'), async (t) => {
    const where = engine.where(t)
    await using one = await HugeMap.open<string, number>(where)
    await using two = await HugeMap.open<string, number>(where)
    const set = one.set('a', 1)
    t.is(two.get('a'), 1)
    two.delete('a')
    t.is(one.get('a'), undefined)
    await set
    await two.flush()
    t.deepEqual([one.size, two.size], [0, 0])
  })

  test(name('values from one byte to several MiB'), async (t) => {
    await using map = await HugeMap.open<number, Uint8Array>(engine.where(t), { value: 'bytes', key: 'u64' })
    const sizes = [0, 1, 511, 512, 4095, 4096, 65_536, 2 ** 20 - 30, 2 ** 20, 2 ** 20 + 1, 3_000_000]
    const value = (size: number): Buffer => Buffer.alloc(size, `${size} `)
    const isRight = (size: number): boolean => value(size).equals(map.get(size) ?? Buffer.from('none'))
    const all = sizes.map((size) => map.set(size, value(size)))
    for (const size of sizes) t.true(isRight(size), `pending ${size}`)
    await within(Promise.all(all), 'sets')
    for (const size of sizes) t.true(isRight(size), `stored ${size}`)
    t.is(map.size, sizes.length)
  })

  test(name('values whose getters read and write the map while they are encoded spoil nothing'), async (t) => {
    await using map = await HugeMap.open<string, unknown>(engine.where(t), { value: 'json', verify: 'off' })
    const meddling = {
      get made() {
        map.set('inner', map.get('outer') ?? 'nothing')
        map.delete('x')
        return 'by a getter'
      },
    }
    map.set('x', 1)
    await map.set('outer', meddling)
    t.deepEqual(map.get('outer'), { made: 'by a getter' })
    t.is(map.get('inner'), 'nothing')
    t.false(map.has('x'))
    await map.batch((b) => {
      map.set('during', 1)
      b.set('batched', meddling)
    })
    t.deepEqual([...map.keys()], ['batched', 'during', 'inner', 'outer'])
    const throwing = {
      get made() {
        map.set('thrown', 1)
        throw new Error('mine')
      },
    }
    t.is(await code(map.set('never', throwing)), 'MILL_SERIALIZE')
    await map.flush()
    t.deepEqual([map.get('thrown'), map.has('never')], [1, false])

    await using packed = await map.namespace<string, unknown>('packed', { value: 'msgpack', verify: 'off' })
    let inner: Promise<unknown> | undefined
    await packed.set('outer', {
      before: 1,
      get made() {
        inner = failure(packed.set('inner', { packed: 'within' }))
        return 'by a getter'
      },
      after: 2,
    })
    t.deepEqual(packed.get('outer'), { before: 1, made: 'by a getter', after: 2 })
    t.is(codeOf(await inner), 'MILL_SERIALIZE')
  })
}

test('transactionSync: memory, and what it refuses', async (t) => {
  await using map = await HugeMap.open<string, number>(memoryStore())
  map.set('pending', 1)
  const made = map.transactionSync(() => {
    t.is(map.get('pending'), 1)
    map.set('a', 2)
    map.delete('pending')
    t.deepEqual([map.get('a'), map.has('pending'), map.size, [...map.keys()]], [2, false, 1, ['a']])
    return map.transactionSync(() => 'nested')
  })
  t.is(made, 'nested')
  const thrown = new Error('mine')
  let inside: Promise<boolean> | undefined
  const error = await failure(() =>
    map.transactionSync(() => {
      inside = map.set('a', 3)
      map.set('b', 4)
      throw thrown
    }),
  )
  t.is(error, thrown)
  t.is(await failure(inside as Promise<boolean>), thrown)
  t.deepEqual([...map], [['a', 2]])
  t.is(await code(() => map.transactionSync(async () => {})), 'MILL_INVALID_ARGUMENT')
  await using onDisk = await HugeMap.open(freshPath(t))
  t.is(await code(() => onDisk.transactionSync(() => 1)), 'MILL_UNSUPPORTED')
})

test('a transaction that loses runs again, and is MILL_CONFLICT after its attempts', async (t) => {
  const store = memoryStore()
  await using map = await HugeMap.open<string, number>(store, { key: 'string', value: 'json', checksum: false })
  await Promise.all([map.set('a', 1), map.set('b', 1)])
  const table = await store.table('')
  /** Somebody else, who knows nothing of this process' queue. */
  const meddle = (key: string): void => {
    const arena = new Arena(100)
    arena.delete(table?.id as number, Buffer.from(key))
    store.direct?.apply(arena)
  }
  let runs = 0
  const seen = await map.transaction((tr) => {
    const a = tr.get('a')
    if (runs++ === 0) meddle('a')
    tr.set('b', 2)
    return a
  })
  t.deepEqual([seen, runs, map.get('b')], [undefined, 2, 2])
  runs = 0
  const error = await failure(
    map.transaction(
      (tr) => {
        tr.set('c', (tr.get('b') ?? 0) + runs++)
        store.direct?.apply(put('b', runs))
      },
      { attempts: 3 },
    ),
  )
  t.true(isMillraceError(error, 'MILL_CONFLICT'))
  t.deepEqual([(error as StoreError).attempts, runs, map.has('c')], [3, 3, false])
  // Reading alone is one state by itself: there is nothing to lose.
  t.is(await map.transaction((tr) => tr.has('a'), { attempts: 1 }), false)

  function put(key: string, n: number): Arena {
    const arena = new Arena(100)
    arena.set(table?.id as number, Buffer.from(key), Buffer.from(String(n)))
    return arena
  }
})

test('pages of 8 KiB have room for longer keys, and a folder for maxMaps maps', async (t) => {
  const path = freshPath(t)
  await using map = await HugeMap.open<string, number>(path, { key: 'string', pageSize: 8192, maxMaps: 2 })
  const long = 'k'.repeat(4026)
  t.true(await map.set(long, 1))
  t.deepEqual([map.get(long), [...map.keys()]], [1, [long]])
  const error = (await failure(map.set(`${long}x`, 1))) as StoreError
  t.deepEqual([error.code, error.length, error.limit], ['MILL_BAD_KEY', 4027, 4026])
  await using second = await map.namespace('second')
  t.is(second.size, 0)
  t.is(await code(map.namespace('third')), 'MILL_TOO_MANY')
})

test('the store you give is yours: it stays open when its maps close', async (t) => {
  const store = memoryStore()
  const map = await HugeMap.open<string, number>(store)
  await map.set('a', 1)
  await map.close()
  await using again = await HugeMap.open<string, number>(store)
  t.is(again.get('a'), 1)
  t.is(await code(again.backup(freshPath(t))), 'MILL_UNSUPPORTED')
})

test('backup copies a folder while it is written to, check finds nothing wrong with it', async (t) => {
  const path = freshPath(t)
  await using map = await HugeMap.open<number, string>(path)
  await map.setMany(Array.from({ length: 500 }, (_, i) => [i, 'x'.repeat(i)] as const))
  const copy = freshPath(t, 'copy')
  map.set(500, 'just set')
  const [copied] = await Promise.all([map.backup(copy), map.set(501, 'later')])
  t.is(copied, undefined)
  await using other = await HugeMap.open<number, string>(copy, { readonly: true })
  t.true(other.size === 501 || other.size === 502)
  t.is(other.get(500), 'just set')
  t.is(await code(map.backup(copy)), 'MILL_MAP_EXISTS')
  const report = await within(HugeMap.check(copy), 'check')
  t.true(report.ok, JSON.stringify(report.problems))
  t.is(report.maps.find(({ name }) => name === '')?.counted, other.size)
})

test('compact gives the room of what was deleted back', async (t) => {
  const path = freshPath(t)
  {
    await using map = await HugeMap.open<number, string>(path)
    await map.setMany(Array.from({ length: 2000 }, (_, i) => [i, 'x'.repeat(1000)] as const))
    await Promise.all(Array.from({ length: 1990 }, (_, i) => map.delete(i)))
  }
  const { before, after } = await within(HugeMap.compact(path), 'compact')
  t.true(after < before / 4, `${before} to ${after}`)
  await using map = await HugeMap.open<number, string>(path)
  t.deepEqual(
    [...map.keys()],
    Array.from({ length: 10 }, (_, i) => 1990 + i),
  )
  t.deepEqual(readdirSync(path).sort(), ['data.mdb', 'lock.mdb'])
})

test('H4: a value that is not what was stored for its key is MILL_BAD_CRC, the rest can be read', async (t) => {
  const store = memoryStore()
  const map = await HugeMap.open<string, string>(store, { key: 'string', value: 'string' })
  await Promise.all([map.set('a', 'alpha'), map.set('b', 'beta')])
  // The same table without its checksum is read as bytes, as they lie there.
  const table = await store.table('')
  const [record] = (await table?.getMany([Uint8Array.of(97)])) ?? []
  t.is(record?.length, 9)
  const spoil = (bytes: Uint8Array): Uint8Array => {
    const arena = new Arena(100)
    arena.set(table?.id as number, Uint8Array.of(98), bytes)
    store.direct?.apply(arena)
    return bytes
  }
  spoil(record as Uint8Array)
  const moved = await failure(() => map.get('b'))
  t.true(isMillraceError(moved, 'MILL_BAD_CRC'))
  t.deepEqual((moved as StoreError).key, Uint8Array.of(98))
  t.is(await code(() => [...map.values()]), 'MILL_BAD_CRC')
  t.is(await code(map.getMany(['b'])), 'MILL_BAD_CRC')
  for (let at = 0; at < 9; at++) {
    const flipped = (record as Uint8Array).slice()
    flipped[at] = (flipped[at] as number) ^ 1
    spoil(flipped)
    t.is(await code(() => map.get('b')), 'MILL_BAD_CRC')
  }
  for (const length of [0, 1, 3]) {
    spoil(new Uint8Array(length))
    t.is(await code(() => map.get('b')), 'MILL_BAD_CRC', `${length} bytes`)
  }
  t.is(map.get('a'), 'alpha')
  t.deepEqual([...map.keys()], ['a', 'b'])
})
