import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { runChunked, sharedArray } from '../lib/run/index.js'
import { work } from './fixtures/run-jobs-2.js'
import { begun, times } from './fixtures/run-ways.js'
import { within } from './fixtures/stream-kit.js'

const path = fileURLToPath(new URL('./fixtures/run-child.js', import.meta.url))

interface Ended {
  readonly code: number | null
  readonly last: unknown
  readonly stderr: string
}

/** Runs one case to its end; a process that does not end by itself within 20 s fails the test. */
const ended = (name: string): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const child = execFile(process.execPath, [path, name], { timeout: 20_000 }, (_error, stdout, stderr) => {
      if (child.signalCode !== null)
        return reject(new Error(`${name}: ended by ${child.signalCode}: ${stdout}${stderr}`))
      const last = stdout.trim().split('\n').at(-1)
      resolve({ code: child.exitCode, last: last === '' ? undefined : JSON.parse(last as string), stderr })
    })
  })

const ends: Record<string, unknown> = {
  'unread, in process': ['done', 40, 40],
  'unread, in threads': ['done', 40, 40],
  'awaited at the top': ['done', 40],
  'read at the top': 'end',
  'read at the top, progressMs 0': 'end',
  'values read at the top': 40,
  'unhandled, counted': [2, ['failed', 'failed']],
  'aborted at once': ['aborted', 'aborted'],
  'aborted in the middle': ['aborted', 0],
  'aborted by a signal, by leaving, by destroy': ['aborted', 'aborted', 'aborted'],
  daemon: ['running', 2],
  'idle pool': 40,
  'pool with an unread run': ['done', 40],
  'pool that only started': 'ready',
}
for (const [name, last] of Object.entries(ends)) {
  test(`a process ends by itself, in peace: ${name}`, async (t) => {
    t.deepEqual(await ended(name), { code: 0, last, stderr: '' })
  })
}

for (const name of ['in process', 'in threads', 'at the first chunk']) {
  test(`a failure nobody handles ends the process: ${name}`, async (t) => {
    const { code, stderr } = await ended(`unhandled, ${name}`)
    t.is(code, 1)
    t.is(stderr.match(/code: 'MILL_RUN_CHUNK'/g)?.length, 1, stderr)
    t.regex(stderr, /RangeError: no good: [03]/, 'the cause is shown')
  })
}

test('a stream read without an error listener ends the process when the run fails', async (t) => {
  const { code, stderr } = await ended('read without an error listener')
  t.is(code, 1)
  t.is(stderr.match(/code: 'MILL_RUN_CHUNK'/g)?.length, 1, stderr)
})

test('a run that nobody reads has no timer; one that is read has, and it holds nothing', async (t) => {
  t.deepEqual((await ended('timers')).last, { unread: 0, held: 0, whileRead: true })
})

test('SIGTERM ends a process that has not wired it', async (t) => {
  const child = spawn(process.execPath, [path, 'SIGTERM'], { stdio: ['ignore', 'pipe', 'inherit'] })
  await within(once(child.stdout, 'data'), 'begun')
  child.kill('SIGTERM')
  t.deepEqual(await within(once(child, 'exit'), 'exit'), [null, 'SIGTERM'])
})

test('SIGTERM wired to abort: the process saves, ends by itself, and another goes on', async (t) => {
  const child = spawn(process.execPath, [path, 'SIGTERM, wired'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.on('data', (text) => {
    out += text
  })
  await within(once(child.stdout, 'data'), 'begun')
  child.kill('SIGTERM')
  t.deepEqual(await within(once(child, 'close'), 'exit'), [0, null])
  const resume = Buffer.from(JSON.parse(out.trim().split('\n').at(-1) as string), 'base64')
  const hits = sharedArray(Int32Array, 1000)
  const { skipped, done } = await within(runChunked(work, { end: 1000, resume, args: { hits } }), 'rest')
  t.true(skipped > 0 && skipped < 1000, `${skipped}`)
  t.is(done, 1000)
  t.is(begun(hits), 1000 - skipped)
  t.deepEqual([...hits].slice(-10), times(10, 1))
})
