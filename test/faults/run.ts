/**
 * The fault kit: `node dist/test/faults/run.js [name…] [--scale 1] [--seed n] [--jobs 3] [--soak] [--hours n]`. Breaks
 * things on purpose, one line for each case; the last line is `N passed, N failed`, and the exit code 1 if any failed.
 */

import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { damage } from './damage.js'
import { fullDisk } from './full-disk.js'
import { fuzz } from './fuzz.js'
import { killLoop } from './kill-loop.js'
import { Lab, leftOf, type Mechanic, missing, runFolder, Tally, Undo } from './lab.js'
import { nthCall } from './nth-call.js'
import { planted } from './planted.js'
import { powerCut } from './power-cut.js'
import { sockets } from './sockets.js'
import { stoppedPeers } from './stopped.js'

const MECHANICS: readonly Mechanic[] = [
  powerCut,
  killLoop,
  nthCall,
  fullDisk,
  damage,
  planted,
  fuzz,
  stoppedPeers,
  sockets,
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    scale: { type: 'string', default: '0.1' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    jobs: { type: 'string', default: '3' },
    soak: { type: 'boolean', default: false },
    hours: { type: 'string', default: 'Infinity' },
  },
})
const scale = numberOf('scale', values.scale)
const seed = numberOf('seed', values.seed)
const jobs = numberOf('jobs', values.jobs)
const hours = numberOf('hours', values.hours)

function numberOf(option: string, text: string): number {
  const number = Number(text)
  if (!(number > 0)) throw new Error(`--${option} must be a number above 0, not ${text}`)
  return number
}

const chosen = positionals.length === 0 ? MECHANICS : positionals.map(mechanicOf)

function mechanicOf(name: string): Mechanic {
  const found = MECHANICS.find((mechanic) => mechanic.name === name)
  if (found === undefined)
    throw new Error(`${name} is none of ${MECHANICS.map((mechanic) => mechanic.name).join(', ')}`)
  return found
}

const tally = new Tally()
const undo = new Undo()
let stopping = false

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => {
    stopping = true
    undo.all()
    tally.end()
    // Being stopped is how a soak ends.
    process.exit(values.soak && tally.failed === 0 ? 0 : 1)
  })
}

/** All of them once, `jobs` at a time, each in a folder of its own. */
async function round(seed: number): Promise<void> {
  const start = performance.now()
  console.log(`# seed ${seed}, scale ${scale}`)
  const root = runFolder(undo)
  const waiting = [...chosen]
  const worker = async (): Promise<void> => {
    for (let mechanic = waiting.shift(); mechanic !== undefined && !stopping; mechanic = waiting.shift()) {
      await runOne(mechanic, root, seed)
    }
  }
  await Promise.all(Array.from({ length: Math.min(jobs, chosen.length) }, worker))
  undo.all()
  console.log(`# ${((performance.now() - start) / 1000).toFixed(0)} s`)
}

async function runOne(mechanic: Mechanic, root: string, seed: number): Promise<void> {
  const own = new Undo()
  const drop = undo.add(() => own.all())
  const lab = new Lab(mechanic.name, root, { scale, seed, undo: own, tally })
  const absent = missing(mechanic.needs)
  if (process.platform !== 'linux') absent.push('Linux')
  if (process.getuid?.() !== 0) absent.push('root')
  if (absent.length > 0) {
    tally.line(false, `${mechanic.name}: needs ${absent.join(', ')}, which is not here`)
    return
  }
  try {
    await mechanic.run(lab)
  } catch (error) {
    tally.line(false, `${mechanic.name}: ${error instanceof Error ? error.stack : error}`)
  } finally {
    drop()
  }
  await lab.case('G5: nothing is left', async () => {
    let faults = leftOf(lab.folder)
    // What was killed may take a moment to go.
    for (let tries = 0; faults.length > 0 && tries < 100; tries++) {
      await wait(50)
      faults = leftOf(lab.folder)
    }
    return { did: 'processes and mounts', faults }
  })
}

const last = performance.now() + hours * 3_600_000
for (let number = 0; number === 0 || (values.soak && performance.now() < last); number++) await round(seed + number)
tally.end()
process.exitCode = tally.failed === 0 ? 0 : 1
