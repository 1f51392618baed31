import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import {
  type ChunkRun,
  isMillraceError,
  job,
  type RunProgress,
  runChunked,
  type Status,
  sharedArray,
} from '../lib/run/index.js'
import type { busy, exits } from './fixtures/run-jobs-2.js'
import { until } from './fixtures/run-kit.js'
import { begun, jobsUrl, times, upTo, ways } from './fixtures/run-ways.js'
import { failure, gather, gatherUntilError, within } from './fixtures/stream-kit.js'

const each = (end: number): { end: number; chunkSize: number } => ({ end, chunkSize: 1 })
const progressOf = (all: readonly Status[]) =>
  all.filter((status): status is Status & RunProgress => status.type === 'progress' || status.type === 'end')
const ofType = <T extends Status['type']>(all: readonly Status[], type: T) =>
  all.filter((status): status is Status & { readonly type: T } => status.type === type)

for (const [where, start] of Object.entries(ways)) {
  test.serial(`${where}: progress comes at once, not too often, never falls, and ends with the end`, async (t) => {
    const count = 150
    for (const progressMs of [10, 40, 1e6]) {
      const run = start({ hits: sharedArray(Int32Array, count), pauseMs: 2 }, { ...each(count), progressMs })
      const from = performance.now()
      const events = await within(gather<Status>(run), 'stream')
      const elapsed = performance.now() - from
      const all = progressOf(events)
      t.is(events.at(-1)?.type, 'end')
      t.is(all.filter(({ type }) => type === 'end').length, 1)
      t.is(all[0]?.type, 'progress')
      t.true((all[0]?.done as number) < count, 'the first comes before the end')
      t.true(all.length <= elapsed / progressMs + 4, `${all.length} in ${elapsed} ms`)
      if (progressMs === 10) t.true(all.length >= 5, `${all.length} in ${elapsed} ms`)
      if (progressMs === 1e6) t.true(all.length <= 2, `${all.length}`)
      let before = { done: 0, elapsedMs: 0, items: 0 }
      for (const now of all) {
        t.true(now.done >= before.done && now.elapsedMs >= before.elapsedMs && now.items >= before.items)
        t.like(now, { total: count, failed: 0, retried: 0, skipped: 0, items: now.done })
        t.true(now.running >= 0 && now.running <= 2 && now.done + now.running <= count)
        t.is(now.phase, now.type === 'end' ? 'done' : 'running')
        t.true(now.rate >= 0 && Number.isFinite(now.rate))
        if (now.done === 0) t.is(now.etaMs, undefined)
        else t.true((now.etaMs as number) >= 0)
        before = now
      }
      t.like(all.at(-1), { done: count, running: 0, etaMs: 0 })
    }
  })

  test.serial(`${where}: a slow reader gets fewer events, each with the numbers of that moment`, async (t) => {
    const [count, pace] = [200, 20]
    const run = start({ hits: sharedArray(Int32Array, count), pauseMs: 2 }, { ...each(count), progressMs: 1 })
    let taken = 0
    let floor = 0
    let over = false
    for await (const status of run) {
      if (status.type !== 'progress' && status.type !== 'end') continue
      taken++
      t.true(status.done >= floor, `${status.done} done, ${floor} before it was asked for`)
      // None has waited: what is told after the run is over is its end alone.
      if (over) t.is(status.type, 'end')
      // As slow as the work, whatever the machine does meanwhile: an event in so many chunks, or at its end.
      const enough = Math.min(count, floor + pace)
      await until(
        () => run.snapshot().done >= enough && (enough < count || run.snapshot().phase === 'done'),
        'more done',
      )
      floor = run.snapshot().done
      over = run.snapshot().phase === 'done'
    }
    t.true(taken >= 3 && taken < count / pace + 3, `${taken}`)
  })

  test.serial(`${where}: one event a chunk, none twice, none lost`, async (t) => {
    const count = 3000
    const run = start(
      { hits: sharedArray(Int32Array, count), fail: 17 },
      { ...each(count), events: 'chunk', onError: 'continue' },
    )
    const { items: events, error } = await within(gatherUntilError<Status>(run), 'stream')
    t.true(isMillraceError(error, 'MILL_RUN_INCOMPLETE'))
    const chunks = ofType(events, 'chunk')
    t.deepEqual(
      chunks.map(({ index }) => index).toSorted((a, b) => a - b),
      upTo(count),
    )
    for (const { index, start, end, state } of chunks) {
      if (start !== index || end !== index + 1 || state !== (index === 17 ? 'failed' : 'done')) t.fail(`${index}`)
    }
    t.is(ofType(events, 'end').length, 0)
    await failure(run)
  })

  test.serial(`${where}: without being asked for there are no chunk events`, async (t) => {
    const run = start({ hits: sharedArray(Int32Array, 50) }, each(50))
    t.is(ofType(await within(gather<Status>(run), 'stream'), 'chunk').length, 0)
  })

  test.serial(`${where}: retries are told with attempt and error, and counted`, async (t) => {
    const args = { hits: sharedArray(Int32Array, 20), fail: 5, mendedAt: 4 }
    const run = start(args, { ...each(20), retries: 3 })
    const [events, summary] = await within(Promise.all([gather<Status>(run), run]), 'run')
    const retries = ofType(events, 'retry')
    t.deepEqual(
      retries.map(({ index, start, end, attempt }) => [index, start, end, attempt]),
      [1, 2, 3].map((attempt) => [5, 5, 6, attempt]),
    )
    for (const { error } of retries) t.true(error instanceof RangeError && error.message === 'no good: 5')
    t.is(ofType(events, 'failed').length, 0)
    t.like(summary, { retried: 3, failed: 0, done: 20 })
    const failing = start({ hits: sharedArray(Int32Array, 20), fail: 5 }, { ...each(20), retries: 2 })
    const { items } = await within(gatherUntilError<Status>(failing), 'failing')
    t.deepEqual(
      ofType(items, 'retry').map(({ attempt }) => attempt),
      [1, 2],
    )
    t.like(ofType(items, 'failed'), [{ index: 5, attempt: 3 }])
    await failure(failing)
  })

  test.serial(`${where}: the phase is 'stopping' while the last chunks run`, async (t) => {
    const hits = sharedArray(Int32Array, 100)
    const run = start({ hits, fail: 3, pauseMs: 150 }, each(100))
    const phases = new Set<string>()
    const done = run.catch((error) => error)
    await until(() => phases.add(run.snapshot().phase).size === 3, 'three phases')
    t.deepEqual([...phases], ['running', 'stopping', 'failed'])
    t.true(isMillraceError(await done, 'MILL_RUN_CHUNK'))
  })

  test.serial(`${where}: snapshot() is there before, during and after, and agrees with the board`, async (t) => {
    const run = start({ hits: sharedArray(Int32Array, 60), pauseMs: 3 }, { start: -100, end: 497, chunkSize: 10 })
    t.like(run.snapshot(), { phase: 'running', done: 0, total: 60, running: 0, items: 0, rate: 0 })
    t.is(run.snapshot().etaMs, undefined)
    await until(() => run.snapshot().done > 20, 'a third')
    const low = run.board.filter((state) => state === 2).length
    const { done, items } = run.snapshot()
    const high = run.board.filter((state) => state === 2).length
    // A count is raised a moment after its byte.
    t.true(done >= low - 2 && done <= high, `${low} <= ${done} <= ${high}`)
    if (done < 60) t.is(items, done * 10)
    const summary = await within(run, 'run')
    const later = run.snapshot()
    await wait(20)
    t.deepEqual(run.snapshot(), later, 'the clock has stopped')
    t.deepEqual(later, summary)
    t.like(later, { phase: 'done', done: 60, items: 597, running: 0 })
  })
}

