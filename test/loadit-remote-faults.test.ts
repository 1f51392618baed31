import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { LoadItError, ShardStore } from '../lib/loadit/index.js'
import {
  countedSource,
  folder,
  type Item,
  opened,
  record,
  shardFiles,
  temporaries,
  until,
} from './fixtures/loadit-kit.js'
import { all, type Extra, fails, filled, LENGTH, N, own, s3, server } from './fixtures/remote-kit.js'
import type { Fault, S3Server } from './fixtures/s3-server.js'
import { within } from './fixtures/stream-kit.js'

/*
 * Loaders over a store that fails, lies, or is slow.
 */

const PASSING: Fault[] = ['fail', 'slow-down', 'cut', 'stall', 'other-range', 'short', 'hang-up', 'encoded']
const LASTING: Record<string, string> = {
  fail: 'MILL_REMOTE',
  'slow-down': 'MILL_REMOTE',
  'other-range': 'MILL_REMOTE',
  'lying-range': 'MILL_SHARD_CORRUPT',
  short: 'MILL_REMOTE',
  flip: 'MILL_SHARD_CORRUPT',
  forbidden: 'MILL_REMOTE',
  encoded: 'MILL_REMOTE',
  redirect: 'MILL_REMOTE',
  cut: 'MILL_REMOTE',
  'hang-up': 'MILL_REMOTE',
  missing: 'MILL_SHARD_UNAVAILABLE',
}

for (const fault of PASSING) {
  test(`M3: a store that does this once gives the right items after another attempt: ${fault}`, async (t) => {
    const at = await server(t)
    await filled(t, s3(at))
    const loader = await opened<Item>(t, { root: folder(t), remote: s3(at, '', fault === 'stall' ? 1000 : 20_000) })
    const heard = record(loader)
    const met = new Set<string>()
    at.fault = ({ key }) => (met.size === met.add(key).size ? undefined : fault)
    t.deepEqual(await within(loader.getMany([0, 11, 49]), 'many'), [all[0], all[11], all[49]])
    t.deepEqual(heard.of('warning'), [])
    t.deepEqual(temporaries(loader.root), [])
  })
}

for (const [fault, code] of Object.entries(LASTING)) {
  test(`M3: a store that does this for ever gives an error without a source, and with one the right items: ${fault}`, async (t) => {
    const at = await server(t)
    await filled(t, s3(at))
    const far = await opened<Item>(t, { root: folder(t), remote: s3(at) })
    const { source } = countedSource(N)
    const near = await opened<Item>(t, { root: folder(t), remote: s3(at), source, preload: 0 })
    const heard = record(near)
    at.seen.length = 0
    at.fault = ({ method }) => (method === 'GET' ? (fault as Fault) : undefined)
    const error = await fails(t, far.at(11), code)
    if (code === 'MILL_REMOTE') {
      const attempts = fault === 'forbidden' || fault === 'redirect' ? 1 : 4
      t.deepEqual([error.key, error.attempts], ['8.shd', attempts])
      t.is(at.seen.filter(({ key }) => key === '8.shd').length % attempts, 0)
    }
    t.deepEqual(await within(near.at(11), 'at'), all[11])
    t.is(heard.of('warning').length > 0, fault !== 'missing')
    for (const { root } of [far, near]) await until('nothing is left over', () => temporaries(root).length === 0)
    at.fault = undefined
    t.deepEqual(await within(far.at(11), 'at'), all[11])
  })
}

test('M3: ranges that are ignored and ETags that change cost nothing but time', async (t) => {
  for (const fault of ['no-range', 'etag'] as const) {
    const at = await server(t)
    await filled(t, s3(at))
    at.fault = () => fault
    const loader = await opened<Item>(t, { root: folder(t), remote: s3(at) })
    t.deepEqual(await within(loader.getMany([0, 11, 49]), 'many'), [all[0], all[11], all[49]])
  }
})

/** Items of 40 KB, so that shards are beyond what is fetched whole for one of them. */
const large = (n: number): Item => ({ n, text: `${n} `.repeat(40_000 / (String(n).length + 1)) })

async function filledLarge(t: ExecutionContext, at: S3Server, extra: Extra = {}): Promise<Item[]> {
  const { source } = countedSource(80, large)
  const root = folder(t)
  const loader = await opened<Item>(t, { root, source, maxShardLength: 64, remote: s3(at), ...extra })
  await within(loader.length(), 'length')
  await within(loader.flush(), 'flush')
  return Array.from({ length: 80 }, (_, n) => large(n))
}

