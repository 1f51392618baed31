import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { type FileOps, nodeFiles } from '../lib/loadit/file-ops.js'
import { isMillraceError, LoadIt, type LoadItOptions } from '../lib/loadit/index.js'
import {
  countedSource,
  folder,
  type Item,
  itemAt,
  opened,
  record,
  shardFiles,
  temporaries,
  until,
} from './fixtures/loadit-kit.js'
import { codeOf, failure, gather, gatherUntilError, within } from './fixtures/stream-kit.js'

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
const SCALE = Number(process.env.MILLRACE_TEST_SCALE ?? 1)

// ---- the source ------------------------------------------------------------------------------------------------------

/** Fails at item `at` on these walks, counted from 0; `'function'` and `'promise'`: before it gives anything. */
function failing(count: number, at: number | 'function' | 'promise', walks: readonly number[]) {
  const error = new Error('the source is broken')
  const attempts: number[] = []
  const source: NonNullable<LoadItOptions<Item>['source']> = ({ start, attempt }) => {
    const fails = walks.includes(attempts.length)
    attempts.push(attempt)
    if (fails && at === 'function') throw error
    if (fails && at === 'promise') return Promise.reject(error)
    return (function* () {
      for (let n = start; ; n++) {
        if (fails && n === at) throw error
        if (n === count) return
        yield itemAt(n)
      }
    })()
  }
  return { source, error, attempts }
}

for (const at of [0, 1, 9, 10, 11, 20, 24, 25, 'function', 'promise'] as const) {
  test(`a source that throws at ${at}: what came before is served, the rest has the cause, the next walk has it all`, async (t) => {
    const index = typeof at === 'number' ? at : 0
    for (const seekable of [false, true]) {
      const { source, error, attempts } = failing(25, at, [0])
      const root = folder(t)
      const loader = await opened(t, { root, source, seekable, maxShardLength: 10 })
      const { items, error: met } = await within(gatherUntilError(loader), 'for await')
      t.deepEqual(items, numbers(index).map(itemAt))
      t.like(met, { code: 'MILL_ITEM_SOURCE_FAILED', index, attempt: 0 })
      t.is((met as Error).cause, error)
      t.deepEqual(attempts, [0])
      if (index < 25) t.is(loader.knownLength, undefined)
      await until('the tidying', () => temporaries(root).length === 0)
      t.deepEqual(await within(gather(loader), 'again'), numbers(25).map(itemAt))
      t.is(attempts.at(-1), 1)
      t.is(await loader.length(), 25)
    }
  })
}

test('everybody who waits for what a source cannot give gets its error', async (t) => {
  const { source, error } = failing(100, 35, [0, 1, 2, 3, 4, 5])
  const loader = await opened(t, { root: folder(t), source, maxShardLength: 10 })
  const all = await Promise.all([
    loader.at(12),
    failure(loader.at(36)),
    failure(loader.at(99)),
    failure(loader.length()),
    failure(loader.getMany([1, 50])),
    failure(gather(loader.stream())),
  ])
  t.deepEqual(all[0], itemAt(12))
  for (const met of all.slice(1)) {
    t.like(met, { code: 'MILL_ITEM_SOURCE_FAILED', index: 35 })
    t.is((met as Error).cause, error)
  }
})

test('a source that fails on the second walk only leaves the data as they were', async (t) => {
  const { source, attempts } = failing(50, 33, [1])
  const loader = await opened(t, { root: folder(t), source, maxShardLength: 10, memoryLimit: 1500 })
  t.deepEqual(await gather(loader), numbers(50).map(itemAt))
  const met = await gatherUntilError(loader)
  t.true(met.items.length >= 30 && met.items.length < 50, String(met.items.length))
  t.like(met.error, { code: 'MILL_ITEM_SOURCE_FAILED', index: 33 })
  t.deepEqual(await gather(loader), numbers(50).map(itemAt))
  t.deepEqual(attempts.slice(0, 3), [0, 0, 1])
  t.is(await loader.length(), 50)
})

