import { availableParallelism } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import {
  ArgumentError,
  type ChunkJob,
  ChunkPool,
  type ChunkRun,
  inline,
  isMillraceError,
  job,
  type LocalOptions,
  runChunked,
  type Status,
  sharedArray,
  shareOf,
  statusLine,
  type ThreadOptions,
} from '../lib/run/index.js'
import { work } from './fixtures/run-jobs-2.js'
import { until } from './fixtures/run-kit.js'
import { begun, jobsUrl, times, ways } from './fixtures/run-ways.js'
import { codeOf, failure, gather, settle, within } from './fixtures/stream-kit.js'

const MOST = Number.MAX_SAFE_INTEGER
const notWhole = [-1, 1.5, Number.NaN, '3', null, 3n]
const notMs = [-1, Number.NaN, Number.POSITIVE_INFINITY, '5', null, 2 ** 31]

/** The argument the error names, and values that are wrong for it, each with what else it takes. */
const wrong: Record<string, readonly (readonly [value: unknown, others?: object])[]> = {
  'options.end': [
    ...[undefined, Number.NaN, 1.5, '10', null, 10n, Number.POSITIVE_INFINITY, 2 ** 53, -1].map((v) => [v] as const),
    [9, { start: 10 }],
    [MOST, { start: -1 }],
    [1, { start: -MOST }],
  ],
  'options.start': [0.5, Number.NaN, '0', null, Number.NEGATIVE_INFINITY, -(2 ** 53)].map((value) => [value]),
  'options.chunkSize': [
    ...[0, Number.POSITIVE_INFINITY, ...notWhole].map((value) => [value] as const),
    [1, { end: 2 ** 28 + 1 }],
    [3, { end: MOST }],
  ],
  'options.retries': [...notWhole, true, Number.POSITIVE_INFINITY].map((value) => [value]),
  'options.retries.count': [{}, ...[-1, 0.5, Number.NaN, '1', null].map((count) => ({ count }))].map((v) => [v]),
  'options.retries.delayMs': notMs.map((delayMs) => [{ count: 1, delayMs }]),
  'options.onError': ['ignore', '', null, true, 0].map((value) => [value]),
  'options.chunkTimeoutMs': [0, ...notMs].map((value) => [value]),
  'options.graceMs': notMs.map((value) => [value]),
  'options.progressMs': notMs.map((value) => [value]),
  'options.events': ['all', null, true].map((value) => [value]),
  'options.signal': [{}, null, 'now', new AbortController()].map((value) => [value]),
  'options.resume': [{}, null, 'MRUN', [1, 2]].map((value) => [value]),
}
const lanes = [0, 1025, ...notWhole].map((value) => [value] as const)
const wrongLocal: typeof wrong = {
  'options.concurrency': lanes,
  'options.workers': [[2], [0]],
  'options.executor': [[{ name: 'mine', run: async () => {} }]],
}
const wrongThreads: typeof wrong = {
  'options.workers': lanes,
  'options.concurrency': [[2], [0]],
  'options.executor': [{}, null, 'mine', { name: 'mine' }, { run: async () => {} }].map((value) => [value]),
  'options.preload': ['x.js', {}, null].map((value) => [value]),
  'options.preload[0]': ['x.js', null, 5].map((value) => [[value]]),
  'options.resourceLimits': [5, 'small', null].map((value) => [value]),
  'options.daemon': ['yes', 1, null].map((value) => [value]),
}

