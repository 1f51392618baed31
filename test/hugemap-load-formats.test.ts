import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as zlib from 'node:zlib'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import test from 'ava'
import { bulkLoad } from '../lib/hugemap/bulk-load.js'
import type { LoadFormat, LoadOptions } from '../lib/hugemap/index.js'
import { HugeMap } from '../lib/hugemap/index.js'
import { binRecords, entriesOf, inLanes, LIMIT, ownFolder, refusal } from './fixtures/load-kit.js'
import { codeOf, within } from './fixtures/stream-kit.js'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Loads a text as a file and gives back what the map has. */
async function loadText(
  folder: string,
  text: string | Uint8Array,
  options: LoadOptions<never, never>,
  name = 'input',
): Promise<[unknown, unknown][]> {
  writeFileSync(join(folder, name), text)
  const path = join(folder, `map-${Math.random().toString(36).slice(2)}`)
  await within(HugeMap.load(path, join(folder, name), options), 'load', LIMIT)
  return entriesOf<unknown, unknown>(path)
}

test('tsv: text up to the first TAB is the key; LF, CRLF, empty lines, no last line end', async (t) => {
  const folder = ownFolder(t)
  const format: LoadFormat = { type: 'tsv' }
  const text = 'b\t2\tmore\r\n\n\r\na\t1\n\u00e9\u{1f600}\t\u00fc\nempty\t\nlast\t\u{1f600}'
  t.deepEqual(await loadText(folder, text, { format }), [
    ['a', '1'],
    ['b', '2\tmore'],
    ['empty', ''],
    ['last', '\u{1f600}'],
    ['\u00e9\u{1f600}', '\u00fc'],
  ])
  t.deepEqual(await loadText(folder, '', { format }), [])
  t.deepEqual(await loadText(folder, '\n\n', { format }), [])
})

test('tsv: keys and values by codec', async (t) => {
  const folder = ownFolder(t)
  const load = (text: string, options: object) => loadText(folder, text, { format: { type: 'tsv' }, ...options })
  t.deepEqual(await load('18446744073709551615\tx\n9\ty\n10\tz', { key: 'u64' }), [
    [9, 'y'],
    [10, 'z'],
    [18446744073709551615n, 'x'],
  ])
  t.deepEqual(await load('b\t-5\na\t7', { key: 'string', value: 'i32' }), [
    ['a', 7],
    ['b', -5],
  ])
  t.deepEqual(await load('b\t1.5e3\na\t-0.25', { key: 'string', value: 'f64' }), [
    ['a', -0.25],
    ['b', 1500],
  ])
  t.deepEqual(await load('a\t9223372036854775807', { value: 'i64' }), [['a', 9223372036854775807n]])
  t.deepEqual(await load('a\t[1, {"b": "\u00e9"}]', { value: 'json' }), [['a', [1, { b: '\u00e9' }]]])
  t.deepEqual(await load('a\tone', { value: 'v8' }), [['a', 'one']])
  t.deepEqual(await load('k\tv', { key: 'bytes', value: 'bytes' }), [[bytes('k'), bytes('v')]])
})

