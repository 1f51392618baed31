import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { killShardMakers } from './kill-shards.js'
import { type Finding, killGroup, type Lab, type Mechanic } from './lab.js'
import type { SubjectName } from './subjects/index.js'
import type { WriteJob } from './subjects/record.js'
import { examine, Writer } from './writers.js'

/** Milliseconds a survivor may wait: a third of the time for the lock, after which a side process is replaced, and some. */
const MOST_WAIT = 30_000 / 3 + 4000

/**
 * Processes that write to the same place are killed with -9 and started again; one is never killed, and must notice
 * nothing. At the end everything that any of them was told is done has to be there.
 */
export const killLoop: Mechanic = {
  name: 'kill',
  needs: [],
  async run(lab) {
    const kills = lab.times(250, 20)
    await lab.case('H1, H6: a map of four writers, and one that is never killed', () => killWriters(lab, 'map', kills))
    const early = { careless: 'early' } as const
    await lab.control('writes that nobody awaits', () => killWriters(lab, 'map', 8, early))
    await lab.case('M4, G5: files of four writers', () => killWriters(lab, 'files', lab.times(100, 12)))
    const plain = { careless: 'plain' } as const
    await lab.control('files by writeFile', () => killWriters(lab, 'files', 8, plain))
    await lab.case('L1, L4: four processes that make shards within a limit', () =>
      killShardMakers(lab, lab.times(200, 12)),
    )
  },
}

async function killWriters(
  lab: Lab,
  subject: SubjectName,
  kills: number,
  how: Pick<WriteJob, 'careless'> = {},
): Promise<Finding> {
  const folder = lab.newFolder(subject !== 'map')
  const start = (writer: string): Writer => new Writer(lab, subject, { folder, writer, from: 0, ...how })
  const again = (writer: Writer): Writer => {
    const { ledger } = writer
    return new Writer(lab, subject, { folder, writer: ledger.writer, from: writer.beyond, ...how }, {}, ledger)
  }
  const survivor = start('survivor')
  await survivor.until('it has begun', () => survivor.acknowledged > 0)
  const writers = ['a', 'b', 'c', 'd'].map(start)
  const faults: string[] = []
  const look = async (): Promise<void> => {
    const ledgers = [...writers, survivor].map((writer) => writer.ledger)
    faults.push(...(await examine(lab, subject, folder, ledgers)))
  }
  let acknowledged = 0
  try {
    for (let done = 0; done < kills; ) {
      await wait(lab.below(80))
      // At times two at once.
      const victims = new Set([lab.below(4), ...(lab.below(5) === 0 ? [lab.below(4)] : [])])
      for (const at of victims) {
        const writer = writers[at] as Writer
        // Its end in the middle of a write is what is looked for; that it cannot start would be something else.
        await writer.until('it has begun', () => writer.acknowledged > 0)
      }
      const dead = await Promise.all(
        [...victims].map((at) => strike(lab, writers[at] as Writer).then((is) => is && at)),
      )
      done += victims.size
      for (const at of dead) {
        if (at === false) continue
        acknowledged += (writers[at] as Writer).acknowledged
        writers[at] = again(writers[at] as Writer)
      }
      // What is torn does not stay long: the next write is over it.
      if (subject === 'files' && done % 4 === 0) await look()
    }
  } finally {
    for (const writer of [...writers, survivor]) killGroup(writer.process, 'SIGKILL')
    await Promise.all([...writers, survivor].map((writer) => writer.kill()))
  }
  await look()
  for (const writer of [...writers, survivor]) {
    acknowledged += writer.acknowledged
    if (writer.codes.length > 0) faults.push(`${writer.ledger.writer} met ${writer.codes[0]}`)
    if (writer.errors !== '') faults.push(`${writer.ledger.writer} said ${writer.errors.slice(0, 300)}`)
  }
  if (survivor.longestWait > MOST_WAIT) faults.push(`the survivor waited ${survivor.longestWait.toFixed(0)} ms`)
  const waited = `${survivor.longestWait.toFixed(0)} ms the longest wait`
  return { did: `${kills} kills, ${acknowledged} acknowledged, ${waited}`, faults }
}

/** Kills the writer, its side process, or both; true if the writer is dead, else it has gone on by then. */
async function strike(lab: Lab, writer: Writer): Promise<boolean> {
  const { pid } = writer.process
  const [side] = pid === undefined ? [] : childrenOf(pid)
  const what = side === undefined ? 'both' : lab.pick(['both', 'writer', 'side'] as const)
  if (what === 'side') {
    const before = writer.acknowledged
    killQuietly(side as number)
    // Three deaths in a row without any work between them would be an error, and rightly.
    await writer.until('it goes on', () => writer.acknowledged > before + 8)
    return false
  }
  if (what === 'both') killGroup(writer.process)
  else killQuietly(pid as number)
  const { signal } = await writer.end()
  if (signal !== 'SIGKILL') throw new Error(`a writer ended before it was killed: ${writer.errors}`)
  return true
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    return text.split(' ').filter(Boolean).map(Number)
  } catch {
    return [] // it has ended
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It was faster.
  }
}
