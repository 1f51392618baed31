import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { isMillraceError, type LoadItError } from '../lib/base/errors.js'
import { loadSerializer } from '../lib/codec/serializer.js'
import { loadSessions } from '../lib/codec/session.js'
import { type FileOps, nodeFiles } from '../lib/loadit/file-ops.js'
import type { ShardKit } from '../lib/loadit/kit.js'
import { parseShardName, shardName, temporaryName } from '../lib/loadit/shard-names.js'
import { openShard } from '../lib/loadit/shard-open.js'
import { MISS, type ShardReader } from '../lib/loadit/shard-reader.js'
import { ShardWriter } from '../lib/loadit/shard-writer.js'
import { GOLDEN, GOLDEN_GZIP } from './fixtures/shard-golden.js'
import {
  type FileOp,
  failing,
  fill,
  newKit,
  oneFile,
  referenceShard,
  systemError,
  tempFolder,
} from './fixtures/shard-kit.js'
import { codeOf, failure, within } from './fixtures/stream-kit.js'

const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const newFolder = tempFolder((fn) => test.after.always(fn))
const encoder = new TextEncoder()

interface Item {
  id: number
  text: string
}
const itemAt = (i: number): Item => ({ id: i, text: `item ${i} `.repeat(1 + (i % 5)) })
const itemsOf = (count: number): Item[] => Array.from({ length: count }, (_, i) => itemAt(i))

/** A shard file with these items, and its path. */
async function write<T>(kit: ShardKit<T>, items: readonly T[], start = 0, ends = false): Promise<string> {
  const path = join(newFolder(), shardName(start, 1))
  const writer = await ShardWriter.create(kit, { start, path })
  await fill(writer, items, { ends, shardLength: Math.max(items.length, 1) })
  writer.reader(path).close()
  return path
}

/** Every item, one by one, or what it gave instead. */
async function readAll<T>(reader: ShardReader<T>): Promise<(T | LoadItError)[]> {
  const all: (T | LoadItError)[] = []
  for (let i = 0; i < reader.count; i++) {
    try {
      all.push(await reader.get(i))
    } catch (error) {
      all.push(error as LoadItError)
    }
  }
  return all
}

/** Every item, by runs of at most `max`. */
async function runAll<T>(reader: ShardReader<T>, max: number): Promise<T[]> {
  const all: T[] = []
  while (all.length < reader.count) {
    const some = await reader.run(all.length, max)
    if (some.length === 0 || some.length > max) throw new Error(`a run of ${some.length}`)
    all.push(...some)
  }
  return all
}

test('names: exactly two forms, everything else is nobody of ours', (t) => {
  t.deepEqual(parseShardName(shardName(4096, 7)), { start: 4096, gen: 7 })
  const token = '0123456789abcdef'
  t.deepEqual(parseShardName(temporaryName(0, 12, token)), { start: 0, gen: 12, token })
  const foreign = [
    '',
    'x',
    '1.shd',
    '01.2.shd',
    '1.02.shd',
    '-1.2.shd',
    '1.2.shd ',
    '1.2.SHD',
    '1..shd',
    '1.2.3.shd',
    '1e3.2.shd',
    '9007199254740993.1.shd',
    '99999999999999999999.1.shd',
    '.1.2.shd',
    '../1.2.shd',
    `1.2.${token}.shd`,
    '1.2.0123456789ABCDEF.tmp',
    '1.2.0123456789abcde.tmp',
    '1.2.tmp',
    `1.2.${token}.tmp.tmp`,
  ]
  for (const name of foreign) t.is(parseShardName(name), undefined, name)
})

test('format: byte for byte what its description says', async (t) => {
  const kit = await newKit<unknown>({ serializer: 'json', fingerprint: 'v1', blockBytes: 16 })
  const items = ['a', 'bcdef', { x: [1, 2, 3] }, null, 'this one is longer than a block', 7]
  const path = await write(kit, items, 12)
  const frames = items.map((item) => encoder.encode(JSON.stringify(item)))
  const blocks = [[0, 1], [2, 3].slice(0, 1), [3], [4], [5]].map((block) => block.map((i) => frames[i] as Uint8Array))
  const meta = '{"serializer":"json","compression":"none","fingerprint":"v1"}'
  t.deepEqual(readFileSync(path), Buffer.from(referenceShard({ start: 12, shardLength: 6, blocks, meta })))
  const empty = await write(kit, [], 18, true)
  t.deepEqual(
    readFileSync(empty),
    Buffer.from(referenceShard({ start: 18, shardLength: 1, blocks: [], meta, ends: true })),
  )
  await kit.close()
})

test('format: files of an earlier version are read, and written again byte for byte', async (t) => {
  const kit = await newKit<unknown>()
  const items = [
    { id: 1, name: 'one' },
    { id: 2, name: 'two', when: new Date(0) },
    [1n, new Map([['a', undefined]])],
    'x',
  ]
  const path = await write(kit, items)
  const golden = Buffer.from(GOLDEN, 'base64')
  t.is(readFileSync(path).toString('base64'), golden.toString('base64'))
  const old = join(newFolder(), shardName(0, 9))
  writeFileSync(old, golden)
  const reader = await openShard(kit, old, 0)
  t.deepEqual(await readAll(reader), items)
  reader.close()
  await kit.close()
  const packed = await newKit<Item>({ compression: 'gzip' })
  const gzip = join(newFolder(), shardName(0, 1))
  writeFileSync(gzip, Buffer.from(GOLDEN_GZIP, 'base64'))
  const unpacked = await openShard(packed, gzip, 0)
  t.deepEqual(await readAll(unpacked), itemsOf(20))
  await unpacked.check()
  unpacked.close()
  await packed.close()
})

