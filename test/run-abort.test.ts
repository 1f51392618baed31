import { execFile } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { type Chunk, ChunkPool, type ChunkRun, isMillraceError, job, runChunked } from '../lib/run/index.js'
import type * as Jobs from './fixtures/run-jobs.js'
import { jobs } from './fixtures/run-jobs.js'
import { type Census, census, shared, tally, until } from './fixtures/run-kit.js'
import { places } from './fixtures/run-places.js'
import type { Stopped } from './fixtures/run-stop.js'
import { abortKit, failure, gatherUntilError, settle, within } from './fixtures/stream-kit.js'

// Everything here is serial: the census sees the threads, timers and handles of all that runs meanwhile.

const empty = job<typeof Jobs.empty>(jobs, 'empty')
const untilSignal = job<typeof Jobs.untilSignal>(jobs, 'untilSignal')

/** What was done, and that the books agree. */
function aborted(t: ExecutionContext, run: ChunkRun): void {
  const { phase, running, done, total } = run.snapshot()
  t.deepEqual({ phase, running, total }, { phase: 'aborted', running: 0, total: run.count })
  t.is(done, run.board.filter((state) => state === 2).length)
  t.false(run.board.includes(1), tally(run.board))
}

async function withPool(t: ExecutionContext, body: (pool: ChunkPool, counted: Census) => Promise<void>): Promise<void> {
  const counted = census()
  t.teardown(counted.stop)
  {
    await using pool = new ChunkPool({ workers: 2 })
    await body(pool, counted)
  }
  t.deepEqual(await counted.left(), [])
}

/**
 * Five aborts of each kind, timed in a process of their own: other tests do not disturb it, and no coverage is written when
 * a thread ends. Bare threads are ended beside each: only when they alone use up half of what is allowed, the machine is so
 * busy that what they took beyond that is taken off.
 */
test.serial('R3: an abort ends within graceMs plus 50 ms, wherever chunks run; so does closing a pool', async (t) => {
  const [ALLOWED, WORST] = [50, 1000]
  const path = fileURLToPath(new URL('./fixtures/run-stop.js', import.meta.url))
  const env = { ...process.env, NODE_V8_COVERAGE: '' }
  const { stdout } = await within(promisify(execFile)(process.execPath, [path], { env }), 'the process', 90_000)
  const all = JSON.parse(stdout) as Stopped[]
  t.deepEqual(
    all.map(({ what, graceMs, rounds }) => [what, graceMs, rounds.length]),
    [...places.flatMap(({ name }) => [0, 100].map((graceMs) => [name, graceMs, 5])), ['closing a pool', 20, 5]],
  )
  for (const { what, graceMs, rounds } of all) {
    const text = `${what}, ${graceMs} ms: ${JSON.stringify(rounds)}`
    const took = rounds.map(({ took, late }) => took - Math.max(0, late - ALLOWED / 2)).toSorted((a, b) => a - b)
    t.true(
      rounds.every(({ took }) => took > graceMs - 2),
      text,
    )
    t.true((took[2] as number) <= graceMs + ALLOWED, text)
    t.true((took[4] as number) <= graceMs + WORST, text)
  }
})

