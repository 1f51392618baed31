import { join } from 'node:path'
import { Readable as NodeReadable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import fc from 'fast-check'
import {
  type Codec,
  IntMap,
  IntMapWriter,
  isMillraceError,
  type Label,
  loadCodec,
  MapBuffer,
  MapBufferWriter,
  type Progress,
  type Serializer,
  type WriterOptions,
} from '../lib/mapbuffer/index.js'
import { pump, readable } from '../lib/streams/index.js'
import {
  bytesOf,
  digestOf,
  entriesOf,
  intEntriesOf,
  isValid,
  shuffled,
  type ValidVector,
  vectors,
} from './fixtures/mapbuffer-vectors.js'
import {
  byLabel,
  endless,
  folder,
  nothingLeft,
  type Pair,
  root,
  value,
  ways,
  written,
} from './fixtures/mapbuffer-writer-kit.js'
import { codeOf, collect, failure, settle, watch, within } from './fixtures/stream-kit.js'

const CHUNK = 2 ** 18

// ---- what is written ------------------------------------------------------------------------------------------------

const valid = vectors().filter(isValid)

test.serial('every file of the Python library that can be made exactly is made exactly, in every way', async (t) => {
  const exact = valid.filter(({ type, byteExactWriter }) => type === 'mapbuffer' && byteExactWriter === true)
  t.true(exact.length > 20)
  for (const vector of exact) {
    const pairs = entriesOf(vector)
    const expected = bytesOf(vector)
    for (const [way, options, sorted] of ways(pairs.length)) {
      const writer = new MapBufferWriter({ ...options, crc: vector.version === 1 })
      const bytes = await written<Pair>(sorted ? byLabel(pairs) : shuffled(pairs), writer)
      t.true(bytes.equals(expected), `${vector.file} ${way}`)
      t.is(writer.stats.bytes, expected.length)
      t.is(writer.stats.entries, pairs.length)
    }
  }
})

test.serial('every IntMap of the Python library is made exactly', async (t) => {
  const exact = valid.filter(({ type, byteExactWriter }) => type === 'intmap' && byteExactWriter === true)
  t.true(exact.length > 5)
  for (const vector of exact) {
    const pairs = intEntriesOf(vector)
    for (const options of [{}, { count: pairs.length }]) {
      const bytes = await written(shuffled(pairs), new IntMapWriter(options))
      t.true(bytes.equals(bytesOf(vector)), vector.file)
    }
  }
})

test.serial('compressed files of the Python library are written anew and read back the same', async (t) => {
  for (const name of ['gzip', 'br', 'zstd', 'lzma']) await loadCodec(name)
  const compressed = valid.filter(
    ({ type, compression, n, expect }: ValidVector) =>
      type === 'mapbuffer' && compression !== 'none' && n <= 100 && expect === 'valid',
  )
  t.true(compressed.length > 20)
  for (const vector of compressed) {
    const writer = new MapBufferWriter({ compress: vector.compression, crc: vector.version === 1 })
    const map = new MapBuffer(await written<Pair>(shuffled(entriesOf(vector)), writer))
    t.deepEqual([map.compression, map.version, map.size], [vector.compression, vector.version, vector.n], vector.file)
    t.is(digestOf(map), vector.digest, vector.file)
  }
})

/** Labels that are often equal, often neighbours, and at the edges of their halves. */
const labels = fc.oneof(
  { weight: 4, arbitrary: fc.nat(40) },
  fc.maxSafeNat(),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.constantFrom(2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n),
)
const pairsOfBytes = fc.array(fc.tuple(labels, fc.uint8Array({ maxLength: 300 })), { maxLength: 60 })

test.serial(
  'any entries under each policy: the file holds what a Map would, in every way the same bytes',
  async (t) => {
    await fc.assert(
      fc.asyncProperty(pairsOfBytes, fc.constantFrom('first', 'last'), async (pairs, duplicates) => {
        const model = new Map<bigint, Uint8Array>()
        for (const [label, value] of pairs) {
          if (duplicates === 'last' || !model.has(BigInt(label))) model.set(BigInt(label), value)
        }
        const unique = MapBuffer.from(model)
        for (const [way, options, sorted] of ways(pairs.length)) {
          const writer = new MapBufferWriter({ ...options, duplicates, dir: root })
          const bytes = await written<Pair>(sorted ? byLabel(pairs) : pairs, writer)
          t.true(bytes.equals(unique.toBytes()), way)
          t.is(writer.stats.entries, model.size, way)
        }
      }),
      { numRuns: 25 },
    )
  },
)

test.serial('any pairs: an IntMap holds what a Map would', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(labels, labels), { maxLength: 60 }),
      fc.constantFrom('first', 'last'),
      async (pairs, duplicates) => {
        const model = new Map<bigint, bigint>()
        for (const [label, value] of pairs) {
          if (duplicates === 'last' || !model.has(BigInt(label))) model.set(BigInt(label), BigInt(value))
        }
        const bytes = await written<readonly [Label, Label]>(pairs, new IntMapWriter({ duplicates }))
        t.deepEqual(byLabel([...new IntMap(bytes, { bigint: true })]), byLabel([...model]))
      },
    ),
    { numRuns: 50 },
  )
})

