import { deepStrictEqual as equal, ok } from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import {
  type Cursor,
  LoadIt,
  type LoadItOptions,
  type Sequence,
  type Source,
  type SourceContext,
  sequence,
} from '../lib/loadit/index.js'
import { readable } from '../lib/streams/index.js'
import { kinds } from './fixtures/sequence-kinds.js'
import { foreign, interleaveOf, Pulled, shuffleOf } from './fixtures/sequence-kit.js'
import { type Grown, grow, type Item, type Leaf, plainLeaves, type Tree, trees } from './fixtures/sequence-trees.js'
import { codeOf, failure, gather, gatherUntilError, within } from './fixtures/stream-kit.js'

const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const naturals = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

interface Chances {
  readonly tree: Tree
  readonly checks: string[]
  readonly start: number
  readonly length: number
  readonly maxItems: number
  readonly wanted: number[]
}

/** Each looks at a sequence from another side; the order is random, as the first one meets a length nobody knows yet. */
const checks: Record<string, (grown: Grown, chances: Chances) => Promise<void>> = {
  async length({ made, model }) {
    equal(await made.length(), model.length)
    equal(made.knownLength, model.length)
  },
  async at({ made, model }) {
    const n = model.length
    for (let i = -n - 3; i <= n + 3; i++) equal(await made.at(i), model.at(i), `at(${i})`)
  },
  async getMany({ made, model }, { wanted }) {
    equal(
      await made.getMany(wanted),
      wanted.map((i) => model.at(i)),
    )
  },
  async loop({ made, model }) {
    equal(await gather(made), model)
  },
  async batches({ made, model }, { start, length, maxItems }) {
    const batches = await gather(made.batches({ start, end: start + length, maxItems }))
    ok(batches.every((batch) => batch.length > 0 && batch.length <= maxItems))
    equal(batches.flat(), model.slice(start, start + length))
  },
  async stream({ made, model }, { start, length, maxItems }) {
    const expected = model.slice(start, start + length)
    const bad = expected.findIndex((item) => item === null || item === undefined)
    const { items, error } = await gatherUntilError(made.stream({ start, end: start + length, maxItems }))
    equal(items, bad < 0 ? expected : expected.slice(0, bad))
    equal(codeOf(error), bad < 0 ? undefined : 'MILL_UNSUPPORTED_ITEM')
  },
  async peek({ made, model }) {
    const n = model.length
    for (let i = -n - 3; i <= n + 3; i++) {
      const item = made.peek(i)
      if (item !== undefined) equal(item, model.at(i), `peek(${i})`)
    }
  },
  async cursor({ made, model }, { start, maxItems }) {
    const cursor = JSON.parse(JSON.stringify(made.cursor(start)))
    equal((await gather(made.batches({ cursor, maxItems }))).flat(), model.slice(start))
  },
  async known({ made, model }) {
    const { knownLength } = made
    if (knownLength !== undefined) equal(knownLength, model.length)
  },
}

const chances = (leaves: readonly Leaf[]): fc.Arbitrary<Chances> =>
  fc.record({
    tree: trees(leaves.length),
    checks: fc.shuffledSubarray(Object.keys(checks), { minLength: Object.keys(checks).length }),
    start: fc.nat(50),
    length: fc.nat(60),
    maxItems: fc.integer({ min: 1, max: 20 }),
    wanted: fc.array(fc.integer({ min: -60, max: 60 }), { maxLength: 40 }),
  })

test('any views of any views of any sequences are what they are of arrays', async (t) => {
  await fc.assert(
    fc.asyncProperty(chances(plainLeaves), async (chance) => {
      const grown = await grow(chance.tree, plainLeaves)
      for (const check of chance.checks) await within(checks[check]?.(grown, chance), check)
    }),
    { numRuns: 1500 * scale },
  )
  t.pass()
})

type Make = (items: readonly Item[], start: number) => Source<Item> | Promise<Source<Item>>

