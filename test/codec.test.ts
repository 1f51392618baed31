import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import { crc32c } from '../lib/base/crc32c.js'
import { isMillraceError, type MillraceError } from '../lib/base/errors.js'
import { inflate } from '../lib/codec/gzip.js'
import { codecOf, isCodec, loadCodec, registerCodec } from '../lib/codec/index.js'
import { loadZstd } from '../lib/codec/zstd.js'
import type { Codec } from '../types/codec.js'
import { within } from './fixtures/stream-kit.js'

const run = promisify(execFile)
const dist = fileURLToPath(new URL('../', import.meta.url))
const text = (words: string): Uint8Array => new TextEncoder().encode(words)
const join2 = (...parts: (Uint8Array | number[])[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]))

// ava's deepEqual takes seconds for a mebibyte.
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** Every implementation there is, also those that this Node would not choose. */
async function implementations(): Promise<[string, Codec][]> {
  const gzip = await loadCodec('gzip')
  return [
    ['none', await loadCodec('none')],
    ['gzip', gzip],
    ['gzip by pako', { name: 'gzip', encode: gzip.encode, decode: inflate }],
    ['br', await loadCodec('br')],
    ['zstd', await loadCodec('zstd')],
    ['zstd by wasm', await loadZstd({})],
    ['lzma', await loadCodec('lzma')],
  ]
}
const compressing = async () => (await implementations()).filter(([name]) => name !== 'none')

/** The error that `fn` throws, which must be one of ours. */
function ours(fn: () => unknown): MillraceError {
  try {
    fn()
  } catch (error) {
    if (isMillraceError(error)) return error
    throw error
  }
  throw new Error('did not throw')
}

function samples(): Uint8Array[] {
  const noise = new Uint8Array(70_000)
  for (let i = 0, seed = 1; i < noise.length; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0
    noise[i] = seed >>> 24
  }
  const words = text('skeleton vertex edge radius label chunk stream buffer '.repeat(40))
  return [new Uint8Array(0), Uint8Array.of(7), words, noise, noise.subarray(3, 1027), new Uint8Array(2 ** 20)]
}

test('what was encoded decodes, whatever its size, and neither side touches its input', async (t) => {
  for (const [name, codec] of await implementations()) {
    for (const data of samples()) {
      const copy = data.slice()
      const encoded = codec.encode(data)
      const encodedCopy = encoded.slice()
      const decoded = codec.decode(encoded, data.length)
      t.true(same(decoded, copy), `${name} ${data.length}`)
      t.true(same(data, copy) && same(encoded, encodedCopy), name)
      t.is(decoded.constructor, Uint8Array, name)
      t.is(encoded.constructor, Uint8Array, name)
    }
  }
})

test('shared memory and Buffers are as good as any bytes', async (t) => {
  const shared = new Uint8Array(new SharedArrayBuffer(300)).fill(9, 50)
  for (const [name, codec] of await implementations()) {
    const encoded = codec.encode(shared)
    const sharedEncoded = new Uint8Array(new SharedArrayBuffer(encoded.length))
    sharedEncoded.set(encoded)
    t.deepEqual([...codec.decode(sharedEncoded, 300)], [...shared], name)
    t.deepEqual([...codec.decode(Buffer.from(encoded), 300)], [...shared], name)
  }
})

test('small results do not keep large memory alive', async (t) => {
  for (const [name, codec] of await compressing()) {
    const encoded = codec.encode(text('a few bytes'))
    const decoded = codec.decode(encoded, 2 ** 28)
    t.true(encoded.buffer.byteLength < 1024, name)
    t.true(decoded.buffer.byteLength < 1024, name)
  }
})

test('cut at every byte, empty, or with bytes behind it: MILL_DECOMPRESS that names the codec', async (t) => {
  for (const [name, codec] of await compressing()) {
    const encoded = codec.encode(text('some words, some words, some more words'))
    for (let length = 0; length < encoded.length; length++) {
      const error = ours(() => codec.decode(encoded.subarray(0, length), 1000))
      t.like(error, { code: 'MILL_DECOMPRESS', name: 'CodecError', codec: codec.name }, `${name} ${length}`)
    }
    for (const tail of [[0], [7], [0, 0], [0x1f, 0x8b], [0x28, 0xb5, 0x2f, 0xfd], [0xfd, 0x37, 0x7a]]) {
      t.is(ours(() => codec.decode(join2(encoded, tail), 1000)).code, 'MILL_DECOMPRESS', `${name} + ${tail}`)
    }
  }
})