test.serial('a hundred thousand labels, more than a column has at first, are sorted', async (t) => {
  const pairs: [number, number][] = []
  let state = 7
  for (let i = 0; i < 100_000; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    pairs.push([(state >>> 11) * 2 ** 20 + (i % 2 ** 20), i])
  }
  const map = new IntMap(await written<readonly [Label, Label]>(pairs, new IntMapWriter()), { strict: true })
  t.is(map.size, pairs.length)
  t.true(pairs.every(([label, value]) => map.get(label) === value))
})

test.serial('values of no bytes and values far larger than the memory, in every way', async (t) => {
  const pairs: [bigint, Uint8Array][] = []
  for (let i = 0; i < 40; i++) {
    const value = new Uint8Array(i % 3 === 0 ? 0 : i % 7 === 0 ? 700_000 + i : i * 97)
    for (let j = 0; j < value.length; j += 1 + (i % 5)) value[j] = i * 31 + (j >>> 8)
    pairs.push([BigInt(i * i), value])
  }
  const expected = MapBuffer.from(new Map(pairs)).toBytes()
  for (const [way, options, sorted] of ways(pairs.length)) {
    const dir = folder()
    const writer = new MapBufferWriter({ ...options, dir })
    const bytes = await written<Pair>(sorted ? pairs : shuffled(pairs), writer)
    t.true(bytes.equals(expected), way)
    nothingLeft(t, dir, way)
  }
})

test.serial('stats say where the entries are', async (t) => {
  const value = new Uint8Array(1000)
  const pairs = Array.from({ length: 300 }, (_, i): Pair => [i, value])
  const modes: [WriterOptions, string, boolean][] = [
    [{}, 'memory', false],
    [{ memory: 400_000 }, 'memory', false],
    [{ memory: 100_000 }, 'spool', true],
    [{ sorted: true }, 'memory', false],
    [{ sorted: true, count: 300 }, 'levels', true],
    [{ sorted: true, count: 300, duplicates: 'last' }, 'memory', false],
  ]
  for (const [options, mode, spools] of modes) {
    const writer = new MapBufferWriter(options)
    t.deepEqual(writer.stats, { mode: mode === 'levels' ? mode : 'memory', entries: 0, bytes: 0, spooled: 0 })
    const bytes = await written<Pair>(pairs, writer)
    t.is(writer.stats.mode, mode as 'memory')
    t.is(writer.stats.spooled > 0, spools)
    t.deepEqual([writer.stats.entries, writer.stats.bytes], [300, bytes.length])
    t.is(bytes.length, 16 + 300 * 1020)
  }
})

test.serial('chunks are yours to keep: at most 256 KiB each, and none of the memory is shared', async (t) => {
  const values = Array.from({ length: 300 }, (_, i) => new Uint8Array(5000).fill(i))
  for (const [way, options] of ways(300)) {
    const writer = new MapBufferWriter(options)
    for (const [i, value] of values.entries()) {
      if (!writer.write([i, value.slice()])) await within(new Promise<void>((go) => writer.once('drain', go)), 'drain')
    }
    writer.end()
    const chunks: Uint8Array[] = []
    const copies: Uint8Array[] = []
    for await (const chunk of writer) {
      t.true(chunk.length > 0 && chunk.length <= CHUNK)
      copies.push(chunk.slice())
      chunks.push(chunk.fill(255))
    }
    t.true(chunks.length > 5, way)
    const map = new MapBuffer(Buffer.concat(copies))
    t.true(
      values.every((value, i) => Buffer.compare(map.get(i) as Uint8Array, value) === 0),
      way,
    )
    t.true(
      chunks.every((chunk) => chunk.every((byte) => byte === 255)),
      way,
    )
  }
})

