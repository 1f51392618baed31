import { chmodSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import type { LoadFormat } from '../lib/hugemap/index.js'
import { HugeMap } from '../lib/hugemap/index.js'
import { LIMIT, loadersOf, ownFolder, refusal } from './fixtures/load-kit.js'
import { until } from './fixtures/run-kit.js'
import { codeOf, settle, watch, within } from './fixtures/stream-kit.js'

const tsv: LoadFormat = { type: 'tsv' }

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

test('an abort ends a source that gives nothing, whenever it comes', async (t) => {
  const folder = ownFolder(t)
  const path = join(folder, 'map')
  for (const when of ['at once', 'a turn later', 'while it waits'] as const) {
    const stream = new Readable({ read() {} })
    const ends = watch(stream)
    const controller = new AbortController()
    const load = refusal(HugeMap.load(path, stream, { format: tsv, signal: controller.signal }), when)
    if (when === 'a turn later') await settle(1)
    if (when === 'while it waits') await until(() => loadersOf(path).length > 0, 'the side process', LIMIT)
    controller.abort()
    t.is(((await load) as Error).name, 'AbortError', when)
    await within(ends.closed, `source closed, ${when}`, LIMIT)
    t.deepEqual(readdirSync(folder), [])
  }
})

test('G4: a source is read no faster than its records are taken', async (t) => {
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
  try {
    const start = given
    let before = given
    for (let same = 0; same < 20; same = given === before ? same + 1 : 0) {
      before = given
      await wait(20)
    }
    t.true((given - start) * value.length < 16 * 2 ** 20, `${given - start} values while nobody took any`)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
  controller.abort()
  t.is(((await ended) as Error).name, 'AbortError')
})
