import { execFile } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Worker } from 'node:worker_threads'
import test from 'ava'
import { ChunkPool, type ChunkRun, isMillraceError, job, type RunError, runChunked } from '../lib/run/index.js'
import type * as Jobs from './fixtures/run-jobs.js'
import { jobs } from './fixtures/run-jobs.js'
import { census, rounds, shared, tally, until } from './fixtures/run-kit.js'
import { codeOf, failure, gather, settle, within } from './fixtures/stream-kit.js'

// The life of threads: how they begin, how they die, how a pool lets them go. Everything here is serial: the census
// sees all threads, timers and handles there are meanwhile.

const hit = job<typeof Jobs.hit>(jobs, 'hit')
const empty = job<typeof Jobs.empty>(jobs, 'empty')
const forever = job<typeof Jobs.forever>(jobs, 'forever')
const untilSignal = job<typeof Jobs.untilSignal>(jobs, 'untilSignal')

/** Ends a thread of these at a random moment, `times` times. */
async function murder(live: ReadonlySet<Worker>, times: number, isOver: () => boolean): Promise<number> {
  let killed = 0
  while (killed < times && !isOver()) {
    const moment = performance.now() + Math.random() * 6
    while (performance.now() < moment && !isOver()) await settle(1)
    const victim = [...live][Math.floor(Math.random() * live.size)]
    if (victim === undefined || isOver()) continue
    void victim.terminate()
    killed++
  }
  return killed
}

test.serial('R1: threads ended at random moments: nothing is lost, and each end costs one chunk', async (t) => {
  const counted = census()
  t.teardown(counted.stop)
  const pool = new ChunkPool({ workers: 3 })
  await pool.ready()
  const [length, size] = [1_500_000, 300]
  let deaths = 0
  for (let round = 0; round < rounds(30); round++) {
    const hits = shared(length)
    let over = false
    const run = pool.run(hit, { end: length, chunkSize: size, retries: 50, args: { hits } })
    const values = round % 2 ? gather(run.values()) : undefined
    const killed = murder(counted.live, 3, () => over)
    const summary = await within(run, `round ${round}`, 20_000)
    over = true
    deaths += await killed
    if (values) t.true((await values).every((index, i) => index === i) && (await values).length === length / size)
    t.is(summary.done, length / size)
    t.is(tally(run.board), `2x${length / size}`)
    t.true(summary.retried <= (await killed))
    let [again, missed] = [0, 0]
    for (const times of hits) {
      if (times === 0) missed++
      else again += times - 1
    }
    t.is(missed, 0)
    t.true(again <= (await killed) * size, `${again} indices came again`)
  }
  t.true(deaths > 20, `only ${deaths} threads were ended`)
  await within(pool.close(), 'close')
  t.deepEqual(await counted.left(), [])
})

test.serial('R1: a chunk that comes again is not lost when its next thread ends before beginning it', async (t) => {
  const counted = census()
  t.teardown(counted.stop)
  const stuckAtFirst = job<typeof Jobs.stuckAtFirst>(jobs, 'stuckAtFirst', { init: 'longInit' })
  const args = { marks: shared(2) }
  const run = runChunked(stuckAtFirst, { end: 20, chunkSize: 1, workers: 1, retries: 2, args })
  const values = gather(run.values({ window: 1 }))
  await until(() => args.marks[1] === 1, 'chunk 0 has begun')
  for (const one of counted.live) void one.terminate()
  await until(() => args.marks[0] === 2, 'another thread was given it')
  for (const one of counted.live) void one.terminate()
  t.deepEqual(await within(values, 'values'), [...Array(20).keys()])
  t.like(await within(run, 'run'), { done: 20, retried: 1 })
  t.is(args.marks[0], 3)
  t.deepEqual(await counted.left(), [])
})

