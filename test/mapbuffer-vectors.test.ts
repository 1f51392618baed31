import test, { type ExecutionContext } from 'ava'
import {
  IntMap,
  isMillraceError,
  type Label,
  loadCodec,
  MapBuffer,
  MapBufferParser,
  type MapBufferReadOptions,
  memorySource,
  type OpenOptions,
  openMapBuffer,
  openMapBufferSync,
  salvage,
} from '../lib/mapbuffer/index.js'
import {
  bytesOf,
  type CorruptVector,
  digestOf,
  entriesOf,
  intEntriesOf,
  isCorrupt,
  isValid,
  keyOrderOf,
  pathOf,
  sha256,
  shared,
  shuffled,
  unaligned,
  type ValidVector,
  type Vector,
  vectors,
} from './fixtures/mapbuffer-vectors.js'
import { codeOf, failure, gather, within } from './fixtures/stream-kit.js'

const all = vectors()
const maps = all.filter(({ type }) => type === 'mapbuffer')
const valid = maps.filter(isValid)
const corrupt = maps.filter(isCorrupt)
const intMaps = all.filter(({ type }) => type === 'intmap')
/** Readable, but only where opening doesn't look at the whole index. */
const GAP = 'u-gap-before-data.mb'
/** Thousands of values in the slow codecs would take the time of all the others together: these are read only once. */
const slow = ({ n, compression }: ValidVector): boolean =>
  n >= (compression === 'lzma' ? 1000 : 10000) && compression !== 'none'

test.before(async () => {
  for (const name of ['gzip', 'br', 'zstd', 'lzma']) await loadCodec(name)
})

test('the manifest is the one these tests were written for', (t) => {
  t.is(all.length, 261)
  t.is(all.filter(({ expect }) => expect === 'valid').length, 132)
  t.is(all.filter(({ expect }) => expect === 'valid-unusual').length, 17)
  t.is(all.filter(({ expect }) => expect === 'corrupt').length, 112)
  t.deepEqual([valid.length, corrupt.length, intMaps.length], [138, 99, 24])
  for (const vector of all) t.is(bytesOf(vector).length, vector.bytes, vector.file)
})

/** What every way of reading must find. */
function checkEntries(t: ExecutionContext, vector: ValidVector, entries: [Label, Uint8Array][], how: string): void {
  const what = `${vector.file} by ${how}`
  const labels = entries.map(([label]) => label)
  t.is(entries.length, vector.n, what)
  t.is(digestOf(entries), vector.digest, what)
  if (vector.keysInFileOrder !== undefined) t.deepEqual(labels.map(String), vector.keysInFileOrder, what)
  if (vector.keyOrderSha256 !== undefined) t.is(keyOrderOf(labels), vector.keyOrderSha256, what)
  for (const label of labels) {
    const safe = BigInt(label) <= BigInt(Number.MAX_SAFE_INTEGER)
    if (typeof label !== (safe ? 'number' : 'bigint')) t.fail(`${what}: ${label} is a ${typeof label}`)
  }
}

function checkMap(t: ExecutionContext, vector: ValidVector, map: MapBuffer, how: string): void {
  const what = `${vector.file} by ${how}`
  t.is(map.version, vector.version, what)
  t.is(map.compression, vector.compression, what)
  t.is(map.byteLength, vector.bytes, what)
  checkEntries(t, vector, [...map], how)
  for (const [label, value] of sampleOf(vector)) {
    const found = map.get(BigInt(label))
    t.is(found === undefined ? undefined : sha256(found), value, what)
  }
  for (const miss of vector.misses ?? []) {
    t.false(map.has(BigInt(miss)), what)
    t.is(map.get(BigInt(miss)), undefined, what)
  }
}

/** Some labels of a file, with the checksums of their values. */
function sampleOf(vector: Vector): [string, string][] {
  if (vector.sample !== undefined) {
    return vector.sample.map(([label, value]) => [label, (value as { sha256: string }).sha256])
  }
  return entriesOf(vector)
    .slice(0, 50)
    .map(([label, value]) => [String(label), sha256(value)])
}

const optionsFor = (vector: Vector): MapBufferReadOptions => (vector.file === GAP ? { strict: false } : {})

test('valid files by constructor, from any memory, and from a file', (t) => {
  for (const vector of valid) {
    const bytes = bytesOf(vector)
    const options = optionsFor(vector)
    checkMap(t, vector, new MapBuffer(bytes, options), 'constructor')
    if (slow(vector)) continue
    checkMap(t, vector, new MapBuffer(unaligned(bytes), { ...options, lookup: 'hash' }), 'unaligned')
    checkMap(t, vector, new MapBuffer(shared(bytes), { ...options, lookup: 'search' }), 'shared')
    using map = openMapBufferSync(pathOf(vector), options)
    checkMap(t, vector, map, 'file')
  }
})

