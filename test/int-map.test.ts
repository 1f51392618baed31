import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import {
  IntMap,
  isMillraceError,
  type Label,
  type LabelRange,
  MapBuffer,
  type MapBufferError,
} from '../lib/mapbuffer/index.js'
import { flipped } from './fixtures/damage.js'
import { anyBigLabel, badLabels, fileOrder, labelOf, someBigLabels } from './fixtures/label-kit.js'
import { farSource } from './fixtures/map-data.js'
import { abortKit, codeOf, failure, within } from './fixtures/stream-kit.js'

const runs = Number(process.env.MILLRACE_TEST_SCALE ?? 1)

function thrown(t: ExecutionContext, fn: () => unknown): MapBufferError {
  const error = t.throws(fn, undefined)
  t.true(isMillraceError(error), String(error))
  return error as MapBufferError
}

type Pair = readonly [bigint, bigint]
const anyPairs = fc.uniqueArray(fc.tuple(anyBigLabel, anyBigLabel), { maxLength: 60, selector: ([label]) => label })

/** Everything an IntMap can be asked, in both kinds of numbers, against the pairs it was made of. */
function compare(
  t: ExecutionContext,
  map: IntMap,
  pairs: readonly Pair[],
  probes: readonly bigint[],
  ranges: readonly { from?: bigint; to?: bigint; reverse?: boolean }[],
  bigint: boolean,
): void {
  const given = (number: bigint): Label => (bigint ? number : labelOf(number))
  const known = new Map(pairs)
  const sorted = [...known.keys()].sort((a, b) => (a < b ? -1 : 1))
  const inFile = fileOrder(sorted)
  const entry = (label: bigint): [Label, Label] => [given(label), given(known.get(label) as bigint)]
  t.is(map.size, pairs.length)
  t.is(map.byteLength, 10 + 16 * pairs.length)
  t.deepEqual([...map], inFile.map(entry))
  t.deepEqual([...map.entries()], inFile.map(entry))
  t.deepEqual([...map.toMap()], inFile.map(entry))
  t.deepEqual(
    [...map.index()],
    inFile.flatMap((label) => [label, known.get(label) as bigint]),
  )
  // One assertion for all: an assertion takes longer than a lookup.
  const wrong: string[] = []
  for (const probe of probes) {
    for (const label of [probe, labelOf(probe)]) {
      const value = known.get(probe)
      const bound = sorted.find((other) => other >= probe)
      const right =
        map.get(label) === (value === undefined ? undefined : given(value)) &&
        map.has(label) === (value !== undefined) &&
        map.indexOf(label) === inFile.indexOf(probe) &&
        map.lowerBound(label) === (bound === undefined ? undefined : given(bound))
      if (!right) wrong.push(`${typeof label} ${label}`)
    }
  }
  t.deepEqual(wrong, [])
  for (const range of ranges) {
    const { from = 0n, to = 2n ** 64n, reverse = false } = range
    const expected = sorted.filter((label) => label >= from && label < to)
    if (reverse) expected.reverse()
    t.deepEqual([...map.keys(range as LabelRange)], expected.map(given))
    t.deepEqual(
      [...map.values(range)],
      expected.map((label) => entry(label)[1]),
    )
    t.deepEqual([...map.entries(range)], expected.map(entry))
  }
}

const anyRange = fc.record({ from: anyBigLabel, to: anyBigLabel, reverse: fc.boolean() }, { requiredKeys: [] })

test('an IntMap of any integers answers as a Map does, however it looks up, numbers, and lies in memory', (t) => {
  const property = fc.property(
    anyPairs,
    fc.array(anyBigLabel, { maxLength: 8 }),
    fc.array(anyRange, { maxLength: 5 }),
    fc.record({ bigint: fc.boolean(), lookup: fc.constantFrom('auto', 'search', 'hash') }),
    fc.nat(8),
    (pairs, others, ranges, options, at) => {
      const probes = [...pairs.flatMap(([label]) => [label, label ^ 1n]), ...others]
      const made = IntMap.from(pairs, options)
      compare(t, made, pairs, probes, ranges as { from?: bigint }[], options.bigint)
      const bytes = new Uint8Array(made.byteLength + at).subarray(at)
      bytes.set(made.toBytes())
      compare(t, new IntMap(bytes, options), pairs, probes, ranges as { from?: bigint }[], options.bigint)
    },
  )
  fc.assert(property, { numRuns: 50 * runs })
})