for (const ordered of [true, false]) {
  for (const victims of [1, 2]) {
    const title = `${victims} of 2 threads ended between claiming and beginning, ${ordered ? '' : 'un'}ordered`
    test.serial(`R1: ${title}: nothing is lost, nothing hangs`, async (t) => {
      const counted = census()
      t.teardown(counted.stop)
      const indexAfter = job<typeof Jobs.indexAfter>(jobs, 'indexAfter')
      const run = runChunked(indexAfter, { end: 60, chunkSize: 1, workers: 2, retries: 20, args: { ms: 0 } })
      t.teardown(() => run.abort())
      const reader = run.values({ window: 1, ordered })[Symbol.asyncIterator]()
      const seen: (number | undefined)[] = []
      const read = async (): Promise<boolean> => {
        const { done, value } = await within(reader.next(), `a value after ${seen.join()}`)
        if (!done) seen.push(value)
        return !done
      }
      await read()
      for (let round = 0; round < rounds(4); round++) {
        // The reader does not ask, so every thread comes to hold a chunk it may not begin yet.
        await wait(60)
        const threads = [...counted.live]
        await Promise.all((round % 2 ? threads : threads.reverse()).slice(0, victims).map((one) => one.terminate()))
        for (let i = 0; i < 5; i++) await read()
      }
      while (await read());
      const sorted = seen.toSorted((a = 0, b = 0) => a - b)
      t.deepEqual(
        sorted,
        Array.from({ length: 60 }, (_, i) => i),
      )
      if (ordered) t.deepEqual(seen, sorted)
      t.is((await within(run, 'the run')).done, 60)
      t.deepEqual(await counted.left(), [])
    })
  }
}

test.serial('a thread of a pool that dies while idle is warned of and replaced', async (t) => {
  const counted = census()
  const warnings: Error[] = []
  const note = (warning: Error): void => void warnings.push(warning)
  process.on('warning', note)
  t.teardown(() => {
    counted.stop()
    process.off('warning', note)
  })
  {
    await using pool = new ChunkPool({ workers: 2 })
    await pool.ready()
    const later = job<typeof Jobs.throwLater>(jobs, 'throwLater')
    t.is((await within(pool.run(later, { end: 2, chunkSize: 1, workers: 1 }), 'the first run')).done, 2)
    await until(() => counted.live.size === 1, 'the thread dies')
    t.is((await within(pool.run(empty, { end: 1000, chunkSize: 1 }), 'the next run')).done, 1000)
    t.is(counted.live.size, 2)
    t.is(warnings.length, 1)
    t.regex(String(warnings[0]?.message), /long after/)
  }
  t.deepEqual(await counted.left(), [])
})

test.serial('however often a chunk fails, its attempts take no more memory: a loop, not a chain', async (t) => {
  const counted = census()
  t.teardown(counted.stop)
  const count = 100_000
  // As a chain of promises, one waiting for the next, a tenth of these attempts end a thread with this much memory.
  const run = runChunked(job<typeof Jobs.failUntil>(jobs, 'failUntil'), {
    end: 2,
    chunkSize: 1,
    workers: 1,
    retries: count,
    resourceLimits: { maxOldGenerationSizeMb: 12, maxYoungGenerationSizeMb: 4 },
    args: { attempt: count },
  })
  t.like(await within(run, 'the run', 60_000), { done: 2, retried: 2 * (count - 1) })
  t.is(counted.started(), 1)
  t.deepEqual(await counted.left(), [])
})

test.serial('a thread that dies before its first chunk is not started for ever', async (t) => {
  for (const retries of [0, 2]) {
    const counted = census()
    const count = shared(2)
    const dying = job<typeof Jobs.useState>(jobs, 'useState', { init: 'exitToOpen' })
    const run = runChunked(dying, { end: 100, chunkSize: 1, workers: 2, retries, args: { count } })
    const error = await failure(run)
    t.true(isMillraceError(error, 'MILL_RUN_WORKER'), String(error))
    t.is((error as { exitCode?: number }).exitCode, 3)
    t.true(counted.started() >= retries + 3 && counted.started() <= retries + 5, `${counted.started()} threads`)
    t.deepEqual(await counted.left(), [])
    t.is(tally(run.board), '0x100')
    counted.stop()
  }
})

