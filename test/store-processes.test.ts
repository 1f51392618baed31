import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import { checkFolder } from '../lib/store/folder.js'
import { rounds, until } from './fixtures/run-kit.js'
import { bytes, Child, Folders, Kit, parentOf, sidePids } from './fixtures/store-kit.js'

/*
 * Several processes with one folder: they write at once, come and go, and are killed.
 */

const folders = new Folders()
test.after.always(() => folders.remove())
const GUARD = 60_000

test.serial(
  'G1: four processes write and are killed: nothing acknowledged is lost, survivors see no error',
  async (t) => {
    t.timeout(2 * GUARD)
    const path = folders.next()
    await using survivor = await Kit.open(path)
    const acknowledged = new Map<string, number>()
    const names = ['a', 'b', 'c', 'd']
    let starts = 0
    const children = new Map<string, Child>()
    const begin = (name: string): void => {
      const own = `${name}${starts++}`
      children.set(own, new Child('store-owner', [path, own]))
    }
    for (const name of names) begin(name)
    let mine = 0
    let working = true
    const writing = (async () => {
      for (; working; mine++) if (!(await survivor.set(`me:${mine}`, `${mine}`))) throw new Error('not done')
    })()
    const opening = (async () => {
      for (let opened = 0; working; opened++) {
        const reader = new Child('store-reader', [path])
        const { code } = await reader.ended
        if (code !== 0) throw new Error(`reader ${opened}: ${reader.errors}`)
      }
    })()
    for (let kills = 0; kills < rounds(9); kills++) {
      await wait(Math.random() * 100)
      const alive = [...children]
      const [name, child] = alive[Math.floor(Math.random() * alive.length)] as [string, Child]
      // Now the owner, now its side process, now both.
      if (kills % 3 !== 0) for (const pid of sidesOf(path, child)) killQuietly(pid)
      if (kills % 3 !== 1) {
        await child.kill()
        acknowledged.set(name, lastNumber(child))
        children.delete(name)
        begin(name.slice(0, 1))
      }
      // Three deaths in a row would be an error, and rightly.
      for (const one of children.values()) await one.saysMore()
    }
    working = false
    await writing
    await opening
    for (const [name, child] of children) {
      await child.kill()
      t.false(child.errors.includes('Error'), child.errors)
      acknowledged.set(name, lastNumber(child))
    }
    survivor.store.refresh()
    let checked = 0
    for (const [name, last] of acknowledged) {
      for (let i = 0; i <= last; i++, checked++) t.is(survivor.get(`${name}:${i}`), `${i}`, `${name}:${i} of ${last}`)
    }
    for (let i = 0; i < mine; i++) t.is(survivor.get(`me:${i}`), `${i}`)
    t.true(checked > 0 && mine > 0)
    t.true((await checkFolder(path)).ok)
    await until(() => sidePids(path).length <= 1, 'only our side process is left', GUARD)
  },
)

/** What it said last, if it was a number. */
const lastNumber = (child: Child): number => Number(child.lines.findLast((line) => line !== 'open') ?? -1)

/** The side process of another process. */
const sidesOf = (path: string, child: Child): number[] =>
  sidePids(path).filter((pid) => parentOf(pid) === child.process.pid)

test.serial('H1: counters by compare-and-set, several processes, side processes killed: exact', async (t) => {
  t.timeout(2 * GUARD)
  const path = folders.next()
  await using kit = await Kit.open(path)
  const children = Array.from({ length: 3 }, () => new Child('store-owner', [path, 'counter', 'count']))
  for (const child of children) await child.says('open')
  let mine = 0
  let working = true
  const counting = (async () => {
    for (; working; mine++) await kit.increment('counter')
  })()
  for (let i = 0; i < rounds(8); i++) {
    await wait(Math.random() * 100)
    const pids = sidePids(path)
    killQuietly(pids[Math.floor(Math.random() * pids.length)] ?? 0)
    for (const child of children) await child.saysMore()
    const before = mine
    await until(() => mine > before, 'progress', GUARD)
  }
  // Stopped, not killed: what was acknowledged is then all that was done.
  for (const child of children) child.tell('stop')
  for (const child of children) t.deepEqual(await child.ended, { code: 0, signal: null }, child.errors)
  working = false
  await counting
  kit.store.refresh()
  const theirs = children.map((child) => child.lines.filter((line) => line !== 'open').length)
  t.is(
    Number(kit.get('counter')),
    theirs.reduce((sum, count) => sum + count, mine),
  )
  const numbers = children.flatMap((child) => child.lines.filter((line) => line !== 'open'))
  t.is(new Set(numbers).size, numbers.length, 'no number came twice')
  t.true(mine > 0)
})

test.serial('H7: a stopped reader with a snapshot makes the file grow; a killed one no longer', async (t) => {
  t.timeout(2 * GUARD)
  const path = folders.next()
  await using kit = await Kit.open(path)
  const rewrite = async (): Promise<number> => {
    const before = kit.store.stats().fileBytes
    for (let round = 0; round < 12; round++) {
      await kit.write((arena) => {
        for (let i = 0; i < 100; i++) arena.set(kit.table.id, bytes(`k${i}`), new Uint8Array(9000).fill(round))
      }, 1_000_000)
    }
    return kit.store.stats().fileBytes - before
  }
  await rewrite()
  const free = await rewrite()
  const reader = new Child('store-reader', [path, 'hold'])
  await reader.says('holding')
  reader.process.kill('SIGSTOP')
  const held = await rewrite()
  t.true(held > free + 6_000_000, `${held}, ${free} without a reader`)
  await reader.kill()
  // It looks for dead readers when it starts, and every half a minute.
  for (const pid of sidePids(path)) killQuietly(pid)
  const after = await rewrite()
  t.true(after < held / 2, `${after}, ${held} with it`)
})

test.serial('H6: several processes make the same folder at once: one folder, all of them write to it', async (t) => {
  t.timeout(GUARD)
  for (let i = 0; i < rounds(2); i++) {
    const path = folders.next()
    const children = Array.from({ length: 4 }, (_, n) => new Child('store-owner', [path, `p${n}`]))
    for (const child of children) await child.says('3')
    for (const child of children) await child.kill()
    await using kit = await Kit.open(path, { create: false })
    for (const n of [0, 1, 2, 3]) for (const k of [0, 1, 2, 3]) t.is(kit.get(`p${n}:${k}`), `${k}`)
  }
})

function killQuietly(pid: number): void {
  try {
    if (pid > 0) process.kill(pid, 'SIGKILL')
  } catch {
    // It was faster.
  }
}
