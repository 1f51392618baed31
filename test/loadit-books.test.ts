import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import fc from 'fast-check'
import { Books, type BooksOptions, type Lease, type Victim } from '../lib/loadit/catalog.js'
import { nodeFiles } from '../lib/loadit/file-ops.js'
import { me } from '../lib/loadit/lease.js'
import { readFooters } from '../lib/loadit/rebuild.js'
import { shardName, temporaryName } from '../lib/loadit/shard-names.js'
import { openShard } from '../lib/loadit/shard-open.js'
import { ShardWriter } from '../lib/loadit/shard-writer.js'
import { sweepShards } from '../lib/loadit/sweep.js'
import { openCatalog } from '../lib/store/catalog.js'
import { memoryCatalog } from '../lib/store/catalog-memory.js'
import type { Catalog } from '../types/catalog.js'
import { fill, newKit, tempFolder } from './fixtures/shard-kit.js'
import { codeOf, within } from './fixtures/stream-kit.js'

const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const catalogChild = fileURLToPath(new URL('./fixtures/catalog-child.js', import.meta.url))
const newFolder = tempFolder((fn) => test.after.always(fn))
const HEAD = { serializer: 'msgpack', compression: 'none', shardLength: 10 }

const engines: [name: string, open: () => Promise<Catalog>][] = [
  ['memory', async () => memoryCatalog()],
  ['lmdb', () => openCatalog(join(newFolder(), 'catalog.mdb'))],
]

interface Clock {
  ms: number
}

/** Books with a head, by a clock of their own. */
function newBooks(catalog: Catalog, clock: Clock = { ms: 1e12 }, more: Partial<BooksOptions> = {}): Books {
  const books = new Books(catalog, { root: 'here', leaseMs: 1000, now: () => clock.ms, ...more })
  books.writeHead(HEAD)
  return books
}

const made = (count: number, bytes: number, crc: number, ends = false) => ({ count, bytes, crc, ends })
const FREE = { canEvict: true, accept: false } as const

/** The lease, which must be had. */
function leaseOf(books: Books, start: number, again = false): Lease {
  const begun = books.begin(start, again)
  if (begun.is !== 'mine') throw new Error(`the lease of ${start} is ${begun.is}`)
  return begun.lease
}

/** A shard of ten items is there. */
function publish(books: Books, start: number, bytes = 100, crc = start): readonly Victim[] {
  const done = books.publish(leaseOf(books, start), made(10, bytes, crc), FREE)
  if (done.is !== 'done') throw new Error(done.is)
  return done.victims
}

const codeIn = (work: () => unknown): unknown => {
  try {
    work()
  } catch (error) {
    return codeOf(error)
  }
  return 'nothing was thrown'
}

/** What must hold at any time. */
function sums(catalog: Catalog): { problems: string[] } {
  const problems: string[] = []
  let bytes = 0
  let cached = 0
  const order = new Set<string>()
  for (const [key] of catalog.range(['lru'], ['lru', ''])) order.add(JSON.stringify(key.slice(1)))
  for (const [key, value] of catalog.range(['shard'], ['shard', ''])) {
    const { state, stamp, ...record } = value as { state: string; stamp: number; bytes: number; count: number }
    if (state !== 'ready') continue
    bytes += record.bytes
    cached += record.count
    if (record.count > 0 && !order.delete(JSON.stringify([stamp, key[1]]))) problems.push(`${key} is in no order`)
  }
  if (order.size > 0) problems.push(`too much in the order: ${[...order]}`)
  if (bytes !== (catalog.get(['bytes']) ?? 0)) problems.push(`${catalog.get(['bytes'])} bytes, not ${bytes}`)
  if (cached !== (catalog.get(['cached']) ?? 0)) problems.push(`${catalog.get(['cached'])} items, not ${cached}`)
  return { problems }
}

