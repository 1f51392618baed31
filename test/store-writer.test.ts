import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { isMillraceError, type StoreError } from '../lib/base/errors.js'
import { openEnvironment } from '../lib/store/lmdb-environment.js'
import { Arena } from '../lib/store/operations.js'
import { rounds, until } from './fixtures/run-kit.js'
import { bytes, Child, Folders, holdLock, Kit, sidePid, sidePids } from './fixtures/store-kit.js'

/*
 * One process and its side process: every request is done exactly once or rejected, whatever happens to the latter.
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
  await kill(kit)
  process.env.MILLRACE_TEST_FAULT = `${fault} ${once ? join(folders.root, `${path.slice(-4)}-happened`) : 'always'}`
  return kit
}

/** Ends the side process while it has nothing to do, and waits for it. */
async function kill(kit: Kit): Promise<void> {
  process.kill(sidePid(kit.store.path), 'SIGKILL')
  await until(() => kit.store.stats().writer === 'none', 'the death was noticed', GUARD)
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

test.serial('the folder is deleted, or another is there: reads go on, writes are MILL_MAP_REPLACED', async (t) => {
  t.timeout(GUARD)
  for (const replace of [
    (path: string) => rmSync(path, { recursive: true }),
    (path: string) => renameSync(path, `${path}-moved`),
  ]) {
    for (const running of [true, false]) {
      const path = folders.next()
      await using kit = await Kit.open(path)
      await kit.set('a', '1')
      if (!running) await kill(kit)
      replace(path)
      t.is(kit.get('a'), '1')
      const error = await t.throwsAsync<StoreError>(kit.set('a', '2'))
      t.is(error?.code, 'MILL_MAP_REPLACED', `${running}`)
      t.false(existsSync(path), 'it was not made again')
      t.throws(() => kit.store.refresh(), { code: 'MILL_MAP_REPLACED' } as object)
      await (await Kit.open(path)).store.close()
      await t.throwsAsync(kit.set('a', '2'), { code: 'MILL_MAP_REPLACED' } as object)
      t.is(kit.get('a'), '1')
    }
  }
})

test.serial('close waits for writes, ends the side process, leaves no record, and is idempotent', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  const kit = await Kit.open(path)
  const pid = sidePid(path)
  const writes = Array.from({ length: 50 }, (_, i) => kit.set(`k${i}`, 'x'))
  await kit.store.close()
  t.deepEqual(await Promise.all(writes), new Array(50).fill(true))
  t.false(sidePids(path).includes(pid))
  await kit.store.close()
  await t.throwsAsync(kit.set('a', '1'), { code: 'MILL_CLOSED' } as object)
  t.throws(() => kit.get('a'), { code: 'MILL_CLOSED' } as object)
  const environment = await openEnvironment(path, { readonly: true, maxMaps: 64 })
  t.deepEqual(environment.metaKeys('writer:'), [])
  await environment.close()
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

test.serial('opened several times in a thread: one store, one side process, closed by the last', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  const kits = await Promise.all(Array.from({ length: 5 }, () => Kit.open(path)))
  t.is(new Set(kits.map(({ store }) => store)).size, 1)
  for (const kit of kits.slice(1)) await kit.store.close()
  const [last] = kits as [Kit]
  t.true(await last.set('a', '1'))
  await last.store.close()
  t.deepEqual(sidePids(path), [])
  await using again = await Kit.open(path)
  t.is(again.get('a'), '1')
  t.deepEqual(sidePids(path), [], 'reading needs none')
})

test.serial('an abort takes back what was not sent, and nothing else', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  await using kit = await Kit.open(path)
  const holder = await holdLock(path)
  const sent = kit.set('a', '1')
  await wait(1)
  const abort = new AbortController()
  const write = (key: string): Promise<Uint8Array> => {
    const arena = new Arena(64)
    arena.set(kit.table.id, bytes(key), bytes('x'))
    return kit.store.write(arena, { signal: abort.signal })
  }
  const queued = write('b')
  const after = kit.set('c', '1')
  const reason = new Error('enough')
  abort.abort(reason)
  t.is(await t.throwsAsync(queued), reason)
  t.is(await t.throwsAsync(write('d')), reason)
  holder.tell('go')
  t.true(await sent)
  t.true(await after)
  t.deepEqual(
    ['a', 'b', 'c', 'd'].map((key) => kit.get(key)),
    ['1', undefined, '1', undefined],
  )
  await holder.ended
})

