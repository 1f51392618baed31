// npm run bench [-- NAME…]: runs the cases, each in a process of its own, and prints the table.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { Bench, time } from './harness.mjs'

const here = new URL('.', import.meta.url)
const resultFile = (/** @type {string} */ name) => new URL(`results/${name}.json`, here)

/** In the child: one case, its results into a file. @param {string} name */
async function runCase(name) {
  const { default: run } = await import(new URL(`cases/${name}.mjs`, here).href)
  const bench = new Bench()
  await run(bench)
  const [cpu] = cpus()
  const machine = {
    node: process.version,
    cpu: cpu?.model ?? 'unknown',
    cores: cpus().length,
    platform: `${process.platform} ${process.arch}`,
  }
  const date = new Date().toISOString().slice(0, 10)
  mkdirSync(new URL('results/', here), { recursive: true })
  const round = (/** @type {string} */ _, /** @type {unknown} */ value) =>
    typeof value === 'number' ? +value.toPrecision(4) : value
  const { rows, races } = bench
  writeFileSync(resultFile(name), `${JSON.stringify({ name, date, ...machine, rows, races }, round, 2)}\n`)
}

/** In the parent: the cases one after the other, then the table. @param {string[]} names @returns {Promise<boolean>} */
async function runAll(names) {
  const started = performance.now()
  /** @type {import('./harness.mjs').Row[]} */
  const rows = []
  /** @type {string[]} */
  const broken = []
  for (const name of names) {
    process.stderr.write(`${name} … `)
    const start = performance.now()
    const child = fork(new URL('run.mjs', here), [name], {
      execArgv: ['--expose-gc', '--no-deprecation'],
      env: { ...process.env, BENCH_CASE: name },
    })
    const [code] = await once(child, 'exit')
    process.stderr.write(`${time((performance.now() - start) * 1e6)}\n`)
    if (code !== 0) {
      broken.push(name)
      continue
    }
    const { rows: own, races } = JSON.parse(readFileSync(resultFile(name), 'utf8'))
    rows.push(...own)
    for (const { name: race, unit, ns } of races) {
      const all = Object.entries(ns).map(([who, { median }]) => `${who} ${time(median)}`)
      process.stderr.write(`  ${race}, per ${unit}: ${all.join(', ')}\n`)
    }
  }
  printTable(rows)
  const goals = rows.filter((row) => row.met !== null)
  const missed = goals.filter((row) => !row.met).length
  console.log(
    `\n${goals.length - missed} of ${goals.length} goals met, ${Math.round((performance.now() - started) / 1000)} s`,
  )
  if (broken.length > 0) console.error(`failed: ${broken.join(', ')}`)
  return broken.length === 0
}

/** @param {import('./harness.mjs').Row[]} rows */
function printTable(rows) {
  const lines = [
    ['benchmark', 'against', 'goal', 'reached', 'met'],
    ...rows.map((r) => [r.benchmark, r.against, r.goal, r.reached, r.met === null ? '' : r.met ? 'yes' : 'NO']),
  ]
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  const print = (/** @type {string[]} */ line) =>
    console.log(`| ${line.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`)
  print(lines[0])
  print(widths.map((width) => '-'.repeat(width)))
  for (const line of lines.slice(1)) print(line)
}

if (process.env.BENCH_CASE !== undefined) await runCase(process.env.BENCH_CASE)
else {
  const all = readdirSync(new URL('cases/', here))
    .map((file) => file.replace(/\.mjs$/, ''))
    .sort()
  // Those over machines need redis-server, and are run when they are asked for.
  const usual = all.filter((name) => !name.startsWith('machines-'))
  const asked = process.argv.slice(2)
  /** @param {string} name of one case, or of a group: `run` for all of `run-…` */
  const meant = (name) => all.filter((one) => one === name || one.startsWith(`${name}-`))
  const unknown = asked.filter((name) => meant(name).length === 0)
  if (unknown.length > 0) throw new Error(`no such case: ${unknown.join(', ')}; there are ${all.join(', ')}`)
  process.exitCode = (await runAll(asked.length > 0 ? asked.flatMap(meant) : usual)) ? 0 : 1
}
