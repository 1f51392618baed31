// A file of 205 MB out of 200,000 entries in random order, or sorted: time and memory, each in a process of its own.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { spread, time } from '../harness.mjs'

/** @typedef {import('../jobs/mapbuffer-write.mjs').Mode} Mode */
/** @typedef {import('../jobs/mapbuffer-write.mjs').Outcome} Outcome */

const ROUNDS = 7
const MIB = 2 ** 20
const program = fileURLToPath(new URL('../jobs/mapbuffer-write.mjs', import.meta.url))
/** @type {Mode[]} they take turns in this order */
const MODES = ['nothing', 'pass', 'files', 'random', 'small', 'sorted']
/** @type {Mode[]} who makes a MapBuffer */
const FILES = ['random', 'small', 'sorted']

/** @param {Mode} mode @param {boolean} digest also what the file holds, off the clock @returns {Promise<Outcome>} */
async function run(mode, digest) {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  try {
    const child = fork(program, [mode, folder, ...(digest ? ['digest'] : [])], { execArgv: [] })
    const exit = once(child, 'exit')
    const [outcome] = await Promise.race([once(child, 'message'), exit.then(() => [])])
    await exit
    if (outcome === undefined) throw new Error(`${mode} came to nothing`)
    return outcome
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  /** @type {Record<Mode, Outcome[]>} */
  const all = { nothing: [], pass: [], files: [], random: [], small: [], sorted: [] }
  for (let round = -1; round < ROUNDS; round++) {
    // The first round only warms the disk, and sees that all files are the same, whatever way they came.
    const outcomes = new Map()
    for (const mode of MODES) outcomes.set(mode, await run(mode, round < 0 && FILES.includes(mode)))
    const { bytes, digest } = outcomes.get('random')
    for (const mode of ['small', 'sorted']) {
      const other = outcomes.get(mode)
      if (other.bytes !== bytes || other.digest !== digest) throw new Error(`${mode} wrote another file than random`)
    }
    if (outcomes.get('files').bytes !== bytes) throw new Error(`files wrote another length than random, ${bytes}`)
    if (round >= 0) for (const mode of MODES) all[mode].push(outcomes.get(mode))
  }

  const name = 'writer, 200,000 x 512–1535 B'
  const ns = (/** @type {Mode} */ mode) => spread(all[mode].map(({ ms }) => ms * 1e6))
  const ratio = (/** @type {Mode} */ of, /** @type {Mode} */ against) =>
    spread(all[of].map(({ ms }, round) => ms / all[against][round].ms))
  const note = (/** @type {Mode} */ of, /** @type {Mode} */ against) =>
    `, ${time(ns(of).median)} against ${time(ns(against).median)}`
  bench.races.push({ name, unit: 'file', ns: Object.fromEntries(MODES.map((mode) => [mode, ns(mode)])) })
  bench.atMost(
    `${name}, in random order`,
    'its bytes written twice, read once',
    10,
    ratio('random', 'files'),
    note('random', 'files'),
  )
  bench.atLeast(
    `${name}, sorted and counted`,
    'in random order',
    1.6,
    ratio('random', 'sorted'),
    note('sorted', 'random'),
  )
  for (const [mode, limit, what] of /** @type {[Mode, number, string][]} */ ([
    ['random', 96, 'in random order'],
    ['small', 48, 'in random order, memory: 16 MiB'],
    ['sorted', 32, 'sorted and counted'],
  ])) {
    const more = (/** @type {Mode} */ base) =>
      spread(all[mode].map(({ peak }, round) => (peak - all[base][round].peak) / MIB))
    const told = all[mode].every(({ peak }) => peak > 0)
    const mib = (/** @type {import('../harness.mjs').Spread} */ { median, q1, q3 }) =>
      `${median.toFixed(0)} MiB (${q1.toFixed(0)}–${q3.toFixed(0)})`
    bench.check(
      `${name}, ${what}: peak memory above a program that copies the values into a file`,
      `<= ${limit} MiB`,
      told ? `${mib(more('pass'))}; ${mib(more('nothing'))} above one that drops them` : 'only measured on Linux',
      told && more('pass').median <= limit,
    )
  }
}
