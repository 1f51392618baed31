import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Redis } from 'ioredis'
import { openFolder } from '../../lib/store/folder.js'
import { memoryStore } from '../../lib/store/memory.js'
import { Arena } from '../../lib/store/operations.js'
import { redisStore } from '../../lib/store/redis.js'
import type { Store, StoreTable } from '../../types/store.js'
import { all, storeContract } from '../compliance/store-contract.js'
import { agrees, type RedisCluster, startCluster, tell } from '../fixtures/redis.js'
import { codeOf, failure, within } from '../fixtures/stream-kit.js'

// The store over a real cluster of three nodes. `npm run test:redis`.

let cluster: RedisCluster
const folder = mkdtempSync(join(tmpdir(), 'millrace-contract-'))
const CONFIG = { key: 'any', value: 'msgpack', compress: 'none', checksum: true }
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))
let prefixes = 0

const nodes = () => cluster.nodes.map(({ host, port }) => ({ host, port }))
const redis = (more: object = {}): Store => redisStore({ nodes: nodes(), prefix: `test${prefixes++}`, ...more })

test.before(async (t) => {
  t.timeout(60_000)
  cluster = await startCluster()
})
test.after.always(async () => {
  await cluster?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const LOCAL = { sync: true, atomic: 'store', snapshots: true, maxValueBytes: 0x7fff_ffff } as const
storeContract(test.serial, {
  name: 'memory',
  capabilities: { ...LOCAL, durable: false, maxKeyBytes: 1978 },
  open: async () => memoryStore(),
})
storeContract(test.serial, {
  name: 'lmdb',
  capabilities: { ...LOCAL, durable: true, maxKeyBytes: 1978 },
  open: (name) => openFolder(join(folder, name), { maxMaps: 8 }),
})
storeContract(test.serial, {
  name: 'redis',
  capabilities: {
    sync: false,
    atomic: 'partition',
    snapshots: false,
    durable: true,
    maxKeyBytes: 0xffff,
    maxValueBytes: 0x1fff_ffff,
  },
  open: async () => redis(),
})

function fill(table: StoreTable, entries: Iterable<readonly [string, string]>): Arena {
  const arena = new Arena()
  for (const [key, value] of entries) arena.set(table.id, bytes(key), bytes(value))
  return arena
}

test.serial('ordered ranges and prefixes give what LMDB gives on the same random data', async (t) => {
  let seed = 7
  const random = (n: number): number => {
    seed = (seed * 48271) % 0x7fffffff
    return seed % n
  }
  const words = Array.from({ length: 5000 }, () =>
    Array.from({ length: 1 + random(8) }, () =>
      String.fromCharCode(random(6) === 0 ? random(256) : 97 + random(4)),
    ).join(''),
  )
  const entries = words.map((word, i) => [word, `${i}`] as const)
  await using remote = redis()
  await using local = await openFolder(join(folder, 'same'), {})
  const tables: StoreTable[] = []
  for (const store of [remote, local]) {
    const table = (await store.table('', CONFIG)) as StoreTable
    await store.write(fill(table, entries))
    tables.push(table)
  }
  const [over, near] = tables as [StoreTable, StoreTable]
  for (let i = 0; i < 60; i++) {
    const [from, to] = [words[random(5000)], words[random(5000)]].sort() as [string, string]
    const range = [
      { gte: bytes(from), lt: bytes(to) },
      { gt: bytes(from), lte: bytes(to), reverse: true },
      { gte: bytes(from), lt: bytes(`${from}\xff`) },
      { lte: bytes(from), reverse: true },
    ][i % 4] as object
    const expected = await all(near, range, 50)
    t.deepEqual(await all(over, range, 1 + random(300)), expected)
    t.is(await over.count(range), expected.length)
  }
})

test.serial("with partitionBy 'first' a batch over tuples of one first element is all or nothing", async (t) => {
  await using store = redis({ partitionBy: 'first', partitions: 16 })
  const table = (await store.table('', CONFIG)) as StoreTable
  // ['a', n] and the like as the codec `any` writes them.
  const firsts = [
    [0x30, 97, 0],
    [0x30, 97, 0, 0xff, 98, 0],
    [0x38, 1, 2, 0],
    [0x20, 1, 2, 3, 4, 5, 6, 7, 8],
    [0x28, 0x82, 1, 2],
    [0x28, 0x7e, 1, 2],
    [0x40, 0x30, 97, 0, 0],
  ]
  for (const first of firsts) {
    const keys = Array.from({ length: 40 }, (_, i) => Uint8Array.from([0x40, ...first, 0x30, 48 + i, 0]))
    const arena = new Arena()
    arena.group(() => {
      for (const key of keys) arena.require(table.id, key, null)
      for (const key of keys) arena.set(table.id, key, key)
    }, true)
    t.deepEqual([...(await store.write(arena))], [1], String(first))
    t.deepEqual([...(await store.write(arena))], [0], String(first))
  }
  t.is(await table.count(), 40 * firsts.length)
  // Another client finds how the map was made.
  await using other = redisStore({ nodes: nodes(), prefix: store.name.slice('redis '.length), partitions: 3 })
  t.is(await ((await other.table('')) as StoreTable).count(), 40 * firsts.length)
})

test.serial('counters made by conditional writes of four clients are exact', async (t) => {
  await using first = redis()
  const prefix = first.name.slice('redis '.length)
  await first.table('', CONFIG)
  const clients = Array.from({ length: 4 }, () => redisStore({ nodes: nodes(), prefix }))
  const key = bytes('counter')
  const add = async (store: Store): Promise<void> => {
    const table = (await store.table('')) as StoreTable
    for (let done = 0; done < 50; ) {
      const [old] = await table.getMany([key])
      const arena = new Arena(256)
      const next = bytes(`${Number(old ? Buffer.from(old).toString() : 0) + 1}`)
      arena.set(table.id, key, next, { expect: old ?? null, wantsResult: true })
      done += (await store.write(arena))[0] as number
    }
  }
  await Promise.all(clients.map(add))
  const table = (await first.table('')) as StoreTable
  t.is(Buffer.from((await table.getMany([key]))[0] as Uint8Array).toString(), '200')
  await Promise.all(clients.map((store) => store.close()))
})

/** Keys of a prefix on all nodes that do not go by themselves. */
async function keysOf(prefix: string): Promise<string[]> {
  const lists = await Promise.all(cluster.nodes.map(({ port }) => keysAt(port)))
  return lists
    .flat()
    .filter((key) => key.startsWith(`{${prefix}}`) || key.startsWith(`{${prefix}:`))
    .sort()
}

async function keysAt(port: number): Promise<string[]> {
  const client = new Redis({ host: '127.0.0.1', port })
  try {
    const keys = await client.keys('*')
    const left = await Promise.all(keys.map((key) => client.pttl(key)))
    return keys.filter((_, i) => left[i] === -1)
  } finally {
    client.disconnect()
  }
}

const prefixOf = (store: Store): string => store.name.slice('redis '.length)

test.serial('a map that is dropped while others write to it leaves nothing behind', async (t) => {
  t.timeout(120_000)
  await using mine = redis({ partitions: 8 })
  const prefix = prefixOf(mine)
  const others = [1, 2, 3].map(() => redisStore({ nodes: nodes(), prefix }))
  for (let round = 0; round < 15; round++) {
    await mine.table('', CONFIG)
    const tables = await Promise.all(others.map((store) => store.table('')))
    let written = 0
    const codes = Promise.all(
      others.map(async (store, n) => {
        const table = tables[n] as StoreTable
        return codeOf(
          await failure(async () => {
            for (let i = 0; i < 100_000; i++, written++) await store.write(fill(table, [[`key ${i % 50}`, `${i}`]]))
          }),
        )
      }),
    )
    // Early, and the gates are just being opened; later, and all is under way.
    while (written < round * 4) await new Promise((resolve) => setTimeout(resolve, 1))
    t.true(await mine.drop(''))
    t.deepEqual(await within(codes, 'writers'), new Array(3).fill('MILL_MAP_MISSING'))
    t.deepEqual(await keysOf(prefix), [`{${prefix}}meta`], 'nothing but the record of all maps')
  }
  await Promise.all(others.map((store) => store.close()))
})

/** A client of the cluster that lets `call` stand between. */
function between(
  t: ExecutionContext,
  call: (send: () => Promise<unknown>, command: string, words: unknown[]) => Promise<unknown>,
): object {
  const cluster = new Redis.Cluster(nodes())
  t.teardown(() => cluster.disconnect())
  return new Proxy(cluster, {
    get(own, name) {
      const value = Reflect.get(own, name, own) as unknown
      if (typeof value !== 'function') return value
      if (name !== 'callBuffer') return value.bind(own)
      return (command: string, ...words: never[]) => call(() => own.callBuffer(command, ...words), command, words)
    },
  })
}

test.serial(
  'a call that comes twice is done once and answered as it was; one that comes late is not done',
  async (t) => {
    const sent: (() => Promise<unknown>)[] = []
    const client = between(t, async (send, command, words) => {
      // Of writes alone: they name the hash, the sorted set, the gate, and who calls.
      if (!command.startsWith('EVAL') || words[1] !== 4) return send()
      sent.push(send)
      await send()
      return send() // as a client does whose connection was cut before the answer came
    })
    await using store = redis({ client, partitions: 1 })
    const table = (await store.table('', CONFIG)) as StoreTable
    const write = async (fill: (arena: Arena) => void) => {
      const arena = new Arena(256)
      fill(arena)
      return [...(await store.write(arena))]
    }
    const k = bytes('k')
    for (let round = 0; round < 3; round++) {
      t.deepEqual(await write((o) => o.set(table.id, k, bytes('1'), { expect: null, wantsResult: true })), [1])
      t.deepEqual(await write((o) => o.set(table.id, k, bytes('1'), { expect: null, wantsResult: true })), [0])
      t.deepEqual(await write((o) => o.set(table.id, k, bytes('2'), { expect: bytes('1'), wantsResult: true })), [1])
      const [value] = await table.getMany([k])
      t.deepEqual(value && Uint8Array.from(value), bytes('2'))
      t.deepEqual(await write((o) => o.delete(table.id, k, { wantsResult: true })), [1])
    }
    const late = sent.at(-4) as () => Promise<unknown> // the first `set` of the last round
    t.regex(String(await failure(late)), /LATE/)
    t.deepEqual(await table.getMany([k]), [undefined])
  },
)

test.serial('a drop that broke off in the middle is finished by who opens the store next', async (t) => {
  const client = between(t, (send, command) => (command === 'UNLINK' ? Promise.reject(new Error('cut off')) : send()))
  await using mine = redis({ client })
  const prefix = prefixOf(mine)
  const table = (await mine.table('', CONFIG)) as StoreTable
  await mine.write(
    fill(
      table,
      Array.from({ length: 300 }, (_, i) => [`${i}`, 'x']),
    ),
  )
  t.is(codeOf(await failure(mine.drop(''))), 'MILL_STORE_UNAVAILABLE')
  t.true((await keysOf(prefix)).length > 100)
  t.deepEqual(await mine.tables(), [])
  await using other = redisStore({ nodes: nodes(), prefix })
  t.deepEqual(await other.tables(), [])
  for (let i = 0; i < 100 && (await keysOf(prefix)).length > 1; i++) await new Promise((go) => setTimeout(go, 50))
  t.deepEqual(
    (await keysOf(prefix)).filter((key) => !key.includes('}g:')),
    [`{${prefix}}meta`],
  )
  t.is(codeOf(await failure(mine.write(fill(table, [['a', 'b']])))), 'MILL_MAP_MISSING')
})

test.serial('a node that has lost its memory is written to again', async (t) => {
  await using store = redis()
  const table = (await store.table('', CONFIG)) as StoreTable
  const entries = Array.from({ length: 300 }, (_, i) => [`${i}`, 'x'] as const)
  await store.write(fill(table, entries))
  for (const { port } of cluster.nodes) {
    // Not where the records are: without them there is no map.
    if ((await keysAt(port)).some((key) => key === `{${prefixOf(store)}}meta`)) continue
    await tell(port, ['FLUSHALL'])
  }
  t.true((await table.count()) < 300)
  await store.write(fill(table, entries))
  t.is(await table.count(), 300)
})

test.serial('a node that is killed: typed errors; it comes back: the same client goes on', async (t) => {
  t.timeout(120_000)
  await using store = redis({ options: { clusterRetryStrategy: () => 100, redisOptions: { maxRetriesPerRequest: 2 } } })
  const table = (await store.table('', CONFIG)) as StoreTable
  const entries = Array.from({ length: 500 }, (_, i) => [`key ${i}`, `${i}`] as const)
  await store.write(fill(table, entries))
  const [, victim] = cluster.nodes as [unknown, (typeof cluster.nodes)[number]]
  await victim.kill()
  const wrong = await failure(async () => {
    for (let i = 0; i < 50; i++) await within(store.write(fill(table, entries)), 'a write', 30_000)
  })
  t.is(codeOf(wrong), 'MILL_STORE_UNAVAILABLE')
  t.is(codeOf(await failure(within(all(table), 'a scan', 30_000))), 'MILL_STORE_UNAVAILABLE')
  await victim.restart()
  for (const { port } of cluster.nodes) await agrees(port, 3)
  let seen: unknown
  for (let i = 0; i < 100 && seen === undefined; i++) {
    seen = await store.write(fill(table, entries)).then(
      () => all(table),
      () => undefined,
    )
    if (seen === undefined) await new Promise((resolve) => setTimeout(resolve, 100))
  }
  t.deepEqual(
    seen,
    entries.toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )
})

test.serial('nobody there: a typed error, and close() ends', async (t) => {
  const store = redisStore({
    nodes: [{ host: '127.0.0.1', port: 1 }],
    prefix: 'none',
    options: { clusterRetryStrategy: () => null },
  })
  t.is(codeOf(await failure(store.table('', CONFIG))), 'MILL_STORE_UNAVAILABLE')
  await within(store.close(), 'close')
})

test.serial('replicas that are not there: the write says so', async (t) => {
  t.timeout(60_000)
  await using store = redis({ replicas: 1 })
  const table = (await store.table('', CONFIG)) as StoreTable
  t.is(codeOf(await failure(store.write(fill(table, [['a', '1']])))), 'MILL_STORE_UNAVAILABLE')
})

test('wrong options are refused at once', (t) => {
  const good = { nodes: [{ host: 'h', port: 1 }], prefix: 'p' }
  for (const wrong of [
    { nodes: [] },
    { nodes: [{ host: 'h' }] },
    { prefix: '' },
    { prefix: 'a{b' },
    { partitions: 0 },
    { partitions: 5000 },
    { partitionBy: 'hash' },
    { replicas: -1 },
    { client: {} },
  ]) {
    t.throws(() => redisStore({ ...good, ...(wrong as object) }), { code: 'MILL_INVALID_ARGUMENT' })
  }
  t.throws(() => redisStore(undefined as never), { code: 'MILL_INVALID_ARGUMENT' })
})
