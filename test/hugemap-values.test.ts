import test from 'ava'
import fc from 'fast-check'
import { HugeMap, type MapOptions, type SerializerName } from '../lib/hugemap/index.js'
import { memoryStore } from '../lib/store/index.js'
import type { LocalStore } from '../types/store.js'
import { failure, SCALE } from './fixtures/hugemap-kit.js'
import { codeOf } from './fixtures/stream-kit.js'

const open = <V>(value: SerializerName, options: MapOptions<number, V> = {}, store: LocalStore = memoryStore()) =>
  HugeMap.open<number, V>(store, { key: 'u64', value, verify: 'off', ...options } as object)

/** What comes back, after a trip through the store. */
async function trip<V>(value: SerializerName, values: readonly V[]): Promise<V[]> {
  await using map = await open<V>(value)
  await map.setMany(values.map((one, i) => [i, one] as const))
  return [...map.values()]
}

/** The record of a value without checksum and compression: the serializer's bytes. */
async function bytesOf(serializer: SerializerName, value: unknown): Promise<number[]> {
  const store = memoryStore()
  await using map = await open<unknown>(serializer, { checksum: false }, store)
  await map.set(1, value)
  const table = await store.table('')
  const [record] = (await table?.getMany([Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 1)])) ?? []
  return [...(record as Uint8Array)]
}

test('msgpack keeps what structured clones keep', async (t) => {
  const cycle: { self?: unknown; n: number } = { n: 1 }
  cycle.self = cycle
  const values = [
    null,
    true,
    0,
    1.5,
    NaN,
    Infinity,
    2 ** 53,
    5n,
    -(2n ** 70n),
    '',
    'é😀',
    [1, [2]],
    { a: { b: [null, undefined] } },
    new Date(1234567890123),
    new Map<unknown, unknown>([[1, { a: 1 }], ['b', new Set([1, 2])]]), // biome-ignore format: as a table
    new Set(['a', 1n]),
    /ab+c/gi,
    new RangeError('range'),
    new Uint8Array([1, 2, 3]),
    new Float64Array([0.5, -0.5]),
    new BigInt64Array([1n, -1n]),
    new Uint8Array([9]).buffer,
    Buffer.from('buffer'),
  ]
  const back = await trip('msgpack', values)
  t.deepEqual(back, values)
  t.true(Buffer.isBuffer(back.at(-1)))
  const [again] = await trip('msgpack', [cycle])
  t.is(again?.self, again)
  t.is(again?.n, 1)
})

test('v8 keeps also what msgpack does not: the sign of zero, holes, halves of surrogate pairs', async (t) => {
  // biome-ignore lint/suspicious/noSparseArray: it is what is tested
  const values = [-0, [, 1], '\ud800', new Map([[-0, 1]]), { a: undefined }, new Date(5), 5n]
  t.deepEqual(await trip('v8', values), values)
  await using map = await open<unknown>('v8')
  t.is(codeOf(await failure(map.set(1, () => 1))), 'MILL_SERIALIZE')
})

test('json is JSON', async (t) => {
  const values = [null, 1, 'text', [1, { a: [true] }], { '': '\u2028\ud800' }]
  t.deepEqual(await trip('json', values), values)
  t.deepEqual(Buffer.from(await bytesOf('json', { a: [1, 'é'] })).toString(), '{"a":[1,"é"]}')
  await using map = await HugeMap.open<number, unknown>(memoryStore(), { value: 'json', key: 'u64' })
  for (const value of [() => 1, Symbol('x')]) t.is(codeOf(await failure(map.set(1, value))), 'MILL_SERIALIZE')
  for (const value of [NaN, { a: undefined, b: new Date(5) }, [new Map([[1, 2]])]]) {
    t.is(codeOf(await failure(map.set(1, value))), 'MILL_FIDELITY')
  }
})

test('string keeps every well-formed string and refuses others', async (t) => {
  const strings = ['', 'a', 'x'.repeat(47), 'x'.repeat(48), 'x'.repeat(49), 'é'.repeat(30), `${'a'.repeat(40)}😀`]
  t.deepEqual(await trip('string', strings), strings)
  t.deepEqual(await bytesOf('string', 'aé'), [0x61, 0xc3, 0xa9])
  await using map = await open<unknown>('string')
  for (const value of ['\ud800', `${'a'.repeat(100)}\udc00`, 5, null, ['a']]) {
    t.is(codeOf(await failure(map.set(1, value))), 'MILL_SERIALIZE')
  }
})

test('bytes takes every view and gives a Uint8Array of its own', async (t) => {
  await using map = await open<Uint8Array>('bytes')
  const view = new DataView(new ArrayBuffer(8), 2, 3)
  view.setUint8(0, 7)
  const inputs: unknown[] = [
    new Uint8Array([1, 2]),
    view,
    new Uint16Array([258]),
    new ArrayBuffer(2),
    new SharedArrayBuffer(1),
  ]
  await Promise.all(inputs.map((input, i) => map.set(i, input as Uint8Array)))
  t.deepEqual(
    [...map.values()].map((bytes) => [...bytes]),
    [[1, 2], [7, 0, 0], [2, 1], [0, 0], [0]],
  )
  const one = map.get(0) as Uint8Array
  t.is(one.constructor, Uint8Array)
  one[0] = 99
  t.deepEqual([...(map.get(0) as Uint8Array)], [1, 2])
  t.is(codeOf(await failure(map.set(1, 'text' as never))), 'MILL_SERIALIZE')
})

