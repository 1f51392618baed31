import { Readable as NodeReadable, Writable as NodeWritable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import {
  type Codec,
  IntMap,
  isMillraceError,
  type Label,
  loadCodec,
  MapBuffer,
  MapBufferParser,
  MapBufferWriter,
  type ParserOptions,
  registerCodec,
  type Serializer,
} from '../lib/mapbuffer/index.js'
import { pump, readable } from '../lib/streams/index.js'
import { bytesOf, isValid, vectors } from './fixtures/mapbuffer-vectors.js'
import {
  abortKit,
  codeOf,
  collectGarbage,
  failure,
  gather,
  gatherUntilError,
  settle,
  watch,
  within,
} from './fixtures/stream-kit.js'

type Entry = [Label, Uint8Array]

const CODECS = ['gzip', 'br', 'zstd', 'lzma'] as const
const loadCodecs = async (): Promise<void> => {
  for (const name of CODECS) await loadCodec(name)
}

/** The bytes in pieces of that many, or in pieces of these sizes, over and over; at least one byte each round. */
function* cut(bytes: Uint8Array, ...sizes: number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = i % sizes.length === 0 ? Math.max(1, sizes[0] as number) : (sizes[i % sizes.length] as number)
    yield bytes.subarray(at, at + size)
    at += size
  }
}

/** What the parser gives for these pieces, and how it ends. */
async function parse(
  pieces: Iterable<Uint8Array>,
  options: ParserOptions = {},
): Promise<{ entries: Entry[]; code: unknown; error: unknown }> {
  const parser = new MapBufferParser(options)
  const pumped = pump(pieces, parser).catch(() => {})
  const { items, error } = await within(gatherUntilError<Entry>(parser), 'the parser')
  await within(pumped, 'the source')
  return { entries: items, code: error === undefined ? undefined : codeOf(error), error }
}

const text = (entries: Iterable<readonly [Label, Uint8Array]>): string[] =>
  [...entries].map(([label, value]) => `${label}: ${Buffer.from(value).toString('base64')}`)

/** What a map in memory gives of the same file until it fails: the model of the parser. */
function model(bytes: Uint8Array, options: ParserOptions): { entries: string[]; code: unknown } {
  const entries: string[] = []
  try {
    for (const entry of new MapBuffer(bytes, options)) entries.push(...text([entry]))
    return { entries, code: undefined }
  } catch (error) {
    return { entries, code: codeOf(error) }
  }
}

const file = (pairs: Iterable<readonly [Label, Uint8Array]>, options: object = {}): Uint8Array =>
  MapBuffer.from(new Map(pairs), options).toBytes()

/** Six entries: an empty value, short ones, and one of 300 bytes. */
const small: [Label, Uint8Array][] = [
  [3, new Uint8Array(0)],
  [2n ** 63n, Buffer.from('beyond')],
  [70000, new Uint8Array(300).fill(7)],
  [5, Buffer.from('five')],
  [2 ** 40, Buffer.from('forty')],
  [1, Buffer.from('the root is not the first')],
]
const labelsOf = (bytes: Uint8Array): Label[] => [...new MapBuffer(bytes).keys()]

// ---- what comes out -------------------------------------------------------------------------------------------------

test.serial('any file in any pieces: the entries of the map in memory, in file order', async (t) => {
  await loadCodecs()
  const label = fc.oneof(fc.nat(100), fc.maxSafeNat(), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(label, fc.uint8Array({ maxLength: 200 })), { maxLength: 30 }),
      fc.array(fc.oneof(fc.nat(90), fc.nat(2000)), { minLength: 1, maxLength: 6 }),
      fc.record({ crc: fc.boolean(), compress: fc.constantFrom('none', ...CODECS) }),
      fc.boolean(),
      async (pairs, sizes, options, bigint) => {
        const bytes = file(
          pairs.map(([key, value]) => [BigInt(key), value]),
          options,
        )
        const { entries, code } = await parse(cut(bytes, ...sizes), { bigint })
        t.is(code, undefined)
        t.deepEqual(text(entries), text(new MapBuffer(bytes, { bigint })))
        t.true(entries.every(([key]) => typeof key === (bigint || key > Number.MAX_SAFE_INTEGER ? 'bigint' : 'number')))
      },
    ),
    { numRuns: 100 },
  )
})

