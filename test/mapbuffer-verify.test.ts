import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import {
  CodecError,
  isMillraceError,
  type Label,
  loadCodec,
  MapBuffer,
  MapBufferWriter,
  openMapBuffer,
  openMapBufferSync,
  type Problem,
  type Progress,
  registerCodec,
  type SalvageOptions,
  salvage,
  type VerifyOptions,
} from '../lib/mapbuffer/index.js'
import { CODECS, flipped, hex, regionOf, type SmallFile, smallFiles } from './fixtures/damage.js'
import { farSource, someLabels, valueFor } from './fixtures/map-data.js'
import { abortKit, codeOf, collect, failure, gather, gatherUntilError, settle, within } from './fixtures/stream-kit.js'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

test.before(async () => {
  for (const name of CODECS) await loadCodec(name)
})

async function folderFor(t: ExecutionContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
  t.teardown(() => rm(folder, { recursive: true }))
  return folder
}

/** A file of so many values of 20 bytes, labels 0, 1, 2 …. */
function fileOf(count: number, options = {}): Uint8Array {
  const entries = Array.from({ length: count }, (_, i): [Label, Uint8Array] => [i, valueFor(i, 20)])
  return MapBuffer.from(entries, options).toBytes()
}

/** Changes the first byte of the stored values in these rows. */
function spoil(bytes: Uint8Array, rows: readonly number[], by = 1): Uint8Array {
  const copy = bytes.slice()
  const index = new MapBuffer(bytes).index()
  for (const row of rows) {
    const at = Number(index[2 * row + 1])
    copy[at] = (copy[at] as number) ^ by
  }
  return copy
}

const where = (problems: readonly Problem[]): string[] => problems.map(({ position, code }) => `${position} ${code}`)

// ---- verify ----------------------------------------------------------------------------------------------------------

test('verify() of whole files finds nothing, by every kind of map', async (t) => {
  const path = join(await folderFor(t), 'map.mb')
  for (const { bytes, entries } of smallFiles()) {
    const whole = { ok: true, entries: entries.length, bytes: bytes.length, problems: [] }
    for (const options of [undefined, {}, { decode: true }, { maxProblems: 0 }]) {
      t.deepEqual(await new MapBuffer(bytes).verify(options), whole)
    }
    await writeFile(path, bytes)
    using file = openMapBufferSync(path)
    t.deepEqual(await file.verify({ decode: true }), whole)
    for (const index of ['full', 'lazy'] as const) {
      await using reader = await openMapBuffer(path, { index, readAhead: 1024 })
      t.deepEqual(await within(reader.verify({ decode: true }), 'verify'), whole)
    }
  }
  t.deepEqual(await MapBuffer.from([]).verify(), { ok: true, entries: 0, bytes: 16, problems: [] })
})

test('M1: verify() sees every bit of a file with checksums that a strict reader would see, and names the entry', async (t) => {
  for (const file of smallFiles(['none', 'gzip']).filter(({ version }) => version === 1)) {
    for (let bit = 8 * 16; bit < 8 * file.bytes.length; bit++) {
      const { region, row } = regionOf(file, bit)
      const spoilt = flipped(file.bytes, bit)
      const report = await new MapBuffer(spoilt, { strict: false }).verify()
      const strict = await new MapBuffer(spoilt, { strict: false, crc: false }).verify()
      const what = `${file.name}, bit ${bit} (${region}): ${where(report.problems)}`
      if (report.ok !== (report.problems.length === 0)) t.fail(what)
      if (String(where(report.problems)) !== String(where(strict.problems))) t.fail(`${what}, with crc: false`)
      let opens = true
      try {
        new MapBuffer(spoilt)
      } catch {
        opens = false
      }
      if (!opens && report.ok) t.fail(`${what}: not seen`)
      if (region === 'value' && String(where(report.problems)) !== `${row} MILL_BAD_CRC`) t.fail(what)
      if (region === 'offset' && report.ok) t.fail(what)
      if (region === 'label') {
        // Only the order can tell, and then the row or one that hangs below it is out of place.
        if (report.ok !== opens || report.problems.some(({ code }) => code !== 'MILL_BAD_LABEL_ORDER')) t.fail(what)
      }
    }
  }
  t.pass()
})

