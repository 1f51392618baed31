import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test from 'ava'
import fc from 'fast-check'
import {
  type Label,
  type LabelRange,
  MapBuffer,
  type MapBufferReader,
  type OpenOptions,
  openMapBuffer,
} from '../lib/mapbuffer/index.js'
import { countRounds, farSource, fileOf, someLabels, valueFor } from './fixtures/map-data.js'
import { serveMap } from './fixtures/map-server.js'
import { codeOf, collectGarbage, failure, gather, settle, within } from './fixtures/stream-kit.js'

const codeFrom = async (fn: () => unknown): Promise<unknown> => codeOf(await failure(fn))
const sorted = (labels: readonly Label[]): Label[] => [...labels].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))

// One after the other: what a test waits for has a time-out, and should not have to wait for the other tests' work too.

// ---- what it costs -------------------------------------------------------------------------------------------------

test.serial(
  'five labels of 500,000 cost at most 45 requests and 130 kB, the same ones again one request each',
  async (t) => {
    const all = someLabels(500_000)
    await using server = await serveMap(fileOf(all, 64))
    const five = [1, 99_999, 250_000, 333_333, 499_998].map((i) => all[i] as number)
    const expected = five.map((label) => valueFor(label, 64))
    await using far = await openMapBuffer(server.url)
    t.is(far.size, 500_000)
    t.deepEqual(await within(far.getMany(five), 'five'), expected)
    t.true(server.seen.length <= 45, `${server.seen.length} requests`)
    t.true(server.sent() <= 130_000, `${server.sent()} bytes`)
    const cost = server.seen.length
    server.reset()
    t.deepEqual(await within(far.getMany(five), 'again'), expected)
    t.true(server.seen.length <= 5, `${server.seen.length} requests`)

    // What gets of one turn cost is what getMany costs.
    await using second = await openMapBuffer(server.url)
    server.reset()
    t.deepEqual(await within(Promise.all(five.map((label) => second.get(label))), 'by get'), expected)
    t.is(server.seen.length, cost - 1)

    // With only 6 levels known the other 13 take two rounds.
    await using narrow = await openMapBuffer(server.url, { readAhead: 1 })
    server.reset()
    t.deepEqual(await within(narrow.getMany(five), 'narrow'), expected)
    t.true(
      server.seen.length <= 90 && server.sent() <= 160_000,
      `${server.seen.length} requests, ${server.sent()} bytes`,
    )
    t.false(await within(narrow.has(12_345), 'a miss'))
  },
)

test.serial('what lies further apart than gap is not read, what is longer than span not at once', async (t) => {
  const content = fileOf(someLabels(1000), 100)
  const map = new MapBuffer(content)
  const wanted = [0, 1, 2, 500, 999].map((position) => map.labelAt(position))
  const warnings: Error[] = []
  const heard = (warning: Error): void => void warnings.push(warning)
  process.on('warning', heard)
  for (const [options, reads, bytes] of [
    [{ gap: 0 }, 3, 520],
    [{ gap: 104 * 497 }, 2, 104 * 501 + 104],
    [{ gap: 104 * 498 }, 1, 104_000],
    [{ gap: 2 ** 20, span: 250 }, 4, 520],
    [{ gap: 0, span: 1 }, 5, 520],
  ] as const) {
    const far = farSource(content)
    const reader = await openMapBuffer(far, { ...options, index: 'full' })
    for (const read of [
      () => reader.getMany(wanted),
      () => gather(reader.select(wanted)),
      () => Promise.all(wanted.map((label) => reader.get(label))),
    ]) {
      far.reads = far.bytes = 0
      t.is((await read()).length, 5)
      t.deepEqual([far.reads, far.bytes], [reads, bytes], `${JSON.stringify(options)} ${read}`)
    }
  }
  // Pages of a lazy index are joined over 4 KiB: labels of near rows cost one read a level, of which three are not known.
  const large = fileOf(someLabels(40_000), 60)
  const labels = new MapBuffer(large)
  for (const [apart, reads] of [
    [64 * 3, 3],
    [64 * 12, 5],
  ] as const) {
    const far = farSource(large)
    const reader = await openMapBuffer(far)
    far.reads = 0
    await Promise.all([24_000, 24_000 + apart].map((position) => reader.has(labels.labelAt(position))))
    t.is(far.reads, reads, `${apart} rows apart`)
  }
  // A scan does not read 8 MiB at a time.
  const scanned = farSource(large)
  const scanner = await openMapBuffer(scanned)
  let longest = 0
  scanned.before = (_, length) => {
    longest = Math.max(longest, length)
    return undefined
  }
  t.is((await gather(scanner.entries())).length, 40_000)
  t.true(longest > 2 ** 19 && longest <= 2 ** 20 + 16, `${longest} bytes`)
  // As many at once as there may be, and Node has nothing to warn of.
  const all = [...map.keys()]
  const reader = await openMapBuffer(farSource(content), { gap: 0, span: 1, concurrency: 50 })
  t.is((await reader.getMany(all)).length, 1000)
  t.is((await gather(reader.select(all))).length, 1000)
  await settle()
  process.off('warning', heard)
  t.deepEqual(warnings, [])
})

