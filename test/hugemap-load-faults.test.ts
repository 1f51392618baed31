import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import test, { type ExecutionContext } from 'ava'
import { bulkLoad } from '../lib/hugemap/bulk-load.js'
import type { LoadFormat } from '../lib/hugemap/index.js'
import { HugeMap } from '../lib/hugemap/index.js'
import { hostTag } from '../lib/io/temporary.js'
import {
  binRecords,
  entriesOf,
  killLoaders,
  killsOf,
  LIMIT,
  loadersOf,
  ownFolder,
  refusal,
} from './fixtures/load-kit.js'
import { rounds, until } from './fixtures/run-kit.js'
import { codeOf, watch, within } from './fixtures/stream-kit.js'

const CHILD = fileURLToPath(new URL('./fixtures/load-child.js', import.meta.url))
const HOLDER = fileURLToPath(new URL('./fixtures/load-holder.js', import.meta.url))
const tsv: LoadFormat = { type: 'tsv' }

interface Bad {
  code: string
  file?: string
  line?: number
  offset?: number
  excerpt?: string
  reason?: string
  index?: number
}

/** Rows that take a while to be loaded. */
const rows = (count: number): string =>
  Array.from({ length: count }, (_, i) => `key${(i * 7919) % count}\tvalue ${i}`).join('\n')

test('H8: a bad record of any kind: file, line, offset, the record, and nothing is loaded', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
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
  const path = join(folder, 'map')
  for (const [format, bad, options = {}] of cases) {
    // Lines before and behind it that are good with these options.
    const { key, value } = options as { key?: string; value?: string }
    const numbers = format.type === 'tsv' && (key === 'u64' || value !== undefined)
    const plain = numbers ? (key === 'u64' ? '5\t1' : 'good\t1') : undefined
    const line = plain ?? (good.find(([one]) => one.type === format.type)?.[1] as string)
    const data = Buffer.concat([Buffer.from(`${line}\n`), Buffer.from(bad as string), Buffer.from(`\n${line}`)])
    writeFileSync(file, data)
    const what = String(bad).slice(0, 60)
    const error = (await refusal(within(HugeMap.load(path, file, { format, ...options }), what, LIMIT), what)) as Bad
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
  }
  t.deepEqual(readdirSync(folder), ['in'])
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
  for (let i = 0; i < loads.length; i += 4) {
    const errors = await Promise.all(
      loads
        .slice(i, i + 4)
        .map(
          async (length) =>
            [length, (await refusal(within(stream(whole.subarray(0, length)), 'cut', LIMIT), 'cut')) as Bad] as const,
        ),
    )
    for (const [length, error] of errors) {
      t.is(error.code, 'MILL_BAD_RECORD', `${length} bytes`)
      t.is(error.offset, length < second ? 0 : second)
      t.is(error.line, undefined)
    }
  }
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

test('inputs that can not be read', async (t) => {
  const folder = ownFolder(t)
  const path = join(folder, 'map')
  mkdirSync(join(folder, 'folder'))
  for (const name of ['gone', 'gone.gz', 'folder']) {
    const error = (await refusal(HugeMap.load(path, join(folder, name), { format: tsv }))) as {
      code: string
      url: string
    }
    t.is(error.code, 'MILL_SOURCE_FAILED', name)
    t.is(error.url, join(folder, name))
  }
  const file = join(folder, 'in')
  writeFileSync(file, `${'x'.repeat(99)}\n`.repeat(100_000))
  const url = new URL(`./fixtures/load-truncate.js?file=${encodeURIComponent(file)}`, import.meta.url)
  const cut = HugeMap.load(path, file, { format: { type: 'module', url }, threads: 1 })
  t.is(codeOf(await refusal(within(cut, 'cut', LIMIT), 'cut')), 'MILL_SOURCE_SHORT')
  t.false(existsSync(path))
  if (process.getuid?.() === 0) return
  chmodSync(file, 0)
  t.is(codeOf(await refusal(HugeMap.load(path, file, { format: tsv }))), 'MILL_SOURCE_FAILED')
})

test('a source that fails, or that others end', async (t) => {
  const folder = ownFolder(t)
  const path = join(folder, 'map')
  const mine = new Error('mine')
  async function* failing() {
    yield ['a', 1] as const
    await wait(5)
    throw mine
  }
  t.is(await refusal(within(HugeMap.load(path, failing()), 'failing', LIMIT)), mine)
  const stream = new Readable({ read() {} })
  const ends = watch(stream)
  stream.push('a\t1\nb')
  setTimeout(() => stream.destroy(mine), 200)
  t.is(await refusal(within(HugeMap.load(path, stream, { format: tsv }), 'destroyed', LIMIT)), mine)
  t.deepEqual(ends.errors, [mine])
  t.is(codeOf(await refusal(HugeMap.load(path, 5 as never))), 'MILL_NOT_A_STREAM')
  t.deepEqual(readdirSync(folder), [])
})

test.serial('H8: an abort in any phase: the reason, nothing at the path, nothing beside it, no process', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, rows(60_000))
  const path = join(folder, 'map')
  const reason = new Error('enough')
  t.is(await refusal(HugeMap.load(path, file, { format: tsv, signal: AbortSignal.abort(reason) })), reason)
  for (const phase of ['parsing', 'merging', 'syncing']) {
    const controller = new AbortController()
    const load = HugeMap.load(path, file, {
      format: tsv,
      signal: controller.signal,
      onProgress: (progress) => {
        if (progress.phase === phase) controller.abort(reason)
      },
    })
    const result = await within(load, phase, LIMIT).then(
      ({ records }) => records,
      (error: unknown) => error,
    )
    if (phase !== 'parsing' && result === 60_000) {
      // It was too late: then all is there.
      t.is((await entriesOf(path)).length, 60_000)
      rmSync(path, { recursive: true })
    } else t.is(result, reason, phase)
    t.deepEqual(readdirSync(folder), ['in'], phase)
    t.deepEqual(loadersOf(path), [], phase)
  }
})