for (const { name, patient, stubborn, quick } of places) {
  test.serial(`${name}: the reason given is the error, chunks learn of it, nothing begins later`, (t) =>
    withPool(t, async (pool) => {
      const counts: [Int32Array, number][] = []
      for (const reason of [new Error('stop'), 'only a string', { an: 'object' }]) {
        for (const by of ['signal', 'abort'] as const) {
          const count = shared(2)
          const kit = abortKit()
          const run = patient(pool, count, { end: 50, chunkSize: 1, signal: kit.signal, graceMs: 60_000 })
          await until(() => count[0] === 2, 'two chunks begin')
          if (by === 'signal') kit.abort(reason)
          else run.abort(reason)
          run.abort(new Error('a second reason'))
          t.is(await failure(run, `abort by ${by}`), reason)
          t.is(await failure(run.done), reason)
          t.is(kit.live(), 0)
          t.is(tally(count), '2x2')
          aborted(t, run)
          counts.push([count, count[0] as number])
        }
      }
      await wait(50)
      for (const [count, before] of counts) t.is(count[0], before)
    }),
  )

  test.serial(`${name}: without a reason it is an AbortError`, (t) =>
    withPool(t, async (pool) => {
      const count = shared(2)
      const run = patient(pool, count, { end: 4, chunkSize: 1 })
      await until(() => count[0] === 2, 'two chunks begin')
      run.abort()
      const error = await failure(run)
      t.true(isMillraceError(error, 'ABORT_ERR'))
      t.is((error as Error).name, 'AbortError')
      const controller = new AbortController()
      const signalled = patient(pool, shared(2), { end: 4, chunkSize: 1, signal: controller.signal })
      controller.abort()
      t.is(await failure(signalled), controller.signal.reason)
    }),
  )

  test.serial(`R3: ${name}: chunks that never end are given up after graceMs, every thread gone`, (t) =>
    withPool(t, async (pool, counted) => {
      for (const graceMs of [0, 100]) {
        const count = shared(1)
        const run = stubborn(pool, count, { end: 10, chunkSize: 1, graceMs })
        await until(() => count[0] === 2, 'two chunks begin')
        const reason = new Error('stop')
        run.abort(reason)
        t.is(await failure(run), reason)
        if (name === 'threads') t.is(counted.live.size, 0)
        t.is(tally(run.board), '0x8 4x2')
        t.is(run.chunkAt(0).state, 'aborted')
        aborted(t, run)
      }
      // What was given up does not stand in the way of what comes after it.
      t.is((await within(quick(pool, { end: 100, chunkSize: 1 }), 'the next run')).done, 100)
    }),
  )

  test.serial(`${name}: aborted before it starts, a run runs nothing`, (t) =>
    withPool(t, async (pool, counted) => {
      const count = shared(2)
      const reason = new Error('before')
      const late = patient(pool, count, { end: 5, chunkSize: 1, signal: AbortSignal.abort(reason) })
      t.is(await failure(late), reason)
      const sameTick = patient(pool, count, { end: 5, chunkSize: 1 })
      sameTick.abort(reason)
      t.is(await failure(sameTick), reason)
      for (const run of [late, sameTick]) {
        aborted(t, run)
        t.false(run.board.includes(2))
      }
      t.is(count[0], 0)
      t.is(counted.started(), 0)
    }),
  )

  test.serial(`${name}: an abort after the end does nothing`, (t) =>
    withPool(t, async (pool) => {
      const kit = abortKit()
      const run = quick(pool, { end: 20, chunkSize: 1, signal: kit.signal })
      const summary = await within(run, 'a quick run')
      t.is(kit.live(), 0)
      run.abort(new Error('too late'))
      kit.abort(new Error('too late'))
      t.is(await within(run.done, 'the same again'), summary)
      t.is(run.snapshot().phase, 'done')
      t.is(tally(run.board), '2x20')
    }),
  )

  test.serial(`${name}: many runs leave no listener on a signal they share`, (t) =>
    withPool(t, async (pool) => {
      const kit = abortKit()
      const many = name === 'threads' ? 5 : 200
      for (let i = 0; i < many; i++) {
        t.is((await within(quick(pool, { end: 3, chunkSize: 1, signal: kit.signal }), `run ${i}`)).done, 3)
      }
      t.is(kit.live(), 0)
    }),
  )
}

test.serial('async chunks get the reason on their signal, and what they throw then is not the error of the run', (t) =>
  withPool(t, async () => {
    const reason = new Error('stop')
    const seen: unknown[] = []
    const run = runChunked(
      async ({ signal }: Chunk) => {
        try {
          await wait(60_000, undefined, { signal })
        } finally {
          seen.push(signal.reason)
        }
      },
      { end: 8, chunkSize: 1, retries: 3, concurrency: 2 },
    )
    await settle()
    run.abort(reason)
    t.is(await failure(run), reason)
    t.deepEqual(seen, [reason, reason])
    t.is(run.snapshot().retried, 0)
    aborted(t, run)
  }),
)

test.serial('what a chunk gives after it was given up is ignored', (t) =>
  withPool(t, async () => {
    const release: (() => void)[] = []
    const run = runChunked(() => new Promise<void>((resolve) => release.push(resolve)), {
      end: 4,
      chunkSize: 1,
      concurrency: 4,
      graceMs: 0,
    })
    await settle()
    run.abort()
    await failure(run)
    for (const resolve of release) resolve()
    await settle()
    t.is(tally(run.board), '4x4')
    aborted(t, run)
  }),
)

test.serial('a chunk may abort its own run', (t) =>
  withPool(t, async () => {
    for (const graceMs of [0, 60_000]) {
      let calls = 0
      const run = runChunked(
        () => {
          calls++
          run.abort('mine')
        },
        { end: 9, chunkSize: 1, concurrency: 3, graceMs },
      )
      t.is(await failure(run), 'mine')
      t.is(calls, 1)
      aborted(t, run)
    }
  }),
)