test('thousands of integers, and a hash after half as many lookups', (t) => {
  for (const size of [0, 1, 2, 1000, 5000]) {
    const labels = someBigLabels(size, 11)
    const values = someBigLabels(size, 12)
    const map = IntMap.from(labels.map((label, i): [bigint, bigint] => [label, values[i] as bigint]))
    for (let round = 0; round < 3; round++) {
      const wrong = labels.filter((label, i) => map.get(label) !== labelOf(values[i] as bigint))
      t.deepEqual(wrong, [])
    }
    const known = new Set(labels)
    t.is(labels.filter((label) => map.has(label ^ 5n) !== known.has(label ^ 5n)).length, 0)
  }
})

test('the bytes of the smallest ones', (t) => {
  const hex = (map: IntMap): string => Buffer.from(map.toBytes()).toString('hex')
  t.is(hex(IntMap.from([])), `${Buffer.from('intm').toString('hex')}000300000000`)
  t.is(
    hex(IntMap.from({ 258: 2n ** 64n - 1n })),
    `${Buffer.from('intm').toString('hex')}000301000000${'0201000000000000'}${'ffffffffffffffff'}`,
  )
  const map = IntMap.from([[1, 2]])
  t.is(new IntMap(map.toBytes()).toBytes().buffer, map.toBytes().buffer, 'the very bytes')
})

test('entries, duplicates, and what is none', (t) => {
  const twice: [Label, Label][] = [
    [5, 1],
    [5n, 2],
    [6, 3],
    [5, 4],
  ]
  t.like(
    thrown(t, () => IntMap.from(twice)),
    { code: 'MILL_DUPLICATE_LABEL', label: 5 },
  )
  t.is(IntMap.from(twice, { duplicates: 'first' }).get(5), 1)
  t.is(IntMap.from(twice, { duplicates: 'last' }).get(5), 4)
  t.deepEqual([...IntMap.from(new Map([[1, 2]]))], [[1, 2]])
  t.deepEqual(
    [...IntMap.from({ 7: 8, '18446744073709551615': 9n })],
    [
      [2n ** 64n - 1n, 9],
      [7, 8],
    ],
  )
  const map = IntMap.from({ 1: 2 })
  for (const label of badLabels) {
    const asks: Record<string, () => unknown> = {
      get: () => map.get(label as Label),
      has: () => map.has(label as Label),
      indexOf: () => map.indexOf(label as Label),
      lowerBound: () => map.lowerBound(label as Label),
      'set a label': () => map.set(label as Label, 1),
      'set a value': () => map.set(1, label as Label),
      'from a label': () => IntMap.from([[label as Label, 1]]),
      'from a value': () => IntMap.from([[1, label as Label]]),
      ...(label !== undefined && {
        keys: () => map.keys({ from: label as Label }),
        values: () => map.values({ to: label as Label }),
        entries: () => map.entries({ to: label as Label, from: 0 }),
      }),
    }
    for (const [name, ask] of Object.entries(asks)) {
      t.like(thrown(t, ask), { code: 'MILL_BAD_LABEL', name: 'RangeError', label }, name)
    }
  }
  t.is(map.get(1), 2)
  for (const [name, values] of Object.entries({
    strict: [1, null],
    bigint: ['x'],
    lookup: ['tree'],
    duplicates: ['no'],
  })) {
    for (const value of values) {
      const error = thrown(t, () => IntMap.from({ 1: 2 }, { [name]: value } as never))
      t.is(error.code, 'MILL_INVALID_ARGUMENT', name)
      t.true(error.message.includes(`options.${name}`))
      if (name !== 'duplicates') {
        t.is(thrown(t, () => new IntMap(map.toBytes(), { [name]: value } as never)).code, 'MILL_INVALID_ARGUMENT')
      }
    }
  }
  for (const options of [null, 5]) {
    t.is(thrown(t, () => new IntMap(map.toBytes(), options as never)).code, 'MILL_INVALID_ARGUMENT')
    t.is(thrown(t, () => IntMap.from({}, options as never)).code, 'MILL_INVALID_ARGUMENT')
  }
  for (const input of [null, undefined, 5, {}, 'a path']) {
    t.is(thrown(t, () => new IntMap(input as never)).code, 'MILL_INVALID_ARGUMENT')
  }
  for (const entries of [null, 5, [1], [[1, 2, 3]]]) {
    t.is(thrown(t, () => IntMap.from(entries as never)).code, 'MILL_INVALID_ARGUMENT')
  }
  t.is(thrown(t, () => map.keys(5 as never)).code, 'MILL_INVALID_ARGUMENT')
  t.is(thrown(t, () => map.keys({ reverse: 'yes' as never })).code, 'MILL_INVALID_ARGUMENT')
})

