import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import {
  type BytesLike,
  type Codec,
  CodecError,
  isMillraceError,
  type Label,
  type LabelRange,
  loadCodec,
  MapBuffer,
  type MapBufferError,
  openMapBufferSync,
  registerCodec,
  type Serializer,
} from '../lib/mapbuffer/index.js'
import { LabelHash } from '../lib/mapbuffer/label-hash.js'
import { anyBigLabel, badLabels, fileOrder, labelOf, someBigLabels } from './fixtures/label-kit.js'
import { codeOf } from './fixtures/stream-kit.js'

const runs = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const CODECS = ['none', 'gzip', 'br', 'zstd', 'lzma'] as const
const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const json = {
  name: 'json',
  encode: (value: unknown) => text(JSON.stringify(value)),
  decode: (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes)),
}

test.before(async () => {
  for (const name of CODECS) await loadCodec(name)
})

/** What it throws, which is one of ours. */
function thrown(t: ExecutionContext, fn: () => unknown): MapBufferError {
  const error = t.throws(fn, undefined)
  t.true(isMillraceError(error), String(error))
  return error as MapBufferError
}

function folderFor(t: ExecutionContext): string {
  const folder = fs.mkdtempSync(join(tmpdir(), 'millrace-'))
  t.teardown(() => fs.rmSync(folder, { recursive: true }))
  return folder
}

/** The value that a test gives to a label: its digits, and none for every fifth. */
const valueFor = (label: bigint): Uint8Array => text(label % 5n === 0n ? '' : `${label} `.repeat(Number(label % 4n)))
const pairsFor = (labels: readonly bigint[]): [Label, Uint8Array][] =>
  labels.map((label) => [labelOf(label), valueFor(label)])

// ---- a map against a sorted list of labels ---------------------------------------------------------------------------

interface Asked {
  readonly labels: readonly bigint[]
  readonly probes: readonly bigint[]
  readonly ranges: readonly { from?: bigint | undefined; to?: bigint | undefined; reverse?: boolean | undefined }[]
}

/** Everything a reader can be asked, in both kinds of numbers, against the list. */
function compare(t: ExecutionContext, map: MapBuffer, { labels, probes, ranges }: Asked, bigint: boolean): void {
  const given = (label: bigint): Label => (bigint ? label : labelOf(label))
  const sorted = [...labels].sort((a, b) => (a < b ? -1 : 1))
  const inFile = fileOrder(sorted)
  const equal = (value: Uint8Array | undefined, label: bigint): boolean =>
    value !== undefined && Buffer.compare(value, valueFor(label)) === 0

  t.is(map.size, labels.length)
  t.deepEqual([...map.keys()], inFile.map(given))
  t.true(inFile.every((label, i) => map.indexOf(label) === i && map.labelAt(i) === given(label)))
  t.true(inFile.every((label, i) => equal(map.at(i), label) && equal(map.get(label), label)))
  t.true([...map].every(([label, value], i) => label === given(inFile[i] as bigint) && equal(value, BigInt(label))))
  t.deepEqual([...map.toMap().keys()], inFile.map(given))
  t.is(map.at(-1), undefined)
  t.is(map.at(labels.length), undefined)

  const known = new Set(labels)
  // One assertion for all: an assertion takes longer than a lookup.
  const wrong: string[] = []
  for (const probe of probes) {
    for (const label of [probe, labelOf(probe)]) {
      const there = known.has(probe)
      const position = there ? inFile.indexOf(probe) : -1
      const bound = sorted.find((other) => other >= probe)
      const value = map.get(label)
      const right =
        map.has(label) === there &&
        map.indexOf(label) === position &&
        (there ? equal(value, probe) : value === undefined) &&
        map.locate(label)?.position === (there ? position : undefined) &&
        map.lowerBound(label) === (bound === undefined ? undefined : given(bound))
      if (!right) wrong.push(`${typeof label} ${label}`)
    }
  }
  t.deepEqual(wrong, [])
  const many = map.getMany(probes)
  t.true(probes.every((probe, i) => (known.has(probe) ? equal(many[i], probe) : many[i] === undefined)))

  for (const { from, to, reverse } of ranges) {
    const expected = sorted.filter((label) => (from === undefined || label >= from) && (to === undefined || label < to))
    if (reverse === true) expected.reverse()
    const range: LabelRange = {
      ...(from !== undefined && { from: labelOf(from) }),
      ...(to !== undefined && { to }),
      ...(reverse !== undefined && { reverse }),
    }
    t.deepEqual([...map.keys(range)], expected.map(given))
    t.true([...map.values(range)].every((value, i) => equal(value, expected[i] as bigint)))
    t.deepEqual(
      [...map.entries(range)].map(([label]) => label),
      expected.map(given),
    )
  }
}

/** That the index says where the values are: behind it, one after the other, in the order of rows. */
function compareLayout(t: ExecutionContext, map: MapBuffer): void {
  const index = map.index()
  t.is(index.length, 2 * map.size)
  const crc = map.version === 1 ? 4 : 0
  let at = 16 + 16 * map.size
  for (let position = 0; position < map.size; position++) {
    const label = index[2 * position] as bigint
    t.is(label, BigInt(map.labelAt(position)))
    t.is(index[2 * position + 1], BigInt(at))
    const location = map.locate(label)
    t.like(location, { position, offset: at })
    at += (location?.length ?? 0) + crc
  }
  t.is(map.byteLength, at)
  t.is(map.dataLength, at - 16 - 16 * map.size)
  t.is(map.toBytes().length, at)
}