test('ndjson: paths to key and value, of any depth; the whole object without one', async (t) => {
  const folder = ownFolder(t)
  const load = (text: string, format: object, options: object = {}) =>
    loadText(folder, text, { format: { type: 'ndjson', ...format } as LoadFormat, ...options })
  t.deepEqual(await load('{"id":"b","v":{"x":[1,2]}}\n{"v":null,"id":"a"}\n', { key: 'id', value: 'v' }), [
    ['a', null],
    ['b', { x: [1, 2] }],
  ])
  t.deepEqual(await load('{"id":"a","n":1.5}', { key: 'id' }), [['a', { id: 'a', n: 1.5 }]])
  const deep = '{"a":{"b":[{"c":"\\u00e9\\n"},{"c":7}]},"v":"x"}\r\n{"v":"y","a":{"b":[{"c":"k"}]}}'
  t.deepEqual(await load(deep, { key: 'a.b[0].c', value: 'v' }), [
    ['k', 'y'],
    ['\u00e9\n', 'x'],
  ])
  // Keys that are numbers and tuples, sorted as such.
  const tuples = '{"k":[2,"b"],"v":1}\n{"k":[10,"a"],"v":2}\n{"k":3.5,"v":3}\n{"k":["x",[1]],"v":4}'
  t.deepEqual(await load(tuples, { key: 'k', value: 'v' }), [
    [3.5, 3],
    [[2, 'b'], 1],
    [[10, 'a'], 2],
    [['x', [1]], 4],
  ])
  t.deepEqual(
    await load('{"k":18446744073709551615,"v":1}\n{"k":"12","v":2}', { key: 'k', value: 'v' }, { key: 'u64' }),
    [
      [12, 2],
      [18446744073709551615n, 1],
    ],
  )
  const escaped = '{"k":"\\u00e9","v":1}'
  t.deepEqual(await load(escaped, { key: 'k', value: 'v' }, { key: 'bytes' }), [[bytes('\u00e9'), 1]])
  t.deepEqual(await load('{"k":"\\u0031","v":1}', { key: 'k', value: 'v' }, { key: 'u64' }), [[1, 1]])
  // Of a name that comes twice the last counts, as in JSON.parse.
  const twice = '{"a":{"k":"no"},"a":{"k":"yes"},"v":1,"v":2}'
  t.deepEqual(await load(twice, { key: 'a.k', value: 'v' }), [['yes', 2]])
  t.deepEqual(await load('{"\\u0069d":"escaped name","v":1}', { key: 'id', value: 'v' }), [['escaped name', 1]])
})

test('ndjson: json keeps the very text, string and bytes what a string says', async (t) => {
  const folder = ownFolder(t)
  const line = '{ "id" : "a", "v" : { "n" : 12345678901234567890, "s":"\u00e9" } }'
  const path = join(folder, 'raw')
  writeFileSync(join(folder, 'in'), line)
  await HugeMap.load(path, join(folder, 'in'), { format: { type: 'ndjson', key: 'id', value: 'v' }, value: 'json' })
  // The bytes as they are: read as `string` they would be a mismatch, so the digits show it.
  t.is(JSON.stringify((await entriesOf(path))[0]?.[1]), '{"n":12345678901234567000,"s":"\u00e9"}')
  const load = (text: string, options: object) =>
    loadText(folder, text, { format: { type: 'ndjson', key: 'id', value: 'v' }, ...options })
  t.deepEqual(await load('{"id":"a","v":"x\\ty"}', { value: 'string' }), [['a', 'x\ty']])
  t.deepEqual(await load('{"id":"a","v":{"b": [1]}}', { value: 'string' }), [['a', '{"b": [1]}']])
  t.deepEqual(await load('{"id":"a","v":"\u00e9"}', { value: 'bytes' }), [['a', bytes('\u00e9')]])
  t.deepEqual(await load('{"id":"a","v":42}', { value: 'u32' }), [['a', 42]])
  t.deepEqual(await load('{"id":"a","v":18446744073709551615}', { value: 'u64' }), [['a', 18446744073709551615n]])
})

test('tuple2: [key, value], with paths into either', async (t) => {
  const folder = ownFolder(t)
  const load = (text: string, format: object = {}) =>
    loadText(folder, text, { format: { type: 'tuple2', ...format } as LoadFormat })
  t.deepEqual(await load('["b",{"x":1}]\n[1.5,2]\n[["t",1],"y"]'), [
    [1.5, 2],
    ['b', { x: 1 }],
    [['t', 1], 'y'],
  ])
  t.deepEqual(await load('[{"id":"k"},{"a":[0,5]}]', { key: 'id', value: 'a[1]' }), [['k', 5]])
})