test('a source that is no source is its error', async (t) => {
  for (const wrong of [7, undefined, {}, null, () => {}]) {
    const loader = await opened(t, { root: folder(t), source: () => wrong as unknown as number[] })
    t.is(codeOf(await failure(loader.at(0))), 'MILL_ITEM_SOURCE_FAILED')
  }
})

/** A loader whose shards have all been evicted but the last, so that they have to come again. */
async function evicted(t: Parameters<typeof folder>[0], change: (n: number) => Item | undefined, options = {}) {
  let isSecond = false
  const root = folder(t)
  const source = function* ({ start }: { start: number }) {
    for (let n = start; ; n++) {
      const item = isSecond ? change(n) : n < 50 ? itemAt(n) : undefined
      if (item === undefined) return
      yield item
    }
  }
  const loader = await opened(t, { root, source, maxShardLength: 10, memoryLimit: 700, ...options })
  await gather(loader)
  t.true(loader.stats().evicted >= 3)
  isSecond = true
  return { loader, root }
}

test('a source that gives other items the second time is found out, and nothing is mixed', async (t) => {
  for (const seekable of [false, true]) {
    const { loader } = await evicted(
      t,
      (n) => (n < 50 ? { n, text: n === 7 ? 'changed' : itemAt(n).text } : undefined),
      {
        seekable,
      },
    )
    t.like(await failure(loader.at(0)), { code: 'MILL_ITEM_SOURCE_CHANGED', what: 'content', start: 0 })
    t.like(await failure(gather(loader)), { code: 'MILL_ITEM_SOURCE_CHANGED', what: 'content', start: 0 })
    if (seekable) t.deepEqual(await loader.at(15), itemAt(15))
    t.is(await loader.length(), 50)
  }
})

test('a source that is shorter or longer the second time is found out', async (t) => {
  const shorter = await evicted(t, (n) => (n < 33 ? itemAt(n) : undefined))
  t.deepEqual(await shorter.loader.at(5), itemAt(5))
  t.like(await failure(shorter.loader.at(38)), {
    code: 'MILL_ITEM_SOURCE_CHANGED',
    what: 'length',
    expected: 50,
    found: 33,
  })
  t.is(await shorter.loader.length(), 50)
  const { loader } = await evicted(t, (n) => (n < 53 ? itemAt(n) : undefined))
  for (let k = 0; k < 4; k++) t.deepEqual(await loader.at(10 * k), itemAt(10 * k))
  t.like(await failure(loader.at(40)), { code: 'MILL_ITEM_SOURCE_CHANGED', what: 'length', expected: 50 })
})

test("nondeterministic: 'accept' takes what comes", async (t) => {
  const { loader } = await evicted(t, (n) => (n < 50 ? { n, text: 'new' } : undefined), { nondeterministic: 'accept' })
  t.deepEqual(await loader.at(0), { n: 0, text: 'new' })
})

test('extend: what was there must come again, and not less of it', async (t) => {
  let make = (n: number): number | undefined => (n < 25 ? n : undefined)
  const source = function* () {
    for (let n = 0; make(n) !== undefined; n++) yield make(n) as number
  }
  const loader = await opened(t, { root: folder(t), source, maxShardLength: 10 })
  t.deepEqual(await gather(loader), numbers(25))
  make = (n) => (n < 23 ? n : undefined)
  t.like(await failure(loader.extend()), { code: 'MILL_ITEM_SOURCE_CHANGED', what: 'length', expected: 25, found: 23 })
  make = (n) => (n < 12 ? n : undefined)
  t.like(await failure(loader.extend()), { code: 'MILL_ITEM_SOURCE_CHANGED', what: 'length', expected: 25, found: 12 })
  make = (n) => (n < 28 ? (n === 22 ? -1 : n) : undefined)
  t.like(await failure(loader.extend()), { code: 'MILL_ITEM_SOURCE_CHANGED', what: 'content', start: 20 })
  t.deepEqual(await gather(loader), numbers(25))
  make = (n) => (n < 28 ? n : undefined)
  t.is(await loader.extend(), 28)
  t.deepEqual(await gather(loader), numbers(28))
})