test.serial('every wrong option is refused at once, by its name, and nothing runs', async (t) => {
  const hits = sharedArray(Int32Array, 10)
  const theJob = job<typeof work>(jobsUrl, 'work')
  const pool = new ChunkPool({ workers: 1 })
  const starts: Record<string, [(options: never) => ChunkRun<unknown>, typeof wrong]> = {
    'in process': [
      (options: LocalOptions & { args: { hits: Int32Array } }) => runChunked(work, options),
      { ...wrong, ...wrongLocal },
    ],
    'in threads': [
      (options: ThreadOptions & { args: { hits: Int32Array } }) => runChunked(theJob, options),
      { ...wrong, ...wrongThreads },
    ],
    'in a pool': [(options: ThreadOptions & { args: { hits: Int32Array } }) => pool.run(theJob, options), wrong],
  }
  for (const [where, [start, table]] of Object.entries(starts)) {
    for (const [argument, cases] of Object.entries(table)) {
      const name = (argument.split('.')[1] as string).replace('[0]', '')
      for (const [value, others] of cases) {
        const what = `${where}: ${argument} ${String(value)}`
        const options = { end: 10, chunkSize: 1, args: { hits }, ...others, [name]: value }
        const error = t.throws(() => start(options as never), undefined, what)
        t.true(error instanceof ArgumentError && isMillraceError(error, 'MILL_INVALID_ARGUMENT'), `${what}: ${error}`)
        t.is((error as ArgumentError | undefined)?.argument, argument, what)
        t.true(error?.message.startsWith(`${argument} must be `), `${what}: ${error?.message}`)
      }
    }
    for (const options of [undefined, null, 5, 'end']) {
      t.throws(() => start(options as never), { code: 'MILL_INVALID_ARGUMENT' } as never, `${where}: ${options}`)
    }
  }
  await settle()
  await wait(60)
  t.is(begun(hits), 0)
  await pool.close()
})

test.serial('what is no function and no job is refused', (t) => {
  for (const fn of [undefined, null, 5, 'work', {}, { kind: 'module', name: 'work' }, jobsUrl]) {
    const error = t.throws(() => runChunked(fn as never, { end: 1 } as never), undefined, String(fn))
    t.is(codeOf(error), 'MILL_INVALID_ARGUMENT', String(fn))
  }
  const pool = new ChunkPool({ workers: 1 })
  for (const fn of [undefined, {}, work]) {
    t.throws(() => pool.run(fn as never, { end: 1 } as never), { code: 'MILL_INVALID_ARGUMENT' } as never)
  }
})

test.serial('the other functions refuse what they cannot use', (t) => {
  const calls: Record<string, () => unknown> = {
    'job: a path': () => job('./x.js' as never),
    'job: no name': () => job(jobsUrl, ''),
    'job: a number': () => job(jobsUrl, 5 as never),
    'job: init is no name': () => job(jobsUrl, 'work', { init: work as never }),
    'job: teardown is no name': () => job(jobsUrl, 'work', { teardown: '' }),
    'inline: no function': () => inline('(chunk) => 1' as never),
    'pool: workers': () => new ChunkPool({ workers: 0 }),
    'pool: many workers': () => new ChunkPool({ workers: 1025 }),
    'pool: preload': () => new ChunkPool({ preload: ['x.js' as never] }),
    'sharedArray: type': () => sharedArray(Array as never, 5),
    'sharedArray: length': () => sharedArray(Int32Array, -1),
    'shareOf: index': () => shareOf(3, 3, { end: 10 }),
    'shareOf: of': () => shareOf(0, 0, { end: 10 }),
    'shareOf: range': () => shareOf(0, 1, { start: 5, end: 4 }),
    'statusLine: intervalMs': () => statusLine({ intervalMs: -1 }),
    'statusLine: stream': () => statusLine({ stream: {} as never }),
    'statusLine: label': () => statusLine({ label: 5 as never }),
    'chunkAt: behind': () => runChunked(() => {}, { end: 10, chunkSize: 3 }).chunkAt(4),
    'chunkAt: before': () => runChunked(() => {}, { end: 10 }).chunkAt(-1),
    'chunkAt: between': () => runChunked(() => {}, { end: 10 }).chunkAt(0.5),
    'chunkAt: of none': () => runChunked(() => {}, { end: 0 }).chunkAt(0),
  }
  for (const [what, call] of Object.entries(calls)) {
    t.is(codeOf(t.throws(call, undefined, what)), 'MILL_INVALID_ARGUMENT', what)
  }
  for (const fn of [Math.max, work.bind(undefined), class Job {}]) {
    t.is(codeOf(t.throws(() => inline(fn as never), undefined, fn.name)), 'MILL_RUN_JOB', fn.name)
  }
})