test('L1: what goes in comes out: while it is written, after it, by item and by run', async (t) => {
  const anyItem = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.uint8Array({ minLength: 100, maxLength: 300 }),
    fc.constant(new Uint8Array(0)),
  )
  const property = fc.asyncProperty(
    fc.array(anyItem, { maxLength: 60 }),
    fc.constantFrom('none', 'gzip'),
    fc.constantFrom(0, 4096, 20_000, 10_000_000),
    fc.integer({ min: 1, max: 200 }),
    fc.array(fc.nat(), { maxLength: 40 }),
    fc.integer({ min: 1, max: 9 }),
    fc.boolean(),
    async (items, compression, bytes, blockBytes, picks, max, decoded) => {
      const kit = await newKit<Uint8Array>({
        serializer: 'bytes',
        compression,
        blockBytes,
        cache: { bytes, form: decoded ? 'decoded' : 'encoded' },
      })
      const path = join(newFolder(), shardName(0, 1))
      const writer = await ShardWriter.create(kit, { start: 0, path })
      for (const [i, item] of items.entries()) {
        const written = writer.add(item, true)
        if (written !== undefined) await written
        const pick = (picks[i % (picks.length || 1)] ?? i) % (i + 1)
        t.deepEqual(await writer.get(pick), items[pick])
      }
      const done = await writer.finish({ shardLength: 60, ends: true })
      t.is(done.count, items.length)
      t.is(done.bytes, statSync(path).size)
      t.is(done.crc, writer.contentCrc)
      const own = writer.reader(path)
      const opened = await openShard(kit, path, 0, done)
      for (const reader of [own, opened]) {
        for (const pick of picks) {
          if (items.length === 0) break
          const i = pick % items.length
          const found = reader.find(i)
          if (found !== MISS) t.deepEqual(found, items[i])
          t.deepEqual(await reader.get(i), items[i])
        }
        t.deepEqual(await runAll(reader, max), items)
        t.deepEqual(await Promise.all(items.map((_, i) => reader.get(i))), items)
        await reader.check()
        t.is(reader.facts.ends, true)
        t.is(reader.facts.shardLength, 60)
        reader.close()
      }
      await kit.close()
      t.is(kit.cache.bytes, 0)
      t.is(kit.handles.open, 0)
    },
  )
  await fc.assert(property, { numRuns: 60 * scale })
})

test('a value belongs to who read it; decoded ones are shared', async (t) => {
  for (const form of ['encoded', 'decoded'] as const) {
    const kit = await newKit<Item>({ cache: { form } })
    const path = await write(kit, itemsOf(10))
    const reader = await openShard(kit, path, 0)
    const [first] = (await reader.run(0, 1)) as Item[]
    const again = reader.peek(0)
    t.deepEqual(first, again)
    t.is(first === again, form === 'decoded')
    if (form === 'encoded') {
      ;(first as Item).text = 'changed'
      t.deepEqual(await reader.get(0), itemAt(0))
    }
    reader.close()
    await kit.close()
  }
})

test('undefined and null are items, and no misses', async (t) => {
  const kit = await newKit<unknown>()
  const path = await write(kit, [undefined, null, 0])
  const reader = await openShard(kit, path, 0)
  t.is(reader.find(0), MISS)
  t.deepEqual(await reader.run(0, 3), [undefined, null, 0])
  t.is(reader.find(0), undefined)
  t.is(reader.find(1), null)
  reader.close()
  await kit.close()
})

// ---- damage --------------------------------------------------------------------------------------------------------------

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

for (const compression of ['none', 'gzip']) {
  test(`L1: ${compression}: of every bit flipped and every length none gives a wrong value`, async (t) => {
    const items = itemsOf(6)
    const kit = await newKit<Item>({ compression, blockBytes: 100 })
    const good = readFileSync(await write(kit, items))
    await kit.close()
    const one = oneFile()
    const reading = await newKit<Item>({ compression, blockBytes: 100, files: one.files })
    const wrong: string[] = []
    const unnoticed: string[] = []
    const look = async (bytes: Uint8Array, what: string): Promise<void> => {
      one.bytes = bytes
      let reader: ShardReader<Item>
      try {
        reader = await openShard(reading, 'of bytes', 0)
      } catch (error) {
        if (!isMillraceError(error, 'MILL_SHARD_CORRUPT') || typeof (error as LoadItError).reason !== 'string')
          throw error
        return
      }
      const all = await readAll(reader)
      all.forEach((item, i) => {
        if (isMillraceError(item, 'MILL_SHARD_CORRUPT') ? (item as LoadItError).start !== 0 : !same(item, items[i]))
          wrong.push(what)
      })
      const damaged = all.filter((item) => isMillraceError(item)).length
      // One flipped bit spoils one frame, or one block of packed ones.
      if (compression === 'none' && damaged > 1) wrong.push(`${what}: ${damaged} items lost`)
      if (!isMillraceError(await failure(reader.check()).catch(() => undefined), 'MILL_SHARD_CORRUPT'))
        unnoticed.push(what)
      reader.close()
    }
    for (let bit = 0; bit < 8 * good.length; bit++) {
      const bytes = new Uint8Array(good)
      bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7))
      await look(bytes, `bit ${bit}`)
    }
    for (let length = 0; length < good.length; length++) await look(good.subarray(0, length), `length ${length}`)
    await look(Buffer.concat([good, Buffer.from([0])]), 'a byte more')
    await look(new Uint8Array(good.length), 'zeros')
    t.deepEqual(wrong, [])
    t.deepEqual(unnoticed, [])
    await reading.close()
    t.is(reading.handles.open, 0)
  })
}

