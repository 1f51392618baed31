import { availableParallelism } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import { ChunkPool, inline, job, runChunked, type Status, sharedArray } from '../lib/run/index.js'
import type * as jobs from './fixtures/run-jobs-2.js'
import { census, rounds, until } from './fixtures/run-kit.js'
import { begun, jobsUrl, times, upTo } from './fixtures/run-ways.js'
import { codeOf, failure, gather, settle, within } from './fixtures/stream-kit.js'

const work = job<typeof jobs.work>(jobsUrl, 'work')
const where = job<typeof jobs.where>(jobsUrl, 'where')
const spin = job<typeof jobs.spin>(jobsUrl, 'spin')
const inOrder = job<typeof jobs.inOrder>(jobsUrl, 'inOrder')
const each = (end: number): { end: number; chunkSize: number } => ({ end, chunkSize: 1 })
const counters = (count: number): Int32Array => sharedArray(Int32Array, count)

test.serial('the threads of a pool are used again, and keep what their modules have loaded', async (t) => {
  await using pool = new ChunkPool({ workers: 2 })
  t.is(pool.workers, 2)
  const threads = new Set<number>()
  let calls = 0
  for (let run = 0; run < 5; run++) {
    const values = pool.run(where, { ...each(20), args: { pauseMs: 1 } }).values()
    for (const value of await within(gather(values), 'run')) {
      threads.add(value.thread)
      calls = Math.max(calls, value.calls)
    }
  }
  t.is(threads.size, 2)
  t.true(calls > 20, `${calls} in one thread`)
  const outside = await within(
    gather(runChunked(where, { ...each(4), workers: 2, args: { pauseMs: 1 } }).values()),
    'outside',
  )
  t.true(outside.every(({ thread }) => !threads.has(thread)))
})

test.serial('ready() starts all threads, and only once', async (t) => {
  await using pool = new ChunkPool({ workers: 3 })
  await within(Promise.all([pool.ready(), pool.ready()]), 'ready')
  await pool.ready()
  const events = await within(
    gather<Status>(pool.run(work, { ...each(30), args: { hits: counters(30), pauseMs: 1 } })),
    'run',
  )
  t.is(events.at(-1)?.type, 'end')
  t.is(new ChunkPool().workers, availableParallelism())
})

test.serial('many runs at once: each does all of its own chunks, once', async (t) => {
  await using pool = new ChunkPool({ workers: 3 })
  const all = upTo(rounds(60)).map((n) => counters(1 + ((n * 7) % 40)))
  const runs = all.map((hits) => pool.run(work, { ...each(hits.length), args: { hits } }))
  t.is(new Set(runs.map(({ id }) => id)).size, runs.length)
  await within(Promise.all(runs), 'runs', 20_000)
  for (const hits of all) t.deepEqual([...hits], times(hits.length, 1))
})

test.serial('first run first served; a thread works for one run at a time', async (t) => {
  await using pool = new ChunkPool({ workers: 1 })
  const order = counters(41)
  const runs = [1, 2, 3, 4].map((run) => pool.run(inOrder, { ...each(10), args: { order, run, pauseMs: 0 } }))
  await within(Promise.all(runs), 'runs')
  t.deepEqual([...order.slice(1)], [...times(10, 1), ...times(10, 2), ...times(10, 3), ...times(10, 4)])
})

test.serial('a run that needs few threads leaves the others to the next', async (t) => {
  await using pool = new ChunkPool({ workers: 2 })
  await pool.ready()
  const hits = counters(1)
  const held = pool.run(spin, { ...each(1), args: { hits }, graceMs: 0 })
  const ended = failure(held)
  await until(() => begun(hits) === 1, 'spinning')
  const other = counters(20)
  await within(pool.run(work, { ...each(20), args: { hits: other } }), 'the other')
  t.deepEqual([...other], times(20, 1))
  const few = pool.run(where, { ...each(20), workers: 1, args: { pauseMs: 0 } }).values()
  t.is(new Set((await within(gather(few), 'few')).map(({ thread }) => thread)).size, 1)
  held.abort()
  t.is(codeOf(await ended), 'ABORT_ERR')
})