test('an item that cannot be kept is its own error, and hurts no other shard', async (t) => {
  const items: unknown[] = numbers(30)
  items[15] = () => 1
  const loader = await opened<unknown>(t, {
    root: folder(t),
    source: () => items,
    maxShardLength: 10,
    serializer: 'v8',
  })
  t.like(await failure(loader.at(15)), { code: 'MILL_SERIALIZE', index: 15 })
  t.is(await loader.at(25), 25)
  t.is(await loader.length(), 30)
  const met = await gatherUntilError(loader)
  t.deepEqual(met.items, numbers(15))
  t.like(met.error, { code: 'MILL_SERIALIZE', index: 15 })
  class Point {
    x = 1
  }
  const lossy = await opened<unknown>(t, { root: folder(t), source: () => [1, new Point()], serializer: 'json' })
  t.like(await failure(lossy.at(1)), { code: 'MILL_FIDELITY', index: 1 })
  const trusted = await opened<unknown>(t, {
    root: folder(t),
    source: () => [1, new Point()],
    serializer: 'json',
    verify: 'off',
  })
  t.deepEqual(await trusted.at(1), { x: 1 })
})

// ---- files -----------------------------------------------------------------------------------------------------------

async function filled(t: Parameters<typeof folder>[0], count = 30): Promise<string> {
  const root = folder(t)
  const loader = await LoadIt.open({ root, source: countedSource(count).source, maxShardLength: 10 })
  await loader.length()
  await loader.close()
  return root
}

const DAMAGES: Record<string, (path: string, root: string) => void> = {
  'a flipped bit in an item': (path) => flip(path, 40),
  'a flipped bit in the tables': (path) => flip(path, statSync(path).size - 80),
  'a flipped bit in the footer': (path) => flip(path, statSync(path).size - 20),
  'cut short': (path) => truncateSync(path, statSync(path).size - 9),
  emptied: (path) => truncateSync(path, 0),
  'all zeros': (path) => writeFileSync(path, new Uint8Array(statSync(path).size)),
  'a byte more': (path) => writeFileSync(path, 'x', { flag: 'a' }),
  'another shard in its place': (path, root) => {
    const other = shardFiles(root).find((name) => name.startsWith('20.')) as string
    rmSync(path)
    copyFileSync(join(root, 'shards', other), path)
  },
  'a link in its place': (path) => {
    rmSync(path)
    symlinkSync('/etc/hostname', path)
  },
  'a folder in its place': (path) => {
    rmSync(path)
    void mkdir(path)
  },
  removed: (path) => rmSync(path),
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at] = (bytes[at] as number) ^ 16
  writeFileSync(path, bytes)
}

for (const [what, damage] of Object.entries(DAMAGES)) {
  test(`L1: a shard that is ${what} is mended with a source, and refused without one`, async (t) => {
    const root = await filled(t)
    const name = shardFiles(root).find((each) => each.startsWith('10.')) as string
    damage(join(root, 'shards', name), root)
    const bare = await LoadIt.open({ root })
    const told = record(bare)
    t.deepEqual(await bare.at(5), itemAt(5))
    const codes = ['MILL_SHARD_CORRUPT', 'MILL_SHARD_UNAVAILABLE']
    let refused = 0
    for (let n = 10; n < 20; n++) {
      const met = await bare.at(n).catch((error: unknown) => error)
      if (met instanceof Error) {
        refused++
        t.true(codes.includes(codeOf(met) as string), String(met))
      } else t.deepEqual(met, itemAt(n))
    }
    t.true(refused > 0)
    const met = await gatherUntilError(bare)
    t.true(met.items.length >= 10 && met.items.length < 20)
    t.true(codes.includes(codeOf(met.error) as string))
    const { bad } = await bare.verify()
    t.deepEqual(
      bad.map(({ start }) => start),
      [10],
    )
    t.true(told.of('corrupt').length > 0)
    await bare.close()
    const { source, seen } = countedSource(30)
    const loader = await opened(t, { root, source, seekable: true, maxShardLength: 10 })
    const mended = record(loader)
    t.deepEqual(await within(gather(loader), 'mended'), numbers(30).map(itemAt))
    t.deepEqual(seen.starts, [10])
    t.is(mended.of('corrupt').length, 1)
    t.deepEqual((await loader.verify()).bad, [])
  })
}