test('problems come with position, label and message, structure first; maxProblems limits the list, not the answer', async (t) => {
  const bytes = spoil(fileOf(100), [0, 50, 99])
  const view = new DataView(bytes.buffer)
  view.setBigUint64(16 + 16 * 2, 5000n, true)
  const map = new MapBuffer(bytes, { strict: false })
  const { ok, problems, entries } = await map.verify()
  t.false(ok)
  t.is(entries, 100)
  const order = problems.filter(({ code }) => code === 'MILL_BAD_LABEL_ORDER')
  t.true(order.length > 0)
  t.deepEqual(problems.slice(0, order.length), order)
  const rest = problems.slice(order.length)
  t.deepEqual(where(rest), ['0 MILL_BAD_CRC', '50 MILL_BAD_CRC', '99 MILL_BAD_CRC'])
  t.deepEqual(
    rest.map(({ label }) => label),
    [0, 50, 99].map((position) => map.labelAt(position)),
  )
  for (const { message, label } of problems) t.true(message.includes(String(label)), message)

  for (const maxProblems of [0, 1, 2, problems.length, 1e6, Number.POSITIVE_INFINITY]) {
    const report = await map.verify({ maxProblems })
    t.false(report.ok)
    t.deepEqual(report.problems, problems.slice(0, maxProblems))
    t.is(report.entries, 100)
  }
  const all = spoil(
    fileOf(1500),
    Array.from({ length: 1500 }, (_, i) => i),
  )
  const report = await new MapBuffer(all).verify()
  t.is(report.problems.length, 1000)
  t.deepEqual([report.ok, report.entries], [false, 1500])
  const [first] = (await new MapBuffer(all, { bigint: true }).verify({ maxProblems: 1 })).problems
  t.is(typeof first?.label, 'bigint')
})

test('faults of the file as a whole have position -1', async (t) => {
  const empty = Uint8Array.from([...MapBuffer.from([]).toBytes(), 1, 2])
  const trailing = await new MapBuffer(empty, { strict: false }).verify()
  t.deepEqual(where(trailing.problems), ['-1 MILL_TRAILING_DATA'])
  t.false('label' in (trailing.problems[0] as Problem))
  const bytes = fileOf(5)
  new DataView(bytes.buffer).setBigUint64(24, BigInt(16 + 16 * 5 + 1), true)
  const shifted = await new MapBuffer(bytes, { strict: false }).verify()
  t.deepEqual(where(shifted.problems), ['-1 MILL_BAD_OFFSETS', '0 MILL_BAD_CRC'])
})