test('valid files by the reader, with the index whole and in parts', async (t) => {
  for (const vector of valid) {
    const kinds: OpenOptions[] = [
      { index: 'full', ...optionsFor(vector) },
      { index: 'lazy', readAhead: 1024, indexMemory: 8192, ...optionsFor(vector) },
    ]
    for (const options of slow(vector) ? kinds.slice(1) : kinds) {
      const what = `${vector.file}, index ${options.index}`
      await using map = await within(openMapBuffer(bytesOf(vector), options), what)
      checkEntries(t, vector, await within(gather(map), what, 20_000), what)
      const sample = sampleOf(vector)
      const labels = sample.map(([label]) => BigInt(label))
      const values = await within(map.getMany(labels), what)
      t.deepEqual(
        values.map((value) => value && sha256(value)),
        sample.map(([, hash]) => hash),
        what,
      )
      const misses = (vector.misses ?? []).map(BigInt)
      t.true((await within(map.getMany(misses), what)).every((value) => value === undefined))
    }
  }
})

test('valid files by the parser, in pieces of any size', async (t) => {
  for (const vector of valid) {
    const bytes = bytesOf(vector)
    for (const size of slow(vector) ? [65536] : [1013, 65536]) {
      const parser = new MapBufferParser(optionsFor(vector))
      for (let at = 0; at < bytes.length; at += size) parser.write(bytes.subarray(at, at + size))
      parser.end()
      checkEntries(t, vector, await within(gather(parser), vector.file, 20_000), `parser in ${size}`)
    }
  }
})

test('what the Python library writes byte for byte, we write too, in any order of entries', (t) => {
  const exact = valid.filter(({ byteExactWriter }) => byteExactWriter)
  t.true(exact.length >= 20)
  for (const vector of exact) {
    const crc = vector.version === 1
    const { compression: compress } = vector
    const map = MapBuffer.from(shuffled(entriesOf(vector)), { crc, compress })
    t.is(sha256(map.toBytes()), vector.fileSha256, vector.file)
  }
})

test('what cannot be the same bytes reads the same', (t) => {
  const others = valid.filter((vector) => vector.expect === 'valid' && !vector.byteExactWriter && !slow(vector))
  t.true(others.length >= 20)
  for (const vector of others) {
    const options = { crc: vector.version === 1, compress: vector.compression }
    const map = MapBuffer.from(shuffled(entriesOf(vector)), options)
    t.is(digestOf(map), vector.digest, vector.file)
    t.is(map.version, vector.version)
    t.is(map.compression, vector.compression)
  }
})

test('a gap between index and values is refused, unless strict is off', async (t) => {
  const vector = valid.find(({ file }) => file === GAP) as Vector
  t.throws(() => new MapBuffer(bytesOf(vector)), { code: 'MILL_BAD_OFFSETS' })
  await t.throwsAsync(openMapBuffer(bytesOf(vector)), { code: 'MILL_BAD_OFFSETS' })
})

test('a value that decodes to 16 MiB is refused below that limit, and read at it', (t) => {
  const bombs = valid.filter(({ file }) => file.startsWith('u-bomb-'))
  t.is(bombs.length, 4)
  for (const vector of bombs) {
    const [[label]] = vector.sample as [[string, unknown]]
    const small = new MapBuffer(bytesOf(vector), { maxValueBytes: 2 ** 24 - 1 })
    const error = t.throws(() => small.get(BigInt(label)), { code: 'MILL_TOO_LARGE' }, vector.file)
    t.like(error as object, { limit: 2 ** 24 - 1, position: 0 })
    const exact = new MapBuffer(bytesOf(vector), { maxValueBytes: 2 ** 24 })
    t.is(exact.get(BigInt(label))?.length, 2 ** 24)
  }
})

// ---- what is corrupt ---------------------------------------------------------------------------------------------

/** Is this one of the codes the manifest names? */
function expected(t: ExecutionContext, vector: CorruptVector, error: unknown, how: string): void {
  const what = `${vector.file} by ${how}: ${String(error)}`
  t.true(isMillraceError(error), what)
  t.true(vector.expectedError.includes(String(codeOf(error)).replace('MILL_', '')), what)
}

function thrownBy(fn: () => unknown): unknown {
  try {
    fn()
  } catch (error) {
    return error
  }
  return undefined
}

