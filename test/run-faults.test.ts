import { setTimeout as wait } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import {
  type Chunk,
  ChunkPool,
  type ChunkRun,
  isMillraceError,
  job,
  type RunError,
  type RunOptions,
  runChunked,
  type Status,
} from '../lib/run/index.js'
import type * as Jobs from './fixtures/run-jobs.js'
import { errors, type Fault, jobs } from './fixtures/run-jobs.js'
import { rounds, shared, tally } from './fixtures/run-kit.js'
import { codeOf, failure, gather, settle, within } from './fixtures/stream-kit.js'

const faulty = job<typeof Jobs.faulty>(jobs, 'faulty')
const fail = job<typeof Jobs.fail>(jobs, 'fail')

/** Small enough to be out of memory soon. */
const resourceLimits = { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 4 }

interface Case {
  readonly fault: Fault
  /** Of the error, once no attempt is left. */
  readonly code: string
  /** Of its cause: code, or name. */
  readonly cause: string | undefined
  /** The thread survives it. */
  readonly mild?: true
  readonly options?: RunOptions | { chunkTimeoutMs: number }
}

const cases: Case[] = [
  { fault: 'throw', code: 'MILL_RUN_CHUNK', cause: 'RangeError', mild: true },
  { fault: 'reject', code: 'MILL_RUN_CHUNK', cause: 'RangeError', mild: true },
  { fault: 'overflow', code: 'MILL_RUN_CHUNK', cause: 'RangeError', mild: true },
  { fault: 'uncloneable', code: 'MILL_RUN_CHUNK', cause: 'DataCloneError', mild: true },
  { fault: 'exit', code: 'MILL_RUN_WORKER', cause: undefined },
  { fault: 'memory', code: 'MILL_RUN_WORKER', cause: 'ERR_WORKER_OUT_OF_MEMORY' },
  { fault: 'late', code: 'MILL_RUN_WORKER', cause: 'RangeError' },
  // Long enough that a chunk which only waits for a busy machine is not taken for one that hangs.
  { fault: 'loop', code: 'MILL_RUN_TIMEOUT', cause: undefined, options: { chunkTimeoutMs: 300 } },
]

const nameOf = (cause: unknown): unknown => {
  const { code, name } = (cause ?? {}) as { code?: unknown; name?: unknown }
  return typeof code === 'string' ? code : name
}

const chunks = 12
const chunkSize = 5
const end = chunks * chunkSize
const world = () => ({ hits: shared(end), attempts: shared(chunks) })

for (const { fault, code, cause, mild, options } of cases) {
  test.serial(`R2: ${fault}: costs its own chunk an attempt, nothing else, time and again`, async (t) => {
    await using pool = new ChunkPool({ workers: 4, resourceLimits })
    for (let round = 0; round < rounds(mild ? 60 : 6); round++) {
      const { hits, attempts } = world()
      const args = { hits, attempts, fault, every: 4, times: 1 }
      const run = pool.run(faulty, { end, chunkSize, retries: 1, ...options, args })
      const values = gather(run.values())
      const { done, failed, retried } = await within(run, `round ${round}`, 20_000)
      t.deepEqual({ done, failed, retried }, { done: chunks, failed: 0, retried: 3 })
      t.deepEqual(
        await values,
        Array.from({ length: chunks }, (_, i) => i),
      )
      t.is(attempts.join(), '2,1,1,1,2,1,1,1,2,1,1,1')
      // Three chunks got as far as their last index before they went wrong.
      t.is(tally(hits), '1x48 2x12')
    }
  })

  test.serial(`R1: ${fault}: with no attempt left the run fails and names the chunk`, async (t) => {
    await using pool = new ChunkPool({ workers: 2, resourceLimits })
    for (let round = 0; round < rounds(fault === 'loop' ? 1 : 2); round++) {
      const { hits, attempts } = world()
      // Of two chunks in work only the first goes wrong, so there is one error to be had.
      const args = { hits, attempts, fault, every: 100, times: 9 }
      const run = pool.run(faulty, { start: 0, end, chunkSize, retries: 1, ...options, args })
      run
        .values()
        .resume()
        .on('error', () => {})
      const error = (await failure(run)) as RunError
      t.true(isMillraceError(error))
      t.is(error.code, code as RunError['code'])
      t.is(error.name, 'RunError')
      t.deepEqual(error.chunk, { index: 0, start: 0, end: 5, attempts: 2 })
      t.regex(error.message, /^Chunk 0 \(0 to 5\) .*after 2 attempts/)
      t.is(nameOf(error.cause), cause)
      if (fault === 'exit') t.is((error as { exitCode?: number }).exitCode, 7)
      t.is(run.chunkAt(0).state, 'failed')
      t.is(attempts[0], 2)
      const { phase, failed, running, done } = run.snapshot()
      t.deepEqual({ phase, failed, running }, { phase: 'failed', failed: 1, running: 0 })
      t.is(done, run.board.filter((state) => state === 2).length)
    }
  })
}