test('decode: also decompresses and deserializes, which finds what checksums of compressed bytes cannot', async (t) => {
  for (const compress of ['gzip', 'br', 'zstd', 'lzma']) {
    // Plain values in a file that says they are compressed: all checksums are right.
    const lying = fileOf(8)
    lying.set(text(compress.padStart(4, '0')), 8)
    const map = new MapBuffer(lying)
    t.true((await map.verify()).ok, compress)
    const { ok, problems } = await map.verify({ decode: true })
    t.false(ok)
    t.deepEqual(
      where(problems),
      Array.from({ length: 8 }, (_, i) => `${i} MILL_DECOMPRESS`),
      compress,
    )
  }
  const serializer = {
    name: 'odd',
    encode: (value: number) => Uint8Array.of(value),
    decode: (bytes: Uint8Array) => {
      if ((bytes[0] as number) % 2 === 0) throw new Error('even')
      return bytes[0] as number
    },
  }
  const odd = MapBuffer.from({ 1: 1, 2: 2, 3: 3 }, { serializer })
  t.true((await odd.verify()).ok)
  t.deepEqual(where((await odd.verify({ decode: true })).problems), [`${odd.indexOf(2)} MILL_BAD_VALUE`])
  const tight = MapBuffer.from({ 1: new Uint8Array(2000), 2: text('x') }, { compress: 'gzip', maxValueBytes: 1999 })
  t.true((await tight.verify()).ok)
  t.deepEqual(where((await tight.verify({ decode: true })).problems), [`${tight.indexOf(1)} MILL_TOO_LARGE`])

  registerCodec('away', () => {
    throw new CodecError('MILL_CODEC_MISSING', 'install it', { codec: 'away' })
  })
  const away = fileOf(2)
  away.set(text('away'), 8)
  t.true((await new MapBuffer(away).verify()).ok)
  t.is(
    codeOf(await failure(new MapBuffer(away).verify({ decode: true }))),
    'MILL_CODEC_MISSING',
    'no fault of the file',
  )
})

// Serial, for the clock is everybody's. A machine may be fast or slow: here each look at the clock takes 4 ms.
test.serial('verify() gives way, tells its progress, and ends with the reason of an abort', async (t) => {
  const { now } = performance
  let time = 0
  performance.now = () => (time += 4)
  t.teardown(() => {
    performance.now = now
  })
  const map = new MapBuffer(fileOf(4000, { compress: 'gzip', level: 1 }))
  let turns = 0
  let over = false
  const others = (async () => {
    while (!over) {
      await turn()
      turns++
    }
  })()
  const seen: Progress[] = []
  t.true((await map.verify({ decode: true, onProgress: (progress) => void seen.push(progress) })).ok)
  t.true(turns >= 30, `${turns} turns`)
  t.true(seen.length >= 3, `${seen.length} reports in ${time} ms`)
  const last = seen.at(-1) as Progress
  t.like(last, { phase: 'verify', done: 4000, total: 4000 })
  t.is(last.bytes, map.dataLength)
  t.true(seen.every(({ done }, i) => i === 0 || done >= (seen[i - 1]?.done as number)))

  // Where every row is wrong, too, which takes far longer than where all are right.
  const unordered = fileOf(30_000, { crc: false })
  const view = new DataView(unordered.buffer)
  for (let row = 1; row < 30_000; row++) view.setBigUint64(16 + 16 * row, 5n, true)
  const seenTurns = turns
  const wrong = new MapBuffer(unordered, { strict: false }).verify({ maxProblems: 3 })
  t.like(await wrong, { ok: false, entries: 30_000 })
  // About 230 while the order is checked, and 250 for the entries.
  t.true(turns - seenTurns >= 400, `${turns - seenTurns} turns`)
  over = true
  await others

  const { abort, signal, live } = abortKit()
  const reason = new Error('enough')
  const stopped = map.verify({ decode: true, signal })
  setImmediate(() => abort(reason))
  t.is(await failure(stopped), reason)
  t.is(live(), 0)
  t.is(await failure(map.verify({ signal })), reason)
  const fault = new Error('not interested')
  const throwing = (): void => {
    throw fault
  }
  t.is(await failure(map.verify({ onProgress: throwing })), fault)
  for (const wrong of [
    null,
    5,
    { decode: 1 },
    { maxProblems: -1 },
    { maxProblems: 1.5 },
    { onProgress: {} },
    { signal: 1 },
  ]) {
    t.is(codeOf(await failure(map.verify(wrong as VerifyOptions))), 'MILL_INVALID_ARGUMENT', JSON.stringify(wrong))
  }
  const path = join(await folderFor(t), 'map.mb')
  await writeFile(path, map.toBytes())
  const file = openMapBufferSync(path)
  file.close()
  t.is(codeOf(await failure(file.verify())), 'MILL_SOURCE_CLOSED')
})

// ---- salvage ---------------------------------------------------------------------------------------------------------