for (const [name, open] of engines) {
  test(`${name}: a shard is made once: leases, publishing, what is found afterwards`, async (t) => {
    const catalog = await open()
    const clock = { ms: 1e12 }
    const books = newBooks(catalog, clock)
    const other = new Books(catalog, { root: 'here', leaseMs: 1000, now: () => clock.ms })
    const lease = leaseOf(books, 0)
    t.is(lease.gen, 1)
    t.deepEqual(other.begin(0), { is: 'busy', pid: process.pid })
    t.is(books.shard(0), undefined)
    const done = books.publish(lease, made(10, 500, 77), { ...FREE, next: 10 })
    t.is(done.is, 'done')
    const next = done.is === 'done' ? done.next : undefined
    t.is(next?.start, 10)
    t.is(next?.gen, 2)
    t.deepEqual(other.begin(10), { is: 'busy', pid: process.pid })
    const record = { state: 'ready', gen: 1, count: 10, bytes: 500, crc: 77, stamp: 1e9 } as const
    t.deepEqual(other.begin(0), { is: 'ready', record })
    t.deepEqual(books.totals(), { bytes: 500, cached: 10 })
    // Given back: anybody may have it, under a new generation.
    books.release(next as Lease)
    books.release(next as Lease)
    const theirs = leaseOf(other, 10)
    t.is(theirs.gen, 3)
    books.release(next as Lease)
    t.is(books.begin(10).is, 'busy')
    // The next one is there already, or being made: no lease of it.
    const last = other.publish(theirs, made(4, 50, 1, true), { ...FREE, next: 0 })
    t.deepEqual(last, { is: 'done', victims: [] })
    t.deepEqual(books.length(), { value: 14, final: true })
    t.deepEqual(
      [...books.records()].map(([start, { gen }]) => [start, gen]),
      [
        [0, 1],
        [10, 3],
      ],
    )
    t.deepEqual([...books.leases()], [])
    t.deepEqual(sums(catalog).problems, [])
    await books.close()
  })

  test(`${name}: a lease that was not renewed is taken over; who lost it finds out`, async (t) => {
    const catalog = await open()
    const clock = { ms: 1e12 }
    const books = newBooks(catalog, clock)
    const other = new Books(catalog, { root: 'here', leaseMs: 1000, now: () => clock.ms })
    const lease = leaseOf(books, 0)
    clock.ms += 900
    t.deepEqual(books.renew([lease]), [])
    clock.ms += 900
    t.is(other.begin(0).is, 'busy')
    clock.ms += 100
    const begun = other.begin(0)
    t.like(begun, { is: 'mine', takeover: process.pid })
    t.deepEqual(books.renew([lease]), [lease])
    t.deepEqual(books.publish(lease, made(10, 500, 77), FREE), { is: 'lost' })
    books.release(lease)
    t.is(books.begin(0).is, 'busy')
    t.is(books.shard(0), undefined)
    // Over its time, but nobody wanted it: it still counts.
    clock.ms += 5000
    t.is(begun.is === 'mine' && other.publish(begun.lease, made(10, 500, 77), FREE).is, 'done')
    t.is(begun.is === 'mine' && other.publish(begun.lease, made(10, 500, 77), FREE).is, 'lost')
    await books.close()
  })

  test(`${name}: what comes back different, or ends elsewhere, changes nothing`, async (t) => {
    const catalog = await open()
    const books = newBooks(catalog)
    publish(books, 0, 100, 5)
    t.false(books.drop(0, 2))
    t.true(books.drop(0, 1))
    t.false(books.drop(0, 1))
    t.deepEqual(books.totals(), { bytes: 0, cached: 0 })
    t.is(books.shard(0)?.state, 'evicted')
    const begun = books.begin(0)
    t.is(begun.is === 'mine' && begun.record?.crc, 5)
    const lease = begun.is === 'mine' ? begun.lease : (undefined as never)
    t.deepEqual(books.publish(lease, made(10, 100, 6), FREE), { is: 'changed', expected: 5, found: 6 })
    t.is(books.shard(0)?.state, 'evicted')
    t.is(books.publish(lease, made(10, 100, 6), { ...FREE, accept: true }).is, 'done')
    t.is(books.shard(0)?.crc, 6)
    t.deepEqual(books.setLength(25), { is: 'done' })
    t.deepEqual(books.setLength(25), { is: 'done' })
    t.deepEqual(books.setLength(26), { is: 'length', expected: 25, found: 26 })
    const end = leaseOf(books, 20)
    t.deepEqual(books.publish(end, made(4, 10, 1, true), FREE), { is: 'length', expected: 25, found: 24 })
    t.deepEqual(books.publish(end, made(10, 10, 1), FREE), { is: 'length', expected: 25, found: 30 })
    t.is(books.publish(end, made(5, 10, 1, true), FREE).is, 'done')
    // Once more, because there may be more now.
    t.is(books.begin(20).is, 'ready')
    const again = leaseOf(books, 20, true)
    const longer = books.publish(again, made(10, 20, 2), { ...FREE, again: true })
    t.deepEqual(longer, { is: 'done', victims: [{ start: 20, gen: end.gen, bytes: 10 }] })
    t.deepEqual(books.length(), { value: 30, final: false })
    t.deepEqual(books.totals(), { bytes: 120, cached: 20 })
    t.deepEqual(sums(catalog).problems, [])
    await books.close()
  })

  test(`${name}: L4: below the limit the coldest go, never the newest nor the one that marks the end`, async (t) => {
    const catalog = await open()
    const clock = { ms: 1e12 }
    const books = newBooks(catalog, clock)
    const limit = 350
    for (const start of [0, 10, 20]) {
      t.deepEqual(publish(books, start), [])
      clock.ms += 1000
    }
    const end = books.publish(leaseOf(books, 60), made(0, 80, 0, true), FREE)
    t.is(end.is, 'done')
    books.touch(
      new Map([
        [0, clock.ms / 1000 + 5],
        [99, 1],
        [10, 3],
      ]),
    )
    t.deepEqual(sums(catalog).problems, [])
    const done = books.publish(leaseOf(books, 30), made(10, 100, 3), { ...FREE, limit })
    t.deepEqual(done.is === 'done' && done.victims, [
      { start: 10, gen: 2, bytes: 100 },
      { start: 20, gen: 3, bytes: 100 },
    ])
    t.deepEqual(books.totals(), { bytes: 280, cached: 20 })
    // Nobody may go for it, or all together would not be enough: all stay.
    const lease = leaseOf(books, 40)
    t.deepEqual(books.publish(lease, made(10, 100, 4), { ...FREE, limit, canEvict: false }), { is: 'large' })
    t.deepEqual(books.publish(lease, made(10, 351, 4), { ...FREE, limit }), { is: 'large' })
    t.deepEqual(books.publish(lease, made(10, 280, 4), { ...FREE, limit }), { is: 'large' })
    t.deepEqual(books.totals(), { bytes: 280, cached: 20 })
    t.deepEqual(books.trim(limit), [])
    t.deepEqual(
      books.trim(0).map(({ start }) => start),
      [30, 0],
    )
    t.deepEqual(books.totals(), { bytes: 80, cached: 0 })
    t.is(books.shard(60)?.state, 'ready')
    t.deepEqual(sums(catalog).problems, [])
    await books.close()
  })

  test(`${name}: reset begins anew under a new id; who had the old one is told; generations go on`, async (t) => {
    const catalog = await open()
    const books = newBooks(catalog)
    const other = new Books(catalog, { root: 'there', leaseMs: 1000 })
    publish(books, 0)
    const lease = leaseOf(other, 10)
    books.setInfo({ a: 1 })
    const before = books.head
    const head = books.reset({ ...HEAD, serializer: 'v8', fingerprint: 'two', shardLength: 0 })
    t.not(head.id, before.id)
    t.like(books.head, { format: 1, serializer: 'v8', fingerprint: 'two', shardLength: 0 })
    t.deepEqual([...books.records()], [])
    t.deepEqual([...books.leases()], [])
    t.is(books.info(), undefined)
    t.is(books.length(), undefined)
    t.deepEqual(books.totals(), { bytes: 0, cached: 0 })
    t.is(leaseOf(books, 0).gen, 3)
    for (const use of [
      () => other.check(),
      () => other.begin(0),
      () => other.publish(lease, made(10, 1, 1), FREE),
      () => other.renew([lease]),
      () => other.touch(new Map()),
      () => other.setInfo(1),
      () => other.trim(0),
      () => other.setShardLength(5),
    ]) {
      t.is(codeIn(use), 'MILL_DATASET_RESET')
    }
    t.is(other.head.id, before.id)
    t.is(books.setShardLength(7), 7)
    t.is(books.setShardLength(9), 7)
    t.is(books.head.shardLength, 7)
    await books.close()
  })

  test(`${name}: the head is written once; info, finalize`, async (t) => {
    const catalog = await open()
    const empty = new Books(catalog, { root: 'here', leaseMs: 1000 })
    t.is(empty.stored(), undefined)
    t.is(
      codeIn(() => empty.head),
      'MILL_INVALID_ARGUMENT',
    )
    const books = newBooks(catalog)
    t.is(empty.writeHead({ ...HEAD, serializer: 'json' }).serializer, 'msgpack')
    t.is(books.info(), undefined)
    const info = { name: 'é', list: [1, null] }
    books.setInfo(info)
    t.deepEqual(books.info(), info)
    for (const bad of [undefined, () => 1, 'x'.repeat(65_536), { d: new Date() }]) {
      t.is(
        codeIn(() => books.setInfo(bad)),
        'MILL_INVALID_ARGUMENT',
      )
    }
    t.deepEqual(books.info(), info)
    t.is(books.finalize(), 0)
    await books.close()
    const second = newBooks(memoryCatalog())
    publish(second, 0)
    publish(second, 20)
    t.deepEqual(second.finalize(), { gap: 10 })
    t.is(second.length(), undefined)
    publish(second, 10)
    t.is(second.finalize(), 30)
    t.deepEqual(second.length(), { value: 30, final: true })
  })
}