test('L1: a file in the place of another one is refused', async (t) => {
  const kit = await newKit<Item>()
  const first = await write(kit, itemsOf(5), 0)
  const second = await write(kit, itemsOf(5), 5)
  const known = statSync(first).size
  const swapped = join(newFolder(), shardName(0, 1))
  copyFileSync(second, swapped)
  const error = (await failure(openShard(kit, swapped, 0))) as LoadItError
  t.is(error.code, 'MILL_SHARD_CORRUPT')
  t.is(error.start, 0)
  t.is(error.path, swapped)
  // The same place, but not what the catalog knows.
  for (const expected of [{ count: 4 }, { crc: 1 }, { bytes: known + 1 }]) {
    t.is(codeOf(await failure(openShard(kit, first, 0, expected))), 'MILL_SHARD_CORRUPT')
  }
  const other = await newKit<Item>({ serializer: 'json' })
  t.is(codeOf(await failure(openShard(other, first, 0))), 'MILL_SHARD_CORRUPT')
  await other.close()
  await kit.close()
  t.is(kit.handles.open, 0)
})

test('L1: a block that is damaged while it is open: its other items are still served, by run too', async (t) => {
  const items = itemsOf(40)
  const kit = await newKit<Item>({ serializer: 'json' })
  const path = await write(kit, items)
  const bytes = readFileSync(path)
  const at = bytes.indexOf('"id":7,')
  bytes[at + 3] = 0x78
  writeFileSync(path, bytes)
  const reader = await openShard(kit, path, 0)
  t.deepEqual(await reader.run(0, 100), items.slice(0, 7))
  t.is(codeOf(await failure(async () => reader.run(7, 100))), 'MILL_SHARD_CORRUPT')
  t.deepEqual(await reader.run(8, 100), items.slice(8))
  const all = await readAll(reader)
  t.is(codeOf(all[7]), 'MILL_SHARD_CORRUPT')
  t.deepEqual([...all.slice(0, 7), ...all.slice(8)], [...items.slice(0, 7), ...items.slice(8)])
  reader.close()
  await kit.close()
})

/** The checksum of the content as the tables of one block tell it, be that possible or not. */
function contentOf(bytes: Buffer, tablesAt: number, items: number): number {
  const rows = Buffer.alloc(8 * items)
  for (let i = 0; i < items; i++) {
    const row = tablesAt + 24 + 8 * i
    const to = bytes.readUInt32LE(i + 1 < items ? row + 8 : tablesAt + 12)
    rows.writeUInt32LE((to - bytes.readUInt32LE(row)) >>> 0, 8 * i)
    rows.writeUInt32LE(bytes.readUInt32LE(row + 4), 8 * i + 4)
  }
  return crc32(rows)
}

test('G3: tables that lie are refused, with checksums that fit, before anything is allocated for them', async (t) => {
  const kit = await newKit<Item>()
  const good = readFileSync(await write(kit, itemsOf(4)))
  const path = join(newFolder(), shardName(0, 1))
  const footerAt = good.length - 56
  const tablesAt = Number(good.readBigUInt64LE(footerAt + 8))
  const lies: [string, (bytes: Buffer) => void][] = [
    ['items', (bytes) => bytes.writeUInt32LE(0xffff_ffff, footerAt)],
    ['2^20 items', (bytes) => bytes.writeUInt32LE(2 ** 20, footerAt)],
    ['no items', (bytes) => bytes.writeUInt32LE(0, footerAt)],
    ['blocks', (bytes) => bytes.writeUInt32LE(0xffff_ffff, footerAt + 4)],
    ['no blocks', (bytes) => bytes.writeUInt32LE(0, footerAt + 4)],
    ['tables beyond', (bytes) => bytes.writeBigUInt64LE(2n ** 63n, footerAt + 8)],
    ['tables in the header', (bytes) => bytes.writeBigUInt64LE(8n, footerAt + 8)],
    ['meta', (bytes) => bytes.writeUInt32LE(0xffff_ffff, footerAt + 16)],
    ['dictionary', (bytes) => bytes.writeUInt32LE(0xffff_ffff, footerAt + 20)],
    ['plain bytes', (bytes) => bytes.writeBigUInt64LE(1n, footerAt + 24)],
    ['content', (bytes) => bytes.writeUInt32LE(1, footerAt + 32)],
    ['flags', (bytes) => bytes.writeUInt32LE(2, footerAt + 36)],
    ['a block before the blocks', (bytes) => bytes.writeBigUInt64LE(0n, tablesAt)],
    ['a block far away', (bytes) => bytes.writeBigUInt64LE(2n ** 62n, tablesAt)],
    ['a stored length', (bytes) => bytes.writeUInt32LE(0xffff_ffff, tablesAt + 8)],
    ['a plain length', (bytes) => bytes.writeUInt32LE(0xffff_ffff, tablesAt + 12)],
    ['a first item', (bytes) => bytes.writeUInt32LE(3, tablesAt + 16)],
    ['a frame that does not begin at 0', (bytes) => bytes.writeUInt32LE(1, tablesAt + 24)],
    ['a frame before the last one', (bytes) => bytes.writeUInt32LE(1, tablesAt + 24 + 16)],
    ['a frame behind its block', (bytes) => bytes.writeUInt32LE(0xffff_ffff, tablesAt + 24 + 24)],
    ['no meta data', (bytes) => bytes.write('[', bytes.length - 57)],
  ]
  const before = process.memoryUsage().arrayBuffers
  for (const [what, lie] of lies) {
    const bytes = Buffer.from(good)
    lie(bytes)
    if (what.startsWith('a frame')) bytes.writeUInt32LE(contentOf(bytes, tablesAt, 4), footerAt + 32)
    bytes.writeUInt32LE(crc32(bytes.subarray(tablesAt, footerAt)), footerAt + 40)
    bytes.writeUInt32LE(crc32(bytes.subarray(footerAt, footerAt + 44)), footerAt + 44)
    writeFileSync(path, bytes)
    t.is(codeOf(await failure(openShard(kit, path, 0), what)), 'MILL_SHARD_CORRUPT', what)
  }
  t.true(process.memoryUsage().arrayBuffers - before < 16 * 2 ** 20)
  // A header that promises more items than there are, and does not say that the data end.
  const header = Buffer.from(good)
  header.writeUInt32LE(5, 16)
  header.writeUInt32LE(crc32(header.subarray(0, 20)), 20)
  writeFileSync(path, header)
  t.is(codeOf(await failure(openShard(kit, path, 0))), 'MILL_SHARD_CORRUPT')
  await kit.close()
})

