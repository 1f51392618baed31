import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import {
  type Chunk,
  type ChunkExecutor,
  ChunkPool,
  type ChunkRun,
  type ChunkSink,
  job,
  type RunOptions,
  runChunked,
} from '../lib/run/index.js'
import type * as Jobs from './fixtures/run-jobs.js'
import { hitAndNote, jobs } from './fixtures/run-jobs.js'
import { census, rounds, shared, tally } from './fixtures/run-kit.js'
import { settle, within } from './fixtures/stream-kit.js'

const LEAST = Number.MIN_SAFE_INTEGER
const MOST = Number.MAX_SAFE_INTEGER

interface Plan {
  readonly start: number
  readonly length: number
  readonly chunkSize: number | undefined
  readonly lanes: number
  /** Decides what happens inside. */
  readonly seed: number
}

const plans: fc.Arbitrary<Plan> = fc
  .record({
    start: fc.oneof(fc.integer({ min: -5000, max: 5000 }), fc.constantFrom('least', 'most', 0)),
    length: fc.oneof({ weight: 1, arbitrary: fc.nat(3) }, { weight: 8, arbitrary: fc.nat(2000) }),
    chunkSize: fc.option(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 3000 })), {
      nil: undefined,
    }),
    lanes: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(),
  })
  .map(({ start, ...plan }) => ({
    ...plan,
    start: start === 'least' ? LEAST : start === 'most' ? MOST - plan.length : (start as number),
  }))

/** Decisions that follow from one number. */
function decisions(seed: number): (below: number) => number {
  let state = (seed % 0x7ffffffe) + 1
  return (below) => {
    state = (state * 48271) % 0x7fffffff
    return state % below
  }
}

type Args = Parameters<typeof hitAndNote>[1]

/** The options of a plan; one that was not given is not there. */
const optionsOf = ({ start, length, chunkSize }: Plan): RunOptions => ({
  start,
  end: start + length,
  ...(chunkSize !== undefined && { chunkSize }),
})

/** Runs the plan by `begin`; every index was hit once, every chunk had the bounds it must have, the books agree. */
async function exactlyOnce(t: ExecutionContext, plan: Plan, begin: (args: Args) => ChunkRun): Promise<void> {
  const { start, length, lanes } = plan
  const chunkSize = plan.chunkSize ?? Math.max(1, Math.ceil(length / (lanes * 32)))
  const count = Math.ceil(length / chunkSize)
  const hits = shared(length)
  const notes = new Float64Array(new SharedArrayBuffer(count * 32))
  const run = begin({ hits, notes, origin: start })
  const text = JSON.stringify(plan)
  t.is(run.count, count, text)

  const { phase, done, total, failed, running, retried, skipped, items } = await within(run, text)
  t.deepEqual(
    { phase, done, total, failed, running, retried, skipped, items },
    { phase: 'done', done: count, total: count, failed: 0, running: 0, retried: 0, skipped: 0, items: length },
    text,
  )
  t.is(tally(hits), length === 0 ? '' : `1x${length}`, text)
  t.is(tally(run.board), count === 0 ? '' : `2x${count}`, text)
  const wrong: unknown[] = []
  for (let index = 0; index < count; index++) {
    const from = start + index * chunkSize
    const to = Math.min(length, (index + 1) * chunkSize) + start
    const [first, last, attempt, worker = -1] = notes.subarray(index * 4, index * 4 + 4)
    const told = run.chunkAt(index)
    const right =
      first === from &&
      last === to &&
      attempt === 1 &&
      worker >= 0 &&
      worker < lanes &&
      told.index === index &&
      told.start === from &&
      told.end === to &&
      told.state === 'done'
    if (!right) wrong.push({ index, from, to, first, last, attempt, worker, told })
  }
  t.deepEqual(wrong, [], text)
}

test('R1: in threads every index of any range is hit once', async (t) => {
  await using pool = new ChunkPool({ workers: 9 })
  const both = job<typeof Jobs.hitAndNote>(jobs, 'hitAndNote')
  await fc.assert(
    fc.asyncProperty(plans, (plan) =>
      exactlyOnce(t, plan, (args) => pool.run(both, { ...optionsOf(plan), workers: plan.lanes, args })),
    ),
    { numRuns: rounds(300) },
  )
})

test('R1: in threads of their own too', async (t) => {
  const both = job<typeof Jobs.hitAndNote>(jobs, 'hitAndNote')
  await fc.assert(
    fc.asyncProperty(plans, (plan) =>
      exactlyOnce(t, plan, (args) => runChunked(both, { ...optionsOf(plan), workers: plan.lanes, args })),
    ),
    { numRuns: rounds(12) },
  )
})

test('R1: in process every index of any range is hit once, be the function fast, slow or a mixture', async (t) => {
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      const decide = decisions(plan.seed)
      const kind = decide(3)
      const fn = async (chunk: Chunk, args: Args): Promise<void> => {
        await settle(decide(3))
        hitAndNote(chunk, args)
      }
      await exactlyOnce(t, plan, (args) =>
        kind === 0
          ? runChunked(hitAndNote, { ...optionsOf(plan), concurrency: plan.lanes, args })
          : runChunked(
              (chunk: Chunk, all: Args) => (kind === 1 || decide(2) ? fn(chunk, all) : hitAndNote(chunk, all)),
              {
                ...optionsOf(plan),
                concurrency: plan.lanes,
                args,
              },
            ),
      )
    }),
    { numRuns: rounds(300) },
  )
})