test('damage is an error of ours, or nothing that matters; never a wrong value where there is a checksum', async (t) => {
  const data = text('a text that is worth compressing, worth compressing indeed, and not too long')
  // Brotli has no checksum, and zstd none unless asked.
  const checked = new Set(['gzip', 'gzip by pako', 'lzma'])
  for (const [name, codec] of await compressing()) {
    const encoded = codec.encode(data)
    for (let bit = 0; bit < encoded.length * 8; bit++) {
      const damaged = encoded.slice()
      damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7))
      let decoded: Uint8Array
      try {
        decoded = codec.decode(damaged, 1000)
      } catch (error) {
        t.true(
          isMillraceError(error, 'MILL_DECOMPRESS') || isMillraceError(error, 'MILL_TOO_LARGE'),
          `${name} ${error}`,
        )
        continue
      }
      if (checked.has(name)) t.deepEqual(decoded, data, `${name} bit ${bit}`)
      else t.true(decoded.length <= 1000)
    }
  }
})

test('G2: noise is an error of ours', async (t) => {
  for (const [name, codec] of await compressing()) {
    const good = codec.encode(text('words'))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(good.length), (noise, keep) => {
        try {
          return codec.decode(join2(good.subarray(0, keep), noise), 10_000).length <= 10_000
        } catch (error) {
          return isMillraceError(error)
        }
      }),
      { numRuns: 300 },
    )
    t.pass(name)
  }
})

test('the limit: exactly is enough, one byte more is MILL_TOO_LARGE', async (t) => {
  for (const [name, codec] of await implementations()) {
    for (const length of [1, 100, 65_536, 300_001]) {
      const encoded = codec.encode(new Uint8Array(length).fill(5))
      t.is(codec.decode(encoded, length).length, length, name)
      t.is(codec.decode(encoded, Number.POSITIVE_INFINITY).length, length, name)
      const error = ours(() => codec.decode(encoded, length - 1))
      t.like(error, { code: 'MILL_TOO_LARGE', codec: codec.name, limit: length - 1 }, `${name} ${length}`)
    }
    t.is(codec.decode(codec.encode(new Uint8Array(0)), 0).length, 0, name)
    for (const wrong of [-1, Number.NaN, '5', undefined]) {
      t.is(ours(() => codec.decode(codec.encode(text('x')), wrong as number)).code, 'MILL_INVALID_ARGUMENT', name)
    }
  }
})

test('M2: a bomb of any codec costs little more than the limit', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bombs-'))
  try {
    const zeros = new Uint8Array(2 ** 26)
    const xz = (await loadCodec('lzma', { level: 1 })).encode(zeros)
    const member = zlib.gzipSync(zeros, { level: 1 })
    const bombs: [file: string, codec: string, data: Uint8Array][] = [
      ['one.gz', 'gzip', member],
      ['many.gz', 'gzip', Buffer.concat(new Array(500).fill(zlib.gzipSync(zeros.subarray(0, 2 ** 19))))],
      ['one.br', 'br', zlib.brotliCompressSync(zeros, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 2 } })],
      ['said.zst', 'zstd', (await loadCodec('zstd')).encode(zeros)],
      ['unsaid.zst', 'zstd', rleFrame(512)],
      ['lies.zst', 'zstd', rleFrame(1, 1000)],
      ['one.xz', 'lzma', xz],
      ['many.xz', 'lzma', Buffer.concat([xz, xz, xz, xz])],
    ]
    const child = fileURLToPath(new URL('fixtures/bombs.js', import.meta.url))
    await Promise.all(
      bombs.map(async ([file, codec, data]) => {
        writeFileSync(join(folder, file), data)
        const { stdout } = await within(run(process.execPath, [child, folder, file, codec]), file, 30_000)
        const [code, mebibytes] = stdout.trim().split(' ')
        t.is(code, file === 'lies.zst' ? 'MILL_DECOMPRESS' : 'MILL_TOO_LARGE', file)
        t.true(Number(mebibytes) <= 20, `${file} took ${mebibytes} MiB`)
      }),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})

