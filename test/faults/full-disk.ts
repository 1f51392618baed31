import { mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import type { FullJob, FullReport } from '../fixtures/loadit-full.js'
import { DISK_TOOLS, type Disk, ext4, tmpfs } from './disks.js'
import type { Finding, Lab, Mechanic } from './lab.js'
import type { WriteJob } from './subjects/record.js'
import { examine, Program, Writer } from './writers.js'

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}.js`, import.meta.url))

/** Megabytes of a small disk. */
const SMALL = 6
/** The least ext4 with a journal. */
const SMALL_EXT4 = 8
/** Bytes of values that a map is filled with. */
const LENGTHS = [100, 1500, 9000, 70_000]
/** What a map says and does when its disk is full, and after some of it was deleted; see test/fixtures/store-filler.ts. */
const FILLED: Record<string, unknown> = {
  met: 'MILL_DISK_FULL',
  again: 'MILL_DISK_FULL',
  wrong: 0,
  enough: true,
  deleted: true,
  left: true,
  set: 10,
  restarts: 0,
  closed: true,
}

/** The file that takes the room away. */
const BALLAST = 'ballast'

type Kind = 'tmpfs' | 'ext4' | 'ulimit'
const KINDS: readonly Kind[] = ['tmpfs', 'ext4', 'ulimit']

/**
 * Disks without room: a small tmpfs, a small ext4, and files that may not grow (`ulimit -f`). Whoever writes gets
 * `MILL_DISK_FULL`, nobody dies, what was acknowledged is there, and there is room again once something was deleted.
 */
export const fullDisk: Mechanic = {
  name: 'full',
  needs: DISK_TOOLS,
  async run(lab) {
    const ram = tmpfs(lab, 256)
    const on = <T>(kind: Kind, work: (folder: string) => Promise<T>): Promise<T> => onDisk(lab, ram.path, kind, work)
    for (const kind of KINDS) {
      await lab.case(`H2: a map, ${kind}`, async () => {
        const faults: string[] = []
        const fillings = lab.times(30, LENGTHS.length)
        for (let i = 0; i < fillings; i++) {
          const length = i < LENGTHS.length ? (LENGTHS[i] as number) : 50 + lab.below(80_000)
          faults.push(...(await on(kind, (folder) => fillMap(lab, kind, folder, length))))
        }
        return { did: `${fillings} fillings`, faults }
      })
      await lab.case(`M4: files, ${kind}`, () => on(kind, (folder) => fillFiles(lab, kind, folder)))
      await lab.case(`L3: shards, ${kind}`, () => on(kind, (folder) => readThrough(lab, kind, folder)))
    }
    const plain = { careless: 'plain' } as const
    await lab.control('files by writeFile', () => on('tmpfs', (folder) => fillFiles(lab, 'tmpfs', folder, plain)))
    await lab.control('ulimit, files by writeFile', () =>
      on('ulimit', (folder) => fillFiles(lab, 'ulimit', folder, plain)),
    )
  },
}

async function onDisk<T>(lab: Lab, ram: string, kind: Kind, work: (folder: string) => Promise<T>): Promise<T> {
  if (kind === 'ulimit') return work(lab.newFolder())
  const where = join(ram, `image-${lab.below(2 ** 30)}`)
  let disk: Disk
  if (kind === 'tmpfs') disk = tmpfs(lab, SMALL)
  else {
    mkdirSync(where)
    disk = ext4(lab, where, SMALL_EXT4)
  }
  try {
    return await work(disk.path)
  } finally {
    disk.unmount()
    rmSync(where, { recursive: true, force: true })
  }
}

/** Blocks of 1,024 bytes that a file may have. */
const limited = (kind: Kind, blocks: number): { shell?: string } =>
  kind === 'ulimit' ? { shell: `ulimit -f ${blocks}` } : {}

async function fillMap(lab: Lab, kind: Kind, folder: string, length: number): Promise<string[]> {
  const path = join(folder, 'map')
  // Many small values take long: there is less room for them.
  const blocks = length < 1000 ? 1300 : 3072
  if (kind !== 'ulimit') fillBut(folder, 1024 * blocks)
  const filler = new Program(lab, [fixture('store-filler'), path, `${length}`], limited(kind, blocks))
  const { code, signal } = await filler.end()
  const faults: string[] = []
  if (code !== 0) faults.push(`it ended with ${signal ?? code}: ${filler.errors.slice(0, 300)}`)
  const said = new Map(filler.lines.map((line) => [line.split(' ')[0] as string, line.slice(line.indexOf(' ') + 1)]))
  for (const [what, wanted] of Object.entries(FILLED)) {
    if (said.get(what) !== JSON.stringify(wanted))
      faults.push(`${what}: ${said.get(what)}, not ${JSON.stringify(wanted)}`)
  }
  rmSync(path, { recursive: true, force: true })
  return faults.map((fault) => `values of ${length} bytes: ${fault}`)
}

/** Files of 1.5 MB and less until several were refused: the old ones are still there, and nothing half. */
async function fillFiles(lab: Lab, kind: Kind, disk: string, how: Pick<WriteJob, 'careless'> = {}): Promise<Finding> {
  const folder = join(disk, 'files')
  mkdirSync(folder)
  const job = { folder, writer: 'w', from: 0, count: 60, ...how }
  // 600,000 bytes are too long, 70,000 are not.
  if (kind !== 'ulimit') fillBut(disk, 1024 * 700)
  const writer = new Writer(lab, 'files', job, limited(kind, 300))
  const { code, signal } = await writer.end()
  // Looking at it writes, too.
  rmSync(join(disk, BALLAST), { force: true })
  const faults = await examine(lab, 'files', folder, [writer.ledger])
  if (how.careless === undefined) {
    if (code !== 0) faults.push(`it ended with ${signal ?? code}: ${writer.errors.slice(0, 300)}`)
    const other = writer.codes.find((met) => met !== 'MILL_DISK_FULL')
    if (other !== undefined) faults.push(`it met ${other}`)
    if (writer.codes.length === 0) faults.push('the disk was never full')
    const left = readdirSync(folder).filter((name) => name.endsWith('.tmp'))
    if (left.length > 0) faults.push(`left over: ${left}`)
  }
  return { did: `${writer.acknowledged} written, ${writer.codes.length} refused`, faults }
}

/** A dataset of 20,000 items is read where not all of its shards fit, or, with files that may not grow, none of them. */
async function readThrough(lab: Lab, kind: Kind, folder: string): Promise<Finding> {
  const job: FullJob = { root: join(folder, 'data'), count: 20_000, shardLength: kind === 'ulimit' ? 10_000 : 1000 }
  // 20 shards of 83 KB, and a catalog of 400.
  if (kind !== 'ulimit') fillBut(folder, 1.5 * 2 ** 20)
  const reader = new Program(lab, [fixture('loadit-full'), JSON.stringify(job)], limited(kind, 300))
  const { code, signal } = await reader.end()
  if (code !== 0) return { did: 'nothing', faults: [`it ended with ${signal ?? code}: ${reader.errors.slice(0, 300)}`] }
  const { stored, ...rest } = JSON.parse(reader.lines.at(-1) ?? '') as FullReport
  const faults: string[] = []
  const wanted = { items: 20_000, isRight: true, warnings: ['MILL_DISK_FULL'] }
  if (!isDeepStrictEqual(rest, wanted)) faults.push(`${JSON.stringify(rest)}, not ${JSON.stringify(wanted)}`)
  const isAsExpected = kind === 'ulimit' ? stored === 0 : stored > 0 && stored < 20
  if (!isAsExpected) faults.push(`${stored} shards were stored`)
  return { did: `20,000 items, ${stored} shards stored`, faults }
}

/** Leaves only so much room on a disk. */
function fillBut(folder: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(folder)
  writeFileSync(join(folder, BALLAST), new Uint8Array(Math.max(0, bavail * bsize - bytes)))
}
