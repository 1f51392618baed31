import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import type { KeyCodec, LoadFormat, Progress, Serializer } from '../lib/hugemap/index.js'
import { HugeMap } from '../lib/hugemap/index.js'
import { entriesOf, LIMIT, ownFolder, refusal } from './fixtures/load-kit.js'
import { codeOf, within } from './fixtures/stream-kit.js'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('byte streams and pairs from any source', async (t) => {
  const folder = ownFolder(t)
  const text = 'b\t2\na\t1\n'
  const tsv = { format: { type: 'tsv' } as LoadFormat }
  const sources: [string, () => unknown][] = [
    [
      'node',
      () =>
        Readable.from(
          [...text].map((one) => Buffer.from(one)),
          { objectMode: true },
        ),
    ],
    ['web', () => new Blob([text]).stream()],
    ['iterable', () => [bytes(text.slice(0, 3)), bytes(text.slice(3))]],
    [
      'slow',
      async function* () {
        yield bytes(text.slice(0, 3))
        await wait(600) // longer than the threads take to start
        yield bytes(text.slice(3))
        await wait(50)
      },
    ],
  ]
  for (const [name, source] of sources) {
    await HugeMap.load(join(folder, name), source() as Iterable<Uint8Array>, tsv)
    t.deepEqual(
      await entriesOf(join(folder, name)),
      [
        ['a', '1'],
        ['b', '2'],
      ],
      name,
    )
  }
  const pairs: [unknown, unknown][] = [
    [2n, 'big'],
    ['s', { d: new Date(5) }],
    [1, [1]],
    [[1, 'x'], null],
  ]
  const expected = [
    [1, [1]],
    [2n, 'big'],
    ['s', { d: new Date(5) }],
    [[1, 'x'], null],
  ]
  const generators: [string, () => unknown][] = [
    ['array', () => pairs],
    ['map', () => new Map(pairs)],
    [
      'async',
      async function* () {
        yield* pairs
      },
    ],
    ['readable', () => Readable.from(pairs)],
  ]
  for (const [name, make] of generators) {
    const stats = await HugeMap.load(join(folder, name), make() as Iterable<[never, never]>)
    t.deepEqual(await entriesOf(join(folder, name)), expected as [unknown, unknown][], name)
    t.is(stats.records, 4)
  }
  t.is((await HugeMap.load(join(folder, 'none'), [])).records, 0)
  t.deepEqual(await entriesOf(join(folder, 'none')), [])
})

test('pairs with codecs of the user; files need codecs by name', async (t) => {
  const folder = ownFolder(t)
  const key: KeyCodec<number> = {
    name: 'backwards',
    encode: (n) => Uint8Array.of(255 - n),
    decode: (data) => 255 - (data[0] as number),
  }
  const value: Serializer<string> = {
    name: 'upper',
    encode: (text) => bytes(text.toUpperCase()),
    decode: (data) => new TextDecoder().decode(data).toLowerCase(),
  }
  const path = join(folder, 'own')
  await HugeMap.load(
    path,
    [
      [1, 'one'],
      [200, 'two'],
      [7, 'x'],
    ] as [number, string][],
    { key, value },
  )
  t.deepEqual(await entriesOf(path, { key, value }), [
    [200, 'two'],
    [7, 'x'],
    [1, 'one'],
  ])
  t.is(codeOf(await refusal(entriesOf(path))), 'MILL_MAP_MISMATCH')
  writeFileSync(join(folder, 'in'), 'a\tb')
  const load = HugeMap.load(join(folder, 'no'), join(folder, 'in'), { format: { type: 'tsv' }, value })
  t.is(codeOf(await refusal(load)), 'MILL_INVALID_ARGUMENT')
})

test('compression and checksums of values are those of the map', async (t) => {
  const folder = ownFolder(t)
  const long = 'abcdefgh'.repeat(500)
  for (const [compress, checksum] of [
    ['gzip', true],
    ['none', false],
    ['br', false],
  ] as const) {
    const path = join(folder, `${compress}`)
    writeFileSync(join(folder, 'in'), `a\t${long}\nb\tshort`)
    await HugeMap.load(path, join(folder, 'in'), { format: { type: 'tsv' }, value: 'string', compress, checksum })
    t.deepEqual(await entriesOf(path, { compress, checksum }), [
      ['a', long],
      ['b', 'short'],
    ])
    t.is(codeOf(await refusal(entriesOf(path, { checksum: !checksum }))), 'MILL_MAP_MISMATCH')
  }
})

