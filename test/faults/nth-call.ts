import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { failingWrites } from '../fixtures/store-kit.js'
import type { Finding, Lab, Mechanic } from './lab.js'
import type { SubjectName } from './subjects/index.js'
import type { WriteJob } from './subjects/record.js'
import { examine, Writer } from './writers.js'

/** How the n-th call fails: an errno (ENOSPC, EIO), half of it is done, or the process is killed before, within, after it. */
const HOW = { write: ['28', '5', 'short', 'kill', 'half', 'done'], sync: ['28', '5', 'kill', 'done'] } as const
const KILLS: readonly string[] = ['kill', 'half', 'done']
/** The last call that is made to fail, unless there are fewer. */
const LAST = 150
/** Writes of a run; a dataset has ten shards. */
const WRITES: Record<SubjectName, number> = { map: 30, files: 10, dataset: 10 }

/** What is written to, of which files the calls fail, and how where not all ways are fair. */
interface Target {
  readonly subject: SubjectName
  readonly path?: string
  readonly hows?: readonly string[]
  /** The last write that is made to fail. */
  readonly last?: number
  readonly careless?: NonNullable<WriteJob['careless']>
}

interface Plan {
  readonly op: keyof typeof HOW
  readonly how: string
  readonly at: number
  readonly forGood: boolean
}

/**
 * The n-th write or sync of a process that writes to a subject fails, once or for good, by a library that is loaded
 * before all others: what Node calls is meant as much as what native code calls. Every write is acknowledged and there,
 * or refused by a code of ours and not there, and the process lives, unless it was killed.
 */
export const nthCall: Mechanic = {
  name: 'nth',
  needs: ['gcc'],
  async run(lab) {
    const library = failingWrites(lab.folder)
    if (library === undefined) throw new Error('gcc cannot make a shared library here')
    const look = (runs: number, target: Target) => (): Promise<Finding> => sample(lab, library, target, runs)
    const runs = lab.times(150, 8)
    await Promise.all([
      lab.case('H1, H2: a map', look(runs, { subject: 'map' })),
      lab.case('M4: files', look(runs, { subject: 'files' })),
      lab.case('L1, L3: shards', look(runs, { subject: 'dataset', path: 'shards/' })),
    ])
    // A write of LMDB's own that fails may end the process that has it, which here is the user's: see SECURITY.md.
    const catalog: Target = { subject: 'dataset', path: 'catalog.mdb', hows: KILLS, last: 60 }
    await lab.case('L2: the catalog of shards', look(lab.times(50, 6), catalog))
    const early: Target = { subject: 'map', careless: 'early', hows: ['28', '5'], last: 20 }
    await lab.control('writes that nobody awaits', look(4, early))
    const plain: Target = { subject: 'files', careless: 'plain', hows: ['half', 'kill'], last: 12 }
    await lab.control('files by writeFile', look(4, plain))
  },
}

/** Runs with plans by chance; where a run has no n-th call, later ones are asked for an earlier one. */
async function sample(lab: Lab, library: string, target: Target, runs: number): Promise<Finding> {
  const chance = lab.chance(JSON.stringify(target))
  const faults: string[] = []
  const last = { write: target.last ?? LAST, sync: LAST }
  let hit = 0
  // Of few runs all may by chance ask for a call that does not come: then there are more of them.
  for (let run = 0; run < runs || (hit < runs / 4 && run < 4 * runs); run++) {
    const op = target.hows === undefined && chance.below(4) === 0 ? 'sync' : 'write'
    const how = chance.pick(target.hows ?? HOW[op])
    const plan: Plan = { op, how, at: 1 + chance.below(last[op]), forGood: chance.below(3) === 0 }
    const { came, found } = await runOne(lab, library, target, plan)
    if (came) hit++
    else last[op] = Math.max(1, plan.at - 1)
    faults.push(...found.map((fault) => `${JSON.stringify(plan)}: ${fault}`))
  }
  // Else the library was not loaded, or looked at other files.
  if (hit < runs / 4) throw new Error(`only ${hit} of ${runs} runs had a call that failed`)
  const syncs = target.hows === undefined ? ` and ${last.sync} syncs` : ''
  return { did: `${hit} failures, among the first ${last.write} writes${syncs}`, faults }
}

async function runOne(
  lab: Lab,
  library: string,
  { subject, path = '', careless }: Target,
  { op, how, at, forGood }: Plan,
): Promise<{ came: boolean; found: string[] }> {
  const folder = lab.newFolder(subject !== 'map')
  const said = `${folder}.said`
  const env = {
    LD_PRELOAD: library,
    FAIL_OP: op,
    FAIL_AT: `${at}`,
    FAIL_HOW: how,
    FAIL_PATH: path || join(folder, '/'),
    FAIL_SAID: said,
    ...(forGood && { FAIL_STICKY: '1' }),
  }
  const job = { folder, writer: 'w', from: 0, count: WRITES[subject], ...(careless && { careless }) }
  const writer = new Writer(lab, subject, job, { env })
  const found: string[] = []
  const { code, signal } = await writer.end().catch((error: Error) => {
    found.push(error.message)
    return { code: 0, signal: null }
  })
  const came = existsSync(said)
  // A side process may be the one that was killed.
  if (signal !== null && !(KILLS.includes(how) && signal === 'SIGKILL')) found.push(`the writer was ended by ${signal}`)
  if (signal === null && code !== 0) found.push(`the writer ended with ${code}: ${writer.errors.slice(0, 400)}`)
  if (!came && writer.codes.length > 0) found.push(`${writer.codes[0]} without a failure`)
  // Nothing may be there at all if making it was what failed.
  if (existsSync(folder) && (subject !== 'map' || existsSync(join(folder, 'data.mdb')))) {
    found.push(...(await examine(lab, subject, folder, [writer.ledger])))
  } else if (writer.acknowledged > 0) found.push('all is gone')
  rmSync(folder, { recursive: true, force: true })
  rmSync(said, { force: true })
  return { came, found }
}