const sources: readonly { readonly from: Make; readonly holes: boolean; readonly seekable?: true }[] = [
  { from: generator, holes: true },
  { from: asyncGenerator, holes: true },
  { from: (items) => items, holes: true },
  { from: async (items) => items, holes: true },
  { from: (items) => Readable.from(items), holes: false },
  { from: (items) => web(items), holes: false },
  { from: (items) => readable(items), holes: false },
  { from: (items, start) => generator(items.slice(start)), holes: true, seekable: true },
]

function* generator(items: readonly Item[]): Generator<Item> {
  yield* items
}

async function* asyncGenerator(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items
}

const web = (items: readonly Item[]): ReadableStream<Item> =>
  new ReadableStream({
    start(controller) {
      for (const item of items) controller.enqueue(item)
      controller.close()
    },
  })

/** Every kind of source, as the leaf of a tree: each gives a new loader of a new folder, with shards of eight. */
function loaders(folder: string, open: LoadIt<Item>[], options: Partial<LoadItOptions<Item>>): Leaf[] {
  const leaves = sources.map(({ from, holes, seekable = false }): Leaf => {
    return {
      holes,
      async make(items) {
        const source = ({ start }: SourceContext) => from(items, start)
        const root = join(folder, `${open.length}`)
        const loader = await LoadIt.open<Item>({ root, source, seekable, maxShardLength: 8, ...options })
        open.push(loader)
        return loader
      },
    }
  })
  return [...leaves, { holes: true, make: (items) => sequence(items) }]
}

/** Everything kept; and next to nothing, on the disk or in memory, so that nearly all is made again and again. */
const rooms: Record<string, Partial<LoadItOptions<Item>>> = {
  'with room for all': {},
  'with room for two shards on the disk': { memoryLimit: 700, cache: { bytes: 0 } },
  'decoded, ahead, with several walks': { cache: { form: 'decoded' }, preload: 3, maxSources: 3 },
}

for (const [name, options] of Object.entries(rooms)) {
  test(`any views of loaders over every kind of source are what they are of arrays, ${name}`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-views-'))
    t.teardown(() => rmSync(folder, { recursive: true }))
    const open: LoadIt<Item>[] = []
    const leaves = loaders(folder, open, options)
    const numRuns = Math.ceil(12 * scale)
    await fc.assert(
      fc.asyncProperty(chances(leaves), async (chance) => {
        const before = open.length
        const grown = await grow(chance.tree, leaves)
        for (const check of chance.checks) await within(checks[check]?.(grown, chance), check)
        for (const loader of open.slice(before)) await within(loader.close(), 'close')
      }),
      { numRuns },
    )
    t.true(open.length > numRuns / 2)
  })
}

test('two roots agree, and a walk goes on in a new process and in a new root from where it stopped in this one', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-views-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const here = join(folder, 'here')
  const there = join(folder, 'there')
  const loader = await LoadIt.open({ root: here, source: () => naturals(43), maxShardLength: 8, fingerprint: 'v1' })
  const stops: Record<string, Cursor> = {}
  const rests: Record<string, number[]> = {}
  for (const [name, of] of Object.entries(kinds)) {
    const view = of(loader)
    const all = await gather(view)
    t.deepEqual(all, await gather(of(sequence(naturals(43)))), name)
    const next = Math.floor(all.length / 3)
    stops[name] = view.cursor(next)
    rests[name] = all.slice(next)
  }
  await loader.close()
  const child = fileURLToPath(new URL('fixtures/loadit-resume.js', import.meta.url))
  for (const root of [here, there]) {
    const { stdout } = await within(promisify(execFile)(process.execPath, [child, root, JSON.stringify(stops)]), root)
    t.deepEqual(JSON.parse(stdout), rests)
  }
  const other = await LoadIt.open({ root: join(folder, 'other'), source: () => naturals(43), fingerprint: 'v2' })
  t.is(codeOf(await failure(() => other.slice(5, -5, 3).stream({ cursor: stops.slice as Cursor }))), 'MILL_CURSOR')
  await other.close()
})