test.serial('byte by byte, with nothing in between, and all at once: the same entries, of every codec', async (t) => {
  await loadCodecs()
  for (const compress of ['none', ...CODECS]) {
    for (const crc of [true, false]) {
      const bytes = file(small, { compress, crc })
      const expected = text(new MapBuffer(bytes))
      for (const sizes of [[1], [1, 0, 0], [16, 0], [bytes.length - 1, 1], [bytes.length]]) {
        const { entries, code } = await parse(cut(bytes, ...sizes))
        t.deepEqual([code, text(entries)], [undefined, expected], `${compress} ${sizes}`)
      }
    }
  }
})

test.serial('entries come as soon as their bytes are there; the last one at the end', async (t) => {
  const bytes = file(small)
  const parser = new MapBufferParser()
  const reader = parser[Symbol.asyncIterator]()
  const seen: Label[] = []
  const reading = (async () => {
    for (let next = await reader.next(); !next.done; next = await reader.next()) seen.push((next.value as Entry)[0])
  })()
  const order = labelsOf(bytes)
  const map = new MapBuffer(bytes)
  t.is(parser.header, undefined)
  for (let at = 0; at < bytes.length; at++) {
    parser.write(bytes.subarray(at, at + 1))
    if (at === 14) t.is(parser.header, undefined)
    if (at === 15) t.deepEqual(parser.header, { version: 1, compression: 'none', size: 6 })
    await settle(2)
    const whole = order.filter(
      (label, i) => i < 5 && (map.locate(label)?.offset ?? 0) + (map.locate(label)?.length ?? 0) + 4 <= at + 1,
    )
    t.deepEqual(seen, whole, `byte ${at}`)
  }
  parser.end()
  await within(reading, 'the last entry')
  t.deepEqual(seen, order)
})

test.serial('a value that came in one chunk is a view of it, one that came in two is memory of its own', async (t) => {
  const bytes = file(small)
  const { offset = 0, length = 0 } = new MapBuffer(bytes).locate(70000) ?? {}
  const whole = new Map((await parse([bytes])).entries).get(70000)
  t.is(whole?.buffer, bytes.buffer)
  t.is(whole?.byteOffset, bytes.byteOffset + offset)
  const halves = new Map((await parse(cut(bytes, offset + 100, bytes.length))).entries).get(70000)
  t.not(halves?.buffer, bytes.buffer)
  t.is(halves?.length, length)
  t.is(halves?.constructor, Uint8Array)
  t.is(new Map((await parse([Buffer.from(bytes)])).entries).get(70000)?.constructor, Uint8Array)
})

test.serial('the index does not change when its chunk does', async (t) => {
  const bytes = file(small)
  const start = 16 + 16 * small.length
  const index = bytes.slice(0, start)
  const parser = new MapBufferParser()
  parser.write(index)
  index.fill(0)
  parser.end(bytes.subarray(start))
  t.deepEqual(text(await within(gather<Entry>(parser), 'all')), text(new MapBuffer(bytes)))
})

test.serial('labels: only those come, whatever the pieces, and the rest is dropped', async (t) => {
  const pairs = Array.from({ length: 500 }, (_, i): Entry => [i * 3, new Uint8Array(i % 40).fill(i)])
  const bytes = file(pairs)
  const map = new MapBuffer(bytes)
  const asked: Label[][] = [[], [0], [4], [3n, 3, 300], [1497, 5, 0, 2n ** 64n - 1n], pairs.map(([label]) => label)]
  for (const labels of asked) {
    const wanted = new Set(labels.map(BigInt))
    const expected = text([...map].filter(([label]) => wanted.has(BigInt(label))))
    for (const sizes of [[bytes.length], [1000], [16, 7, 100], [1]]) {
      const { entries, code } = await parse(cut(bytes, ...sizes), { labels: new Set(labels) })
      t.is(code, undefined)
      t.deepEqual(text(entries), expected)
    }
  }
  // The damage of a value that nobody wants is nobody's business; that the file is cut is.
  const spoilt = bytes.slice()
  spoilt[map.locate(300)?.offset ?? 0] = 255
  t.is((await parse([spoilt], { labels: [3] })).code, undefined)
  t.is((await parse([spoilt], { labels: [300] })).code, 'MILL_BAD_CRC')
  const [first = 0] = map.keys()
  const part = bytes.subarray(0, 9000)
  t.is((await parse([part], { labels: [first] })).code, 'MILL_TRUNCATED_DATA')
  t.like(await parse([part], { labels: [first], strict: false }), { code: undefined, entries: { length: 1 } })
})