// ---- Zstandard frames ------------------------------------------------------------------------------------------------

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd]

/** A frame of so many blocks of 128 KiB of the byte 1; its header says nothing of its size, or this. */
function rleFrame(blocks: number, size?: number): Uint8Array {
  const said = size === undefined ? [] : [size & 255, (size >>> 8) & 255, (size >>> 16) & 255, size >>> 24]
  // A window of 2 MiB.
  const parts = [...MAGIC, size === undefined ? 0x00 : 0x80, 0x58, ...said]
  for (let i = 1; i <= blocks; i++) {
    const header = (131_072 << 3) | (1 << 1) | (i === blocks ? 1 : 0)
    parts.push(header & 255, (header >>> 8) & 255, header >>> 16, 1)
  }
  return Uint8Array.from(parts)
}
/** A frame of one raw block, in a single segment. */
const rawFrame = (content: number[]): Uint8Array =>
  Uint8Array.from([...MAGIC, 0x20, content.length, (content.length << 3) | 1, 0, 0, ...content])

test('zstd: frames without a size, several frames, and frames to skip', async (t) => {
  for (const codec of [await loadCodec('zstd'), await loadZstd({})]) {
    const decode = (data: Uint8Array, limit = 2 ** 24): Uint8Array => codec.decode(data, limit)
    for (const blocks of [1, 8, 9, 33, 100]) {
      const decoded = decode(rleFrame(blocks))
      t.is(decoded.length, blocks * 131_072)
      t.true(decoded.every((byte) => byte === 1))
      t.is(ours(() => decode(rleFrame(blocks), blocks * 131_072 - 1)).code, 'MILL_TOO_LARGE')
      t.is(decode(rleFrame(blocks), blocks * 131_072).length, blocks * 131_072)
    }
    t.is(decode(rleFrame(3, 3 * 131_072)).length, 3 * 131_072)
    t.deepEqual([...decode(rawFrame([1, 2, 3]))], [1, 2, 3])
    t.deepEqual([...decode(join2(rawFrame([1, 2]), rawFrame([]), rawFrame([3])))], [1, 2, 3])
    // Eight bytes for the size: 2^40.
    const huge = Uint8Array.from([...MAGIC, 0xc0, 0x58, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0])
    t.like(
      ours(() => decode(huge)),
      { code: 'MILL_TOO_LARGE', length: 2 ** 40 },
    )
    t.is(ours(() => decode(huge, 2 ** 41)).code, 'MILL_DECOMPRESS')
    const skip = [0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9]
    t.deepEqual([...decode(join2(skip, rawFrame([1]), skip))], [1])
    t.deepEqual([...decode(join2(rleFrame(1), rawFrame([4]))).slice(131_071)], [1, 4])
    t.is(ours(() => decode(join2(rawFrame([1, 2]), rawFrame([3])), 2)).code, 'MILL_TOO_LARGE')
    t.is(ours(() => decode(join2(rleFrame(1), rleFrame(1)), 131_073)).code, 'MILL_TOO_LARGE')
    for (const [bad, why] of [
      [Uint8Array.from(skip), 'nothing but a frame to skip'],
      [join2(skip.slice(0, 9), []), 'a frame to skip, cut'],
      [rleFrame(1, 131_071), 'less in the header than in the frame'],
      [rleFrame(1, 131_073), 'more in the header than in the frame'],
      [Uint8Array.from([...MAGIC, 0x28, 0, 1, 0, 0]), 'a reserved bit'],
      [Uint8Array.from([...MAGIC, 0x20, 0, 7, 0, 0]), 'a reserved type of block'],
      [Uint8Array.from([...MAGIC, 0x20, 0, 1, 0, 0x20]), 'a block that is too long'],
      [Uint8Array.from([...MAGIC, 0x24, 0, 1, 0, 0]), 'a checksum that is missing'],
    ] as [Uint8Array, string][]) {
      t.is(ours(() => decode(bad)).code, 'MILL_DECOMPRESS', why)
    }
  }
})

