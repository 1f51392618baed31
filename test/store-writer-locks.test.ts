import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import type { StoreError } from '../lib/base/errors.js'
import { bytes, Folders, holdLock, Kit, sidePid, sidePids } from './fixtures/store-kit.js'

/*
 * Another process has the write lock, for long or for ever: nothing is held up but the write, and that is rejected in time.
 */

const folders = new Folders()
test.after.always(() => folders.remove())
/** Generous: a machine under load starts processes slowly. */
const GUARD = 20_000

test.serial(
  'H6: while another process has the lock: reads, timers, open go on; then MILL_LOCKED, and never written',
  async (t) => {
    t.timeout(2 * GUARD)
    const path = folders.next()
    await using kit = await Kit.open(path, { lockTimeoutMs: 1500 })
    await kit.set('a', '1')
    const holder = await holdLock(path)
    holder.process.kill('SIGSTOP')
    try {
      const waiting = kit.set('a', '2').then(
        () => undefined,
        (error: StoreError) => error,
      )
      t.is(kit.store.stats().writer, 'waiting')
      // What a machine under load adds to some rounds it doesn't add to all.
      const longest: number[] = []
      for (let i = 0; i < 20; i++) longest.push(await longestTurn(20, kit))
      t.true(Math.min(...longest) < 10, `${longest}`)
      t.is(kit.get('a'), '1')
      await using other = await Kit.open(path, { readonly: true })
      t.is(other.get('a'), '1')
      const error = await waiting
      t.is(error?.code, 'MILL_LOCKED')
      t.true((error?.waitedMs ?? 0) >= 1499)
      t.is(error?.path, path)
    } finally {
      holder.process.kill('SIGCONT')
      holder.tell('go')
    }
    await holder.says('released')
    t.is(kit.get('a'), '1')
    t.true(await kit.set('a', '3', { expect: bytes('1') }))
    await holder.ended
  },
)

/** The longest turn of the event loop in `ms`, in milliseconds, with some reading. */
async function longestTurn(ms: number, kit: Kit): Promise<number> {
  const end = performance.now() + ms
  let longest = 0
  for (let last = performance.now(); last < end; ) {
    kit.get('a')
    await new Promise(setImmediate)
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  return longest
}

test.serial('H6: a side process that has missed its turn is replaced, and the write is done', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  await using kit = await Kit.open(path, { lockTimeoutMs: 3000 })
  const stuck = sidePid(path)
  process.kill(stuck, 'SIGSTOP')
  t.true(await kit.set('a', '1', { expect: null }))
  t.is(kit.store.stats().restarts, 1)
  t.not(sidePid(path), stuck)
})

test.serial('what was not sent when the time was over is written as soon as the lock is free', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  await using kit = await Kit.open(path, { lockTimeoutMs: 3000 })
  const holder = await holdLock(path)
  const first = kit.set('a', '1')
  await wait(1)
  const second = kit.set('b', '1') // waits for the first, to join others
  await t.throwsAsync(first, { code: 'MILL_LOCKED' } as object)
  await holder.kill()
  t.true(await second)
  t.is(kit.get('a'), undefined)
  t.is(kit.get('b'), '1')
})

test.serial('close does not wait for a lock that somebody keeps', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  const kit = await Kit.open(path)
  await kit.set('a', '1')
  const holder = await holdLock(path)
  await kit.store.close()
  t.deepEqual(sidePids(path), [])
  await holder.kill()
})