test.serial('values by a serializer, and its errors', async (t) => {
  const json: Serializer<unknown> = {
    name: 'json',
    encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
    decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
  }
  const bytes = file([
    [1, Buffer.from('{"a":1}')],
    [2, Buffer.from('broken')],
  ])
  const parser = new MapBufferParser({ serializer: json })
  parser.end(bytes)
  const { items, error } = await gatherUntilError(parser)
  t.deepEqual([items, codeOf(error)], [[], 'MILL_BAD_VALUE'])
  const one = new MapBufferParser<unknown>({ serializer: json, labels: [1] })
  one.end(bytes)
  t.deepEqual(await gather(one), [[1, { a: 1 }]])
})

test.serial('what the writer writes', async (t) => {
  for (const compress of ['none', ...CODECS]) {
    const pairs = Array.from({ length: 200 }, (_, i): Entry => [i ** 3, new Uint8Array(i * 5).fill(i)])
    const found = new Map<Label, Uint8Array>()
    await within(
      pipeline(pairs, new MapBufferWriter({ compress }), new MapBufferParser(), async (entries) => {
        for await (const [label, value] of entries as AsyncIterable<Entry>) found.set(label, value)
      }),
      compress,
    )
    t.is(found.size, 200)
    for (const [label, value] of pairs) t.deepEqual(found.get(label), value)
  }
})

// ---- files that are damaged -------------------------------------------------------------------------------------------

/** Files of every kind that are small enough to be cut, or spoilt, everywhere. */
const kinds: [string, Uint8Array][] = [
  ['version 1', file(small)],
  ['version 0', file(small, { crc: false })],
  ['gzip', file(small, { compress: 'gzip' })],
  ['gzip, version 0', file(small, { compress: 'gzip', crc: false })],
  ['empty', file([])],
  ['one value', file([[9, Buffer.from('nine')]])],
]

async function agree(t: ExecutionContext, bytes: Uint8Array, sizes: number[], what: string): Promise<void> {
  for (const strict of [true, false]) {
    const { entries, code, error } = await parse(cut(bytes, ...sizes), { strict })
    const expected = model(bytes, { strict })
    const given = text(entries)
    if (code !== undefined && !isMillraceError(error)) t.fail(`${what}: ${String(error)} is not ours`)
    if (strict && expected.code !== undefined && code === undefined)
      t.fail(`${what}: nothing is wrong, says the parser`)
    if (expected.code === undefined) {
      // What a map reads from anywhere, a stream can read in one pass only if it lies in order.
      if (code === undefined) t.deepEqual(given, expected.entries, what)
      else if (strict || code !== 'MILL_BAD_OFFSETS') t.fail(`${what}: ${code}, but a map can read it`)
    } else if (expected.entries.length > 0) {
      const { length } = given
      t.deepEqual(given, expected.entries.slice(0, length), what)
    } else if (strict && given.length > 0) {
      // A fault the end of the file shows comes last: what came before it is right.
      const before = model(bytes, { strict: false }).entries
      t.deepEqual(given, before.slice(0, given.length), what)
    }
  }
}

for (const [kind, bytes] of kinds) {
  test.serial(`${kind}: cut at every byte`, async (t) => {
    const whole = text(new MapBuffer(bytes))
    for (let length = 0; length < bytes.length; length++) {
      const what = `${length} of ${bytes.length} bytes`
      const part = bytes.subarray(0, length)
      await agree(t, part, [64], what)
      const { entries, code } = await parse(cut(part, 50))
      const given = text(entries)
      // Without checksums and compression nothing shows that the last value goes on.
      const shows = code !== undefined || (kind === 'version 0' && given.length === whole.length)
      t.true(shows, what)
      if (code !== undefined) t.deepEqual(given, whole.slice(0, given.length), what)
      else t.deepEqual(given.slice(0, -1), whole.slice(0, -1), what)
      if (code === undefined) t.true((whole.at(-1) as string).startsWith((given.at(-1) as string).slice(0, -4)), what)
    }
  })

  test.serial(`${kind}: every bit of header and index spoilt`, async (t) => {
    const end = Math.min(bytes.length, 16 + 16 * small.length + 8)
    for (let bit = 0; bit < end * 8; bit++) {
      const spoilt = bytes.slice()
      spoilt[bit >>> 3] = (spoilt[bit >>> 3] as number) ^ (1 << (bit & 7))
      await agree(t, spoilt, [40], `bit ${bit}`)
    }
    t.pass()
  })
}