test.serial('2000 of 20,000 values cost at most 40 requests and 13 MB', async (t) => {
  const all = someLabels(20_000)
  await using server = await serveMap(fileOf(all, 500))
  await using far = await openMapBuffer(server.url)
  const some = all.filter((_, i) => i % 10 === 3)
  const values = await within(far.getMany(some), 'some')
  t.deepEqual(
    values,
    some.map((label) => valueFor(label, 500)),
  )
  t.true(server.seen.length <= 40, `${server.seen.length} requests`)
  t.true(server.sent() <= 13_000_000, `${server.sent()} bytes`)
})

test.serial(
  'a lazy index: many labels fetch it whole, indexMemory bounds what is kept, has and locate read no values',
  async (t) => {
    const all = someLabels(40_000)
    const content = fileOf(all, 20)
    const far = farSource(content)
    const reader = await openMapBuffer(far, { index: 'lazy' })
    t.is(far.reads, 1)
    t.is(far.bytes, 65_536)
    const many = all.slice(0, 3000)
    t.deepEqual(
      await reader.getMany(many),
      many.map((label) => valueFor(label, 20)),
    )
    t.true(far.reads <= 8, `${far.reads} reads`)
    t.true(far.bytes < content.length * 1.1)
    // Also where nothing may be joined: over half of the pages are wanted, so all of them come in one piece.
    const apart = farSource(content)
    const strict = await openMapBuffer(apart, { index: 'lazy', gap: 0 })
    t.true((await Promise.all(many.map((label) => strict.has(label)))).every(Boolean))
    t.deepEqual([apart.reads, apart.bytes], [2, 16 + 16 * 40_000])
    far.reads = 0
    t.true(await reader.has(all[39_999] as number))
    t.is((await reader.locate(all[39_999] as number))?.length, 20)
    t.is(far.reads, 0)

    const forgetful = farSource(content)
    const small = await openMapBuffer(forgetful, { index: 'lazy', readAhead: 1024, indexMemory: 0 })
    const label = all[17] as number
    await small.has(label)
    const once = forgetful.reads
    await small.has(label)
    t.is(forgetful.reads, 1 + 2 * (once - 1), 'nothing was kept')
    t.deepEqual(
      await small.getMany(many.slice(0, 300)),
      many.slice(0, 300).map((one) => valueFor(one, 20)),
    )
    t.true((await Promise.all(many.map((one) => small.has(one)))).every(Boolean))
    forgetful.reads = 0
    await small.has(label)
    t.is(
      forgetful.reads,
      once - 1,
      'an index that is larger than indexMemory is not kept, however much of it was needed',
    )
  },
)

test.serial('a lookup in a lazy index is one round of reads for ten levels, of 4 MiB at most', async (t) => {
  const all = someLabels(300_000)
  const content = fileOf(all, 1)
  const map = new MapBuffer(content)
  const far = farSource(content)
  const reader = await openMapBuffer(far, { index: 'lazy', indexMemory: 0, gap: 0 })
  const rounds = countRounds(far)
  // Rows at the end of a page: where their values end is told by the next one.
  for (const row of [4096 + 63, 8192 + 127, 131_072 + 64 * 999 + 63, 262_144 + 63, 299_967]) {
    t.is(row % 64, 63)
    rounds.length = 0
    const label = map.labelAt(row - 1)
    t.deepEqual(await within(reader.locate(label), 'locate', 20_000), map.locate(label))
    t.is(rounds.length, 1, `row ${row}`)
  }
  rounds.length = 0
  const there = await within(Promise.all(all.slice(0, 20_000).map((label) => reader.has(label))), 'many', 20_000)
  t.true(there.every(Boolean))
  t.true(rounds.length > 1 && rounds.every((bytes) => bytes <= 2 ** 22 + 2 ** 16), rounds.join())
})

