import { Writable as NodeWritable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import { type ChunkRun, type Progress, runChunked, type Status, statusLine } from '../lib/run/index.js'
import { codeOf, failure, settle, within } from './fixtures/stream-kit.js'

/** Keeps what is written to it. */
function output(more: { isTTY?: boolean; columns?: number } = {}) {
  const written: string[] = []
  return { ...more, written, write: (text: string): boolean => written.push(text) > 0, text: () => written.join('') }
}
type Output = ReturnType<typeof output>

/** What a terminal shows in the end: the last state of each line. */
const shown = ({ text }: Output): string[] =>
  text()
    .split('\n')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the codes a terminal obeys
    .map((line) => (line.split('\r').at(-1) as string).replace(/\x1b\[[0-9]?K/g, ''))
const ESCAPE = '\x1b'

const progress = (more: Partial<Progress> & { failed?: number } = {}): Progress => ({
  phase: 'running',
  done: 612,
  total: 1000,
  elapsedMs: 62,
  rate: 9800,
  etaMs: 3960,
  ...more,
})

/** The environment decides what is shown: these tests run one after the other. */
async function inEnv(env: { CI?: string; TERM?: string }, fn: () => Promise<void>): Promise<void> {
  const before = { CI: process.env.CI, TERM: process.env.TERM }
  const set = (values: { CI?: string | undefined; TERM?: string | undefined }): void => {
    for (const [name, value] of Object.entries({ CI: undefined, TERM: undefined, ...values })) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
  set(env)
  try {
    await fn()
  } finally {
    set(before)
  }
}

/** Writes all, and waits for the end. */
async function put(line: ReturnType<typeof statusLine>, ...items: (Progress | Status)[]): Promise<void> {
  const closed = new Promise((resolve) => line.on('close', resolve))
  for (const item of items) line.write(item)
  line.end()
  await within(closed, 'close')
}

const lines: [string, Parameters<typeof statusLine>[0] & object, Partial<Progress> & { failed?: number }, string][] = [
  ['everything', { label: 'label' }, { failed: 3 }, 'label  61 %  612/1000  3 failed  9800/s  4 s left'],
  ['no failure', { label: 'squares' }, { failed: 0 }, 'squares  61 %  612/1000  9800/s  4 s left'],
  ['no label', {}, {}, '61 %  612/1000  9800/s  4 s left'],
  ['no time left', {}, { done: 1000, etaMs: 0 }, '100 %  1000/1000  9800/s'],
  ['nothing done', {}, { done: 0, rate: 0, etaMs: undefined as never }, '0 %  0/1000'],
  [
    'failed',
    { label: 'x' },
    { phase: 'failed', failed: 1, elapsedMs: 3001 },
    'x  61 %  612/1000  1 failed  failed after 4 s',
  ],
  ['aborted', {}, { phase: 'aborted' }, '61 %  612/1000  aborted after 1 s'],
  ['not quite done', {}, { done: 999, etaMs: 1 }, '99 %  999/1000  9800/s  1 s left'],
]
for (const [what, options, more, text] of lines) {
  test.serial(`the line: ${what}`, (t) =>
    inEnv({ TERM: 'xterm' }, async () => {
      for (const isTTY of [true, false]) {
        const to = output({ isTTY })
        await put(statusLine({ ...options, stream: to }), progress(more))
        t.deepEqual(shown(to).slice(-2), [text, ''], `terminal: ${isTTY}`)
      }
    }),
  )
}

test.serial('on a terminal one line is rewritten, and ended by a newline; no colour', (t) =>
  inEnv({ TERM: 'xterm' }, async () => {
    const to = output({ isTTY: true, columns: 80 })
    const line = statusLine({ label: 'x', stream: to, intervalMs: 1 })
    for (let done = 0; done < 5; done++) {
      line.write(progress({ done, rate: 1 }))
      await wait(10)
    }
    await put(line, progress({ done: 1000, rate: 1, etaMs: 0 }))
    t.is(to.text().split('\n').length, 2, 'one newline')
    t.true(to.text().endsWith('\n'))
    t.is(shown(to)[0], 'x  100 %  1000/1000  1/s')
    t.true(to.text().split('\r').length >= 5, 'rewritten')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: how a colour begins
    t.notRegex(to.text(), /\x1b\[[0-9;]*m/)
  }),
)

test.serial('a shorter line leaves nothing of a longer one behind', (t) =>
  inEnv({ TERM: 'xterm' }, async () => {
    const to = output({ isTTY: true })
    await put(statusLine({ stream: to, intervalMs: 0 }), progress({ failed: 1000 }), progress({ done: 1000, etaMs: 0 }))
    for (const part of to.written.filter((part) => part.includes('%'))) {
      t.true(part.includes('\r') && part.includes(`${ESCAPE}[`), JSON.stringify(part))
    }
  }),
)

test.serial('no line is wider than the terminal, also when that changes', (t) =>
  inEnv({ TERM: 'xterm' }, async () => {
    for (const columns of [1, 10, 20, 30]) {
      const to = output({ isTTY: true, columns: 200 })
      const line = statusLine({ label: 'a rather long label', stream: to, intervalMs: 1 })
      line.write(progress())
      await wait(5)
      to.columns = columns
      await put(line, progress({ done: 613 }), progress({ done: 700, etaMs: 0 }))
      const last = shown(to)[0] as string
      t.true(last.length <= columns && last.length >= columns - 1, `${columns}: ${last}`)
      t.true('a rather long label  70 %  700/1000'.startsWith(last))
    }
  }),
)

test.serial('off a terminal: plain lines, not many, and one at the end', (t) =>
  inEnv({}, async () => {
    const to = output()
    const run = runChunked(() => wait(1), { end: 60, chunkSize: 1, concurrency: 1, progressMs: 1 })
    const line = run.pipe(statusLine({ label: 'plain', stream: to }))
    const closed = new Promise((resolve) => line.on('close', resolve))
    await within(run, 'run')
    await within(closed, 'close')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: neither may be there
    t.notRegex(to.text(), /[\r\x1b]/)
    const all = to.text().trimEnd().split('\n')
    t.true(all.length <= 2, to.text())
    t.regex(all.at(-1) as string, /^plain {2}100 % {2}60\/60 {2}\d+\/s$/)
    t.true(to.text().endsWith('\n'))
    const often = output()
    const quick = statusLine({ stream: often, intervalMs: 1 })
    for (let done = 0; done < 5; done++) {
      quick.write(progress({ done }))
      await wait(10)
    }
    await put(quick)
    t.true(often.written.length >= 4, often.text())
  }),
)

test.serial('off a terminal it is silent under CI and on a dumb terminal, unless forced', (t) =>
  inEnv({}, async () => {
    for (const env of [{ CI: 'true' }, { CI: '1' }, { TERM: 'dumb' }]) {
      await inEnv(env, async () => {
        const silent = output()
        await put(statusLine({ stream: silent, intervalMs: 0 }), progress(), progress({ done: 700 }))
        t.is(silent.text(), '', JSON.stringify(env))
        const forced = output()
        await put(statusLine({ stream: forced, force: true }), progress({ done: 700 }))
        t.is(forced.text(), '70 %  700/1000  9800/s  4 s left\n')
      })
    }
    await inEnv({ CI: 'true', TERM: 'xterm' }, async () => {
      const terminal = output({ isTTY: true })
      await put(statusLine({ stream: terminal }), progress())
      t.true(terminal.text().includes('612/1000'), 'on a terminal it is shown under CI too')
    })
  }),
)

test.serial('other events pass without a trace', (t) =>
  inEnv({ TERM: 'xterm' }, async () => {
    const to = output({ isTTY: true })
    const chunk = { index: 1, start: 0, end: 1 }
    await put(
      statusLine({ stream: to, intervalMs: 0 }),
      { type: 'worker', worker: 0, state: 'started' },
      { type: 'retry', ...chunk, attempt: 1, error: new Error('x') },
      { type: 'failed', ...chunk, attempt: 2, error: new Error('x') },
      { type: 'chunk', ...chunk, state: 'done' },
    )
    t.is(to.text(), '')
  }),
)

test.serial('a failing output ends the display, not the work', (t) =>
  inEnv({ TERM: 'xterm' }, async () => {
    for (const isTTY of [true, false]) {
      let calls = 0
      const write = (): never => {
        calls++
        throw new Error('no more')
      }
      const run = runChunked(() => wait(1), { end: 50, chunkSize: 1, concurrency: 1, progressMs: 1 })
      const line = run.pipe(statusLine({ stream: { isTTY, write }, intervalMs: 2 }))
      const errors: unknown[] = []
      line.on('error', (error) => errors.push(error))
      t.is((await within(run, 'run')).done, 50)
      await settle()
      t.is(calls, 1, 'it is not tried again')
      t.deepEqual(errors, [])
    }
    const broken = new NodeWritable({ write: (_text, _encoding, done) => done(new Error('EPIPE')) })
    const run = runChunked(() => wait(1), { end: 50, chunkSize: 1, concurrency: 1, progressMs: 1 })
    run.pipe(statusLine({ stream: broken, intervalMs: 2 }))
    t.is((await within(run, 'run')).done, 50)
    await settle()
    t.true(broken.destroyed)
  }),
)

test.serial('work that fails or is aborted says so in its last line, and whoever waits is told', (t) =>
  inEnv({ TERM: 'xterm' }, async () => {
    for (const isTTY of [true, false]) {
      for (const how of ['failed', 'aborted'] as const) {
        const to = output({ isTTY })
        const run: ChunkRun = runChunked(
          async ({ index }) => {
            await wait(2)
            if (index < 9) return
            if (how === 'failed') throw new Error('no')
            run.abort()
          },
          { end: 50, chunkSize: 1, concurrency: 1, progressMs: 1 },
        )
        const line = run.pipe(statusLine({ label: 'work', stream: to, intervalMs: 1 }))
        const closed = new Promise((resolve) => line.on('close', resolve))
        t.is(codeOf(await failure(run)), how === 'failed' ? 'MILL_RUN_CHUNK' : 'ABORT_ERR')
        await within(closed, 'close')
        const text =
          how === 'failed' ? 'work  18 %  9/50  1 failed  failed after 1 s' : 'work  20 %  10/50  aborted after 1 s'
        t.deepEqual(shown(to).slice(-2), [text, ''], `terminal: ${isTTY}`)
      }
    }
  }),
)

test.serial('it takes any progress, also of work whose size is not known', (t) =>
  inEnv({ TERM: 'xterm' }, async () => {
    const to = output({ isTTY: true })
    await put(statusLine({ stream: to }), { phase: 'reading', done: 5000, elapsedMs: 10, rate: 3.5 })
    t.is(shown(to)[0], '5000  3.5/s')
  }),
)

test.serial('a line that is never ended holds nothing', async (t) => {
  await inEnv({ TERM: 'xterm' }, async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
    const before = timers()
    const to = output({ isTTY: true })
    statusLine({ stream: to, intervalMs: 50 }).write(progress())
    await settle()
    t.true(to.text().includes('612/1000'))
    t.is(timers(), before)
  })
})