test.serial('a count and lengths that are only claimed cost nothing', async (t) => {
  const header = file([]).slice()
  header.fill(255, 12, 16)
  t.is((await parse([header])).code, 'MILL_TRUNCATED_INDEX')
  const bytes = file(small).slice()
  // The second value begins 2^52 bytes behind the first.
  bytes[16 + 16 + 14] = 16
  t.is((await parse([bytes], { strict: false, labels: labelsOf(file(small)).slice(0, 1) })).code, 'MILL_TOO_LARGE')
  const before = process.memoryUsage().arrayBuffers
  const parser = new MapBufferParser()
  parser.on('error', () => {})
  parser.write(header)
  for (let i = 0; i < 64; i++) parser.write(new Uint8Array(1000))
  t.true(process.memoryUsage().arrayBuffers - before < 2 ** 20)
  parser.destroy()
})

test.serial('maxIndexBytes is passed when so many bytes have come', async (t) => {
  const bytes = file(Array.from({ length: 100 }, (_, i): Entry => [i, new Uint8Array(3)]))
  t.is((await parse(cut(bytes, 100), { maxIndexBytes: 1600 })).code, undefined)
  for (const sizes of [[bytes.length], [100], [1]]) {
    const { code, error } = await parse(cut(bytes, ...sizes), { maxIndexBytes: 1599 })
    t.is(code, 'MILL_TOO_LARGE')
    t.like(error as object, { length: 1600, limit: 1599 })
  }
  const endless = bytes.slice()
  endless.fill(255, 12, 16)
  let given = 0
  function* zeros(): Generator<Uint8Array> {
    yield endless
    for (;;) {
      given += 10_000
      yield new Uint8Array(10_000)
    }
  }
  t.is((await parse(zeros(), { maxIndexBytes: 100_000 })).code, 'MILL_TOO_LARGE')
  t.true(given < 300_000, `${given}`)
})

test.serial(
  'maxValueBytes holds for stored and for decoded bytes, of the last value too, whose length is not known',
  async (t) => {
    const bytes = file([
      [1, new Uint8Array(500)],
      [2, new Uint8Array(200)],
    ])
    // Value 2 is the root, and first; value 1 is the last of the file.
    t.deepEqual(labelsOf(bytes), [2, 1])
    for (const sizes of [[bytes.length], [30]]) {
      t.is((await parse(cut(bytes, ...sizes), { maxValueBytes: 500 })).code, undefined)
      const last = await parse(cut(bytes, ...sizes), { maxValueBytes: 499 })
      t.deepEqual([last.code, last.entries.length], ['MILL_TOO_LARGE', 1])
      t.is((await parse(cut(bytes, ...sizes), { maxValueBytes: 199 })).code, 'MILL_TOO_LARGE')
      t.is((await parse(cut(bytes, ...sizes), { maxValueBytes: 199, labels: [5] })).code, undefined)
    }
    let given = 0
    function* endless(): Generator<Uint8Array> {
      yield bytes
      for (;;) {
        given += 1000
        yield new Uint8Array(1000)
      }
    }
    t.is((await parse(endless(), { maxValueBytes: 10_000 })).code, 'MILL_TOO_LARGE')
    t.true(given < 100_000)
    await loadCodecs()
    const bombs = vectors().filter((vector) => isValid(vector) && vector.file.startsWith('u-bomb-'))
    t.is(bombs.length, 4)
    for (const bomb of bombs) {
      t.is((await parse(cut(bytesOf(bomb), 1000), { maxValueBytes: 2 ** 20 })).code, 'MILL_TOO_LARGE', bomb.file)
    }
  },
)

test.serial('the last value, however large the chunk it came in, is refused before it is copied', async (t) => {
  const bytes = file([[1, new Uint8Array(2 ** 26)]])
  const before = process.memoryUsage().arrayBuffers
  const parser = new MapBufferParser({ maxValueBytes: 2 ** 20 })
  const ends = watch(parser)
  parser.write(bytes)
  t.true(process.memoryUsage().arrayBuffers - before < 2 ** 20)
  await within(ends.closed, 'closed')
  t.deepEqual(ends.errors.map(codeOf), ['MILL_TOO_LARGE'])
  t.like(ends.errors[0] as object, { label: 1, position: 0, length: 2 ** 26, limit: 2 ** 20 })
})