test('slices are those of Python, every one of 6860', async (t) => {
  const bounds = [undefined, ...naturals(13).map((i) => i - 6)]
  const lines: string[] = []
  for (const items of naturals(5).map(naturals)) {
    const s = sequence(items)
    for (const start of bounds) {
      for (const end of bounds) {
        for (const step of [undefined, -3, -2, -1, 1, 2, 3]) {
          const slice = s.slice(start, end, step)
          lines.push((await slice.getMany(naturals(slice.knownLength ?? 99))).join())
        }
      }
    }
  }
  // python3 -c "...; crc32('\n'.join(','.join(map(str, range(n)[s:e:st])) ...))"
  t.is(lines.length, 6860)
  t.is(crc32(lines.join('\n')).toString(16), 'a71d2dd6')
})

test('walking goes on from a cursor in any kind of view, wherever it stopped, and in what was made anew', async (t) => {
  for (const [name, of] of Object.entries(kinds)) {
    const all = await gather(of(new Pulled(naturals(43))))
    for (let next = 0; next <= all.length + 1; next++) {
      const first = of(new Pulled(naturals(43)))
      const had: number[] = []
      for await (const items of first.batches({ maxItems: 4, end: next })) had.push(...items)
      const cursor = JSON.parse(JSON.stringify(first.cursor(next)))
      const again = of(new Pulled(naturals(43)))
      t.deepEqual([...had, ...(await gather(again.stream({ cursor })))], all, `${name} at ${next}`)
    }
    t.deepEqual(await gather(of(new Pulled(naturals(43))).batches({ cursor: of(new Pulled([])).cursor(1e9) })), [])
  }
})

test('a cursor is refused by every other sequence, and by what nobody made', async (t) => {
  const s = sequence(naturals(40))
  const made = Object.entries(kinds).map(([name, of]) => [name, of(s)] as const)
  t.is(new Set(made.map(([, view]) => view.description)).size, made.length)
  for (const [name, view] of made) {
    for (const [other, another] of made) {
      if (name === other) continue
      const error = await failure(() => view.batches({ cursor: another.cursor(1) }))
      t.like(error, { code: 'MILL_CURSOR', expected: view.description, found: another.description })
    }
  }
  const good = s.cursor(3)
  t.deepEqual(good, { millrace: 1, sequence: 'array(40)', next: 3 })
  for (const bad of [null, 7, {}, { ...good, millrace: 2 }, { ...good, next: -1 }, { ...good, next: '3' }]) {
    t.is(codeOf(await failure(() => s.stream({ cursor: bad as never }))), 'MILL_INVALID_ARGUMENT')
  }
  t.is(codeOf(await failure(() => s.batches({ cursor: good, start: 3 }))), 'MILL_INVALID_ARGUMENT')
  for (const bad of [-1, 1.5, Number.NaN, '3']) t.is(codeOf(await failure(() => s.cursor(bad as number))), 'MILL_INDEX')
})

test('a description says how the view was made', (t) => {
  const s = sequence(naturals(40))
  const said: [Sequence<number>, string][] = [
    [s, 'array(40)'],
    [s.slice(), 'array(40).slice()'],
    [s.slice(5, -5, 3), 'array(40).slice(5,-5,3)'],
    [s.slice(undefined, 3), 'array(40).slice(,3)'],
    [s.slice(undefined, undefined, -1), 'array(40).slice(,,-1)'],
    [s.slice(2, undefined, 1), 'array(40).slice(2)'],
    [s.view([1, 2, 3]), 'array(40).view(3,crc32=5b25e824)'],
    [s.view([1, 3, 2]), 'array(40).view(3,crc32=802b22d8)'],
    [s.view([]), 'array(40).view(0,crc32=00000000)'],
    [s.view((i) => i, 5), 'array(40).view(function,5)'],
    [s.shuffle(), 'array(40).shuffle(0)'],
    [s.shuffle({ seed: '7' }), 'array(40).shuffle(7)'],
    [s.shuffle({ seed: '7).slice(1', block: 4 }), 'array(40).shuffle("7).slice(1",block=4)'],
    [s.shuffle({ block: 4, order: 'kept' }), 'array(40).shuffle(0,kept=4)'],
    [s.shard(1, 4), 'array(40).shard(1,4)'],
    [s.shard(1, 4, { strided: true }), 'array(40).shard(1,4,strided)'],
    [s.concat([1], s.slice(1)), 'array(40).concat(array(1),array(40).slice(1))'],
    [s.interleave([1], s.slice(1)), 'array(40).interleave(array(1),array(40).slice(1))'],
    [s.repeat(), 'array(40).repeat()'],
    [s.repeat(3, (_, e) => e), 'array(40).repeat(3,each)'],
  ]
  for (const [view, description] of said) t.is(view.description, description)
  // −0 is item 0, and not another list.
  t.is(s.view([-0]).description, s.view([0]).description)
})