test('zstd: what we write says its size, at every level, and both implementations read each other', async (t) => {
  const data = text('words and more words '.repeat(500))
  for (const level of [1, 3, 19, 22]) {
    const own = await loadCodec('zstd', { level })
    const wasm = await loadZstd({ level })
    for (const length of [0, 1, 255, 256, 10_000]) {
      const part = data.subarray(0, length)
      for (const [writer, reader] of [
        [own, wasm],
        [wasm, own],
      ] as [Codec, Codec][]) {
        const encoded = writer.encode(part)
        t.deepEqual(reader.decode(encoded, length), part)
        // Bits 7 and 6 tell the length of the size field, bit 5 that there is one in any case.
        t.true(((encoded[4] as number) & 0xe0) !== 0, `${level} ${length}`)
      }
    }
  }
})

// ---- gzip and xz -----------------------------------------------------------------------------------------------------

test('gzip: several members, names in headers; pako and node:zlib agree', async (t) => {
  const codec = await loadCodec('gzip')
  const member = codec.encode(text('one '))
  // FNAME: flag 8, a name that ends with a zero, behind the ten bytes of the header.
  const named = join2(member.subarray(0, 3), [8], member.subarray(4, 10), text('name\0'), member.subarray(10))
  for (const decode of [codec.decode, inflate]) {
    t.is(Buffer.from(decode(join2(member, codec.encode(text('two'))), 7)).toString(), 'one two')
    t.is(ours(() => decode(join2(member, member), 7)).code, 'MILL_TOO_LARGE')
    t.is(Buffer.from(decode(named, 4)).toString(), 'one ')
    t.is(ours(() => decode(zlib.deflateSync('raw zlib'), 100)).code, 'MILL_DECOMPRESS')
  }
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 5000 }), { minLength: 1, maxLength: 4 }),
      fc.nat(9),
      (parts, level) => {
        const encoded = Buffer.concat(parts.map((part) => zlib.gzipSync(part, { level })))
        const whole = Buffer.concat(parts)
        return whole.equals(inflate(encoded, whole.length)) && whole.equals(codec.decode(encoded, whole.length))
      },
    ),
    { numRuns: 100 },
  )
})

test('lzma: several streams, padding in fours, the older container', async (t) => {
  const codec = await loadCodec('lzma')
  const [one, two] = [codec.encode(text('one ')), codec.encode(text('two'))]
  const decode = (data: Uint8Array, limit = 100): string => Buffer.from(codec.decode(data, limit)).toString()
  t.is(one.subarray(0, 8).toString(), Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 4).toString(), 'CRC64')
  t.is(decode(join2(one, two)), 'one two')
  t.is(decode(join2(one, [0, 0, 0, 0], two, new Uint8Array(8))), 'one two')
  t.is(ours(() => decode(join2(one, [0, 0, 0], two))).code, 'MILL_DECOMPRESS')
  t.is(ours(() => decode(join2(one, two), 6)).code, 'MILL_TOO_LARGE')
  const alone = makeAlone(text('hello, hello, hello'))
  t.is(decode(alone), 'hello, hello, hello')
  t.is(ours(() => decode(alone.subarray(0, alone.length - 3))).code, 'MILL_DECOMPRESS')
})

test('lzma: a dictionary that needs far more memory than the limit is not allocated', async (t) => {
  const codec = await loadCodec('lzma')
  const greedy = makeAlone(text('hello, hello, hello'))
  // Bytes 1 to 4 are the size of the dictionary: 1 GiB.
  greedy.set([0, 0, 0, 0x40], 1)
  t.like(
    ours(() => codec.decode(greedy, 1000)),
    { code: 'MILL_TOO_LARGE', limit: 1000 },
  )
  t.is(Buffer.from(codec.decode(greedy, 2 ** 30)).toString(), 'hello, hello, hello')
})

/** The container .lzma, which only readers know here. */
function makeAlone(data: Uint8Array): Uint8Array {
  interface Native {
    bufferHandler: (piece?: Uint8Array | null) => void
    aloneEncoder(options: object): void
    code(data: Uint8Array | null, later: boolean): void
  }
  const { Stream } = createRequire(import.meta.url)('lzma-native') as { Stream: new () => Native }
  const stream = new Stream()
  const pieces: Uint8Array[] = []
  stream.bufferHandler = (piece) => {
    if (piece) pieces.push(piece)
  }
  stream.aloneEncoder({ preset: 6 })
  stream.code(data, false)
  stream.code(null, false)
  return Buffer.concat(pieces)
}