test('L4: whatever happens in whatever order, the totals are the sums and the limit holds', async (t) => {
  const step = fc.oneof(
    fc.record({ is: fc.constant('begin' as const), k: fc.nat({ max: 8 }), who: fc.nat({ max: 2 }) }),
    fc.record({
      is: fc.constant('publish' as const),
      nth: fc.nat({ max: 5 }),
      bytes: fc.integer({ min: 20, max: 160 }),
      next: fc.boolean(),
      again: fc.boolean(),
    }),
    fc.record({ is: fc.constant('release' as const), nth: fc.nat({ max: 5 }) }),
    fc.record({ is: fc.constant('renew' as const), who: fc.nat({ max: 2 }) }),
    fc.record({ is: fc.constant('drop' as const), k: fc.nat({ max: 8 }) }),
    fc.record({ is: fc.constant('touch' as const), k: fc.nat({ max: 8 }), ahead: fc.nat({ max: 9 }) }),
    fc.record({ is: fc.constant('wait' as const), ms: fc.nat({ max: 1500 }) }),
    fc.record({ is: fc.constant('trim' as const), limit: fc.nat({ max: 400 }) }),
  )
  const limit = 400
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const clock = { ms: 1e12 }
      const catalog = memoryCatalog()
      const all = Array.from({ length: 3 }, () => newBooks(catalog, clock))
      /** Who believes to have which leases. */
      const held: [Books, Lease][] = []
      const gens = new Set<number>()
      const files = new Map<number, number>()
      for (const each of steps) {
        if (each.is === 'begin') {
          const begun = (all[each.who] as Books).begin(each.k * 10)
          if (begun.is !== 'mine') continue
          t.false(gens.has(begun.lease.gen))
          gens.add(begun.lease.gen)
          held.push([all[each.who] as Books, begun.lease])
        } else if (each.is === 'publish') {
          const [books, lease] = held[each.nth % (held.length || 1)] ?? []
          if (books === undefined || lease === undefined) continue
          const next = each.next ? { next: lease.start + 10 } : {}
          const done = books.publish(lease, made(10, each.bytes, lease.start), {
            ...FREE,
            limit,
            again: each.again,
            ...next,
          })
          if (done.is !== 'done') continue
          held.splice(
            held.findIndex(([, mine]) => mine === lease),
            1,
          )
          for (const victim of done.victims) t.true(files.delete(victim.gen))
          files.set(lease.gen, each.bytes)
          if (done.next !== undefined) {
            t.false(gens.has(done.next.gen))
            gens.add(done.next.gen)
            held.push([books, done.next])
          }
        } else if (each.is === 'release') {
          const [books, lease] = held.splice(each.nth % (held.length || 1), 1)[0] ?? []
          if (lease !== undefined) books?.release(lease)
        } else if (each.is === 'renew') {
          const books = all[each.who] as Books
          const mine = held.filter(([owner]) => owner === books).map(([, lease]) => lease)
          for (const lost of books.renew(mine))
            held.splice(
              held.findIndex(([, lease]) => lease === lost),
              1,
            )
        } else if (each.is === 'drop') {
          const gen = all[0]?.shard(each.k * 10)?.gen ?? 0
          if (all[0]?.drop(each.k * 10, gen) === true) t.true(files.delete(gen))
        } else if (each.is === 'touch') all[1]?.touch(new Map([[each.k * 10, clock.ms / 1000 + each.ahead]]))
        else if (each.is === 'wait') clock.ms += each.ms
        else for (const victim of all[2]?.trim(each.limit) ?? []) t.true(files.delete(victim.gen))
        t.deepEqual(sums(catalog).problems, [])
        // The files that would lie there are those that are known, and no more than the limit.
        t.is(
          all[0]?.totals().bytes,
          [...files.values()].reduce((sum, bytes) => sum + bytes, 0),
        )
        t.true((all[0]?.totals().bytes ?? 0) <= limit)
      }
    }),
    { numRuns: 200 * scale },
  )
})