test('G3: a packed block that unpacks to more than it says is refused', async (t) => {
  const kit = await newKit<Uint8Array>({ serializer: 'bytes', compression: 'gzip', blockBytes: 2 ** 20 })
  const bytes = readFileSync(await write(kit, [new Uint8Array(2 ** 20)]))
  const footerAt = bytes.length - 56
  const tablesAt = Number(bytes.readBigUInt64LE(footerAt + 8))
  const frame = new Uint8Array(1000)
  bytes.writeUInt32LE(1000, tablesAt + 12)
  bytes.writeUInt32LE(crc32(frame), tablesAt + 24 + 4)
  bytes.writeBigUInt64LE(1000n, footerAt + 24)
  const content = Buffer.alloc(8)
  content.writeUInt32LE(1000)
  content.writeUInt32LE(crc32(frame), 4)
  bytes.writeUInt32LE(crc32(content), footerAt + 32)
  bytes.writeUInt32LE(crc32(bytes.subarray(tablesAt, footerAt)), footerAt + 40)
  bytes.writeUInt32LE(crc32(bytes.subarray(footerAt, footerAt + 44)), footerAt + 44)
  const path = join(newFolder(), shardName(0, 1))
  writeFileSync(path, bytes)
  const reader = await openShard(kit, path, 0)
  const error = (await failure(async () => reader.get(0))) as LoadItError
  t.is(error.code, 'MILL_SHARD_CORRUPT')
  t.is(codeOf(error.cause), 'MILL_TOO_LARGE')
  reader.close()
  await kit.close()
})

test('G6: what was planted under the name of a shard is neither followed nor waited for nor overwritten', async (t) => {
  const folder = newFolder()
  const victim = join(folder, 'victim')
  const path = join(folder, shardName(0, 1))
  const kit = await newKit<Item>()
  copyFileSync(await write(kit, itemsOf(3)), victim)
  const content = readFileSync(victim)
  const plants: (() => void)[] = [
    () => symlinkSync(victim, path),
    () => symlinkSync('/nowhere/at/all', path),
    () => mkdirSync(path),
    () => execFileSync('mkfifo', [path]),
  ]
  for (const plant of plants) {
    plant()
    t.is(codeOf(await failure(openShard(kit, path, 0))), 'MILL_SHARD_CORRUPT')
    const error = await failure(ShardWriter.create(kit, { start: 0, path }))
    t.is(codeOf(error), 'MILL_WRITE_FAILED')
    execFileSync('rm', ['-r', path])
  }
  writeFileSync(path, 'here already')
  t.is(codeOf(await failure(ShardWriter.create(kit, { start: 0, path }))), 'MILL_WRITE_FAILED')
  t.is(readFileSync(path, 'utf8'), 'here already')
  t.deepEqual(readFileSync(victim), content)
  const missing = (await failure(openShard(kit, join(folder, shardName(5, 1)), 5))) as LoadItError
  t.is(missing.code, 'MILL_SHARD_UNAVAILABLE')
  t.is(codeOf(missing.cause), 'ENOENT')
  await kit.close()
  t.is(kit.handles.open, 0)
})

// ---- items that don't fit ------------------------------------------------------------------------------------------------

test('an item that cannot be kept is named, and the shard goes on without it', async (t) => {
  const kit = await newKit<unknown>({ maxItemBytes: 1000 })
  const path = join(newFolder(), shardName(0, 1))
  const writer = await ShardWriter.create(kit, { start: 100, path })
  writer.add({ a: 1 }, true)
  const fault = (value: unknown): LoadItError => {
    try {
      writer.add(value, true)
    } catch (error) {
      return error as LoadItError
    }
    throw new Error('it was taken')
  }
  const refused = fault({ f: () => 1 })
  t.is(refused.code, 'MILL_SERIALIZE')
  t.is(refused.index, 101)
  t.is(refused.serializer, 'msgpack')
  t.true(refused.cause instanceof TypeError)
  class Point {
    x = 1
  }
  const changed = fault({ list: [0, { p: -0 }] })
  t.is(changed.code, 'MILL_FIDELITY')
  t.is(changed.index, 101)
  t.is(changed.path, 'list[1].p')
  t.regex(changed.message, /'v8'/)
  t.is(fault(new Point()).code, 'MILL_FIDELITY')
  const large = fault('x'.repeat(1001))
  t.is(large.code, 'MILL_ITEM_TOO_LARGE')
  t.is(large.index, 101)
  t.true((large.bytes ?? 0) > 1000)
  t.is(large.limit, 1000)
  // Without a look it is taken as the serializer takes it.
  writer.add(Object.assign(Object.create(null), { n: -0 }), false)
  await writer.finish({ shardLength: 2, ends: false })
  const reader = writer.reader(path)
  t.deepEqual(await readAll(reader), [{ a: 1 }, { n: 0 }])
  reader.close()
  await kit.close()
})