test.serial('arguments that cannot be cloned are refused at once, and the key is named', async (t) => {
  const one = job<(chunk: unknown, args: unknown) => void>(jobsUrl, 'work')
  const args = { fine: 1, bytes: new Uint8Array(8), bad: { deep: [() => 1] } }
  const pool = new ChunkPool({ workers: 1 })
  for (const start of [() => runChunked(one, { end: 5, args }), () => pool.run(one, { end: 5, args })]) {
    const error = t.throws(start) as Error & { key: string; cause: Error }
    t.like(error, { code: 'MILL_RUN_ARGS', key: 'bad' })
    t.is(error.cause.name, 'DataCloneError')
    t.regex(error.message, /args\.bad/)
  }
  t.is(codeOf(t.throws(() => runChunked(one, { end: 5, args: () => {} }))), 'MILL_RUN_ARGS')
  // In this process they are passed as they are.
  const seen: unknown[] = []
  await runChunked((_, given: typeof args) => void seen.push(given), { end: 1, args })
  t.is(seen[0], args)
  await pool.close()
})

test.serial('a large buffer that is not shared gives one warning, and what chunks write there is lost', async (t) => {
  const warnings: Error[] = []
  const listen = (warning: Error): void => void (codeOf(warning) === 'MILL_RUN_COPIED' && warnings.push(warning))
  process.on('warning', listen)
  const fill = inline((_chunk: unknown, args: { large: Uint8Array; small: Uint8Array; shared: Uint8Array }) => {
    args.large.fill(1)
    args.shared.fill(1)
  })
  const args = { large: new Uint8Array(4096), small: new Uint8Array(4095), shared: sharedArray(Uint8Array, 1 << 16) }
  await within(runChunked(fill, { end: 4, chunkSize: 1, workers: 2, args }), 'run')
  await settle()
  process.off('warning', listen)
  t.is(warnings.length, 1)
  t.regex(String(warnings[0]?.message), /large/)
  t.notRegex(String(warnings[0]?.message), /args\.(?:small|shared)/)
  t.deepEqual([args.large[0], args.shared[0]], [0, 1])
})

test.serial('options are read once: changing them later changes nothing', async (t) => {
  const options: LocalOptions = { end: 10, chunkSize: 1, concurrency: 1, retries: 0 }
  const run = runChunked(() => {}, options)
  options.end = 1000
  options.chunkSize = 100
  t.is((await run).total, 10)
})

test.serial('the automatic size gives 32 chunks a lane', async (t) => {
  const size = (run: ChunkRun): number => run.chunkAt(0).end - run.chunkAt(0).start
  const local = runChunked(() => {}, { end: 1e6 })
  t.is(size(local), Math.ceil(1e6 / (8 * 32)))
  t.is(size(runChunked(() => {}, { start: -100, end: 3100, concurrency: 10 })), 10)
  t.is(size(runChunked(() => {}, { end: 3 })), 1)
  const threads = runChunked(job<() => void>(jobsUrl, 'preloaded'), { end: 1e6 })
  t.is(size(threads), Math.ceil(1e6 / (availableParallelism() * 32)))
  const pool = new ChunkPool({ workers: 3 })
  const pooled = pool.run(job<() => void>(jobsUrl, 'preloaded'), { end: 1e6 })
  t.is(size(pooled), Math.ceil(1e6 / (3 * 32)))
  for (const run of [local, threads, pooled]) t.is((await within(run, 'run')).items, 1e6)
  await pool.close()
})

test.serial('the limits themselves are allowed', async (t) => {
  const most = runChunked(() => {}, { end: 2 ** 28, chunkSize: 1 })
  most.abort()
  t.is(most.count, 2 ** 28)
  t.is(codeOf(await failure(most)), 'ABORT_ERR')
  let lanes = 0
  const meet = (): Promise<void> => {
    lanes++
    return wait(20)
  }
  const wide = runChunked(meet, { end: 1024, chunkSize: 1, concurrency: 1024 })
  await until(() => lanes === 1024, 'all at once')
  await wide
  const edge = await runChunked(() => {}, { start: -MOST, end: 0, chunkSize: MOST })
  t.is(edge.items, MOST)
  const theJob: ChunkJob<undefined, unknown> = job<() => unknown>(jobsUrl, 'preloaded')
  t.is((await within(runChunked(theJob, { end: 1, workers: 1024 }), 'one thread is started')).done, 1)
})