test('G1: the lease of a process that was killed is free at once; that of one on another machine when its time is up', async (t) => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  const catalog = memoryCatalog()
  const clock = { ms: 1e12 }
  const { host } = me()
  const pid = child.pid as number
  const theirs = newBooks(catalog, clock, { identity: { pid, host } })
  const far = newBooks(catalog, clock, { identity: { pid, host: 'elsewhere' } })
  const books = newBooks(catalog, clock)
  leaseOf(theirs, 0)
  leaseOf(far, 10)
  t.deepEqual(books.begin(0), { is: 'busy', pid })
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await within(gone, 'the end of it')
  t.like(books.begin(0), { is: 'mine', takeover: pid })
  t.deepEqual(books.begin(10), { is: 'busy', pid })
  clock.ms += 1000
  t.like(books.begin(10), { is: 'mine', takeover: pid })
})

// ---- the folder ----------------------------------------------------------------------------------------------------------

interface Item {
  id: number
}
const items = (start: number, count: number): Item[] => Array.from({ length: count }, (_, i) => ({ id: start + i }))

/** A shard file of this name, by a kit of its own. */
async function shardFile(
  path: string,
  start: number,
  count: number,
  more: { shardLength?: number; ends?: boolean; serializer?: 'json'; fingerprint?: string } = {},
): Promise<{ count: number; bytes: number; crc: number }> {
  const { shardLength = 10, ends = false, serializer, fingerprint } = more
  const kit = await newKit<Item>({ serializer, fingerprint })
  const writer = await ShardWriter.create(kit, { start, path })
  const done = await fill(writer, items(start, count), { shardLength, ends })
  writer.reader(path).close()
  await kit.close()
  return done
}