test.serial('M2: header and index are all that opening reads, as index and readAhead say', async (t) => {
  const all = someLabels(40_000)
  const content = fileOf(all, 4)
  const indexBytes = 16 + 16 * 40_000
  for (const [options, reads, bytes] of [
    [{}, 1, 65_536],
    [{ index: 'full' }, 2, indexBytes],
    [{ index: 'full', span: 100_000 }, 7, indexBytes],
    [{ readAhead: 1500 }, 1, 2048],
    [{ readAhead: 0 }, 1, 1024],
    [{ readAhead: 700_000 }, 1, 700_416],
  ] as [OpenOptions, number, number][]) {
    const far = farSource(content)
    await openMapBuffer(far, options)
    t.deepEqual([far.reads, far.bytes], [reads, bytes], JSON.stringify(options))
  }
  const near = Object.assign(farSource(content), { local: true })
  await openMapBuffer(near)
  t.deepEqual([near.reads, near.bytes], [2, indexBytes], 'where reads cost nothing the index is read whole')
  const far = farSource(content)
  const ranging = await openMapBuffer(far)
  t.is((await gather(ranging.keys({}))).length, 40_000)
  t.deepEqual([far.reads, far.bytes], [2, indexBytes], 'a range needs the whole index')
  t.is((await gather(ranging.keys({ reverse: true }))).length, 40_000)
  t.true(await ranging.has(all[39_999] as number))
  t.is(far.reads, 2, 'which is kept')
  const little = farSource(fileOf(all.slice(0, 30_000), 4))
  await openMapBuffer(little)
  t.is(little.bytes, 16 + 16 * 30_000, 'an index up to 512 KiB is read whole')
  for (const wrong of [
    { index: 'half' },
    { readAhead: -1 },
    { indexMemory: 1.5 },
    { gap: -1 },
    { span: 0 },
    { concurrency: 0 },
    { signal: 1 },
    { lookup: 'tree' },
    { strict: 1 },
  ]) {
    t.is(
      await codeFrom(() => openMapBuffer(content, wrong as OpenOptions)),
      'MILL_INVALID_ARGUMENT',
      JSON.stringify(wrong),
    )
  }
  t.is(await codeFrom(() => openMapBuffer(7 as unknown as string)), 'MILL_INVALID_ARGUMENT')
})

// ---- the right data ------------------------------------------------------------------------------------------------

const edges = [0n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]
const anyLabel = fc
  .oneof(
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc.constantFrom(...edges).chain((edge) => fc.bigInt(-40n, 40n).map((d) => edge + d)),
  )
  .map((label) => (label < 0n ? -label : label >= 2n ** 64n ? 2n ** 64n - 1n : label))
  .map((label) => (label <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(label) : label))
const anyMap = fc.uniqueArray(fc.tuple(anyLabel, fc.uint8Array({ maxLength: 40 })), {
  maxLength: 260,
  selector: ([label]) => label,
})

test.serial('a reader answers as the map in memory does, whatever its index and wherever its bytes', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const path = join(folder, 'any.mb')
  const ways: ((bytes: Uint8Array, options: OpenOptions) => Promise<MapBufferReader>)[] = [
    (bytes, options) => openMapBuffer(bytes, options),
    (bytes, options) => openMapBuffer(new Blob([bytes.slice()]), options),
    (bytes, options) => openMapBuffer(farSource(bytes), options),
    (bytes, options) => openMapBuffer(farSource(bytes, false), options),
    async (bytes, options) => {
      await writeFile(path, bytes)
      return openMapBuffer(options.index === 'full' ? path : pathToFileURL(path), options)
    },
  ]
  const property = fc.asyncProperty(
    anyMap,
    fc.array(anyLabel, { maxLength: 12 }),
    fc.record({
      crc: fc.boolean(),
      compress: fc.constantFrom('none', 'gzip'),
    }),
    fc.record({
      index: fc.constantFrom('auto' as const, 'full' as const, 'lazy' as const),
      readAhead: fc.constantFrom(1024, 2048, 65_536),
      indexMemory: fc.constantFrom(0, 3000, 2 ** 24),
      gap: fc.constantFrom(0, 10, 32_768),
      span: fc.constantFrom(1, 500, 2 ** 23),
      bigint: fc.boolean(),
    }),
    fc.nat(ways.length - 1),
    async (entries, others, made, options, way) => {
      const map = MapBuffer.from(entries, { ...made, bigint: options.bigint })
      const open = ways[way] as (typeof ways)[number]
      await using far = await open(map.toBytes(), options)
      t.deepEqual(
        [far.size, far.version, far.compression, far.byteLength],
        [map.size, map.version, map.compression, map.byteLength],
      )
      const asked = [...entries.map(([label]) => label), ...others, ...others]
      t.deepEqual(await far.getMany(asked), map.getMany(asked))
      const singly = await Promise.all(
        asked.map((label) => Promise.all([far.get(label), far.has(label), far.locate(label)])),
      )
      t.deepEqual(
        singly,
        asked.map((label) => [map.get(label), map.has(label), map.locate(label)]),
      )
      t.deepEqual(await gather(far.keys()), [...map.keys()])
      t.deepEqual(await gather(far.entries()), [...map.entries()])
      t.deepEqual(await gather(far), [...map])
      const wanted = new Set(asked.filter((_, i) => i % 3 > 0).map(BigInt))
      t.deepEqual(
        await gather(far.select([...wanted, ...wanted])),
        [...map].filter(([label]) => wanted.has(BigInt(label))),
      )
      const [from, to] = others
      const ranges: LabelRange[] = [{}, { reverse: true }]
      if (from !== undefined) ranges.push({ from }, { to: from, reverse: true })
      if (from !== undefined && to !== undefined) ranges.push({ from, to }, { from: to, to: from, reverse: true })
      for (const range of ranges) {
        t.deepEqual(await gather(far.keys(range)), [...map.keys(range)])
        t.deepEqual(await gather(far.entries(range)), [...map.entries(range)])
      }
      t.deepEqual((await far.load()).toBytes(), map.toBytes())
      t.deepEqual(await far.verify({ decode: true }), await map.verify({ decode: true }))
    },
  )
  await within(fc.assert(property, { numRuns: 60 }), 'the property', 60_000)
})

