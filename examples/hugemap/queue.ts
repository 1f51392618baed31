import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { HugeMap } from 'millrace'

type State = 'waiting' | 'running' | 'done'
/** Sorted by state, then by the time when it was put in, then by number: what comes first is what waits longest. */
type JobKey = [state: State, time: number, id: number]
interface Job {
  number: number
}
const JOBS = 200

/** Takes one job after the other until there is none. Any number of processes may do so at once. */
async function work(folder: string): Promise<void> {
  await using queue = await HugeMap.open<JobKey, Job>(folder)
  let done = 0
  let late = 0
  for (;;) {
    const [first] = queue.entries({ prefix: ['waiting'], limit: 1 })
    if (first === undefined) break
    const [[, time, id], job] = first
    // All or nothing: it is ours if it still waits when this is written, and then nobody else's.
    const mine = await queue.batch((b) =>
      b.require(['waiting', time, id], job).delete(['waiting', time, id]).set(['running', time, id], job),
    )
    if (!mine) {
      late++
      continue
    }
    // … the work. Whoever finds it under 'running' after a crash can put it back the same way.
    await queue.batch((b) => b.delete(['running', time, id]).set(['done', time, id], job))
    done++
  }
  process.send?.({ done, late })
}

async function parent(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
  try {
    const path = join(folder, 'queue')
    await using queue = await HugeMap.open<JobKey, Job>(path)
    await queue.setMany(Array.from({ length: JOBS }, (_, id) => [['waiting', Date.now(), id], { number: id }] as const))
    const workers = [1, 2, 3].map(() => fork(fileURLToPath(import.meta.url), [path]))
    const told = await Promise.all(workers.map((one) => once(one, 'message') as Promise<[Record<string, number>]>))
    for (const [{ done, late }] of told) console.log(`${done} jobs done, ${late} times another was faster`)
    await Promise.all(workers.map((one) => one.exitCode ?? once(one, 'exit')))
    queue.refresh()
    const left = queue.count({ lt: ['done', 0, 0] }) + queue.count({ gte: ['running', 0, 0] })
    console.log(`${queue.count({ prefix: ['done'] })} of ${JOBS} jobs done once each, ${left} left`)
  } finally {
    await rm(folder, { recursive: true })
  }
}

const [, , folder] = process.argv
await (folder === undefined ? parent() : work(folder))
