import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { writeMapBuffer } from '../lib/mapbuffer/index.js'
import { folder, value } from './fixtures/mapbuffer-writer-kit.js'
import { within } from './fixtures/stream-kit.js'

// ---- writers in processes of their own --------------------------------------------------------------------------------------

const child = fileURLToPath(new URL('fixtures/mapbuffer-writer-child.js', import.meta.url))

test('M4: killed in the middle, it has left the old file, no spool, and nothing the next one does not remove', async (t) => {
  if (process.platform === 'win32') return t.pass('Windows keeps the names of open files')
  const dir = folder()
  const path = join(dir, 'full.mb')
  writeFileSync(path, 'old')
  for (const moment of ['take', 'write']) {
    const running = spawn(process.execPath, [child, `kill-${moment}`, dir], { stdio: ['ignore', 'pipe', 'inherit'] })
    const gone = once(running, 'exit')
    const [said] = await within(once(running.stdout, 'data'), moment, 20_000)
    t.is(String(said), `${moment}\n`)
    running.kill('SIGKILL')
    await within(gone, 'the child', 20_000)
    t.is(readFileSync(path, 'utf8'), 'old', moment)
    t.deepEqual(
      readdirSync(dir).filter((name) => name.startsWith('.millrace-')),
      [],
      moment,
    )
  }
  // Each process removes what dead ones have left, once: this one has not been in this folder yet.
  t.is((await writeMapBuffer(path, [[1, value] as const])).entries, 1)
  t.deepEqual(readdirSync(dir), ['full.mb'])
})

test('M4: a full disk ends it with a code, and nothing is left', async (t) => {
  if (process.platform === 'win32') return t.pass('Windows has no limit for the size of a file')
  const dir = folder()
  // The shell counts in blocks of 512 bytes or of a kilobyte; either is less than the 20 MB that are written.
  const { stdout } = await within(
    promisify(execFile)('/bin/sh', ['-c', `ulimit -f 3072; exec "$0" "$@"`, process.execPath, child, 'full', dir]),
    'the child',
    20_000,
  )
  t.deepEqual(JSON.parse(stdout), [
    ['MILL_SPOOL_FAILED', 'EFBIG'],
    ['MILL_SPOOL_FAILED', 'EFBIG'],
    ['MILL_DISK_FULL', 'EFBIG'],
  ])
  t.deepEqual(readdirSync(dir), [])
})

test('memory: 200,000 entries of 1 KB in any order, and a constant amount when they are sorted', async (t) => {
  const dir = folder()
  const run = async (what: string): Promise<{ bytes: number; peak: number }> => {
    const { stdout } = await within(promisify(execFile)(process.execPath, [child, what, dir]), what, 60_000)
    return JSON.parse(stdout)
  }
  const whats = ['make', 'pass', 'random', 'small', 'sorted'] as const
  const [make, pass, random, small, sorted] = await Promise.all(whats.map(run))
  const over = (a: typeof make, b: typeof make): number => ((a?.peak ?? 0) - (b?.peak ?? 0)) / 2 ** 20
  t.true((random?.bytes ?? 0) > 200e6)
  t.deepEqual([small?.bytes, sorted?.bytes], [random?.bytes, random?.bytes])
  // Against a process that only makes the entries.
  t.true(over(random, make) <= 120, `${over(random, make)} MiB`)
  // Chunks that a reader has let go of are garbage, of which V8 lets 32 to 64 MiB pile up: `pass` makes them, too.
  t.true(over(random, pass) <= 96, `${over(random, pass)} MiB`)
  t.true(over(small, pass) <= 40, `${over(small, pass)} MiB with a memory of 16 MiB`)
  t.true(over(sorted, pass) <= 30, `${over(sorted, pass)} MiB sorted`)
  t.deepEqual(readdirSync(dir), [])
})
