import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { redisStore } from '../../lib/store/redis.js'
import { cachedRemoteSuite } from '../compliance/cache-function.js'
import type { CacheTask } from '../fixtures/cache-child.js'
import { type Caller, callers, callsIn, callsSoFar } from '../fixtures/cache-kit.js'
import { type RedisCluster, startCluster } from '../fixtures/redis.js'
import { until } from '../fixtures/run-kit.js'

let cluster: RedisCluster
let prefixes = 0

test.before(async (t) => {
  t.timeout(60_000)
  cluster = await startCluster()
})
test.after.always(() => cluster?.stop())

const place = () => ({ nodes: cluster.nodes.map(({ host, port }) => ({ host, port })), prefix: `cache${prefixes++}` })

cachedRemoteSuite(test.serial, 'redis', async () => {
  const options = place()
  return { store: redisStore(options), again: async () => redisStore(options) }
})

function task(t: ExecutionContext, more: Partial<CacheTask>): CacheTask & { readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return { redis: place(), log: join(folder, 'calls'), lease: {}, ms: 1, folder, ...more }
}

test.serial('H9: four processes over a cluster call the function once for each number', async (t) => {
  const numbers = Array.from({ length: 60 }, (_, n) => n)
  const squares = numbers.map((n) => n * n)
  const all = task(t, { ms: 20 })
  const four = await callers(t, 4, all)
  for (const [i, one] of four.entries()) one.ask(numbers.map((_, at) => (at * 7 + i * 15) % numbers.length))
  for (const one of four) {
    t.deepEqual(
      (await one.results()).results.toSorted((a, b) => a - b),
      squares,
    )
  }
  t.deepEqual([...callsIn(all.log).values()], new Array(numbers.length).fill(1))
  for (const one of four) {
    one.ask(numbers)
    const { results, stats } = await one.results()
    t.deepEqual(results, squares)
    t.true((stats.hits as number) >= numbers.length)
  }
  await Promise.all(four.map((one) => one.end()))
})

test.serial('H9: the key of a process that is killed over a cluster is free when its lease has run out', async (t) => {
  const all = task(t, { ms: -1, lease: { ttlMs: 1000 } })
  const [holder] = (await callers(t, 1, all)) as [Caller]
  const waiting = await callers(t, 2, { ...all, ms: 1 })
  holder.ask([3])
  await until(() => callsSoFar(all.log) === 1, 'the first process computes', 20_000)
  for (const one of waiting) {
    one.ask([3])
    while ((await one.stats()).waited === 0) await wait(5)
  }
  // Longer than its ttl: it renews its lease as long as it lives.
  await wait(1500)
  t.is(callsSoFar(all.log), 1)
  holder.child.kill('SIGKILL')
  let takeovers = 0
  for (const one of waiting) {
    const { results, stats } = await one.results()
    t.deepEqual(results, [9])
    takeovers += stats.takeovers as number
  }
  t.is(takeovers, 1)
  t.is(callsSoFar(all.log), 2)
  await Promise.all(waiting.map((one) => one.end()))
})

test.serial(
  'H9: a holder over a cluster that stands still loses its lease, and does not store its result',
  async (t) => {
    const all = task(t, { lease: { ttlMs: 300 } })
    const gate = join(all.folder, 'gate')
    const [other] = (await callers(t, 1, all)) as [Caller]
    const [holder] = (await callers(t, 1, { ...all, gate, add: 1 })) as [Caller]
    holder.ask([5])
    await until(() => callsSoFar(all.log) === 1, 'the first process computes', 20_000)
    holder.child.kill('SIGSTOP')
    try {
      other.ask([5])
      t.deepEqual((await other.results()).results, [25])
    } finally {
      writeFileSync(gate, '')
      holder.child.kill('SIGCONT')
    }
    t.deepEqual((await holder.results()).results, [26], 'who asked it gets its result')
    for (const one of [holder, other]) {
      one.ask([5])
      t.deepEqual((await one.results()).results, [25], 'and nobody else')
    }
    t.is(callsSoFar(all.log), 2)
    await Promise.all([holder.end(), other.end()])
  },
)