for (const extra of [{}, { compression: 'gzip' } as const]) {
  test(`one item of a large shard is fetched by range, until it is worth fetching all ${extra.compression ?? ''}`, async (t) => {
    const at = await server(t)
    // Random text: it must stay large when it is compressed.
    const text = (n: number): string =>
      Array.from({ length: 2000 }, (_, i) => Math.sin(n * 2000 + i).toString(36)).join('')
    const items = Array.from({ length: 80 }, (_, n) => ({ n, text: text(n) }))
    const { source } = countedSource(80, (n) => items[n])
    const loader = await opened<Item>(t, { root: folder(t), source, maxShardLength: 64, remote: s3(at), ...extra })
    await within(loader.length(), 'length')
    await within(loader.flush(), 'flush')
    const whole = at.objects.get('0.shd')?.length ?? 0
    t.true(whole > 1_048_576, `${whole} bytes`)
    const far = await opened<Item>(t, { root: folder(t), remote: s3(at), preload: 0 })
    at.seen.length = 0
    t.deepEqual(await within(far.at(5), 'at'), items[5])
    t.is(far.stats().fetched, 0)
    t.true(at.seen.length <= 3)
    t.true(at.seen.reduce((sum, { bytes: some }) => sum + some, 0) < whole / 5)
    t.deepEqual(shardFiles(far.root), [])
    for (let n = 0; n < 60; n++) t.deepEqual(await within(far.at(n), 'at'), items[n])
    t.is(far.stats().fetched, 1)
    at.seen.length = 0
    t.deepEqual(await within(far.at(63), 'at'), items[63])
    t.is(at.seen.length, 0)
  })
}

test('M3: a single item that comes damaged, or whose shard goes away, is never a wrong one', async (t) => {
  const at = await server(t)
  const items = await filledLarge(t, at)
  const far = await opened<Item>(t, { root: folder(t), remote: s3(at), preload: 0 })
  t.deepEqual(await within(far.at(3), 'at'), items[3])
  at.fault = () => 'flip'
  await fails(t, far.at(4), 'MILL_SHARD_CORRUPT')
  at.fault = ({ range }) => (range?.startsWith('bytes=-') === true ? undefined : 'missing')
  await fails(t, far.at(5), 'MILL_SHARD_UNAVAILABLE')
  at.fault = undefined
  t.deepEqual(await within(far.at(6), 'at'), items[6])
  // Another object under that name: the old tables are not believed with the new bytes.
  const other = at.objects.get('0.shd') as Uint8Array
  at.objects.set(
    '0.shd',
    other.map((byte, i) => (i > 24 && i < other.length - 60_000 ? byte ^ 255 : byte)),
  )
  await fails(t, far.at(7), 'MILL_SHARD_CORRUPT')
})

test('every bit of a shard in a store: the right items, or an error of ours', async (t) => {
  const remote = own()
  const { source } = countedSource(3, (n) => ({ n, text: 'x' }))
  const first = await opened<Item>(t, { root: folder(t), source, maxShardLength: 4, remote })
  await within(first.length(), 'length')
  await within(first.flush(), 'flush')
  const good = remote.objects.get('0.shd') as Uint8Array
  let refused = 0
  const base = folder(t)
  const step = Math.max(1, Math.floor(11 / Number(process.env.MILLRACE_TEST_SCALE ?? 1)))
  for (let bit = 0; bit < good.length * 8; bit += step) {
    const root = mkdtempSync(join(base, 'r-'))
    remote.objects.set('0.shd', good)
    const loader = await opened<Item>(t, { root, remote })
    const bad = good.slice()
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7))
    remote.objects.set('0.shd', bad)
    await fails(t, loader.at(0), 'MILL_SHARD_CORRUPT')
    t.deepEqual(shardFiles(root), [], `bit ${bit}`)
    refused++
    await loader.close()
    rmSync(root, { recursive: true })
  }
  t.true(refused > 100, `${refused} of ${good.length} bytes`)
})

