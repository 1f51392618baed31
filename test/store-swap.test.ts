import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import type { StoreError } from '../lib/base/errors.js'
import { hostTag } from '../lib/io/temporary.js'
import { checkFolder, compactFolder } from '../lib/store/folder.js'
import { sweepAside } from '../lib/store/folder-files.js'
import { rounds } from './fixtures/run-kit.js'
import { bytes, Child, Folders, holdLock, Kit, sidePids } from './fixtures/store-kit.js'

/*
 * Folders change places: compact, swap; and copies of them, backup. Others write meanwhile.
 */

const folders = new Folders()
test.after.always(() => folders.remove())
const GUARD = 60_000

async function filled(entries = 2000): Promise<string> {
  const path = folders.next()
  await using kit = await Kit.open(path)
  for (let round = 0; round < 4; round++) {
    await kit.write((arena) => {
      for (let i = 0; i < entries; i++) arena.set(kit.table.id, bytes(`k${i}`), bytes(`value ${i} of round ${round}`))
    }, 200_000)
  }
  return path
}

const sizeOf = (path: string): number => statSync(join(path, 'data.mdb')).size

test.serial('compact makes the file smaller, keeps every entry, and leaves nothing beside it', async (t) => {
  t.timeout(GUARD)
  const path = await filled()
  const size = sizeOf(path)
  const { before, after } = await compactFolder(path)
  t.is(before, size)
  t.is(after, sizeOf(path))
  t.true(after < before)
  t.is(statSync(join(path, 'data.mdb')).mode & 0o077, 0, 'for its owner only')
  t.deepEqual(folders.strays, [])
  await using kit = await Kit.open(path)
  for (let i = 0; i < 2000; i++) t.is(kit.get(`k${i}`), `value ${i} of round 3`)
  t.is(kit.table.size, 2000)
  t.true(await kit.set('more', '1'))
})

test.serial('compact under a reader and a writer: both read on, the writer has to open again', async (t) => {
  t.timeout(GUARD)
  const path = await filled()
  await using kit = await Kit.open(path)
  await using reader = await Kit.open(path, { readonly: true })
  t.true(await kit.set('a', '1'))
  await compactFolder(path)
  t.is(kit.get('a'), '1')
  t.is(reader.get('k5'), 'value 5 of round 3')
  t.is((await t.throwsAsync<StoreError>(kit.set('a', '2')))?.code, 'MILL_MAP_REPLACED')
  t.throws(() => reader.store.refresh(), { code: 'MILL_MAP_REPLACED' } as object)
  const child = new Child('store-owner', [path, 'w'])
  await child.says('2')
  await child.kill()
  t.is(kit.get('w:2'), undefined, 'the old one does not change')
})

test.serial('G1: compact again and again while others write: nothing acknowledged is lost', async (t) => {
  t.timeout(GUARD)
  const path = await filled(200)
  let working = true
  const acknowledged: string[] = []
  const writing = (async () => {
    for (let i = 0; working; i++) {
      // A store of its own each time: this process has one that was replaced.
      await using kit = await Kit.open(path, { create: false })
      try {
        for (let k = 0; working; k++) {
          await kit.set(`${i}:${k}`, 'x')
          acknowledged.push(`${i}:${k}`)
        }
      } catch (error) {
        if ((error as StoreError).code !== 'MILL_MAP_REPLACED') throw error
      }
    }
  })()
  for (let i = 0; i < rounds(4); i++) {
    await compactFolder(path)
    await wait(60)
  }
  working = false
  await writing
  await using kit = await Kit.open(path, { create: false })
  t.true(acknowledged.length > 0)
  for (const key of acknowledged) t.is(kit.get(key), 'x', key)
  t.true((await checkFolder(path)).ok)
  t.deepEqual(folders.strays, [])
})

