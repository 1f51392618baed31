import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { bulkLoad } from '../lib/hugemap/bulk-load.js'
import type { LoadFormat } from '../lib/hugemap/index.js'
import { HugeMap } from '../lib/hugemap/index.js'
import { entriesOf, inLanes, LIMIT, loadersOf, ownFolder, refusal, rows, run } from './fixtures/load-kit.js'
import { until } from './fixtures/run-kit.js'
import { within } from './fixtures/stream-kit.js'

const CHILD = fileURLToPath(new URL('./fixtures/load-child.js', import.meta.url))
const HOLDER = fileURLToPath(new URL('./fixtures/load-holder.js', import.meta.url))
const tsv: LoadFormat = { type: 'tsv' }

test('H2: a full disk, while it spills, appends, and merges: MILL_DISK_FULL, all as before', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, rows(100_000))
  const limited = async (path: string, blocks: number, options: object) => {
    const script = `ulimit -f ${blocks}; exec "$0" "$@"`
    const args = [process.execPath, CHILD, path, JSON.stringify(file), JSON.stringify({ format: tsv, ...options })]
    const { said, ended } = run(t, 'bash', ['-c', script, ...args])
    t.is(await within(ended, 'a load on a full disk', LIMIT), 0)
    return said().trim().split('\n').at(-1)
  }
  const cases: [string, number, object][] = [
    ['append', 2000, {}],
    ['spill', 200, { memory: 2 ** 20, threads: 1 }],
    ['the very start', 2, {}],
  ]
  await inLanes(cases, async ([what, blocks, options]) => {
    const own = join(folder, what)
    mkdirSync(own)
    t.is(await limited(join(own, 'map'), blocks, options), 'failed MILL_DISK_FULL', what)
    t.deepEqual(readdirSync(own), [], what)
  })
  const own = join(folder, 'merge')
  const path = join(own, 'map')
  await HugeMap.load(path, [['old', 1]])
  t.is(await limited(path, 2000, {}), 'failed MILL_DISK_FULL')
  t.deepEqual(await entriesOf(path), [['old', 1]])
  t.deepEqual(readdirSync(own), ['map'])
  await using map = await HugeMap.open<string, number>(path)
  t.true(await map.set('still', 2))
})

test('H6: another process holds the write lock: MILL_LOCKED, nothing written, nothing left', async (t) => {
  const folder = ownFolder(t)
  const path = join(folder, 'map')
  await HugeMap.load(path, [['old', 1]])
  const { child: holder, said } = run(t, process.execPath, [HOLDER, path])
  await until(() => said() !== '', 'the lock is held', LIMIT)
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