test.serial('init and teardown: once a thread each, and the run fails with what they throw', async (t) => {
  const counted = census()
  t.teardown(counted.stop)
  const begin = (hooks: { init?: string; teardown?: string }, count: Int32Array): ChunkRun<number> =>
    runChunked(job<typeof Jobs.useState>(jobs, 'useState', hooks), {
      end: 30,
      chunkSize: 1,
      workers: 2,
      args: { count },
    })

  const count = shared(2)
  const fine = begin({ init: 'open', teardown: 'close' }, count)
  const workers = await within(gather(fine.values()), 'values')
  await within(fine, 'a run with hooks')
  // A thread that comes when nothing is left to do is not prepared for it.
  const [opened = 0, closed] = count
  t.true(opened === 1 || opened === 2)
  t.is(closed, opened)
  t.true(workers.every((worker) => worker === 0 || worker === 1))
  t.true(new Set(workers).size <= opened)

  for (const [hooks, cause] of [
    [{ init: 'failToOpen' }, 'cannot open'],
    [{ init: 'open', teardown: 'failToClose' }, 'cannot close'],
  ] as const) {
    const run = begin(hooks, shared(2))
    const error = (await failure(run)) as RunError & { url?: unknown; name?: unknown }
    t.is(error.code, 'MILL_RUN_JOB')
    t.true(error.cause instanceof RangeError)
    t.is((error.cause as Error).message, cause)
    t.is(String(error.url), jobs.href)
    t.is(run.snapshot().phase, 'failed')
    t.is(tally(run.board), 'init' in hooks && hooks.init === 'open' ? '2x30' : '0x30')
  }
  t.deepEqual(await counted.left(), [])
})

test.serial('closing a pool aborts what runs and what waits, ends the threads, and may be done twice', async (t) => {
  const counted = census()
  t.teardown(counted.stop)
  const count = shared(2)
  const pool = new ChunkPool({ workers: 2 })
  const running = pool.run(untilSignal, { end: 9, chunkSize: 1, args: { count } })
  const waiting = pool.run(empty, { end: 9, chunkSize: 1 })
  await until(() => count[0] === 2, 'two chunks begin')
  const closed = Promise.all([pool.close(), pool.close()])
  for (const run of [running, waiting]) {
    const error = await failure(run)
    t.true(isMillraceError(error, 'ABORT_ERR'), String(error))
    t.deepEqual([run.snapshot().phase, run.snapshot().running], ['aborted', 0])
  }
  await within(closed, 'close')
  t.is(counted.live.size, 0)
  t.is(tally(count), '2x2')
  t.is(tally(waiting.board), '0x9')
  await within(pool.close(), 'close again')
  await within(pool[Symbol.asyncDispose](), 'dispose after close')
  t.is(codeOf(await failure(() => pool.run(empty, { end: 1 }))), 'MILL_RUN_CLOSED')
  t.deepEqual(await counted.left(), [])
})

test.serial('R3: closing a pool ends chunks that never end after the graceMs of their run', async (t) => {
  const counted = census()
  t.teardown(counted.stop)
  const count = shared(1)
  const pool = new ChunkPool({ workers: 2 })
  const run = pool.run(forever, { end: 9, chunkSize: 1, graceMs: 20, args: { count } })
  await until(() => count[0] === 2, 'two chunks begin')
  const error = failure(run)
  await within(pool.close(), 'close') // how soon: see the tests of aborts
  t.is(codeOf(await error), 'ABORT_ERR')
  t.is(counted.live.size, 0)
  t.is(tally(run.board), '0x7 4x2')
  t.deepEqual(await counted.left(), [])
})

test.serial('a pool that was never used, that is idle, or that is still starting closes', async (t) => {
  const counted = census()
  t.teardown(counted.stop)
  await within(new ChunkPool({ workers: 3 }).close(), 'never used')
  t.is(counted.started(), 0)

  const idle = new ChunkPool({ workers: 3 })
  await within(idle.ready(), 'ready')
  t.is(counted.live.size, 3)
  await within(idle.close(), 'idle')
  t.is(counted.live.size, 0)

  const starting = new ChunkPool({ workers: 3 })
  const ready = starting.ready().catch((error) => error)
  await within(starting.close(), 'starting')
  // It may have become ready just before, or not at all; it must not hang.
  const told = await within(ready, 'ready of a pool that was closed')
  t.true(told === undefined || isMillraceError(told), String(told))
  t.deepEqual(await counted.left(), [])
})

test.serial('closing a pool whose threads hang keeps the process until they are gone', async (t) => {
  // In a process of its own: here there is always something else that keeps it.
  const program = `
    import { ChunkPool } from ${JSON.stringify(new URL('../lib/run/index.js', import.meta.url).href)}
    const pool = new ChunkPool({ workers: 4, preload: [new URL("data:text/javascript,for(;;);")] })
    pool.ready().catch(() => {})
    setTimeout(() => pool.close().then(() => console.log('closed')), 100)
  `
  const args = ['--input-type=module', '-e', program]
  const { stdout } = await within(promisify(execFile)(process.execPath, args), 'the process')
  t.is(stdout, 'closed\n')
})