test('attempts are numbered, told of, and wait twice as long each time', async (t) => {
  const at: number[] = []
  const attempts: number[] = []
  const run = runChunked(
    ({ attempt }: Chunk) => {
      at.push(performance.now())
      attempts.push(attempt)
      throw new Error(`attempt ${attempt}`)
    },
    { start: 10, end: 12, chunkSize: 2, retries: { count: 4, delayMs: 8 } },
  )
  const events: Status[] = []
  run.on('data', (event) => events.push(event))
  run.on('error', () => {})
  const error = (await failure(run)) as RunError
  await settle()
  t.deepEqual(attempts, [1, 2, 3, 4, 5])
  const waits = at.slice(1).map((time, i) => time - (at[i] as number))
  // A timer may fire up to a millisecond early.
  t.true(
    waits.every((ms, i) => ms > 8 * 2 ** i - 2),
    `${waits}`,
  )
  t.deepEqual([error.code, error.chunk], ['MILL_RUN_CHUNK', { index: 0, start: 10, end: 12, attempts: 5 }])
  const told = events.flatMap((event) =>
    event.type === 'retry' || event.type === 'failed'
      ? [[event.type, event.index, event.start, event.end, event.attempt, (event.error as Error).message]]
      : [],
  )
  t.deepEqual(
    told.slice(0, 4),
    [1, 2, 3, 4].map((attempt) => ['retry', 0, 10, 12, attempt, `attempt ${attempt}`]),
  )
  t.deepEqual(told[4]?.slice(0, 5), ['failed', 0, 10, 12, 5])
  t.is(told.length, 5)
})

test.serial('the delay doubles from attempt to attempt, up to 30 s', async (t) => {
  const { setTimeout: real } = globalThis
  t.teardown(() => {
    globalThis.setTimeout = real
  })
  const delays: number[] = []
  globalThis.setTimeout = Object.assign((fn: () => void, ms = 0) => {
    if (![9000, 18_000, 30_000, 36_000].includes(ms)) return real(fn, ms)
    delays.push(ms)
    return real(fn, 0)
  }, real)
  const run = runChunked(() => Promise.reject(new Error('no')), { end: 1, retries: { count: 5, delayMs: 9000 } })
  t.is(((await failure(run)) as RunError).chunk?.attempts, 6)
  t.deepEqual(delays, [9000, 18_000, 30_000, 30_000, 30_000])
})

test('attempts are numbered in threads as well, also across deaths', async (t) => {
  await using pool = new ChunkPool({ workers: 2 })
  for (const fault of ['throw', 'exit'] as const) {
    const { hits, attempts } = world()
    const args = { hits, attempts, fault, every: 6, times: 3 }
    const run = pool.run(faulty, { end, chunkSize, retries: { count: 3, delayMs: 1 }, args })
    const { retried } = await within(run, fault)
    t.is(retried, 6)
    t.is(attempts.join(), '4,1,1,1,1,1,4,1,1,1,1,1')
  }
})

test("onError 'stop': running chunks finish, nothing begins later", async (t) => {
  let begun = 0
  let ended = 0
  const run = runChunked(
    async ({ index }) => {
      begun++
      if (index === 1) throw new Error('no')
      await wait(20)
      ended++
    },
    { end: 50, chunkSize: 1, concurrency: 4 },
  )
  t.is(((await failure(run)) as RunError).chunk?.index, 1)
  t.deepEqual([begun, ended, tally(run.board)], [4, 3, '0x46 2x3 3x1'])
  await wait(30)
  t.is(begun, 4)

  await using pool = new ChunkPool({ workers: 2 })
  const spinOrFail = job<typeof Jobs.spinOrFail>(jobs, 'spinOrFail')
  for (let round = 0; round < rounds(10); round++) {
    const count = shared(3)
    const spinning = pool.run(spinOrFail, { end: 50, chunkSize: 1, args: { count, ms: 5 } })
    t.is(((await failure(spinning)) as RunError).chunk?.index, 0)
    const [began, finished] = count as unknown as [number, number]
    t.true(began <= 2, `${began} began`)
    t.is(finished, began - 1)
    await wait(10)
    t.is(count[0], began)
    t.is(tally(spinning.board), finished === 0 ? '0x49 3x1' : '0x48 2x1 3x1')
  }
})

const failing: [string, (pool: ChunkPool, options: RunOptions) => ChunkRun][] = [
  ['threads', (pool, options) => pool.run(fail, { ...options, args: { kind: 'cause' } })],
  [
    'lanes',
    (_, options) =>
      runChunked(() => {
        throw errors.cause()
      }, options),
  ],
]

for (const [name, begin] of failing) {
  test(`onError 'continue': of 5,000 failures in ${name} 100 are kept and all are counted`, async (t) => {
    await using pool = new ChunkPool({ workers: 3 })
    const run = begin(pool, { end: 5000, chunkSize: 1, onError: 'continue' })
    const error = (await failure(run)) as RunError
    t.is(error.code, 'MILL_RUN_INCOMPLETE')
    t.is(error.failed, 5000)
    t.is(error.errors?.length, 100)
    for (const one of error.errors ?? []) {
      t.is(one.code, 'MILL_RUN_CHUNK')
      t.is((one.cause as Error).message, 'outer')
    }
    t.is(new Set(error.errors?.map((one) => one.chunk?.index)).size, 100)
    t.is(tally(run.board), '3x5000')
    t.is(run.snapshot().failed, 5000)
  })
}