test('M3: a shard of several pieces: one that is damaged or gone makes it begin anew, once', async (t) => {
  const remote = own()
  const text = (n: number): string => `${n} `.repeat(500_000 / (String(n).length + 1))
  const items = Array.from({ length: 24 }, (_, n) => ({ n, text: text(n) }))
  const { source } = countedSource(24, (n) => items[n])
  const first = await opened<Item>(t, { root: folder(t), source, maxShardLength: 24, remote })
  await within(first.length(), 'length')
  await within(first.flush(), 'flush')
  const whole = remote.objects.get('0.shd') as Uint8Array
  t.true(whole.length > 8_388_608 + 65_536)
  const asked: string[] = []
  let odd: (part: Uint8Array) => Uint8Array | undefined = (part) => part
  const watched: ShardStore = {
    async get(key, o = {}) {
      const part = await remote.get(key, o)
      asked.push(`${key} ${o.offset} ${o.length}`)
      return o.offset === 8_388_608 && part !== undefined ? odd(part) : part
    },
  }
  const flip = (part: Uint8Array): Uint8Array => part.map((byte, i) => (i === 1000 ? byte ^ 1 : byte))
  const fetch = async (durability: 'process' | 'full' = 'process') => {
    asked.length = 0
    const far = await opened<Item>(t, { root: folder(t), remote: watched, durability })
    return { far, done: far.preloadAll() }
  }
  const good = await fetch('full')
  await within(good.done, 'download')
  t.deepEqual(await within(good.far.getMany(items.map((_, n) => n)), 'many'), items)
  t.is((await within(good.far.verify(), 'verify')).bad.length, 0)
  t.deepEqual(
    asked.filter((one) => one.endsWith(' 8388608')),
    ['0.shd 0 8388608'],
  )
  for (const [lasting, once] of [
    ['MILL_SHARD_CORRUPT', flip],
    ['MILL_SHARD_UNAVAILABLE', () => undefined],
  ] as const) {
    odd = (part) => {
      odd = (other) => other
      return once(part)
    }
    const mended = await fetch()
    await within(mended.done, 'download')
    t.deepEqual(await within(mended.far.at(20), 'at'), items[20])
    odd = once
    const { far, done } = await fetch()
    await fails(t, done, lasting)
    t.deepEqual(shardFiles(far.root), [])
    odd = (part) => part
  }
})

test('G2: whatever a store of somebody else does, it is the right item or MILL_REMOTE', async (t) => {
  const good = own()
  await filled(t, good)
  const get = good.get.bind(good)
  const wrong: Record<string, ShardStore['get']> = {
    'a text': async () => 'text' as never,
    null: async () => null as never,
    'no promise': (() => new Uint8Array(3)) as never,
    'too much': async (key) => new Uint8Array([...((await get(key)) ?? []), ...new Uint8Array(70_000)]),
    'a throw': () => {
      throw new TypeError('mine')
    },
    'a rejection with nothing': () => Promise.reject(undefined),
    'an error with a status': () => Promise.reject(Object.assign(new Error('no'), { status: 451 })),
  }
  await Promise.all(
    Object.entries(wrong).map(async ([name, bad]) => {
      const remote: ShardStore = { get }
      const loader = await opened<Item>(t, { root: folder(t), remote })
      remote.get = bad
      const error = (await t.throwsAsync(within(loader.at(3), name))) as LoadItError
      t.is(error.code, name === 'no promise' ? 'MILL_SHARD_CORRUPT' : 'MILL_REMOTE', `${name}: ${error}`)
      if (error.code === 'MILL_REMOTE') t.is(error.attempts, name === 'an error with a status' ? 1 : 4, name)
      remote.get = get
      t.deepEqual(await within(loader.at(3), name), all[3])
    }),
  )
})

test('another dataset in the store is refused, and swapped shards are noticed', async (t) => {
  const at = await server(t)
  await filled(t, s3(at), { fingerprint: 'v1' })
  const mine = { root: folder(t), remote: s3(at), fingerprint: 'v2' }
  const error = await fails(t, opened<Item>(t, mine), 'MILL_DATASET_MISMATCH')
  t.deepEqual([error.field, error.expected, error.found], ['fingerprint', 'v2', 'v1'])
  const [zero, eight] = ['0.shd', '8.shd'].map((key) => at.objects.get(key) as Uint8Array)
  const loader = await opened<Item>(t, { root: folder(t), remote: s3(at) })
  at.objects.set('0.shd', eight as Uint8Array)
  at.objects.set('8.shd', zero as Uint8Array)
  await fails(t, loader.at(0), 'MILL_SHARD_CORRUPT')
  await fails(t, loader.at(8), 'MILL_SHARD_CORRUPT')
  at.objects.clear()
  await filled(t, s3(at), { fingerprint: 'v1', maxShardLength: 4 })
  const odd = await fails(t, loader.at(8), 'MILL_DATASET_MISMATCH')
  t.is(odd.field, 'maxShardLength')
})

