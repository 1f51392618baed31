import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import {
  type BullmqOptions,
  bullmqExecutor,
  bullmqWorker,
  ChunkPool,
  type ChunkRun,
  inline,
  isMillraceError,
  job,
  type RunError,
  runChunked,
  sharedArray,
} from '../../lib/run/index.js'
import type * as Jobs from '../fixtures/bullmq-jobs.js'
import { jobs } from '../fixtures/bullmq-jobs.js'
import { type RedisServer, startRedis } from '../fixtures/redis.js'
import { tally, until } from '../fixtures/run-kit.js'
import { codeOf, failure, gather, within } from '../fixtures/stream-kit.js'

// Runs over a real queue on a real server. `npm run test:redis`.

let redis: RedisServer
let queues = 0
const squares = job<typeof Jobs.squares>(jobs, 'squares')
const slow = job<typeof Jobs.slow>(jobs, 'slow')
const busy = job<typeof Jobs.busy>(jobs, 'busy')
const faulty = job<typeof Jobs.faulty>(jobs, 'faulty')
const echo = job<typeof Jobs.echo>(jobs, 'echo')
const attempts = job<typeof Jobs.attempts>(jobs, 'attempts')
const all = [squares, slow, busy, faulty, echo, attempts]

test.before(async () => {
  redis = await startRedis()
})
test.after.always(async () => {
  await redis?.stop()
})

/** A file that a chunk makes when it begins. */
function markOf(t: ExecutionContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bullmq-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'mark')
}

const optionsOf = (more: Partial<BullmqOptions> = {}): BullmqOptions => ({
  connection: { host: redis.host, port: redis.port, maxRetriesPerRequest: null },
  queue: `test-${queues++}`,
  progressMs: 50,
  ...more,
})

interface World {
  readonly options: BullmqOptions
  readonly executor: ReturnType<typeof bullmqExecutor>
}

/** An executor, and workers in this process. */
async function world(workers: number, more: Partial<BullmqOptions>, use: (world: World) => Promise<void>) {
  const options = optionsOf(more)
  await using executor = bullmqExecutor(options)
  await using pool = new ChunkPool({ workers: 2 })
  const running = await Promise.all(
    Array.from({ length: workers }, () => bullmqWorker({ ...options, jobs: all, pool })),
  )
  try {
    await use({ options, executor })
  } finally {
    await Promise.all(running.map((worker) => worker.close()))
  }
}

/** A worker in a process of its own. */
async function child(t: ExecutionContext, options: BullmqOptions): Promise<ChildProcessWithoutNullStreams> {
  const path = fileURLToPath(new URL('../fixtures/bullmq-worker-child.js', import.meta.url))
  const args = { port: redis.port, queue: options.queue, lockMs: options.lockMs ?? 30_000 }
  const started = spawn(process.execPath, [path, JSON.stringify(args)])
  t.teardown(() => started.kill('SIGKILL'))
  started.stderr.pipe(process.stderr)
  await within(once(started.stdout, 'data'), 'the worker is ready')
  return started
}

const expected = (count: number, size: number, start = 0) =>
  Array.from({ length: count }, (_, index) => {
    const [from, to] = [start + index * size, start + (index + 1) * size]
    let sum = 0
    for (let i = from; i < to; i++) sum += i * i
    return { index, start: from, end: to, sum }
  })

test.serial('every chunk is run, its number and range are those of the run, and values come in order', (t) =>
  world(2, { blockChunks: 7, maxBlocks: 3 }, async ({ executor }) => {
    for (const blockSize of [10, 1]) {
      const run = runChunked(squares, { start: 100, end: 100 + 50 * blockSize, chunkSize: blockSize, executor })
      const values = gather(run.values({ window: 20 }))
      t.deepEqual(await within(values, 'values'), expected(50, blockSize, 100))
      t.like(await within(run, 'run'), { done: 50, failed: 0, total: 50 })
      t.is(tally(run.board), '2x50')
    }
    const quiet = runChunked(squares, { end: 1000, chunkSize: 1, executor })
    t.is((await within(quiet, 'without values')).done, 1000)
  }),
)

test.serial('progress is told while blocks are under way', (t) =>
  world(1, { blockChunks: 40 }, async ({ executor }) => {
    const run = runChunked(slow, { end: 40, chunkSize: 1, executor, progressMs: 20, args: { ms: 50 } })
    const seen: number[] = []
    for await (const status of run) if (status.type === 'progress') seen.push(status.done)
    t.true(new Set(seen.filter((done) => done > 0 && done < 40)).size >= 3, `${seen}`)
    t.is((await run).done, 40)
  }),
)

