import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import {
  type ChunkBlock,
  type ChunkExecutor,
  type ChunkPlan,
  type ChunkSink,
  inline,
  isMillraceError,
  job,
  runChunked,
  type Status,
} from '../lib/run/index.js'
import type * as jobs from './fixtures/run-jobs-2.js'
import { until } from './fixtures/run-kit.js'
import { jobsUrl, times, upTo } from './fixtures/run-ways.js'
import { codeOf, failure, gather, gatherUntilError, settle, within } from './fixtures/stream-kit.js'

const numbers = inline((chunk: { index: number }): number => chunk.index)
const indices = ({ first, count }: ChunkBlock): number[] => upTo(count).map((i) => first + i)
const executor = (run: ChunkExecutor['run'], name = 'mine'): ChunkExecutor => ({ name, run })

/** Runs every chunk here, `max` at a time, and lets `seen` look at each block. */
const simple = (max?: number, seen: (block: ChunkBlock) => void = () => {}): ChunkExecutor =>
  executor(async (_plan, sink) => {
    for (let block = await sink.claim(max); block !== undefined; block = await sink.claim(max)) {
      seen(block)
      await wait(0)
      for (const index of indices(block)) sink.done(index, index)
    }
  })

/** A promise and what settles it. */
function gate<T = void>(): { promise: Promise<T>; open(value: T): void } {
  let open: (value: T) => void = () => {}
  const promise = new Promise<T>((resolve) => {
    open = resolve
  })
  return { promise, open }
}

test.serial('blocks are consecutive, no larger than asked for, and cover the range exactly', async (t) => {
  for (const max of [undefined, 1, 3, 7, 1000]) {
    const blocks: ChunkBlock[] = []
    const options = { start: -20, end: 83, chunkSize: 5, executor: simple(max, (block) => blocks.push(block)) }
    const run = runChunked(numbers, options)
    t.like(await within(run, 'run'), { phase: 'done', done: 21, items: 103, running: 0 })
    let index = 0
    for (const block of blocks) {
      t.is(block.first, index)
      t.true(block.count >= 1 && block.count <= (max ?? 1))
      t.is(block.start, -20 + index * 5)
      index += block.count
      t.is(block.end, Math.min(83, -20 + index * 5))
    }
    t.is(index, 21)
    t.is(blocks.length, Math.ceil(21 / (max ?? 1)), `${max}`)
    t.deepEqual([...run.board], times(21, 2))
  }
})

test.serial('the plan is JSON, and says what is to be run', async (t) => {
  const plans: ChunkPlan[] = []
  const look = executor(async (plan, sink) => {
    plans.push(plan)
    while ((await sink.claim()) !== undefined) sink.done(0)
  })
  const args = { factor: 3 }
  const named = runChunked(job<typeof jobs.sum>(jobsUrl, 'sum'), {
    end: 10,
    chunkSize: 10,
    args,
    retries: 4,
    executor: look,
  })
  named.values().resume()
  await within(named, 'named')
  await within(runChunked(numbers, { start: 7, end: 8, chunkSize: 2, executor: look }), 'inline')
  const [first, second] = plans as [ChunkPlan, ChunkPlan]
  t.deepEqual(first.job, { name: 'sum', url: jobsUrl.href })
  t.like(first, { id: named.id, start: 0, end: 10, chunkSize: 10, count: 1, retries: 4, values: true, args })
  t.like(second, { start: 7, end: 8, chunkSize: 2, count: 1, retries: 0, values: false, args: undefined })
  t.is(second.job.url, undefined)
  t.true(second.job.source?.includes('chunk.index'))
  const { args: _, ...rest } = first
  t.deepEqual(JSON.parse(JSON.stringify(rest)), rest)
})

