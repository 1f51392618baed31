import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { DISK_TOOLS, ext4, tmpfs } from './disks.js'
import { type Finding, killGroup, type Lab, type Mechanic } from './lab.js'
import type { SubjectName } from './subjects/index.js'
import type { WriteJob } from './subjects/record.js'
import { examine, Writer } from './writers.js'

/** Megabytes of an image; a writer holds a tenth of it. */
const SIZE = 96
/** Milliseconds after a stop until nothing of it is under way any more. */
const SETTLE = 15
/**
 * LMDB looks at the boot id to choose between the last commit and the last one that was flushed; after a power cut that
 * is another one, here it is not.
 */
const AFTER_A_BOOT = { LMDB_RESTORE: 'safe' }

interface Look {
  readonly subject: SubjectName
  readonly careless?: NonNullable<WriteJob['careless']>
  readonly mayLose?: boolean
  readonly cuts: number
}

/**
 * The power fails while a process writes to an ext4 disk: the process is stopped, the image of the disk copied as it is,
 * without anything that is still in the cache of the file system, and the copy mounted and looked at. What had been
 * acknowledged before the copy has to be there.
 */
export const powerCut: Mechanic = {
  name: 'power',
  needs: DISK_TOOLS,
  async run(lab) {
    const ram = tmpfs(lab, 2048)
    const cut = (look: Look) => (): Promise<Finding> => cuts(lab, ram.path, look)
    const few = 4
    const lanes = [
      async () => {
        await lab.case('H1: a map', cut({ subject: 'map', cuts: lab.times(60, 6) }))
        await lab.control('a map with durable: false', cut({ subject: 'map', careless: 'unsynced', cuts: few }))
        await lab.control('writes that nobody awaits', cut({ subject: 'map', careless: 'early', cuts: few }))
      },
      async () => {
        await lab.case('M4: files', cut({ subject: 'files', cuts: lab.times(60, 6) }))
        await lab.control('files without a sync', cut({ subject: 'files', careless: 'unsynced', cuts: few }))
      },
      async () => {
        await lab.case("L2: shards, durability 'full'", cut({ subject: 'dataset', cuts: lab.times(60, 6) }))
        const torn = { subject: 'dataset', careless: 'unsynced' } as const
        await lab.case("L2: shards, durability 'process'", cut({ ...torn, mayLose: true, cuts: lab.times(30, few) }))
        await lab.control('shards without a sync, none to be lost', cut({ ...torn, cuts: few }))
      },
    ]
    await Promise.all(lanes.map((lane) => lane()))
  },
}

async function cuts(lab: Lab, ram: string, { subject, careless, mayLose = false, cuts }: Look): Promise<Finding> {
  const where = join(ram, `${subject}-${lab.below(2 ** 30)}`)
  mkdirSync(where)
  const image = ext4(lab, where, SIZE)
  // Made by the writer, who has to see to it that it lasts; that of plain files is there before.
  const name = subject === 'map' ? 'data' : ''
  const folder = join(image.path, name)
  const writer = new Writer(lab, subject, { folder, writer: 'w', from: 0, ...(careless && { careless }) })
  const faults: string[] = []
  let acknowledged = 0
  try {
    await writer.until('it has begun', () => writer.acknowledged > 0)
    for (let done = 0, tries = 0; done < cuts; ) {
      await wait(lab.below(120))
      killGroup(writer.process, 'SIGSTOP')
      await wait(SETTLE)
      const { ledger } = writer
      acknowledged = writer.acknowledged
      const disk = image.crash()
      killGroup(writer.process, 'SIGCONT')
      if (disk === undefined) {
        if (++tries > 20 + 5 * cuts)
          throw new Error(`the image never stands still: ${done} of ${tries + done} copies did`)
        continue
      }
      done++
      const found = await examine(lab, subject, join(disk.path, name), [ledger], { mayLose, env: AFTER_A_BOOT })
      faults.push(...found.map((fault) => `cut ${done}: ${fault}`))
      disk.unmount()
    }
  } finally {
    await writer.kill()
    image.unmount()
  }
  if (writer.codes.length > 0) faults.push(`the writer met ${writer.codes[0]}`)
  if (writer.errors !== '') faults.push(`the writer said ${writer.errors.slice(0, 300)}`)
  return { did: `${cuts} cuts, ${acknowledged} acknowledged`, faults }
}