test('uploads that fail are a warning, after which everything goes on; `push: false` makes none', async (t) => {
  const at = await server(t)
  at.fault = ({ method }) => (method === 'PUT' ? 'forbidden' : undefined)
  const { source } = countedSource(N)
  const loader = await opened<Item>(t, { root: folder(t), source, maxShardLength: LENGTH, remote: s3(at) })
  const heard = record(loader)
  t.is(await within(loader.length(), 'length'), N)
  await within(loader.flush(), 'flush')
  t.deepEqual(
    heard.of('warning').map(({ code }) => code),
    Array(7).fill('MILL_REMOTE'),
  )
  t.is(at.objects.size, 0)
  at.fault = undefined
  at.seen.length = 0
  const quiet = await opened<Item>(t, { root: folder(t), source, maxShardLength: LENGTH, remote: s3(at), push: false })
  t.is(await within(quiet.length(), 'length'), N)
  await within(quiet.flush(), 'flush')
  t.true(at.seen.every(({ method }) => method === 'GET'))
})

test('at most two uploads are under way, and close() waits for those', async (t) => {
  let now = 0
  let most = 0
  let stored = 0
  const release: (() => void)[] = []
  const remote: ShardStore = {
    get: async () => undefined,
    async put() {
      most = Math.max(most, ++now)
      await new Promise<void>((resolve) => release.push(resolve))
      now--
      stored++
      return 'stored'
    },
  }
  const { source } = countedSource(N)
  const loader = await opened<Item>(t, { root: folder(t), source, maxShardLength: LENGTH, remote })
  await within(loader.length(), 'length')
  await until('two uploads', () => now === 2)
  const closed = loader.close()
  t.is(
    await Promise.race([closed.then(() => 'closed'), new Promise((resolve) => setTimeout(resolve, 50, 'waits'))]),
    'waits',
  )
  for (const go of release) go()
  await within(closed, 'close')
  t.deepEqual([most, stored, now], [2, 2, 0])
})

test('G5: close() and an abort end a download, and leave nothing behind', async (t) => {
  const at = await server(t)
  await filled(t, s3(at))
  const loader = await opened<Item>(t, { root: folder(t), remote: s3(at) })
  at.fault = () => 'stall'
  at.seen.length = 0
  const control = new AbortController()
  const aborted = loader.at(9, { signal: control.signal })
  await until('asked', () => at.seen.length > 0)
  control.abort(new Error('enough'))
  await t.throwsAsync(within(aborted, 'abort'), { message: 'enough' })
  const pending = loader.at(17)
  const seen = at.seen.length
  await until('asked again', () => at.seen.length >= seen)
  await Promise.all([fails(t, pending, 'MILL_CLOSED'), within(loader.close(), 'close')])
  t.deepEqual(existsSync(join(loader.root, 'shards')) ? temporaries(loader.root) : [], [])
})

test('an evicted shard comes back from the store, without a source', async (t) => {
  const at = await server(t)
  await filled(t, s3(at))
  const loader = await opened<Item>(t, { root: folder(t), remote: s3(at), memoryLimit: 1500 })
  const heard = record(loader)
  for (let pass = 0; pass < 2; pass++) {
    for (let n = 0; n < N; n++) t.deepEqual(await within(loader.at(n), 'at'), all[n])
  }
  t.true(heard.of('evicted').length > 0)
  t.true(loader.stats().fetched > 7)
  t.true(loader.stats().diskBytes <= 1500)
})

test('L4: with a limit below one shard those of a store are read from memory, without a source', async (t) => {
  const at = await server(t)
  await filled(t, s3(at))
  const loader = await opened<Item>(t, { root: folder(t), remote: s3(at), memoryLimit: 100 })
  const heard = record(loader)
  for (const n of [3, 44, 3, 12, 49]) t.deepEqual(await within(loader.at(n), 'at'), all[n])
  t.deepEqual(
    heard.of('warning').map(({ code }) => code),
    ['MILL_DISK_LIMIT'],
  )
  t.deepEqual(shardFiles(loader.root), [])
})
