import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { crc32c, HugeMap, IntMap, MapBuffer, memoryStore, openMapBufferSync } from 'millrace'

const root = new URL('../../', import.meta.url)
const text = (path: string): string => readFileSync(new URL(path, root), 'utf8')

test('every promise of SECURITY.md has a test, and every test that shows a promise shows one that is made', (t) => {
  const made = new Set(text('SECURITY.md').match(/(?<=^- \*\*)[A-Z]\d+(?=\*\*)/gm))
  const shown = new Set<string>()
  for (const file of readdirSync(new URL('test/', root))) {
    if (!file.endsWith('.test.ts')) continue
    for (const [, promise] of text(`test/${file}`).matchAll(/test(?:\.serial)?\(\s*['"`]([A-Z]\d+): /g))
      shown.add(promise as string)
  }
  t.true(made.size > 5)
  t.deepEqual([...shown].sort(), [...made].sort())
})

test('every code has its line in the README, and every line its code', (t) => {
  const codes = new Set(text('types/errors.ts').match(/(?<=\| ')[A-Z_]+(?=')/g))
  const lines = new Set(text('README.md').match(/(?<=^\| `)(?:MILL_[A-Z_]+|ABORT_ERR)(?=` \|)/gm))
  t.true(codes.size > 10)
  t.deepEqual([...lines].sort(), [...codes].sort())
})

test('the example of the README is the one that runs', (t) => {
  const { stdout, stderr } = spawnSync(process.execPath, ['dist/examples/readme.js'], { cwd: root, encoding: 'utf8' })
  t.is(stderr, '')
  t.is(stdout, 'hello\nworld\n')
  const [, shown] = text('README.md').match(/```ts\n([\s\S]*?)```/) ?? []
  t.is(shown, text('examples/readme.ts'))
})

test('G6: hostile input does nothing but give frames and errors, in a process that could do nothing else', async (t) => {
  const { allowedNodeEnvironmentFlags: flags } = process
  const { stdout } = await promisify(execFile)(process.execPath, [
    flags.has('--permission') ? '--permission' : '--experimental-permission',
    '--allow-fs-read=*',
    '--disallow-code-generation-from-strings',
    fileURLToPath(new URL('fixtures/confined.js', import.meta.url)),
    tmpdir(),
  ])
  t.is(stdout, '10 frames, 40 errors of ours, nothing else\n')
})

test('G1: a map whose writing was acknowledged is there when the process is killed the moment after', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const child = fileURLToPath(new URL('fixtures/acknowledged.js', import.meta.url))
  const { stdout, stderr, signal } = spawnSync(process.execPath, [child, folder], { encoding: 'utf8' })
  t.deepEqual([stderr, signal], ['', 'SIGKILL'])
  const written = stdout.trim().split('\n').map(Number)
  t.is(written.length, 20)
  for (const [i, bytes] of written.entries()) {
    using map = openMapBufferSync(join(folder, `${i}.mb`))
    t.is(map.byteLength, bytes)
    t.is(map.size, 100 * i)
    for (const [label, value] of map) t.deepEqual(value, new Uint8Array(50).fill(Number(label)))
  }
  t.is(readdirSync(folder).length, 20)
})

const FORMAT = text('docs/mapbuffer-format.md')
const hex = (digits: string): Uint8Array => new Uint8Array(Buffer.from(digits.replaceAll(/\s/g, ''), 'hex'))

test('the bytes in the description of the format are those that are written', (t) => {
  const lines = FORMAT.match(/(?<=^\d\d {2})(?:[\da-f]{2} {1,2})+/gm) ?? []
  const entries: [number | bigint, Uint8Array][] = [
    [1, hex('')],
    [5, Buffer.from('five')],
    [7, Buffer.from('seven')],
    [2n ** 63n, Buffer.from('big')],
  ]
  t.deepEqual(hex(lines.join('')), MapBuffer.from(entries).toBytes())
  const links = IntMap.from({ 1: 2, 300: 4 }).toBytes()
  t.true(FORMAT.includes('`69 6e 74 6d  00 03  02 00 00 00`'))
  t.deepEqual(links.subarray(0, 10), hex('69 6e 74 6d  00 03  02 00 00 00'))
  t.deepEqual([links[10], links[11], links[18], links[26], links[34]], [0x2c, 1, 4, 1, 2])
})

test('the bytes of keys and records in the description of a folder are those that are written', async (t) => {
  const [, tuple = ''] = text('docs/store-format.md').match(/So `\['a', 1\]` is `([\da-f ]+)`/) ?? []
  const store = memoryStore()
  await using map = await HugeMap.open<['a', number], string>(store, { value: 'string' })
  await using packed = await map.namespace<number, string>('packed', { value: 'string', compress: 'gzip' })
  await map.set(['a', 1], 'one')
  await packed.setMany([
    [1, 'one'],
    [2, 'x'.repeat(512)],
  ])
  const records = async (name: string) => {
    const table = await store.table(name)
    const found: [Uint8Array, Uint8Array][] = []
    for await (const some of table?.scan({}, { maxItems: 9, values: true }) ?? []) found.push(...(some as typeof found))
    return found
  }
  const [[key, value] = []] = await records('')
  t.deepEqual(key, hex(tuple))
  const crcOf = (bytes: Uint8Array, record: Uint8Array) => {
    const crc = new Uint8Array(4)
    new DataView(crc.buffer).setUint32(0, crc32c(Buffer.concat([bytes, record])), true)
    return Buffer.concat([crc, record])
  }
  t.deepEqual(Buffer.from(value ?? []), crcOf(hex(tuple), Buffer.from('one')))
  const [[one, plain] = [], [, gzipped] = []] = await records('packed')
  t.deepEqual(one, hex('20 bf f0 00 00 00 00 00 00'))
  t.deepEqual(Buffer.from(plain ?? []), crcOf(one ?? hex(''), Buffer.from('\0one')))
  t.deepEqual(gzipped?.slice(4, 7), hex('01 1f 8b'))
  t.deepEqual(await store.tables(), ['', 'packed'])
})

test('the order of rows is the one the description of the format computes', (t) => {
  t.true(FORMAT.includes('in file order are 6 3 8 1 5 7 9 0 2 4'))
  const labels = (count: number) => [
    ...MapBuffer.from(Array.from({ length: count }, (_, i) => [i, new Uint8Array()])).keys(),
  ]
  t.is(labels(10).join(' '), '6 3 8 1 5 7 9 0 2 4')
  for (let count = 1; count < 70; count++) {
    const rows = labels(count)
    const h = Math.floor(Math.log2(count))
    const m = count - (2 ** h - 1)
    for (let r = 0; r < count; r++) {
      const p = r < 2 * m ? r + 1 : 2 * (r - m) + 2
      const z = Math.log2(p & -p)
      t.is(rows[2 ** (h - z) + Math.floor(p / 2 ** (z + 1)) - 1], r)
    }
  }
})

test('M1: of all bit flips those go unnoticed that the description of the format lists, and no others', (t) => {
  const entries = Array.from(
    { length: 12 },
    (_, i) => [i * i * 7919 + 3, Buffer.from(`value ${i}${' '.repeat(i)}`)] as const,
  )
  const outcomes = (crc: boolean) => {
    const bytes = MapBuffer.from(entries, { crc }).toBytes()
    const counts: Record<string, number> = {}
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const flipped = bytes.slice()
      const byte = bit >> 3
      flipped[byte] = (flipped[byte] as number) ^ (1 << (bit & 7))
      const part =
        byte === 7 ? 'version' : byte < 16 ? 'header' : byte >= 208 ? 'value' : byte % 16 < 8 ? 'label' : 'offset'
      const name = `${part} ${outcome(flipped)}`
      counts[name] = (counts[name] ?? 0) + 1
    }
    return counts
  }
  const outcome = (bytes: Uint8Array): string => {
    let noticed = false
    try {
      const map = new MapBuffer(bytes)
      for (const [label, expected] of entries) {
        try {
          const value = map.get(label)
          if (value === undefined) return 'renamed'
          if (!expected.equals(value)) return 'wrong'
        } catch {
          noticed = true
        }
      }
    } catch {
      noticed = true
    }
    return noticed ? 'noticed' : 'unseen'
  }
  const seen = { 'header noticed': 120, 'label noticed': 526, 'label renamed': 242 }
  t.deepEqual(outcomes(true), {
    ...seen,
    'version noticed': 7,
    'version wrong': 1,
    'offset noticed': 768,
    'value noticed': 1600,
  })
  t.deepEqual(outcomes(false), {
    ...seen,
    'version noticed': 8,
    'offset noticed': 721,
    'offset wrong': 47,
    'value wrong': 1216,
  })
  for (const cell of ['242 not noticed', '47 wrong', 'all noticed, but the version byte without compression']) {
    t.true(FORMAT.includes(cell), cell)
  }
})