test('a serializer of one’s own: with sessions and without, and what it does wrong', async (t) => {
  const plain = {
    name: 'plain',
    encode: (value: string) => encoder.encode(value),
    decode: (data: Uint8Array) => new TextDecoder().decode(data),
  }
  const words = {
    ...plain,
    name: 'words',
    session(dictionary?: Uint8Array) {
      const list: string[] = dictionary === undefined ? [] : JSON.parse(new TextDecoder().decode(dictionary))
      return {
        encode(value: string) {
          if (!list.includes(value)) list.push(value)
          return Uint8Array.of(list.indexOf(value))
        },
        decode: (data: Uint8Array) => list[data[0] as number] as string,
        dictionary: () => encoder.encode(JSON.stringify(list)),
      }
    },
  }
  const items = ['a', 'b', 'a', '', 'ccc', 'a']
  for (const serializer of [plain, words]) {
    const kit = await newKit<string>({ serializer })
    const path = await write(kit, items)
    const reader = await openShard(kit, path, 0)
    t.deepEqual(await readAll(reader), items)
    t.is(reader.facts.meta.serializer, serializer.name)
    reader.close()
    await kit.close()
  }
  const broken = {
    name: 'broken',
    encode: () => 'text' as never,
    decode: (data: Uint8Array): string => String(data[9]),
  }
  const kit = await newKit<string>({ serializer: broken })
  const writer = await ShardWriter.create(kit, { start: 0, path: undefined })
  t.throws(() => writer.add('x', false), { code: 'MILL_SERIALIZE' })
  await writer.discard()
  await kit.close()
  // What can't be decoded though its checksum is right: the shard is no good.
  const odd = {
    ...plain,
    name: 'odd',
    decode: (data: Uint8Array): string => plain.decode(data).replace('ccc', () => JSON.parse('{')),
  }
  const oddKit = await newKit<string>({ serializer: odd })
  const reader = await openShard(oddKit, await write(oddKit, items), 0)
  t.deepEqual(await reader.run(1, 9), items.slice(1, 4))
  for (const read of [() => reader.run(4, 9), () => reader.get(4)]) {
    const error = (await failure(async () => read())) as LoadItError
    t.is(error.code, 'MILL_SHARD_CORRUPT')
    t.true(error.cause instanceof SyntaxError)
  }
  t.is(await reader.get(5), 'a')
  reader.close()
  await oddKit.close()
})

test('sessions: 20,000 values of over 1,000 shapes, decoded at random by a fresh one', async (t) => {
  const sessions = await loadSessions(await loadSerializer<unknown>('msgpack'))
  const writing = sessions()
  const values: unknown[] = []
  const frames: Uint8Array[] = []
  let seed = 1
  const random = (n: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * n)
  }
  for (let i = 0; i < 20_000; i++) {
    const kind = random(1200)
    const value = {
      [`k${kind}`]: i,
      id: i,
      [`m${kind % 31}`]: [{ [`n${random(40)}`]: 'x'.repeat(random(20)) }],
      d: new Date(i),
    }
    values.push(value)
    frames.push(writing.encode(value).slice())
    // Read at once, too, by the session that still writes.
    if (i % 7 === 0) t.deepEqual(writing.decode(frames[i] as Uint8Array, 0, (frames[i] as Uint8Array).length), value)
  }
  const dictionary = writing.dictionary()
  t.is((JSON.parse(new TextDecoder().decode(dictionary)) as unknown[]).length, 32)
  const reading = sessions(dictionary)
  for (let n = 0; n < 20_000; n++) {
    const i = random(20_000)
    const frame = frames[i] as Uint8Array
    if (!same(reading.decode(frame, 0, frame.length), values[i])) t.fail(`value ${i}`)
  }
  // The same values give the same bytes.
  const again = sessions()
  t.true(values.every((value, i) => Buffer.compare(again.encode(value), frames[i] as Uint8Array) === 0))
  for (const bad of ['{', '{}', '[1]', '[[1]]', JSON.stringify(Array(33).fill(['a']))]) {
    t.throws(() => sessions(encoder.encode(bad)))
  }
})

// ---- memory and descriptors ----------------------------------------------------------------------------------------------

for (const form of ['encoded', 'decoded'] as const) {
  test(`G3: ${form}: the cache stays within its limit, whatever is read, and gives the right items`, async (t) => {
    await readAtRandom(t, form)
  })
}

async function readAtRandom(t: ExecutionContext, form: 'encoded' | 'decoded'): Promise<void> {
  const limit = 64 * 1024
  const kit = await newKit<Item>({ cache: { bytes: limit, form }, blockBytes: 4096 })
  const perShard = 300
  const readers: ShardReader<Item>[] = []
  for (let k = 0; k < 6; k++) {
    const items = Array.from({ length: perShard }, (_, i) => itemAt(k * perShard + i))
    readers.push(await openShard(kit, await write(kit, items, k * perShard), k * perShard))
  }
  let seed = 7
  let most = 0
  for (let n = 0; n < 6000 * scale; n++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0
    const k = seed % 6
    const i = (seed >>> 8) % perShard
    const reader = readers[k] as ShardReader<Item>
    if (reader.closed) {
      // Tables of many shards take too much: the coldest has gone, and can be had again.
      readers[k] = await openShard(kit, reader.path, reader.start)
      continue
    }
    if ((seed >>> 20) % 8 === 0) {
      const run = await reader.run(i, 20)
      t.deepEqual(run[0], itemAt(reader.start + i))
      t.deepEqual(run.at(-1), itemAt(reader.start + i + run.length - 1))
    } else if (!same(await reader.get(i), itemAt(reader.start + i))) t.fail(`item ${reader.start + i}`)
    most = Math.max(most, kit.cache.bytes)
  }
  t.true(kit.stats.hits > 0 && kit.stats.reads > 0)
  t.true(most > limit / 2, `${most}`)
  // What is walked through at the moment stays in any case.
  t.true(most <= limit + 4 * (form === 'encoded' ? 4096 : 30_000), `${most}`)
  for (const reader of readers) reader.close()
  t.is(kit.cache.bytes, 0)
  await kit.close()
}