test('G5: a sweep removes what nobody knows and nobody makes, and nothing else', async (t) => {
  const folder = newFolder()
  const clock = { ms: Date.now() }
  const catalog = memoryCatalog()
  const books = newBooks(catalog, clock)
  const put = (name: string): string => {
    writeFileSync(join(folder, name), name)
    return name
  }
  publish(books, 0)
  const working = leaseOf(books, 10)
  const stalled = leaseOf(books, 20)
  const gone = leaseOf(newBooks(catalog, clock, { identity: { pid: 2 ** 30, host: me().host } }), 30)
  clock.ms += 5000
  books.renew([working])
  const kept = [
    put(shardName(0, 1)),
    put(temporaryName(10, working.gen, working.token)),
    // It has its name, and is not yet known; also of one that is over its time, and may come back.
    put(shardName(10, working.gen)),
    put(temporaryName(20, stalled.gen, stalled.token)),
    put('foreign.txt'),
    put('0.7.shd.bak'),
    put('00.7.shd'),
  ]
  const swept = [
    put(shardName(0, 7)),
    put(shardName(40, 8)),
    put(temporaryName(10, working.gen, 'f'.repeat(16))),
    put(temporaryName(50, 9, '0'.repeat(16))),
    put(temporaryName(30, gone.gen, gone.token)),
    put(shardName(30, gone.gen)),
  ]
  mkdirSync(join(folder, shardName(60, 1)))
  symlinkSync(join(folder, 'foreign.txt'), join(folder, shardName(70, 1)))
  t.is(await sweepShards(folder, books, nodeFiles), swept.length)
  t.deepEqual(readdirSync(folder).sort(), [...kept, shardName(60, 1), shardName(70, 1)].sort())
  t.is(await sweepShards(folder, books, nodeFiles), 0)
})

test('L2: a sweep leaves what was begun a moment ago, whatever an opener writes into the lock file', async (t) => {
  const folder = newFolder()
  const path = join(newFolder(), 'catalog.mdb')
  const catalog = await openCatalog(path)
  const books = newBooks(catalog, { ms: Date.now() })
  publish(books, 0)
  const lease = leaseOf(books, 10)
  const names = [temporaryName(10, lease.gen, lease.token), shardName(10, lease.gen)]
  for (const name of names) writeFileSync(join(folder, name), name)
  // The last commit, which has the lease, is hidden from readers.
  const putBack = spawn(process.execPath, [catalogChild, 'put-back', `${path}-lock`, '1'])
  await within(once(putBack, 'exit'), 'put back')
  t.is(await sweepShards(folder, books, nodeFiles), 0)
  t.deepEqual(readdirSync(folder).sort(), names.sort())
  await catalog.close()
})