// ---- the registry ----------------------------------------------------------------------------------------------------

test('codecs are loaded once for each name and level', async (t) => {
  for (const name of ['none', 'gzip', 'br', 'zstd', 'lzma']) {
    const codec = await loadCodec(name)
    t.is(codec.name, name)
    t.true(isCodec(name))
    t.is(await loadCodec(name), codec)
    t.is(codecOf(name), codec)
    t.is(await loadCodec(name, {}), codec)
  }
  const best = await loadCodec('gzip', { level: 9 })
  t.is(await loadCodec('gzip', { level: 9 }), best)
  const fast = await loadCodec('gzip', { level: 1 })
  t.not(fast, best)
  const data = text('a, b, c, a, b, c, x, y, z, '.repeat(300).replaceAll('x', () => String(Math.random())))
  t.true(fast.encode(data).length > best.encode(data).length)
})

test('levels a codec does not have are refused', async (t) => {
  const levels: [string, number[], unknown[]][] = [
    ['gzip', [0, 9], [-1, 10, 1.5, '6', null]],
    ['br', [0, 11], [-1, 12]],
    ['zstd', [1, 22], [0, 23]],
    ['lzma', [0, 9], [-1, 10]],
  ]
  for (const [name, good, bad] of levels) {
    for (const level of good) t.is((await loadCodec(name, { level })).name, name)
    for (const level of bad) {
      await t.throwsAsync(
        loadCodec(name, { level: level as number }),
        { code: 'MILL_INVALID_ARGUMENT' },
        `${name} ${level}`,
      )
    }
  }
})

test('an unknown name is MILL_CODEC_UNKNOWN', async (t) => {
  for (const name of ['snap', '', 'GZIP', '00br', 'constructor', '__proto__']) {
    t.false(isCodec(name))
    await t.throwsAsync(loadCodec(name), { code: 'MILL_CODEC_UNKNOWN', name: 'CodecError' })
    t.like(
      ours(() => codecOf(name)),
      { code: 'MILL_CODEC_UNKNOWN', codec: name },
    )
  }
})

const reversing = (name: string): Codec => ({
  name,
  encode: (data) => data.slice().reverse(),
  decode: (data) => data.slice().reverse(),
})

test('registerCodec: at once, later, replaced, failed', async (t) => {
  registerCodec('rev', () => reversing('rev'))
  t.true(isCodec('rev'))
  t.deepEqual([...codecOf('rev').encode(Uint8Array.of(1, 2))], [2, 1])
  const first = codecOf('rev')
  const levels: (number | undefined)[] = []
  registerCodec('rev', async ({ level }) => {
    levels.push(level)
    return reversing('rev')
  })
  t.like(
    ours(() => codecOf('rev', { level: 4 })),
    { code: 'MILL_CODEC_NOT_LOADED', codec: 'rev' },
  )
  const [a, b] = await Promise.all([loadCodec('rev', { level: 4 }), loadCodec('rev', { level: 4 })])
  t.is(a, b)
  t.not(a, first)
  t.is(codecOf('rev', { level: 4 }), a)
  t.deepEqual(levels, [4])
  let tries = 0
  registerCodec('late', async () => {
    if (++tries === 1) throw new Error('not yet')
    return reversing('late')
  })
  await t.throwsAsync(loadCodec('late'), { message: 'not yet' })
  t.is((await loadCodec('late')).name, 'late')
  for (const wrong of [undefined, {}, { encode: () => {} }, Promise.resolve(5)]) {
    registerCodec('bad', () => wrong as unknown as Codec)
    await t.throwsAsync(loadCodec('bad'), { code: 'MILL_INVALID_ARGUMENT' })
  }
})