test('reads at the same time: each gets its item, a block is read once', async (t) => {
  const items = itemsOf(2000)
  for (const compression of ['none', 'gzip']) {
    for (const bytes of [0, 2 ** 28]) {
      const kit = await newKit<Item>({ cache: { bytes }, compression, blockBytes: 8192 })
      // As on a disk that is slow: nothing is read at once.
      kit.pace.allows = () => false
      const reader = await openShard(kit, await write(kit, items), 0)
      const order = items.map((_, i) => (i * 7919) % items.length)
      const got = await within(Promise.all(order.map((i) => reader.get(i))), 'reading')
      t.deepEqual(
        got,
        order.map((i) => items[i]),
      )
      const runs = await within(Promise.all(order.slice(0, 300).map((i) => reader.run(i, 5))), 'running')
      runs.forEach((run, n) => {
        t.deepEqual(run, items.slice(order[n] as number, (order[n] as number) + run.length))
      })
      if (bytes > 0 && compression === 'gzip') t.true(kit.stats.reads < 100, `${kit.stats.reads}`)
      reader.close()
      await kit.close()
      t.is(kit.handles.open, 0)
    }
  }
})

test('closed with reads under way: they end, and the descriptor goes with the last', async (t) => {
  const kit = await newKit<Item>({ blockBytes: 4096, cache: { bytes: 0 } })
  kit.pace.allows = () => false
  const items = itemsOf(500)
  const reader = await openShard(kit, await write(kit, items), 0)
  const reads = Array.from({ length: 50 }, async (_, i) => reader.get(i * 10))
  const runs = Array.from({ length: 5 }, async (_, i) => reader.run(i * 100, 3))
  reader.close()
  const settled = await within(Promise.allSettled<Item | Item[]>([...reads, ...runs]), 'reading')
  settled.forEach((each, n) => {
    if (each.status === 'rejected') t.is(codeOf(each.reason), 'MILL_SHARD_UNAVAILABLE')
    else t.deepEqual([each.value].flat()[0], items[n < 50 ? n * 10 : (n - 50) * 100])
  })
  t.is(codeOf(await failure(async () => reader.get(0))), 'MILL_SHARD_UNAVAILABLE')
  await kit.close()
  t.is(kit.handles.open, 0)
  t.is(kit.cache.bytes, 0)
})

test('at most 64 descriptors, and all shards can be read; none left idle for long', async (t) => {
  const kit = await newKit<Item>()
  const readers: ShardReader<Item>[] = []
  for (let k = 0; k < 100; k++) readers.push(await openShard(kit, await write(kit, [itemAt(k)], k), k))
  t.true(kit.handles.open <= 64, `${kit.handles.open}`)
  for (const [k, reader] of readers.entries()) t.deepEqual(await reader.get(0), itemAt(k))
  t.true(kit.handles.open <= 64, `${kit.handles.open}`)
  for (const reader of readers) reader.close()
  await kit.close()
  t.is(kit.handles.open, 0)
})

