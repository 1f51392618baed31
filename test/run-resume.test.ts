import test from 'ava'
import { type ChunkRun, isMillraceError, type RunOptions, runChunked, sharedArray } from '../lib/run/index.js'
import type { Work } from './fixtures/run-jobs-2.js'
import { until } from './fixtures/run-kit.js'
import { begun, times, upTo, ways } from './fixtures/run-ways.js'
import { codeOf, failure, gather, within } from './fixtures/stream-kit.js'

const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)

/** CRC-32C by its definition, a bit at a time. */
function crc32c(bytes: Uint8Array): number {
  let crc = ~0
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

interface Saved {
  readonly start: number
  readonly end: number
  readonly chunkSize: number
  readonly done: readonly number[]
}

/** What `save()` gives, written down from the description of the format. */
function saved({ start, end, chunkSize, done }: Saved, change: (view: DataView) => void = () => {}): Uint8Array {
  const count = Math.ceil((end - start) / chunkSize)
  const bytes = new Uint8Array(40 + Math.ceil(count / 8))
  const view = new DataView(bytes.buffer)
  bytes.set(Buffer.from('MRUN'))
  view.setUint8(4, 1)
  view.setFloat64(8, start, true)
  view.setFloat64(16, end, true)
  view.setFloat64(24, chunkSize, true)
  view.setUint32(32, count, true)
  for (const index of done) bytes[40 + (index >> 3)] = (bytes[40 + (index >> 3)] as number) | (1 << (index & 7))
  change(view)
  view.setUint32(36, crc32c(bytes), true)
  return bytes
}

const plan = { start: -50, end: 147, chunkSize: 10 }
const COUNT = 20

test.serial('the bytes are those of the description', async (t) => {
  const none = runChunked(() => {}, plan)
  t.deepEqual(none.save(), saved({ ...plan, done: [] }))
  await none
  t.deepEqual(none.save(), saved({ ...plan, done: upTo(COUNT) }))
  const odd = runChunked(
    ({ index }) => {
      if (index % 3 === 1) throw new Error('no')
    },
    { ...plan, onError: 'continue' },
  )
  t.is(codeOf(await failure(odd)), 'MILL_RUN_INCOMPLETE')
  t.deepEqual(odd.save(), saved({ ...plan, done: upTo(COUNT).filter((index) => index % 3 !== 1) }))
  t.is(odd.save().length, 43)
  const empty = runChunked(() => {}, { start: 4, end: 4, chunkSize: 7 })
  t.deepEqual(empty.save(), saved({ start: 4, end: 4, chunkSize: 7, done: [] }))
  t.is((await runChunked(() => {}, { start: 4, end: 4, resume: empty.save() })).total, 0)
})

test.serial('a save is a copy, of ordinary memory', async (t) => {
  const run = runChunked(() => {}, plan)
  const before = run.save()
  await run
  t.deepEqual(before, saved({ ...plan, done: [] }))
  t.true(before.buffer instanceof ArrayBuffer)
  const after = run.save()
  after.fill(0)
  t.deepEqual(run.save(), saved({ ...plan, done: upTo(COUNT) }))
  t.true(run.board.every((state) => state === 2))
})

test.serial('every flipped bit and every cut is refused, at once, and nothing runs', async (t) => {
  let calls = 0
  const good = saved({ ...plan, done: [0, 5, 19] })
  const refused = (resume: Uint8Array, what: string): void => {
    const error = t.throws(() => runChunked(() => void calls++, { ...plan, resume }), undefined, what)
    if (!isMillraceError(error, 'MILL_RUN_RESUME')) t.fail(`${what}: ${error}`)
  }
  for (let bit = 0; bit < good.length * 8; bit++) {
    const bad = good.slice()
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7))
    refused(bad, `bit ${bit}`)
  }
  for (let length = 0; length < good.length; length++) refused(good.slice(0, length), `cut at ${length}`)
  refused(Uint8Array.of(...good, 0), 'a byte more')
  refused(new Uint8Array(good.length), 'zeros')
  // Well-formed as far as the checksum goes, and still not ours.
  const forged: Record<string, (view: DataView) => void> = {
    'another version': (view) => view.setUint8(4, 2),
    'something in the zeros': (view) => view.setUint8(6, 1),
    'another count': (view) => view.setUint32(32, COUNT + 1, true),
    'a bit behind the last chunk': (view) => view.setUint8(42, 1 << 4),
    'another magic': (view) => view.setUint8(0, 0x6d),
  }
  for (const [what, change] of Object.entries(forged)) refused(saved({ ...plan, done: [] }, change), what)
  const { start, end } = plan
  for (const chunkSize of [0.5, 0, -10, Number.NaN, Number.POSITIVE_INFINITY, 1e-300, 2 ** 60]) {
    const bytes = saved({ start, end, chunkSize: 10, done: [] }, (view) => view.setFloat64(24, chunkSize, true))
    t.is(codeOf(t.throws(() => runChunked(() => void calls++, { start, end, resume: bytes }))), 'MILL_RUN_RESUME')
  }
  const halves = saved({ start, end, chunkSize: 0.5, done: [] })
  t.is(codeOf(t.throws(() => runChunked(() => void calls++, { start, end, resume: halves }))), 'MILL_RUN_RESUME')
  t.is((await runChunked(() => void calls++, { ...plan, resume: good })).skipped, 3)
  t.is(calls, COUNT - 3)
})