test('slices know their items at the far end of the safe integers', async (t) => {
  const most = Number.MAX_SAFE_INTEGER
  const far = sequence([0])
    .repeat()
    .view((i) => i, most)
  t.is(await far.slice(-3).length(), 3)
  t.is(await far.slice(most - 1).length(), 1)
  t.is(await far.slice(undefined, undefined, -1).length(), most)
  t.is(BigInt(await far.shard(2, 3).length()), BigInt(most) - (2n * BigInt(most)) / 3n)
  const parts = await Promise.all(naturals(7).map((i) => far.shard(i, 7).length()))
  t.is(
    parts.map(BigInt).reduce((a, b) => a + b),
    BigInt(most),
  )
  const seen = await far.shuffle().getMany([0, 1, most - 1])
  t.deepEqual(seen, [0, 0, 0])
})

test('the orders of shuffles are these, for good', async (t) => {
  t.is((await gather(sequence(naturals(10)).shuffle())).join(' '), '3 0 8 2 9 4 6 1 5 7')
  const million = sequence(naturals(1_000_000)).shuffle()
  t.is((await million.getMany(naturals(5))).join(' '), '821678 473225 877882 97826 400250')
  const hundred = (options: object): Promise<number[]> => gather(sequence(naturals(100)).shuffle(options))
  t.is(
    (await hundred({ seed: 7 })).slice(0, 12).join(' '),
    shuffleOf(naturals(100), { seed: 7 }).slice(0, 12).join(' '),
  )
  t.deepEqual(await hundred({ seed: '7' }), await hundred({ seed: 7 }))
  t.deepEqual(await hundred({ seed: 0 }), await hundred({}))
  t.notDeepEqual(await hundred({ seed: 1 }), await hundred({ seed: 2 }))
  const pinned: [object, string][] = [
    [{}, 'f7d63cce'],
    [{ seed: 7 }, 'b97c79a1'],
    [{ seed: 'train' }, '37765951'],
    [{ seed: -1.5 }, '4b7f0044'],
    [{ block: 16 }, 'dd36becc'],
    [{ block: 16, order: 'kept' }, 'ba34e6af'],
    [{ block: 1 }, 'f7d63cce'],
    [{ block: 1000 }, 'b07639c0'],
    [{ seed: 7, block: 33 }, 'fefd21f2'],
  ]
  for (const [options, sum] of pinned) {
    const order = await hundred(options)
    t.deepEqual(order, shuffleOf(naturals(100), options))
    t.is(crc32(order.join()).toString(16), sum, JSON.stringify(options))
  }
})

