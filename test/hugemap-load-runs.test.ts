import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { bulkLoad } from '../lib/hugemap/bulk-load.js'
import { HugeMap, type Key } from '../lib/hugemap/index.js'
import { entriesOf, LIMIT, ownFolder, refusal } from './fixtures/load-kit.js'
import { rounds } from './fixtures/run-kit.js'
import { codeOf, within } from './fixtures/stream-kit.js'

/** memcmp of UTF-8 or of bytes as they come from a `bytes` map. */
const byBytes = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b)

/** Byte strings that sort badly: long common beginnings, zeros at the end, one a prefix of the other. */
const hardKey = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 12 }),
  fc.array(fc.constantFrom(0, 1, 255), { minLength: 1, maxLength: 30 }).map((list) => Uint8Array.from(list)),
  fc
    .tuple(fc.constantFrom(0, 7, 8, 9, 16, 40), fc.array(fc.constantFrom(0, 97), { maxLength: 20 }))
    .map(([common, rest]) => Uint8Array.from([...new Array<number>(common).fill(98), 98, ...rest])),
)

test('keys of any bytes, sorted in runs of any size, are what a sorted Map has', async (t) => {
  const folder = ownFolder(t)
  let number = 0
  const property = fc.asyncProperty(
    fc.array(fc.tuple(hardKey, fc.nat(1000)), { minLength: 1, maxLength: 600 }),
    fc.constantFrom('last' as const, 'first' as const),
    fc.constantFrom(64, 1000, 100_000),
    async (pairs, duplicates, runBytes) => {
      const model = new Map<string, [Uint8Array, number]>()
      for (const [key, value] of pairs) {
        const name = Buffer.from(key).toString('hex')
        if (duplicates === 'last' || !model.has(name)) model.set(name, [key, value])
      }
      const expected = [...model.values()].sort(([a], [b]) => byBytes(a, b))
      const path = join(folder, `map${number++}`)
      const options = { key: 'bytes', value: 'f64', duplicates } as const
      const stats = await within(
        bulkLoad<Uint8Array, number>(path, pairs, options, { runBytes, keptBytes: 2000 }),
        'load',
        LIMIT,
      )
      t.deepEqual(await entriesOf<Uint8Array, number>(path, { key: 'bytes', value: 'f64' }), expected)
      t.is(stats.records, expected.length)
      t.is(stats.duplicates, pairs.length - expected.length)
    },
  )
  await fc.assert(property, { numRuns: rounds(12) })
})

/** Rows whose keys come several times; the model of what stays. */
function rows(count: number, distinct: number): { text: string; model: Map<string, string> } {
  const lines: string[] = []
  const model = new Map<string, string>()
  let seed = 12_345
  for (let i = 0; i < count; i++) {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    const key = `http://example.org/resource/${seed % distinct}`
    lines.push(`${key}\t${i}`)
    model.set(key, String(i))
  }
  return { text: lines.join('\n'), model }
}
const inOrder = (model: Map<string, string>) => [...model].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

test('spilled runs, merged in several levels, give what memory gives', async (t) => {
  const folder = ownFolder(t)
  const { text, model } = rows(20_000, 15_000)
  const file = join(folder, 'in.tsv')
  writeFileSync(file, text)
  const load = (name: string, internals: object) =>
    bulkLoad(join(folder, name), file, { format: { type: 'tsv' }, value: 'string' }, internals)
  const inMemory = await load('memory', {})
  t.is(inMemory.spilledBytes, 0)
  const expected = inOrder(model)
  t.deepEqual(await entriesOf(join(folder, 'memory')), expected)
  // Half of it spilled; all of it; more than 128 runs, and more than 128 times 128.
  for (const [name, internals, least] of [
    ['half', { runBytes: 50_000, keptBytes: 400_000 }, 10],
    ['all', { runBytes: 50_000, keptBytes: 0 }, 20],
    ['levels', { runBytes: 4000, keptBytes: 100_000 }, 129],
    ['more', { runBytes: 4, keptBytes: 0 }, 16_385],
  ] as const) {
    const stats = await within(load(name, internals), name, LIMIT)
    t.true(stats.runs >= least, `${name}: ${stats.runs} runs`)
    t.true(stats.spilledBytes > 0)
    t.is(stats.records, model.size)
    t.is(stats.duplicates, 20_000 - model.size)
    t.deepEqual(await entriesOf(join(folder, name)), expected, name)
  }
  t.deepEqual(readdirSync(folder).sort(), ['all', 'half', 'in.tsv', 'levels', 'memory', 'more'])
})

test('keys that differ far behind their beginning only, in large runs', async (t) => {
  const folder = ownFolder(t)
  const keys = new Set<string>()
  for (let i = 0; i < 1500; i++) {
    keys.add(`${`group ${i % 3}`.padEnd(50, 'x')}${(i * 7919) % 1500}`)
    keys.add(`${'\0'.repeat(i % 40)}${'b'.repeat(i % 7)}`)
    keys.add(`end\0\0\0\0${'\0'.repeat(i % 11)}`)
    keys.add('a'.repeat(i))
  }
  keys.delete('')
  const pairs = [...keys].map((key, i): [string, number] => [key, i])
  const path = join(folder, 'map')
  await within(HugeMap.load<string, number>(path, pairs, { key: 'string', value: 'f64' }), 'load', LIMIT)
  const found = await entriesOf<string, number>(path)
  t.deepEqual(
    found,
    pairs.sort(([a], [b]) => (a < b ? -1 : 1)),
  )
})

