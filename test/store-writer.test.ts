import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import type { StoreError } from '../lib/base/errors.js'
import { openEnvironment } from '../lib/store/lmdb-environment.js'
import { Arena } from '../lib/store/operations.js'
import { rounds, until } from './fixtures/run-kit.js'
import { bytes, Child, Folders, holdLock, Kit, killSide, sidePid, sidePids } from './fixtures/store-kit.js'

/*
 * One process and its side process, while all goes well, and at the end of either.
 */

const folders = new Folders()
test.after.always(() => folders.remove())
/** Generous: a machine under load starts processes slowly. */
const GUARD = 20_000

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
      if (!running) await killSide(kit)
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
  // What tests before this one are still letting go of may go meanwhile.
  const before = process.getActiveResourcesInfo()
  const more = (): string[] => {
    const now = process.getActiveResourcesInfo()
    for (const name of before) if (now.includes(name)) now.splice(now.indexOf(name), 1)
    return now
  }
  for (let i = 0; i < rounds(5); i++) {
    const kit = await Kit.open(path)
    await kit.set('a', `${i}`)
    await kit.store.close()
  }
  await until(() => more().length === 0, 'no handle is left', GUARD / 2)
  t.deepEqual(readdirSync(path).sort(), ['data.mdb', 'lock.mdb'])
  t.deepEqual(folders.strays, [])
})
