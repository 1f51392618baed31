import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { LoadIt } from '../lib/loadit/index.js'
import type { FullJob, FullReport } from './fixtures/loadit-full.js'
import { countedSource, folder, itemAt, opened, record, temporaries, until } from './fixtures/loadit-kit.js'
import { codeOf, failure, gather, within } from './fixtures/stream-kit.js'

/*
 * Disks that are really full, or can only be read. What native code does there may end a process: so full ones are met
 * in a child. Mounting a tmpfs needs Linux and root; without them these tests fail, they skip nothing.
 */

const run = promisify(execFile)
const child = fileURLToPath(new URL('./fixtures/loadit-full.js', import.meta.url))
const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const GUARD = 60_000

/** A disk of its own for a test, in a folder that is there. */
function mount(t: ExecutionContext, at: string, size: string): string {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=700`, 'tmpfs', at], { stdio: 'pipe' })
  } catch (error) {
    const { stderr } = error as { stderr?: unknown }
    throw new Error(`this test mounts a tmpfs, which needs Linux, root and mount: ${String(stderr ?? error)}`)
  }
  t.teardown(() => execFileSync('umount', ['-l', at]))
  return at
}

async function runFull(job: FullJob, limit?: number): Promise<FullReport> {
  const command = `${limit === undefined ? '' : `ulimit -f ${limit}; `}exec "$0" "$@"`
  const args = ['-c', command, process.execPath, child, JSON.stringify(job)]
  const { stdout, stderr } = await within(run('bash', args, { timeout: GUARD }), 'the child', GUARD)
  if (stderr !== '') throw new Error(`the child said ${stderr}`)
  return JSON.parse(stdout) as FullReport
}

/** What is in a root now is whole, and leads to the same data. */
async function checkRoot(t: ExecutionContext, root: string): Promise<void> {
  const loader = await LoadIt.open({ root })
  t.deepEqual((await within(loader.verify(), 'verify')).bad, [])
  await loader.close()
  t.deepEqual(temporaries(root), [])
}

test('L3: ulimit -f: what does not fit into a file stays in memory', async (t) => {
  const root = folder(t)
  const report = await runFull({ root, count: 20_000, shardLength: 10_000 }, 300)
  t.deepEqual(report, { items: 20_000, isRight: true, warnings: ['MILL_DISK_FULL'], stored: 0 })
  await checkRoot(t, root)
})

// From no room for the catalog, over some shards, to all but one of them: 20 shards of 83 KB, a catalog of 400 KB.
for (const kilobytes of [256, 1100, 1400, 2000]) {
  test(`L3: a tmpfs of ${kilobytes} KiB: all is read from the source, with one warning`, async (t) => {
    const root = mount(t, folder(t), `${kilobytes}k`)
    const { items, isRight, warnings, stored } = await runFull({ root, count: 20_000, shardLength: 1000 })
    t.deepEqual({ items, isRight, warnings }, { items: 20_000, isRight: true, warnings: ['MILL_DISK_FULL'] })
    t.true(kilobytes < 1100 ? stored === 0 : stored < 20, String(stored))
    await checkRoot(t, root)
  })
}

test('L3: a disk that is filled under way: one warning, and shards are stored again when there is room', async (t) => {
  const root = mount(t, folder(t), '8m')
  const filler = join(root, 'filler')
  const job = { root, count: 20_000, shardLength: 1000, cacheBytes: 300_000, filler }
  const { items, isRight, warnings, stored, later } = await runFull(job)
  t.deepEqual(
    { items, isRight, warnings, stored },
    { items: 20_000, isRight: true, warnings: ['MILL_DISK_FULL'], stored: 0 },
  )
  t.like(later, { isRight: true, warnings: [] })
  t.true((later?.stored ?? 0) >= 16, String(later?.stored))
  await checkRoot(t, root)
})

test('L4: a full disk with a memoryLimit: cold shards go, and what is stored fits', async (t) => {
  const root = mount(t, folder(t), '1600k')
  const { items, isRight, stored } = await runFull({ root, count: 20_000, shardLength: 1000, memoryLimit: 4_000_000 })
  t.deepEqual({ items, isRight }, { items: 20_000, isRight: true })
  // Without evictions eight or so would fit.
  t.true(stored >= 18, String(stored))
  await checkRoot(t, root)
})

test('L3: the catalog can no longer be written: iteration goes on, one warning, and it heals', async (t) => {
  const root = mount(t, folder(t), '4m')
  mkdirSync(join(root, 'shards'), { mode: 0o700 })
  mount(t, join(root, 'shards'), '64m')
  const job = { root, count: 2000, shardLength: 4, cacheBytes: 100_000, filler: join(root, 'filler') }
  const { items, isRight, warnings, stored, later } = await runFull(job)
  t.deepEqual({ items, isRight, warnings }, { items: 2000, isRight: true, warnings: ['MILL_DISK_FULL'] })
  // What the catalog has in reserve is enough for some.
  t.true(stored < 250, String(stored))
  t.like(later, { isRight: true, warnings: [] })
  t.true((later?.stored ?? 0) > 450, String(later?.stored))
  await checkRoot(t, root)
})

test('a read-only root: what is there is read, what is missing is made in memory, nothing is written', async (t) => {
  const { source } = countedSource(100)
  const options = { source, maxShardLength: 10 }
  for (const has of [
    'no folder',
    'nothing',
    'a catalog',
    'half of the shards',
    'shards and no catalog',
    'all',
  ] as const) {
    const place = mount(t, folder(t), '8m')
    const root = join(place, 'root')
    if (has === 'nothing') mkdirSync(root, { mode: 0o700 })
    else if (has !== 'no folder') {
      const writer = await LoadIt.open({ root, ...options })
      if (has === 'all') await writer.preloadAll()
      else if (has !== 'a catalog') await writer.at(45)
      await writer.close()
      if (has === 'shards and no catalog') for (const name of ['', '-lock']) rmSync(join(root, `catalog.mdb${name}`))
    }
    // Busy as long as a file is open for writing: descriptors are closed beside the event loop.
    await until('a disk that nobody writes to', () => spawnSync('mount', ['-o', 'remount,ro', place]).status === 0)
    if (has === 'no folder') {
      t.is(codeOf(await failure(LoadIt.open({ root, ...options }))), 'MILL_WRITE_FAILED', has)
      continue
    }
    const before = readdirSync(root, { recursive: true }).sort()
    const loader = await opened(t, { root, ...options })
    const told = record(loader)
    t.deepEqual(await within(gather(loader), has), numbers(100).map(itemAt), has)
    for (const n of [99, 3, 50]) t.deepEqual(await within(loader.at(n), 'at'), itemAt(n), has)
    t.is(await loader.length(), 100)
    t.deepEqual(await gather(loader.shuffle({ seed: 1 }).slice(0, 20)).then((some) => some.length), 20)
    t.deepEqual(told.of('warning').map(codeOf), [], has)
    t.true(
      told.of('generated').every(({ stored }) => !stored),
      has,
    )
    t.deepEqual((await loader.verify()).bad, [], has)
    await loader.flush()
    await loader.close()
    // Without a source it is what is stored, and no more.
    const reader = await opened(t, { root })
    const readable = await gather(reader.slice(0, has === 'all' ? 100 : 0))
    t.is(readable.length, has === 'all' ? 100 : 0)
    if (has === 'half of the shards' || has === 'shards and no catalog') {
      t.deepEqual(await reader.at(12), itemAt(12), has)
      t.is(codeOf(await failure(reader.at(99))), 'MILL_SHARD_UNAVAILABLE', has)
    }
    await reader.close()
    t.deepEqual(readdirSync(root, { recursive: true }).sort(), before, has)
  }
})
