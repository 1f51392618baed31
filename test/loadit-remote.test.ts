import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  fileStore,
  httpStore,
  isMillraceError,
  type LoadItError,
  type LoadItOptions,
  type ShardStore,
  s3Store,
} from '../lib/loadit/index.js'
import { signS3 } from '../lib/loadit/s3.js'
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
import { ACCESS, type Fault, type S3Server, s3Server } from './fixtures/s3-server.js'
import { within } from './fixtures/stream-kit.js'

async function server(t: ExecutionContext, signed = true): Promise<S3Server> {
  const started = await s3Server(signed)
  t.teardown(() => started.close())
  return started
}

const s3 = (at: S3Server, prefix = '', timeout = 20_000): ShardStore =>
  s3Store({ ...ACCESS, url: `${at.url}${prefix}`, timeout })

/** What anybody can write: a store in twenty lines. */
function own(objects = new Map<string, Uint8Array>()): ShardStore & { objects: Map<string, Uint8Array>; gets: number } {
  return {
    objects,
    gets: 0,
    async get(key, { offset = 0, length = Infinity } = {}) {
      this.gets++
      const all = objects.get(key)
      const from = offset < 0 ? Math.max(0, (all?.length ?? 0) + offset) : offset
      return all?.slice(from, Math.min(all.length, from + length))
    },
    async put(key, data) {
      if (objects.has(key)) return 'exists'
      objects.set(key, data.slice())
      return 'stored'
    },
  }
}

const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255)
const fails = async (t: ExecutionContext, work: Promise<unknown>, code: string): Promise<LoadItError> => {
  const error = await t.throwsAsync(within(work, code))
  t.true(isMillraceError(error, code as never), String(error))
  return error as LoadItError
}

// ---- the stores -------------------------------------------------------------------------------------------------------

