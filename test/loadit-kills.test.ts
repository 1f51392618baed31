import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { until } from './fixtures/loadit-kit.js'
import { checkAll, eventsOf, type Running, start } from './fixtures/loadit-processes-kit.js'
import { within } from './fixtures/stream-kit.js'

/*
 * Processes that share a root and die at any moment. On a disk in memory, where more happens in the same time: what a
 * kill leaves behind does not depend on the disk. MILLRACE_TEST_SCALE=2: 240 kills, in half a minute.
 */

const SCALE = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const KILLS = 120 * SCALE
const VICTIMS = 4
const LIMIT = 12_000
/** A shard of 20 items has less, in bytes. */
const SHARD = 1200

/** All that lies in the folder of shards, finished or not, in bytes. */
function folderBytes(root: string): number {
  let bytes = 0
  for (const name of readdirSync(join(root, 'shards'))) {
    bytes += statSync(join(root, 'shards', name), { throwIfNoEntry: false })?.size ?? 0
  }
  return bytes
}

test('L2: processes killed at random again and again: no wrong value, no broken shard, and the limit holds', async (t) => {
  t.timeout(120_000 * SCALE)
  const root = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'millrace-kills-'))
  t.teardown(() => rmSync(root, { recursive: true, force: true }))
  let seed = 0
  const begin = (): Running => start(t, { root, memoryLimit: LIMIT, reads: 1e9, seed: ++seed })
  const survivor = begin()
  const living = Array.from({ length: VICTIMS }, begin)
  const dead: Running[] = []

  let most = 0
  let samples = 0
  let over = false
  const watching = (async () => {
    await until('a folder', () => survivor.has('open'))
    for (; !over; samples++) {
      most = Math.max(most, folderBytes(root))
      await delay(10)
    }
  })()

  let random = 12_345
  const next = (below: number): number => {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
    return (random >>> 8) % below
  }
  const replace = async (at: number): Promise<void> => {
    const victim = living[at] as Running
    victim.process.kill('SIGKILL')
    t.is(await within(victim.ended, 'the dead one'), 'SIGKILL', victim.errors.join(''))
    dead.push(victim)
    living[at] = begin()
  }
  while (dead.length < KILLS) {
    // Mostly one of those that are at work; now and then one that is just opening, or two at once.
    const ready = living.findIndex((one) => one.has('generated'))
    if (ready === -1 && next(4) > 0) {
      await delay(2)
      continue
    }
    await delay(next(40))
    const at = ready === -1 ? next(VICTIMS) : ready
    const also = next(8) === 0 ? [(at + 1) % VICTIMS] : []
    await Promise.all([at, ...also].map(replace))
  }
  for (let at = 0; at < VICTIMS; at++) {
    const one = living[at] as Running
    await until('a process at work', () => one.has('generated'))
    one.process.kill('SIGKILL')
    await within(one.ended, 'the last ones')
  }
  over = true
  await watching
  survivor.process.kill('SIGTERM')
  t.is(await within(survivor.ended, 'the survivor'), 0, survivor.errors.join(''))

  const all = [survivor, ...dead, ...living]
  t.deepEqual(eventsOf(all, 'wrong'), [])
  t.deepEqual(eventsOf(all, 'corrupt'), [])
  t.deepEqual(eventsOf(all, 'warning'), [])
  t.deepEqual(
    all.map(({ errors }) => errors.join('')).filter((text) => text !== ''),
    [],
  )
  // The lease of a dead one is taken over at once, not when it is up.
  const slowest = eventsOf([survivor], 'read')[0]?.slowest ?? Number.POSITIVE_INFINITY
  t.true(slowest < 5000, `${slowest} ms`)
  t.true(most <= LIMIT + (VICTIMS + 1) * SHARD, `${most} bytes`)
  const stored = eventsOf(all, 'generated').filter((one) => one.stored === true).length
  t.log(
    `${dead.length} kills, ${stored} shards stored, ${samples} looks, ${most} bytes at most, ${Math.round(slowest)} ms`,
  )
  await checkAll(t, root, 600, LIMIT)
})