test("R1: onError 'continue': the others are done, be it throws or deaths", async (t) => {
  await using pool = new ChunkPool({ workers: 2 })
  for (const fault of ['throw', 'exit'] as const) {
    const { hits, attempts } = world()
    const args = { hits, attempts, fault, every: 4, times: 9 }
    const run = pool.run(faulty, { end, chunkSize, onError: 'continue', args })
    const error = (await failure(run)) as RunError
    t.is(error.code, 'MILL_RUN_INCOMPLETE')
    t.is(error.failed, 3)
    t.deepEqual(
      error.errors?.map((one) => one.chunk?.index).sort((a = 0, b = 0) => a - b),
      [0, 4, 8],
    )
    t.is([...run.board].join(''), '322232223222')
    t.is(attempts.join(), '1,1,1,1,1,1,1,1,1,1,1,1')
  }
})

test('in process chunkTimeoutMs gives a chunk up: its signal fires, it is tried again, what it gives late is ignored', async (t) => {
  const fired: number[] = []
  const run = runChunked(
    async ({ index, attempt, signal }) => {
      signal.addEventListener('abort', () => fired.push(index))
      if (attempt === 1 && index % 2 === 0) {
        await wait(400)
        return 'late'
      }
      return index
    },
    { end: 6, chunkSize: 1, concurrency: 6, chunkTimeoutMs: 150, retries: 1 },
  )
  const values = gather(run.values())
  const { retried, done } = await within(run, 'the run')
  t.deepEqual([retried, done], [3, 6])
  t.deepEqual(await values, [0, 1, 2, 3, 4, 5])
  t.deepEqual(fired.sort(), [0, 2, 4])
  await wait(350)
  t.is(tally(run.board), '2x6')

  const hopeless = runChunked(() => new Promise(() => {}), { end: 9, start: 3, chunkSize: 6, chunkTimeoutMs: 20 })
  const error = (await failure(hopeless)) as RunError
  t.is(error.code, 'MILL_RUN_TIMEOUT')
  t.deepEqual(error.chunk, { index: 0, start: 3, end: 9, attempts: 1 })
})

const causeOf = async (t: ExecutionContext, kind: keyof typeof errors, pool: ChunkPool): Promise<unknown> => {
  const error = await failure(pool.run(fail, { end: 1, args: { kind } }))
  t.true(isMillraceError(error, 'MILL_RUN_CHUNK'), kind)
  return (error as Error).cause
}

test('an error comes home from a thread as what it was', async (t) => {
  await using pool = new ChunkPool({ workers: 1 })
  type Any = Error & Record<string, unknown>
  const of = async (kind: keyof typeof errors): Promise<Any> => (await causeOf(t, kind, pool)) as Any

  const typed = await of('class')
  t.true(typed instanceof TypeError)
  t.is(typed.message, 'of its class')
  t.regex(String(typed.stack), /run-jobs/)

  const { code, at, list, fn, message } = await of('properties')
  t.deepEqual({ code, at, list, fn, message }, {
    code: 'E_MINE',
    at: { line: 3 },
    list: [1, 2],
    fn: undefined,
    message: 'with properties',
  } as never)

  const outer = await of('cause')
  const middle = outer.cause as Error
  t.true(middle instanceof RangeError)
  t.deepEqual([outer.message, middle.message], ['outer', 'middle'])
  t.is(codeOf(middle.cause), 'E_IN')
  t.is((middle.cause as Error).message, 'inner')

  const several = await of('aggregate')
  t.true(several instanceof AggregateError)
  const [one, two] = several.errors as [unknown, unknown]
  t.true(one instanceof TypeError)
  t.is(two, 'two')

  const named = await of('named')
  t.true(named instanceof Error)
  t.is(named.name, 'ParcelLost')

  const ours = await of('ours')
  t.true(isMillraceError(ours, 'MILL_INVALID_ARGUMENT'))
  t.is(ours.argument, 'size')

  t.is(await causeOf(t, 'string', pool), 'only a string')
  t.is(await causeOf(t, 'nothing', pool), undefined)

  t.is((await of('circular')).message, 'its own cause')
  t.is((await of('hostile')).message, 'with a getter that throws')
  let depth = 0
  for (let error: unknown = await of('deep'); error !== undefined; error = (error as Error).cause) {
    t.is((error as Error).message, `${depth++} deep`)
  }
  t.true(depth >= 4, `${depth} deep`)
})

test('in process the cause is the very thing that was thrown', async (t) => {
  for (const make of Object.values(errors)) {
    const thrown = make()
    const error = await failure(
      runChunked(
        () => {
          throw thrown
        },
        { end: 1 },
      ),
    )
    t.true(isMillraceError(error, 'MILL_RUN_CHUNK'))
    t.is((error as Error).cause, thrown)
  }
})