test('into a map that is there: merged in one transaction, other maps untouched', async (t) => {
  const path = join(ownFolder(t), 'map')
  {
    await using map = await HugeMap.open<string, string>(path, { value: 'string' })
    await using other = await map.namespace<string, number>('other', { value: 'f64' })
    await Promise.all([map.set('b', 'old'), map.set('z', 'old'), other.set('x', 1)])
    const read: (string | undefined)[] = []
    const load = HugeMap.load<string, string>(path, [
      ['a', 'new'],
      ['b', 'new'],
      ['c', 'new'],
    ])
    while (read.length < 3) read.push(map.get('b')) // who has it open reads on
    const stats = await within(load, 'load', LIMIT)
    t.deepEqual(read, ['old', 'old', 'old'])
    t.is(stats.records, 3)
    map.refresh()
    t.deepEqual(
      [...map],
      [
        ['a', 'new'],
        ['b', 'new'],
        ['c', 'new'],
        ['z', 'old'],
      ],
    )
    t.is(other.get('x'), 1)
    t.true(await map.set('d', 'after'))
  }
  const kept = await HugeMap.load<string, string>(
    path,
    [
      ['b', 'newer'],
      ['e', 'newer'],
    ],
    { duplicates: 'first' },
  )
  t.is(kept.records, 1)
  t.is(kept.duplicates, 1)
  const twice = HugeMap.load<string, string>(
    path,
    [
      ['f', 'x'],
      ['z', 'newer'],
    ],
    { duplicates: 'error' },
  )
  t.is(codeOf(await refusal(twice)), 'MILL_DUPLICATE_KEY')
  t.deepEqual(await entriesOf(path), [
    ['a', 'new'],
    ['b', 'new'],
    ['c', 'new'],
    ['d', 'after'],
    ['e', 'newer'],
    ['z', 'old'],
  ])
  t.is(codeOf(await refusal(HugeMap.load(path, [['a', 1]], { value: 'json' }))), 'MILL_MAP_MISMATCH')
  await HugeMap.load(path, [['k', 1]], { name: 'third', value: 'json' })
  t.deepEqual(await entriesOf(path, { name: 'third' }), [['k', 1]])
  t.is((await entriesOf(path)).length, 6)
})

test('replace: readers read on in the old folder, a writer is told', async (t) => {
  const folder = ownFolder(t)
  const path = join(folder, 'map')
  await HugeMap.load(path, [['a', 1]])
  const map = await HugeMap.open<string, number>(path)
  t.teardown(() => map.close())
  await map.set('b', 2)
  await within(HugeMap.load(path, [['c', 3]], { replace: true, key: 'string' }), 'replace', LIMIT)
  t.is(map.get('a'), 1)
  t.is(codeOf(await refusal(map.set('d', 4))), 'MILL_MAP_REPLACED')
  t.is(codeOf(await refusal(() => map.refresh())), 'MILL_MAP_REPLACED')
  await map.close()
  t.deepEqual(await entriesOf<string, number>(path, { key: 'string' }), [['c', 3]])
  t.deepEqual(readdirSync(folder), ['map'])
  await HugeMap.load(join(folder, 'new'), [['c', 3]], { replace: true }) // nothing there to replace
  t.is((await entriesOf(join(folder, 'new'))).length, 1)
})