test('a descriptor that nobody uses for some seconds is closed, one in use is not', async (t) => {
  const kit = await newKit<Item>({ cache: { bytes: 0 } })
  const used = await openShard(kit, await write(kit, itemsOf(100)), 0)
  const idle = await openShard(kit, await write(kit, itemsOf(100)), 0)
  t.is(kit.handles.open, 2)
  const isOnlyOne = async (): Promise<void> => {
    for (let i = 0; kit.handles.open > 1; i++) {
      t.deepEqual(await used.get(i % 100), itemAt(i % 100))
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  await within(isOnlyOne(), 'closing the other one', 30_000)
  t.is(kit.handles.open, 1)
  const { reads } = kit.stats
  t.deepEqual(await idle.get(1), itemAt(1))
  t.is(kit.stats.reads, reads + 1)
  t.is(kit.handles.open, 2)
  used.close()
  idle.close()
  await kit.close()
})

test('a descriptor that rests is opened again; a file that has gone meanwhile is said to be', async (t) => {
  const kit = await newKit<Item>({ cache: { bytes: 0 } })
  const path = await write(kit, itemsOf(100))
  const reader = await openShard(kit, path, 0)
  t.deepEqual(await reader.get(3), itemAt(3))
  t.true(await kit.handles.giveBack())
  t.is(kit.handles.open, 0)
  t.deepEqual(await reader.get(4), itemAt(4))
  t.is(kit.handles.open, 1)
  unlinkSync(path)
  t.deepEqual(await reader.get(5), itemAt(5))
  await kit.handles.giveBack()
  const error = (await failure(async () => reader.get(6))) as LoadItError
  t.is(error.code, 'MILL_SHARD_UNAVAILABLE')
  t.is(codeOf(error.cause), 'ENOENT')
  reader.close()
  await kit.close()
})

test('a finished shard without a name stays readable until it is closed', async (t) => {
  const kit = await newKit<Item>({ cache: { bytes: 0 }, blockBytes: 256 })
  const folder = newFolder()
  const path = join(folder, 'x.tmp')
  const items = itemsOf(50)
  const writer = await ShardWriter.create(kit, { start: 0, path })
  await fill(writer, items)
  const reader = writer.reader()
  await writer.discard()
  t.deepEqual(readdirSync(folder), [])
  t.false(await kit.handles.giveBack())
  t.deepEqual(await runAll(reader, 10), items)
  t.deepEqual(await readAll(reader), items)
  reader.close()
  await kit.close()
  t.is(kit.handles.open, 0)
})

test('in memory from the start: the same items, the same checksum, no file', async (t) => {
  const items = itemsOf(50)
  const kit = await newKit<Item>({ cache: { bytes: 0 }, blockBytes: 256 })
  const writer = await ShardWriter.create(kit, { start: 0, path: undefined })
  const done = await fill(writer, items)
  t.true(writer.inMemory)
  t.true(writer.memoryBytes >= writer.bytes)
  const path = await write(kit, items)
  const opened = await openShard(kit, path, 0, done)
  const reader = writer.reader()
  t.deepEqual(await readAll(reader), items)
  t.deepEqual(await runAll(reader, 7), items)
  t.is(reader.peek(49)?.id, 49)
  await reader.check()
  reader.close()
  opened.close()
  await kit.close()
  t.is(kit.cache.bytes, 0)
})

test('given up half-way: no file, no descriptor, no memory, and its readers are told', async (t) => {
  const kit = await newKit<Item>({ blockBytes: 256 })
  const folder = newFolder()
  const writer = await ShardWriter.create(kit, { start: 0, path: join(folder, 'x.tmp') })
  for (const item of itemsOf(30)) await writer.add(item, false)
  t.deepEqual(await writer.get(12), itemAt(12))
  await Promise.all([writer.discard(), writer.discard()])
  t.deepEqual(readdirSync(folder), [])
  t.throws(() => writer.add(itemAt(1), false), { code: 'MILL_CLOSED' })
  t.is(codeOf(await failure(async () => writer.get(12))), 'MILL_SHARD_UNAVAILABLE')
  await kit.close()
  t.is(kit.cache.bytes, 0)
  t.is(kit.handles.open, 0)
})

// ---- faults of the file system -------------------------------------------------------------------------------------------

const OPERATIONS: [op: FileOp, hows: string[]][] = [
  ['open', ['EIO', 'EMFILE', 'ENOSPC']],
  ['write', ['ENOSPC', 'EIO', 'EDQUOT', 'EFBIG', 'short']],
  ['fdatasync', ['EIO', 'ENOSPC']],
  ['read', ['EIO', 'short']],
  ['readSync', ['EIO', 'short']],
  ['fstat', ['EIO']],
  ['close', ['EIO']],
  ['unlink', ['EBUSY']],
]

test('L3: whatever call fails while a shard is made and read: right items or one of our codes, and nothing left', async (t) => {
  const items = itemsOf(20)
  let cases = 0
  for (const [op, hows] of OPERATIONS) {
    for (const how of hows) {
      for (const forGood of [false, true]) {
        for (const answer of [undefined, 'memory', 'retry'] as const) {
          for (let at = 1; ; at += at < 6 ? 1 : 5) {
            const fault = failing(op, at, how, forGood)
            const kit = await newKit<Item>({ files: fault.files, blockBytes: 300, cache: { bytes: 4096 } })
            const folder = newFolder()
            const path = join(folder, 'x.tmp')
            const what = `${op} ${how} ${at} ${forGood ? 'for good' : 'once'} ${answer}`
            // A short count is no fault, and what could not be written is in memory if that is the answer.
            const isAnswered = answer !== undefined && (op === 'write' || op === 'fdatasync')
            const mustWork = how === 'short' || op === 'close' || op === 'unlink' || isAnswered
            let asked = 0
            const onFull = async (error: Error): Promise<'retry' | 'memory'> => {
              if (!isMillraceError(error)) throw new Error(`${what}: ${error}`)
              return answer === 'retry' && ++asked < 3 ? 'retry' : 'memory'
            }
            try {
              await within(makeAndRead(kit, path, items, answer && onFull), what)
            } catch (error) {
              if (mustWork || !isMillraceError(error)) throw new Error(`${what}: ${error}`, { cause: error })
              t.true(
                ['MILL_DISK_FULL', 'MILL_WRITE_FAILED', 'MILL_SHARD_CORRUPT', 'MILL_SHARD_UNAVAILABLE'].includes(
                  error.code,
                ),
                what,
              )
              if (error.code === 'MILL_DISK_FULL') t.true(['ENOSPC', 'EDQUOT', 'EFBIG'].includes(how), what)
            }
            await kit.close()
            t.is(kit.handles.open, 0, what)
            if (op !== 'unlink') t.deepEqual(readdirSync(folder), [], what)
            cases++
            if (fault.calls < at) break
          }
        }
      }
    }
  }
  t.true(cases > 300, `${cases}`)
})

/** A shard's whole life; it is gone afterwards. */
async function makeAndRead(
  kit: ShardKit<Item>,
  path: string,
  items: readonly Item[],
  onFull: ((error: Error, needed: number) => Promise<'retry' | 'memory'>) | undefined,
): Promise<void> {
  const writer = await ShardWriter.create(kit, { start: 0, path, onFull })
  const readers: ShardReader<Item>[] = []
  try {
    for (const [i, item] of items.entries()) {
      const written = writer.add(item, false)
      if (written !== undefined) await written
      const at = (i * 5) % (i + 1)
      if (!same(await writer.get(at), items[at])) throw new Error('another item')
    }
    const done = await writer.finish({ shardLength: items.length, ends: false, sync: true })
    const reader = writer.reader()
    readers.push(reader)
    if (!same(await runAll(reader, 8), items)) throw new Error('other items')
    if (writer.inMemory) return
    readers.push(await openShard(kit, path, 0, done))
    if (!same(await runAll(readers[1] as ShardReader<Item>, 8), items)) throw new Error('other items from the file')
    for (let i = 0; i < items.length; i += 7) {
      if (!same(await (readers[1] as ShardReader<Item>).get(i), items[i])) throw new Error('another item from the file')
    }
  } finally {
    for (const reader of readers) reader.close()
    await writer.discard()
  }
}

for (const cacheBytes of [2048, 20_000]) {
  test(`L3: a disk that fills up: onFull is asked, the shard goes on in memory, with a cache of ${cacheBytes}`, async (t) => {
    await fillDisk(t, cacheBytes)
  })
}

async function fillDisk(t: ExecutionContext, cacheBytes: number): Promise<void> {
  const items = itemsOf(200)
  const fault = failing('write', 5, 'ENOSPC', true)
  const kit = await newKit<Item>({ files: fault.files, blockBytes: 512, cache: { bytes: cacheBytes } })
  const other = await newKit<Item>({ blockBytes: 512 })
  const another = await openShard(kit, await write(other, items), 0)
  const folder = newFolder()
  const path = join(folder, 'x.tmp')
  const asked: [unknown, number][] = []
  const writer = await ShardWriter.create(kit, {
    start: 0,
    path,
    onFull: async (error, needed) => {
      asked.push([error.code, needed])
      t.is(codeOf(error.cause), 'ENOSPC')
      return 'memory'
    },
  })
  const done = await fill(writer, items)
  t.is(asked.length, 1)
  t.is(asked[0]?.[0], 'MILL_DISK_FULL')
  t.true((asked[0]?.[1] ?? 0) > 0)
  t.true(writer.inMemory)
  t.true(writer.memoryBytes >= writer.bytes)
  t.deepEqual(readdirSync(folder), [])
  const reader = writer.reader()
  // Others take the cache; what is in memory for good stays.
  t.deepEqual(await runAll(another, 20), items)
  t.deepEqual(await readAll(reader), items)
  another.close()
  await other.close()
  t.is(done.count, 200)
  reader.close()
  await writer.discard()
  await kit.close()
  t.is(kit.cache.bytes, 0)
}

test('L3: nobody to ask: the error comes from where the item was added', async (t) => {
  const fault = failing('write', 1, 'EDQUOT', true)
  const kit = await newKit<Item>({ files: fault.files, blockBytes: 512 })
  const folder = newFolder()
  const path = join(folder, 'x.tmp')
  const writer = await ShardWriter.create(kit, { start: 7, path })
  const error = (await failure(fill(writer, itemsOf(200)))) as LoadItError
  t.is(error.code, 'MILL_DISK_FULL')
  t.is(error.start, 7)
  t.true((error.needed ?? 0) > 0)
  t.is(codeOf(error.cause), 'EDQUOT')
  // What was added is still there to be read.
  t.deepEqual(await writer.get(0), itemAt(0))
  await writer.discard()
  t.deepEqual(readdirSync(folder), [])
  await kit.close()
})

test('without descriptors: those that nobody uses are given back', async (t) => {
  let refused = 0
  let isShort = false
  const open: FileOps['open'] = (...args) => {
    if (!isShort || kit.handles.open === 0) return nodeFiles.open(...args)
    refused++
    return Promise.reject(systemError('EMFILE'))
  }
  const kit = await newKit<Item>({ cache: { bytes: 0 }, files: { ...nodeFiles, open } })
  const first = await openShard(kit, await write(kit, itemsOf(20)), 0)
  const path = await write(kit, itemsOf(20))
  isShort = true
  const second = await openShard(kit, path, 0)
  t.is(refused, 1)
  t.deepEqual(await second.get(1), itemAt(1))
  t.deepEqual(await first.get(2), itemAt(2))
  t.is(refused, 2)
  first.close()
  second.close()
  await kit.close()
})

test('a file that gets shorter while it is read is damaged, not at its end', async (t) => {
  const kit = await newKit<Item>({ cache: { bytes: 0 }, blockBytes: 512 })
  const path = await write(kit, itemsOf(100))
  const reader = await openShard(kit, path, 0)
  writeFileSync(path, readFileSync(path).subarray(0, 100))
  t.is(codeOf(await failure(async () => reader.get(99))), 'MILL_SHARD_CORRUPT')
  t.is(codeOf(await failure(async () => reader.run(99, 1))), 'MILL_SHARD_CORRUPT')
  t.is(codeOf(await failure(reader.check())), 'MILL_SHARD_CORRUPT')
  reader.close()
  await kit.close()
})

test('slow reads are not made to wait for: after some the disk is read beside the event loop', async (t) => {
  const kit = await newKit<Item>({ cache: { bytes: 0 } })
  const reader = await openShard(kit, await write(kit, itemsOf(5000)), 0)
  const isSync = (i: number): boolean => {
    const got = reader.get(i)
    if (!(got instanceof Promise)) return true
    got.catch(() => {})
    return false
  }
  t.true(isSync(1))
  // Each takes 10 ms from now on.
  const { now } = performance
  let clock = now.call(performance)
  performance.now = () => (clock += 10)
  const sync: boolean[] = []
  try {
    for (let i = 0; i < 200; i++) sync.push(isSync(i * 2))
  } finally {
    performance.now = now
  }
  t.true(sync.filter(Boolean).length < 10, `${sync.filter(Boolean).length}`)
  t.true(sync.includes(false))
  reader.close()
  await within(kit.close(), 'closing')
})

test('renamed under way: the reader goes by the name that it was told', async (t) => {
  const kit = await newKit<Item>({ cache: { bytes: 0 } })
  const folder = newFolder()
  const items = itemsOf(30)
  const temporary = join(folder, temporaryName(0, 1, '0123456789abcdef'))
  const path = join(folder, shardName(0, 1))
  const writer = await ShardWriter.create(kit, { start: 0, path: temporary })
  await fill(writer, items)
  renameSync(temporary, path)
  const reader = writer.reader(path)
  await writer.discard()
  t.true(existsSync(path))
  t.true(await kit.handles.giveBack())
  t.deepEqual(await readAll(reader), items)
  appendFileSync(path, 'x')
  t.is(codeOf(await failure(openShard(kit, path, 0))), 'MILL_SHARD_CORRUPT')
  reader.close()
  await kit.close()
})
