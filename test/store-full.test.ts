import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { isMillraceError, type StoreError } from '../lib/base/errors.js'
import { checkFolder } from '../lib/store/folder.js'
import { rounds } from './fixtures/run-kit.js'
import { bytes, Child, Folders, failingWrites, Kit, PLAIN } from './fixtures/store-kit.js'

/*
 * The disk is full, or its writes fail: an error with a code, nothing acknowledged is lost, nobody dies.
 */

const folders = new Folders()
const mounts: string[] = []
test.after.always(() => {
  for (const mount of mounts) execFileSync('umount', ['-l', mount])
  folders.remove()
})
const GUARD = 60_000

/** A small disk of its own; undefined where this process may not make one. */
function smallDisk(size: string): string | undefined {
  const mount = folders.next()
  mkdirSync(mount)
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs', mount], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  mounts.push(mount)
  return mount
}

const facts = (child: Child): Record<string, unknown> =>
  Object.fromEntries(child.lines.map((line) => [line.split(' ')[0], JSON.parse(line.slice(line.indexOf(' ')))]))

for (const length of [100, 1500, 9000, 70_000]) {
  test.serial(
    `H2: ulimit -f, values of ${length} bytes: MILL_DISK_FULL, all is readable, deletes and sets work`,
    async (t) => {
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
    },
  )
}

test.serial('H2: a full tmpfs: the same, and room again by deleting another file', async (t) => {
  t.timeout(GUARD)
  const disk = smallDisk('4m')
  if (disk === undefined) return t.log('no tmpfs can be mounted here; ulimit -f has shown it')
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
  t.true(await kit.set('large', large))
  t.is(kit.store.stats().restarts, 0)
})

test.serial('a folder cannot be made on a full disk: MILL_DISK_FULL, and nothing is left', async (t) => {
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

test.serial('a value too large for the disk is rejected alone; a table that does not fit too', async (t) => {
  t.timeout(GUARD)
  const disk = smallDisk('4m')
  if (disk === undefined) return t.log('no tmpfs can be mounted here')
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

const library = failingWrites(folders.root)

/** With one call of the side process failing; writes, and says what became of it. */
async function withFailure(
  t: { is(a: unknown, b: unknown, message?: string): unknown; true(a: boolean, message?: string): unknown },
  env: Record<string, string>,
): Promise<string[]> {
  const path = folders.next()
  await (await Kit.open(path)).store.close()
  Object.assign(process.env, env, { LD_PRELOAD: library, FAIL_PATH: `${path}/data.mdb` })
  const outcomes: string[] = []
  try {
    await using kit = await Kit.open(path)
    const note = async (key: string, work: Promise<boolean>, value: string | undefined): Promise<void> => {
      try {
        t.true(await work, JSON.stringify(env))
        outcomes.push('done')
        t.is(kit.get(key), value, `${JSON.stringify(env)} ${key}`)
      } catch (error) {
        const { code } = error as StoreError
        outcomes.push(code)
        kit.store.refresh()
        t.is(kit.get(key), undefined, `${JSON.stringify(env)} ${key} ${code}`)
      }
    }
    await note('a', kit.set('a', '1', { expect: null }), '1')
    await Promise.all([
      note('b', kit.set('b', '1', { expect: null }), '1'),
      note('c', kit.set('c', '1', { expect: null }), '1'),
      note('d', kit.set('d', '1', { expect: null }), '1'),
    ])
    await note('e', kit.set('e', '1', { expect: null }), '1')
  } finally {
    for (const name of [...Object.keys(env), 'LD_PRELOAD', 'FAIL_PATH']) delete process.env[name]
  }
  // Whatever it was: nothing is torn, nothing missing, and it works again.
  const report = await checkFolder(path)
  t.true(report.ok, JSON.stringify([env, report]))
  await using again = await Kit.open(path)
  t.true(await again.set('z', '1', { expect: null }))
  for (const [i, key] of ['a', 'b', 'c', 'd', 'e'].entries()) {
    t.is(again.get(key), outcomes[i] === 'done' ? '1' : undefined, `${JSON.stringify(env)} ${outcomes} ${key}`)
  }
  return outcomes
}

if (library !== undefined) {
  // The first commit of a process appends (1), writes pages (2) and a meta page (3). The count begins anew with each.
  const calls = ['3', '2', '1', '4', '5', '6', '7', '8']
  for (const how of ['28', '5', 'short', 'kill', 'half', 'done']) {
    test.serial(
      `H1: the n-th write to the file fails once (${how}): done once, or an error and not done`,
      async (t) => {
        t.timeout(2 * GUARD)
        for (const at of calls.slice(0, rounds(2))) {
          const outcomes = await withFailure(t, { FAIL_OP: 'write', FAIL_AT: at, FAIL_HOW: how })
          for (const outcome of outcomes) t.true(['done', ...CODES].includes(outcome), `${outcome} at ${at}`)
        }
      },
    )
  }

  test.serial('H2: writes and syncs that go on failing: errors, no death, no hang, readable afterwards', async (t) => {
    t.timeout(2 * GUARD)
    for (const [op, how] of [
      ['write', '28'],
      ['write', '5'],
      ['sync', '5'],
    ] as const) {
      const outcomes = await withFailure(t, { FAIL_OP: op, FAIL_AT: '1', FAIL_HOW: how, FAIL_STICKY: '1' })
      t.true(outcomes.some((outcome) => outcome !== 'done'))
      for (const outcome of outcomes) t.true(['done', ...CODES].includes(outcome), outcome)
    }
  })
}

const CODES = ['MILL_DISK_FULL', 'MILL_STORE_IO', 'MILL_WRITER_LOST']

test.serial('a failure and a small number of bytes: the keys that were there stay', async (t) => {
  t.timeout(GUARD)
  const path = folders.next()
  const filler = new Child('store-filler', [path, '2000', 'readonly'], {}, 'ulimit -f 2048')
  t.deepEqual(await filler.ended, { code: 0, signal: null }, filler.errors)
  await using kit = await Kit.open(path)
  const key = bytes('k0')
  t.not(kit.table.get(key, key.length), undefined)
  t.true(await kit.set('more', 'x'))
})