test('L1: verify with repair makes damaged shards again', async (t) => {
  const root = await filled(t)
  for (const start of ['0.', '20.']) {
    flip(join(root, 'shards', shardFiles(root).find((each) => each.startsWith(start)) as string), 40)
  }
  const loader = await opened(t, { root, source: countedSource(30).source, maxShardLength: 10 })
  const seen: number[] = []
  const found = await loader.verify({ repair: true, onProgress: ({ done }) => seen.push(done) })
  t.like(found, { checked: 4 })
  t.deepEqual(
    found.bad.map(({ start }) => start),
    [0, 20],
  )
  t.is(seen.at(-1), 4)
  t.deepEqual((await loader.verify()).bad, [])
  t.deepEqual(await gather(loader), numbers(30).map(itemAt))
})

test('G6: names that are not ours, links and folders are left alone', async (t) => {
  const root = await filled(t)
  const shards = join(root, 'shards')
  const strangers = ['note.txt', '0.1.shd.bak', '10.x.shd', '.0.9.shd', '0.99.tmp']
  for (const name of strangers) await writeFile(join(shards, name), 'mine')
  await writeFile(join(root, 'victim'), 'precious')
  symlinkSync(join(root, 'victim'), join(shards, '0.77.shd'))
  await mkdir(join(shards, '0.78.shd'))
  // Leftovers of a dead process, by their names.
  await writeFile(join(shards, '0.79.0123456789abcdef.tmp'), 'x')
  await writeFile(join(shards, '0.80.shd'), 'x')
  const loader = await opened(t, { root, source: countedSource(30).source })
  t.deepEqual(await gather(loader), numbers(30).map(itemAt))
  for (const name of strangers) t.is(readFileSync(join(shards, name), 'utf8'), 'mine')
  t.is(readFileSync(join(root, 'victim'), 'utf8'), 'precious')
  t.true(lstatSync(join(shards, '0.77.shd')).isSymbolicLink() && lstatSync(join(shards, '0.78.shd')).isDirectory())
  t.false(existsSync(join(shards, '0.79.0123456789abcdef.tmp')) || existsSync(join(shards, '0.80.shd')))
})

test('G6: a folder that everybody may write to, or that is a link inside, is refused', async (t) => {
  const open = folder(t)
  await mkdir(join(open, 'data'), { mode: 0o777 })
  chmodSync(join(open, 'data'), 0o777)
  t.is(codeOf(await failure(LoadIt.open({ root: join(open, 'data') }))), 'MILL_PATH_REFUSED')
  const root = folder(t)
  await mkdir(join(root, 'elsewhere'))
  symlinkSync(join(root, 'elsewhere'), join(root, 'shards'))
  t.is(codeOf(await failure(LoadIt.open({ root }))), 'MILL_PATH_REFUSED')
  const file = join(folder(t), 'file')
  await writeFile(file, '')
  t.is(codeOf(await failure(LoadIt.open({ root: file }))), 'MILL_PATH_REFUSED')
  const fresh = join(folder(t), 'a', 'b')
  await (await LoadIt.open({ root: fresh })).close()
  t.is(statSync(fresh).mode & 0o777, 0o700)
})