test('signatures are those of the documentation of AWS', (t) => {
  const who = {
    region: 'us-east-1',
    accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
    secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  }
  const at = 'https://examplebucket.s3.amazonaws.com'
  const sign = (url: string, headers: Record<string, string>): string | undefined =>
    signS3(who, { method: 'GET', url, headers, body: new Uint8Array(0) }, new Date('2013-05-24T00:00:00Z'))
      .authorization
  t.is(
    sign(`${at}/test.txt`, { range: 'bytes=0-9' }),
    'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=host;range;' +
      'x-amz-content-sha256;x-amz-date, Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  )
  const listed = sign(`${at}/?max-keys=2&prefix=J`, {})
  t.true(listed?.endsWith('Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7'))
})

const kinds: Record<string, (t: ExecutionContext) => Promise<{ store: ShardStore; writer: ShardStore }>> = {
  async file(t) {
    const store = fileStore(join(folder(t), 'made', 'when needed'))
    return { store, writer: store }
  },
  async s3(t) {
    const store = s3(await server(t), 'a prefix+more/')
    return { store, writer: store }
  },
  async 's3 with a session token'(t) {
    const at = await server(t)
    at.token = 'token=='
    const store = s3Store({ ...ACCESS, sessionToken: 'token==', url: at.url })
    return { store, writer: store }
  },
  async 'http, filled by s3'(t) {
    const at = await server(t, false)
    return { store: httpStore(at.url, { headers: { 'x-who': 'me' } }), writer: s3(at) }
  },
  async 'http without ranges'(t) {
    const at = await server(t, false)
    at.fault = () => 'no-range'
    return { store: httpStore(at.url), writer: s3(at) }
  },
  async 'of twenty lines'() {
    const store = own()
    return { store, writer: store }
  },
}

for (const [name, make] of Object.entries(kinds)) {
  test(`a store, ${name}: keys are put once and read whole, in parts and from the end`, async (t) => {
    const { store, writer } = await make(t)
    const put = async (key: string, data: Uint8Array) => within(writer.put?.(key, data) as Promise<unknown>, 'put')
    const get = (key: string, o?: { offset?: number; length?: number }) => within(store.get(key, o), 'get')
    t.is(await get('0.shd'), undefined)
    const all = bytes(200_000)
    t.is(await put('0.shd', all), 'stored')
    t.is(await put('0.shd', bytes(3)), 'exists')
    t.deepEqual(await get('0.shd'), all)
    for (const [offset, length] of [
      [0, 1],
      [0, 200_000],
      [5, 70_000],
      [199_999, 1],
      [199_000, 5000],
      [200_000, 5],
      [300_000, 5],
      [7, 0],
    ] as const) {
      t.deepEqual(await get('0.shd', { offset, length }), all.slice(offset, offset + length), `${offset} ${length}`)
    }
    t.deepEqual(await get('0.shd', { offset: 150_000 }), all.slice(150_000))
    for (const last of [1, 65_536, 200_000, 300_000]) {
      t.deepEqual(await get('0.shd', { offset: -last }), all.slice(-last), `the last ${last}`)
    }
    t.deepEqual(await get('0.shd', { offset: -100, length: 10 }), all.slice(-100, -90))
    const odd = ['with space', 'a+b', 'ä ü/ж%20.shd', "all of !*'()", 'percent%2F', 'e=m&c?#']
    for (const key of odd) t.is(await put(key, new TextEncoder().encode(key)), 'stored')
    for (const key of odd) t.is(new TextDecoder().decode(await get(key)), key)
    t.is(await put('empty', new Uint8Array(0)), 'stored')
    t.deepEqual(await get('empty'), new Uint8Array(0))
    t.deepEqual(await get('empty', { offset: -10 }), new Uint8Array(0))
  })
}

test('G6: keys that lead elsewhere, and addresses that are none, are refused', async (t) => {
  const web = httpStore('http://127.0.0.1:1/x/')
  const all = [fileStore(folder(t)), web, s3Store({ ...ACCESS, url: 'http://127.0.0.1:1/x/' })]
  for (const store of all) {
    for (const key of ['', '/', '../up', 'a/../../b', '.', 'a//b', '/etc/passwd', 'a\\b', 'nul\0', 7]) {
      await fails(t, store.get(key as string), 'MILL_INVALID_ARGUMENT')
      if (store.put !== undefined) await fails(t, store.put(key as string, bytes(1)), 'MILL_INVALID_ARGUMENT')
    }
    for (const o of [{ offset: 0.5 }, { offset: NaN }, { length: -1 }, { signal: 1 as never }]) {
      await fails(t, store.get('a', o), 'MILL_INVALID_ARGUMENT')
    }
  }
  t.is(web.put, undefined)
  for (const url of ['', 'x/', 'ftp://a/', 'http://a/b', 'http://u:p@a/', 'http://a/?b/', 'http://a/%/']) {
    t.throws(() => httpStore(url), { code: 'MILL_INVALID_ARGUMENT' }, url)
    t.throws(() => s3Store({ ...ACCESS, url }), { code: 'MILL_INVALID_ARGUMENT' }, url)
  }
  const secret = t.throws(() => s3Store({ ...ACCESS, url: 'http://a/', secretAccessKey: ['hidden'] as never }))
  t.false(JSON.stringify({ ...secret, message: secret?.message }).includes('hidden'))
  t.throws(() => fileStore(''), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => httpStore('http://a/', { timeout: 0 }), { code: 'MILL_INVALID_ARGUMENT' })
})

test('G6: a file store follows no link, and writers at the same time leave one whole file', async (t) => {
  const dir = folder(t)
  const store = fileStore(dir)
  writeFileSync(join(dir, 'outside'), 'secret')
  symlinkSync(join(dir, 'outside'), join(dir, '0.shd'))
  await fails(t, store.get('0.shd'), 'MILL_PATH_REFUSED')
  await fails(t, store.put?.('0.shd', bytes(1)) as Promise<unknown>, 'MILL_PATH_REFUSED')
  const datas = Array.from({ length: 8 }, (_, i) => bytes(300_000).fill(i))
  const done = await Promise.all(datas.map((data) => store.put?.('8.shd', data)))
  t.is(done.filter((one) => one === 'stored').length, 1)
  t.deepEqual(new Uint8Array(readFileSync(join(dir, '8.shd'))), datas[done.indexOf('stored')])
  t.deepEqual(readdirSync(dir).sort(), ['0.shd', '8.shd', 'outside'])
})

test('an abort ends a request of any store with its reason', async (t) => {
  const at = await server(t)
  at.objects.set('a', bytes(100_000))
  at.fault = () => 'stall'
  const stores = [s3(at), httpStore(at.url), fileStore(folder(t))]
  for (const store of stores) {
    await t.throwsAsync(within(store.get('a', { signal: AbortSignal.abort(new Error('mine')) }), 'aborted'), {
      message: 'mine',
    })
  }
  for (const store of stores.slice(0, 2)) {
    const control = new AbortController()
    const got = store.get('a', { signal: control.signal })
    const before = at.seen.length
    await until('asked', () => at.seen.length > before - 1)
    control.abort(new Error('mine'))
    await t.throwsAsync(within(got, 'abort'), { message: 'mine' })
  }
})

test('a request that gets nowhere for the timeout has failed, and one that is refused says why', async (t) => {
  const at = await server(t)
  at.objects.set('a', bytes(100_000))
  at.fault = () => 'stall'
  const stalled = await fails(t, s3(at, '', 50).get('a'), 'MILL_REMOTE')
  t.deepEqual([stalled.key, stalled.status, stalled.attempts], ['a', 0, 1])
  at.fault = undefined
  const foreign = s3Store({ ...ACCESS, secretAccessKey: 'another', url: at.url })
  const refused = await fails(t, foreign.get('a'), 'MILL_REMOTE')
  t.deepEqual([refused.status, refused.message], [403, 'a: the server answers 403 SignatureDoesNotMatch'])
  at.fault = () => 'redirect'
  t.is((await fails(t, s3(at).get('a'), 'MILL_REMOTE')).status, 307)
  t.is(at.seen.at(-1)?.key, 'a')
})

test('M3: a store by itself takes no answer for another one', async (t) => {
  const at = await server(t)
  at.objects.set('a', bytes(1000))
  for (const fault of ['other-range', 'short', 'encoded', 'cut', 'hang-up', 'fail'] as const) {
    at.fault = () => fault
    for (const store of [s3(at), httpStore(at.url)]) {
      await fails(t, store.get('a', { offset: 10, length: 100 }), 'MILL_REMOTE')
      await fails(t, store.get('a', { offset: -100 }), 'MILL_REMOTE')
    }
  }
  const answer = (length: number, status: number, headers: Record<string, string>) =>
    httpStore('http://127.0.0.1/', { fetch: async () => new Response(bytes(length), { status, headers }) })
  const range = { 'content-range': 'bytes 0-9/100' }
  t.is((await answer(10, 206, range).get('a', { offset: 0, length: 10 }))?.length, 10)
  for (const store of [
    answer(9, 206, range),
    answer(11, 206, range),
    answer(10, 206, {}),
    answer(10, 206, { 'content-range': 'bytes 0-9/*' }),
    answer(9, 200, { 'content-length': '100' }),
  ]) {
    await fails(t, store.get('a', { offset: 0, length: 10 }), 'MILL_REMOTE')
  }
  await fails(t, answer(10, 206, range).get('a'), 'MILL_REMOTE')
  await fails(t, answer(9, 200, { 'content-length': '10' }).get('a'), 'MILL_REMOTE')
})

// ---- loaders over a store ---------------------------------------------------------------------------------------------

const N = 50
const LENGTH = 8
const all = Array.from({ length: N }, (_, n) => itemAt(n))

type Extra = Partial<LoadItOptions<Item>>

/** A store that has the shards of a whole dataset. */
async function filled(t: ExecutionContext, remote: ShardStore, extra: Extra = {}): Promise<void> {
  const { source } = countedSource(N)
  const loader = await opened<Item>(t, { root: folder(t), source, maxShardLength: LENGTH, remote, ...extra })
  t.is(await within(loader.length(), 'length'), N)
  await within(loader.waitUntilAllCached(), 'all')
  await within(loader.flush(), 'flush')
  await loader.close()
}

test('two roots share their shards: each is generated once, whoever comes first', async (t) => {
  const at = await server(t)
  const mine = countedSource(N)
  const yours = countedSource(N)
  const options = { maxShardLength: LENGTH, preload: 0 }
  const me = await opened<Item>(t, { root: folder(t), source: mine.source, remote: s3(at, 'set/'), ...options })
  const you = await opened<Item>(t, { root: folder(t), source: yours.source, remote: s3(at, 'set/'), ...options })
  t.deepEqual(await within(me.at(3), 'at'), all[3])
  await within(me.at(20), 'at')
  await until('three shards there', () => ['0.shd', '8.shd', '16.shd'].every((key) => at.objects.has(`set/${key}`)))
  await within(me.flush(), 'flush')
  const heard = record(you)
  t.deepEqual(await within(you.getMany([0, 9, 23]), 'many'), [all[0], all[9], all[23]])
  t.deepEqual([yours.seen.pulled, you.stats().fetched], [0, 3])
  t.deepEqual(
    heard.of('fetched').map(({ start, count }) => [start, count]),
    [
      [0, 8],
      [8, 8],
      [16, 8],
    ],
  )
  t.is(await within(you.length(), 'length'), N)
  await within(you.waitUntilAllCached(), 'all')
  await within(you.flush(), 'flush')
  const made = you.stats().generated
  t.true(made <= 4, `${made} made`)
  const before = mine.seen.pulled
  t.deepEqual(await within(me.getMany(all.map((_, n) => n)), 'many'), all)
  t.is(mine.seen.pulled, before)
  t.is(me.stats().generated + made, 7)
  t.deepEqual([...at.objects.keys()].sort(), [0, 16, 24, 32, 40, 48, 8].map((start) => `set/${start}.shd`).sort())
  t.deepEqual((await within(you.verify(), 'verify')).bad, [])
})

test('two machines that put the same key at once: the first one stays', async (t) => {
  const at = await server(t)
  const loaders = await Promise.all(
    [0, 1].map(() =>
      opened<Item>(t, { root: folder(t), source: countedSource(N).source, maxShardLength: LENGTH, remote: s3(at) }),
    ),
  )
  const heard = loaders.map((loader) => record(loader))
  await within(Promise.all(loaders.map(async (loader) => loader.preloadAll())), 'all')
  await within(Promise.all(loaders.map((loader) => loader.flush())), 'flush')
  t.is(at.objects.size, 7)
  t.deepEqual(
    heard.flatMap((one) => one.of('warning')),
    [],
  )
  const third = await opened<Item>(t, { root: folder(t), remote: s3(at) })
  t.is(await within(third.length(), 'length'), N)
  t.deepEqual(await within(third.getMany(all.map((_, n) => n)), 'many'), all)
})

for (const [name, make] of Object.entries(kinds)) {
  test(`a root without a source is filled from a store, ${name}`, async (t) => {
    const { store, writer } = await make(t)
    await filled(t, writer, { compression: 'gzip', fingerprint: 'v1' })
    const root = folder(t)
    const loader = await opened<Item>(t, { root, remote: store })
    t.is(loader.shardLength, LENGTH)
    t.is(loader.description, 'loadit(v1)')
    t.deepEqual(await within(loader.at(33), 'at'), all[33])
    t.is(await within(loader.length(), 'length'), N)
    t.deepEqual(await within(loader.at(-1), 'at'), all[N - 1])
    t.is(await within(loader.at(N), 'at'), undefined)
    const items: Item[] = []
    await within(
      (async () => {
        for await (const item of loader) items.push(item)
      })(),
      'loop',
    )
    t.deepEqual(items, all)
    await loader.close()
    const again = await opened<Item>(t, { root })
    t.deepEqual(await within(again.getMany([0, 49, 17]), 'many'), [all[0], all[49], all[17]])
  })
}

test('a length that is a multiple of the shards ends with an empty one, and the search finds it', async (t) => {
  for (const count of [1, 8, 16, 64, 65, 120]) {
    const remote = own()
    const { source } = countedSource(count)
    const loader = await opened<Item>(t, { root: folder(t), source, maxShardLength: LENGTH, remote })
    await within(loader.length(), 'length')
    await within(loader.flush(), 'flush')
    const far = await opened<Item>(t, { root: folder(t), remote })
    remote.gets = 0
    t.is(await within(far.length(), 'length'), count)
    t.true(remote.gets <= 4 + 2 * Math.ceil(Math.log2(count / LENGTH + 2)), `${remote.gets} requests for ${count}`)
    t.deepEqual(await within(far.at(-1), 'at'), itemAt(count - 1))
  }
})

test('without its end in the store the length is unknown, never guessed', async (t) => {
  const at = await server(t)
  await filled(t, s3(at))
  at.objects.delete('48.shd')
  const far = await opened<Item>(t, { root: folder(t), remote: s3(at) })
  t.deepEqual(await within(far.at(47), 'at'), all[47])
  await fails(t, far.length(), 'MILL_SHARD_UNAVAILABLE')
  await fails(t, far.at(49), 'MILL_SHARD_UNAVAILABLE')
})

// ---- faults -----------------------------------------------------------------------------------------------------------

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