/** Lanes that claim blocks of any size and report their chunks in any order, some twice, some that are not out. */
function executor({ lanes, seed }: Plan, args: Args): ChunkExecutor {
  const decide = decisions(seed)
  return {
    name: 'carefree',
    async run(plan, sink) {
      const { count, chunkSize } = plan
      const lane = async (worker: number): Promise<void> => {
        for (let block = await sink.claim(1 + decide(5)); block; block = await sink.claim(1 + decide(5))) {
          const out = Array.from({ length: block.count }, (_, k) => k)
          while (out.length > 0) {
            const [k = 0] = out.splice(decide(out.length), 1)
            const index = block.first + k
            const start = block.start + k * chunkSize
            const end = Math.min(block.end - start, chunkSize) + start
            await settle(decide(2))
            hitAndNote({ index, start, end, attempt: 1, worker } as Chunk, args)
            report(sink, index, decide, count)
          }
        }
      }
      await Promise.all(Array.from({ length: lanes }, (_, worker) => lane(worker)))
    },
  }
}

function report(sink: ChunkSink, index: number, decide: (below: number) => number, count: number): void {
  sink.done(index)
  if (decide(4) === 0) sink.done(index)
  if (decide(4) === 0) sink.failed(index, new Error('late news of a chunk that is done'))
  if (decide(4) === 0) sink.done(count + decide(5))
}

test('R1: of an executor every index of any range is hit once, though it reports twice and what is not out', async (t) => {
  const both = job<typeof Jobs.hitAndNote>(jobs, 'hitAndNote')
  // Without a number of lanes there is no automatic size to foretell.
  const sized = plans.map((plan) => ({ ...plan, chunkSize: plan.chunkSize ?? 1 + (plan.seed % 70) }))
  await fc.assert(
    fc.asyncProperty(sized, (plan) =>
      exactlyOnce(t, plan, (args) => {
        // Nothing is copied: the executor hits what it holds itself.
        return runChunked(both, { ...optionsOf(plan), executor: executor(plan, args), args })
      }),
    ),
    { numRuns: rounds(300) },
  )
})

test('ranges as wide as safe integers are cut exactly', async (t) => {
  const wide: { start: number; end: number; chunkSize: number }[] = [
    { start: 0, end: MOST, chunkSize: 2 ** 44 },
    { start: LEAST, end: 0, chunkSize: 2 ** 44 - 1 },
    { start: -(2 ** 52), end: 2 ** 52 - 1, chunkSize: 3 ** 27 },
    { start: LEAST, end: 0, chunkSize: MOST },
    { start: 0, end: MOST, chunkSize: MOST - 1 },
    { start: 1, end: MOST, chunkSize: MOST - 1 },
  ]
  for (const { start, end, chunkSize } of wide) {
    const seen: [number, bigint, bigint][] = []
    const run = runChunked(({ index, start, end }) => void seen.push([index, BigInt(start), BigInt(end)]), {
      start,
      end,
      chunkSize,
    })
    const expected: [number, bigint, bigint][] = []
    for (let at = BigInt(start), i = 0; at < BigInt(end); at += BigInt(chunkSize), i++) {
      const to = at + BigInt(chunkSize)
      expected.push([i, at, to < BigInt(end) ? to : BigInt(end)])
    }
    const { items } = await within(run, `${start} to ${end}`)
    t.deepEqual(
      seen.sort(([a], [b]) => a - b),
      expected,
    )
    t.is(items, end - start)
  }
})

test.serial('an empty range resolves and starts nothing', async (t) => {
  const counted = census()
  t.teardown(counted.stop)
  const both = job<typeof Jobs.hitAndNote>(jobs, 'hitAndNote')
  const args = { hits: shared(1), notes: new Float64Array(new SharedArrayBuffer(32)), origin: 0 }
  let given = false
  const never: ChunkExecutor = {
    name: 'never',
    run: async (_, sink) => {
      if ((await sink.claim()) !== undefined) given = true
    },
  }
  for (const at of [0, -7, MOST, LEAST]) {
    const range = { start: at, end: at }
    const runs = [
      runChunked(() => t.fail('ran'), range),
      runChunked(() => t.fail('ran'), { ...range, chunkSize: 5 }),
      runChunked(both, { ...range, args }),
      runChunked(both, { ...range, args, executor: never }),
    ]
    for (const run of runs) {
      t.is(run.count, 0)
      t.is(run.board.length, 0)
      const { done, total, items, phase } = await within(run, 'an empty range')
      t.deepEqual({ done, total, items, phase }, { done: 0, total: 0, items: 0, phase: 'done' })
    }
  }
  t.false(given)
  t.is(counted.started(), 0)
  t.is(tally(args.hits), '0x1')
  t.deepEqual(await counted.left(), [])
})

test.serial('no more threads are started than there are chunks', async (t) => {
  const both = job<typeof Jobs.hitAndNote>(jobs, 'hitAndNote')
  for (const count of [1, 2, 3]) {
    const counted = census()
    const plan = { start: -1, length: count * 10 - 1, chunkSize: 10, lanes: 9, seed: 0 }
    await exactlyOnce(t, plan, (args) => runChunked(both, { ...optionsOf(plan), workers: 9, args }))
    t.is(counted.started(), count)
    t.deepEqual(await counted.left(), [])
    counted.stop()
  }
})

test('more lanes than chunks: each chunk is run once', async (t) => {
  let calls = 0
  const run = runChunked(() => settle(3).then(() => void calls++), { end: 3, chunkSize: 1, concurrency: 1024 })
  const { done } = await within(run, 'three chunks')
  t.deepEqual([calls, done], [3, 3])
})