test.serial('an entry is copied when it is taken', async (t) => {
  const writer = new MapBufferWriter()
  const value = Uint8Array.of(1, 2, 3)
  t.true(writer.write([5, value]))
  value.fill(9)
  writer.end([6, value])
  const map = new MapBuffer(await within(collect(writer), 'all'))
  t.deepEqual(
    [...map].map(([label, bytes]) => [label, [...bytes]]),
    [
      [6, [9, 9, 9]],
      [5, [1, 2, 3]],
    ],
  )
})

test.serial('every kind of bytes is taken, and values by a serializer and a codec of your own', async (t) => {
  const plain = new MapBuffer(
    await written<readonly [Label, DataView | ArrayBuffer | SharedArrayBuffer | Uint16Array]>(
      [
        [1, new DataView(Uint8Array.of(1, 2, 3).buffer, 1)],
        [2n, Uint8Array.of(4).buffer],
        [3, new SharedArrayBuffer(2)],
        [4, Uint16Array.of(0x0605)],
      ],
      new MapBufferWriter(),
    ),
  )
  t.deepEqual(
    [1, 2, 3, 4].map((label) => [...(plain.get(label) as Uint8Array)]),
    [[2, 3], [4], [0, 0], [5, 6]],
  )
  const json: Serializer<{ n: number }> = {
    name: 'json',
    encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
    decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
  }
  const flip: Codec = {
    name: 'flip',
    encode: (data) => data.map((byte) => byte ^ 255),
    decode: (data) => data.map((byte) => byte ^ 255),
  }
  const writer = new MapBufferWriter<{ n: number }>({ serializer: json, compress: flip })
  const bytes = await written<readonly [Label, { n: number }]>([[7, { n: 1 }]], writer)
  t.is(bytes.toString('latin1', 8, 12), 'flip')
  t.is(Buffer.from(flip.encode(bytes.subarray(32, -4))).toString(), '{"n":1}')
})

// ---- what cannot be written -------------------------------------------------------------------------------------------

test.serial('wrong options are refused at once', (t) => {
  const wrong: [string, object][] = [
    ['options.sorted', { sorted: 1 }],
    ['options.count', { count: -1 }],
    ['options.count', { count: 1.5 }],
    ['options.memory', { memory: -1 }],
    ['options.memory', { memory: '1' }],
    ['options.dir', { dir: 5 }],
    ['options.duplicates', { duplicates: 'all' }],
    ['options.crc', { crc: 'yes' }],
    ['options.level', { level: 1.5 }],
    ['options.compress', { compress: 5 }],
    ['options.compress', { compress: { name: '0abc', encode() {}, decode() {} } }],
    ['options.compress', { compress: { name: 'abc' } }],
    ['options.compress', { compress: { name: 'none', encode: () => value, decode: () => value } }],
    ['options.serializer', { serializer: {} }],
    ['options.signal', { signal: {} }],
    ['options.onProgress', { onProgress: 1 }],
  ]
  for (const [argument, options] of wrong) {
    const error = t.throws(() => new MapBufferWriter(options as WriterOptions), { code: 'MILL_INVALID_ARGUMENT' })
    t.is((error as unknown as { argument: string }).argument, argument)
  }
  for (const options of [null, 5, 'gzip']) {
    t.throws(() => new MapBufferWriter(options as never), { code: 'MILL_INVALID_ARGUMENT' })
    t.throws(() => new IntMapWriter(options as never), { code: 'MILL_INVALID_ARGUMENT' })
  }
  t.throws(() => new MapBufferWriter({ compress: 'snap' }), { code: 'MILL_CODEC_UNKNOWN' })
  t.throws(() => new MapBufferWriter({ count: 2 ** 32 }), { code: 'MILL_TOO_MANY' })
  t.throws(() => new IntMapWriter({ count: -1 }), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => new IntMapWriter({ duplicates: 'x' } as object), { code: 'MILL_INVALID_ARGUMENT' })
  // Nothing is reserved for a count that is only claimed.
  t.is(new MapBufferWriter({ count: 2 ** 32 - 1 }).stats.entries, 0)
})