/** The entries that read, and the errors of the others. */
function readEach(map: MapBuffer): { entries: [Label, Uint8Array][]; errors: unknown[] } {
  const entries: [Label, Uint8Array][] = []
  const errors: unknown[] = []
  for (let position = 0; position < map.size; position++) {
    const error = thrownBy(() => entries.push([map.labelAt(position), map.at(position) as Uint8Array]))
    if (error !== undefined) errors.push(error)
  }
  return { entries, errors }
}

/** The entries that most of the corrupt files of a version are made of: those two agree about it. */
function truth(version: 0 | 1): Map<Label, string> {
  const find = (file: string) => bytesOf(corrupt.find((vector) => vector.file === file) as Vector)
  const files = version === 1 ? ['c-v1-extra-byte.mb', 'c-v1-flip-value-8.mb', 'c-v1-flip-value-0.mb'] : []
  const entries = files.flatMap((file) => readEach(new MapBuffer(find(file))).entries)
  return new Map(entries.map(([label, value]) => [label, sha256(value)]))
}

test('corrupt files by constructor: refused, or the damaged entry is, and no other value is wrong', (t) => {
  const right = truth(1)
  t.is(right.size, 9)
  for (const vector of corrupt) {
    for (const bytes of [bytesOf(vector), unaligned(bytesOf(vector))]) {
      const strict = thrownBy(() => new MapBuffer(bytes))
      const loose = thrownBy(() => new MapBuffer(bytes, { strict: false }))
      if (vector.detect === 'read') t.is(strict, undefined, vector.file)
      else expected(t, vector, strict, 'constructor')
      if (vector.detect === 'open') {
        expected(t, vector, loose, 'constructor, not strict')
        continue
      }
      t.is(loose, undefined, vector.file)
      const { entries, errors } = readEach(new MapBuffer(bytes, { strict: false }))
      for (const error of errors) t.true(isMillraceError(error), `${vector.file}: ${String(error)}`)
      if (vector.detect === 'read') {
        for (const error of errors) expected(t, vector, error, 'at()')
        if (!vector.expectedError.includes('NONE')) t.true(errors.length > 0, vector.file)
        t.true(errors.length <= 2, vector.file)
      }
      if (!vector.file.startsWith('c-v1-')) continue
      const labelsAreWrong = vector.file.startsWith('c-v1-label-')
      for (const [label, value] of entries) {
        if (!labelsAreWrong) t.is<unknown, unknown>(sha256(value), right.get(label), `${vector.file}: ${label}`)
      }
    }
  }
})

test('corrupt files by the reader', async (t) => {
  for (const vector of corrupt) {
    for (const index of ['full', 'lazy'] as const) {
      const source = memorySource(bytesOf(vector))
      const error = await failureOf(async () => {
        await using map = await openMapBuffer(source, { index, readAhead: 1024 })
        await gather(map)
      })
      if (error !== undefined || !vector.expectedError.includes('NONE')) expected(t, vector, error, `reader, ${index}`)
      const loose = await failureOf(async () => {
        await using map = await openMapBuffer(source, { index, readAhead: 1024, strict: false })
        await gather(map)
      })
      if (vector.detect === 'open') expected(t, vector, loose, `reader, ${index}, not strict`)
      if (loose !== undefined) t.true(isMillraceError(loose), `${vector.file}: ${String(loose)}`)
    }
  }
})

test('corrupt files by the parser', async (t) => {
  for (const vector of corrupt) {
    for (const size of [1, 40, 65536]) {
      const bytes = bytesOf(vector)
      const error = await failureOf(async () => {
        const parser = new MapBufferParser()
        parser.on('error', () => {})
        for (let at = 0; at < bytes.length; at += size) parser.write(bytes.subarray(at, at + size))
        parser.end()
        await gather(parser)
      })
      if (error !== undefined || !vector.expectedError.includes('NONE')) expected(t, vector, error, `parser in ${size}`)
    }
  }
})

async function failureOf(fn: () => Promise<void>): Promise<unknown> {
  try {
    await within(fn(), 'reading a corrupt file')
  } catch (error) {
    return error
  }
  return undefined
}

test('verify() lists what is wrong with each file that opens, and nothing for those that are right', async (t) => {
  for (const vector of maps) {
    if (isValid(vector) ? slow(vector) : isCorrupt(vector) && vector.detect === 'open') continue
    const map = new MapBuffer(bytesOf(vector), { strict: false })
    const report = await map.verify({ decode: true })
    t.is(report.ok, report.problems.length === 0)
    t.is(report.bytes, vector.bytes)
    t.is(report.entries, map.size)
    const codes = report.problems.map(({ code }) => code.replace('MILL_', ''))
    if (!isCorrupt(vector)) t.deepEqual(codes, vector.file === GAP ? ['BAD_OFFSETS'] : [], vector.file)
    else if (!vector.expectedError.includes('NONE')) {
      t.true(
        codes.some((code) => vector.expectedError.includes(code)),
        `${vector.file}: ${codes}`,
      )
    }
  }
})