test.serial('values come in order, and claims stop at the window', async (t) => {
  let claimed = 0
  const run = runChunked(numbers, {
    end: 100,
    chunkSize: 1,
    executor: simple(4, ({ count }) => {
      claimed += count
    }),
  })
  const values = run.values({ window: 10 })
  await until(() => claimed === 10, 'the window is full')
  await wait(30)
  t.is(claimed, 10)
  let taken = 0
  for await (const value of values) {
    t.is(value, taken++)
    t.true(claimed <= taken + 10, `${claimed} claimed, ${taken} taken`)
    if (taken % 10 === 0) await wait(2)
  }
  t.is(taken, 100)
  await run
})

test.serial('reports for what is not out are ignored: twice, late, before, of no chunk at all', async (t) => {
  let late: ChunkSink | undefined
  const wild = executor(async (plan, sink) => {
    late = sink
    for (const index of [0, 5, -1, 0.5, Number.NaN, plan.count, 2 ** 40, '0', undefined] as number[]) {
      sink.done(index, 'early')
      sink.failed(index, new Error('early'))
    }
    for (let block = await sink.claim(); block !== undefined; block = await sink.claim()) {
      sink.done(block.first, block.first)
      sink.done(block.first, 'twice')
      sink.failed(block.first, new Error('too late'))
    }
  })
  const run = runChunked(numbers, { end: 10, chunkSize: 1, executor: wild })
  const [values, events] = await within(Promise.all([gather(run.values()), gather<Status>(run)]), 'run')
  t.deepEqual(values, upTo(10))
  t.deepEqual(
    events.filter(({ type }) => type === 'failed' || type === 'retry'),
    [],
  )
  const end = run.snapshot()
  t.like(end, { done: 10, failed: 0, retried: 0 })
  late?.done(3, 'after the end')
  late?.failed(3, new Error('after the end'))
  t.is(await within((late as ChunkSink).claim(), 'claim after the end'), undefined)
  t.deepEqual(run.snapshot(), end)
})

test.serial('a failed chunk is handed out again while attempts are left; claim() waits for it', async (t) => {
  const seen: number[] = []
  const tries: number[] = []
  let waited = 0
  const flaky = executor(async (_plan, sink) => {
    for (;;) {
      let answered = false
      const claim = sink.claim(3).finally(() => {
        answered = true
      })
      await settle()
      if (!answered) {
        // Nothing is left but chunk 4, which is out: the claim waits for what becomes of it.
        if (++waited < 3) sink.failed(4, new Error(`try ${waited}`))
        else sink.done(4, 4)
      }
      const block = await claim
      if (block === undefined) return
      seen.push(...indices(block))
      if (indices(block).includes(4)) tries.push(block.attempt)
      for (const index of indices(block)) if (index !== 4) sink.done(index, index)
    }
  })
  const run = runChunked(numbers, { end: 8, chunkSize: 1, retries: 2, executor: flaky })
  const [events, values, summary] = await within(Promise.all([gather<Status>(run), gather(run.values()), run]), 'run')
  t.deepEqual(
    seen.toSorted((a, b) => a - b),
    [0, 1, 2, 3, 4, 4, 4, 5, 6, 7],
  )
  t.is(waited, 3)
  t.deepEqual(tries, [1, 2, 3])
  t.like(summary, { done: 8, retried: 2, failed: 0 })
  t.deepEqual(values, upTo(8))
  const retries = events.filter((status) => status.type === 'retry')
  t.deepEqual(
    retries.map((status) => [status.type === 'retry' && status.index, status.type === 'retry' && status.attempt]),
    [
      [4, 1],
      [4, 2],
    ],
  )
})