test('a lost catalog is made anew of the footers; a damaged one is refused until it is rebuilt', async (t) => {
  const root = await filled(t, 35)
  for (const name of readdirSync(root)) if (name.startsWith('catalog')) rmSync(join(root, name))
  const loader = await LoadIt.open({ root })
  t.deepEqual(await gather(loader), numbers(35).map(itemAt))
  t.is(loader.knownLength, 35)
  await loader.close()
  await writeFile(join(root, 'catalog.mdb'), new Uint8Array(20_000).fill(7))
  t.is(codeOf(await failure(LoadIt.open({ root }))), 'MILL_CATALOG_DAMAGED')
  flip(join(root, 'shards', shardFiles(root).find((each) => each.startsWith('10.')) as string), 200)
  truncateSync(join(root, 'shards', shardFiles(root).find((each) => each.startsWith('20.')) as string), 100)
  t.deepEqual(await LoadIt.rebuild(root), { shards: 3, dropped: 1 })
  t.true(readdirSync(root).some((name) => name.startsWith('catalog.mdb.bad-')))
  const again = await opened(t, { root, source: countedSource(35).source })
  t.deepEqual(await gather(again), numbers(35).map(itemAt))
  t.is(codeOf(await failure(LoadIt.rebuild(join(root, 'nothing')))), 'MILL_WRITE_FAILED')
})

test('L4: below one shard nothing is stored, and all is read', async (t) => {
  for (const seekable of [false, true]) {
    const root = folder(t)
    const { source } = countedSource(60)
    const loader = await opened(t, { root, source, seekable, maxShardLength: 10, memoryLimit: 100 })
    const told = record(loader)
    t.deepEqual(await within(gather(loader), 'for await'), numbers(60).map(itemAt))
    for (const n of [55, 3, 22]) t.deepEqual(await within(loader.at(n), 'at'), itemAt(n))
    t.deepEqual(told.of('warning').map(codeOf), ['MILL_DISK_LIMIT'])
    t.true(told.of('generated').every(({ stored }) => !stored))
    await until('an empty folder', () => shardFiles(root).every((name) => name.startsWith('60.')))
  }
})

// ---- a file system that fails ------------------------------------------------------------------------------------------

type Operation = 'open' | 'write' | 'rename' | 'unlink' | 'fdatasync' | 'fsync' | 'read'

/** A file system whose n-th call of one kind fails, once or for good. */
function faulty(operation: Operation, code: string, n: number, isForGood: boolean) {
  const seen = { calls: 0, failed: 0 }
  const fail = (): boolean => {
    seen.calls++
    if (seen.calls < n || (!isForGood && seen.calls > n)) return false
    seen.failed++
    return true
  }
  const error = (): Error => Object.assign(new Error(`${code}: not today`), { code, errno: -1, syscall: operation })
  const files: FileOps = { ...nodeFiles }
  if (operation === 'write') {
    files.write = async (fd, bytes, at, length, position) => {
      if (!fail()) return nodeFiles.write(fd, bytes, at, length, position)
      // A short write, whose next call fails.
      if (code === 'SHORT') return nodeFiles.write(fd, bytes, at, Math.max(1, length >> 1), position)
      throw error()
    }
  } else {
    const original = nodeFiles[operation] as (...args: unknown[]) => Promise<unknown>
    files[operation] = (async (...args: unknown[]) => {
      if (fail()) throw error()
      return original(...args)
    }) as never
  }
  return { files, seen }
}

const CODES: Record<Operation, readonly string[]> = {
  open: ['EMFILE', 'ENOSPC', 'EIO'],
  write: ['ENOSPC', 'EIO', 'EDQUOT', 'EFBIG', 'SHORT'],
  rename: ['EIO', 'ENOSPC'],
  unlink: ['EIO', 'EBUSY'],
  fdatasync: ['EIO', 'ENOSPC'],
  fsync: ['EIO', 'ENOSPC'],
  read: ['EIO'],
}

/** Which calls fail. */
const CALLS = SCALE > 1 ? numbers(40).map((n) => n + 1) : [1, 2, 4]

