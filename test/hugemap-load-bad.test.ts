import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { bulkLoad } from '../lib/hugemap/bulk-load.js'
import type { LoadFormat } from '../lib/hugemap/index.js'
import { HugeMap } from '../lib/hugemap/index.js'
import { type Bad, binRecords, entriesOf, inLanes, LIMIT, ownFolder, refusal } from './fixtures/load-kit.js'
import { codeOf, within } from './fixtures/stream-kit.js'

const tsv: LoadFormat = { type: 'tsv' }

test('H8: a bad record of any kind: file, line, offset, the record, and nothing is loaded', async (t) => {
  const folder = ownFolder(t)
  const ndjson: LoadFormat = { type: 'ndjson', key: 'id', value: 'v' }
  const good: [LoadFormat, string][] = [
    [tsv, 'good\t1'],
    [ndjson, '{"id":"good","v":1}'],
    [{ type: 'tuple2' }, '["good",1]'],
  ]
  const cases: [LoadFormat, string | Buffer, object?][] = [
    [tsv, 'no tab'],
    [tsv, `${'long'.repeat(600)}\tx`],
    [tsv, Buffer.from('ff0941', 'hex')],
    [tsv, Buffer.from('4109c328', 'hex')],
    [tsv, '\tx', { key: 'string' }],
    [tsv, 'x\t1', { key: 'u64' }],
    [tsv, '\t1', { key: 'u64' }],
    [tsv, '18446744073709551616\t1', { key: 'u64' }],
    [tsv, 'a\tx', { value: 'f64' }],
    [tsv, 'a\t', { value: 'f64' }],
    [tsv, 'a\t0x10', { value: 'i32' }],
    [tsv, 'a\t3000000000', { value: 'i32' }],
    [tsv, 'a\t1.5', { value: 'i64' }],
    [tsv, 'a\t1-2', { value: 'f64' }],
    [tsv, 'a\t{', { value: 'json' }],
    [ndjson, '{"id":"a"}'],
    [ndjson, '{"v":1}'],
    [ndjson, '{"id":true,"v":1}'],
    [ndjson, '{"id":9007199254740993,"v":1}'],
    [ndjson, '{"id":["a",9007199254740993],"v":1}'],
    [ndjson, '{"id":"\\ud800","v":1}', { key: 'string' }],
    [ndjson, '{"id":"a","v":"x\\udc00"}', { value: 'string' }],
    [ndjson, '{"id":"\\ud800","v":1}', { key: 'bytes' }],
    [ndjson, '{"id":"a","v":1'],
    [ndjson, '{"id":"a","v":1}}'],
    [ndjson, '{"id":"a","v":01}'],
    [ndjson, '{"id":"a","v":1.}'],
    [ndjson, '{"id":"a","v":-}'],
    [ndjson, '{"id":"a","v":1e}'],
    [ndjson, '{"id":"a","v":tru}'],
    [ndjson, '{"id":"a","v":"\\x"}'],
    [ndjson, '{"id":"a","v":"\\u12g4"}'],
    [ndjson, '{"id":"a","v":"\u0001"}'],
    [ndjson, '{"id":"a" "v":1}'],
    [ndjson, '{"id":"a","v":[1,]}'],
    [ndjson, '{id:"a","v":1}'],
    [ndjson, Buffer.concat([Buffer.from('{"id":"a","v":"'), Buffer.from([0xff]), Buffer.from('"}')])],
    [ndjson, `{"id":"a","v":${'['.repeat(2000)}${']'.repeat(2000)}}`],
    [{ type: 'tuple2' }, '["a"]'],
    [{ type: 'tuple2' }, '["a",1,2]'],
    [{ type: 'tuple2' }, '{"0":"a","1":1}'],
  ]
  let number = 0
  const count = cases.length
  await inLanes(cases, async ([format, bad, options = {}]) => {
    const file = join(folder, `in${number++}`)
    const path = `${file}-map`
    // Lines before and behind it that are good with these options.
    const { key, value } = options as { key?: string; value?: string }
    const numbers = format.type === 'tsv' && (key === 'u64' || value !== undefined)
    const plain = numbers ? (key === 'u64' ? '5\t1' : 'good\t1') : undefined
    const line = plain ?? (good.find(([one]) => one.type === format.type)?.[1] as string)
    const data = Buffer.concat([Buffer.from(`${line}\n`), Buffer.from(bad as string), Buffer.from(`\n${line}`)])
    writeFileSync(file, data)
    const what = String(bad).slice(0, 60)
    const error = (await refusal(HugeMap.load(path, file, { format, ...options }), what)) as Bad
    t.is(error.code, 'MILL_BAD_RECORD', what)
    t.is(error.file, file)
    t.is(error.line, 2, what)
    t.is(error.offset, line.length + 1, what)
    t.is(
      error.excerpt,
      Buffer.from(bad as string)
        .subarray(0, 80)
        .toString(),
      what,
    )
    t.is(typeof error.reason, 'string')
  })
  t.deepEqual(readdirSync(folder).sort(), Array.from({ length: count }, (_, i) => `in${i}`).sort())
})