test.serial('what is no label, no value, no pair ends the stream with a code', async (t) => {
  for (const label of [-1, 1.5, Number.NaN, 2 ** 53, -1n, 2n ** 64n, '5', null, undefined, true]) {
    for (const [, options] of ways(1)) {
      const error = await failure(written<unknown>([[label, value]], new MapBufferWriter(options) as never))
      t.is(codeOf(error), 'MILL_BAD_LABEL')
      t.is((error as Error).name, 'RangeError')
      t.is((error as { label?: unknown }).label, label)
    }
    t.is(codeOf(await failure(written<unknown>([[label, 1]], new IntMapWriter() as never))), 'MILL_BAD_LABEL')
    t.is(codeOf(await failure(written<unknown>([[1, label]], new IntMapWriter() as never))), 'MILL_BAD_LABEL')
  }
  for (const bad of ['text', 5, null, undefined, [1], {}]) {
    const error = await failure(written<unknown>([[3, bad]], new MapBufferWriter() as never))
    t.is(codeOf(error), 'MILL_BAD_VALUE')
    t.is((error as Error).name, 'TypeError')
    t.like(error as object, { label: 3, value: bad })
  }
  const noBytes = { name: 'no', encode: () => 'x' as never, decode: () => 1 as never }
  const bad: [string, MapBufferWriter<never>][] = [
    ['serializer', new MapBufferWriter<never>({ serializer: noBytes })],
    ['codec', new MapBufferWriter<never>({ compress: noBytes })],
  ]
  for (const [what, writer] of bad) {
    t.is(codeOf(await failure(written([[1, value] as never], writer))), 'MILL_BAD_VALUE', what)
  }
  for (const item of [5, 'ab', [1], [1, value, 2], { 0: 1, 1: value, length: 2 }]) {
    t.is(codeOf(await failure(written<unknown>([item], new MapBufferWriter() as never))), 'MILL_UNSUPPORTED_ITEM')
    t.is(codeOf(await failure(written<unknown>([item], new IntMapWriter() as never))), 'MILL_UNSUPPORTED_ITEM')
  }
})

test.serial('a label that comes twice is an error, in every way, unless a policy says which one stays', async (t) => {
  const pairs: Pair[] = [
    [1, new Uint8Array(5000)],
    [2n ** 60n, value],
    [2n ** 60n, value],
  ]
  for (const [way, options] of ways(3)) {
    const error = await failure(written(pairs, new MapBufferWriter(options)))
    t.is(codeOf(error), 'MILL_DUPLICATE_LABEL', way)
    t.is((error as { label?: unknown }).label, 2n ** 60n, way)
  }
  const twice: [number, number][] = [
    [1, 5],
    [1, 6],
  ]
  t.is(codeOf(await failure(written(twice, new IntMapWriter()))), 'MILL_DUPLICATE_LABEL')
})

test.serial('what is said to be sorted must be sorted', async (t) => {
  const pairs: Pair[] = [
    [1, value],
    [2n ** 63n, value],
    [2 ** 40, value],
  ]
  for (const options of [{}, { count: 3 }, { duplicates: 'last' as const }]) {
    const error = await failure(written(pairs, new MapBufferWriter({ sorted: true, ...options })))
    t.is(codeOf(error), 'MILL_NOT_SORTED')
    t.like(error as object, { label: 2 ** 40, previous: 2n ** 63n })
  }
})

test.serial('one too few and one too many are told from the count', async (t) => {
  const two: Pair[] = [
    [1, value],
    [2, value],
  ]
  const three: Pair[] = [...two, [3, value]]
  for (const sorted of [false, true]) {
    for (const [pairs, count] of [
      [two, 3],
      [three, 2],
      [three, 0],
      [[], 1],
    ] as [Pair[], number][]) {
      const error = await failure(written(pairs, new MapBufferWriter({ sorted, count })))
      t.is(codeOf(error), 'MILL_COUNT_MISMATCH')
      t.like(error as object, { expected: count, got: Math.min(pairs.length, count + 1) })
    }
    t.is((await written([] as Pair[], new MapBufferWriter({ sorted, count: 0 }))).length, 16)
  }
  t.is(codeOf(await failure(written([[1, 1] as const], new IntMapWriter({ count: 2 })))), 'MILL_COUNT_MISMATCH')
  const pairs = [1, 2, 3].map((i) => [i, i] as const)
  t.like((await failure(written(pairs, new IntMapWriter({ count: 1 })))) as object, {
    code: 'MILL_COUNT_MISMATCH',
    expected: 1,
    got: 2,
  })
})