test.serial('workers: as many of its threads as the run wants', async (t) => {
  await using pool = new ChunkPool({ workers: 3 })
  await within(pool.ready(), 'ready')
  const seen = async (workers: number): Promise<number> => {
    const values = pool.run(where, { ...each(60), workers, args: { pauseMs: 3 } }).values()
    return new Set((await within(gather(values), 'run')).map(({ thread }) => thread)).size
  }
  t.is(await seen(1), 1)
  t.is(await seen(3), 3)
  t.is(await seen(100), 3)
})

test.serial('a run that is aborted while it waits starts nothing, and is in nobody’s way', async (t) => {
  await using pool = new ChunkPool({ workers: 1 })
  const hits = counters(1)
  const held = pool.run(spin, { ...each(1), args: { hits }, graceMs: 0 })
  const ended = failure(held)
  await until(() => begun(hits) === 1, 'spinning')
  const never = counters(10)
  const waiting = pool.run(work, { ...each(10), args: { hits: never } })
  const next = counters(10)
  const after = pool.run(work, { ...each(10), args: { hits: next } })
  await wait(20)
  t.like(waiting.snapshot(), { phase: 'running', done: 0, running: 0 })
  const reason = new Error('enough')
  waiting.abort(reason)
  t.is(await failure(waiting), reason)
  t.is(waiting.snapshot().phase, 'aborted')
  held.abort()
  await ended
  await within(after, 'the one behind')
  t.deepEqual([...next], times(10, 1))
  t.is(begun(never), 0)
})

test.serial('a thread that dies in a run is replaced for the next', async (t) => {
  await using pool = new ChunkPool({ workers: 2 })
  const exits = job<typeof jobs.exits>(jobsUrl, 'exits')
  for (let round = 0; round < 3; round++) {
    const hits = counters(30)
    const run = pool.run(exits, { ...each(30), retries: 1, args: { at: 7, hits } })
    t.like(await within(run, 'run'), { done: 30, retried: 1 })
    t.deepEqual(
      [...hits],
      upTo(30).map((index) => (index === 7 ? 2 : 1)),
    )
  }
  await within(pool.ready(), 'ready')
  const values = pool.run(where, { ...each(60), args: { pauseMs: 3 } }).values()
  t.is(new Set((await within(gather(values), 'after')).map(({ thread }) => thread)).size, 2)
})

test.serial('one run that fails or is aborted leaves the others alone', async (t) => {
  await using pool = new ChunkPool({ workers: 2 })
  const bad = pool.run(work, { ...each(40), args: { hits: counters(40), fail: 3 } })
  const aborted = pool.run(work, { ...each(400), args: { hits: counters(400), pauseMs: 1 } })
  const good = pool.run(work, { ...each(40), args: { hits: counters(40) } })
  const errors = [failure(bad), failure(aborted)]
  setTimeout(() => aborted.abort(), 30)
  t.is((await within(good, 'good')).done, 40)
  t.deepEqual((await Promise.all(errors)).map(codeOf), ['MILL_RUN_CHUNK', 'ABORT_ERR'])
  t.is(codeOf(await failure(pool.run(job(jobsUrl, 'missing'), each(3)))), 'MILL_RUN_JOB')
  t.is((await within(pool.run(work, { ...each(5), args: { hits: counters(5) } }), 'still good')).done, 5)
})

test.serial('init and teardown are called once per thread and run', async (t) => {
  await using pool = new ChunkPool({ workers: 2 })
  const hooked = job<typeof jobs.hooked>(jobsUrl, 'hooked', { init: 'open', teardown: 'close' })
  for (const run of [1, 2, 3]) {
    const counts = counters(3)
    await within(pool.run(hooked, { ...each(50), args: { counts, run } }), 'run')
    const [opened, closed, seen] = counts
    t.is(opened, closed, 'torn down when the run is over')
    t.true(opened === 1 || opened === 2, `${opened}`)
    t.is(seen, 50, 'each chunk saw the state of its own run')
  }
})

