import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TestFn } from 'ava'
import { memoryStore } from '../../lib/store/index.js'
import { freshPath, SCALE } from '../fixtures/hugemap-kit.js'
import { KINDS, type Kind, runModel } from '../fixtures/hugemap-run.js'

const LONG = 300_000 * SCALE
/** Of each kind of keys. */
const OPERATIONS = 100_000

/**
 * A map with this kind of keys against a Map and a sorted array. A test file for each kind, so that they run side by
 * side.
 */
export function modelSuite(test: TestFn, name: string): void {
  const kind = KINDS.find((one) => one.name === name) as Kind

  test(`H1: a map is what a Map and a sorted array are: ${name} keys, ${OPERATIONS} operations on disk`, async (t) => {
    t.timeout(LONG)
    const child = fileURLToPath(new URL('../fixtures/hugemap-inline-child.js', import.meta.url))
    const args = [child, freshPath(t), name, `${OPERATIONS}`]
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: LONG })
    t.true(Number(stdout) >= OPERATIONS * SCALE, `${stdout} operations`)
  })

  test(`H1: a map is what a Map and a sorted array are: ${name} keys, in memory`, async (t) => {
    t.timeout(LONG)
    const done = await runModel(kind, memoryStore(), { operations: 5000, reopens: 100 })
    t.true(done >= 5000 * SCALE, `${done} operations`)
  })

  test(`H1: a map is what a Map and a sorted array are: ${name} keys, through a side process`, async (t) => {
    t.timeout(LONG)
    // A side process takes a tenth of a second to start: it is opened again twice a run.
    const done = await runModel(kind, freshPath(t), { operations: 2000, reopens: 2, writer: 'process' })
    t.true(done >= 2000 * SCALE, `${done} operations`)
  })
}