test.serial('a range of a larger map comes window by window in the order of labels', async (t) => {
  const all = someLabels(9000)
  const content = fileOf(all, 900)
  const reader = await openMapBuffer(farSource(content), { span: 2 ** 20 })
  const order = sorted(all) as number[]
  const forth = await within(gather(reader.entries({ from: order[10] as number, to: order[8500] as number })), 'forth')
  t.deepEqual(
    forth,
    order.slice(10, 8500).map((label) => [label, valueFor(label, 900)]),
  )
  const back = await within(gather(reader.keys({ to: order[3] as number, reverse: true })), 'back')
  t.deepEqual(back, [order[2], order[1], order[0]])
})

test.serial('what waits in a range of small values does not keep the long reads they came in', async (t) => {
  const content = fileOf(someLabels(1000), 100)
  const far = farSource(content)
  const reader = await openMapBuffer(far, { index: 'full' })
  const reads: WeakRef<ArrayBuffer>[] = []
  far.before = (offset, length) => {
    const bytes = content.slice(offset, offset + length)
    reads.push(new WeakRef(bytes.buffer))
    return bytes
  }
  const entries = reader.entries({})[Symbol.asyncIterator]()
  await within(entries.next(), 'first')
  far.before = undefined
  t.is(reads.length, 1)
  // A WeakRef keeps its target until the end of the turn in which it was made or asked.
  for (let turn = 0; turn < 50 && reads[0]?.deref() !== undefined; turn++) {
    await settle(1)
    collectGarbage()
  }
  t.is(reads[0]?.deref(), undefined)
  t.is((await gather({ [Symbol.asyncIterator]: () => entries })).length, 999)
})

test.serial(
  'M2: values are limited by maxValueBytes, decoded by the serializer, and hold little else in memory',
  async (t) => {
    const all = someLabels(300)
    const text = {
      name: 'text',
      encode: (s: string) => new TextEncoder().encode(s),
      decode: (b: Uint8Array) => `${b[0]}`,
    }
    const content = fileOf(all, 50)
    const reader = await openMapBuffer<string>(content, { serializer: text })
    const label = all[5] as number
    t.is(await reader.get(label), String(valueFor(label, 50)[0]))
    t.is((await gather(reader.select([label])))[0]?.[1], String(valueFor(label, 50)[0]))
    t.is((await reader.load()).get(label), String(valueFor(label, 50)[0]))

    const far = farSource(content)
    const strict = await openMapBuffer(far, { maxValueBytes: 49 })
    const { reads } = far
    t.is(await codeFrom(() => strict.get(label)), 'MILL_TOO_LARGE')
    t.is(await codeFrom(() => strict.getMany([label])), 'MILL_TOO_LARGE')
    t.is(await codeFrom(() => gather(strict.entries())), 'MILL_TOO_LARGE')
    t.is(await codeFrom(() => gather(strict.entries({}))), 'MILL_TOO_LARGE')
    t.is(far.reads, reads, 'the index tells: nothing was read for it')

    const bomb = MapBuffer.from([[1, new Uint8Array(2 ** 20)]], { compress: 'gzip' }).toBytes()
    t.true(bomb.length < 3000)
    const limited = await openMapBuffer(farSource(bomb), { maxValueBytes: 2 ** 20 - 1 })
    for (const ask of [
      () => limited.get(1),
      () => limited.getMany([1]),
      () => gather(limited.select([1])),
      () => gather(limited.entries()),
      () => gather(limited.entries({})),
      async () => (await limited.load()).get(1),
    ]) {
      t.like(await failure(ask), { code: 'MILL_TOO_LARGE', label: 1, limit: 2 ** 20 - 1 }, String(ask))
    }

    const bytes = await openMapBuffer(farSource(fileOf(all, 50, { crc: false })))
    const entries = await gather(bytes.entries())
    for (const value of [...(await bytes.getMany(all)), ...entries.map(([, value]) => value)]) {
      t.true((value?.buffer.byteLength ?? 0) <= 100)
    }
  },
)