for (const [operation, codes] of Object.entries(CODES) as [Operation, readonly string[]][]) {
  test(`L3: whichever ${operation} fails, once or for good, the items come or an error of ours does`, async (t) => {
    for (const code of codes) {
      for (const isForGood of [false, true]) {
        let isThrough = false
        for (const n of CALLS) {
          if (isThrough) break
          const { files, seen } = faulty(operation, code, n, isForGood)
          const root = folder(t)
          const { source } = countedSource(60)
          const options = { root, source, maxShardLength: 10, memoryLimit: 1200, durability: 'full' as const }
          const what = `${operation} ${n} ${code} ${isForGood ? 'for good' : 'once'}`
          const loader = await LoadIt._open(options, files).catch((error: unknown) => {
            t.true(isMillraceError(error), `${what}: ${String(error)}`)
          })
          if (loader !== undefined) {
            const told = record(loader)
            try {
              for (const pass of [1, 2]) {
                const met = await within(gatherUntilError(loader), what)
                t.deepEqual(met.items, numbers(met.items.length).map(itemAt), `${what}, pass ${pass}`)
                if (met.error === undefined) t.is(met.items.length, 60, what)
                else t.true(isMillraceError(met.error), `${what}: ${String(met.error)}`)
                // Nothing but reading itself may keep the items from coming.
                if (operation !== 'read') t.is(met.error, undefined, `${what}: ${String(met.error)}`)
              }
              for (const warning of told.of('warning')) t.true(isMillraceError(warning), what)
            } finally {
              await within(loader.close(), `close, ${what}`)
            }
          }
          isThrough = seen.failed === 0
          const again = await LoadIt.open({ root, source, maxShardLength: 10 })
          t.deepEqual(await within(gather(again), `reopened, ${what}`), numbers(60).map(itemAt), what)
          t.deepEqual((await again.verify()).bad, [], what)
          await again.close()
          t.deepEqual(temporaries(root), [], what)
          rmSync(root, { recursive: true, force: true })
        }
      }
    }
  })
}

test('L3: on a full disk all is read from the source, with one warning, and stored again when there is room', async (t) => {
  let isFull = true
  const files: FileOps = {
    ...nodeFiles,
    async write(...args) {
      if (isFull) throw Object.assign(new Error('ENOSPC: full'), { code: 'ENOSPC' })
      return nodeFiles.write(...args)
    },
  }
  const root = folder(t)
  const { source } = countedSource(100)
  const loader = await LoadIt._open({ root, source, maxShardLength: 10 }, files)
  t.teardown(() => loader.close())
  const told = record(loader)
  t.deepEqual(await gather(loader), numbers(100).map(itemAt))
  t.deepEqual(await loader.at(55), itemAt(55))
  t.deepEqual(told.of('warning').map(codeOf), ['MILL_DISK_FULL'])
  t.true(told.of('generated').every(({ stored }) => !stored))
  t.deepEqual(shardFiles(root), [])
  isFull = false
  await loader.preloadAll()
  t.deepEqual(await gather(loader), numbers(100).map(itemAt))
  await loader.close()
  const again = await opened(t, { root, source, maxShardLength: 10 })
  t.deepEqual(await gather(again), numbers(100).map(itemAt))
})

test('L3: a shard that fits neither on the disk nor into the cache is an error, and only it', async (t) => {
  const files: FileOps = {
    ...nodeFiles,
    write: () => Promise.reject(Object.assign(new Error('ENOSPC: full'), { code: 'ENOSPC' })),
  }
  const root = folder(t)
  const big = (n: number) => ({ n, text: 'x'.repeat(n < 400 ? 10_000 : 10) })
  const options = { root, source: () => numbers(900).map(big), maxShardLength: 400, cache: { bytes: 100_000 } }
  const loader = await LoadIt._open(options, files)
  t.teardown(() => loader.close())
  t.deepEqual(await loader.at(1), big(1))
  t.like(await failure(loader.at(399)), { code: 'MILL_DISK_FULL' })
  t.deepEqual(await loader.at(401), big(401))
})