test('an abort ends a source that gives nothing', async (t) => {
  const folder = ownFolder(t)
  const path = join(folder, 'map')
  const stream = new Readable({ read() {} })
  const ends = watch(stream)
  const controller = new AbortController()
  const load = HugeMap.load(path, stream, { format: tsv, signal: controller.signal })
  setTimeout(() => controller.abort(), 300)
  t.is(((await refusal(within(load, 'aborted', LIMIT))) as Error).name, 'AbortError')
  await within(ends.closed, 'source closed', LIMIT)
  t.deepEqual(readdirSync(folder), [])
})

test.serial('G4: a source is read no faster than its records are taken', async (t) => {
  const folder = ownFolder(t)
  const path = join(folder, 'map')
  const value = 'x'.repeat(10_000)
  let given = 0
  function* endless(): Generator<[number, string]> {
    for (;;) yield [given++, value]
  }
  const controller = new AbortController()
  const load = HugeMap.load(path, endless(), { signal: controller.signal })
  const ended = refusal(within(load, 'endless', LIMIT))
  await until(() => loadersOf(path).length === 1 && given > 0, 'the side process works', 20_000)
  const [pid] = loadersOf(path) as [number]
  process.kill(pid, 'SIGSTOP')
  const start = given
  let before = given
  for (let same = 0; same < 20; same = given === before ? same + 1 : 0) {
    before = given
    await wait(20)
  }
  t.true((given - start) * value.length < 16 * 2 ** 20, `${given - start} values while nobody took any`)
  process.kill(pid, 'SIGCONT')
  controller.abort()
  t.is(((await ended) as Error).name, 'AbortError')
})

test.serial('H8: a side process that is killed at any time: an error and nothing, or all', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, rows(20_000))
  const path = join(folder, 'map')
  let killed = 0
  for (let round = 0; round < rounds(12); round++) {
    // At any time; or at the end, where it is about to be renamed.
    const killing = killsOf(path)
    const load = HugeMap.load(path, file, {
      format: tsv,
      onProgress: ({ phase }) => {
        if (round % 3 !== 0 && phase === 'syncing') killing.within(20)
      },
    }).then(
      (stats) => stats.records,
      (error: unknown) => error,
    )
    let settled = false
    void load.then(() => {
      settled = true
    })
    await until(() => settled || loadersOf(path).length > 0, 'a side process', 20_000)
    if (round % 3 === 0) {
      await wait(round === 0 ? 0 : Math.random() * 400)
      killLoaders(path)
    }
    const result = await within(load, 'killed', LIMIT)
    killing.end()
    const left = readdirSync(folder).filter((name) => name !== 'in')
    if (result === 20_000) {
      t.deepEqual(left, ['map'])
      t.is((await entriesOf(path)).length, 20_000)
      rmSync(path, { recursive: true })
    } else {
      killed++
      t.is(codeOf(result), 'MILL_WRITER_LOST')
      t.deepEqual(left, [])
    }
  }
  t.true(killed > 0)
})