test.serial('a codec that cannot be loaded ends it at the first value, and only where one is wanted', async (t) => {
  const flip: Codec = { name: 'odd', encode: (data) => data.map((byte) => byte ^ 255), decode: (data) => data }
  const bytes = file(small, { compress: flip })
  t.is((await parse([bytes])).code, 'MILL_BAD_COMPRESSION')
  const missing = new Error('not installed')
  registerCodec('odd', () => Promise.reject(missing))
  const parser = new MapBufferParser()
  parser.end(bytes)
  const { items, error } = await within(gatherUntilError(parser), 'all')
  t.deepEqual([items, error], [[], missing])
  t.deepEqual(parser.header, { version: 1, compression: 'odd', size: small.length })
  t.is((await parse(cut(bytes, 50), { labels: [4] })).code, undefined)
})

test.serial('what is no MapBuffer is told from its first bytes', async (t) => {
  const other = IntMap.from([[1, 2]]).toBytes()
  t.is((await parse(cut(other, 3))).code, 'MILL_BAD_MAGIC')
  // Not at its end: a source without one would go on for ever.
  function* zeros(): Generator<Uint8Array> {
    for (;;) yield new Uint8Array(1000)
  }
  t.is((await parse(zeros())).code, 'MILL_BAD_MAGIC')
  t.is((await parse([])).code, 'MILL_TRUNCATED_HEADER')
})

test.serial('bytes behind an empty map', async (t) => {
  const bytes = Buffer.concat([file([]), Buffer.from('x')])
  const { code, error } = await parse([bytes])
  t.is(code, 'MILL_TRAILING_DATA')
  t.like(error as object, { expected: 16 })
  t.is((await parse([bytes], { strict: false })).code, undefined)
})

test.serial('values behind a gap are read where that is allowed, values that lie before others never', async (t) => {
  const gap = vectors().find((vector) => vector.file === 'u-gap-before-data.mb')
  t.truthy(gap)
  if (gap === undefined) return
  const bytes = bytesOf(gap)
  t.is((await parse(cut(bytes, 7))).code, 'MILL_BAD_OFFSETS')
  const { entries, code } = await parse(cut(bytes, 7), { strict: false })
  t.is(code, undefined)
  t.deepEqual(text(entries), text(new MapBuffer(bytes, { strict: false })))
  // The offset of the third row becomes that of the first: read one by one these are values with wrong checksums.
  const back = file(small).slice()
  back.copyWithin(16 + 32 + 8, 16 + 8, 16 + 16)
  const [a = 0, , c = 0] = labelsOf(file(small))
  const { entries: before, code: fault, error } = await parse([back], { strict: false, labels: [a, c] })
  t.deepEqual([before.length, fault], [1, 'MILL_BAD_OFFSETS'])
  t.like(error as object, { position: 2, label: c })
})

test.serial('wrong options and wrong labels are refused at once', (t) => {
  for (const options of [
    { maxIndexBytes: -1 },
    { maxIndexBytes: '1' },
    { maxValueBytes: Number.NaN },
    { labels: 5 },
    { labels: null },
    { strict: 1 },
    { crc: 0 },
    { serializer: {} },
    { signal: 1 },
  ]) {
    t.throws(() => new MapBufferParser(options as object), { code: 'MILL_INVALID_ARGUMENT' }, JSON.stringify(options))
  }
  for (const label of [-1, 1.5, Number.NaN, 2 ** 53, -1n, 2n ** 64n, '5', null]) {
    t.throws(() => new MapBufferParser({ labels: [label as Label] }), { code: 'MILL_BAD_LABEL' })
  }
})

test.serial('what is written must be bytes', async (t) => {
  for (const item of [5, {}, [1]]) {
    const parser = new MapBufferParser()
    const ends = watch(parser)
    parser.write(item as never)
    await within(ends.closed, 'closed')
    t.deepEqual(ends.errors.map(codeOf), ['MILL_UNSUPPORTED_ITEM'])
  }
  const parser = new MapBufferParser()
  parser.write(file(small).buffer as never)
  parser.end()
  t.is((await gather(parser)).length, small.length)
})

// ---- streams ------------------------------------------------------------------------------------------------------------