test.serial('threads are told of as they come and go', async (t) => {
  const hits = sharedArray(Int32Array, 30)
  const run = runChunked(job<typeof exits>(jobsUrl, 'exits'), {
    ...each(30),
    workers: 2,
    retries: 1,
    args: { at: 4, hits },
  })
  const events = await within(gather<Status>(run), 'run')
  const workers = ofType(events, 'worker')
  const lost = workers.filter(({ state }) => state === 'lost')
  t.is(workers.filter(({ state }) => state === 'started').length, 3)
  t.is(lost.length, 1)
  t.true([0, 1].includes(lost[0]?.worker as number))
  t.like(ofType(events, 'retry'), [{ index: 4, attempt: 1 }])
  t.like(events.at(-1), { type: 'end', done: 30, retried: 1 })
})

test.serial('a blocked main thread does not stop the others: progress is late, the work is not', async (t) => {
  const hits = sharedArray(Int32Array, 2000)
  const run = runChunked(job<typeof busy>(jobsUrl, 'busy'), { ...each(2000), workers: 2, args: { hits, ms: 0.2 } })
  await until(() => begun(hits) > 0, 'begun')
  const before = begun(hits)
  // Not for a time but until they have gone on: this thread does nothing else, however long that takes.
  const stop = performance.now() + 20_000
  while (begun(hits) - before <= 50 && performance.now() < stop);
  t.true(begun(hits) - before > 50, `${begun(hits) - before} in 20 s`)
  t.is((await within(run, 'run')).done, 2000)
})

