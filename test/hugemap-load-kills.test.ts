import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { LoadFormat } from '../lib/hugemap/index.js'
import { HugeMap } from '../lib/hugemap/index.js'
import { hostTag } from '../lib/io/temporary.js'
import {
  entriesOf,
  inLanes,
  killLoaders,
  killsOf,
  LIMIT,
  loadersOf,
  ownFolder,
  refusal,
  rows,
  run,
} from './fixtures/load-kit.js'
import { rounds, until } from './fixtures/run-kit.js'
import { codeOf, within } from './fixtures/stream-kit.js'

const CHILD = fileURLToPath(new URL('./fixtures/load-child.js', import.meta.url))
const tsv: LoadFormat = { type: 'tsv' }

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

test('H8: an abort in any phase: the reason, nothing at the path, nothing beside it, no process', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, rows(60_000))
  const path = join(folder, 'map')
  const reason = new Error('enough')
  t.is(await refusal(HugeMap.load(path, file, { format: tsv, signal: AbortSignal.abort(reason) })), reason)
  const load = (from: string | AsyncIterable<Uint8Array>, phase: string) => {
    const controller = new AbortController()
    const options = {
      format: tsv,
      signal: controller.signal,
      onProgress: (progress: { phase: string }) => {
        if (progress.phase === phase) controller.abort(reason)
      },
    }
    return within(HugeMap.load(path, from, options), phase, LIMIT).then(
      ({ records }) => records,
      (error: unknown) => error,
    )
  }
  for (const phase of ['parsing', 'merging', 'syncing']) {
    const result = await load(file, phase)
    if (result === 60_000) {
      // It was too late, on a machine that is busy with others: then all is there.
      t.is((await entriesOf(path)).length, 60_000)
      rmSync(path, { recursive: true })
    } else t.is(result, reason, phase)
    t.deepEqual(readdirSync(folder), ['in'], phase)
    t.deepEqual(loadersOf(path), [], phase)
  }
  // Parsing that never ends is never over too early.
  async function* endless(): AsyncGenerator<Uint8Array> {
    for (;;) {
      yield Buffer.from('key\tvalue\n')
      await wait(1)
    }
  }
  t.is(await load(endless(), 'parsing'), reason)
  t.deepEqual(readdirSync(folder), ['in'])
  t.deepEqual(loadersOf(path), [])
})

test('H8: a side process that is killed at any time: an error and nothing, or all', async (t) => {
  const root = ownFolder(t)
  const file = join(root, 'in')
  writeFileSync(file, rows(20_000))
  let killed = 0
  const work = async (round: number) => {
    const folder = join(root, String(round))
    const path = join(folder, 'map')
    mkdirSync(folder)
    // At any time; or at the end, where it is about to be renamed.
    const killing = killsOf(path)
    let settled = false
    const load = HugeMap.load(path, file, {
      format: tsv,
      onProgress: ({ phase }) => {
        if (round % 3 !== 0 && phase === 'syncing') killing.within(20)
      },
    })
      .then(
        (stats) => stats.records,
        (error: unknown) => error,
      )
      .finally(() => {
        settled = true
      })
    if (round % 3 === 0) {
      // Once it is over, none will come.
      await until(() => settled || loadersOf(path).length > 0, 'a side process, or the end of the load', LIMIT)
      if (round > 0) await wait(Math.random() * 400)
      killLoaders(path)
    }
    const result = await within(load, 'killed', LIMIT)
    killing.end()
    if (result === 20_000) {
      t.deepEqual(readdirSync(folder), ['map'])
      t.is((await entriesOf(path)).length, 20_000)
    } else {
      killed++
      t.is(codeOf(result), 'MILL_WRITER_LOST')
      t.deepEqual(readdirSync(folder), [])
    }
    rmSync(folder, { recursive: true })
  }
  await inLanes(numbers(rounds(12)), work, 3)
  t.true(killed > 0)
})

test('H8: killed while it merges into a map: an error and the old map, or all', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, rows(20_000))
  const count = rounds(8)
  const work = async (round: number) => {
    const path = join(folder, `map${round}`)
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
  await inLanes(numbers(count), work, 3)
  t.deepEqual(readdirSync(folder).sort(), ['in', ...numbers(count).map((round) => `map${round}`)].sort())
})

test('H8: an owner that is killed: its side process ends, and the next load tidies up', async (t) => {
  const folder = ownFolder(t)
  const file = join(folder, 'in')
  writeFileSync(file, rows(200_000))
  const path = join(folder, 'map')
  const work = async (round: number) => {
    const own = join(folder, `round${round}`)
    const target = join(own, 'map')
    mkdirSync(own)
    const args = [CHILD, target, JSON.stringify(file), JSON.stringify({ format: tsv })]
    const { child, said } = run(t, process.execPath, args)
    await until(() => said() !== '', 'the load has started', LIMIT)
    await wait(Math.random() * 300)
    child.kill('SIGKILL')
    await until(() => loadersOf(target).length === 0, 'no side process', LIMIT)
    if (existsSync(target)) t.is((await entriesOf(target)).length, 200_000)
    rmSync(target, { recursive: true, force: true })
    t.deepEqual(readdirSync(own), [], 'it tidies up itself')
    rmSync(own, { recursive: true })
  }
  await inLanes(numbers(rounds(3)), work, 3)
  // One that could not: its folder has the name of a process that is gone.
  const { pid } = spawnSync('true')
  const aside = join(folder, `map.load-${hostTag}-${pid}-0123456789ab`)
  const others = ['map.load-notes', `map.load-${hostTag}-${process.pid}-0123456789ab`]
  for (const name of [aside, ...others.map((other) => join(folder, other))]) mkdirSync(name)
  writeFileSync(join(aside, 'data.mdb'), 'half')
  await HugeMap.load(path, [['a', 1]])
  t.deepEqual(readdirSync(folder).sort(), ['in', 'map', ...others].sort())
})