const anyRange = fc.record(
  { from: anyBigLabel, to: anyBigLabel, reverse: fc.boolean() },
  { requiredKeys: [] },
) as fc.Arbitrary<Asked['ranges'][number]>
const neighbours = (labels: readonly bigint[]): bigint[] =>
  labels.flatMap((label) => [label - 1n, label, label + 1n]).filter((label) => label >= 0n && label < 2n ** 64n)

test('maps of any labels answer as a sorted list does, however they look up, compress and number', (t) => {
  const property = fc.property(
    fc.uniqueArray(anyBigLabel, { maxLength: 40 }),
    fc.array(anyBigLabel, { maxLength: 10 }),
    fc.array(anyRange, { maxLength: 6 }),
    fc.record({
      compress: fc.constantFrom('none', 'none', 'gzip', 'br', 'zstd'),
      crc: fc.boolean(),
      bigint: fc.boolean(),
      lookup: fc.constantFrom('auto', 'search', 'hash'),
    }),
    fc.boolean(),
    (labels, others, ranges, options, moved) => {
      const made = MapBuffer.from(pairsFor(labels), options)
      t.is(made.compression, options.compress)
      t.is(made.version, options.crc ? 1 : 0)
      const asked = { labels, probes: [...neighbours(labels), ...others], ranges }
      compare(t, made, asked, options.bigint)
      compareLayout(t, made)
      const bytes = new Uint8Array(made.byteLength + 3).subarray(moved ? 3 : 0)
      bytes.set(made.toBytes())
      compare(t, new MapBuffer(bytes.subarray(0, made.byteLength), options), asked, options.bigint)
    },
  )
  fc.assert(property, { numRuns: 30 * runs })
})

test('every codec, 0 to 5000 entries, both versions: what went in comes out', (t) => {
  for (const compress of CODECS) {
    for (const size of [
      0,
      1,
      2,
      3,
      7,
      8,
      100,
      ...(compress === 'lzma' ? [] : [1000]),
      ...(compress === 'none' ? [4095, 4096, 5000] : []),
    ]) {
      const labels = someBigLabels(size, size + 1)
      for (const crc of [true, false]) {
        const map = MapBuffer.from(pairsFor(labels), { compress, crc })
        const sorted = [...labels].sort((a, b) => (a < b ? -1 : 1))
        // deepEqual takes a second for each list.
        t.true([...map.keys()].join() === fileOrder(sorted).join())
        t.true([...map.keys({})].join() === sorted.join())
        t.true([...map.keys({ reverse: true })].join() === sorted.reverse().join())
        const wrong = labels.filter((label) => Buffer.compare(map.get(label) ?? text('none'), valueFor(label)) !== 0)
        t.deepEqual(wrong, [], `${compress} ${size}`)
        t.is(labels.filter((label) => map.has(label ^ 1n) && !labels.includes(label ^ 1n)).length, 0)
      }
    }
  }
})