test.serial('the save of another plan is refused, and the error names the field', (t) => {
  const resume = saved({ ...plan, done: [1] })
  const others: [string, RunOptions][] = [
    ['start', { ...plan, start: -40 }],
    ['end', { ...plan, end: 148 }],
    ['chunkSize', { ...plan, chunkSize: 11 }],
    ['end', { start: plan.start, end: 146 }],
    ['start', { end: plan.end }],
  ]
  for (const [field, options] of others) {
    const error = t.throws(() => runChunked(() => t.fail('it ran'), { ...options, resume }))
    t.like(error, { code: 'MILL_RUN_RESUME', field }, JSON.stringify(options))
  }
})

test.serial('without a chunk size the saved one is used; a view into other bytes is read as it is', async (t) => {
  const resume = saved({ ...plan, done: [1, 2] })
  const wide = new Uint8Array(resume.length + 9).fill(255)
  wide.set(resume, 5)
  for (const bytes of [resume, wide.subarray(5, -4), Buffer.from(resume)]) {
    const run = runChunked(() => {}, { start: -50, end: 147, resume: bytes })
    t.is(run.count, COUNT)
    t.deepEqual([...run.board.slice(0, 4)], [0, 2, 2, 0])
    t.like(run.snapshot(), { done: 2, skipped: 2, items: 20 })
    t.like(await run, { done: COUNT, skipped: 2, items: 197 })
  }
})

