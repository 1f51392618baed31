// A million records out of text files, in no order: the bulk load, against the batches that one would write by hand.
import { createReadStream, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { spread, time } from '../harness.mjs'
import { openRaw, RAW, someKeys, text, workFolder } from '../hugemap.mjs'
import { HugeMap, lines } from '../lib.mjs'

const COUNT = 1_000_000
const FILES = 4
const ROUNDS = 3
const MIB = 2 ** 20
const TSV = { format: { type: 'tsv' }, key: 'string', value: 'string' }

const folder = workFolder()

/** Peak memory of the child processes there are, in bytes, as far as Linux tells. */
function peakOfChildren() {
  let peak = 0
  try {
    for (const name of readdirSync('/proc')) {
      if (!(Number(name) > 0)) continue
      const status = readFileSync(`/proc/${name}/status`, 'latin1')
      if (!status.includes(`\nPPid:\t${process.pid}\n`)) continue
      peak += Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
    }
  } catch {
    // One of them has just ended, or this is no Linux.
  }
  return peak
}

/** @param {string[]} files @param {object} options @returns {Promise<{ ms: number, peak: number }>} */
async function load(files, options) {
  const path = join(folder, 'loaded')
  let peak = 0
  const timer = setInterval(() => (peak = Math.max(peak, peakOfChildren())), 20)
  const start = performance.now()
  const { records } = await HugeMap.load(path, files, options)
  const ms = performance.now() - start
  clearInterval(timer)
  if (records !== COUNT) throw new Error(`${records} of ${COUNT} records were loaded`)
  rmSync(path, { recursive: true })
  return { ms, peak }
}

/** The same by hand: lines, a split, transactions of 10,000 that nobody waits for. @param {string[]} files */
async function byHand(files) {
  const path = join(folder, 'raw')
  const start = performance.now()
  const db = openRaw({ path, ...RAW, encoding: 'string', noSync: true })
  /** @type {string[]} */
  let held = []
  const write = () => {
    db.transactionSync(() => {
      for (const line of held) {
        const tab = line.indexOf('\t')
        db.putSync(line.slice(0, tab), line.slice(tab + 1))
      }
    })
    held = []
  }
  for (const file of files) {
    for await (const some of lines(createReadStream(file, { highWaterMark: MIB })).batches()) {
      for (const line of some) held.push(line)
      if (held.length >= 10_000) write()
    }
  }
  write()
  const { entryCount } = db.getStats()
  await db.close()
  const ms = performance.now() - start
  if (entryCount !== COUNT) throw new Error(`${entryCount} of ${COUNT} records were written by hand`)
  rmSync(path, { recursive: true })
  return { ms, peak: 0 }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const keys = someKeys(COUNT)
  const tsv = []
  for (let file = 0; file < FILES; file++) {
    const path = join(folder, `${file}.tsv`)
    const own = keys.slice((file * COUNT) / FILES, ((file + 1) * COUNT) / FILES)
    writeFileSync(path, own.map((key, i) => `${key}\t${text(file * COUNT + i, 100)}\n`).join(''))
    tsv.push(path)
  }
  const whole = join(folder, 'whole.tsv')
  writeFileSync(whole, Buffer.concat(tsv.map((path) => readFileSync(path))))
  const ndjson = join(folder, 'whole.ndjson')
  writeFileSync(ndjson, keys.map((key, i) => `{"id":"${key}","label":${JSON.stringify(text(i, 90))}}\n`).join(''))

  const threads = Math.min(16, availableParallelism())
  /** @type {Record<string, () => Promise<{ ms: number, peak: number }>>} */
  const ways = {
    '4 files': () => load(tsv, TSV),
    '1 file': () => load([whole], TSV),
    ndjson: () => load([ndjson], { format: { type: 'ndjson', key: 'id' }, key: 'string', value: 'json' }),
    'memory: 32 MiB': () => load(tsv, { ...TSV, memory: 32 * MIB }),
    'by hand': () => byHand(tsv),
  }
  /** @type {Record<string, { ms: number, peak: number }[]>} */
  const all = Object.fromEntries(Object.keys(ways).map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round++) for (const name of Object.keys(ways)) all[name].push(await ways[name]())

  const name = 'load of 1,000,000 records'
  const ns = (/** @type {string} */ way) => spread(all[way].map(({ ms }) => ms * 1e6))
  bench.races.push({ name, unit: 'load', ns: Object.fromEntries(Object.keys(ways).map((way) => [way, ns(way)])) })
  for (const [of, against, goal] of /** @type {[string, string, number][]} */ ([
    ['4 files', 'by hand', 5],
    ['1 file', '4 files', 0.85],
    ['ndjson', '1 file', 0.45],
    ['memory: 32 MiB', '4 files', 0.5],
  ])) {
    const ratio = spread(all[of].map(({ ms }, round) => all[against][round].ms / ms))
    bench.atLeast(
      `${name}: ${of}`,
      against,
      goal,
      ratio,
      `, ${time(ns(of).median)} against ${time(ns(against).median)}`,
    )
  }
  const limit = 32 + 25 * threads + 120
  const peaks = spread(all['memory: 32 MiB'].map(({ peak }) => peak / MIB))
  bench.check(
    `${name}, memory: 32 MiB: peak memory of the loading process`,
    `<= ${limit} MiB`,
    peaks.median > 0
      ? `${peaks.median.toFixed(0)} MiB (${peaks.q1.toFixed(0)}–${peaks.q3.toFixed(0)})`
      : 'only measured on Linux',
    peaks.median > 0 && peaks.median <= limit,
  )
}