test.serial('by default: 8 lanes, one thread a core, no retry, stop at the first error', async (t) => {
  let now = 0
  let most = 0
  await runChunked(
    async () => {
      most = Math.max(most, ++now)
      await wait(2)
      now--
    },
    { end: 64, chunkSize: 1 },
  )
  t.is(most, 8)
  const hits = sharedArray(Int32Array, 400)
  const threads = runChunked(job<typeof work>(jobsUrl, 'work'), { end: 400, chunkSize: 1, args: { hits, pauseMs: 1 } })
  const started = (await within(gather<Status>(threads), 'threads')).filter(({ type }) => type === 'worker')
  t.is(started.length, Math.min(availableParallelism(), 400))
  for (const [where, start] of Object.entries(ways)) {
    const hits = sharedArray(Int32Array, 400)
    const run = start({ hits, fail: 3, pauseMs: 1 }, { end: 400, chunkSize: 1 })
    t.like(await failure(run), { code: 'MILL_RUN_CHUNK', chunk: { index: 3, attempts: 1 } }, where)
    t.is(hits[3], 1, where)
    t.true(begun(hits) < 20, `${where}: ${begun(hits)}`)
    t.is(run.snapshot().done, begun(hits) - 1, `${where}: what ran came to its end`)
  }
})

test.serial('by default an abort waits 5 s for a chunk that does not end', async (t) => {
  const run = runChunked(() => new Promise(() => {}), { end: 1 })
  await until(() => run.snapshot().running === 1, 'begun')
  // What it asks the clock for is enough; that a run ends when its grace does is shown where aborts are.
  const { setTimeout: real } = globalThis
  const asked: unknown[] = []
  let ring = (): void => t.fail('no timer')
  globalThis.setTimeout = Object.assign((fn: () => void, ms?: number) => {
    asked.push(ms)
    ring = fn
    return real(() => {}, 0)
  }, real)
  try {
    run.abort()
  } finally {
    globalThis.setTimeout = real
  }
  t.deepEqual(asked, [5000])
  await wait(20)
  t.is(run.snapshot().phase, 'stopping')
  ring()
  t.is(codeOf(await failure(run)), 'ABORT_ERR')
  t.deepEqual([...run.board], [4])
})

test('by default there is at most one progress event in 100 ms', async (t) => {
  const run = runChunked(() => wait(5), { end: 130, chunkSize: 1, concurrency: 1 })
  const from = performance.now()
  const events = await within(gather<Status>(run), 'run')
  const elapsed = performance.now() - from
  const progress = events.filter(({ type }) => type === 'progress').length
  t.true(progress >= 4, `${progress} in ${elapsed} ms`)
  t.true(progress <= elapsed / 100 + 4, `${progress} in ${elapsed} ms`)
})

test.serial('100 errors are kept, the counts are exact, and 1,024 events wait', async (t) => {
  const run = runChunked(
    ({ index }) => {
      throw new Error(`chunk ${index}`)
    },
    { end: 3000, chunkSize: 1, onError: 'continue' },
  )
  const reader = run[Symbol.asyncIterator]()
  const error = (await failure(run.done)) as Error & { errors: Error[] }
  t.like(error, { code: 'MILL_RUN_INCOMPLETE', failed: 3000 })
  t.is(error.errors.length, 100)
  t.deepEqual([...new Set(error.errors.map(codeOf))], ['MILL_RUN_CHUNK'])
  t.is(run.snapshot().failed, 3000)
  t.deepEqual([...run.board], times(3000, 3))
  let waiting = 0
  t.is(
    await failure(async () => {
      for (;;) waiting += (await reader.next()).value.type === 'failed' ? 1 : 0
    }),
    error,
  )
  t.is(waiting, 1024)
})

test.serial('retries: the delay doubles from attempt to attempt', async (t) => {
  const at: number[] = []
  const run = runChunked(
    ({ attempt }) => {
      at.push(performance.now())
      if (attempt < 4) throw new Error('not yet')
    },
    { end: 1, retries: { count: 3, delayMs: 20 } },
  )
  t.is((await within(run, 'run')).retried, 3)
  const gaps = at.slice(1).map((time, i) => time - (at[i] as number))
  gaps.forEach((gap, i) => {
    t.true(gap >= 20 * 2 ** i - 2, `${gaps}`)
  })
})