test('a shuffle is a permutation, of any length, and blocks stay whole or in place', async (t) => {
  const lengths = [...naturals(101), ...[4, 5, 6].flatMap((h) => [4 ** h - 1, 4 ** h, 4 ** h + 1])]
  for (const n of lengths) {
    const items = naturals(n)
    const sorted = (list: number[]): number[] => list.toSorted((a, b) => a - b)
    t.deepEqual(sorted(await gather(sequence(items).shuffle({ seed: n }))), items, `${n}`)
    for (const block of [1, 3, 8, n + 1]) {
      const full = Math.floor(n / block)
      for (const order of ['shuffled', 'kept'] as const) {
        const shuffled = await gather(sequence(items).shuffle({ seed: n, block, order }))
        const blocks: number[] = []
        for (let j = 0; j <= full; j++) {
          const part = sorted(shuffled.slice(j * block, (j + 1) * block))
          const from = part[0] ?? full * block
          t.deepEqual(part, items.slice(from, from + block))
          blocks.push(from / block)
        }
        t.deepEqual(order === 'kept' ? blocks : sorted(blocks), naturals(full + 1))
        t.is(blocks.at(-1), full)
      }
    }
  }
})

test('an index that is none is MILL_INDEX everywhere, and so is one that leads out of the parent', async (t) => {
  for (const [name, of] of Object.entries({ itself: (s: Sequence<number>) => s, ...kinds })) {
    for (const from of [sequence(naturals(43)), sequence(foreign(naturals(43)))]) {
      const s = of(from)
      for (const bad of [1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1', undefined, null, 1n]) {
        const index = bad as number
        const errors = [
          await failure(s.at(index), name),
          await failure(s.getMany([0, index]), name),
          await failure(() => s.peek(index), name),
          await failure(() => s.view([index]), name),
        ]
        for (const error of errors)
          t.like(error, { code: 'MILL_INDEX', name: 'LoadItError', index }, `${name} ${String(bad)}`)
      }
    }
  }
  const wild = (s: Sequence<Item>): Sequence<Item>[] => [
    s.view([1, 43, 2]),
    s.view([1, -44, 2]),
    s.view((i) => [1, 43, 2][i] as number, 3),
    s.view((i) => [1, 0.5, 2][i] as number, 3),
  ]
  const gaps = naturals(43).map((i) => (i === 1 ? undefined : i))
  for (const from of [() => sequence<Item>(gaps), () => new Pulled<Item>(gaps), () => sequence(foreign<Item>(gaps))]) {
    for (const i of naturals(4)) {
      const view = (): Sequence<Item> => wild(from())[i] as Sequence<Item>
      t.is(await view().at(0), undefined)
      t.is(await view().at(2), 2)
      t.is(await view().at(-1), 2)
      t.is(await view().at(3), undefined)
      t.is(await view().length(), 3)
      t.deepEqual(await view().getMany([2, 0]), [2, undefined])
      t.is(codeOf(await failure(view().at(1))), 'MILL_INDEX')
      t.is(codeOf(await failure(view().getMany([2, 0, 1]))), 'MILL_INDEX')
      const { items, error } = await gatherUntilError(view().batches({ maxItems: 1 }))
      t.deepEqual([items, codeOf(error)], [[[undefined]], 'MILL_INDEX'])
      t.is(codeOf(await failure(gather(view()))), 'MILL_INDEX')
      t.is(codeOf(await failure(gather(view().concat([1])))), 'MILL_INDEX')
    }
  }
  const known = sequence(gaps)
  for (const view of wild(known)) t.is(codeOf(await failure(() => view.peek(1))), 'MILL_INDEX')
})

test('what is no argument is refused at once', async (t) => {
  const s = sequence(naturals(9))
  const bad: (() => unknown)[] = [
    () => s.slice(0, 1, 0),
    () => s.slice(0, 1, 1.5),
    () => s.shard(0, 0),
    () => s.shard(3, 3),
    () => s.shard(-1, 3),
    () => s.shard(0.5, 3),
    () => s.shuffle({ block: 0 }),
    () => s.shuffle({ block: 1.5 }),
    () => s.shuffle({ seed: Number.NaN }),
    () => s.shuffle({ seed: null as never }),
    () => s.shuffle({ order: 'kept' }),
    () => s.shuffle({ block: 4, order: 'keep' as never }),
    () => s.view((i) => i, -1),
    () => s.view((i) => i, undefined as never),
    () => s.repeat(-1),
    () => s.repeat(1.5),
    () => s.repeat(2, 7 as never),
    () => s.concat(7 as never),
    () => s.interleave(null as never),
    () => s.interleave(new Set([1]) as never),
    () => sequence('abc' as never),
    () => s.batches({ start: -1 }),
    () => s.batches({ end: 1.5 }),
    () => s.batches({ maxItems: 0 }),
    () => s.stream({ maxItems: Number.POSITIVE_INFINITY }),
    () => s.stream({ signal: {} as never }),
    () => s.slice(1).at(0, { signal: {} as never }),
    () => s.slice(1).length({ signal: {} as never }),
    () => s.slice(1).getMany([0], { signal: {} as never }),
    () => s.slice(1).getMany(7 as never),
    () => s.slice(1).getMany(null as never),
    () => s.view(7 as never),
    () => s.view(undefined as never),
  ]
  for (const call of bad) t.like(await failure(call, String(call)), { code: 'MILL_INVALID_ARGUMENT' }, String(call))
  t.is(codeOf(await failure(() => s.slice(0.5))), 'MILL_INDEX')
  t.is(codeOf(await failure(() => s.slice(0, Number.NaN))), 'MILL_INDEX')
})

test('an endless sequence has items, parts and streams; it has no end to count from', async (t) => {
  const s = sequence([10, 11, 12]).repeat()
  const infinity = Number.POSITIVE_INFINITY
  t.is(await s.length(), infinity)
  t.is(s.knownLength, infinity)
  t.is(await s.at(1_000_000), 11)
  t.deepEqual(await gather(s.slice(1, 8)), [11, 12, 10, 11, 12, 10, 11])
  t.deepEqual(await gather(s.slice(8, 1, -3)), [12, 12, 12])
  t.deepEqual(await gather(s.shard(1, 2, { strided: true }).slice(0, 4)), [11, 10, 12, 11])
  t.deepEqual(await gather(s.interleave([1, 2]).slice(0, 7)), [10, 1, 11, 2, 12, 10, 11])
  t.deepEqual(await gather(sequence([1, 2]).interleave(s).slice(0, 7)), [1, 10, 2, 11, 12, 10, 11])
  t.deepEqual(await gather(sequence([1, 2]).concat(s, [3]).slice(0, 4)), [1, 2, 10, 11])
  t.deepEqual(await gather(s.view([5, 1_000_001]).repeat().slice(0, 3)), [12, 12, 12])
  t.deepEqual(await gather(s.shuffle({ block: 3, order: 'kept' }).stream({ end: 300 })), [
    ...shuffleOf(
      naturals(300).map((i) => 10 + (i % 3)),
      { block: 3, order: 'kept' },
    ),
  ])
  t.deepEqual(await gather(s.view((i) => i * 3, infinity).batches({ start: 5, end: 7 })), [[10, 10]])
  t.is(await new Pulled([1, 2]).repeat().length(), infinity)
  t.is(await new Pulled([]).repeat().length(), 0)
  t.deepEqual(await gather(new Pulled([]).repeat()), [])
  t.is(await sequence([]).repeat().at(5), undefined)
  const ends: (() => unknown)[] = [
    () => s.at(-1),
    () => s.getMany([1, -1]),
    () => s.peek(-1),
    () => s.slice(-5).at(0),
    () => s.slice(-5).length(),
    () => s.slice(0, -5).at(0),
    () => gather(s.slice(undefined, undefined, -1)),
    () => s.view([-1]).at(0),
    () => s.concat([1]).at(-1),
    () => sequence([1]).concat(s).at(-1),
    () =>
      sequence([1])
        .concat(new Pulled([1]).repeat())
        .at(-1),
    () => s.interleave([1]).at(-1),
  ]
  for (const call of ends) t.is(codeOf(await failure(call, String(call))), 'MILL_INDEX', String(call))
  t.is(s.slice(-5).knownLength, undefined)
  for (const call of [() => s.shuffle().at(0), () => s.shard(0, 2).length(), () => s.shuffle({ block: 3 }).length()]) {
    t.is(codeOf(await failure(call, String(call))), 'MILL_INVALID_ARGUMENT')
  }
})

test('a view reads nothing when it is made, and asks for no length that it does not need', async (t) => {
  const some = (): Pulled<number> => new Pulled(naturals(100))
  const lazy: [number, (s: Pulled<number>) => unknown][] = [
    [0, (s) => Object.values(kinds).map((of) => of(s).description)],
    [0, (s) => [s.batches(), s.stream(), s.cursor(50), s.knownLength, s.slice(-3).knownLength]],
    [11, (s) => s.slice(0, 50).at(10)],
    [0, (s) => s.slice(0, 50).at(50)],
    [50, (s) => s.slice(0, 50).length()],
    [50, (s) => s.slice(1, 50, 3).length()],
    [50, (s) => s.slice(0, 50).at(-1)],
    [50, (s) => s.slice(0, 50).shuffle().at(7)],
    [31, (s) => s.slice(30, 5, -1).length()],
    [31, (s) => gather(s.slice(30, undefined, -4))],
    [30, (s) => gather(s.slice(10, 30))],
    [13, (s) => s.shard(2, 5, { strided: true }).at(2)],
    [43, (s) => gather(s.shard(2, 5, { strided: true }).stream({ end: 9 }))],
    [18, (s) => s.view([4, 17, 99]).at(1)],
    [0, (s) => s.view([4, 17, 99]).length()],
    [0, (s) => gather(s.slice(3, 5, -1))],
    [0, (s) => gather(s.slice(5, 3))],
    [0, (s) => s.slice(7, 7).shuffle().at(-1)],
    [21, (s) => s.concat([1, 2]).at(20)],
    [0, (s) => s.concat([1, 2]).at(-2)],
    [0, (s) => sequence([1, 2]).concat(s).at(1)],
    [5, (s) => sequence([1, 2]).concat(s).getMany([6, 0])],
    [3, (s) => sequence([1, 2]).concat(s).slice(1, 5).length()],
    [51, (s) => s.interleave([1, 2, 3], s.slice(50)).at(2)],
    [1, (s) => s.interleave(naturals(50)).at(1)],
    [10, (s) => s.interleave(naturals(50)).getMany([19, 2])],
    [6, (s) => s.repeat(3).at(5)],
    [1, (s) => s.repeat().length()],
    [0, (s) => sequence([1]).repeat().concat(s).length()],
    [0, (s) => sequence([1]).repeat().interleave(s).length()],
    [0, (s) => sequence([1]).interleave(s).at(0)],
    [1, (s) => failure(s.repeat().concat([1]).interleave([2]).at(-1))],
    [8, (s) => s.repeat(2, (_, e) => e.slice(0, 8)).at(7)],
    [100, (s) => s.slice(-3).at(0)],
    [100, (s) => s.shuffle().at(0)],
    [100, (s) => s.repeat(2).at(100)],
    [100, (s) => s.concat([1, 2]).at(101)],
  ]
  for (const [pulled, use] of lazy) {
    const s = some()
    await within(Promise.resolve(use(s)), String(use))
    t.is(s.pulled, pulled, String(use))
  }
})

test('many items are asked for in one go, and no more than once', async (t) => {
  const first = foreign(naturals(40), true)
  const second = foreign(naturals(40), true)
  const asked = async (of: Sequence<number>, indices: number[]): Promise<string[]> => {
    first.asked.length = second.asked.length = 0
    await of.getMany(indices)
    return [...first.asked, '|', ...second.asked]
  }
  const [a, b] = [sequence(first), sequence(second)]
  t.deepEqual(await asked(a.slice(10, 20).slice(undefined, undefined, -2), [0, 3, 9, -1]), ['getMany(19,13,11)', '|'])
  t.deepEqual(await asked(a.concat(b, a), [85, 41, 1, 40, 2]), ['getMany(5,1,2)', '|', 'getMany(1,0)'])
  t.deepEqual(await asked(a.interleave(b), [1, 0, 3, 200]), ['getMany(0)', '|', 'getMany(0,1)'])
  t.deepEqual(await asked(a.repeat(3), [0, 40, 81, 1000]), ['getMany(0,0,1)', '|'])
  t.deepEqual(await asked(a.concat(b), []), ['|'])
})

test('a list of indices is copied, an array is not', async (t) => {
  const items = [10, 11, 12]
  const indices = [0, 1]
  const s = sequence(items)
  const view = s.view(indices)
  indices[0] = 2
  items[1] = 111
  items.push(13)
  t.deepEqual(await gather(view), [10, 111])
  t.is(await s.length(), 4)
  const object = { x: 1 }
  t.is(await sequence([object]).at(0), object)
  t.is(sequence(s), s)
  t.is(s.concat(), s)
  t.is(s.interleave(), s)
})

test('every epoch is made when it is needed, and must be as long as the sequence', async (t) => {
  const epochs: number[] = []
  const s = sequence(naturals(4)).repeat(1000, (epoch, of) => {
    epochs.push(epoch)
    return epoch % 2 === 0 ? of : [40, 41, 42, 43]
  })
  t.is(await s.at(4001 - 1), undefined)
  t.is(await s.at(3998), 42)
  t.deepEqual(epochs, [999])
  t.deepEqual(await gather(s.slice(2, 10)), [2, 3, 40, 41, 42, 43, 0, 1])
  t.deepEqual(epochs, [999, 0, 1, 2])
  const wrong = sequence(naturals(4)).repeat(3, (epoch, of) => (epoch === 1 ? of.slice(1) : of))
  const { items, error } = await gatherUntilError(wrong)
  t.deepEqual([items, codeOf(error)], [[0, 1, 2, 3], 'MILL_INVALID_ARGUMENT'])
  t.is(codeOf(await failure(wrong.at(5))), 'MILL_INVALID_ARGUMENT')
  t.is(codeOf(await failure(wrong.getMany([1, 5]))), 'MILL_INVALID_ARGUMENT')
  t.is(codeOf(await failure(() => wrong.peek(5))), 'MILL_INVALID_ARGUMENT')
  t.is(await wrong.at(8), 0)
  const short = new Pulled(naturals(4)).repeat(2, (_, of) => of.slice(0, 3))
  t.is(codeOf(await failure(gather(short))), 'MILL_INVALID_ARGUMENT')
  const shorter = new Pulled(naturals(4)).repeat(1, (_, of) => of.slice(0, 3))
  const end = await gatherUntilError(shorter)
  t.deepEqual([end.items, codeOf(end.error)], [[0, 1, 2], 'MILL_INVALID_ARGUMENT'])
  const unknown = sequence(naturals(4)).repeat(2, () => new Pulled(naturals(4)))
  t.is(unknown.peek(5), undefined)
  t.is(await unknown.at(5), 1)
  const failing = new Error('each')
  const s2 = sequence([1]).repeat(2, () => {
    throw failing
  })
  t.is(await failure(s2.at(0)), failing)
  t.is(await failure(gather(s2)), failing)
  t.is(
    codeOf(
      await failure(
        sequence([1])
          .repeat(2, () => 7 as never)
          .at(1),
      ),
    ),
    'MILL_INVALID_ARGUMENT',
  )
})

test('whoever drops out of an interleaving leaves the others in turn', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(12), { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 9 }),
      async (lengths, maxItems) => {
        const parts = lengths.map((n, p) => naturals(n).map((i) => p * 100 + i))
        const model = interleaveOf(parts)
        const [first, ...others] = parts.map((part) => new Pulled(part))
        const made = (first as Pulled<number>).interleave(...others)
        const at = Math.floor(model.length / 2)
        equal(await made.at(at), model[at])
        for (let start = 0; start <= model.length + 1; start++) {
          equal((await gather(made.batches({ start, maxItems }))).flat(), model.slice(start))
        }
      },
    ),
    { numRuns: 100 * scale },
  )
  t.pass()
})