test('registerCodec refuses names no header can hold, and none', (t) => {
  for (const name of ['', 'abcde', '0abc', 'Abc', 'a-b', 'ä', 'none', 5, null]) {
    t.throws(() => registerCodec(name as string, () => reversing('x')), { code: 'MILL_INVALID_ARGUMENT' })
  }
  t.throws(() => registerCodec('abc', {} as () => Codec), { code: 'MILL_INVALID_ARGUMENT' })
})

// ---- what is not there -----------------------------------------------------------------------------------------------

test('where the optional packages are not installed, the error names the one to install, and checksums come out the same', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bare-'))
  try {
    cpSync(join(dist, 'lib'), join(folder, 'lib'), { recursive: true })
    mkdirSync(join(folder, 'node_modules'))
    symlinkSync(
      fileURLToPath(new URL('../../node_modules/pako', import.meta.url)),
      join(folder, 'node_modules', 'pako'),
      'dir',
    )
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    writeFileSync(
      join(folder, 'main.js'),
      `import { loadCodec } from './lib/codec/index.js'
       import { loadZstd } from './lib/codec/zstd.js'
       import { crc32c } from './lib/base/crc32c.js'
       const tell = (e) => e.code + ' ' + e.codec + ' ' + e.package + ' ' + e.message.includes(e.package) + ' ' + (e.cause !== undefined)
       const out = []
       await loadCodec('lzma').catch((e) => out.push(tell(e)))
       await loadZstd({}).catch((e) => out.push(tell(e)))
       out.push((await loadCodec('gzip')).name, (await loadCodec('br')).name, crc32c(new Uint8Array(5000).fill(7)))
       console.log(JSON.stringify(out))`,
    )
    const { stdout } = await within(run(process.execPath, [join(folder, 'main.js')]), 'bare', 20_000)
    t.deepEqual(JSON.parse(stdout), [
      'MILL_CODEC_MISSING lzma lzma-native true true',
      'MILL_CODEC_MISSING zstd @bokuweb/zstd-wasm true true',
      'gzip',
      'br',
      crc32c(new Uint8Array(5000).fill(7)),
    ])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test.serial('where there is no Node, gzip works, zstd is loaded, and the others are missing', async (t) => {
  const host = process as { getBuiltinModule?: unknown }
  const { getBuiltinModule } = host
  host.getBuiltinModule = undefined
  try {
    const gzip = await loadCodec('gzip', { level: 2 })
    t.deepEqual(gzip.decode(gzip.encode(text('words')), 5), text('words'))
    t.is(zlib.gunzipSync(gzip.encode(text('words'))).toString(), 'words')
    t.is(ours(() => codecOf('zstd', { level: 7 })).code, 'MILL_CODEC_NOT_LOADED')
    const zstd = await loadCodec('zstd', { level: 7 })
    t.is(codecOf('zstd', { level: 7 }), zstd)
    for (const name of ['br', 'lzma']) {
      const error = ours(() => codecOf(name, { level: 3 }))
      t.like(error, { code: 'MILL_CODEC_MISSING', codec: name })
      t.false('package' in error)
    }
  } finally {
    host.getBuiltinModule = getBuiltinModule
  }
})

test('crc32c: check value, every length around the borders, and in parts as a whole', (t) => {
  t.is(crc32c(text('123456789')), 0xe3069283)
  t.is(crc32c(new Uint8Array(0)), 0)
  const data = new Uint8Array(1200).map((_, i) => i * 7 + (i >> 3))
  for (const length of [0, 1, 3, 4, 15, 16, 17, 31, 32, 33, 127, 128, 129, 511, 512, 513, 1000, 1200]) {
    const bits = bitwise(data.subarray(0, length))
    t.is(crc32c(data.subarray(0, length)), bits, String(length))
    const shared = new Uint8Array(new SharedArrayBuffer(length))
    shared.set(data.subarray(0, length))
    t.is(crc32c(shared), bits, `${length}, shared`)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1500 }), fc.nat(1500), fc.nat(7), (bytes, cut, skip) => {
      const part = bytes.subarray(Math.min(skip, bytes.length))
      return crc32c(part.subarray(cut), crc32c(part.subarray(0, cut))) === bitwise(part)
    }),
    { numRuns: 200 },
  )
})

function bitwise(data: Uint8Array): number {
  let crc = -1
  for (const byte of data) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}