test.serial('H8: killed while it merges into a map: an error and the old map, or all', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, rows(20_000))
  const names = []
  for (let round = 0; round < rounds(8); round++) {
    const path = join(folder, `map${round}`)
    names.push(`map${round}`)
    await HugeMap.load<string, string>(path, [['old', 'there']])
    const killing = killsOf(path)
    const load = HugeMap.load(path, file, {
      format: tsv,
      onProgress: ({ phase, done, total }) => {
        // The last of it is in the transaction, which is about to be committed.
        if (phase === 'merging' && (round % 2 !== 0 || done === total)) killing.within(5)
      },
    })
    const result = await within(load, 'merge', LIMIT).then(
      ({ records }) => records,
      (error: unknown) => codeOf(error),
    )
    // A kill that is late would hit the load below.
    killing.end()
    const now = await entriesOf<string, string>(path)
    if (result === 20_000) t.is(now.length, 20_001)
    else {
      t.is(result, 'MILL_WRITER_LOST')
      t.deepEqual(now, [['old', 'there']])
    }
    await HugeMap.load(path, [['more', 'still works']])
  }
  t.deepEqual(readdirSync(folder).sort(), ['in', ...names].sort())
})

/** A process, and what it has said. */
function run(t: ExecutionContext, program: string, args: string[]) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  child.stdout.on('data', (piece) => {
    text += piece
  })
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return { child, said: () => text, ended }
}

test('H8: an owner that is killed: its side process ends, and the next load tidies up', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, rows(200_000))
  const path = join(folder, 'map')
  for (let round = 0; round < rounds(3); round++) {
    const { child, said } = run(t, process.execPath, [
      CHILD,
      path,
      JSON.stringify(file),
      JSON.stringify({ format: tsv }),
    ])
    await until(() => said() !== '', 'the load has started', 30_000)
    await wait(Math.random() * 300)
    child.kill('SIGKILL')
    await until(() => loadersOf(path).length === 0, 'no side process', 30_000)
    const left = readdirSync(folder).filter((name) => name !== 'in' && name !== 'map')
    t.deepEqual(left, [], 'it tidies up itself')
    if (existsSync(path)) {
      t.is((await entriesOf(path)).length, 200_000)
      rmSync(path, { recursive: true })
    }
  }
  // One that could not: its folder has the name of a process that is gone.
  const { pid } = spawnSync('true')
  const aside = join(folder, `map.load-${hostTag}-${pid}-0123456789ab`)
  const others = ['map.load-notes', `map.load-${hostTag}-${process.pid}-0123456789ab`]
  for (const name of [aside, ...others.map((other) => join(folder, other))]) mkdirSync(name)
  writeFileSync(join(aside, 'data.mdb'), 'half')
  await HugeMap.load(path, [['a', 1]])
  t.deepEqual(readdirSync(folder).sort(), ['in', 'map', ...others].sort())
})

test('H2: a full disk, while it spills, appends, and merges: MILL_DISK_FULL, all as before', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, rows(100_000))
  const path = join(folder, 'map')
  const limited = async (blocks: number, options: object) => {
    const script = `ulimit -f ${blocks}; exec "$0" "$@"`
    const args = [process.execPath, CHILD, path, JSON.stringify(file), JSON.stringify({ format: tsv, ...options })]
    const { said, ended } = run(t, 'bash', ['-c', script, ...args])
    t.is(await within(ended, 'a load on a full disk', LIMIT), 0)
    return said().trim().split('\n').at(-1)
  }
  for (const [what, blocks, options] of [
    ['append', 2000, {}],
    ['spill', 200, { memory: 2 ** 20, threads: 1 }],
    ['the very start', 2, {}],
  ] as const) {
    t.is(await limited(blocks, options), 'failed MILL_DISK_FULL', what)
    t.deepEqual(readdirSync(folder), ['in'], what)
  }
  await HugeMap.load(path, [['old', 1]])
  t.is(await limited(2000, {}), 'failed MILL_DISK_FULL')
  t.deepEqual(await entriesOf(path), [['old', 1]])
  t.deepEqual(readdirSync(folder).sort(), ['in', 'map'])
  await using map = await HugeMap.open<string, number>(path)
  t.true(await map.set('still', 2))
})

test('H6: another process holds the write lock: MILL_LOCKED, nothing written, nothing left', async (t) => {
  const folder = ownFolder(t)
  const path = join(folder, 'map')
  await HugeMap.load(path, [['old', 1]])
  const holder = spawn(process.execPath, [HOLDER, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => holder.kill('SIGKILL'))
  await within(new Promise((resolve) => holder.stdout.once('data', resolve)), 'the lock is held', LIMIT)
  for (const replace of [false, true]) {
    const load = bulkLoad(path, [['new', 2]], { replace }, { lockTimeoutMs: 700 })
    const error = (await refusal(within(load, 'locked', LIMIT), 'locked')) as { code: string; waitedMs: number }
    t.is(error.code, 'MILL_LOCKED')
    t.is(error.waitedMs, 700)
  }
  holder.kill('SIGKILL')
  await until(() => loadersOf(path).length === 0, 'no side process', 20_000)
  t.deepEqual(readdirSync(folder), ['map'])
  t.deepEqual(await entriesOf(path), [['old', 1]])
  await HugeMap.load(path, [['new', 2]])
  t.is((await entriesOf(path)).length, 2)
})