interface Saved {
  readonly entries: (readonly [bigint, string])[]
  readonly problems: Problem[]
  readonly error: unknown
}

async function save(input: Parameters<typeof salvage>[0], options: SalvageOptions = {}): Promise<Saved> {
  const problems: Problem[] = []
  const stream = salvage(input, { onProblem: (problem) => void problems.push(problem), ...options })
  const { items, error } = await within(gatherUntilError(stream), 'salvage')
  return { entries: items.map(([label, value]) => [BigInt(label), hex(value)] as const), problems, error }
}

const strings = (entries: readonly (readonly [bigint, string])[]): string[] => entries.map(([a, b]) => `${a} ${b}`)

test('salvage of a whole file gives all of it in file order, wherever it lies', async (t) => {
  const path = join(await folderFor(t), 'map.mb')
  for (const { bytes, entries, name } of smallFiles()) {
    await writeFile(path, bytes)
    for (const input of [
      bytes,
      path,
      new Blob([bytes as Uint8Array<ArrayBuffer>]),
      farSource(bytes),
      farSource(bytes, false),
    ]) {
      const saved = await save(input)
      t.is(saved.error, undefined)
      t.deepEqual([strings(saved.entries), saved.problems], [strings(entries), []], name)
    }
  }
  t.deepEqual(await save(MapBuffer.from([]).toBytes()), { entries: [], problems: [], error: undefined })
  const source = farSource(fileOf(3))
  await save(source)
  t.is(source.closed, 0, 'a source that is passed stays open')
})

test('salvage of a file with one bit flipped loses that entry or, for an offset, its neighbour too, and tells which', async (t) => {
  for (const file of smallFiles(['none', 'gzip']).filter(({ version }) => version === 1)) {
    for (let bit = 0; bit < 8 * file.bytes.length; bit++) {
      const { region, row } = regionOf(file, bit)
      const { entries, problems, error } = await save(flipped(file.bytes, bit))
      const what = `${file.name}, bit ${bit} (${region}): ${where(problems)}`
      if (region === 'magic' || region === 'compression' || (region === 'version' && bit % 8 !== 0)) {
        if (!isMillraceError(error)) t.fail(`${what}: ${String(error)}`)
        continue
      }
      if (error !== undefined) t.fail(`${what}: ${String(error)}`)
      if (region === 'version') continue
      const lost = missing(file, entries)
      const most = { count: 0, label: 1, offset: 2, value: 1 }[region]
      if (lost.length > most) t.fail(`${what}: lost ${lost}`)
      if (region === 'label') {
        // It has another name now, and nobody can know.
        if (entries.length !== file.entries.length || problems.length > 0) t.fail(what)
        continue
      }
      if (problems.length === 0) t.fail(`${what}: nothing was said`)
      if (entries.length + lost.length !== file.entries.length) t.fail(`${what}: something else was found`)
      if (region === 'value' && String(where(problems)) !== `${row} MILL_BAD_CRC`) t.fail(what)
      if (region === 'count' && problems[0]?.position !== -1) t.fail(what)
    }
  }
  t.pass()
})

function missing(file: SmallFile, entries: readonly (readonly [bigint, string])[]): string[] {
  const found = new Set(strings(entries))
  return strings(file.entries).filter((entry) => !found.has(entry))
}

test('a spoilt count loses nothing, whatever it has become', async (t) => {
  for (const version of [0, 1]) {
    const bytes = fileOf(100, { crc: version === 1 })
    const view = new DataView(bytes.buffer)
    const whole = strings((await save(bytes)).entries)
    for (const count of [0, 1, 2, 50, 99, 101, 102, 200, 1000, 2 ** 16, 2 ** 28, 2 ** 31, 2 ** 32 - 1]) {
      view.setUint32(12, count, true)
      const { entries, problems, error } = await save(bytes)
      t.is(error, undefined)
      t.deepEqual(strings(entries), whole, `count ${count}, version ${version}`)
      t.is(problems.length, 1)
      t.like(problems[0] as Problem, { position: -1 })
    }
  }
})