test('set() changes a value in the bytes that were given, wherever the rows lie', (t) => {
  for (const at of [0, 2, 6]) {
    const made = IntMap.from({ 1: 10, 2: 20, 3: 30 })
    const bytes = new Uint8Array(made.byteLength + at).subarray(at)
    bytes.set(made.toBytes())
    for (const lookup of ['hash', 'search'] as const) {
      const map = new IntMap(bytes, { lookup })
      map.set(2n, 2 ** 53 - 1)
      t.is(map.get(2), 2 ** 53 - 1)
      map.set(2, 2n ** 64n - 1n)
      t.deepEqual([map.get(1), map.get(2), map.get(3)], [10, 2n ** 64n - 1n, 30])
      t.deepEqual([...new IntMap(map.toBytes()).values({})], [10, 2n ** 64n - 1n, 30])
      t.like(
        thrown(t, () => map.set(9, 1)),
        { code: 'MILL_NO_SUCH_LABEL', label: 9 },
      )
    }
  }
})

test('M1: with any bit of an IntMap flipped, a label has its own value or none, unless the bit is one of the two', (t) => {
  const pairs = someBigLabels(9, 5).map((label, i): Pair => [label, BigInt(i * 1000)])
  const bytes = IntMap.from(pairs).toBytes()
  const written = new Map(pairs)
  const order = [...IntMap.from(pairs, { bigint: true }).keys()] as bigint[]
  let renamed = 0
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const byte = bit >>> 3
    const row = Math.floor((byte - 10) / 16)
    const inLabel = byte >= 10 && (byte - 10) % 16 < 8
    const inValue = byte >= 10 && !inLabel
    for (const strict of [true, false]) {
      let map: IntMap
      try {
        map = new IntMap(flipped(bytes, bit), { strict, bigint: true })
      } catch (error) {
        const code = String(codeOf(error))
        const expected =
          byte < 4
            ? ['BAD_MAGIC']
            : byte < 5
              ? ['BAD_VERSION']
              : byte < 6
                ? ['BAD_DTYPE']
                : byte < 10
                  ? ['TRUNCATED_INDEX', 'TRAILING_DATA']
                  : inLabel && strict
                    ? ['BAD_LABEL_ORDER']
                    : []
        if (!expected.includes(code.replace('MILL_', ''))) t.fail(`bit ${bit}: ${code}`)
        continue
      }
      if (byte < 6 || (strict && byte < 10)) t.fail(`bit ${bit}: opened`)
      if (inLabel && strict) {
        const label = order[row] as bigint
        const other = label ^ (1n << BigInt((bit - 80) % 64))
        if (!order.every((each) => each === label || each < label === each < other)) t.fail(`bit ${bit}: out of order`)
        if (order.includes(other)) t.fail(`bit ${bit}: twice`)
      }
      const wrong = ([...map] as Pair[]).filter(([label, value]) => written.get(label) !== value)
      const label = order[row] as bigint
      if (inValue) t.deepEqual(wrong, [[label, (written.get(label) as bigint) ^ (1n << BigInt((bit - 80) % 64))]])
      else if (inLabel) {
        t.deepEqual(wrong, [[label ^ (1n << BigInt((bit - 80) % 64)), written.get(label) as bigint]])
        if (strict) renamed++
      } else t.deepEqual(wrong, [], `bit ${bit}`)
    }
  }
  t.true(renamed > 100 && renamed < 64 * 9, `${renamed} bits of labels are not noticed`)
})