test.serial('a temporary file that cannot be made or written is an error with its cause', async (t) => {
  const dir = join(folder(), 'not-there')
  const pairs = Array.from({ length: 300 }, (_, i): Pair => [i, new Uint8Array(1000)])
  for (const options of [{ memory: 4096 }, { sorted: true, count: 300 }]) {
    const error = await failure(written(pairs, new MapBufferWriter({ ...options, dir })))
    t.is(codeOf(error), 'MILL_SPOOL_FAILED')
    t.is(codeOf((error as Error).cause), 'ENOENT')
  }
  // Nobody needs the folder as long as it all fits into memory.
  t.is((await written(pairs, new MapBufferWriter({ dir }))).length, 16 + 300 * 1020)
})

test.serial('a serializer, a codec and a progress function that throw end the stream with their error', async (t) => {
  const broken = new Error('broken')
  const serializer: Serializer<number> = {
    name: 'broken',
    encode() {
      throw broken
    },
    decode: () => 1,
  }
  const compress: Codec = {
    name: 'brok',
    encode() {
      throw broken
    },
    decode: (data) => data,
  }
  t.is(await failure(written([[1, 1] as const], new MapBufferWriter({ serializer }))), broken)
  t.is(await failure(written([[1, value] as const], new MapBufferWriter({ compress }))), broken)
  const onProgress = (): void => {
    throw broken
  }
  t.is(await failure(written([[1, value] as const], new MapBufferWriter({ onProgress }))), broken)
})

// ---- streams ------------------------------------------------------------------------------------------------------------

test.serial('progress is told in two phases, the last of each at its end', async (t) => {
  const seen: Progress[] = []
  const pairs = Array.from({ length: 2000 }, (_, i): Pair => [i, new Uint8Array(500)])
  for (const [way, options, sorted] of ways(2000)) {
    seen.length = 0
    const writer = new MapBufferWriter({ ...options, onProgress: (progress) => seen.push(progress) })
    await written<Pair>(sorted ? pairs : shuffled(pairs), writer)
    const last = (phase: string) => seen.filter((progress) => progress.phase === phase).at(-1)
    t.like(last('take'), { done: 2000, bytes: 1_000_000 }, way)
    t.like(last('write'), { done: 2000, total: 2000, bytes: 1_008_000 }, way)
    t.is(last('take')?.total, options.count, way)
    for (const phase of ['take', 'write']) {
      const times = seen.filter((progress) => progress.phase === phase).map(({ elapsedMs }) => elapsedMs)
      times.slice(0, -1).forEach((time, i) => {
        t.true(time - (times[i - 1] ?? 0) >= 99, `${way}: ${times}`)
      })
    }
  }
})

test.serial('the event loop gets its turns while a source that never waits is written', async (t) => {
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  let taken = 0
  function* source<V>(of: V): Generator<readonly [Label, V]> {
    for (let i = 0; i < 200_000; i++) yield [(i * 7919) % 200_003, of]
    taken = ticks
  }
  for (const run of [
    () => written(source(new Uint8Array(100)), new MapBufferWriter()),
    () => written(source<Label>(1), new IntMapWriter()),
  ]) {
    ticks = 0
    t.true((await run()).length > 3_200_000)
    t.true(taken >= 3, `${taken} ticks while entries came`)
  }
  clearInterval(timer)
})