test.serial('arguments and values keep what the serializer keeps', (t) =>
  world(1, {}, async ({ executor }) => {
    const args = { date: new Date(5), bytes: Uint8Array.of(1, 2, 255), map: new Map([[1, 'a']]), none: null, big: 5n }
    const run = runChunked(echo, { end: 3, chunkSize: 1, executor, args })
    const values = await within(gather(run.values()), 'values')
    t.deepEqual(
      values,
      [0, 2].map((index) => ({ args, index, when: new Date(index), big: 2n ** 70n })),
    )
    await run
  }),
)

test.serial('a chunk that fails is tried again, then fails with what it threw', (t) =>
  world(2, { blockChunks: 5 }, async ({ executor }) => {
    const run = runChunked(faulty, {
      end: 40,
      chunkSize: 1,
      retries: 2,
      onError: 'continue',
      executor,
      args: { every: 10 },
    })
    const error = (await failure(run)) as RunError
    t.is(error.code, 'MILL_RUN_INCOMPLETE')
    t.is(error.failed, 4)
    for (const one of error.errors ?? []) {
      t.is(one.chunk?.attempts, 3)
      t.true(one.cause instanceof RangeError)
      t.like(one.cause, { code: 'E_BAD', message: `chunk ${one.chunk?.index} is no good` })
      t.is(((one.cause as Error).cause as Error).message, 'deep')
    }
    t.is(run.snapshot().retried, 8)
    t.is(tally(run.board), '2x36 3x4')
  }),
)

test.serial('chunk.attempt is the true one: it counts what failed before', (t) =>
  world(2, { blockChunks: 5 }, async ({ executor }) => {
    const run = runChunked(attempts, { end: 12, chunkSize: 1, retries: 2, executor, args: { from: 3 } })
    t.deepEqual(await within(gather(run.values({ window: 12 })), 'values'), new Array<number>(12).fill(3))
    t.like(await run, { done: 12, retried: 24 })
    const early = runChunked(attempts, { end: 2, chunkSize: 1, retries: 1, executor, args: { from: 3 } })
    const error = (await failure(early)) as RunError
    t.is(error.chunk?.attempts, 2)
    t.is((error.cause as Error).message, 'attempt 2 is too early')
  }),
)

test.serial("onError 'stop': what is in the queue and nobody has begun is taken back", (t) =>
  world(1, { blockChunks: 1, maxBlocks: 50 }, async ({ executor, options }) => {
    const run = runChunked(faulty, { end: 400, chunkSize: 1, executor, args: { every: 3 } })
    t.is(codeOf(await failure(run)), 'MILL_RUN_CHUNK')
    const { done } = run.snapshot()
    t.true(done < 100, `${done}`)
    // The next run is not kept waiting by the rest of this one.
    t.is((await within(runChunked(squares, { end: 5, chunkSize: 1, executor }), 'the next')).done, 5)
    t.truthy(options)
  }),
)

test.serial('a job that the workers do not have fails its chunks and says what there is', (t) =>
  world(1, {}, async ({ executor }) => {
    const run = runChunked(job<typeof Jobs.never>(jobs, 'never'), { end: 3, chunkSize: 1, executor, args: { ms: 1 } })
    const error = (await failure(run)) as RunError
    t.is(error.code, 'MILL_RUN_CHUNK')
    t.regex(String((error.cause as Error).message), /no job "never".*squares, slow, busy, faulty, echo, attempts/)
  }),
)

test.serial('inline functions and shared memory are refused, wrong options at once', async (t) => {
  await using executor = bullmqExecutor(optionsOf())
  const sent = inline(({ index }) => index)
  t.is(codeOf(await failure(runChunked(sent, { end: 3, executor }))), 'MILL_RUN_EXECUTOR')
  const args = { deep: [new Map([['a', sharedArray(Int32Array, 2)]])] }
  t.is(codeOf(await failure(runChunked(echo, { end: 3, executor, args }))), 'MILL_RUN_EXECUTOR')
  for (const wrong of [
    { connection: 5 },
    { queue: '' },
    { queue: 'a:b' },
    { blockChunks: 0 },
    { maxBlocks: 1.5 },
    { lockMs: -1 },
    { progressMs: Number.NaN },
    { serializer: {} },
  ]) {
    t.throws(() => bullmqExecutor({ ...optionsOf(), ...(wrong as object) }), { code: 'MILL_INVALID_ARGUMENT' })
    t.is(
      codeOf(await failure(bullmqWorker({ ...optionsOf(), jobs: all, ...(wrong as object) }))),
      'MILL_INVALID_ARGUMENT',
    )
  }
  for (const wrong of [[], [() => 1], [squares, squares], undefined]) {
    t.is(codeOf(await failure(bullmqWorker({ ...optionsOf(), jobs: wrong as never }))), 'MILL_INVALID_ARGUMENT')
  }
})