test('with count and first offset both spoilt no value is believed; offsets that do not ascend are errors, also without checksums', async (t) => {
  const both = fileOf(10, { crc: false })
  const view = new DataView(both.buffer)
  view.setUint32(12, 2 ** 31, true)
  view.setBigUint64(24, 3n, true)
  const { entries, problems, error } = await save(both)
  t.deepEqual([entries, where(problems), error], [[], ['-1 MILL_TRUNCATED_INDEX'], undefined])

  // The third value begins before the second one.
  const crossed = fileOf(5, { crc: false })
  const first = 16 + 16 * 5
  new DataView(crossed.buffer).setBigUint64(24 + 16 * 2, BigInt(first + 10), true)
  const report = await new MapBuffer(crossed, { strict: false }).verify()
  t.deepEqual(where(report.problems), ['1 MILL_BAD_OFFSETS', '2 MILL_BAD_OFFSETS'])
  const saved = await save(crossed)
  t.deepEqual(where(saved.problems), ['1 MILL_BAD_OFFSETS', '2 MILL_BAD_OFFSETS'])
  t.is(saved.entries.length, 3)
})

test('salvage of a file that is cut gives what was whole', async (t) => {
  for (const file of smallFiles(['none', 'zstd'])) {
    for (let length = 0; length < file.bytes.length; length++) {
      const { entries, problems, error } = await save(file.bytes.slice(0, length))
      const what = `${file.name}, cut at ${length}: ${String(error)} ${where(problems)}`
      if (length < 16) {
        t.is(codeOf(error), 'MILL_TRUNCATED_HEADER', what)
        continue
      }
      if (error !== undefined || problems.length === 0) {
        const plain = file.version === 0 && file.compression === 'none' && length >= (file.offsets.at(-2) as number)
        if (error !== undefined || !plain) t.fail(what)
      }
      const whole = file.entries.filter((_, i) => (file.offsets[i + 1] as number) <= length)
      if (String(entries.slice(0, whole.length)) !== String(whole)) t.fail(what)
      if (file.version === 1 && entries.length !== whole.length) t.fail(`${what}: more than was whole`)
    }
  }
})

test('noise in a file never makes salvage give a wrong value, fail otherwise, or hang', async (t) => {
  const bytes = fileOf(200)
  const whole = new Set(strings((await save(bytes)).entries))
  let state = 1
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  for (let round = 0; round < 60; round++) {
    const spoilt = bytes.slice()
    // Behind the labels' words, or they have other names.
    for (let i = 0; i < 30; i++) {
      const at = 16 + random(spoilt.length - 16)
      if (at >= 16 + 16 * 200 || at % 16 >= 8) spoilt[at] = random(256)
    }
    const { entries, error } = await save(spoilt)
    t.is(error, undefined)
    const wrong = strings(entries).filter((entry) => !whole.has(entry))
    t.deepEqual(wrong, [])
    t.true(entries.length >= 200 - 60)
  }
})

test('what was saved goes into a writer, and the new file is whole', async (t) => {
  const bytes = spoil(fileOf(1000, { compress: 'zstd' }), [3, 500, 999])
  // A label that comes twice, which only a damaged index has.
  const view = new DataView(bytes.buffer)
  view.setBigUint64(16 + 16 * 10, view.getBigUint64(16 + 16 * 11, true), true)
  const problems: Problem[] = []
  const stream = salvage(bytes, { onProblem: (problem) => void problems.push(problem) })
  const writer = new MapBufferWriter({ duplicates: 'first', compress: 'gzip' })
  const mended = new MapBuffer(new Uint8Array(await within(collect(stream.pipe(writer)), 'writer')))
  t.is(mended.size, 1000 - 3 - 1)
  t.true((await mended.verify({ decode: true })).ok)
  t.deepEqual(where(problems), ['3 MILL_BAD_CRC', '500 MILL_BAD_CRC', '999 MILL_BAD_CRC'])
  const wrong = [...mended].filter(([label, value]) => hex(value) !== hex(valueFor(label, 20)))
  t.is(wrong.length, 1, 'the entry that has the label of another')
})