test.serial('limits and preloads are those of the pool', async (t) => {
  const preload = new URL('./fixtures/run-preload.js', import.meta.url)
  await using pool = new ChunkPool({ workers: 1, preload: [preload], resourceLimits: { maxOldGenerationSizeMb: 40 } })
  const preloaded = job<typeof jobs.preloaded>(jobsUrl, 'preloaded')
  t.deepEqual(await within(gather(pool.run(preloaded, each(2)).values()), 'run'), ['preloaded', 'preloaded'])
  const greedy = inline(() => {
    const all: number[][] = []
    for (;;) all.push(new Array(1e5).fill(0))
  })
  t.like(await failure(pool.run(greedy, each(1))), {
    code: 'MILL_RUN_WORKER',
    chunk: { index: 0 },
  })
  t.deepEqual(await within(gather(pool.run(preloaded, each(1)).values()), 'the next thread too'), ['preloaded'])
  await using broken = new ChunkPool({ workers: 1, preload: [new URL('./fixtures/not-there.js', import.meta.url)] })
  const error = await failure(broken.run(preloaded, each(1)))
  t.like(error, { code: 'MILL_RUN_JOB' })
  t.regex((error as Error).message, /not-there/)
})

test.serial('a thread that dies while idle is a warning, and replaced at the next run', async (t) => {
  const warnings: Error[] = []
  const listen = (warning: Error): void => void warnings.push(warning)
  process.on('warning', listen)
  await using pool = new ChunkPool({ workers: 1 })
  const endsLater = job<typeof jobs.endsLater>(jobsUrl, 'endsLater')
  await within(pool.run(endsLater, { ...each(1), args: { ms: 20 } }), 'run')
  await until(() => warnings.some(({ message }) => message.includes('thread')), 'a warning')
  process.off('warning', listen)
  const hits = counters(10)
  t.is((await within(pool.run(work, { ...each(10), args: { hits } }), 'next')).done, 10)
  t.deepEqual([...hits], times(10, 1))
})

test.serial('close() aborts what runs and what waits, can be called again, and nothing runs after it', async (t) => {
  const pool = new ChunkPool({ workers: 2 })
  const hits = counters(1000)
  const running = pool.run(work, { ...each(1000), args: { hits, pauseMs: 2 } })
  const waiting = pool.run(work, { ...each(10), args: { hits: counters(10) } })
  const errors = [failure(running), failure(waiting)]
  await until(() => begun(hits) > 4, 'begun')
  await within(Promise.all([pool.close(), pool.close(), pool[Symbol.asyncDispose]()]), 'close')
  const after = begun(hits)
  t.true(after < 1000)
  t.like(running.snapshot(), { phase: 'aborted', running: 0 })
  t.deepEqual((await Promise.all(errors)).map(codeOf), ['ABORT_ERR', 'ABORT_ERR'])
  t.is(codeOf(await failure(() => pool.run(work, { ...each(10), args: { hits } }))), 'MILL_RUN_CLOSED')
  await wait(30)
  t.is(begun(hits), after)
  await pool.close()
  await new ChunkPool({ workers: 2 }).close()
})

test.serial('close() ends a thread in an endless loop after the graceMs of its run', async (t) => {
  const pool = new ChunkPool({ workers: 1 })
  const hits = counters(1)
  const run = pool.run(spin, { ...each(1), args: { hits }, graceMs: 20 })
  const error = failure(run)
  await until(() => begun(hits) === 1, 'spinning')
  await within(pool.close(), 'close')
  t.is(codeOf(await error), 'ABORT_ERR')
  t.deepEqual([...run.board], [4])
})

test.serial('a closed pool leaves no thread and no hold on the process', async (t) => {
  const count = census()
  const pool = new ChunkPool({ workers: 3 })
  await within(pool.ready(), 'ready')
  t.is(count.started(), 3)
  await within(pool.run(work, { ...each(30), args: { hits: counters(30) } }), 'run')
  t.is(count.live.size, 3, 'warm')
  await within(pool.close(), 'close')
  t.deepEqual(await count.left(), [])
  count.stop()
  await settle()
})