test('L2: the books are made again from the files: the newest of each, one dataset, up to its end', async (t) => {
  const folder = newFolder()
  const file = (start: number, gen: number): string => join(folder, shardName(start, gen))
  await shardFile(file(0, 3), 0, 10)
  const newest = await shardFile(file(0, 5), 0, 10)
  const middle = await shardFile(file(10, 2), 10, 10)
  await shardFile(file(20, 4), 20, 3, { ends: true })
  const last = await shardFile(file(20, 9), 20, 7, { ends: true })
  await shardFile(file(30, 1), 30, 10)
  await shardFile(file(40, 12), 40, 10, { serializer: 'json' })
  await shardFile(file(50, 13), 50, 10, { fingerprint: 'other' })
  await shardFile(file(60, 14), 60, 10)
  truncateSync(file(60, 14), 100)
  copyFileSync(file(10, 2), file(90, 15))
  symlinkSync(file(0, 5), file(100, 16))
  writeFileSync(join(folder, temporaryName(0, 99, 'a'.repeat(16))), 'in work')
  linkSync(file(0, 5), join(folder, 'foreign'))
  const footers = await readFooters(folder, nodeFiles)
  t.deepEqual(footers.head, { serializer: 'msgpack', compression: 'none', shardLength: 10 })
  t.deepEqual(
    footers.shards.map(({ start, gen, count, bytes, crc, ends }) => ({ start, gen, count, bytes, crc, ends })),
    [
      { start: 0, gen: 5, ...newest, ends: false },
      { start: 10, gen: 2, ...middle, ends: false },
      { start: 20, gen: 9, ...last, ends: true },
    ],
  )
  t.deepEqual(
    footers.dropped,
    [
      [0, 3],
      [20, 4],
      [30, 1],
      [40, 12],
      [50, 13],
      [60, 14],
      [90, 15],
      [100, 16],
    ]
      .map(([start = 0, gen = 0]) => shardName(start, gen))
      .sort(),
  )
  const catalog = await openCatalog(join(newFolder(), 'catalog.mdb'))
  const books = new Books(catalog, { root: 'here', leaseMs: 1000 })
  const head = books.restore(footers.head as typeof HEAD, footers.shards, footers.lastGen)
  t.like(head, HEAD)
  // Somebody else comes to the same: the first one counts.
  const second = new Books(catalog, { root: 'here', leaseMs: 1000 })
  t.is(second.restore({ ...HEAD, shardLength: 3 }, []).id, head.id)
  books.check()
  t.deepEqual(books.length(), { value: 27, final: true })
  t.deepEqual(books.totals(), { bytes: newest.bytes + middle.bytes + last.bytes, cached: 27 })
  t.is(footers.lastGen, 99)
  t.is(leaseOf(books, 30).gen, 100)
  t.deepEqual(sums(catalog).problems, [])
  const kit = await newKit<Item>()
  for (const [start, record] of books.records()) {
    const reader = await openShard(kit, file(start, record.gen), start, record)
    t.deepEqual(await reader.get(reader.count - 1), { id: start + reader.count - 1 })
    reader.close()
  }
  await kit.close()
  await books.close()
})

test('L2: a folder without a readable shard, with an empty one that marks the end, and none at all', async (t) => {
  const folder = newFolder()
  t.deepEqual(await readFooters(folder, nodeFiles), { head: undefined, shards: [], dropped: [], lastGen: 0 })
  writeFileSync(join(folder, shardName(0, 1)), 'no shard at all')
  t.deepEqual(await readFooters(folder, nodeFiles), {
    head: undefined,
    shards: [],
    dropped: [shardName(0, 1)],
    lastGen: 1,
  })
  t.is(readFileSync(join(folder, shardName(0, 1)), 'utf8'), 'no shard at all')
  await shardFile(join(folder, shardName(10, 3)), 10, 0, { ends: true })
  await shardFile(join(folder, shardName(0, 2)), 0, 10)
  const { shards } = await readFooters(folder, nodeFiles)
  t.deepEqual(
    shards.map(({ start, count, ends }) => [start, count, ends]),
    [
      [0, 10, false],
      [10, 0, true],
    ],
  )
  const books = new Books(memoryCatalog(), { root: 'here', leaseMs: 1000 })
  books.restore(HEAD, shards)
  t.deepEqual(books.length(), { value: 10, final: true })
  t.deepEqual(
    books.trim(0).map(({ start }) => start),
    [0],
  )
  await t.throwsAsync(readFooters(join(folder, 'nowhere'), nodeFiles), { code: 'ENOENT' })
  t.false(existsSync(join(folder, 'nowhere')))
})