test.serial('a million chunk events, none lost, though each read gives at most 1,024', async (t) => {
  const count = 1e6
  const run = runChunked(() => {}, { ...each(count), events: 'chunk' })
  const seen = new Uint8Array(count)
  let largest = 0
  await within(
    (async () => {
      for await (const batch of run.batches()) {
        largest = Math.max(largest, batch.length)
        for (const status of batch) if (status.type === 'chunk') seen[status.index] = (seen[status.index] as number) + 1
      }
    })(),
    'stream',
    20_000,
  )
  t.true(
    seen.every((times) => times === 1),
    `${seen.filter((times) => times !== 1).length} wrong`,
  )
  t.true(largest <= 1100, `${largest}`)
})

test.serial('a stream that is held but read late tells what happened from the start', async (t) => {
  const run = runChunked(
    ({ index, attempt }) => {
      if (index === 3 && attempt === 1) throw new Error('once')
    },
    { ...each(10), retries: 1 },
  )
  const reader = run[Symbol.asyncIterator]()
  await run.done
  const rest = await within(gather<Status>({ [Symbol.asyncIterator]: () => reader }), 'rest')
  t.like(ofType(rest, 'retry'), [{ index: 3, attempt: 1 }])
  t.like(rest.at(-1), { type: 'end', done: 10, retried: 1 })
})

for (const [where, start] of Object.entries(ways)) {
  test.serial(`${where}: before the error comes a last progress, which says what became of the run`, async (t) => {
    for (const phase of ['failed', 'aborted'] as const) {
      const args = { hits: sharedArray(Int32Array, 40), ...(phase === 'failed' && { fail: 7 }) }
      const run = start({ ...args, pauseMs: 5 }, { ...each(40), progressMs: 1e6, graceMs: 60_000 })
      const events = gatherUntilError<Status>(run)
      await until(() => run.snapshot().done >= 3, 'some are done')
      if (phase === 'aborted') run.abort()
      const { items, error } = await within(events, 'stream')
      t.is(error, await failure(run))
      t.like(items[0], { type: 'progress', phase: 'running' })
      t.deepEqual(items.at(-1), { type: 'progress', ...run.snapshot() })
      t.is(run.snapshot().phase, phase)
      t.is(progressOf(items).length, 2)
    }
  })
}

test.serial('aborted chunks are told of before the reason', async (t) => {
  const reason = new Error('enough')
  const run: ChunkRun = runChunked(() => new Promise(() => {}), {
    ...each(10),
    concurrency: 2,
    graceMs: 0,
    events: 'chunk',
  })
  const events = gatherUntilError<Status>(run)
  await until(() => run.snapshot().running === 2, 'begun')
  run.abort(reason)
  const { items, error } = await within(events, 'stream')
  t.is(error, reason)
  t.deepEqual(
    ofType(items, 'chunk').map(({ index, state }) => [index, state]),
    [
      [0, 'aborted'],
      [1, 'aborted'],
    ],
  )
  t.deepEqual([...run.board], [4, 4, ...times(8, 0)])
})
