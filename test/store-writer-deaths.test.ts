import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import { isMillraceError, type StoreError } from '../lib/base/errors.js'
import { rounds, until } from './fixtures/run-kit.js'
import { bytes, Folders, Kit, killSide, sidePids } from './fixtures/store-kit.js'

/*
 * The side process dies, at any place: every request is done exactly once or rejected.
 */

const folders = new Folders()
test.after.always(() => folders.remove())
/** Generous: a machine under load starts processes slowly. */
const GUARD = 20_000

const faulty = new URL('./fixtures/store-faulty-side.js', import.meta.url)

/** Opens a folder whose side process will die as planned from its next start on. */
async function withFault(fault: string, once = true): Promise<Kit> {
  const path = folders.next()
  const kit = await Kit.with(path, faulty)
  await killSide(kit)
  process.env.MILLRACE_TEST_FAULT = `${fault} ${once ? join(folders.root, `${path.slice(-4)}-happened`) : 'always'}`
  return kit
}

test.afterEach.always(() => {
  delete process.env.MILLRACE_TEST_FAULT
})

const LOCKED = 4
const DONE = 2

for (const [type, when] of [
  [LOCKED, 'before it had the lock'],
  [DONE, 'after the commit'],
] as const) {
  for (const how of ['before', 'half', 'after'] as const) {
    test.serial(`H1: the side process dies ${when}, its frame ${how}: done once, with the right results`, async (t) => {
      t.timeout(GUARD)
      await using kit = await withFault(`${type} 1 ${how}`)
      const results = await Promise.all([
        kit.set('a', '1', { expect: null }),
        kit.set('a', '2', { expect: bytes('1') }),
        kit.set('a', '3', { expect: bytes('1') }),
        kit.delete('b'),
        kit.set('b', 'x', { expect: null }),
      ])
      t.deepEqual(results, [true, true, false, false, true])
      t.is(kit.get('a'), '2')
      t.is(kit.get('b'), 'x')
      // The one that the test has ended had to be replaced; this one only if something was left to do.
      t.is(kit.store.stats().restarts, type === LOCKED ? 2 : 1)
      t.is(kit.store.stats().pendingBytes, 0)
    })
  }
}

test.serial('H1: it dies after each commit without an answer: each request is done once', async (t) => {
  t.timeout(GUARD)
  await using kit = await withFault(`${DONE} 1 before`, false)
  const steps = 12
  const results: Promise<boolean>[] = []
  for (let i = 0; i < steps; i++) {
    results.push(kit.set('n', `${i + 1}`, { expect: i === 0 ? null : bytes(`${i}`) }))
    if (i % 3 === 0) await wait(30)
  }
  t.true((await Promise.all(results)).every((done) => done))
  t.is(kit.get('n'), `${steps}`)
})

test.serial('three deaths without progress are an error, nothing was written, and the next write works', async (t) => {
  t.timeout(GUARD)
  await using kit = await withFault(`${LOCKED} 1 after`, false)
  const error = await t.throwsAsync<StoreError>(kit.set('a', '1'))
  t.true(isMillraceError(error, 'MILL_WRITER_LOST'))
  t.is(error?.path, kit.store.path)
  t.is(error?.signal, 'SIGKILL')
  t.is(error?.exitCode, null)
  t.is(kit.get('a'), undefined)
  // The test's own, two more, and one that tells what the last one did.
  t.is(kit.store.stats().restarts, 4)
  delete process.env.MILLRACE_TEST_FAULT
  t.true(await kit.set('a', '2', { expect: null }))
})

test.serial('a program that cannot run is an error that says what it said', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  const error = await t.throwsAsync<StoreError>(Kit.with(path, new URL('./no-such-program.js', import.meta.url)))
  t.is(error?.code, 'MILL_WRITER_LOST')
  t.is(error?.exitCode, 1)
  t.regex(String((error?.cause as Error).message), /no-such-program/)
  t.false(existsSync(path))
})

test.serial('H1: killed at random while many write: counters are exact', async (t) => {
  t.timeout(4 * GUARD)
  await using kit = await Kit.open(folders.next())
  const { path } = kit.store
  const wanted = rounds(12)
  let kills = 0
  let working = true
  const steps = Array.from({ length: 8 }, async (_, lane) => {
    let n = 0
    for (; working; n++) {
      const [done] = await kit.write((arena) => {
        const old = n === 0 ? null : bytes(`${n - 1}`)
        arena.set(kit.table.id, bytes(`lane${lane}`), bytes(`${n}`), { expect: old, wantsResult: true })
        arena.set(kit.table.id, bytes(`bulk${lane}`), new Uint8Array(5000).fill(n))
      }, 6000)
      if (done !== 1) throw new Error(`step ${n} of lane ${lane} was done ${done} times`)
    }
    return n
  })
  while (kills < wanted) {
    await wait(Math.random() * 40)
    for (const pid of sidePids(path)) {
      try {
        process.kill(pid, 'SIGKILL')
        kills++
      } catch {
        // It was faster.
      }
    }
    // It must get on now and then, or three deaths in a row are an error.
    const { transactionId } = kit.store
    await until(() => kit.store.transactionId > transactionId, 'progress', GUARD)
  }
  working = false
  const counts = await Promise.all(steps)
  for (const [lane, count] of counts.entries()) t.is(kit.get(`lane${lane}`), `${count - 1}`)
  t.true(kit.store.stats().restarts > 0)
})