test('bin: lengths and bytes; bytes, text and numbers as they are', async (t) => {
  const folder = ownFolder(t)
  const load = (pairs: [Uint8Array, Uint8Array][], options: object = {}) =>
    loadText(folder, binRecords(pairs), { format: { type: 'bin' }, ...options })
  t.deepEqual(
    await load([
      [bytes('b'), bytes('2')],
      [bytes('a'), new Uint8Array(0)],
    ]),
    [
      [bytes('a'), Buffer.alloc(0)],
      [bytes('b'), Buffer.from('2')],
    ].map(([k, v]) => [k, new Uint8Array(v as Uint8Array)]),
  )
  t.deepEqual(await load([[bytes('\u00e9'), bytes('\u00fc')]], { key: 'string', value: 'string' }), [
    ['\u00e9', '\u00fc'],
  ])
  t.deepEqual(await load([[bytes('k'), bytes('{"a":1}')]], { key: 'bytes', value: 'json' }), [[bytes('k'), { a: 1 }]])
  const label = Uint8Array.of(1, 2, 0, 0, 0, 0, 0, 0)
  t.deepEqual(await load([[label, Uint8Array.of(254, 255, 255, 255)]], { key: 'u64', value: 'i32' }), [[513, -2]])
  t.deepEqual(await load([]), [])
})

test('module: a function of the user makes the pairs, in the threads', async (t) => {
  const folder = ownFolder(t)
  const url = new URL('./fixtures/load-records.js', import.meta.url)
  const load = (text: string, name?: string) =>
    loadText(folder, text, { format: { type: 'module', url, ...(name !== undefined && { name }) } })
  t.deepEqual(await load('b,2\nnothing,\na,1'), [
    ['a', 1],
    ['b', 2],
  ])
  const bad = (await refusal(load('a,1\nthrow,'))) as { code: string; line: number; reason: string }
  t.is(bad.code, 'MILL_BAD_RECORD')
  t.is(bad.line, 2)
  t.true(bad.reason.includes('as it was told'))
  t.is(codeOf(await refusal(load('abcd', 'wrong'))), 'MILL_BAD_RECORD')
  t.is(codeOf(await refusal(load('a', 'number'))), 'MILL_INVALID_ARGUMENT')
  const gone = new URL('./fixtures/is-not-there.js', import.meta.url)
  t.is(codeOf(await refusal(loadText(folder, 'a', { format: { type: 'module', url: gone } }))), 'MILL_INVALID_ARGUMENT')
})

test('packed files: gzip of several members, brotli, zstd where Node has it', async (t) => {
  const folder = ownFolder(t)
  const format: LoadFormat = { type: 'tsv' }
  const expected = [
    ['a', '1'],
    ['b', '2'],
  ]
  const members = Buffer.concat([gzipSync('b\t'), gzipSync('2\na'), gzipSync('\t1\n')])
  t.deepEqual(await loadText(folder, members, { format }, 'in.gz'), expected)
  t.deepEqual(await loadText(folder, brotliCompressSync('b\t2\na\t1'), { format }, 'in.tsv.BR'), expected)
  const { zstdCompressSync } = zlib as { zstdCompressSync?: (data: string) => Buffer }
  if (zstdCompressSync === undefined) {
    const frame = Buffer.from('28b52ffd2000010000', 'hex')
    t.is(codeOf(await refusal(loadText(folder, frame, { format }, 'in.zst'))), 'MILL_CODEC_MISSING')
  } else t.deepEqual(await loadText(folder, zstdCompressSync('b\t2\na\t1'), { format }, 'in.zst'), expected)
  for (const name of ['in.bz2', 'in.xz']) {
    t.is(codeOf(await refusal(loadText(folder, 'a\t1', { format }, name))), 'MILL_INVALID_ARGUMENT')
  }
})

