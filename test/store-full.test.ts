import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { isMillraceError, type StoreError } from '../lib/base/errors.js'
import { checkFolder } from '../lib/store/folder.js'
import { until } from './fixtures/run-kit.js'
import { bytes, Child, Folders, Kit, PLAIN } from './fixtures/store-kit.js'

/*
 * The disk is full: an error with a code, nothing acknowledged is lost, nobody dies.
 */

const folders = new Folders()
const mounts: string[] = []
test.after.always(() => {
  for (const mount of mounts) execFileSync('umount', ['-l', mount])
  folders.remove()
})
const GUARD = 60_000

/** A small disk of its own. Throws where this process may not make one. */
function smallDisk(size: string): string {
  const mount = folders.next()
  mkdirSync(mount)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs', mount], { stdio: 'pipe' })
  } catch (cause) {
    throw new Error('A tmpfs can not be mounted: these tests need Linux, and the right to mount (root)', { cause })
  }
  mounts.push(mount)
  return mount
}

/**
 * A file that was removed keeps its room as long as anybody has it open: the side process of a map until it has ended,
 * and for a moment any program that another thread of this process was just starting when the file was open here.
 */
function freed(disk: string, length: number): Promise<void> {
  return until(() => statfsSync(disk).bavail * statfsSync(disk).bsize >= length, 'room after a file was removed')
}

const facts = (child: Child): Record<string, unknown> =>
  Object.fromEntries(child.lines.map((line) => [line.split(' ')[0], JSON.parse(line.slice(line.indexOf(' ')))]))

for (const length of [100, 1500, 9000, 70_000]) {
  test(`H2: ulimit -f, values of ${length} bytes: MILL_DISK_FULL, all is readable, deletes and sets work`, async (t) => {
    t.timeout(GUARD)
    const path = folders.next()
    const filler = new Child('store-filler', [path, `${length}`], {}, `ulimit -f ${length < 1000 ? 1300 : 3072}`)
    t.deepEqual(await filler.ended, { code: 0, signal: null }, filler.errors)
    const { restarts, ...found } = facts(filler)
    t.deepEqual(found, {
      met: 'MILL_DISK_FULL',
      again: 'MILL_DISK_FULL',
      wrong: 0,
      enough: true,
      deleted: true,
      left: true,
      set: 10,
      closed: true,
    })
    t.is(restarts, 0)
    t.true((await checkFolder(path)).ok)
  })
}

test('H2: a full tmpfs: the same, and room again by deleting another file', async (t) => {
  t.timeout(GUARD)
  const disk = smallDisk('4m')
  for (const length of [1500, 9000]) {
    const path = join(disk, `map${length}`)
    const filler = new Child('store-filler', [path, `${length}`])
    t.deepEqual(await filler.ended, { code: 0, signal: null }, filler.errors)
    const { restarts, met, wrong, deleted, set } = facts(filler)
    t.deepEqual(
      { restarts, met, wrong, deleted, set },
      { restarts: 0, met: 'MILL_DISK_FULL', wrong: 0, deleted: true, set: 10 },
    )
    rmSync(path, { recursive: true })
    await freed(disk, 4 << 20)
  }
  const path = join(disk, 'map')
  await using kit = await Kit.open(path)
  await kit.set('a', '1')
  const ballast = join(disk, 'ballast')
  t.throws(() => writeFileSync(ballast, new Uint8Array(5_000_000)))
  const large = new Uint8Array(1_500_000)
  await t.throwsAsync(kit.set('large', large), { code: 'MILL_DISK_FULL' } as object)
  t.true(await kit.delete('a'))
  rmSync(ballast)
  await freed(disk, 3_000_000)
  t.true(await kit.set('large', large))
  t.is(kit.store.stats().restarts, 0)
})

test('a folder cannot be made on a full disk: MILL_DISK_FULL, and nothing is left', async (t) => {
  t.timeout(GUARD)
  for (const blocks of [0, 8, 60]) {
    const path = folders.next()
    const filler = new Child('store-filler', [path, '100'], {}, `ulimit -f ${blocks}`)
    const { code } = await filler.ended
    t.is(code, 1)
    t.regex(filler.errors, /MILL_DISK_FULL/)
    t.false(existsSync(path), `${blocks}`)
  }
})

test('a value too large for the disk is rejected alone; a table that does not fit too', async (t) => {
  t.timeout(GUARD)
  const disk = smallDisk('4m')
  await using kit = await Kit.open(join(disk, 'map'))
  const results = await Promise.allSettled([
    kit.set('a', '1'),
    kit.set('b', new Uint8Array(5_000_000)),
    kit.set('c', '1'),
  ])
  t.deepEqual(
    results.map((result) => (result.status === 'fulfilled' ? result.value : (result.reason as StoreError).code)),
    [true, 'MILL_DISK_FULL', true],
  )
  for (;;) {
    const ballast = join(disk, `ballast${readdirSync(disk).length}`)
    try {
      writeFileSync(ballast, new Uint8Array(100_000))
    } catch {
      break
    }
  }
  for (let i = 0; i < 200; i++) {
    try {
      await kit.store.table(`t${i}`, PLAIN)
    } catch (error) {
      t.true(isMillraceError(error, 'MILL_DISK_FULL') || isMillraceError(error, 'MILL_TOO_MANY'), String(error))
      break
    }
  }
  t.is(kit.get('a'), '1')
  t.is(kit.get('c'), '1')
})

test('a failure and a small number of bytes: the keys that were there stay', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  const filler = new Child('store-filler', [path, '2000', 'readonly'], {}, 'ulimit -f 2048')
  t.deepEqual(await filler.ended, { code: 0, signal: null }, filler.errors)
  await using kit = await Kit.open(path)
  const key = bytes('k0')
  t.not(kit.table.get(key, key.length), undefined)
  t.true(await kit.set('more', 'x'))
})
