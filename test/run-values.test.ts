import { execFile } from 'node:child_process'
import { Writable as NodeWritable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { type ChunkRun, isMillraceError, job, type RunOptions, runChunked, sharedArray } from '../lib/run/index.js'
import * as jobs from './fixtures/run-jobs-2.js'
import { until } from './fixtures/run-kit.js'
import { begun, jobsUrl, upTo, ways } from './fixtures/run-ways.js'
import { codeOf, failure, gather, gatherUntilError, within } from './fixtures/stream-kit.js'

const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const each = (end: number): { end: number; chunkSize: number } => ({ end, chunkSize: 1 })

/** Chunks of uneven length, in `lanes` lanes or threads. */
const uneven: Record<
  string,
  (seed: number, options: RunOptions, lanes: number, hits?: Int32Array) => ChunkRun<number>
> = {
  'in process': (seed, options, concurrency, hits) =>
    runChunked(jobs.jitter, { ...options, concurrency, args: { seed, ...(hits && { hits }) } }),
  'in threads': (seed, options, workers, hits) =>
    runChunked(job<typeof jobs.jitter>(jobsUrl, 'jitter'), {
      ...options,
      workers,
      args: { seed, ...(hits && { hits }) },
    }),
}

for (const [where, start] of Object.entries(uneven)) {
  test.serial(`${where}: values come in order, whatever the chunks take`, async (t) => {
    for (let round = 0; round < 4 * scale; round++) {
      const lanes = 1 + (round % 4) * 2
      const window = [undefined, 1, 3, 100][round % 4]
      const run = start(round * 31, each(50), lanes)
      const values = run.values(window === undefined ? {} : { window })
      t.deepEqual(await within(gather<number>(values), `round ${round}`), upTo(50), `${lanes} lanes, window ${window}`)
      t.is((await run).done, 50)
    }
  })

  test.serial(`${where}: at most a window of chunks is begun beyond what was taken`, async (t) => {
    for (const [ordered, window] of [
      [true, 1],
      [true, 7],
      [false, 7],
    ] as const) {
      const hits = sharedArray(Int32Array, 40)
      const run = start(2, each(40), 3, hits)
      const values = run.values({ ordered, window })[Symbol.asyncIterator]()
      await until(() => begun(hits) === window, 'the window is full')
      let taken = 0
      while ((await within(values.next(), 'value')).done !== true) {
        taken++
        if (taken % 8 === 0) await wait(10) // a slow reader now and then
        t.true(begun(hits) <= taken + window, `${begun(hits)} begun, ${taken} taken, window ${window}`)
      }
      t.is(taken, 40)
      t.is((await run).done, 40)
    }
  })

  test.serial(`${where}: values nobody reads stop the claims for good; abort ends the run`, async (t) => {
    const hits = sharedArray(Int32Array, 40)
    const run = start(3, each(40), 2, hits)
    const values = run.values({ window: 5 })
    await until(() => begun(hits) === 5, 'the window is full')
    await wait(60)
    t.is(begun(hits), 5)
    t.is(run.snapshot().phase, 'running')
    const reason = new Error('enough')
    run.abort(reason)
    t.is(await failure(run), reason)
    t.is(await failure(gather(values)), reason)
    t.is(begun(hits), 5)
  })

  test.serial(`${where}: without a window of one's own it is four times the lanes`, async (t) => {
    const hits = sharedArray(Int32Array, 40)
    const run = start(4, each(40), 2, hits)
    const values = run.values()
    await until(() => begun(hits) >= 8, 'the window is full')
    await wait(40)
    t.is(begun(hits), 8)
    t.deepEqual(await within(gather<number>(values), 'values'), upTo(40))
    await run
  })

  test.serial(`${where}: reading stops, claiming stops: leaving the loop aborts the run`, async (t) => {
    const hits = sharedArray(Int32Array, 40)
    const run = start(5, each(40), 2, hits)
    let taken = 0
    for await (const value of run.values({ window: 4 })) {
      t.is(value, taken)
      if (++taken === 10) break
    }
    t.is(codeOf(await failure(run)), 'ABORT_ERR')
    t.like(run.snapshot(), { phase: 'aborted', running: 0 })
    t.true(begun(hits) <= 14, `${begun(hits)}`)
    const before = begun(hits)
    await wait(40)
    t.is(begun(hits), before)
  })

  test.serial(`${where}: values flow through pipeline, batches and a Web stream`, async (t) => {
    const seen: number[] = []
    const sink = new NodeWritable({
      objectMode: true,
      write(value, _encoding, done) {
        seen.push(value)
        setTimeout(done, 1)
      },
    })
    await within(pipeline(start(6, each(30), 2).values(), sink), 'pipeline')
    t.deepEqual(seen, upTo(30))
    t.deepEqual((await within(gather(start(7, each(30), 2).values().batches()), 'batches')).flat(), upTo(30))
    t.deepEqual(await within(gather(start(8, each(30), 2).values().toWeb()), 'web'), upTo(30))
    t.deepEqual(await within(gather(start(9, each(30), 2).values().toNode()), 'node'), upTo(30))
  })
}

for (const [where, start] of Object.entries(ways)) {
  const work = (count: number, options: Partial<jobs.Work> = {}) => ({
    hits: sharedArray(Int32Array, count),
    ...options,
  })

  test.serial(`${where}: values() is asked for in the same tick, and once`, async (t) => {
    const late = start(work(10), each(10))
    await null
    t.is(codeOf(await failure(() => late.values())), 'MILL_RUN_LATE')
    t.is((await within(late, 'late')).done, 10)
    t.is(codeOf(await failure(() => late.values())), 'MILL_RUN_LATE')
    const twice = start(work(10), each(10))
    const values = twice.values()
    t.is(codeOf(t.throws(() => twice.values())), 'MILL_RUN_LATE')
    t.deepEqual(await within(gather(values), 'values'), upTo(10))
  })

  test.serial(`${where}: wrong options of values() are refused at once, and do not count as asking`, async (t) => {
    const run = start(work(10), each(10))
    for (const window of [0, -1, 1.5, Number.NaN, '4', null]) {
      const error = t.throws(() => run.values({ window } as never))
      t.like(error, { code: 'MILL_INVALID_ARGUMENT', argument: 'options.window' }, String(window))
    }
    const error = t.throws(() => run.values({ ordered: 'yes' } as never))
    t.like(error, { code: 'MILL_INVALID_ARGUMENT', argument: 'options.ordered' })
    t.deepEqual(await within(gather(run.values()), 'values'), upTo(10))
  })

  test.serial(`${where}: no chunks, no values`, async (t) => {
    const run = start(work(1), { end: 0 })
    t.deepEqual(await within(gather(run.values()), 'values'), [])
    t.is((await run).done, 0)
  })

  test.serial(`${where}: a retried chunk's value keeps its place`, async (t) => {
    const args = work(30, { fail: 4, mendedAt: 3, pauseMs: 1 })
    const run = start(args, { ...each(30), retries: 2 })
    t.deepEqual(await within(gather(run.values({ window: 3 })), 'values'), upTo(30))
    t.is(args.hits[4], 3)
    t.is((await run).retried, 2)
  })

  test.serial(
    `${where}: the value of a failed chunk is left out, and the error comes after all the others`,
    async (t) => {
      const run = start(work(30, { fail: 11 }), { ...each(30), onError: 'continue' })
      const { items, error } = await within(gatherUntilError(run.values({ window: 4 })), 'values')
      t.deepEqual(
        items,
        upTo(30).filter((index) => index !== 11),
      )
      t.like(error, { code: 'MILL_RUN_INCOMPLETE', failed: 1 })
      t.is(await failure(run), error)
    },
  )

  test.serial(`${where}: with onError 'stop' what was done before is given, then the error`, async (t) => {
    const run = start(work(200, { fail: 20, pauseMs: 1 }), each(200))
    const { items, error } = await within(gatherUntilError(run.values()), 'values')
    t.true(isMillraceError(error, 'MILL_RUN_CHUNK'))
    t.deepEqual(items.slice(0, 20), upTo(20))
    t.false(items.includes(20))
    t.true(items.length < 60, `${items.length}`)
    t.is(await failure(run), error)
  })
}

test.serial('unordered, each value comes once, and a slow chunk holds up nobody', async (t) => {
  type Args = Parameters<typeof jobs.lateFirst>[1]
  const starts: Record<string, (args: Args) => ChunkRun<number>> = {
    'in process': (args) => runChunked(jobs.lateFirst, { ...each(40), concurrency: 2, args }),
    'in threads': (args) =>
      runChunked(job<typeof jobs.lateFirst>(jobsUrl, 'lateFirst'), { ...each(40), workers: 2, args }),
  }
  for (const [where, start] of Object.entries(starts)) {
    const heard = sharedArray(Int32Array, 1)
    const run = start({ begun: sharedArray(Int32Array, 1), heard })
    const seen: number[] = []
    const reading = (async () => {
      for await (const value of run.values({ ordered: false, window: 20 })) {
        seen.push(value)
        Atomics.add(heard, 0, 1)
      }
    })()
    await within(reading, where)
    t.deepEqual(
      seen.toSorted((a, b) => a - b),
      upTo(40),
    )
    t.true(seen.indexOf(0) >= 5, `${where}: ${seen}`)
    await run
    // In order it is waited for, and the others wait behind it.
    t.deepEqual(
      await within(gather(start({ begun: sharedArray(Int32Array, 1) }).values({ window: 8 })), where),
      upTo(40),
    )
  }
})

test.serial('undefined and null are not delivered; what is false is', async (t) => {
  const wanted = upTo(70)
    .map((index) => jobs.sparse({ index } as never))
    .filter((value) => value !== undefined && value !== null)
  const local = runChunked(jobs.sparse, each(70)).values({ window: 2 })
  t.deepEqual(await within(gather(local), 'in process'), wanted as never)
  const threads = runChunked(job<typeof jobs.sparse>(jobsUrl, 'sparse'), { ...each(70), workers: 2 })
  t.deepEqual(await within(gather(threads.values({ window: 2 })), 'in threads'), wanted as never)
  t.is((await threads).done, 70)
  const none = runChunked(() => undefined, each(500))
  t.deepEqual(await within(gather(none.values({ window: 1 })), 'none at all'), [])
})

test.serial('a transferred value leaves its thread, one that is not is copied', async (t) => {
  for (const list of [false, true]) {
    const detached = sharedArray(Int32Array, 1)
    const run = runChunked(job<typeof jobs.moved>(jobsUrl, 'moved'), {
      ...each(40),
      workers: 1,
      args: { detached, list },
    })
    let index = 0
    for await (const value of run.values()) {
      const data = (list ? (value as { data: Float64Array }).data : value) as Float64Array
      t.true(data instanceof Float64Array)
      t.deepEqual([data.length, data[0], data.at(-1)], [1000, index, index])
      index++
    }
    t.is(index, 40)
    t.is(detached[0], 39, 'each but the last was gone when the next began')
  }
  const reused = runChunked(job<typeof jobs.reused>(jobsUrl, 'reused'), { ...each(60), workers: 2 })
  const arrays = await within(gather<Uint32Array>(reused.values()), 'reused')
  arrays.forEach((array, index) => {
    t.true(
      array.every((item) => item === index),
      `${index}`,
    )
  })
  t.is(arrays.length, 60)
})

test.serial('in process transfer does nothing, and a value is the very same', async (t) => {
  const made: Uint8Array[] = []
  const run = runChunked((chunk) => {
    const value = new Uint8Array(8)
    made.push(value)
    return chunk.transfer(value, [value.buffer])
  }, each(5))
  const seen = await within(gather(run.values()), 'values')
  t.true(seen.length === 5 && seen.every((value, i) => value === made[i] && value.length === 8))
})

test.serial('R2: a value that cannot be cloned costs its own chunk, nothing else', async (t) => {
  const start = (options: Partial<RunOptions>): ChunkRun<unknown> =>
    runChunked(job<typeof jobs.uncloneable>(jobsUrl, 'uncloneable'), { ...each(40), workers: 2, ...options })
  const run = start({ onError: 'continue', retries: 1 })
  const { items, error } = await within(gatherUntilError(run.values()), 'values')
  t.deepEqual(
    items,
    upTo(40).filter((index) => index % 10 !== 3),
  )
  t.like(error, { code: 'MILL_RUN_INCOMPLETE', failed: 4 })
  t.like(run.snapshot(), { retried: 4, failed: 4, done: 36 })
  const stopped = start({})
  const values = gatherUntilError(stopped.values())
  const first = (await failure(stopped)) as { cause: Error }
  t.like(first, { code: 'MILL_RUN_CHUNK', chunk: { index: 3, start: 3, end: 4, attempts: 1 } })
  t.is(first.cause.name, 'DataCloneError')
  t.is((await values).error, first)
  t.is((await within(start({}), 'not asked for, not sent')).done, 40)
})

test.serial('a value whose thread died comes when its chunk was run again', async (t) => {
  const hits = sharedArray(Int32Array, 30)
  const run = runChunked(job<typeof jobs.exits>(jobsUrl, 'exits'), {
    ...each(30),
    workers: 2,
    retries: 1,
    args: { at: 9, hits },
  })
  t.deepEqual(await within(gather(run.values({ window: 4 })), 'values'), upTo(30))
  t.is(hits[9], 2)
})

test.serial('awaiting, statuses and values together', async (t) => {
  const run = uneven['in threads']?.(10, { ...each(30), events: 'chunk' }, 2) as ChunkRun<number>
  const [values, statuses, summary] = await within(Promise.all([gather(run.values()), gather(run), run]), 'all')
  t.deepEqual(values, upTo(30))
  t.is(statuses.filter(({ type }) => type === 'chunk').length, 30)
  t.is(statuses.at(-1)?.type, 'end')
  t.is(summary.done, 30)
})

test.serial('G3: 1.2 GB of values go by in under 400 MB more memory', async (t) => {
  const path = fileURLToPath(new URL('./fixtures/run-memory.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [path], { timeout: 60_000 })
  const { bytes, wrong, growth } = JSON.parse(stdout) as Record<string, number>
  t.deepEqual([bytes, wrong], [1200 * 2 ** 20, 0])
  t.true((growth as number) < 400e6, `grew by ${growth} bytes`)
})