test('salvage finds in a corrupt file what a reader without an index check would, and more where only the count is wrong', async (t) => {
  const right = truth(1)
  for (const vector of corrupt.filter(({ file }) => file.startsWith('c-v1-'))) {
    const bytes = bytesOf(vector)
    const problems: string[] = []
    const stream = salvage(bytes, { onProblem: ({ code }) => problems.push(code.replace('MILL_', '')) })
    if (vector.detect === 'open' && !/trunc-index|n-huge/.test(vector.file)) {
      expected(t, vector, await failure(gather(stream), vector.file), 'salvage')
      continue
    }
    const entries = await within(gather(stream), vector.file)
    // The order of labels is no matter here: all values can be read.
    t.is(problems.length === 0, vector.file.startsWith('c-v1-label-'), vector.file)
    const found = entries.map(([label, value]) => `${label} ${sha256(value)}`)
    const naive = /-n-(huge|plus1|minus1|zero)/.test(vector.file) ? fromTruth(right) : readNaively(bytes)
    t.deepEqual(found, naive, vector.file)
    if (/-n-(huge|plus1|minus1|zero)/.test(vector.file)) t.is(found.length, 9, vector.file)
  }

  function fromTruth(entries: Map<Label, string>): string[] {
    const order = new MapBuffer(bytesOf(corrupt.find(({ file }) => file === 'c-v1-flip-crc.mb') as Vector))
    return [...order.keys()].map((label) => `${label} ${entries.get(label)}`)
  }
})

/** By position, each entry as it is: between two offsets, if its checksum is right. Slow and simple. */
function readNaively(bytes: Buffer): string[] {
  const found: string[] = []
  const count = bytes.readUInt32LE(12)
  for (let i = 0; i < count; i++) {
    if (16 + 16 * count > bytes.length) break
    const label = bytes.readBigUInt64LE(16 + 16 * i)
    const from = bytes.readBigUInt64LE(24 + 16 * i)
    const to = i + 1 < count ? bytes.readBigUInt64LE(40 + 16 * i) : BigInt(bytes.length)
    if (from < 16n + 16n * BigInt(count) || to < from + 4n || to > BigInt(bytes.length)) continue
    const stored = bytes.subarray(Number(from), Number(to))
    const value = stored.subarray(0, -4)
    if (bitwiseCrc32c(value) === stored.readUInt32LE(stored.length - 4)) found.push(`${label} ${sha256(value)}`)
  }
  return found
}

function bitwiseCrc32c(bytes: Uint8Array): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return ~crc >>> 0
}

// ---- IntMap ------------------------------------------------------------------------------------------------------

test('IntMaps: valid ones read, and are written byte for byte', async (t) => {
  for (const vector of intMaps.filter(isValid)) {
    const bytes = bytesOf(vector)
    const entries = intEntriesOf(vector)
    const maps = [
      new IntMap(bytes),
      new IntMap(unaligned(bytes), { lookup: 'hash' }),
      new IntMap(shared(bytes), { lookup: 'search' }),
      await IntMap.open(pathOf(vector)),
    ]
    for (const map of maps) {
      t.is(map.size, vector.n, vector.file)
      t.is(digestOf(map), vector.digest, vector.file)
      if (vector.keysInFileOrder !== undefined) t.deepEqual([...map.keys()].map(String), vector.keysInFileOrder)
      if (vector.keyOrderSha256 !== undefined) t.is(keyOrderOf(map.keys()), vector.keyOrderSha256)
      for (const [label, value] of entries.slice(0, 500)) t.is(BigInt(map.get(label) as Label), value, vector.file)
      for (const miss of vector.misses ?? []) t.is(map.get(BigInt(miss)), undefined, vector.file)
    }
    t.true(vector.byteExactWriter)
    t.is(sha256(IntMap.from(shuffled(entries)).toBytes()), vector.fileSha256, vector.file)
  }
})

test('IntMaps: corrupt ones are refused', async (t) => {
  for (const vector of intMaps.filter(isCorrupt)) {
    const bytes = bytesOf(vector)
    expected(
      t,
      vector,
      thrownBy(() => new IntMap(bytes)),
      'constructor',
    )
    expected(t, vector, await failure(IntMap.open(bytes)), 'open()')
    const loose = thrownBy(() => new IntMap(bytes, { strict: false }))
    if (vector.detect === 'open') expected(t, vector, loose, 'constructor, not strict')
    else t.is(loose, undefined, vector.file)
  }
})