for (const [where, start] of Object.entries(ways)) {
  test.serial(`R1: ${where}: aborted and resumed until done, each chunk is run to its end once`, async (t) => {
    for (let round = 0; round < 2 * scale; round++) {
      const hits = sharedArray(Int32Array, 120)
      let resume: Uint8Array | undefined
      let aborts = 0
      for (;;) {
        const run: ChunkRun = start({ hits, pauseMs: 1 }, { end: 1200, chunkSize: 10, ...(resume && { resume }) })
        const goal = begun(hits) + 17 + 5 * round
        const ended = await within(
          Promise.race([
            run.then(
              () => true,
              () => false,
            ),
            until(() => begun(hits) >= goal, 'begun').then(() => undefined),
          ]),
          'run',
        )
        if (ended === true) break
        run.abort()
        aborts++
        t.is(codeOf(await failure(run)), 'ABORT_ERR')
        // Within graceMs the chunks in work came to their end.
        t.is(run.snapshot().done, begun(hits))
        resume = run.save()
      }
      t.true(aborts >= 3, `${aborts}`)
      t.deepEqual([...hits], times(120, 1))
    }
  })

  test.serial(`${where}: what was done is not run again, and counts as done but not for the rate`, async (t) => {
    const hits = sharedArray(Int32Array, COUNT)
    const done = [0, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]
    const run = start({ hits, pauseMs: 30 }, { ...plan, resume: saved({ ...plan, done }) })
    t.like(run.snapshot(), { done: 17, skipped: 17, items: 170 })
    t.is(run.snapshot().etaMs, undefined, 'nothing was done yet in this run')
    t.is(run.snapshot().rate, 0)
    t.deepEqual(run.chunkAt(3), { index: 3, start: -20, end: -10, state: 'done' })
    const summary = await within(run, 'run')
    t.like(summary, { done: COUNT, skipped: 17, items: 197 })
    t.true(summary.rate < 100, `${summary.rate}: three chunks in 60 ms`)
    t.deepEqual(
      [...hits],
      upTo(COUNT).map((index) => (done.includes(index) ? 0 : 1)),
    )
    const again = start({ hits }, { ...plan, resume: run.save() })
    t.like(await within(again, 'all done'), { done: COUNT, skipped: COUNT })
    t.is(begun(hits), 3)
  })

  test.serial(`${where}: failed and aborted chunks are run again`, async (t) => {
    const hits = sharedArray(Int32Array, COUNT)
    const first = start({ hits, fail: 6 }, { ...plan, onError: 'continue' })
    t.like(await failure(first), { code: 'MILL_RUN_INCOMPLETE', failed: 1 })
    const second = start({ hits }, { ...plan, resume: first.save() })
    t.like(await within(second, 'second'), { skipped: COUNT - 1, done: COUNT, failed: 0 })
    t.deepEqual(
      [...hits],
      upTo(COUNT).map((index) => (index === 6 ? 2 : 1)),
    )
    const cut = start({ hits, pauseMs: 10_000 }, { ...plan, graceMs: 0 })
    await until(() => cut.snapshot().running === 2, 'begun')
    cut.abort()
    await failure(cut)
    t.deepEqual([...cut.board.slice(0, 3)], [4, 4, 0])
    t.is(cut.chunkAt(1).state, 'aborted')
    t.like(await within(start({ hits }, { ...plan, resume: cut.save() }), 'third'), { skipped: 0, done: COUNT })
  })

  for (const ordered of [true, false]) {
    test.serial(
      `${where}: no value is lost when a loop is cut short, ${ordered ? 'ordered' : 'unordered'}`,
      async (t) => {
        const hits = sharedArray(Int32Array, 60)
        const args: Work = { hits, pauseMs: 1 }
        const seen: number[] = [] // values whose loop body came to its end
        let resume: Uint8Array | undefined
        for (let cut = 0; cut < 4; cut++) {
          const run = start(args, { end: 60, chunkSize: 1, ...(resume && { resume }) })
          let taken = 0
          let last = -1
          for await (const value of run.values({ ordered })) {
            last = value
            if (++taken === 11) break // in the middle of the body
            seen.push(value)
          }
          await failure(run)
          resume = run.save()
          t.is(resume.length, 48)
          const after = start(args, { end: 60, chunkSize: 1, resume })
          t.is(after.chunkAt(last).state, 'pending', 'the value whose body was cut short comes again')
          t.is(after.snapshot().skipped, seen.length)
          after.abort()
          await failure(after)
        }
        const rest = start(args, { end: 60, chunkSize: 1, ...(resume && { resume }) })
        seen.push(...(await within(gather(rest.values({ ordered })), 'rest')))
        t.deepEqual(ordered ? seen : seen.toSorted((a, b) => a - b), upTo(60))
        t.is(runChunked(() => {}, { end: 60, resume: rest.save() }).snapshot().skipped, 60)
      },
    )
  }

  test.serial(`${where}: a chunk counts as saved when the value after it was taken`, async (t) => {
    const run = start({ hits: sharedArray(Int32Array, 10) }, { end: 10, chunkSize: 1 })
    const doneNow = (): number => runChunked(() => {}, { end: 10, resume: run.save() }).snapshot().skipped
    const values = run.values({ window: 20 })[Symbol.asyncIterator]()
    await until(() => run.board.every((state) => state === 2), 'all are done')
    t.is(doneNow(), 0)
    for (let i = 0; i < 10; i++) {
      t.is((await within(values.next(), 'value')).value, i)
      t.is(doneNow(), i)
    }
    t.true((await values.next()).done)
    t.is(doneNow(), 10)
    await run
  })
}