test('bad records can be skipped, and are counted; what can not be passed over is an error', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, 'a\t1\nbad\nb\t2\n\nworse\nc\t3\nlast')
  const stats = await HugeMap.load(join(folder, 'map'), file, { format: tsv, badRecords: 'skip' })
  t.is(stats.skipped, 3)
  t.is(stats.records, 3)
  const pairs = [['a', 1], [Number.NaN, 2], ['c', undefined], ['d', () => 1], ['e']] as [string, number][]
  const some = await HugeMap.load(join(folder, 'pairs'), pairs, { badRecords: 'skip' })
  t.is(some.skipped, 4)
  t.deepEqual(await entriesOf(join(folder, 'pairs')), [['a', 1]])
  for (const [index, pair] of pairs.slice(1).entries()) {
    const error = (await refusal(HugeMap.load(join(folder, 'no'), [['x', 0], pair as [string, number]]))) as Bad
    t.is(error.code, 'MILL_BAD_RECORD', String(index))
    t.is(error.index, 1)
  }
  class Point {
    x = 1
  }
  t.is(codeOf(await refusal(HugeMap.load(join(folder, 'no'), [['a', new Point()]]))), 'MILL_FIDELITY')
  writeFileSync(file, binRecords([[Buffer.from('a'), Buffer.from('b')]]).subarray(0, 12))
  const cut = HugeMap.load(join(folder, 'no'), file, { format: { type: 'bin' }, badRecords: 'skip' })
  t.is(codeOf(await refusal(cut)), 'MILL_BAD_RECORD')
  t.false(existsSync(join(folder, 'no')))
})

test('bin: cut at every byte, and lengths that are none', async (t) => {
  const folder = ownFolder(t)
  const whole = binRecords([
    [Buffer.from('key'), Buffer.from('value')],
    [Buffer.from('k2'), Buffer.alloc(0)],
  ])
  const second = 8 + 3 + 8 + 5
  const stream = (data: Buffer) => HugeMap.load(join(folder, 'map'), [data], { format: { type: 'bin' }, threads: 1 })
  const loads = Array.from({ length: whole.length - 1 }, (_, i) => i + 1).filter((length) => length !== second)
  await inLanes(loads, async (length) => {
    const error = (await refusal(stream(whole.subarray(0, length)), `cut at ${length}`)) as Bad
    t.is(error.code, 'MILL_BAD_RECORD', `${length} bytes`)
    t.is(error.offset, length < second ? 0 : second)
    t.is(error.line, undefined)
  })
  for (const length of [2n ** 63n, 2n ** 40n, 0xffff_ffffn]) {
    const huge = Buffer.alloc(30)
    huge.writeBigUInt64LE(length)
    t.is(codeOf(await refusal(stream(huge))), 'MILL_BAD_RECORD')
  }
  t.deepEqual(readdirSync(folder), [])
})

test('of several bad records the first of the input is told, its line counted over all pieces', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  const lines = Array.from({ length: 4000 }, (_, i) => (i % 1000 === 999 ? `bad ${i}` : `key${i}\t${i}`))
  writeFileSync(file, lines.join('\r\n'))
  for (const pieceBytes of [500, 5000, 1e6]) {
    const load = bulkLoad(join(folder, 'map'), file, { format: tsv, threads: 4 }, { pieceBytes })
    const error = (await refusal(within(load, 'load', LIMIT), 'load')) as Bad
    t.is(error.code, 'MILL_BAD_RECORD')
    t.is(error.line, 1000)
    t.is(error.excerpt, 'bad 999')
    t.is(error.offset, lines.slice(0, 999).join('\r\n').length + 2)
  }
  writeFileSync(`${file}.gz`, gzipSync(lines.join('\n')))
  const packed = (await refusal(HugeMap.load(join(folder, 'map'), `${file}.gz`, { format: tsv }))) as Bad
  t.is(packed.line, 1000)
  t.is(packed.offset, lines.slice(0, 999).join('\n').length + 1)
})