test('salvage: options, and what goes wrong', async (t) => {
  const json = {
    name: 'json',
    encode: (value: unknown) => text(JSON.stringify(value)),
    decode: (data: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(data)),
  }
  const map = MapBuffer.from<unknown>(
    [
      [1, [1]],
      [2, 'two'],
      [3, { three: 3 }],
    ],
    { serializer: json },
  )
  const saved = await gather(salvage(map.toBytes(), { serializer: json, bigint: true }))
  t.deepEqual(saved, [
    [2n, 'two'],
    [1n, [1]],
    [3n, { three: 3 }],
  ])
  const small = await save(fileOf(5), { maxValueBytes: 19 })
  t.deepEqual(
    where(small.problems),
    Array.from({ length: 5 }, (_, i) => `${i} MILL_TOO_LARGE`),
  )
  t.deepEqual(small.entries, [])

  for (const wrong of [
    null,
    5,
    { onProblem: 5 },
    { maxValueBytes: -1 },
    { serializer: {} },
    { bigint: 1 },
    { signal: {} },
  ]) {
    t.throws(() => salvage(map.toBytes(), wrong as never), { code: 'MILL_INVALID_ARGUMENT' }, JSON.stringify(wrong))
  }
  for (const input of [null, undefined, 5, {}])
    t.throws(() => salvage(input as never), { code: 'MILL_INVALID_ARGUMENT' })
  t.is(codeOf((await save(join(await folderFor(t), 'none.mb'))).error), 'MILL_SOURCE_FAILED')
  t.is(codeOf((await save(text('this is something else'))).error), 'MILL_BAD_MAGIC')

  const fault = new Error('not interested')
  const throwing = (): void => {
    throw fault
  }
  t.is((await save(spoil(fileOf(5), [2]), { onProblem: throwing })).error, fault)
  const source = farSource(fileOf(100))
  const broken = new Error('no line')
  source.before = (offset) => {
    if (offset > 100) throw broken
    return undefined
  }
  t.is((await save(source)).error, broken)
  registerCodec('left', () => {
    throw new CodecError('MILL_CODEC_MISSING', 'install it', { codec: 'left' })
  })
  const left = fileOf(2)
  left.set(text('left'), 8)
  t.is(codeOf((await save(left)).error), 'MILL_CODEC_MISSING')
})

test('salvage: an abort, a reader that leaves, and one that is slow', async (t) => {
  const values = someLabels(60).map((label): [Label, Uint8Array] => [label, valueFor(label, 300_000)])
  const bytes = MapBuffer.from(values).toBytes()
  const reason = new Error('enough')
  const { abort, signal, live } = abortKit()
  const stopped = salvage(farSource(bytes), { signal })
  const ended = failure(gather(stopped), 'aborted')
  setImmediate(() => abort(reason))
  t.is(await ended, reason)
  t.is(live(), 0)
  t.is(await failure(async () => gather(salvage(farSource(bytes), { signal }))), reason)

  const source = farSource(bytes)
  const slow = salvage(source)
  let got = 0
  for await (const [label, value] of slow) {
    t.true(Buffer.compare(value, valueFor(label, 300_000)) === 0)
    await settle(5)
    got += value.length
    t.true(source.bytes < got + 6 * 2 ** 20, `${source.bytes} read, ${got} taken`)
    if (got >= 6e6) break
  }
  await settle()
  const { reads } = source
  await settle()
  t.is(source.reads, reads)
  t.true(source.bytes < bytes.length)
  t.true(slow.destroyed)
})