test.serial('abort: what waits is taken back, what runs is told, and the reason comes out', (t) =>
  world(1, { blockChunks: 4, maxBlocks: 8 }, async ({ executor }) => {
    const run = runChunked(slow, { end: 400, chunkSize: 1, executor, args: { ms: 30 } })
    await until(() => run.snapshot().done > 0, 'some are done')
    const reason = new Error('enough')
    run.abort(reason)
    t.is(await failure(run, 'abort'), reason)
    t.true(run.snapshot().done < 100)
    t.is((await within(runChunked(squares, { end: 5, chunkSize: 1, executor }), 'the next')).done, 5)
  }),
)

test.serial('a block longer than the lock is not begun twice', (t) =>
  world(2, { blockChunks: 8, lockMs: 400 }, async ({ executor }) => {
    const run: ChunkRun<number> = runChunked(busy, { end: 8, chunkSize: 1, executor, args: { ms: 500 } })
    const values = gather(run.values())
    t.deepEqual(await within(values, 'values', 30_000), [0, 1, 2, 3, 4, 5, 6, 7])
    t.like(await run, { done: 8, retried: 0 })
  }),
)

test.serial('R1: a worker process killed in the middle of its block: another one does it', async (t) => {
  const options = optionsOf({ blockChunks: 20, lockMs: 500 })
  await using executor = bullmqExecutor(options)
  const first = await child(t, options)
  const mark = markOf(t)
  const run = runChunked(slow, { end: 80, chunkSize: 1, executor, args: { ms: 20, mark } })
  const values = gather(run.values({ window: 80 }))
  await until(() => existsSync(mark), 'a chunk has begun')
  first.kill('SIGKILL')
  const second = await child(t, options)
  t.deepEqual(
    await within(values, 'values', 60_000),
    Array.from({ length: 80 }, (_, i) => i),
  )
  t.like(await within(run, 'run'), { done: 80, failed: 0 })
  second.stdin.end()
  t.deepEqual(await within(once(second, 'exit'), 'the worker ends'), [0, null])
})

test.serial('chunk.attempt counts workers that were lost, and what fails after that goes on from there', async (t) => {
  // Long enough for the second worker to keep its lock on a busy machine: each loss counts.
  const options = optionsOf({ blockChunks: 4, lockMs: 2000 })
  await using executor = bullmqExecutor(options)
  const first = await child(t, options)
  const args = { from: 4, mark: markOf(t) }
  const run = runChunked(attempts, { end: 4, chunkSize: 1, retries: 2, executor, args })
  const values = gather(run.values({ window: 4 }))
  await until(() => existsSync(args.mark), 'a chunk has begun')
  first.kill('SIGKILL')
  const second = await child(t, options)
  // 1 died with its worker, 2 and 3 failed.
  t.deepEqual(await within(values, 'values', 60_000), [4, 4, 4, 4])
  t.like(await within(run, 'run'), { done: 4, retried: 8 })
  second.stdin.end()
  t.deepEqual(await within(once(second, 'exit'), 'the worker ends'), [0, null])
})

test.serial('the server goes away and comes back: the run waits, and what was lost is run again', async (t) => {
  const options = optionsOf({ blockChunks: 2, maxBlocks: 4, lockMs: 300 })
  await using executor = bullmqExecutor(options)
  await using pool = new ChunkPool({ workers: 2 })
  await using _worker = await bullmqWorker({ ...options, jobs: all, pool })
  const run = runChunked(slow, { end: 60, chunkSize: 1, retries: 5, executor, args: { ms: 20 } })
  await until(() => run.snapshot().done > 4, 'some are done')
  await redis.kill()
  await wait(500)
  await redis.restart()
  t.like(await within(run, 'run', 60_000), { done: 60, failed: 0 })
})

test.serial('the server is away: abort still works', async (t) => {
  const options = optionsOf({ lockMs: 300 })
  const executor = bullmqExecutor(options)
  const run = runChunked(slow, { end: 60, chunkSize: 1, graceMs: 200, executor, args: { ms: 20 } })
  await wait(300)
  await redis.kill()
  const reason = new Error('enough')
  run.abort(reason)
  t.is(await failure(run, 'abort'), reason)
  await redis.restart()
  await executor.close()
})

test.serial('a closed executor refuses, and close() may be called twice', async (t) => {
  const executor = bullmqExecutor(optionsOf())
  await executor.close()
  await executor.close()
  t.is(codeOf(await failure(runChunked(squares, { end: 3, executor }))), 'MILL_RUN_EXECUTOR')
  t.true(isMillraceError(await failure(runChunked(squares, { end: 3, executor }))))
})