test('packed files: cut, damaged, empty, or with something behind them: MILL_DECOMPRESS', async (t) => {
  const folder = ownFolder(t)
  const text = Array.from({ length: 5000 }, (_, i) => `key${i}\tvalue ${i * 7}`).join('\n')
  const gz = gzipSync(text)
  const br = brotliCompressSync(text)
  const damaged = Buffer.from(gz)
  damaged[gz.length >> 1] = (damaged[gz.length >> 1] as number) ^ 0xff
  const cases: [string, Buffer][] = [
    ['cut.gz', gz.subarray(0, gz.length - 5)],
    ['rubbish.gz', Buffer.concat([gz, Buffer.from('rubbish')])],
    ['damaged.gz', damaged],
    ['empty.gz', Buffer.alloc(0)],
    ['cut.br', br.subarray(0, br.length - 1)],
    ['rubbish.br', Buffer.concat([br, Buffer.from('rubbish')])],
  ]
  for (const [name, data] of cases) {
    t.is(
      codeOf(await refusal(loadText(folder, data, { format: { type: 'tsv' } }, name), name)),
      'MILL_DECOMPRESS',
      name,
    )
  }
  t.deepEqual(readdirSync(folder).sort(), cases.map(([name]) => name).sort())
})

test('a file cut into pieces at every byte gives what the whole gives', async (t) => {
  const folder = ownFolder(t)
  const lines = ['a\t1', '', 'bb\t22', 'ccc\t', '\u00e9\t\u{1f600}', 'a\t3', 'longer key\tand value', '\r']
  const cases: [string, LoadFormat, string][] = [
    ['lf', { type: 'tsv' }, `${lines.slice(0, -1).join('\n')}\n`],
    ['crlf', { type: 'tsv' }, lines.slice(0, -1).join('\r\n')],
    ['json', { type: 'tuple2' }, '["a",[1]]\n["b","x\\ny"]\r\n\n["c",null]\n["a",{}]'],
  ]
  for (const [name, format, text] of cases) {
    const file = join(folder, `${name}.txt`)
    writeFileSync(file, text)
    const whole = join(folder, `${name}-whole`)
    await bulkLoad(whole, file, { format })
    const expected = await entriesOf(whole)
    await inLanes([1, 2, 3, 7, Buffer.byteLength(text) - 1, Buffer.byteLength(text)], async (pieceBytes) => {
      const path = join(folder, `${name}-${pieceBytes}`)
      const load = bulkLoad(path, file, { format, threads: 3 }, { pieceBytes })
      const stats = await within(load, `${name} ${pieceBytes}`, LIMIT)
      t.deepEqual(await entriesOf(path), expected, `${name} ${pieceBytes}`)
      t.is(stats.duplicates, 1)
      t.is(stats.bytesIn, Buffer.byteLength(text))
    })
  }
})

test('several files: in their order, whichever thread is faster', async (t) => {
  const folder = ownFolder(t)
  const files = ['c', 'a', 'b'].map((name) => join(folder, name))
  files.forEach((file, i) => {
    const rows = Array.from({ length: 2000 }, (_, n) => `key${(n * 7) % 1500}\t${i}:${n}`)
    writeFileSync(file, rows.join('\n'))
  })
  const model = new Map<string, string>()
  const first = new Map<string, string>()
  for (let i = 0; i < 3; i++) {
    for (let n = 0; n < 2000; n++) {
      model.set(`key${(n * 7) % 1500}`, `${i}:${n}`)
      if (!first.has(`key${(n * 7) % 1500}`)) first.set(`key${(n * 7) % 1500}`, `${i}:${n}`)
    }
  }
  const sorted = (map: Map<string, string>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [duplicates, expected] of [
    ['last', model],
    ['first', first],
  ] as const) {
    const path = join(folder, duplicates)
    const stats = await bulkLoad(path, files, { format: { type: 'tsv' }, duplicates, threads: 4 }, { pieceBytes: 5000 })
    t.deepEqual(await entriesOf(path), sorted(expected))
    t.is(stats.records, 1500)
    t.is(stats.duplicates, 4500)
  }
  const path = join(folder, 'error')
  const error = (await refusal(HugeMap.load(path, files, { format: { type: 'tsv' }, duplicates: 'error' }))) as Error
  t.is(codeOf(error), 'MILL_DUPLICATE_KEY')
  t.true((error as Error & { key: unknown }).key instanceof Uint8Array)
  t.false(readdirSync(folder).includes('error'))
})