test('values larger than a window and than a run', async (t) => {
  const folder = ownFolder(t)
  const large = (i: number) => new Uint8Array(300_000 + i).fill(i)
  const pairs: [string, Uint8Array][] = Array.from({ length: 12 }, (_, i) => [`k${(i * 5) % 12}`, large(i)])
  pairs.push(['small', new Uint8Array(3)])
  for (const [name, internals] of [
    ['spilled', { runBytes: 100_000, keptBytes: 0 }],
    ['memory', {}],
  ] as const) {
    const path = join(folder, name)
    await within(bulkLoad<string, Uint8Array>(path, pairs, { value: 'bytes' }, internals), name, LIMIT)
    t.deepEqual(
      await entriesOf<string, Uint8Array>(path),
      [...pairs].sort(([a], [b]) => (a < b ? -1 : 1)),
    )
  }
})

test('a spill goes where it is told, and leaves nothing there', async (t) => {
  const folder = ownFolder(t)
  const tempDir = ownFolder(t)
  const pairs = Array.from({ length: 5000 }, (_, i): [number, string] => [5000 - i, `value ${i}`])
  const path = join(folder, 'map')
  const stats = await bulkLoad<Key, string>(path, pairs, { tempDir }, { runBytes: 10_000, keptBytes: 0 })
  t.true(stats.spilledBytes > 100_000)
  t.deepEqual(readdirSync(tempDir), [])
  t.deepEqual((await entriesOf(path)).length, 5000)
  const gone = bulkLoad<Key, string>(
    path,
    pairs,
    { tempDir: join(tempDir, 'gone') },
    { runBytes: 10_000, keptBytes: 0 },
  )
  t.is(codeOf(await refusal(gone)), 'MILL_STORE_IO')
})

test('sorted input is checked, within a piece, over pieces and runs; equal keys are in order', async (t) => {
  const folder = ownFolder(t)
  const lines = Array.from({ length: 3000 }, (_, i) => `key${String(i >> 1).padStart(6, '0')}\t${i}`)
  const file = join(folder, 'in')
  const load = (name: string, internals: object = {}, files: string | string[] = file) =>
    bulkLoad(join(folder, name), files, { format: { type: 'tsv' }, sorted: true, threads: 3 }, internals)
  writeFileSync(file, lines.join('\n'))
  for (const [name, internals] of [
    ['whole', {}],
    ['pieces', { pieceBytes: 1000 }],
    ['runs', { runBytes: 500, keptBytes: 5000 }],
  ] as const) {
    t.is((await load(name, internals)).records, 1500, name)
    t.deepEqual((await entriesOf<string, string>(join(folder, name)))[1499], ['key001499', '2999'])
  }
  // Each file for itself.
  t.is((await load('two', {}, [file, file])).duplicates, 4500)
  ;[lines[1000], lines[2000]] = [lines[2000] as string, lines[1000] as string]
  writeFileSync(file, lines.join('\n'))
  const error = (await refusal(load('no'))) as { code: string; line: number; file: string; excerpt: string }
  t.is(error.code, 'MILL_NOT_SORTED')
  t.is(error.line, 1002)
  t.is(error.file, file)
  t.is(error.excerpt, lines[1001] as string)
  // Seen only between two pieces.
  const halves = [...lines.slice(1500), ...lines.slice(0, 1500)].sort()
  writeFileSync(file, [...halves.slice(1500), ...halves.slice(0, 1500)].join('\n'))
  const piece = Buffer.byteLength(halves.slice(1500).join('\n'))
  t.is(codeOf(await refusal(load('no', { pieceBytes: piece }))), 'MILL_NOT_SORTED')
  const pairs: [string, number][] = [
    ['b', 1],
    ['a', 2],
  ]
  t.is(codeOf(await refusal(HugeMap.load(join(folder, 'no'), pairs, { sorted: true }))), 'MILL_NOT_SORTED')
  t.false(readdirSync(folder).includes('no'))
})

test('keys of every type are in the order of the map', async (t) => {
  const folder = ownFolder(t)
  const keys: Key[] = [
    -Infinity,
    -1.5,
    0,
    2,
    10,
    1e300,
    -(2n ** 70n),
    -1n,
    0n,
    5n,
    2n ** 64n,
    '',
    'Z',
    'a',
    'a\0',
    'ab',
    '\u00e9',
    '\uffff',
    '\u{10000}',
    Uint8Array.of(),
    Uint8Array.of(0),
    Uint8Array.of(0, 0),
    Uint8Array.of(255),
    [],
    [1],
    [1, 'a'],
    [1, 'a\0'],
    [1, 'b'],
    ['a'],
    [[1], 2],
  ]
  const shuffled = keys.map((key, i): [Key, number] => [key, i]).sort(([, a], [, b]) => ((a * 7) % 31) - ((b * 7) % 31))
  await bulkLoad<Key, number>(join(folder, 'map'), shuffled, {}, { runBytes: 100, keptBytes: 0 })
  const found = await entriesOf<Key, number>(join(folder, 'map'))
  t.deepEqual(
    found.map(([, i]) => i),
    keys.map((_, i) => i),
  )
  t.deepEqual(
    found.map(([key]) => key),
    keys,
  )
})