test('M1: cut at every byte, or with more behind it, an IntMap is refused', async (t) => {
  const bytes = IntMap.from(someBigLabels(5, 3).map((label): Pair => [label, label])).toBytes()
  for (let length = 0; length < bytes.length; length++) {
    const cut = bytes.slice(0, length)
    const code = length < 10 ? 'MILL_TRUNCATED_HEADER' : 'MILL_TRUNCATED_INDEX'
    for (const strict of [true, false]) {
      t.is(thrown(t, () => new IntMap(cut, { strict })).code, code)
      t.is(codeOf(await failure(IntMap.open(cut, { strict }))), code)
      t.is(codeOf(await failure(IntMap.open(farSource(cut, false), { strict }))), code)
    }
  }
  t.like(
    thrown(t, () => new IntMap(bytes.subarray(0, 9))),
    { size: 9, needed: 10 },
  )
  const longer = Uint8Array.from([...bytes, 0])
  t.like(
    thrown(t, () => new IntMap(longer)),
    { code: 'MILL_TRAILING_DATA', size: 91, expected: 90 },
  )
  t.is(codeOf(await failure(IntMap.open(longer))), 'MILL_TRAILING_DATA')
  t.is(new IntMap(longer, { strict: false }).size, 5)
  t.is((await IntMap.open(farSource(longer), { strict: false })).byteLength, bytes.length, 'not read')
  const huge = bytes.slice()
  huge.fill(255, 6, 10)
  const needed = 10 + 16 * (2 ** 32 - 1)
  t.like(
    thrown(t, () => new IntMap(huge)),
    { code: 'MILL_TRUNCATED_INDEX', size: 90, needed, count: 2 ** 32 - 1 },
  )
  t.is(thrown(t, () => new IntMap(MapBuffer.from({ 1: new Uint8Array(1) }).toBytes())).code, 'MILL_BAD_MAGIC')
  t.is(thrown(t, () => new MapBuffer(bytes)).code, 'MILL_BAD_MAGIC')
})

test('open() reads it from a path, a URL, a Blob, memory or a source, and closes what it has opened', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const pairs = someBigLabels(6000, 9).map((label, i): Pair => [label, BigInt(i)])
  const bytes = IntMap.from(pairs).toBytes()
  const path = join(folder, 'some.im')
  writeFileSync(path, bytes)
  const source = farSource(bytes)
  const inputs = [
    path,
    pathToFileURL(path),
    new Blob([bytes as Uint8Array<ArrayBuffer>]),
    bytes,
    bytes.buffer as ArrayBuffer,
    source,
    farSource(bytes, false),
  ]
  for (const input of inputs) {
    const map = await within(IntMap.open(input, { lookup: 'search' }), 'open')
    t.true(Buffer.compare(map.toBytes(), bytes) === 0)
    t.is(map.get(pairs[77]?.[0] as bigint), 77)
  }
  t.is(source.closed, 0, 'a source that is passed stays open')
  t.true(source.bytes <= bytes.length)
  const own = (await IntMap.open(bytes)).toBytes()
  t.not(own.buffer, bytes.buffer, 'memory of its own')

  const hostile = farSource(Uint8Array.from([...bytes.slice(0, 10).fill(255, 6), ...new Uint8Array(2 ** 20)]))
  t.is(codeOf(await failure(IntMap.open(hostile))), 'MILL_TRUNCATED_INDEX')
  t.true(hostile.bytes <= 65536, 'one read')
  t.is(codeOf(await failure(IntMap.open(join(folder, 'none.im')))), 'MILL_SOURCE_FAILED')
  for (const input of [null, 5, {}]) t.is(codeOf(await failure(IntMap.open(input as never))), 'MILL_INVALID_ARGUMENT')
  for (const options of [null, 5, { strict: 1 }, { signal: 5 }, { lookup: 'x' }]) {
    t.is(codeOf(await failure(IntMap.open(source, options as never))), 'MILL_INVALID_ARGUMENT')
  }

  const reason = new Error('enough')
  const { abort, signal, live } = abortKit()
  const stuck = farSource(bytes)
  stuck.before = () => new Promise<undefined>(() => {})
  const opening = IntMap.open(stuck, { signal })
  setImmediate(() => abort(reason))
  t.is(await failure(opening), reason)
  t.is(live(), 0)
  const { reads } = stuck
  t.is(await failure(IntMap.open(stuck, { signal })), reason)
  t.is(stuck.reads, reads, 'nothing is read')
  const broken = farSource(bytes)
  const fault = new Error('no line')
  broken.before = () => {
    throw fault
  }
  t.is(await failure(IntMap.open(broken)), fault)
})