/** A file of 8 MB in pieces of 10 KB; counts what was asked of it. */
function large(): { source: Generator<Uint8Array>; given(): number; stopped(): boolean; bytes: Uint8Array } {
  const bytes = file(Array.from({ length: 2000 }, (_, i): Entry => [i, new Uint8Array(4000).fill(i)]))
  let given = 0
  let stopped = false
  function* source(): Generator<Uint8Array> {
    try {
      for (const piece of cut(bytes, 10_000)) {
        given += piece.length
        yield piece
      }
    } finally {
      stopped = true
    }
  }
  return { source: source(), given: () => given, stopped: () => stopped, bytes }
}

test.serial('a slow reader stops the source', async (t) => {
  const { source, given, bytes } = large()
  const parser = new MapBufferParser()
  const pumped = pump(source, parser)
  const reader = parser[Symbol.asyncIterator]()
  t.false((await within(reader.next(), 'the first entry')).done === true)
  await settle(50)
  const before = given()
  // A mark of 1 MiB, what pump reads ahead, and a piece.
  t.true(before < 2 ** 20 + 200_000, `${before} bytes were taken in`)
  await settle(50)
  t.is(given(), before)
  let rest = 1
  for (let next = await reader.next(); !next.done; next = await reader.next()) rest++
  await within(pumped, 'the source')
  t.is(rest, 2000)
  t.is(given(), bytes.length)
})

test.serial('a slow reader stops the source, too, where a few bytes of each chunk are wanted', async (t) => {
  // In the order of the file, which has one small value among seven large ones.
  const order = labelsOf(file(Array.from({ length: 4000 }, (_, i): Entry => [i, new Uint8Array(0)])))
  const bytes = file(order.map((label, i): Entry => [label, new Uint8Array(i % 8 === 0 ? 10 : 4000)]))
  const labels = order.filter((_, i) => i % 8 === 0)
  for (const size of [10_000, 65_536, bytes.length]) {
    let given = 0
    function* source(): Generator<Uint8Array> {
      for (const piece of cut(bytes, size)) {
        given += piece.length
        yield piece.slice()
      }
    }
    const parser = new MapBufferParser({ labels })
    const pumped = pump(source(), parser)
    const reader = parser[Symbol.asyncIterator]()
    t.false((await within(reader.next(), 'the first entry')).done === true)
    await settle(50)
    // Each of the values that wait keeps the chunk alive that it is a view of: of these there is at most 1 MiB.
    const apart = bytes.length / labels.length
    if (size < bytes.length) {
      t.true(given < 2 ** 20 * Math.max(1, apart / size) + 300_000, `${given} bytes were taken in`)
    }
    let rest = 1
    for (let next = await reader.next(); !next.done; next = await reader.next()) rest++
    await within(pumped, 'the source')
    t.deepEqual([rest, given], [labels.length, bytes.length])
  }
})

test.serial('nothing is kept of what has gone by', async (t) => {
  const parser = new MapBufferParser({ labels: [1] })
  parser.on('error', () => {})
  const pair: Entry[] = [
    [0, new Uint8Array(5)],
    [1, new Uint8Array(5)],
  ]
  // Label 1 is the root, and first; the value of label 0, which nobody wants, goes on and on.
  parser.write(file(pair))
  const before = process.memoryUsage().arrayBuffers
  for (let i = 0; i < 100; i++) {
    if (!parser.write(new Uint8Array(2 ** 20))) {
      await within(new Promise<void>((go) => parser.once('drain', go)), 'drain')
    }
  }
  for (let i = 0; i < 4; i++) {
    collectGarbage()
    await settle(5)
  }
  const kept = process.memoryUsage().arrayBuffers - before
  t.true(kept < 10 * 2 ** 20, `${kept} bytes are kept`)
  parser.destroy()
})

test.serial('the event loop gets its turns while one large chunk is worked through', async (t) => {
  const bytes = file(
    Array.from({ length: 3000 }, (_, i): Entry => [i, new Uint8Array(20_000).fill(i)]),
    { compress: 'gzip' },
  )
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  const { entries } = await parse([bytes])
  clearInterval(timer)
  t.is(entries.length, 3000)
  t.true(ticks >= 3, `${ticks} ticks`)
})