test.serial('requests of any size, in order', async (t) => {
  t.timeout(GUARD)
  await using kit = await Kit.open(folders.next())
  const sizes = [1, 70_000, 1_100_000, 5_000_000, 3, 300_000, 900_000, 2_500_000, 2_500_000, 10]
  let most = 0
  const writes = sizes.map((size, i) => {
    const done = kit.set('n', `${i}`, { expect: i === 0 ? null : bytes(`${i - 1}`) })
    const large = kit.set(`large${i}`, new Uint8Array(size).fill(i))
    most = Math.max(most, kit.store.stats().pendingBytes)
    return Promise.all([done, large])
  })
  for (const pair of await Promise.all(writes)) t.deepEqual(pair, [true, true])
  t.true(most > 12_000_000)
  for (const [i, size] of sizes.entries()) {
    const key = bytes(`large${i}`)
    const found = kit.table.get(key, key.length)
    t.is(kit.table.valueLength, size)
    t.true(found?.subarray(0, size).every((byte) => byte === i))
  }
})

test.serial('a request that cannot be applied fails alone, those sent with it are done', async (t) => {
  t.timeout(GUARD)
  await using kit = await Kit.open(folders.next())
  const held = kit.set('first', '1')
  const results = await Promise.allSettled([
    kit.set('a', '1'),
    kit.set('x'.repeat(3000), '1'),
    kit.set('b', '1'),
    kit.write((arena) => arena.set(999, bytes('c'), bytes('1'))),
    kit.set('d', '1'),
  ])
  t.true(await held)
  t.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? 'done' : (result.reason as StoreError).code)),
    ['done', 'MILL_BAD_KEY', 'done', 'MILL_MAP_MISSING', 'done'],
  )
  t.deepEqual(
    ['a', 'b', 'd'].map((key) => kit.get(key)),
    ['1', '1', '1'],
  )
})

test.serial('tables come and go', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  await using kit = await Kit.open(path, { maxMaps: 3 })
  const { store } = kit
  const config = { ...kit.table.config, key: 'other' }
  const [one, again] = await Promise.all([store.table('one', config), store.table('one', config)])
  t.is(one?.id, again?.id)
  t.deepEqual(one?.config, config)
  t.is(await store.table('two'), undefined)
  await store.table('two', config)
  await t.throwsAsync(store.table('three', config), { code: 'MILL_TOO_MANY' } as object)
  t.deepEqual(await store.tables(), ['', 'one', 'two'])
  await kit.write((arena) => arena.set(one?.id as number, bytes('k'), bytes('v')))
  t.is(one?.size, 1)
  t.true(await store.drop('one'))
  t.false(await store.drop('one'))
  t.deepEqual(await store.tables(), ['', 'two'])
  t.is(await store.table('one'), undefined)
  await t.throwsAsync(
    kit.write((arena) => arena.set(one?.id as number, bytes('k'), bytes('v'))),
    {
      code: 'MILL_MAP_MISSING',
    } as object,
  )
  t.is((await store.table('one', config))?.size, 0)
})

test.serial('H6: its owner is killed: the side process ends, what was acknowledged is there', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  const owner = new Child('store-owner', [path, 'w'])
  await owner.says('5')
  const pid = sidePid(path)
  await owner.kill()
  await until(() => !sidePids(path).includes(pid), 'it ended', GUARD)
  const last = Number(owner.lines.at(-1))
  await using kit = await Kit.open(path, { create: false })
  for (let i = 0; i <= last; i++) t.is(kit.get(`w:${i}`), `${i}`)
})

test.serial('H6: process.exit in the middle of writing exits, and leaves no process', async (t) => {
  t.timeout(2 * GUARD)
  const path = folders.next()
  for (let i = 0; i < rounds(4); i++) {
    const owner = new Child('store-owner', [path, 'w', 'exit'])
    t.deepEqual(await owner.ended, { code: 7, signal: null }, owner.errors)
    await until(() => sidePids(path).length === 0, 'no process is left', GUARD)
  }
})

test.serial('H6: a thread that writes is terminated: nothing hangs, its side process ends', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  await (await Kit.open(path)).store.close()
  const worker = new Worker(new URL('./fixtures/store-owner.js', import.meta.url), { argv: [path, 'w'] })
  await until(() => sidePids(path).length === 1, 'it writes', GUARD)
  await wait(50)
  await worker.terminate()
  await until(() => sidePids(path).length === 0, 'no process is left', GUARD)
  await using kit = await Kit.open(path)
  t.true(await kit.set('a', '1'))
})

test.serial('G5: nothing is left in the folder, open, or running', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  const before = process.getActiveResourcesInfo().sort().join()
  for (let i = 0; i < rounds(5); i++) {
    const kit = await Kit.open(path)
    await kit.set('a', `${i}`)
    await kit.store.close()
  }
  await until(() => process.getActiveResourcesInfo().sort().join() === before, 'no handle is left', GUARD)
  t.deepEqual(readdirSync(path).sort(), ['data.mdb', 'lock.mdb'])
  t.deepEqual(folders.strays, [])
})
