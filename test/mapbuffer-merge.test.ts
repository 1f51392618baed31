import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import {
  type AnyMap,
  type Codec,
  type Label,
  MapBuffer,
  type MergeOptions,
  merge,
  openMapBuffer,
  openMapBufferSync,
  type Progress,
  registerCodec,
  transcode,
} from '../lib/mapbuffer/index.js'
import { countRounds, farSource, fileOf, someLabels, valueFor } from './fixtures/map-data.js'
import { abortKit, codeOf, collect, failure, gather, gatherUntilError, settle, within } from './fixtures/stream-kit.js'

const codeFrom = async (fn: () => unknown): Promise<unknown> => codeOf(await failure(fn))
const fileFrom = async (stream: AsyncIterable<Uint8Array>): Promise<Uint8Array> =>
  new Uint8Array(await within(collect(stream), 'the stream', 20_000))
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
const json = {
  name: 'json',
  encode: (value: number) => bytesOf(JSON.stringify(value)),
  decode: (bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes)) as number,
}

/** Costs nothing, but what it makes is made anew. */
const copy: Codec = { name: 'copy', encode: (data) => data.slice(), decode: (data) => data.slice() }

/** Equal bytes. `deepEqual` would take seconds for a few MB. */
function same(t: ExecutionContext, a: Uint8Array, b: Uint8Array, what?: string): void {
  t.true(Buffer.compare(a, b) === 0, what)
}