test.serial('compact waits for the lock, and what is no map is an error', async (t) => {
  t.timeout(GUARD)
  const path = await filled(10)
  const holder = await holdLock(path)
  let done = false
  const compacting = compactFolder(path).then(() => {
    done = true
  })
  await wait(400)
  t.false(done)
  holder.tell('go')
  await compacting
  await holder.ended
  await t.throwsAsync(compactFolder(folders.next()), { code: 'MILL_MAP_MISSING' } as object)
  const foreign = folders.next()
  mkdirSync(foreign, { mode: 0o700 })
  writeFileSync(join(foreign, 'data.mdb'), new Uint8Array(9000))
  await t.throwsAsync(compactFolder(foreign), { code: 'MILL_MAP_DAMAGED' } as object)
  t.deepEqual(folders.strays, [])
})

test.serial('a swap killed at any time: the old folder or the new one is there', async (t) => {
  t.timeout(2 * GUARD)
  const old = await filled(20)
  const fresh = folders.next()
  {
    await using kit = await Kit.open(fresh)
    await kit.set('fresh', '1')
  }
  for (let i = 0; i < rounds(10); i++) {
    const path = folders.next()
    const made = `${path}.load-${hostTag}-${process.pid}-0123456789ab`
    cpSync(old, path, { recursive: true })
    cpSync(fresh, made, { recursive: true })
    const child = new Child('store-swapper', [path, made])
    await wait(40 + Math.random() * 120)
    await child.kill()
    await using kit = await Kit.open(path)
    const isNew = kit.get('fresh') === '1'
    t.is(kit.get('k7'), isNew ? undefined : 'value 7 of round 3')
    t.true(await kit.set('a', '1'))
    rmSync(made, { recursive: true, force: true })
    // Killed between the second rename and the end, it has left the old one: for the next who tidies up.
    sweepAside(path)
    t.deepEqual(folders.strays, [])
  }
})

test.serial('a swap that died between its two renames is undone by who opens the folder next', async (t) => {
  t.timeout(GUARD)
  const path = await filled(5)
  const dead = new Child('store-reader', [path])
  await dead.ended
  const old = `${path}.old-${hostTag}-${dead.process.pid}-0123456789ab`
  renameSync(path, old)
  sweepAside(path)
  t.true(existsSync(path), 'a sweep puts it back, too')
  renameSync(path, old)
  await using kit = await Kit.open(path)
  t.is(kit.get('k3'), 'value 3 of round 3')
  t.false(existsSync(old))
})

test.serial('leftovers of dead processes are removed, nothing else is', async (t) => {
  t.timeout(GUARD)
  const path = await filled(5)
  const dead = new Child('store-reader', [path])
  await dead.ended
  const { pid } = dead.process
  const gone = ['load', 'compact', 'old', 'backup'].map((kind) => `${path}.${kind}-${hostTag}-${pid}-0123456789ab`)
  const kept = [
    `${path}.load-${hostTag}-${process.pid}-0123456789ab`,
    `${path}.load-00000000-${pid}-0123456789ab`,
    `${path}.load-${hostTag}-${pid}-0123456789`,
    `${path}.load-${hostTag}-x-0123456789ab`,
    `${path}.other-${hostTag}-${pid}-0123456789ab`,
    `${path}.load`,
  ]
  for (const name of [...gone, ...kept]) mkdirSync(name)
  sweepAside(path)
  for (const name of gone) t.false(existsSync(name), name)
  for (const name of kept) t.true(existsSync(name), name)
  for (const name of kept) rmSync(name, { recursive: true })
})