test('the order of rows is that of a tree filled level by level, for every size up to 700', (t) => {
  for (let size = 0; size <= 700; size++) {
    const map = MapBuffer.from(Array.from({ length: size }, (_, i): [Label, Uint8Array] => [i, new Uint8Array(0)]))
    const order = fileOrder(Array.from({ length: size }, (_, i) => i))
    if (!order.every((label, row) => map.labelAt(row) === label)) t.fail(`size ${size}`)
    let rank = 0
    for (const label of map.keys({})) if (label !== rank++) t.fail(`size ${size}, rank ${rank}`)
    for (const label of map.keys({ reverse: true }))
      if (label !== --rank) t.fail(`size ${size}, rank ${rank} backwards`)
    if (rank !== 0) t.fail(`size ${size} is walked in part`)
  }
  t.deepEqual(fileOrder([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), [6, 3, 8, 1, 5, 7, 9, 0, 2, 4])
})

test('half as many lookups as entries, and a hash answers: the same, among random labels and those chosen to collide', (t) => {
  const size = 20_000
  const sets: Record<string, bigint[]> = {
    random: someBigLabels(size, 3),
    'the same low half': Array.from({ length: size }, (_, i) => BigInt(i) << 32n),
    'the same sum of halves': Array.from({ length: size }, (_, i) => (BigInt(i) << 32n) | BigInt(size - i)),
    'the same exclusive or of halves': Array.from({ length: size }, (_, i) => (BigInt(i) << 32n) | BigInt(i)),
    'multiples of a large power of two': Array.from({ length: size }, (_, i) => BigInt(i) << 20n),
    'one after the other': Array.from({ length: size }, (_, i) => BigInt(i)),
  }
  for (const [name, labels] of Object.entries(sets)) {
    const bytes = MapBuffer.from(labels.map((label) => [label, new Uint8Array(0)])).toBytes()
    const maps = (['auto', 'hash', 'search'] as const).map((lookup) => new MapBuffer(bytes, { lookup }))
    const known = new Set(labels)
    let wrong = 0
    for (const map of maps) {
      for (let round = 0; round < 2; round++) {
        for (const label of labels) if (map.labelAt(map.indexOf(label)) !== labelOf(label)) wrong++
        for (const label of labels) if (map.has(label ^ 0x100000001n) !== known.has(label ^ 0x100000001n)) wrong++
      }
    }
    t.is(wrong, 0, name)
  }
})

test.serial(
  'a hash is built once: at the first lookup, or after half as many as there are entries but 64 at least, or never',
  (t) => {
    let built = 0
    const { getRandomValues } = Object.getPrototypeOf(crypto) as Crypto
    // Each hash has a seed of its own.
    crypto.getRandomValues = (array) => {
      built++
      return getRandomValues.call(crypto, array) as typeof array
    }
    try {
      for (const [size, lookup, lookups] of [
        [1000, 'auto', 500],
        [1000, undefined, 500],
        [10, 'auto', 64],
        [1000, 'hash', 1],
        [1000, 'search', Number.POSITIVE_INFINITY],
      ] as const) {
        const bytes = MapBuffer.from(
          Array.from({ length: size }, (_, i): [Label, Uint8Array] => [i, text('')]),
        ).toBytes()
        const map = new MapBuffer(bytes, lookup === undefined ? {} : { lookup })
        built = 0
        for (let asked = 1; asked <= 2000; asked++) {
          map.has(asked)
          if (built !== (asked >= lookups ? 1 : 0)) t.fail(`${lookup}, ${size} entries: ${built} after ${asked}`)
        }
        t.is(built, lookup === 'search' ? 0 : 1)
      }
    } finally {
      Reflect.deleteProperty(crypto, 'getRandomValues')
    }
  },
)

test('a hash spreads labels that differ in few bits, whatever its seed, and is given up where many fall together', (t) => {
  const wordsOf = (size: number, halves: (i: number) => [low: number, high: number]): Uint32Array => {
    const words = new Uint32Array(4 * size)
    for (let i = 0; i < size; i++) words.set(halves(i), 4 * i)
    return words
  }
  const patterns: Record<string, (i: number) => [number, number]> = {
    'low half': (i) => [i, 0],
    'high half': (i) => [7, i],
    'both the same': (i) => [i, i],
    'both against each other': (i) => [1e6 - i, i],
    'k << 16': (i) => [i << 16, i >>> 16],
    'k << 20': (i) => [i << 20, i >>> 12],
    'k << 42': (i) => [0, i << 10],
    multiples: (i) => [1000 * i, 0],
  }
  for (const [name, halves] of Object.entries(patterns)) {
    // 1364 and 87,381 labels fill two thirds of the slots, which is the most there is.
    for (const [size, seeds] of [
      [1364, 20],
      [87_381, 2],
    ] as const) {
      const words = wordsOf(size, halves)
      for (let seed = 0; seed < seeds; seed++) t.truthy(LabelHash.build(words), `${size}, ${name}`)
    }
  }
  // Nobody can choose labels that collide; only equal ones do, which a damaged index may have.
  t.truthy(LabelHash.build(wordsOf(5000, (i) => [i < 100 ? 0 : i, 0])))
  t.is(LabelHash.build(wordsOf(5000, (i) => [i < 600 ? 0 : i, 0])), undefined)
})

test('without order, what strict: false lets in: a hash that was asked for answers the same from the first lookup on', (t) => {
  const bytes = MapBuffer.from(Array.from({ length: 7 }, (_, i): [Label, Uint8Array] => [i, text(`${i}`)])).toBytes()
  // The labels of the last two rows change places: a search finds neither.
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const [last, before] = [16 * 7, 16 * 6]
  const label = view.getBigUint64(last, true)
  view.setBigUint64(last, view.getBigUint64(before, true), true)
  view.setBigUint64(before, label, true)
  t.is(thrown(t, () => new MapBuffer(bytes)).code, 'MILL_BAD_LABEL_ORDER')
  const hashed = new MapBuffer(bytes, { strict: false, lookup: 'hash' })
  t.deepEqual([hashed.has(label), hashed.has(label)], [true, true])
  for (const lookup of ['auto', 'search'] as const) {
    const map = new MapBuffer(bytes, { strict: false, lookup })
    const answers = Array.from({ length: 200 }, () => map.has(label))
    t.deepEqual(new Set(answers), new Set([false]), lookup)
  }
})

// ---- what goes in ----------------------------------------------------------------------------------------------------

test('entries come as a Map, as pairs, from a generator, or as an object with labels as keys', (t) => {
  const pairs: [Label, Uint8Array][] = [
    [2848, text('abc')],
    [12939, text('123')],
    [2n ** 64n - 1n, text('last')],
  ]
  const expected = MapBuffer.from(pairs).toBytes()
  const object = { 2848: text('abc'), 12939: text('123'), '18446744073709551615': text('last') }
  for (const entries of [new Map(pairs), pairs.values(), MapBuffer.from(pairs), object]) {
    t.deepEqual(MapBuffer.from(entries).toBytes(), expected)
  }
  const views: BytesLike[] = [
    text('abc').buffer as ArrayBuffer,
    new DataView(text('abc').buffer),
    Buffer.from('abc'),
    new Uint8Array(new SharedArrayBuffer(3)),
  ]
  const map = MapBuffer.from(views.map((view, i) => [i, view]))
  t.deepEqual(
    [0, 1, 2, 3].map((i) => Buffer.from(map.get(i) as Uint8Array).toString()),
    ['abc', 'abc', 'abc', '\0\0\0'],
  )

  for (const key of [
    '',
    '-1',
    '+1',
    '01',
    '1.5',
    '1e3',
    '0x10',
    ' 1',
    '1 ',
    'a',
    '18446744073709551616',
    '9'.repeat(300),
  ]) {
    t.like(
      thrown(t, () => MapBuffer.from({ [key]: text('') })),
      { code: 'MILL_BAD_LABEL', label: key, name: 'RangeError' },
    )
  }
  t.is(MapBuffer.from({ '9007199254740993': text('x') }).labelAt(0), 9007199254740993n)
  for (const entries of [
    null,
    undefined,
    5,
    'ab',
    text('ab'),
    [1, 2],
    [[1]],
    [[1, text(''), 2]],
    (async function* () {})(),
  ]) {
    t.is(thrown(t, () => MapBuffer.from(entries as never)).code, 'MILL_INVALID_ARGUMENT', String(entries))
  }
  for (const value of ['text', 5, null, undefined, {}, [1]]) {
    const error = thrown(t, () => MapBuffer.from([[7, value as never]]))
    t.like(error, { code: 'MILL_BAD_VALUE', name: 'TypeError', label: 7, value })
  }
})

test('a label that comes twice is an error, or the first or last stays; a number and a bigint can be the same', (t) => {
  const pairs: [Label, Uint8Array][] = [
    [5, text('a')],
    [6, text('x')],
    [5n, text('b')],
    [5, text('c')],
  ]
  t.like(
    thrown(t, () => MapBuffer.from(pairs)),
    { code: 'MILL_DUPLICATE_LABEL', label: 5 },
  )
  t.deepEqual(MapBuffer.from(pairs, { duplicates: 'first' }).get(5), text('a'))
  t.deepEqual(MapBuffer.from(pairs, { duplicates: 'last' }).get(5), text('c'))
  t.is(MapBuffer.from(pairs, { duplicates: 'last' }).size, 2)
})

test('values are copied when a map is made, and pointed at when it is read', (t) => {
  for (const crc of [true, false]) {
    const value = text('value')
    const map = MapBuffer.from([[1, value]], { crc })
    value.fill(0)
    t.deepEqual(map.get(1), text('value'))
    const read = new MapBuffer(map.toBytes())
    t.is(read.toBytes().buffer, map.toBytes().buffer)
    const view = read.get(1) as Uint8Array
    t.is(view.buffer, map.toBytes().buffer)
    t.is(Object.getPrototypeOf(view), Uint8Array.prototype)
    const packed = MapBuffer.from([[1, text('value')]], { crc, compress: 'gzip' })
    const copy = packed.get(1) as Uint8Array
    copy.fill(0)
    t.deepEqual(packed.get(1), text('value'))
  }
  // A source may use the same memory again and again.
  const reused = new Uint8Array(1)
  function* source(): Generator<[Label, Uint8Array]> {
    for (let label = 0; label < 5; label++) {
      reused[0] = label
      yield [label, reused]
    }
  }
  for (const crc of [true, false]) {
    const made = MapBuffer.from(source(), { crc })
    t.deepEqual([...made.values({})].join(), '0,1,2,3,4')
  }
  const index = MapBuffer.from([[1, text('value')]])
  index.index().fill(0n)
  t.true(index.has(1))
})

// ---- wrong arguments -------------------------------------------------------------------------------------------------

test('what is no label is MILL_BAD_LABEL, in every method that takes one', (t) => {
  const map = MapBuffer.from({ 1: text('x') })
  const asks: Record<string, (label: Label) => unknown> = {
    get: (label) => map.get(label),
    getMany: (label) => map.getMany([1, label]),
    has: (label) => map.has(label),
    locate: (label) => map.locate(label),
    indexOf: (label) => map.indexOf(label),
    lowerBound: (label) => map.lowerBound(label),
    'keys from': (from) => map.keys({ from }),
    'keys to': (to) => map.keys({ to }),
    values: (from) => map.values({ from }),
    entries: (to) => map.entries({ to }),
    set: (label) => map.set(label, text('y')),
    from: (label) => MapBuffer.from([[label, text('y')]]),
  }
  for (const [name, ask] of Object.entries(asks)) {
    for (const label of badLabels) {
      // Without it a range has no such end.
      if (label === undefined && ['keys from', 'keys to', 'values', 'entries'].includes(name)) continue
      t.like(
        thrown(t, () => ask(label as Label)),
        { code: 'MILL_BAD_LABEL', name: 'RangeError', label },
        name,
      )
    }
  }
})

test('options, ranges and positions that are none are MILL_INVALID_ARGUMENT and name themselves', (t) => {
  const map = MapBuffer.from({ 1: text('x') })
  const bytes = map.toBytes()
  const refused = (fn: () => unknown, name: string): void => {
    const error = thrown(t, fn)
    t.is(error.code, 'MILL_INVALID_ARGUMENT', name)
    t.true(error.message.includes(name), error.message)
  }
  for (const [name, values] of Object.entries({
    strict: [1, 'yes', null],
    crc: [0, 'no', null],
    bigint: [1, null],
    lookup: ['tree', 1, null],
    maxValueBytes: [-1, Number.NaN, '5', null, 5n],
    serializer: [{}, 5, null, 'json', { encode: json.encode }],
  })) {
    for (const value of values) refused(() => new MapBuffer(bytes, { [name]: value } as never), `options.${name}`)
  }
  for (const [name, values] of Object.entries({
    compress: [5, null, {}, { ...json, name: '0a' }, { ...json, name: 'toolong' }, { name: 'a' }],
    level: [1.5, '5', Number.NaN],
    crc: [1, null],
    duplicates: ['both', null, 1],
    serializer: [{}, { decode: json.decode }],
    strict: [1],
  })) {
    for (const value of values)
      refused(() => MapBuffer.from({ 1: text('') }, { [name]: value } as never), `options.${name}`)
  }
  for (const options of [null, 5, 'x']) refused(() => new MapBuffer(bytes, options as never), 'options')
  for (const input of [null, undefined, 5, {}, [1], 'a/path.mb']) refused(() => new MapBuffer(input as never), 'bytes')
  for (const labels of [undefined, null, 5, {}]) refused(() => map.getMany(labels as never), 'labels')
  for (const range of [null, 5, 'x']) refused(() => map.keys(range as never), 'range')
  refused(() => map.entries({ reverse: 1 as never }), 'range.reverse')
  for (const position of [1.5, Number.NaN, '0', undefined, 0n]) {
    refused(() => map.at(position as never), 'position')
    refused(() => map.labelAt(position as never), 'position')
  }
  for (const position of [-1, 1, 2 ** 40]) refused(() => map.labelAt(position), 'position')
  refused(() => MapBuffer.from([]).labelAt(0), 'position')
})

test('the least a file can be, and what is less', (t) => {
  const empty = MapBuffer.from([])
  t.is(empty.byteLength, 16)
  t.is(Buffer.from(empty.toBytes()).toString('latin1'), 'mapbufr\u0001none\0\0\0\0')
  t.deepEqual([...empty, ...empty.keys({}), ...empty.keys({ reverse: true })], [])
  t.deepEqual([empty.get(0), empty.lowerBound(0), empty.has(0), empty.indexOf(5n)], [undefined, undefined, false, -1])
  t.is(empty.index().length, 0)
  const shortened = thrown(t, () => new MapBuffer(empty.toBytes().subarray(0, 15)))
  t.like(shortened, { code: 'MILL_TRUNCATED_HEADER', size: 15, needed: 16 })
  t.like(
    thrown(t, () => new MapBuffer(new Uint8Array(17).fill(1))),
    { code: 'MILL_BAD_MAGIC' },
  )
  const longer = Uint8Array.from([...empty.toBytes(), 0])
  t.like(
    thrown(t, () => new MapBuffer(longer)),
    { code: 'MILL_TRAILING_DATA', size: 17, expected: 16 },
  )
  t.is(new MapBuffer(longer, { strict: false }).size, 0)
  const huge = empty.toBytes().slice()
  huge.fill(255, 12)
  const needed = 16 + 16 * (2 ** 32 - 1)
  t.like(
    thrown(t, () => new MapBuffer(huge, { strict: false })),
    { code: 'MILL_TRUNCATED_INDEX', size: 16, needed, count: 2 ** 32 - 1 },
  )
})

test('the header says version and compression in one way only', (t) => {
  const header = (compression: string, version = 1): Uint8Array => {
    const bytes = MapBuffer.from([]).toBytes().slice()
    bytes.set(text(compression), 8)
    bytes[7] = version
    return bytes
  }
  for (const good of ['none', 'gzip', '00br', 'zstd', 'lzma']) {
    const map = new MapBuffer(header(good, 0))
    t.deepEqual([map.compression, map.version], [good === '00br' ? 'br' : good, 0])
  }
  for (const bad of [
    '\0\0br',
    '  br',
    'br00',
    'br\0\0',
    '0br0',
    'GZIP',
    '0000',
    '\0\0\0\0',
    'None',
    'snap',
    '\xff\0<>',
  ]) {
    const bytes = header('none')
    for (let i = 0; i < 4; i++) bytes[8 + i] = bad.charCodeAt(i)
    t.like(
      thrown(t, () => new MapBuffer(bytes, { strict: false })),
      { code: 'MILL_BAD_COMPRESSION', found: bad },
    )
  }
  for (const version of [2, 128, 255]) {
    t.like(
      thrown(t, () => new MapBuffer(header('what', version), { strict: false })),
      { code: 'MILL_BAD_VERSION', found: version },
    )
  }
})

// ---- values: checksums, limits, codecs, serializers ------------------------------------------------------------------

test('a checksum is compared when a value is first read, and not again in memory; crc: false never compares it', (t) => {
  const bytes = MapBuffer.from({ 1: text('value') }).toBytes()
  const map = new MapBuffer(bytes)
  t.deepEqual(map.get(1), text('value'))
  bytes[32] = 0
  t.is(map.get(1)?.[0], 0, 'these bytes are yours: who changes them is not watched')
  const error = thrown(t, () => new MapBuffer(bytes).get(1n))
  t.like(error, { code: 'MILL_BAD_CRC', position: 0, label: 1n })
  t.deepEqual(
    [typeof error.stored, typeof error.computed, error.stored === error.computed],
    ['number', 'number', false],
  )
  t.is(new MapBuffer(bytes, { crc: false }).get(1)?.[0], 0)
  const again = new MapBuffer(bytes)
  for (let i = 0; i < 3; i++)
    t.is(thrown(t, () => again.at(0)).code, 'MILL_BAD_CRC', 'a wrong one is never remembered as right')
})

test('a damaged value ends a loop, and all others can be read', (t) => {
  const map = MapBuffer.from(pairsFor([1n, 2n, 3n, 4n, 6n]))
  const bytes = map.toBytes()
  const { offset } = map.locate(3) as { offset: number }
  bytes[offset] = (bytes[offset] as number) ^ 1
  const damaged = new MapBuffer(bytes)
  const values = damaged.values({})
  t.deepEqual([values.next().value, values.next().value], [valueFor(1n), valueFor(2n)])
  t.like(
    thrown(t, () => values.next()),
    { code: 'MILL_BAD_CRC', label: 3 },
  )
  t.true(values.next().done)
  for (const fn of [() => [...damaged], () => damaged.toMap(), () => damaged.getMany([1, 3]), () => damaged.get(3)]) {
    t.is(thrown(t, fn).code, 'MILL_BAD_CRC')
  }
  for (const label of [1n, 2n, 4n, 6n]) t.deepEqual(damaged.get(label), valueFor(label))
  t.is([...damaged.keys()].length, 5)
})

test('maxValueBytes: 256 MiB, as stored and as decoded', (t) => {
  for (const compress of CODECS) {
    const map = MapBuffer.from({ 1: new Uint8Array(1000) }, { compress })
    t.is(new MapBuffer(map.toBytes(), { maxValueBytes: 1000 }).get(1)?.length, 1000, compress)
    const error = thrown(t, () => new MapBuffer(map.toBytes(), { maxValueBytes: 999 }).get(1))
    t.like(error, { code: 'MILL_TOO_LARGE', label: 1, limit: 999, position: 0 }, compress)
  }
  const noisy = MapBuffer.from({ 1: Uint8Array.from({ length: 64 }, (_, i) => (i * 37) & 255) }, { compress: 'gzip' })
  const length = noisy.locate(1)?.length as number
  t.true(length > 64, 'stored it is longer than decoded')
  const { limit, ...error } = thrown(t, () => new MapBuffer(noisy.toBytes(), { maxValueBytes: length - 1 }).get(1))
  t.like(error, { code: 'MILL_TOO_LARGE', length })
  t.is(limit, length - 1)
  t.is(new MapBuffer(noisy.toBytes(), { maxValueBytes: Number.POSITIVE_INFINITY }).get(1)?.length, 64)

  // An index that says 256 MiB and one byte, over a file that has them but takes no room.
  const path = join(folderFor(t), 'sparse.mb')
  for (const [bytes, code] of [
    [2 ** 28, undefined],
    [2 ** 28 + 1, 'MILL_TOO_LARGE'],
  ] as const) {
    fs.writeFileSync(path, MapBuffer.from({ 1: text('') }, { crc: false }).toBytes())
    fs.truncateSync(path, 32 + bytes)
    using map = openMapBufferSync(path)
    const found = code === undefined ? map.get(1)?.length : thrown(t, () => map.get(1)).code
    t.is(found, code ?? bytes)
  }
})

test('serializers see plain bytes, before compression and after it; what they cannot read is MILL_BAD_VALUE', (t) => {
  const values = { 1: { a: 1 }, 2: [1, 2, 3], 3: null, 4: 'text' }
  for (const compress of ['none', 'zstd'] as const) {
    const map = MapBuffer.from<unknown>(values, { serializer: json, compress })
    t.deepEqual(Object.fromEntries(map.toMap()), values)
    t.deepEqual(new MapBuffer<unknown>(map.toBytes(), { serializer: json }).get(2), [1, 2, 3])
    t.deepEqual(new MapBuffer(map.toBytes()).get(4), text('"text"'))
  }
  const noJson = MapBuffer.from({ 9: text('{') })
  const error = thrown(t, () => new MapBuffer(noJson.toBytes(), { serializer: json }).get(9))
  t.like(error, { code: 'MILL_BAD_VALUE', name: 'TypeError', label: 9, position: 0 })
  t.true(error.cause instanceof SyntaxError)
  const fault = new Error('cannot')
  const failing: Serializer<number> = {
    name: 'failing',
    encode: (): never => {
      throw fault
    },
    decode: () => 1,
  }
  t.is(
    t.throws(() => MapBuffer.from({ 1: 1 }, { serializer: failing })),
    fault,
  )
  const wrong = { name: 'wrong', encode: () => 'text' as never, decode: () => 1 }
  t.like(
    thrown(t, () => MapBuffer.from({ 1: 1 }, { serializer: wrong })),
    { code: 'MILL_BAD_VALUE', label: 1 },
  )
})

test('codecs: one of your own, one that is unknown, one that is not loaded, one that is not there', async (t) => {
  const flip: Codec = {
    name: 'flip',
    encode: (data) => data.map((byte) => byte ^ 255),
    decode: (data) => data.map((byte) => byte ^ 255),
  }
  const own = MapBuffer.from({ 1: text('abc') }, { compress: flip })
  t.deepEqual(own.get(1), text('abc'), 'a map that was made with it knows it')
  own.set(1, text('xyz'))
  t.deepEqual(own.get(1), text('xyz'))
  t.like(
    thrown(t, () => new MapBuffer(own.toBytes())),
    { code: 'MILL_BAD_COMPRESSION', found: 'flip' },
  )
  registerCodec('flip', () => flip)
  t.deepEqual(new MapBuffer(own.toBytes()).get(1), text('xyz'))
  t.like(
    thrown(t, () => MapBuffer.from({ 1: text('') }, { compress: 'snap' })),
    { code: 'MILL_CODEC_UNKNOWN', codec: 'snap' },
  )

  registerCodec('slow', async () => ({ ...flip, name: 'slow' }))
  const bytes = own.toBytes().slice()
  bytes.set(text('slow'), 8)
  const slow = new MapBuffer(bytes)
  t.deepEqual([slow.has(1), [...slow.keys()], slow.locate(1)?.length], [true, [1], 3], 'these need no codec')
  t.like(
    thrown(t, () => slow.get(1)),
    { code: 'MILL_CODEC_NOT_LOADED', codec: 'slow' },
  )
  await loadCodec('slow')
  t.deepEqual(slow.get(1), text('xyz'))

  registerCodec('gone', () => {
    throw new CodecError('MILL_CODEC_MISSING', 'install it', { codec: 'gone', package: 'gone-native' })
  })
  bytes.set(text('gone'), 8)
  const gone = new MapBuffer(bytes)
  t.true(gone.has(1))
  t.like(
    thrown(t, () => gone.get(1)),
    { code: 'MILL_CODEC_MISSING', package: 'gone-native' },
  )
  t.is(thrown(t, () => MapBuffer.from({ 1: text('') }, { compress: 'gone' })).code, 'MILL_CODEC_MISSING')

  const cause = new Error('no good')
  registerCodec('bad', () => ({
    name: 'bad',
    encode: (data) => data,
    decode: (): never => {
      throw cause
    },
  }))
  const bad = MapBuffer.from({ 1: text('x') }, { compress: 'bad' })
  t.like(
    thrown(t, () => bad.get(1)),
    { code: 'MILL_DECOMPRESS', codec: 'bad', label: 1, position: 0, cause },
  )
  registerCodec('void', () => ({ name: 'void', encode: (data) => data, decode: () => undefined as never }))
  const none = MapBuffer.from({ 1: text('x') }, { compress: 'void' })
  t.like(
    thrown(t, () => none.get(1)),
    { code: 'MILL_DECOMPRESS', codec: 'void', label: 1 },
  )
  registerCodec('big', () => ({ name: 'big', encode: (data) => data, decode: (): Uint8Array => new Uint8Array(100) }))
  const big = MapBuffer.from({ 1: text('x') }, { compress: 'big', maxValueBytes: 99 })
  t.like(
    thrown(t, () => big.get(1)),
    { code: 'MILL_TOO_LARGE', length: 100, limit: 99 },
  )
})

// ---- set -------------------------------------------------------------------------------------------------------------

test('set() changes a value in the bytes that were given, and its checksum; another length is refused', (t) => {
  for (const crc of [true, false]) {
    const bytes = MapBuffer.from(pairsFor([1n, 2n, 3n]), { crc }).toBytes()
    const before = bytes.slice()
    const map = new MapBuffer(bytes)
    map.get(3)
    map.set(3n, text('new new'.slice(0, 6)))
    t.deepEqual(map.get(3), text('new ne'))
    t.deepEqual(new MapBuffer(bytes).get(3), text('new ne'))
    t.deepEqual(new MapBuffer(bytes).get(1), valueFor(1n))
    for (const length of [0, 5, 7]) {
      const error = thrown(t, () => map.set(3, new Uint8Array(length)))
      t.like(error, { code: 'MILL_LENGTH_CHANGED', label: 3, expected: 6, got: length })
    }
    t.like(
      thrown(t, () => map.set(9, text('x'))),
      { code: 'MILL_NO_SUCH_LABEL', label: 9 },
    )
    t.is(thrown(t, () => map.set(1, 'x' as never)).code, 'MILL_BAD_VALUE')
    t.deepEqual(map.get(3), text('new ne'))
    map.set(3, valueFor(3n))
    t.deepEqual(bytes, before)
    // A view of its own value, and of a neighbour's.
    map.set(2, map.get(2) as Uint8Array)
    t.deepEqual(bytes, before)
  }
  const damaged = MapBuffer.from({ 1: text('abc') }).toBytes()
  damaged[33] = 0
  const mended = new MapBuffer(damaged)
  t.is(thrown(t, () => mended.get(1)).code, 'MILL_BAD_CRC')
  mended.set(1, text('xyz'))
  t.deepEqual(mended.get(1), text('xyz'))

  const packed = MapBuffer.from<unknown>({ 1: 12345 }, { serializer: json, compress: 'zstd' })
  packed.set(1, 54321)
  t.is(packed.get(1), 54321)
  t.is(new MapBuffer<unknown>(packed.toBytes(), { serializer: json }).get(1), 54321)
  t.is(thrown(t, () => packed.set(1, 'a longer text')).code, 'MILL_LENGTH_CHANGED')
})

// ---- files -----------------------------------------------------------------------------------------------------------

test('openMapBufferSync answers as the map in memory, by path and by URL', (t) => {
  const path = join(folderFor(t), 'map #1%.mb')
  const labels = someBigLabels(300, 5)
  for (const options of [{ crc: true }, { crc: false, compress: 'br' }] as { crc: boolean; compress?: string }[]) {
    const made = MapBuffer.from(pairsFor(labels), options)
    fs.writeFileSync(path, made.toBytes())
    for (const place of [path, pathToFileURL(path)]) {
      for (const lookup of ['auto', 'search', 'hash'] as const) {
        using map = openMapBufferSync(place, { lookup })
        compare(
          t,
          map,
          { labels, probes: labels.slice(0, 20), ranges: [{ from: 2n ** 63n }, { reverse: true }] },
          false,
        )
        compareLayout(t, map)
        t.deepEqual(map.toBytes(), made.toBytes())
        const [once, again] = map.getMany([labels[1] as bigint, labels[1] as bigint])
        t.not(once?.buffer, again?.buffer, 'new bytes each time')
      }
    }
  }
})

test('over a file: read only, checked each time, closed, cut short', (t) => {
  const path = join(folderFor(t), 'map.mb')
  fs.writeFileSync(path, MapBuffer.from({ 1: text('one'), 2: text('two') }).toBytes())
  const map = openMapBufferSync(path)
  t.teardown(() => map.close())
  t.is(thrown(t, () => map.set(1, text('eno'))).code, 'MILL_READ_ONLY')
  t.deepEqual(map.get(1), text('one'))
  const { offset } = map.locate(1) as { offset: number }
  const file = fs.openSync(path, 'r+')
  fs.writeSync(file, 'O', offset)
  t.like(
    thrown(t, () => map.get(1)),
    { code: 'MILL_BAD_CRC', label: 1 },
  )
  fs.writeSync(file, 'o', offset)
  t.deepEqual(map.get(1), text('one'))
  fs.ftruncateSync(file, map.byteLength - 1)
  const last = map.labelAt(1)
  t.like(
    thrown(t, () => map.get(last)),
    { code: 'MILL_SOURCE_SHORT', expected: 7, got: 6 },
  )
  t.is(thrown(t, () => map.toBytes()).code, 'MILL_SOURCE_SHORT')
  t.deepEqual(map.at(0)?.length, 3)
  fs.closeSync(file)
  map.close()
  map.close()
  t.like(
    thrown(t, () => map.get(1)),
    { code: 'MILL_SOURCE_CLOSED', url: path },
  )
  t.is(thrown(t, () => map.toBytes()).code, 'MILL_SOURCE_CLOSED')
  t.deepEqual([map.has(1), [...map.keys()].length, map.size], [true, 2, 2], 'the index stays')
  const memory = MapBuffer.from({ 1: text('x') })
  memory.close()
  memory[Symbol.dispose]()
  t.deepEqual(memory.get(1), text('x'))
})

test.serial('whatever openMapBufferSync meets, it closes what it has opened', (t) => {
  const folder = folderFor(t)
  const open = new Set<number>()
  const { openSync, closeSync } = fs
  fs.openSync = ((path: fs.PathLike, ...rest: [fs.OpenMode]) => {
    const file = openSync(path, ...rest)
    if (String(path).startsWith(folder)) open.add(file)
    return file
  }) as typeof openSync
  fs.closeSync = (file) => {
    open.delete(file)
    closeSync(file)
  }
  syncBuiltinESMExports()
  try {
    const path = join(folder, 'map.mb')
    const good = MapBuffer.from({ 1: text('one') }).toBytes()
    const bad = good.slice()
    bad[24] = 255
    for (const [bytes, code] of [
      [good, undefined],
      [good.subarray(0, 10), 'MILL_TRUNCATED_HEADER'],
      [good.subarray(0, 20), 'MILL_TRUNCATED_INDEX'],
      [bad, 'MILL_BAD_OFFSETS'],
      [text('something else altogether'), 'MILL_BAD_MAGIC'],
    ] as const) {
      fs.writeFileSync(path, bytes)
      if (code === undefined) {
        const map = openMapBufferSync(path)
        t.is(open.size, 1)
        map.close()
      } else t.is(thrown(t, () => openMapBufferSync(path)).code, code)
      t.is(open.size, 0, code)
    }
    t.is(thrown(t, () => openMapBufferSync(path, { strict: 5 as never })).code, 'MILL_INVALID_ARGUMENT')
    const missing = thrown(t, () => openMapBufferSync(join(folder, 'none.mb')))
    t.like(missing, { code: 'MILL_SOURCE_FAILED', url: join(folder, 'none.mb') })
    t.is(codeOf(missing.cause), 'ENOENT')
    t.is(thrown(t, () => openMapBufferSync(folder)).code, 'MILL_SOURCE_FAILED')
    for (const path of [5, null, new URL('https://example.org/x')]) {
      t.is(thrown(t, () => openMapBufferSync(path as never)).code, 'MILL_INVALID_ARGUMENT')
    }
    t.is(open.size, 0)
  } finally {
    Object.assign(fs, { openSync, closeSync })
    syncBuiltinESMExports()
  }
})

test('an index for which no typed array is large enough is MILL_TOO_MANY', (t) => {
  // 4 GiB of index that take no room on the disk.
  const path = join(folderFor(t), 'wide.mb')
  const header = MapBuffer.from([]).toBytes().slice()
  const count = 2 ** 28 + 1
  new DataView(header.buffer).setUint32(12, count, true)
  fs.writeFileSync(path, header)
  fs.truncateSync(path, 16 + 16 * count)
  t.like(
    thrown(t, () => openMapBufferSync(path)),
    { code: 'MILL_TOO_MANY', count, limit: 2 ** 28 },
  )
})

test('offsets that lie are found at opening, and by what reads the entry', (t) => {
  const bytes = MapBuffer.from({ 1: text('one'), 2: text('two'), 3: text('three') }).toBytes()
  const at = (row: number): number => 16 + 16 * row + 8
  const cases: [row: number, offset: bigint, opening: string, reading: string][] = [
    [0, 0n, 'BAD_OFFSETS', 'BAD_OFFSETS'],
    [0, 63n, 'BAD_OFFSETS', 'BAD_OFFSETS'],
    [1, 2n ** 63n, 'BAD_OFFSETS', 'TRUNCATED_DATA'],
    [1, 2n ** 64n - 1n, 'BAD_OFFSETS', 'TRUNCATED_DATA'],
    [2, 2n ** 63n, 'TRUNCATED_DATA', 'TRUNCATED_DATA'],
    [2, 2n ** 53n, 'TRUNCATED_DATA', 'TRUNCATED_DATA'],
    [2, BigInt(bytes.length + 1), 'TRUNCATED_DATA', 'TRUNCATED_DATA'],
    [2, BigInt(bytes.length), 'BAD_ENTRY_LENGTH', 'BAD_ENTRY_LENGTH'],
    [2, BigInt(bytes.length - 3), 'BAD_ENTRY_LENGTH', 'BAD_ENTRY_LENGTH'],
    [2, BigInt(bytes.length - 4), '', 'BAD_CRC'],
    [2, 64n, 'BAD_OFFSETS', 'BAD_CRC'],
  ]
  for (const [row, offset, opening, reading] of cases) {
    const spoilt = bytes.slice()
    new DataView(spoilt.buffer).setBigUint64(at(row), offset, true)
    const what = `row ${row} at ${offset}`
    if (opening === '') t.is(new MapBuffer(spoilt).size, 3)
    else
      t.like(
        thrown(t, () => new MapBuffer(spoilt)),
        { code: `MILL_${opening}` },
        what,
      )
    const map = new MapBuffer(spoilt, { strict: false })
    t.like(
      thrown(t, () => map.at(row)),
      { code: `MILL_${reading}`, position: row, label: map.labelAt(row) },
      what,
    )
    const others = [0, 1, 2].filter((other) => other !== row && other !== row - 1)
    for (const other of others) t.is(map.at(other)?.length, map.labelAt(other) === 3 ? 5 : 3, what)
  }
  // Without checksums, that offsets don't ascend is the only sign that one of two is wrong: both are errors.
  const plain = MapBuffer.from({ 1: text('one'), 2: text('two'), 3: text('three') }, { crc: false }).toBytes()
  new DataView(plain.buffer).setBigUint64(at(2), 65n, true)
  const map = new MapBuffer(plain, { strict: false })
  t.deepEqual(map.at(0), text('two'))
  for (const row of [1, 2]) {
    t.like(
      thrown(t, () => map.at(row)),
      { code: 'MILL_BAD_OFFSETS', position: row },
    )
    t.is(thrown(t, () => map.locate(map.labelAt(row))).code, 'MILL_BAD_OFFSETS')
  }
})