test.serial('attempts used up: the error names the chunk; nothing more is handed out', async (t) => {
  const cause = new TypeError('no good')
  let claimed = 0
  const failing = executor(async (_plan, sink) => {
    for (let block = await sink.claim(); block !== undefined; block = await sink.claim()) {
      claimed++
      await wait(0)
      if (block.first === 3) sink.failed(3, cause)
      else sink.done(block.first)
    }
  })
  const run = runChunked(numbers, { start: 100, end: 150, chunkSize: 5, retries: 1, executor: failing })
  const error = (await failure(run)) as Error
  t.like(error, { code: 'MILL_RUN_CHUNK', chunk: { index: 3, start: 115, end: 120, attempts: 2 } })
  t.is(error.cause, cause)
  t.is(claimed, 5)
  t.like(run.snapshot(), { phase: 'failed', failed: 1, done: 3, running: 0 })
  const all = runChunked(numbers, { end: 10, chunkSize: 1, onError: 'continue', executor: failing })
  const { items, error: incomplete } = await within(gatherUntilError(all.values()), 'continue')
  t.deepEqual(items, [])
  t.like(incomplete, { code: 'MILL_RUN_INCOMPLETE', failed: 1 })
  t.is(all.snapshot().done, 9)
  await failure(all)
})

test.serial('R1: an executor that leaves chunks out, or fails, fails the run and is named', async (t) => {
  const mine = new Error('mine')
  const lazy = executor(async (_plan, sink) => {
    await sink.claim(3)
    sink.done(0)
  }, 'lazy')
  const rejects = executor(async (_plan, sink) => {
    await sink.claim(2)
    throw mine
  }, 'broken')
  const throws = executor(() => {
    throw mine
  }, 'thrower')
  const left = (await failure(runChunked(numbers, { end: 10, chunkSize: 1, executor: lazy }))) as Error
  t.like(left, { code: 'MILL_RUN_EXECUTOR', executor: 'lazy', missing: 9 })
  t.regex(left.message, /lazy/)
  for (const one of [rejects, throws]) {
    const run = runChunked(numbers, { end: 10, chunkSize: 1, executor: one })
    const [error, values] = await Promise.all([failure(run), gatherUntilError(run.values())])
    t.like(error, { code: 'MILL_RUN_EXECUTOR', executor: one.name, cause: mine })
    t.is(values.error, error)
    t.like(run.snapshot(), { phase: 'failed', running: 0 })
  }
  const early = executor(async () => {}, 'idle')
  t.is(codeOf(await failure(runChunked(numbers, { end: 1, executor: early }))), 'MILL_RUN_EXECUTOR')
})

test.serial('abort: the signal fires, claims give nothing, the reason comes out', async (t) => {
  const reason = new Error('enough')
  const told = gate<unknown>()
  const polite = executor(async (_plan, sink, signal) => {
    const block = await sink.claim(4)
    t.deepEqual(indices(block as ChunkBlock), [0, 1, 2, 3])
    signal.addEventListener('abort', () => told.open(signal.reason))
    t.is(await sink.claim(100).then((next) => next?.count), 6)
    t.is(await sink.claim(), undefined, 'while it waits for chunks that may come back')
    t.is(await sink.claim(), undefined)
    sink.done(0)
  })
  const run = runChunked(numbers, { end: 10, chunkSize: 1, executor: polite })
  await until(() => run.snapshot().running === 10, 'all are out')
  run.abort(reason)
  t.is(await failure(run), reason)
  await within(told.promise, 'signal')
  t.like(run.snapshot(), { phase: 'aborted', running: 0 })
})

test.serial('R3: an executor that does not hear of the abort is given up after graceMs', async (t) => {
  let sink: ChunkSink | undefined
  const deaf = executor(async (_plan, given) => {
    sink = given
    await given.claim(2)
    await new Promise(() => {})
  }, 'deaf')
  for (const graceMs of [0, 60]) {
    const run = runChunked(numbers, { end: 10, chunkSize: 1, graceMs, executor: deaf })
    await until(() => run.snapshot().running === 2, 'two are out')
    const from = performance.now()
    run.abort()
    t.is(codeOf(await failure(run)), 'ABORT_ERR')
    const took = performance.now() - from
    t.true(took >= graceMs - 2 && took < graceMs + 500, `${took} ms`)
    t.deepEqual([...run.board.slice(0, 3)], [4, 4, 0])
    sink?.done(0)
    sink?.failed(1, new Error('late'))
    t.deepEqual([...run.board.slice(0, 3)], [4, 4, 0], 'late reports are ignored')
  }
})