test.serial('it is a stream among streams: pipe, pump, loops, batches, Node, Web', async (t) => {
  const pairs = shuffled(Array.from({ length: 500 }, (_, i): [number, Uint8Array] => [i, new Uint8Array(2000).fill(i)]))
  const expected = MapBuffer.from(new Map(pairs)).toBytes()
  const same = async (bytes: Promise<Buffer>, way: string): Promise<void> => {
    t.true((await within(bytes, way)).equals(expected), way)
  }
  const make = (): MapBufferWriter => new MapBufferWriter({ memory: 100_000 })

  await same(collect(readable<Pair>(pairs).pipe(make())), 'pipe of ours')
  await same(collect(NodeReadable.from(pairs).pipe(make())), "Node's pipe")
  const pumped = make()
  const pumping = pump<Pair>(pairs, pumped)
  await same(collect(pumped), 'pump')
  await pumping
  const batched = make()
  void pump<Pair>(pairs, batched)
  const all: Uint8Array[] = []
  for await (const batch of batched.batches()) all.push(...batch)
  await same(Promise.resolve(Buffer.concat(all)), 'batches')
  await same(collect(NodeReadable.from(pairs).pipe(make().toNode())), 'toNode')
  const web = make().toWeb()
  await same(collect(NodeReadable.toWeb(NodeReadable.from(pairs)).pipeThrough(web as never) as never), 'toWeb')
  const events = make()
  const parts: Uint8Array[] = []
  events.on('data', (chunk) => parts.push(chunk))
  const ends = watch(events)
  void pump<Pair>(pairs, events)
  await within(ends.closed, 'events')
  t.deepEqual([ends.errors, ends.counts], [[], { end: 1, finish: 1, close: 1 }])
  await same(Promise.resolve(Buffer.concat(parts)), 'events')
})

test.serial('no output before the input has ended; a slow reader makes it stop reading its file', async (t) => {
  const writer = new MapBufferWriter({ memory: 300_000 })
  let source = 0
  for (const [label, bytes] of endless(10_000)) {
    if (source++ === 500) break
    if (!writer.write([label, bytes])) await within(new Promise<void>((go) => writer.once('drain', go)), 'drain')
  }
  const reader = writer[Symbol.asyncIterator]()
  const first = reader.next()
  await settle(10)
  t.is(writer.stats.bytes, 0)
  t.is(writer.stats.mode, 'spool')
  writer.end()
  t.false((await within(first, 'the first chunk')).done === true)
  // One chunk is with the reader, the others wait for it.
  for (let i = 0; i < 400 && writer.stats.bytes < 2 ** 20 + CHUNK; i++) await wait(5)
  await settle(50)
  t.is(writer.stats.bytes, 2 ** 20 + CHUNK)
  let rest = 1
  while (!(await within(reader.next(), 'the next chunk')).done) rest++
  t.true(rest >= 20)
  t.is(writer.stats.bytes, 16 + 500 * 10_020)
})

test.serial('a source that is faster than the temporary file is made to wait', async (t) => {
  for (const [options, most] of [
    [{ memory: 65_536 }, 40],
    [{ sorted: true, count: 10_000 }, 300],
  ] as const) {
    const dir = folder()
    const writer = new MapBufferWriter({ ...options, dir })
    let refused = 0
    for (let i = 0; i < 2000 && refused === 0; i++) {
      if (!writer.write([i, new Uint8Array(10_000)])) refused = i
    }
    t.true(refused > 0 && refused < most, `${refused} entries of 10 KB`)
    t.true(writer.writableNeedDrain)
    await within(new Promise<void>((go) => writer.once('drain', go)), 'drain')
    t.true(writer.write([9999, value]))
    // Of a large value no more is copied than there is memory for.
    const large = new Uint8Array(2 ** 25)
    const before = process.memoryUsage().arrayBuffers
    t.false(writer.write([20_000, large]))
    t.true(process.memoryUsage().arrayBuffers - before < 2 ** 21)
    await writer[Symbol.asyncDispose]()
    nothingLeft(t, dir, 'disposed')
  }
})

test.serial('write after end, and an entry at the end', async (t) => {
  const writer = new MapBufferWriter()
  const ends = watch(writer)
  writer.end([1, value])
  t.false(writer.writable)
  writer.write([2, value])
  await within(ends.closed, 'closed')
  t.deepEqual(ends.errors.map(codeOf), ['MILL_WRITE_AFTER_END'])
  const good = new MapBufferWriter()
  good.end([1, value])
  t.is(new MapBuffer(await collect(good)).size, 1)
})

test.serial('errors are ours', async (t) => {
  const error = await failure(written([[-1, value] as const], new MapBufferWriter()))
  t.true(isMillraceError(error, 'MILL_BAD_LABEL'))
})