test.serial('leaving the loop, an abort, an error of the source, a destroy: both ends are closed', async (t) => {
  const reason = new Error('enough')
  const left = large()
  const early = new MapBufferParser()
  const pumped = failure(pump(left.source, early))
  for await (const [label] of early) {
    t.is(label, labelsOf(left.bytes)[0] as Label)
    break
  }
  t.is(codeOf(await pumped), 'MILL_PREMATURE_CLOSE')
  t.true(left.stopped())

  for (const moment of ['before', 'at once', 'closed', 'later'] as const) {
    const { abort, signal, live } = abortKit()
    if (moment === 'before') abort(reason)
    const { source } = large()
    const parser = new MapBufferParser({ signal })
    const ends = watch(parser)
    if (moment === 'at once' || moment === 'closed') abort(reason)
    if (moment === 'closed') await within(ends.closed, moment)
    let seen = 0
    const sink = new NodeWritable({
      objectMode: true,
      write(_entry, _encoding, done) {
        if (++seen === 100) abort(reason)
        setImmediate(done)
      },
    })
    t.is(await failure(pipeline(source, parser, sink)), reason, moment)
    await within(ends.closed, moment)
    t.is(live(), 0)
    t.is(seen, moment === 'later' ? 100 : 0)
  }

  function* broken(): Generator<Uint8Array> {
    yield* cut(left.bytes.subarray(0, 100_000), 10_000)
    throw reason
  }
  const failed = await gatherUntilError(NodeReadable.from(broken()).pipe(new MapBufferParser()))
  t.is(failed.error, reason)
  t.is(await failure(pipeline(broken(), new MapBufferParser(), async (from) => void (await gather(from)))), reason)

  const destroyed = new MapBufferParser()
  const ends = watch(destroyed)
  destroyed.write(left.bytes.subarray(0, 1000))
  destroyed.destroy()
  await within(ends.closed, 'destroyed')
  t.false(destroyed.write(left.bytes))
  t.deepEqual([ends.errors, ends.counts], [[], { end: 0, finish: 0, close: 1 }])
})

test.serial('destroyed or aborted after any number of bytes, it closes once, and gives nothing any more', async (t) => {
  for (const [kind, bytes] of kinds) {
    for (let length = 0; length <= bytes.length; length += length < 40 ? 1 : 7) {
      for (const how of ['destroy', 'abort', 'error'] as const) {
        const { abort, signal, live } = abortKit()
        const reason = new Error('enough')
        const parser = new MapBufferParser({ signal })
        const ends = watch(parser)
        let given = 0
        parser.on('data', () => given++)
        for (const piece of cut(bytes.subarray(0, length), 20)) parser.write(piece)
        if (how === 'abort') abort(reason)
        else parser.destroy(how === 'error' ? reason : undefined)
        const before = given
        await within(ends.closed, kind)
        const expected = [how === 'destroy' ? [] : [reason], { end: 0, finish: 0, close: 1 }]
        t.deepEqual([ends.errors, ends.counts], expected, `${kind}, ${how} after ${length} bytes`)
        t.deepEqual([given, live(), parser.write(bytes)], [before, 0, false])
      }
    }
  }
})

test.serial('it is a stream among streams: pipe, loops, batches, Node, Web, fetch bodies', async (t) => {
  const bytes = file(small)
  const expected = text(new MapBuffer(bytes))
  const pieces = (): Generator<Uint8Array> => cut(bytes, 33)
  const same = async (entries: Promise<unknown>, way: string): Promise<void> => {
    t.deepEqual(text((await within(entries, way)) as Entry[]), expected, way)
  }
  await same(gather(readable(pieces()).pipe(new MapBufferParser())), 'pipe of ours')
  await same(gather(NodeReadable.from(pieces()).pipe(new MapBufferParser())), "Node's pipe")
  await same(gather(NodeReadable.from(pieces()).pipe(new MapBufferParser().toNode())), 'toNode')
  const response = new Response(new Uint8Array(bytes))
  await same(gather((response.body as ReadableStream<Uint8Array>).pipeThrough(new MapBufferParser().toWeb())), 'a body')
  const batched = new MapBufferParser()
  void pump(pieces(), batched)
  const all: Entry[] = []
  for await (const batch of batched.batches()) all.push(...batch)
  await same(Promise.resolve(all), 'batches')
  const events = new MapBufferParser()
  const ends = watch(events)
  const seen: Entry[] = []
  events.on('data', (entry) => seen.push(entry))
  void pump(pieces(), events)
  await within(ends.closed, 'events')
  t.deepEqual(ends.counts, { end: 1, finish: 1, close: 1 })
  await same(Promise.resolve(seen), 'events')
})