test.serial('several loops may claim at once; a resumed run hands out only what is missing', async (t) => {
  const half = runChunked(
    ({ index }) => {
      if (index % 3 === 0) throw new Error('later')
    },
    { end: 30, chunkSize: 1, onError: 'continue' },
  )
  await failure(half)
  const seen: number[] = []
  const four = executor(async (_plan, sink) => {
    const loop = async (): Promise<void> => {
      for (let block = await sink.claim(2); block !== undefined; block = await sink.claim(2)) {
        seen.push(...indices(block))
        await wait(1)
        for (const index of indices(block)) sink.done(index)
      }
    }
    await Promise.all(times(4, 0).map(loop))
  })
  const run = runChunked(numbers, { end: 30, chunkSize: 1, resume: half.save(), executor: four })
  t.like(await within(run, 'run'), { done: 30, skipped: 20 })
  t.deepEqual(
    seen.toSorted((a, b) => a - b),
    upTo(10).map((n) => n * 3),
  )
})

/** Chunks in other processes, which get nothing but JSON. One that dies fails the chunks it had. */
function processes(count: number, onStart: (child: ChildProcess, nth: number) => void): ChunkExecutor {
  const path = fileURLToPath(new URL('./fixtures/run-remote.js', import.meta.url))
  return {
    name: 'processes',
    async run(plan, sink, signal) {
      let started = 0
      const one = async (): Promise<void> => {
        let block = await sink.claim(5)
        while (block !== undefined) {
          const child = fork(path, { serialization: 'json', execArgv: [] })
          const exit = once(child, 'exit').then(() => undefined)
          const kill = (): void => void child.kill('SIGKILL')
          signal.addEventListener('abort', kill, { once: true })
          child.send({ plan })
          await Promise.race([once(child, 'message'), exit])
          onStart(child, started++)
          while (block !== undefined) {
            const work: ChunkBlock = block
            child.send({ block: work }, () => {})
            const answer = await Promise.race([once(child, 'message'), exit])
            if (answer === undefined) {
              for (const index of indices(work)) sink.failed(index, new Error('its process is gone'))
              block = await sink.claim(5)
              break
            }
            const [{ values }] = answer as [{ values: unknown[] }]
            values.forEach((value, i) => {
              sink.done(work.first + i, value)
            })
            block = await sink.claim(5)
          }
          signal.removeEventListener('abort', kill)
          if (child.connected) child.disconnect()
          await exit
        }
      }
      await Promise.all(times(count, 0).map(one))
    },
  }
}

const sums = job<typeof jobs.sum>(jobsUrl, 'sum')
const expected = (factor: number): number[] =>
  upTo(60).map((index) => upTo(10).reduce((all, i) => all + index * 10 + i - 30, 0) * factor)

test.serial('another executor: processes that get nothing but JSON', async (t) => {
  const executor = processes(2, () => {})
  const run = runChunked(sums, { start: -30, end: 570, chunkSize: 10, args: { factor: 2 }, executor })
  t.deepEqual(await within(gather(run.values()), 'values'), expected(2))
  t.like(await run, { done: 60, items: 600, failed: 0 })
})

test.serial('R1: a process that is killed costs its chunks an attempt; another runs them', async (t) => {
  const executor = processes(2, (child, nth) => {
    if (nth < 2) child.send({ die: true })
  })
  const options = { start: -30, end: 570, chunkSize: 10, args: { factor: 1 } }
  const run = runChunked(sums, { ...options, executor, retries: 2 })
  t.deepEqual(await within(gather(run.values()), 'values'), expected(1))
  const summary = await run
  t.true(summary.retried >= 5 && summary.retried <= 20, `${summary.retried}`)
  t.is(summary.failed, 0)
  const lost = runChunked(sums, { ...options, executor: processes(1, (child) => void child.send({ die: true })) })
  const error = (await failure(lost)) as Error
  t.true(isMillraceError(error, 'MILL_RUN_CHUNK'))
  t.regex(String((error.cause as Error).message), /gone/)
})