test.serial('backup: a whole copy of one moment while others write, and no target is overwritten', async (t) => {
  t.timeout(GUARD)
  const path = await filled()
  await using kit = await Kit.open(path)
  let working = true
  let round = 10
  const writing = (async () => {
    for (; working; round++) {
      await kit.write((arena) => {
        for (let i = 0; i < 500; i++) arena.set(kit.table.id, bytes(`k${i}`), bytes(`value ${i} of round ${round}`))
      }, 50_000)
    }
  })()
  for (const compact of [false, true]) {
    const copy = folders.next()
    await kit.store.backup?.(copy, { compact })
    t.deepEqual(readdirSync(copy).sort(), ['data.mdb', 'lock.mdb'])
    await using made = await Kit.open(copy, { create: false })
    t.is(made.table.size, 2000)
    const rounds = new Set(Array.from({ length: 500 }, (_, i) => made.get(`k${i}`)?.split('round ')[1]))
    t.is(rounds.size, 1, 'of one moment')
    if (compact) t.true(sizeOf(copy) < sizeOf(path))
    await t.throwsAsync(Promise.resolve(kit.store.backup?.(copy)), { code: 'MILL_MAP_EXISTS' } as object)
    t.true(await made.set('a', '1'))
  }
  working = false
  await writing
  t.deepEqual(folders.strays, [])
})

test.serial('H5: check finds damage that opening does not, in a process of its own', async (t) => {
  t.timeout(GUARD)
  const path = await filled(3000)
  const { ok, maps, problems } = await checkFolder(path)
  t.deepEqual(
    { ok, problems, ...maps[0] },
    { ok: true, problems: [], name: '', entries: 3000, counted: 3000, bytes: 75_780 },
  )
  const file = join(path, 'data.mdb')
  const whole = readFileSync(file)
  let found = 0
  const pages = whole.length / 4096
  for (let page = 2; page < pages; page += Math.ceil(pages / rounds(8))) {
    const damaged = Buffer.from(whole)
    damaged.fill(0, page * 4096, page * 4096 + 4096)
    writeFileSync(file, damaged)
    const report = await checkFolder(path)
    if (report.ok) continue // a page that is not in use
    found++
    t.true(report.problems.length > 0)
    t.true(report.problems.every(({ code, message }) => code.startsWith('MILL_') && message !== ''))
  }
  t.true(found > 0)
  writeFileSync(file, whole)
  t.true((await checkFolder(path)).ok)
  writeFileSync(file, whole.subarray(0, 5000))
  t.deepEqual(
    (await checkFolder(path)).problems.map(({ code }) => code),
    ['MILL_MAP_DAMAGED'],
  )
  await t.throwsAsync(checkFolder(folders.next()), { code: 'MILL_MAP_MISSING' } as object)
})

test.serial('check reports progress, stops at an abort, and lists no more problems than wanted', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  {
    await using kit = await Kit.open(path)
    const table = await kit.store.table('crc', { key: 'string', value: 'bytes', compress: 'none', checksum: true })
    // Values without their checksums.
    await kit.write((arena) => {
      for (let i = 0; i < 20; i++) arena.set(table?.id as number, bytes(`key ${i}`), bytes(`no checksum ${i}`))
    }, 2000)
  }
  const all = await checkFolder(path)
  t.is(all.problems.length, 20)
  t.deepEqual(all.problems[0], {
    map: 'crc',
    code: 'MILL_BAD_CRC',
    message: 'the value is not what was stored for this key',
    key: bytes('key 0'),
  })
  t.is((await checkFolder(path, { maxProblems: 3 })).problems.length, 3)
  const reason = new Error('enough')
  const abort = new AbortController()
  setTimeout(() => abort.abort(reason), 20)
  t.is(await t.throwsAsync(checkFolder(path, { signal: abort.signal })), reason)
  await t.throwsAsync(checkFolder(path, { maxProblems: 0 }), { code: 'MILL_INVALID_ARGUMENT' } as object)
  t.deepEqual(sidePids(path), [])
})

test.serial('G5: a backup that fails leaves nothing', async (t) => {
  t.timeout(GUARD)
  const path = await filled(5)
  await using kit = await Kit.open(path)
  const file = folders.next()
  writeFileSync(file, '')
  for (const target of [file, join(file, 'inside')]) await t.throwsAsync(Promise.resolve(kit.store.backup?.(target)))
  t.deepEqual(folders.strays, [])
  t.deepEqual(sidePids(path).length <= 1, true)
})