test.serial('an abort does not wait for the delay of a retry', (t) =>
  withPool(t, async (pool) => {
    const options = { end: 4, chunkSize: 1, retries: { count: 5, delayMs: 20_000 } }
    const fail = job<typeof Jobs.fail>(jobs, 'fail')
    // A thread, or a lane, waits with its chunk.
    const begin: ((onFail: () => void) => ChunkRun)[] = [
      (onFail) =>
        runChunked(
          () => {
            onFail()
            throw new Error('try again')
          },
          { ...options, concurrency: 2 },
        ),
      (onFail) => {
        const run = pool.run(fail, { ...options, args: { kind: 'class' } })
        run.on('data', ({ type }) => type === 'retry' && onFail())
        run.on('error', () => {})
        return run
      },
    ]
    for (const one of begin) {
      let failed = 0
      const run = one(() => failed++)
      await until(() => failed === 2, 'two fail')
      await settle()
      run.abort('enough')
      t.is(await failure(run), 'enough')
      aborted(t, run)
    }
  }),
)

test.serial('R3: threads that hang in init are ended like any other', (t) =>
  withPool(t, async (_, counted) => {
    const count = shared(2)
    const hanging = job<typeof Jobs.untilAborted>(jobs, 'untilAborted', { init: 'neverOpen' })
    const run = runChunked(hanging, { end: 9, chunkSize: 1, workers: 2, graceMs: 0, args: { count } })
    await until(() => count[0] === 2, 'two threads hang')
    run.abort('enough')
    t.is(await failure(run), 'enough')
    t.is(counted.live.size, 0)
    t.is(tally(run.board), '0x9')
    aborted(t, run)
  }),
)

test.serial('R3: threads that hang in a preload are ended, in a pool that was never ready too', async (t) => {
  const counted = census()
  t.teardown(counted.stop)
  const preload = [new URL('data:text/javascript,for(;;);')]
  const run = runChunked(empty, { end: 9, chunkSize: 1, workers: 2, graceMs: 0, preload })
  await until(() => counted.live.size === 2, 'two threads start')
  await wait(50)
  run.abort('enough')
  t.is(await failure(run), 'enough')
  t.is(counted.live.size, 0)

  const pool = new ChunkPool({ workers: 2, preload })
  const ready = failure(() => pool.ready(), 'ready()')
  const waiting = pool.run(empty, { end: 9, chunkSize: 1, graceMs: 0 })
  await wait(50)
  await within(pool.close(), 'close')
  t.true(isMillraceError(await failure(waiting), 'ABORT_ERR'))
  t.true(isMillraceError(await ready))
  t.is(counted.live.size, 0)
  t.deepEqual(await counted.left(), [])
})

test.serial('threads that wait for a reader of values are woken by an abort; the reader gets the reason', (t) =>
  withPool(t, async () => {
    const indexAfter = job<typeof Jobs.indexAfter>(jobs, 'indexAfter')
    const reason = new Error('stop')
    const run = runChunked(indexAfter, { end: 100, chunkSize: 1, workers: 2, graceMs: 60_000, args: { ms: 0 } })
    const values = run.values({ window: 1 })
    const reader = values[Symbol.asyncIterator]()
    t.is((await within(reader.next(), 'the first')).value, 0)
    // Long enough for both threads to have gone to sleep at the window.
    await wait(50)
    run.abort(reason)
    t.is(await failure(run), reason)
    const { error } = await within(gatherUntilError({ [Symbol.asyncIterator]: () => reader }), 'the reader')
    t.is(error, reason)
    t.true(run.snapshot().done <= 3)
  }),
)

test.serial('a run that waits for its turn in a pool is aborted at once; the one before it goes on', (t) =>
  withPool(t, async (pool) => {
    const count = shared(2)
    const first = pool.run(untilSignal, { end: 2, chunkSize: 1, args: { count } })
    await until(() => count[0] === 2, 'the first run has the threads')
    const waiting = pool.run(empty, { end: 10, chunkSize: 1 })
    await settle()
    waiting.abort('no patience')
    t.is(await failure(waiting), 'no patience')
    t.is(tally(waiting.board), '0x10')
    t.is(first.snapshot().phase, 'running')
    t.is(tally(count), '0x1 2x1')
    first.abort()
    await failure(first)
  }),
)