test('numbers are little-endian, and what does not fit is refused', async (t) => {
  const golden: [SerializerName, unknown, number[], unknown][] = [
    ['f32', 0.1, [0xcd, 0xcc, 0xcc, 0x3d], Math.fround(0.1)],
    ['f64', -2.5, [0, 0, 0, 0, 0, 0, 0x04, 0xc0], -2.5],
    ['i32', -2, [0xfe, 0xff, 0xff, 0xff], -2],
    ['u32', 0xfffffffe, [0xfe, 0xff, 0xff, 0xff], 0xfffffffe],
    ['i64', -2, [0xfe, 255, 255, 255, 255, 255, 255, 255], -2],
    ['i64', -(2n ** 63n), [0, 0, 0, 0, 0, 0, 0, 0x80], -(2n ** 63n)],
    ['u64', 258, [2, 1, 0, 0, 0, 0, 0, 0], 258],
    ['u64', 2n ** 64n - 1n, [255, 255, 255, 255, 255, 255, 255, 255], 2n ** 64n - 1n],
  ]
  for (const [name, value, bytes, back] of golden) {
    t.deepEqual(await bytesOf(name, value), bytes, `${name} ${value}`)
    t.deepEqual(await trip(name, [value]), [back], `${name} ${value}`)
  }
  const wrong: [SerializerName, unknown[]][] = [
    ['f32', ['1', 1n]],
    ['f64', ['1', null]],
    ['i32', [2 ** 31, -(2 ** 31) - 1, 0.5, NaN, 1n]],
    ['u32', [-1, 2 ** 32]],
    ['i64', [2n ** 63n, 0.5, 2 ** 53, '1']],
    ['u64', [-1, -1n, 2n ** 64n]],
  ]
  for (const [name, values] of wrong) {
    await using map = await open<unknown>(name)
    for (const value of values) t.is(codeOf(await failure(map.set(1, value))), 'MILL_SERIALIZE', `${name} ${value}`)
  }
})

test('H4: whatever is set comes back, compressed or not, with checksum or not', async (t) => {
  const value = fc.oneof(
    fc.jsonValue(),
    fc.string({ unit: 'grapheme', maxLength: 2000 }),
    fc.constantFrom('ab'.repeat(300), 'x'.repeat(511), 'x'.repeat(510), Array(200).fill('abc')),
  )
  for (const compress of ['none', 'gzip', 'br'] as const) {
    for (const checksum of [true, false]) {
      await using map = await open<unknown>('json', { compress, checksum })
      await fc.assert(
        fc.asyncProperty(fc.array(value, { maxLength: 5 }), async (values) => {
          await map.clear()
          const written = values.map((one, i) => map.set(i, one))
          t.deepEqual([...map.values()], JSON.parse(JSON.stringify(values)))
          await Promise.all(written)
          t.deepEqual([...map.values()], JSON.parse(JSON.stringify(values)))
        }),
        { numRuns: 40 * SCALE },
      )
    }
  }
})

test('M2: a value that unpacks to more than maxValueBytes is MILL_TOO_LARGE', async (t) => {
  const store = memoryStore()
  const options = { key: 'u64', value: 'string', compress: 'gzip' } as const
  await using large = await HugeMap.open<number, string>(store, options)
  await large.set(1, 'x'.repeat(100_000))
  await using small = await HugeMap.open<number, string>(store, { ...options, maxValueBytes: 10_000 })
  t.is(codeOf(await failure(() => small.get(1))), 'MILL_TOO_LARGE')
  t.is(codeOf(await failure(() => [...small])), 'MILL_TOO_LARGE')
  t.is(large.get(1)?.length, 100_000)
})

test('a stored value the serializer can not read is MILL_DECODE, with the key', async (t) => {
  const store = memoryStore()
  const options = { key: 'string', checksum: false } as const
  await using text = await HugeMap.open<string, string>(store, { ...options, value: 'string', name: 'a' })
  await text.set('k', 'no JSON {')
  const table = await store.table('a')
  await store.drop('a')
  await using json = await HugeMap.open<string, unknown>(store, { ...options, value: 'json', name: 'a' })
  t.not(await store.table('a'), table)
  await json.set('k', 1)
  const raw = await HugeMap.open<string, unknown>(store, {
    ...options,
    name: 'a',
    value: broken('json') as never,
  }).catch(codeOf)
  t.is(raw, 'MILL_INVALID_ARGUMENT', 'a codec of your own has a name of its own')
  await using odd = await HugeMap.open<string, unknown>(store, { ...options, name: 'b', value: broken('odd') })
  await odd.set('k', 1, { ifAbsent: true }).catch(() => {})
  const error = (await failure(() => odd.get('k'))) as {
    code: string
    key: Uint8Array
    serializer: string
    cause: Error
  }
  t.deepEqual(
    [error.code, [...error.key], error.serializer, error.cause.message],
    ['MILL_DECODE', [107], 'odd', 'mine'],
  )
})

function broken(name: string): { name: string; encode(value: unknown): Uint8Array; decode(data: Uint8Array): unknown } {
  let times = 0
  return {
    name,
    encode: (value) => Uint8Array.of(Number(value)),
    decode(data) {
      if (times++ === 0) return data[0]
      throw new Error('mine')
    },
  }
}
