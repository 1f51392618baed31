import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { LoadIt } from '../lib/loadit/index.js'
import { folder, opened, record, shardBytes, temporaries, until } from './fixtures/loadit-kit.js'
import {
  baseJob,
  checkAll,
  eventsOf,
  type Line,
  type Running,
  start,
  workerItem,
  workerPath,
} from './fixtures/loadit-processes-kit.js'
import type { WorkerJob } from './fixtures/loadit-worker.js'
import { gather, within } from './fixtures/stream-kit.js'

const SCALE = Number(process.env.MILLRACE_TEST_SCALE ?? 1)

/** At no time are there two living generations of a shard, as far as events of all processes can tell. */
function oneAtATime(t: ExecutionContext, all: readonly Running[]): void {
  const living = new Map<number, number>()
  for (const { start: at = -1, stored } of eventsOf(all, 'generated')) {
    if (stored === true) living.set(at, (living.get(at) ?? 0) + 1)
  }
  for (const { start: at = -1 } of eventsOf(all, 'evicted')) living.set(at, (living.get(at) ?? 0) - 1)
  for (const [at, count] of living) t.true(count <= 1, `shard ${at}: ${count} living generations`)
}

test('four processes that read all of it make every shard once', async (t) => {
  for (const how of ['random', 'order'] as const) {
    const root = folder(t)
    const all = [1, 2, 3, 4].map((seed) => start(t, { root, how, seed, reads: 1500 }))
    for (const one of all) t.is(await within(one.ended, 'a process', 60_000), 0, one.errors.join(''))
    t.deepEqual(eventsOf(all, 'wrong'), [])
    const made = eventsOf(all, 'generated')
    t.is(new Set(made.map(({ start: at }) => at)).size, 30)
    t.is(made.length, 30)
    const pulled = eventsOf(all, 'read').reduce((sum, line) => sum + (line.pulled ?? 0), 0)
    t.true(pulled <= 600 * 1.1, `${how}: ${pulled}`)
    await checkAll(t, root, 600)
  }
})

test('L4: four processes within a limit: one living generation a shard, and the books are right', async (t) => {
  const root = folder(t)
  const memoryLimit = 12_000
  const all = [1, 2, 3, 4].map((seed) => start(t, { root, seed, memoryLimit, reads: 150 * SCALE }))
  await until('a folder', () => all.some((one) => one.has('open')))
  let most = 0
  let over = false
  const ended = Promise.all(all.map((one) => one.ended)).then((codes) => {
    over = true
    return codes
  })
  while (!over) {
    most = Math.max(most, shardBytes(root))
    await delay(5)
  }
  t.deepEqual(await ended, [0, 0, 0, 0], all.flatMap((one) => one.errors).join(''))
  // A shard of 20 items has less than 1,200 bytes.
  t.true(most <= memoryLimit + 4 * 1200, String(most))
  t.deepEqual(eventsOf(all, 'wrong'), [])
  t.deepEqual(eventsOf(all, 'corrupt'), [])
  t.true(eventsOf(all, 'evicted').length > 10)
  oneAtATime(t, all)
  await checkAll(t, root, 600, memoryLimit)
})

test('the shard of a dead owner is taken over at once, that of a stopped one when its lease is up', async (t) => {
  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    const root = folder(t)
    // In its source, and in no transaction: who is stopped in one holds up all that write, until it goes on or dies.
    const owner = start(t, { root, how: 'stall', blockMs: signal === 'SIGKILL' ? 60_000 : 3000, leaseMs: 700 })
    await until('the owner at work', () => owner.has('stalled'))
    owner.process.kill(signal)
    if (signal === 'SIGKILL') await within(owner.ended, 'the dead one')
    const source = function* () {
      for (let n = 0; n < 600; n++) yield workerItem(n)
    }
    const loader = await opened(t, { root, source, maxShardLength: 20, leaseMs: 700 })
    const told = record(loader)
    t.deepEqual(await within(loader.at(4), 'at'), workerItem(4))
    t.deepEqual(told.of('takeover'), [{ start: 0, pid: owner.process.pid as number }])
    await until('the shard', () => loader.stats().generated === 1 || owner.has('generated'))
    if (signal === 'SIGSTOP') {
      owner.process.kill('SIGCONT')
      t.is(await within(owner.ended, 'the woken one'), 0, owner.errors.join(''))
      t.deepEqual(eventsOf([owner], 'wrong'), [])
      await until('its file gone', () => temporaries(root).length === 0)
    }
    t.deepEqual((await loader.verify()).bad, [])
    await until('the books to be right', () => loader.stats().diskBytes === shardBytes(root))
  }
})

