import { execFile } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { HugeMap } from '../lib/hugemap/index.js'
import { memoryStore } from '../lib/store/index.js'
import { freshPath, SCALE } from './fixtures/hugemap-kit.js'
import { KINDS, runModel } from './fixtures/hugemap-run.js'

const LONG = 300_000 * SCALE

for (const kind of KINDS) {
  test(`H1: a map is what a Map and a sorted array are: ${kind.name} keys, in memory`, async (t) => {
    t.timeout(LONG)
    const done = await runModel(kind, memoryStore(), { runs: 30, reopens: 100 })
    t.true(done >= 3000, `${done} operations`)
  })

  test(`H1: a map is what a Map and a sorted array are: ${kind.name} keys, through a side process`, async (t) => {
    t.timeout(LONG)
    // A side process takes a tenth of a second to start: it is opened again twice a run.
    const done = await runModel(kind, freshPath(t), { runs: 12, reopens: 2, writer: 'process' })
    t.true(done >= 1000, `${done} operations`)
  })
}

test('H1: a map is what a Map and a sorted array are, over 100,000 operations written inline', async (t) => {
  t.timeout(LONG)
  const folder = freshPath(t)
  mkdirSync(folder)
  const child = fileURLToPath(new URL('./fixtures/hugemap-inline-child.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [child, folder, '100'], { timeout: LONG })
  const counts = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(' '))
  t.deepEqual(
    counts.map(([name]) => name),
    KINDS.map(({ name }) => name),
  )
  const done = counts.reduce((sum, [, count]) => sum + Number(count), 0)
  t.true(done >= 100_000, `${done} operations`)
})

test('a folder keeps what was put into it, in order, when it is opened again', async (t) => {
  const path = freshPath(t)
  for (const round of [1, 2, 3]) {
    await using map = await HugeMap.open<number, number>(path)
    t.is(map.size, (round - 1) * 100)
    await Promise.all(Array.from({ length: 100 }, (_, i) => map.set(i * 3 + round - 1, round)))
  }
  await using map = await HugeMap.open<number, number>(path, { readonly: true })
  t.deepEqual(
    [...map.keys()],
    Array.from({ length: 300 }, (_, i) => i),
  )
})
