import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { HugeMap } from '../../lib/hugemap/index.js'
import type { Finding, Lab, Mechanic } from './lab.js'
import { Program } from './writers.js'

const HOLDER = fileURLToPath(new URL('../fixtures/load-holder.js', import.meta.url))
const WAITER = fileURLToPath(new URL('./subjects/waiter.js', import.meta.url))
/** Milliseconds that a writer is given for the lock here. */
const LOCK_TIMEOUT = 1500
/** Milliseconds to be refused in. A busy machine takes long to start the processes that are needed for it. */
const PATIENT = { process: 45_000, inline: 6 * LOCK_TIMEOUT }
/** Milliseconds an exit may take. */
const EXIT = 1000

/**
 * A process is stopped while it has the write lock of a map. Others go on reading, their event loops turn, their writes
 * are rejected in time and not done, and they can exit; when it goes on, or is killed, they write again.
 */
export const stoppedPeers: Mechanic = {
  name: 'stopped',
  needs: [],
  async run(lab) {
    const rounds = lab.times(10)
    for (const end of ['SIGCONT', 'SIGKILL'] as const) {
      await lab.case(`H6: a peer is stopped, then ${end}`, () => repeat(rounds, () => beside(lab, 'process', end)))
    }
    await lab.control("a map with writer: 'inline', which blocks", () => beside(lab, 'inline', 'SIGKILL'))
  },
}

async function repeat(rounds: number, look: () => Promise<Finding>): Promise<Finding> {
  const all: Finding[] = []
  for (let round = 0; round < rounds; round++) all.push(await look())
  return { did: `${rounds} times, ${all.at(-1)?.did}`, faults: all.flatMap(({ faults }) => faults) }
}

async function beside(lab: Lab, writer: 'process' | 'inline', end: 'SIGCONT' | 'SIGKILL'): Promise<Finding> {
  const path = lab.newFolder(false)
  {
    await using map = await HugeMap.open<string, number>(path)
    await map.set('there', 1)
  }
  const holder = new Program(lab, [HOLDER, path])
  await holder.until('it has the lock', () => holder.lines.includes('held'))
  holder.process.kill('SIGSTOP')
  const waiter = new Program(lab, [WAITER, path, writer, `${LOCK_TIMEOUT}`])
  const faults: string[] = []
  await waiter.until('it has started', () => waiter.lines.includes('started'))
  // A waiter that blocks says nothing more until the holder is gone.
  const blocked = setTimeout(() => {
    faults.push('it said nothing while the lock was held')
    holder.process.kill('SIGKILL')
  }, PATIENT[writer])
  await waiter.until('it was refused', () => waiter.lines.some((line) => line.startsWith('refused')))
  clearTimeout(blocked)
  const [, code, waited, ticks] = waiter.lines.find((line) => line.startsWith('refused'))?.split(' ') ?? []
  if (code !== 'MILL_LOCKED') faults.push(`${code} instead of MILL_LOCKED`)
  // Its own clock fires every 10 ms; on a busy machine more rarely, but never just once in all that time.
  if (Number(ticks) < LOCK_TIMEOUT / 100) faults.push(`${ticks} turns of its event loop in ${waited} ms`)
  if (!waiter.lines.includes('read 1')) faults.push('it could not read')
  const took = await quickestExit(lab, path, writer)
  if (took > EXIT) faults.push(`its exit took ${took.toFixed(0)} ms`)
  holder.process.kill(end)
  if (end === 'SIGCONT') {
    await wait(20)
    // It would keep the lock for a minute: now that it runs again it can be asked to go.
    holder.process.kill('SIGTERM')
  }
  await waiter.until('it writes again', () => waiter.lines.includes('written'))
  await waiter.end()
  await holder.kill()
  await using map = await HugeMap.open<string, number>(path)
  if (map.has('refused')) faults.push('what was refused is there')
  if (map.get('after') !== 2) faults.push('what was written afterwards is not there')
  return { did: `refused after ${waited} ms with ${ticks} ticks, exit within ${took.toFixed(0)} ms`, faults }
}

/** Milliseconds from `process.exit()` to the end, of several where one is late: a busy machine may spoil some of them. */
async function quickestExit(lab: Lab, path: string, writer: 'process' | 'inline'): Promise<number> {
  let quickest = Number.POSITIVE_INFINITY
  for (let tries = 0; tries < 5 && quickest > EXIT; tries++) {
    const leaving = new Program(lab, [WAITER, path, writer, 'exit'])
    await leaving.until('it is about to exit', () => leaving.lines.includes('exiting'))
    const start = performance.now()
    const guard = setTimeout(() => leaving.process.kill('SIGKILL'), 10 * EXIT)
    const { signal } = await leaving.end()
    clearTimeout(guard)
    if (signal === null) quickest = Math.min(quickest, performance.now() - start)
  }
  return quickest
}