test('an owner that was late finds that out, and its file goes', async (t) => {
  const root = folder(t)
  // The source holds its process for longer than the lease.
  const owner = start(t, { root, how: 'stall', blockMs: 1500, leaseMs: 300 })
  await until('the owner at work', () => owner.has('stalled'))
  const source = function* () {
    for (let n = 0; n < 600; n++) yield workerItem(n)
  }
  const loader = await opened(t, { root, source, maxShardLength: 20, leaseMs: 300 })
  const told = record(loader)
  t.deepEqual(await within(loader.at(4), 'at'), workerItem(4))
  t.like(told.of('takeover'), [{ start: 0 }])
  t.is(await within(owner.ended, 'the late one'), 0, owner.errors.join(''))
  t.deepEqual(eventsOf([owner], 'wrong'), [])
  const gens = eventsOf([owner], 'generated').filter(({ start: at }) => at === 0)
  t.deepEqual(gens, [])
  t.deepEqual(temporaries(root), [])
  t.deepEqual((await loader.verify()).bad, [])
})

test('no evicted file is held open, and its space comes back', async (t) => {
  if (process.platform !== 'linux') return t.pass()
  const root = folder(t)
  const source = function* ({ start: from }: { start: number }) {
    for (let n = from; n < 600; n++) yield workerItem(n)
  }
  const options = { root, source, seekable: true, maxShardLength: 20, memoryLimit: 12_000 }
  const reader = await opened(t, options)
  const other = await opened(t, options)
  for (let n = 0; n < 600; n += 20) await reader.at(n)
  for (let n = 599; n > 0; n -= 20) await other.at(n)
  const held = (): string[] =>
    readdirSync('/proc/self/fd')
      .map((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`)
        } catch {
          return ''
        }
      })
      .filter((path) => path.startsWith(root) && path.endsWith('(deleted)') && path.includes('.shd'))
  await until('deleted files let go', () => held().length === 0)
  t.pass()
})

test('two loaders of one root in one process share what they make', async (t) => {
  const root = folder(t)
  const source = function* ({ start: from }: { start: number }) {
    for (let n = from; n < 600; n++) yield workerItem(n)
  }
  const options = { root, source, seekable: true, maxShardLength: 20 }
  const one = await opened(t, options)
  const two = await opened(t, options)
  const all = Array.from({ length: 600 }, (_, n) => workerItem(n))
  t.deepEqual(await within(Promise.all([gather(one), gather(two)]), 'both'), [all, all])
  t.is(one.stats().generated + two.stats().generated, 30)
  await one.close()
  t.deepEqual(await gather(two), all)
})

test('worker threads share a root', async (t) => {
  const root = folder(t)
  const threads = [1, 2, 3].map((seed) => {
    const lines: Line[] = []
    const job: WorkerJob = { ...baseJob, root, seed, how: seed === 3 ? 'order' : 'random' }
    const worker = new Worker(workerPath, { workerData: job })
    worker.on('message', (line: Line) => lines.push(line))
    return { lines, ended: once(worker, 'exit') }
  })
  for (const { ended } of threads) t.deepEqual(await within(ended, 'a thread', 60_000), [0])
  const lines = threads.flatMap((thread) => thread.lines)
  t.deepEqual(
    lines.filter(({ event }) => event === 'wrong' || event === 'warning'),
    [],
  )
  t.is(lines.filter(({ event }) => event === 'done').length, 3)
  t.is(lines.filter(({ event }) => event === 'generated').length, 30)
  await checkAll(t, root, 600)
})

test('an open loader with nothing to do does not keep its process', async (t) => {
  const root = folder(t)
  const script = `
    import { LoadIt } from ${JSON.stringify(new URL('../lib/loadit/index.js', import.meta.url).href)}
    const loader = await LoadIt.open({ root: ${JSON.stringify(root)}, source: () => [1, 2, 3], maxShardLength: 2 })
    console.log(await loader.at(0))`
  const one = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => one.kill('SIGKILL'))
  const [code] = await within(once(one, 'close'), 'the exit')
  t.is(code, 0)
  const again = await LoadIt.open({ root })
  t.is(await again.at(0), 1)
  await again.close()
})
