import { once } from 'node:events'
import { Writable as NodeWritable, PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import test from 'ava'
import { type ChunkRun, isMillraceError, runChunked, type Status, sharedArray } from '../lib/run/index.js'
import { writable } from '../lib/streams/index.js'
import { until } from './fixtures/run-kit.js'
import { begun, times, ways } from './fixtures/run-ways.js'
import { codeOf, failure, gather, gatherUntilError, settle, watch, within } from './fixtures/stream-kit.js'

const COUNT = 30
const plan = { end: COUNT * 10 - 3, chunkSize: 10 }
const counters = (): Int32Array => sharedArray(Int32Array, COUNT)
const types = (all: readonly Status[]): string[] => all.map(({ type }) => type)

/** Resolves when nothing has begun for 50 ms. */
async function quiet(hits: Int32Array): Promise<boolean> {
  const before = begun(hits)
  await new Promise((resolve) => setTimeout(resolve, 50))
  return begun(hits) === before
}

for (const [where, start] of Object.entries(ways)) {
  const whole = (pauseMs?: number): { run: ChunkRun<number>; hits: Int32Array } => {
    const hits = counters()
    return { hits, run: start({ hits, ...(pauseMs !== undefined && { pauseMs }) }, { ...plan, progressMs: 1 }) }
  }

  test.serial(`${where}: awaited only`, async (t) => {
    const { run, hits } = whole()
    t.is(begun(hits), 0, 'it starts in a microtask')
    const summary = await within(run, 'run')
    t.like(summary, { phase: 'done', done: COUNT, total: COUNT, failed: 0, running: 0, retried: 0, skipped: 0 })
    t.is(summary.items, plan.end)
    t.deepEqual([...hits], times(COUNT, 1))
    t.deepEqual([...run.board], times(COUNT, 2))
    t.deepEqual(await run.done, summary)
    t.is(await run.done, await run)
  })

  test.serial(`${where}: read only`, async (t) => {
    const { run, hits } = whole(2)
    const seen = await within(gather<Status>(run), 'stream')
    t.is(seen.at(-1)?.type, 'end')
    t.is(types(seen).filter((type) => type === 'end').length, 1)
    t.like(seen.at(-1), { phase: 'done', done: COUNT, total: COUNT })
    t.true(types(seen).includes('progress'))
    t.deepEqual([...hits], times(COUNT, 1))
  })

  test.serial(`${where}: read and awaited`, async (t) => {
    const { run, hits } = whole(1)
    const [seen, summary] = await within(Promise.all([gather<Status>(run), run]), 'both')
    t.like(seen.at(-1), { type: 'end', done: summary.done, items: summary.items })
    t.deepEqual([...hits], times(COUNT, 1))
  })

  test.serial(`${where}: neither`, async (t) => {
    const { run, hits } = whole(1)
    await until(() => run.snapshot().phase === 'done', 'done')
    t.deepEqual([...hits], times(COUNT, 1))
    t.deepEqual([...run.board], times(COUNT, 2))
  })

  test.serial(`${where}: awaited and read after the end`, async (t) => {
    const { run } = whole()
    await until(() => run.snapshot().phase === 'done', 'done')
    await settle()
    t.like(await within(run, 'await'), { phase: 'done', done: COUNT })
    const seen = await within(gather<Status>(run), 'stream')
    t.like(seen.at(-1), { type: 'end', done: COUNT })
    t.deepEqual(
      types(seen).filter((type) => type !== 'worker'),
      ['end'],
    )
  })

  test.serial(`${where}: then, catch and finally are those of a promise`, async (t) => {
    const good = whole().run
    let finals = 0
    t.is(
      await within(
        good.then(({ done }) => done),
        'then',
      ),
      COUNT,
    )
    t.is((await good.finally(() => void finals++)).done, COUNT)
    t.is((await good.catch(() => t.fail('it is not rejected'))).done, COUNT)
    const bad = start({ hits: counters(), fail: 2 }, plan)
    t.is(await within(bad.catch(codeOf), 'catch'), 'MILL_RUN_CHUNK')
    t.is(codeOf(await failure(bad.finally(() => void finals++))), 'MILL_RUN_CHUNK')
    t.is(
      await bad.then(
        () => 'good',
        () => 'bad',
      ),
      'bad',
    )
    t.is(finals, 2)
  })

  test.serial(`${where}: leaving the loop aborts, and waits until nothing runs`, async (t) => {
    const { run, hits } = whole(30)
    for await (const status of run) if ('done' in status && status.done >= 3) break
    t.like(run.snapshot(), { phase: 'aborted', running: 0 })
    t.true(await quiet(hits))
    t.true(begun(hits) < COUNT)
    t.is(codeOf(await failure(run)), 'ABORT_ERR')
  })

  test.serial(`${where}: an error thrown in the loop comes out of it, and aborts`, async (t) => {
    const { run, hits } = whole(30)
    const mine = new Error('mine')
    const loop = async (): Promise<void> => {
      for await (const _ of run) throw mine
    }
    t.is(await failure(loop), mine)
    t.like(run.snapshot(), { phase: 'aborted', running: 0 })
    t.true(await quiet(hits))
    t.true(isMillraceError(await failure(run), 'ABORT_ERR'))
  })

  test.serial(`${where}: destroy() aborts, with its error or one of ours`, async (t) => {
    const mine = new Error('mine')
    for (const error of [undefined, mine]) {
      const { run, hits } = whole(30)
      const ends = watch(run)
      await until(() => begun(hits) > 2, 'begun')
      run.destroy(error)
      const thrown = await failure(run)
      if (error === undefined) t.is(codeOf(thrown), 'ABORT_ERR')
      else t.is(thrown, error)
      await within(ends.closed, 'close')
      t.like(run.snapshot(), { phase: 'aborted', running: 0 })
      t.is(ends.counts.end, 0)
      t.true(await quiet(hits))
    }
  })

  test.serial(`${where}: a failing pipeline aborts`, async (t) => {
    const { run, hits } = whole(30)
    const mine = new Error('mine')
    const sink = new NodeWritable({ objectMode: true, write: (_item, _encoding, done) => done(mine) })
    t.is(await failure(pipeline(run, sink)), mine)
    await failure(run)
    t.like(run.snapshot(), { phase: 'aborted', running: 0 })
    t.true(await quiet(hits))
  })

  test.serial(`${where}: await using aborts what is not done, and waits`, async (t) => {
    const { run, hits } = whole(30)
    {
      await using mine = run
      await until(() => begun(hits) > 2, 'begun')
      t.is(mine.snapshot().phase, 'running')
    }
    t.like(run.snapshot(), { phase: 'aborted', running: 0 })
    t.true(await quiet(hits))
    t.is(codeOf(await failure(run)), 'ABORT_ERR')
    const { run: done } = whole()
    {
      await using mine = done
      await within(mine, 'run')
    }
    t.is(done.snapshot().phase, 'done')
    await done[Symbol.asyncDispose]()
  })

  test.serial(`${where}: pipe, pipeline, toNode, toWeb, batches and listeners see the same end`, async (t) => {
    const readers: Record<string, (run: ChunkRun<number>) => Promise<readonly Status[]>> = {
      pipe: async (run) => {
        const seen: Status[] = []
        const sink = run.pipe(writable<Status>((status) => void seen.push(status)))
        await once(sink, 'finish')
        return seen
      },
      pipeline: async (run) => {
        const through = new PassThrough({ objectMode: true })
        const [, seen] = await Promise.all([pipeline(run, through), gather<Status>(through)])
        return seen
      },
      toNode: (run) => gather<Status>(run.toNode()),
      toWeb: (run) => gather<Status>(run.toWeb()),
      batches: async (run) => (await gather(run.batches())).flat(),
      data: async (run) => {
        const seen: Status[] = []
        run.on('data', (status) => seen.push(status))
        await once(run, 'end')
        return seen
      },
      readable: async (run) => {
        const seen: Status[] = []
        run.on('readable', () => {
          for (let status = run.read(); status !== null; status = run.read()) seen.push(status)
        })
        await once(run, 'end')
        return seen
      },
    }
    for (const [name, read] of Object.entries(readers)) {
      const { run, hits } = whole(1)
      const seen = await within(read(run), name)
      t.like(seen.at(-1), { type: 'end', phase: 'done', done: COUNT }, name)
      t.true(types(seen).includes('progress'), name)
      t.deepEqual([...hits], times(COUNT, 1), name)
    }
  })

  test.serial(`${where}: one reader at a time`, async (t) => {
    const { run } = whole(1)
    const first = gather<Status>(run)
    t.is(codeOf(await failure(() => run.batches()[Symbol.asyncIterator]().next())), 'MILL_ALREADY_READING')
    t.is((await within(first, 'first')).at(-1)?.type, 'end')
  })

  test.serial(`${where}: every face gets the same error, once, after the events before it`, async (t) => {
    for (const fail of [0, 7]) {
      const run = start({ hits: counters(), fail }, plan)
      const values = gatherUntilError(run.values())
      const statuses = gatherUntilError<Status>(run)
      const error = await failure(run)
      const [fromValues, fromStatus] = await within(Promise.all([values, statuses]), 'faces')
      t.true(isMillraceError(error, 'MILL_RUN_CHUNK'))
      t.like(error, { chunk: { index: fail, start: fail * 10, end: fail * 10 + 10, attempts: 1 } })
      t.is(fromValues.error, error)
      t.is(fromStatus.error, error)
      t.is(await failure(run.done), error)
      const failed = fromStatus.items.filter(({ type }) => type === 'failed')
      t.is(failed.length, 1)
      t.like(failed[0], { index: fail, attempt: 1 })
      t.false(types(fromStatus.items).includes('end'))
      t.like(run.snapshot(), { phase: 'failed', running: 0, failed: 1 })
    }
  })

  test.serial(
    `${where}: a listener for errors alone hears of the failure, once, and the stream is closed`,
    async (t) => {
      const run = start({ hits: counters(), fail: 1 }, plan)
      const ends = watch({
        on: (name: string, fn: () => void) => (name === 'error' || name === 'close') && run.on(name, fn),
      })
      await within(ends.closed, 'close')
      t.deepEqual(ends.errors.map(codeOf), ['MILL_RUN_CHUNK'])
      t.true(run.destroyed)
    },
  )

  test.serial(`${where}: the faces of Node and the Web fail with the same error`, async (t) => {
    const readers: Record<string, (run: ChunkRun<number>) => Promise<unknown>> = {
      toNode: (run) => failure(gather(run.toNode())),
      toWeb: (run) => failure(gather(run.toWeb())),
      batches: (run) => failure(gather(run.batches())),
      pipeline: (run) => failure(pipeline(run, new PassThrough({ objectMode: true }).resume())),
      pipe: (run) => once(run.pipe(new PassThrough({ objectMode: true }).resume()), 'error').then(([error]) => error),
    }
    for (const [name, read] of Object.entries(readers)) {
      const run = start({ hits: counters(), fail: 1, pauseMs: 1 }, plan)
      const told = await within(read(run), name)
      t.is(codeOf(told), 'MILL_RUN_CHUNK', name)
      t.is(await failure(run), told, name)
    }
  })

  test.serial(`${where}: a run returned from an async function is its summary`, async (t) => {
    const inside = async () => whole().run
    t.like(await within(inside(), 'inside'), { phase: 'done', done: COUNT })
    const kept = async () => ({ run: whole().run })
    t.is((await within((await kept()).run, 'kept')).done, COUNT)
  })

  test.serial(`${where}: no chunks at all`, async (t) => {
    const hits = counters()
    const run = start({ hits }, { start: 5, end: 5 })
    t.is(run.count, 0)
    t.is(run.board.length, 0)
    const [summary, seen] = await within(Promise.all([run, gather<Status>(run)]), 'nothing')
    t.like(summary, { phase: 'done', done: 0, total: 0, items: 0 })
    t.deepEqual(types(seen).at(-1), 'end')
    t.is(begun(hits), 0)
  })
}

test.serial('ids are unique, and chunkAt and the board tell what happens while it does', async (t) => {
  const gates: (() => void)[] = []
  const run = runChunked(() => new Promise<void>((go) => gates.push(go)), {
    start: -7,
    end: 3,
    chunkSize: 4,
    concurrency: 1,
  })
  t.not(run.id, runChunked(() => {}, { end: 0 }).id)
  t.is(run.count, 3)
  t.deepEqual(run.chunkAt(0), { index: 0, start: -7, end: -3, state: 'pending' })
  await until(() => gates.length === 1, 'first')
  t.deepEqual(run.chunkAt(0), { index: 0, start: -7, end: -3, state: 'running' })
  t.like(run.snapshot(), { phase: 'running', running: 1, done: 0 })
  gates[0]?.()
  await until(() => gates.length === 2, 'second')
  t.deepEqual([...run.board], [2, 1, 0])
  t.like(run.snapshot(), { running: 1, done: 1, items: 4 })
  gates[1]?.()
  await until(() => gates.length === 3, 'third')
  gates[2]?.()
  t.is((await within(run, 'run')).items, 10)
  t.deepEqual(run.chunkAt(2), { index: 2, start: 1, end: 3, state: 'done' })
  t.true(run.board.buffer instanceof SharedArrayBuffer)
})