test('a folder that is there and no map is left alone', async (t) => {
  const folder = ownFolder(t)
  mkdirSync(join(folder, 'mine'))
  writeFileSync(join(folder, 'mine', 'letter'), 'dear')
  t.is(codeOf(await refusal(HugeMap.load(join(folder, 'mine'), [['a', 1]]))), 'MILL_MAP_EXISTS')
  mkdirSync(join(folder, 'garbage'))
  writeFileSync(join(folder, 'garbage', 'data.mdb'), 'x'.repeat(20_000))
  t.is(codeOf(await refusal(HugeMap.load(join(folder, 'garbage'), [['a', 1]]))), 'MILL_MAP_DAMAGED')
  mkdirSync(join(folder, 'empty'))
  await HugeMap.load(join(folder, 'empty'), [['a', 1]])
  t.deepEqual(await entriesOf(join(folder, 'empty')), [['a', 1]])
  await HugeMap.load(join(folder, 'deep', 'er', 'map'), [['a', 1]])
  t.deepEqual(await entriesOf(join(folder, 'deep', 'er', 'map')), [['a', 1]])
})

test('progress: phases in order, counts that grow; what it throws ends the load', async (t) => {
  const folder = ownFolder(t)
  const seen: Progress[] = []
  const text = Array.from({ length: 30_000 }, (_, i) => `k${i}\t${i}`).join('\n')
  writeFileSync(join(folder, 'in'), text)
  const stats = await HugeMap.load(join(folder, 'map'), join(folder, 'in'), {
    format: { type: 'tsv' },
    onProgress: (progress) => seen.push(progress),
  })
  const phases = [...new Set(seen.map(({ phase }) => phase))]
  t.deepEqual(phases, ['parsing', 'merging', 'syncing'])
  const last = (phase: string) => seen.findLast((progress) => progress.phase === phase)
  t.is(last('parsing')?.done, 30_000)
  t.is(last('parsing')?.bytes, text.length)
  t.is(last('merging')?.done, 30_000)
  t.is(last('merging')?.total, 30_000)
  t.is(stats.bytesIn, text.length)
  t.is(stats.records, 30_000)
  t.true(stats.fileBytes > text.length / 2 && stats.runs > 0 && stats.elapsedMs > 0)
  const mine = new Error('mine')
  // Without an end, so that the load is not done before it is told.
  async function* endless() {
    for (let i = 0; ; i++) {
      yield [i, i] as const
      await wait(1)
    }
  }
  const onProgress = () => {
    throw mine
  }
  t.is(await refusal(HugeMap.load(join(folder, 'not'), endless(), { onProgress }), 'throwing'), mine)
  t.deepEqual(readdirSync(folder).sort(), ['in', 'map'])
})

test('options that are none: MILL_INVALID_ARGUMENT, and nothing is made', async (t) => {
  const folder = ownFolder(t)
  const wrong: [unknown, object][] = [
    ['file', {}],
    [['file'], {}],
    ['', { format: { type: 'tsv' } }],
    ['file', { format: { type: 'csv' } }],
    ['file', { format: { type: 'ndjson' } }],
    ['file', { format: { type: 'ndjson', key: '' } }],
    ['file', { format: { type: 'ndjson', key: 'a..b' } }],
    ['file', { format: { type: 'ndjson', key: 'a[x]' } }],
    ['file', { format: { type: 'ndjson', key: 'a[0' } }],
    ['file', { format: { type: 'ndjson', key: 'a.' } }],
    ['file', { format: { type: 'ndjson', key: 'a[0]b' } }],
    ['file', { format: { type: 'module', url: 'file:///x.js' } }],
    [[], { duplicates: 'never' }],
    [[], { badRecords: 'ignore' }],
    [[], { threads: 0 }],
    [[], { threads: 1.5 }],
    [[], { memory: 1000 }],
    [[], { pageSize: 1000 }],
    [[], { name: 'x'.repeat(201) }],
    [[], { replace: 'yes' }],
    [[], { sorted: 1 }],
    [[], { tempDir: '' }],
    [[], { onProgress: 5 }],
    [[], { signal: {} }],
    [[], { key: 'text' }],
    [[], { value: 'text' }],
  ]
  for (const [from, options] of wrong) {
    const error = await refusal(() => HugeMap.load(join(folder, 'map'), from as [], options as object))
    t.is(codeOf(error), 'MILL_INVALID_ARGUMENT', JSON.stringify([from, options]))
  }
  t.is(codeOf(await refusal(() => HugeMap.load(5 as never, []))), 'MILL_INVALID_ARGUMENT')
  t.deepEqual(readdirSync(folder), [])
})