async function folderFor(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

// One after the other: what a test waits for has a time-out, and should not have to wait for the other tests' work too.

const anyLabel = fc
  .bigInt(0n, 2n ** 64n - 1n)
  .map((label) => (label <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(label) : label))
const anyEntries = fc.uniqueArray(fc.tuple(anyLabel, fc.uint8Array({ maxLength: 60 })), {
  maxLength: 150,
  selector: ([label]) => label,
})

test.serial('a merge of parts is the map of the whole, byte for byte, from whatever the parts are read', async (t) => {
  const path = join(await folderFor(t), 'part.mb')
  const property = fc.asyncProperty(
    anyEntries,
    fc.array(fc.nat(4), { minLength: 150, maxLength: 150 }),
    fc.array(fc.record({ crc: fc.boolean(), kind: fc.nat(3) }), { minLength: 5, maxLength: 5 }),
    fc.constantFrom('none', 'gzip'),
    fc.option(fc.boolean(), { nil: undefined }),
    fc.constantFrom(1, 200, 4096, undefined),
    async (entries, places, parts, compress, crc, memory) => {
      const maps: AnyMap<Uint8Array>[] = []
      for (const [i, part] of parts.entries()) {
        const own = entries.filter((_, at) => places[at] === i)
        const bytes = MapBuffer.from(own, { compress, crc: part.crc }).toBytes()
        if (part.kind === 0) maps.push(new MapBuffer(bytes))
        else if (part.kind === 1) maps.push(await openMapBuffer(farSource(bytes), { gap: 10, span: 100 }))
        else if (part.kind === 2) maps.push(await openMapBuffer(farSource(bytes), { index: 'lazy', readAhead: 1024 }))
        else {
          await writeFile(`${path}${i}`, bytes)
          maps.push(openMapBufferSync(`${path}${i}`))
        }
      }
      const options = { ...(crc !== undefined && { crc }), ...(memory !== undefined && { memory }) }
      const whole = MapBuffer.from(entries, { compress, crc: crc ?? parts[0]?.crc === true })
      same(t, await fileFrom(merge(maps, options)), whole.toBytes())
      const even = (label: Label): boolean => BigInt(label) % 2n === 0n
      const some = MapBuffer.from(
        entries.filter(([label]) => even(label)),
        { compress, crc: crc ?? parts[0]?.crc === true },
      )
      same(t, await fileFrom(merge(maps, { ...options, select: even })), some.toBytes())
      for (const map of maps) await map.close()
    },
  )
  await within(fc.assert(property, { numRuns: 40 }), 'the property', 60_000)
})

test.serial('none to every codec and back gives the same bytes', async (t) => {
  const whole = fileOf(someLabels(500), 200)
  for (const compress of ['gzip', 'br', 'zstd', 'lzma']) {
    const packed = await fileFrom(
      transcode(new MapBuffer(whole), { compress, ...(compress === 'lzma' && { level: 0 }) }),
    )
    await using far = await openMapBuffer(packed)
    t.is(far.compression, compress)
    t.true((await far.verify({ decode: true })).ok)
    same(t, await fileFrom(transcode(far, { compress: 'none' })), whole, compress)
    const plain = await fileFrom(transcode(far, { crc: false }))
    t.is(new MapBuffer(plain).version, 0)
    same(t, await fileFrom(transcode(new MapBuffer(plain), { crc: true })), packed, compress)
  }
})

test.serial('a label in several maps: an error, the first, the last, or one value of them all', async (t) => {
  const entries = (values: [Label, number][]) => MapBuffer.from(values, { serializer: json })
  const big = 2n ** 64n - 1n
  const one = entries([
    [1, 10],
    [2, 20],
    [big, 1],
  ])
  const two = entries([
    [2, 21],
    [3, 31],
    [big, 2],
  ])
  const three = await openMapBuffer(
    entries([
      [2, 22],
      [4, 42],
      [big, 3],
    ]).toBytes(),
    { serializer: json },
  )
  const maps = [one, two, three]
  const merged = async (options: MergeOptions<number>): Promise<[Label, number][]> => {
    const map = new MapBuffer(await fileFrom(merge(maps, options)), { serializer: json })
    return [...map.entries({})]
  }
  t.like(await failure(fileFrom(merge(maps))), { code: 'MILL_DUPLICATE_LABEL', label: 2 })
  t.is(await codeFrom(() => fileFrom(merge([one, one], { duplicates: 'error' }))), 'MILL_DUPLICATE_LABEL')
  t.deepEqual(await merged({ duplicates: 'first' }), [
    [1, 10],
    [2, 20],
    [3, 31],
    [4, 42],
    [big, 1],
  ])
  t.deepEqual(await merged({ duplicates: 'last' }), [
    [1, 10],
    [2, 22],
    [3, 31],
    [4, 42],
    [big, 3],
  ])
  const asked: [Label, number[]][] = []
  const sum = (label: Label, values: number[]): number => {
    asked.push([label, values])
    return values.reduce((a, b) => a + b)
  }
  t.deepEqual(await merged({ duplicates: sum }), [
    [1, 10],
    [2, 63],
    [3, 31],
    [4, 42],
    [big, 6],
  ])
  t.deepEqual(asked, [
    [2, [20, 21, 22]],
    [big, [1, 2, 3]],
  ])
  t.deepEqual(await merged({ duplicates: sum, select: (label) => label !== big && label !== 2 }), [
    [1, 10],
    [3, 31],
    [4, 42],
  ])
  t.is(asked.length, 2, 'nothing is combined that is left out')
  t.deepEqual(await merged({ select: (label) => label === 3 || label === 4 }), [
    [3, 31],
    [4, 42],
  ])
  const wrong = new Error('cannot add')
  const fails = (): number => {
    throw wrong
  }
  t.is(await failure(fileFrom(merge(maps, { duplicates: fails }))), wrong)
  t.is(await failure(fileFrom(merge(maps, { select: fails as unknown as () => boolean }))), wrong)
})

test.serial('values keep their bytes unless compression, level or serializer ask for others', async (t) => {
  const labels = someLabels(50)
  let encoded = 0
  let decoded = 0
  const codec: Codec = {
    name: 'own',
    encode: (data) => {
      encoded++
      return data.slice().reverse()
    },
    decode: (data) => {
      decoded++
      return data.slice().reverse()
    },
  }
  const map = MapBuffer.from(
    labels.map((label): [number, Uint8Array] => [label, valueFor(label, 20)]),
    { compress: codec },
  )
  encoded = 0
  same(t, await fileFrom(transcode(map)), map.toBytes(), 'a codec that nobody registered is not needed for it')
  t.deepEqual([encoded, decoded], [0, 0])
  await fileFrom(transcode(map, { compress: codec }))
  t.deepEqual([encoded, decoded], [50, 50], 'who passes a codec wants it used')
  same(t, await fileFrom(transcode(map, { compress: 'none' })), fileOf(labels, 20))
  t.is(decoded, 100)

  const packed = fileOf(labels, 2000, { compress: 'gzip', level: 1 })
  same(t, await fileFrom(transcode(new MapBuffer(packed))), packed)
  same(
    t,
    await fileFrom(transcode(new MapBuffer(packed), { level: 9 })),
    fileOf(labels, 2000, { compress: 'gzip', level: 9 }),
  )

  const older = fileOf(labels.slice(9, 20), 1999, { compress: 'gzip' })
  same(
    t,
    await fileFrom(merge([new MapBuffer(packed), new MapBuffer(older)], { duplicates: 'first' })),
    packed,
    'one of several is no reason to encode it anew',
  )

  const numbers = MapBuffer.from([[1, 1.5]] as [number, number][], { serializer: json })
  const doubles = {
    name: 'f64',
    encode: (value: number) => new Uint8Array(new Float64Array([value]).buffer),
    decode: (bytes: Uint8Array) => new Float64Array(bytes.slice().buffer)[0] as number,
  }
  const other = MapBuffer.from([[2, 2.5]] as [number, number][], { serializer: doubles })
  const mixed = new MapBuffer(await fileFrom(merge([numbers, other])), { serializer: json })
  t.deepEqual(
    [...mixed.entries({})],
    [
      [1, 1.5],
      [2, 2.5],
    ],
    'one file, one serializer: that of the first map',
  )
  const turned = new MapBuffer(await fileFrom(transcode(numbers, { serializer: doubles })), { serializer: doubles })
  t.is(turned.get(1), 1.5)
  const packedNumbers = await fileFrom(transcode(numbers, { compress: 'gzip' }))
  t.is(new MapBuffer(packedNumbers, { serializer: json }).get(1), 1.5)
})

test.serial('nothing, empty maps, empty values, and values larger than a window', async (t) => {
  const nothing = MapBuffer.from([])
  same(t, await fileFrom(merge([])), nothing.toBytes())
  same(t, await fileFrom(merge([nothing, nothing])), nothing.toBytes())
  same(
    t,
    await fileFrom(transcode(nothing, { compress: 'gzip', crc: false })),
    MapBuffer.from([], { compress: 'gzip', crc: false }).toBytes(),
  )
  const entries: [number, Uint8Array][] = [
    [5, new Uint8Array(0)],
    [6, new Uint8Array(9_000_000).fill(6)],
    [7, new Uint8Array(300_000).fill(7)],
    [8, new Uint8Array(0)],
  ]
  const whole = MapBuffer.from(entries)
  const far = await openMapBuffer(farSource(MapBuffer.from(entries.slice(0, 2)).toBytes()))
  const rest = MapBuffer.from(entries.slice(2), { crc: false })
  const chunks = await within(gather(merge([far, rest])), 'chunks')
  same(t, Buffer.concat(chunks), whole.toBytes())
  for (const chunk of chunks) {
    t.true(chunk.length <= 262_144 && chunk.length > 0)
    t.is(chunk.buffer.byteLength, chunk.length, 'a chunk is memory of its own')
  }
})

test.serial('damage in a source ends the stream: no wrong value is copied, whichever way', async (t) => {
  const labels = someLabels(200)
  const bytes = fileOf(labels, 50, { compress: 'gzip' })
  const map = new MapBuffer(bytes)
  const location = map.locate(labels[3] as number)
  bytes[(location?.offset ?? 0) + 20] = 1 ^ (bytes[(location?.offset ?? 0) + 20] as number)
  const more = MapBuffer.from([[1, bytesOf('one')]], { compress: 'gzip' })
  for (const options of [{}, { crc: false }, { compress: 'none' }] as const) {
    for (const damaged of [new MapBuffer(bytes), await openMapBuffer(farSource(bytes))]) {
      const error = await failure(fileFrom(merge([more, damaged], options)))
      t.like(error, { code: 'MILL_BAD_CRC', label: labels[3] as number })
    }
  }
  same(t, await fileFrom(transcode(new MapBuffer(bytes, { crc: false }))), bytes, 'who asked for no checks gets none')
  const cut = fileOf(labels, 50).subarray(0, -200)
  const torn = await openMapBuffer(farSource(cut), { strict: false })
  const { items, error } = await gatherUntilError(transcode(torn))
  t.is(codeOf(error), 'MILL_TRUNCATED_DATA')
  t.deepEqual(items, [], 'no index leaves that cannot be right')
  t.is(await codeFrom(() => fileFrom(transcode(torn, { compress: 'gzip' }))), 'MILL_TRUNCATED_DATA')
})

test.serial(
  'a slow consumer stops the reading, an early end or an abort ends it, and no temporary file stays',
  async (t) => {
    const labels = someLabels(8000)
    const content = fileOf(labels, 2000)
    const dir = await folderFor(t)
    for (const options of [{ memory: 300_000 }, { compress: copy, memory: 300_000, dir }]) {
      const far = farSource(content)
      const reader = await openMapBuffer(far, { index: 'full', gap: 0 })
      const first = merge([reader], options)[Symbol.asyncIterator]()
      await within(first.next(), 'first', 20_000)
      await settle(60)
      if (!('dir' in options)) t.true(far.bytes < 2_500_000, `${far.bytes} bytes for one chunk`)
      await within(first.return?.(), 'return')
      const { reads } = far
      await settle()
      t.is(far.reads, reads)

      const { signal, abort, live } = abortKit()
      const aborted = failure(
        pipeline(
          merge([reader], { ...options, signal }),
          new Writable({
            write() {
              abort(new Error('enough'))
            },
          }),
        ),
        'an abort while writing',
      )
      t.is(((await aborted) as Error).message, 'enough')
      t.is(live(), 0)
      const before = failure(gather(merge([reader], { ...options, signal })))
      t.is(((await before) as Error).message, 'enough', 'aborted before')
      const unread = merge([reader], options)
      unread.destroy()

      let asked = 0
      far.before = () => {
        if (++asked === 4) throw new Error('lost')
        return undefined
      }
      t.is(((await failure(gather(merge([reader], options)))) as Error).message, 'lost')
      far.before = undefined
      await settle()
      t.deepEqual(await readdir(dir), [])
      t.is((await fileFrom(merge([reader], { ...options, select: (label) => label === labels[0] }))).length > 16, true)
    }
  },
)

test.serial('what is encoded anew is read in windows of 8 MiB, in few reads, though it goes by label', async (t) => {
  const labels = someLabels(3000)
  const content = fileOf(labels, 8000)
  const far = farSource(content)
  const reader = await openMapBuffer(far, { index: 'full' })
  far.reads = 0
  const rounds = countRounds(far)
  const { before } = far
  let longest = 0
  far.before = (offset, length) => {
    longest = Math.max(longest, length)
    return before?.(offset, length)
  }
  t.is((await fileFrom(transcode(reader, { compress: copy }))).length, content.length)
  t.true(rounds.length >= 3 && rounds.every((bytes) => bytes <= 2 ** 23 + 2 ** 20), rounds.join())
  // Labels that follow each other lie together on each level of the rows, so that a window is a few stretches.
  t.true(far.reads <= 60 && longest <= 2 ** 20, `${far.reads} reads, up to ${longest} bytes`)
})

test.serial('a codec that takes time to load is loaded', async (t) => {
  const late: Codec = { name: 'late', encode: (data) => data.slice(), decode: (data) => data.slice() }
  registerCodec('late', async () => {
    await settle(1)
    return late
  })
  const labels = someLabels(10)
  const bytes = MapBuffer.from(
    labels.map((label): [number, Uint8Array] => [label, valueFor(label, 20)]),
    { compress: late },
  ).toBytes()
  same(t, await fileFrom(transcode(new MapBuffer(bytes), { compress: 'none' })), fileOf(labels, 20))
})

test.serial('a map that is closed ends the merge', async (t) => {
  const content = fileOf(someLabels(8000), 500)
  const reader = await openMapBuffer(farSource(content), { index: 'full' })
  const stream = merge([reader], { memory: 10_000 })[Symbol.asyncIterator]()
  await within(stream.next(), 'first')
  await reader.close()
  t.is(
    await codeFrom(async () => {
      for (;;) if ((await stream.next()).done === true) return
    }),
    'MILL_SOURCE_CLOSED',
  )
  t.is(await codeFrom(() => gather(merge([reader]))), 'MILL_SOURCE_CLOSED')
})

test.serial('progress is told, and wrong arguments are refused before anything is read', async (t) => {
  const map = new MapBuffer(fileOf(someLabels(3000), 100))
  for (const options of [{}, { compress: 'gzip', level: 1 }] as const) {
    const heard: Progress[] = []
    await fileFrom(transcode(map, { ...options, onProgress: (progress) => heard.push(progress) }))
    const last = heard.at(-1)
    t.deepEqual([last?.phase, last?.done, last?.total], ['write', 3000, 3000])
  }
  for (const ask of [
    () => merge(5 as unknown as MapBuffer[]),
    () => merge([map, {} as MapBuffer]),
    () => transcode(undefined as unknown as MapBuffer),
    () => merge([map], { duplicates: 'none' as 'first' }),
    () => merge([map], { select: true as unknown as () => boolean }),
    () => merge([map], { memory: -1 }),
    () => merge([map], { crc: 1 as unknown as boolean }),
    () => merge([map], { signal: {} as AbortSignal }),
    () => merge([map], { level: 1.5 }),
  ]) {
    t.throws(ask, { code: 'MILL_INVALID_ARGUMENT' }, String(ask))
  }
  t.throws(() => merge([map], { compress: 'snap' }), { code: 'MILL_CODEC_UNKNOWN' })
})
