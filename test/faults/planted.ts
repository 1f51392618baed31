import { execFileSync } from 'node:child_process'
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import type { Finding, Lab, Mechanic } from './lab.js'
import type { SubjectName } from './subjects/index.js'
import type { WriteJob } from './subjects/record.js'
import { Writer } from './writers.js'

const VICTIM = 'what belongs to somebody else\n'

/** Puts something in the place of a file; `victim` is a file outside of the folder. */
const KINDS: Record<string, (path: string, victim: string) => void> = {
  'a link to a victim': (path, victim) => symlinkSync(victim, path),
  'a dangling link': (path, victim) => symlinkSync(`${victim}.new`, path),
  'a link to a folder': (path, victim) => symlinkSync(dirname(victim), path),
  'a FIFO': (path) => void execFileSync('mkfifo', [path]),
  'a folder': (path) => mkdirSync(path),
  'a foreign file': (path) => writeFileSync(path, VICTIM),
  'a device': (path) => void execFileSync('mknod', [path, 'c', '1', '5']),
  'a link to itself': (path) => symlinkSync(path, path),
}

/**
 * Under each name that a writer uses lies something that it did not make: it ends with an error of ours or goes around
 * it, in time, and what lies outside of its folder is as it was.
 */
export const planted: Mechanic = {
  name: 'planted',
  needs: ['mkfifo', 'mknod'],
  async run(lab) {
    for (const subject of ['map', 'files', 'dataset'] as const) {
      await lab.case(`G6: ${subject}`, () => plantAll(lab, subject))
    }
    await lab.control('files by writeFile', () => plantAll(lab, 'files', { careless: 'plain' }))
  },
}

/** Names of everything in a folder, folders before what is in them. */
function namesIn(folder: string, root = folder): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    return [relative(root, path), ...(entry.isDirectory() ? namesIn(path, root) : [])]
  })
}

async function plantAll(lab: Lab, subject: SubjectName, how: Pick<WriteJob, 'careless'> = {}): Promise<Finding> {
  const sound = lab.newFolder(false)
  mkdirSync(sound, { mode: 0o700 })
  const count = subject === 'dataset' ? 10 : 8
  const first = new Writer(lab, subject, { folder: sound, writer: 'w', from: 0, count, ...how })
  await first.end()
  // Not the folder of a dataset, which may be reached by a link; and of shards, which are alike, only the first.
  const names = namesIn(sound).filter(
    (name) => (!name.endsWith('.shd') || name.endsWith('/0.1.shd')) && (subject !== 'dataset' || name.includes('/')),
  )
  const faults: string[] = []
  let tried = 0
  const tasks = names.flatMap((name) => Object.keys(KINDS).map((kind) => ({ name, kind })))
  // A part of them where there is less time, another one each time.
  const wanted = Math.min(tasks.length, lab.times(160, 12))
  while (tasks.length > wanted) tasks.splice(lab.below(tasks.length), 1)
  const lane = async (): Promise<void> => {
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) {
      tried++
      const { name, kind } = task
      faults.push(...(await plant(lab, subject, name, kind, count, how)).map((fault) => `${kind} as ${name}: ${fault}`))
    }
  }
  await Promise.all([lane(), lane()])
  if (names.length < 2) throw new Error(`only ${names} were made`)
  return { did: `${tried} plants under ${names.length} names`, faults }
}

async function plant(
  lab: Lab,
  subject: SubjectName,
  name: string,
  kind: string,
  count: number,
  how: Pick<WriteJob, 'careless'>,
): Promise<string[]> {
  const around = lab.newFolder()
  const outside = join(around, 'outside')
  const folder = join(around, 'folder')
  const victim = join(outside, 'victim')
  mkdirSync(outside)
  writeFileSync(victim, VICTIM)
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const place = KINDS[kind] as (path: string, victim: string) => void
  place(path, victim)
  const before = lstatSync(path)
  const writer = new Writer(lab, subject, { folder, writer: 'w', from: 0, count, ...how })
  const faults: string[] = []
  // It must not wait for the other end of a pipe; that who is careless does is known soon.
  const guard = setTimeout(
    () => {
      faults.push('it hangs')
      void writer.kill()
    },
    how.careless === undefined ? 20_000 : 3000,
  )
  const { code, signal } = await writer.end()
  clearTimeout(guard)
  if (code !== 0 && faults.length === 0) faults.push(`it ended with ${signal ?? code}: ${writer.errors.slice(0, 200)}`)
  if (readFileSync(victim, 'utf8') !== VICTIM) faults.push('the victim was written to')
  const others = readdirSync(outside).filter((other) => other !== 'victim')
  if (others.length > 0) faults.push(`outside there is ${others}`)
  // In a folder of somebody else's a file is no obstacle, for whoever writes one of that name replaces it; all else stays.
  const after = lstatSync(path, { throwIfNoEntry: false })
  if (subject === 'files' && !before.isFile() && after?.ino !== before.ino) faults.push('it was replaced')
  rmSync(around, { recursive: true, force: true })
  return faults
}
