import { once } from 'node:events'
import fs, { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable as NodeReadable, Writable as NodeWritable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import test from 'ava'
import { MapBuffer, MapBufferWriter, type WriterOptions, writeMapBuffer } from '../lib/mapbuffer/index.js'
import {
  endless,
  folder,
  nothingLeft,
  openFiles,
  type Pair,
  readLink,
  root,
  value,
  written,
} from './fixtures/mapbuffer-writer-kit.js'
import { abortKit, codeOf, failure, settle, watch, within } from './fixtures/stream-kit.js'

// ---- when things go wrong -------------------------------------------------------------------------------------------------

const spooling: [string, WriterOptions][] = [
  ['in memory', {}],
  ['through a file', { memory: 65_536 }],
  ['in levels', { sorted: true, count: 2000 }],
]

for (const [way, options] of spooling) {
  test.serial(`${way}: the source fails`, async (t) => {
    const broken = new Error('broken')
    for (const after of [0, 1, 700]) {
      const dir = folder()
      function* source(): Generator<Pair> {
        for (const pair of endless()) {
          if (pair[0] === after) throw broken
          yield pair
        }
      }
      const writer = new MapBufferWriter({ ...options, dir })
      const out: Uint8Array[] = []
      const sink = new NodeWritable({
        write(chunk, _encoding, done) {
          out.push(chunk)
          done()
        },
      })
      t.is(await failure(pipeline(source(), writer, sink)), broken)
      await within(writer[Symbol.asyncDispose](), 'closed')
      t.is(out.length, 0)
      t.true(sink.destroyed)
      nothingLeft(t, dir, `${after}`)
    }
  })

  test.serial(`${way}: abort before, while entries come, and while bytes go`, async (t) => {
    const reason = new Error('enough')
    for (const moment of ['before', 'first', 'closed', 'input', 'end', 'output'] as const) {
      const dir = folder()
      const { abort, signal, live } = abortKit()
      if (moment === 'before') abort(reason)
      const writer = new MapBufferWriter({ ...options, dir, signal })
      const ends = watch(writer)
      if (moment === 'first' || moment === 'closed') abort(reason)
      if (moment === 'closed') await within(ends.closed, moment)
      async function* source(): AsyncGenerator<Pair> {
        for (const pair of endless(2000)) {
          if (pair[0] === 1000 && moment === 'input') abort(reason)
          if (pair[0] === 2000) return
          if ((pair[0] as number) % 64 === 0) await settle(1)
          yield pair
        }
      }
      let chunks = 0
      const sink = new NodeWritable({
        highWaterMark: 1,
        write(_chunk, _encoding, done) {
          if (++chunks === 2) abort(reason)
          setImmediate(done)
        },
      })
      if (moment === 'end') writer.once('finish', () => abort(reason))
      t.is(await failure(pipeline(source(), writer, sink)), reason, moment)
      await within(ends.closed, `${moment}: closed`)
      t.is(ends.counts.close, 1)
      t.is(live(), 0, `${moment}: listeners`)
      t.true(writer.destroyed)
      nothingLeft(t, dir, moment)
    }
  })

  test.serial(`${way}: destroyed after two chunks, or left early`, async (t) => {
    for (const how of ['destroy', 'break', 'dispose'] as const) {
      const dir = folder()
      const writer = new MapBufferWriter({ ...options, dir })
      const ends = watch(writer)
      for (let i = 0; i < 2000; i++) {
        if (!writer.write([i, new Uint8Array(2000)]))
          await within(new Promise<void>((go) => writer.once('drain', go)), 'drain')
      }
      writer.end()
      let chunks = 0
      const loop = async (): Promise<void> => {
        for await (const _ of writer) {
          if (++chunks < 2) continue
          if (how === 'break') break
          if (how === 'destroy') writer.destroy()
          if (how === 'dispose') await writer[Symbol.asyncDispose]()
        }
      }
      if (how === 'break') await within(loop(), 'the loop')
      else t.is(codeOf(await failure(loop())), 'MILL_PREMATURE_CLOSE')
      await within(ends.closed, how)
      t.is(chunks, 2)
      t.false(writer.write([1, value]))
      nothingLeft(t, dir, how)
    }
  })

  test.serial(`${way}: the destination fails`, async (t) => {
    const dir = folder()
    const broken = new Error('broken')
    const sink = new NodeWritable({ write: (_chunk, _encoding, done) => done(broken) })
    const writer = new MapBufferWriter({ ...options, dir })
    const source = Array.from({ length: 2000 }, (_, i): Pair => [i, new Uint8Array(1000)])
    t.is(await failure(pipeline(source, writer, sink)), broken)
    await within(writer[Symbol.asyncDispose](), 'closed')
    nothingLeft(t, dir, way)
  })
}

test.serial('a temporary file is for its owner alone, and its name is gone while it is used', async (t) => {
  const dir = folder()
  const writer = new MapBufferWriter({ memory: 65_536, dir })
  for (let i = 0; i < 200; i++)
    if (!writer.write([i, new Uint8Array(1000)])) await within(once(writer, 'drain'), 'drain')
  t.is(writer.stats.mode, 'spool')
  t.deepEqual(readdirSync(dir), [])
  if (process.platform === 'linux') {
    t.is(openFiles(dir)?.length, 1)
    const modes = readdirSync('/proc/self/fd').flatMap((fd) => {
      const path = `/proc/self/fd/${fd}`
      return (readLink(path) ?? '').startsWith(dir) ? [statSync(path).mode & 0o777] : []
    })
    t.deepEqual(modes, [0o600])
  }
  await writer[Symbol.asyncDispose]()
  nothingLeft(t, dir, 'disposed')
})

// ---- a file system that fails ---------------------------------------------------------------------------------------------

type Done = (error: Error | null, count?: number) => void
type Call = (fd: number, bytes: Uint8Array, from: number, count: number, position: number, done: Done) => void

/** Runs it with other functions in place of those of `node:fs`, which the library calls. */
async function withCalls<T>(
  change: (name: 'write' | 'read', call: Call) => Call,
  run: () => Promise<T>,
  close = fs.close,
): Promise<T> {
  const real = { write: fs.write, read: fs.read, close: fs.close }
  const changed = {
    write: change('write', real.write as unknown as Call),
    read: change('read', real.read as unknown as Call),
    close,
  }
  Object.assign(fs, changed)
  try {
    return await run()
  } finally {
    Object.assign(fs, real)
  }
}

const someEntries = Array.from({ length: 600 }, (_, i): Pair => [i, new Uint8Array((i * 131) % 3000).fill(i)])
const throughFiles: [string, WriterOptions][] = [
  ['through a file', { memory: 65_536 }],
  ['in levels', { sorted: true, count: someEntries.length }],
]

test.serial('reads and writes that do less than was asked are gone on with', async (t) => {
  const expected = MapBuffer.from(new Map(someEntries)).toBytes()
  let calls = 0
  const short = (_name: string, call: Call): Call => {
    return (fd, bytes, from, count, position, done) => {
      call(fd, bytes, from, Math.min(count, 1 + ((calls++ * 7919) % 9000)), position, done)
    }
  }
  for (const [way, options] of throughFiles) {
    calls = 0
    const bytes = await withCalls(short, () => written(someEntries, new MapBufferWriter({ ...options, dir: root })))
    t.true(bytes.equals(expected), way)
    t.true(calls > 100)
  }
})

test.serial('whichever read or write fails, it ends with that fault, and nothing is left', async (t) => {
  for (const [way, options] of throughFiles) {
    for (const [failing, code] of [
      ['write', 'ENOSPC'],
      ['read', 'EIO'],
    ] as const) {
      let calls = 0
      let nth = -1
      const fail = (name: string, call: Call): Call => {
        return (fd, bytes, from, count, position, done) => {
          if (name !== failing || calls++ !== nth) call(fd, bytes, from, count, position, done)
          else setImmediate(done, Object.assign(new Error('no'), { code }))
        }
      }
      const dir = folder()
      const run = (): Promise<Buffer> => {
        calls = 0
        return withCalls(fail, () => written(someEntries, new MapBufferWriter({ ...options, dir })))
      }
      await run()
      const all = calls
      t.true(all >= 3, `${way}: ${all} calls of ${failing}`)
      for (nth = 0; nth < all; nth += Math.ceil(all / 20)) {
        const error = await failure(run())
        const what = `${way}: ${failing} ${nth} of ${all}`
        t.deepEqual([codeOf(error), codeOf((error as Error).cause)], ['MILL_SPOOL_FAILED', code], what)
        for (let i = 0; i < 100 && (openFiles(dir) ?? []).length > 0; i++) await wait(5)
        nothingLeft(t, dir, what)
      }
    }
  }
})

test.serial(
  'a file is not closed while it is written to: the descriptor could be that of another file by then',
  async (t) => {
    for (const [way, options] of throughFiles) {
      const events: string[] = []
      const writing = new Map<number, number>()
      const add = (fd: number, n: number): void => void writing.set(fd, (writing.get(fd) ?? 0) + n)
      const slow = (name: string, call: Call): Call => {
        if (name === 'read') return call
        return (fd, bytes, from, count, position, done) => {
          add(fd, 1)
          setTimeout(() => {
            call(fd, bytes, from, count, position, (error, written) => {
              add(fd, -1)
              done(error, written)
            })
          }, 20)
        }
      }
      const { close } = fs
      const watched = (fd: number, done: () => void): void => {
        events.push(`closed with ${writing.get(fd) ?? 0} writes under way`)
        close(fd, done)
      }
      const run = async (): Promise<void> => {
        const writer = new MapBufferWriter({ ...options, dir: root })
        for (const entry of someEntries) {
          if (!writer.write(entry)) await within(new Promise<void>((go) => writer.once('drain', go)), 'drain')
          if (writing.size > 0) break
        }
        t.true(writing.size > 0, way)
        await within(writer[Symbol.asyncDispose](), way)
      }
      await withCalls(slow, run, watched as typeof close)
      t.true(events.length > 0)
      t.deepEqual([...new Set(events)], ['closed with 0 writes under way'], way)
    }
  },
)

// ---- files ----------------------------------------------------------------------------------------------------------------

test.serial('writeMapBuffer writes the whole file or nothing', async (t) => {
  const dir = folder()
  const path = join(dir, 'a.mb')
  const pairs = Array.from({ length: 3000 }, (_, i): Pair => [i % 2900, new Uint8Array(500).fill(i)])
  const options = { duplicates: 'first', memory: 100_000 } as const
  const result = await within(writeMapBuffer(path, pairs, options), 'written')
  const bytes = readFileSync(path)
  t.deepEqual(result, { entries: 2900, bytes: bytes.length })
  t.is(new MapBuffer(bytes).size, 2900)
  t.deepEqual(await writeMapBuffer(pathToFileURL(path), pairs.slice(0, 1)), { entries: 1, bytes: 536 })
  t.is(new MapBuffer(readFileSync(path)).size, 1)
  const streamed = await writeMapBuffer(path, NodeReadable.from(pairs.slice(0, 2)))
  t.is(streamed.entries, 2)
  t.deepEqual(readdirSync(dir), ['a.mb'])
})

test.serial('M4: writeMapBuffer leaves the old file and nothing else when anything fails', async (t) => {
  const dir = folder()
  const path = join(dir, 'a.mb')
  writeFileSync(path, 'old')
  const reason = new Error('enough')
  let returned = 0
  function* source(fail: (i: number) => void): Generator<Pair> {
    try {
      for (const pair of endless()) {
        if (pair[0] === 5000) return
        fail(pair[0] as number)
        yield pair
      }
    } finally {
      returned++
    }
  }
  const kit = abortKit()
  const late = abortKit()
  const cases: [string, () => Promise<unknown>][] = [
    [
      'the source throws',
      () =>
        writeMapBuffer(
          path,
          source((i) => {
            if (i === 3000) throw reason
          }),
          { memory: 65_536 },
        ),
    ],
    [
      'an abort',
      () =>
        writeMapBuffer(
          path,
          source((i) => {
            if (i === 3000) kit.abort(reason)
          }),
          { signal: kit.signal },
        ),
    ],
    [
      'an abort while it is written',
      () =>
        writeMapBuffer(
          path,
          source(() => {}),
          {
            signal: late.signal,
            onProgress: ({ phase }) => {
              if (phase === 'write') late.abort(reason)
            },
          },
        ),
    ],
    [
      'an abort before',
      () =>
        writeMapBuffer(
          path,
          source(() => {}),
          { signal: AbortSignal.abort(reason) },
        ),
    ],
  ]
  for (const [what, run] of cases) {
    t.is(await failure(run()), reason, what)
    t.is(readFileSync(path, 'utf8'), 'old', what)
    t.deepEqual(readdirSync(dir), ['a.mb'], what)
  }
  t.true(returned >= 3)
  t.deepEqual([kit.live(), late.live()], [0, 0])
  t.is(
    codeOf(
      await failure(
        writeMapBuffer(
          path,
          source(() => {}),
          { sorted: true, count: 7 },
        ),
      ),
    ),
    'MILL_COUNT_MISMATCH',
  )
  t.is(codeOf(await failure(writeMapBuffer(path, 5 as never))), 'MILL_NOT_A_STREAM')
  t.is(
    codeOf(
      await failure(
        writeMapBuffer(
          join(dir, 'no', 'a.mb'),
          source(() => {}),
        ),
      ),
    ),
    'MILL_WRITE_FAILED',
  )
  symlinkSync(path, join(dir, 'link'))
  t.is(
    codeOf(
      await failure(
        writeMapBuffer(
          join(dir, 'link'),
          source(() => {}),
        ),
      ),
    ),
    'MILL_PATH_REFUSED',
  )
  t.is(readFileSync(path, 'utf8'), 'old')
  t.deepEqual(readdirSync(dir).sort(), ['a.mb', 'link'])
})

test.serial('writeMapBuffer ends its source when it fails, whatever the source is doing', async (t) => {
  const path = join(folder(), 'a.mb')
  const reason = new Error('enough')
  // No path at all: the source has no end, and nothing else would stop it.
  t.is(codeOf(await failure(writeMapBuffer(5 as never, endless()))), 'MILL_INVALID_ARGUMENT')
  const runs: [string, (source: NodeReadable) => Promise<unknown>, unknown][] = [
    ['no path', (source) => writeMapBuffer(5 as never, source), 'MILL_INVALID_ARGUMENT'],
    ['a wrong option', (source) => writeMapBuffer(path, source, { memory: -1 }), 'MILL_INVALID_ARGUMENT'],
    ['no signal', (source) => writeMapBuffer(path, source, { signal: 5 as never }), 'MILL_INVALID_ARGUMENT'],
    ['an abort before', (source) => writeMapBuffer(path, source, { signal: AbortSignal.abort(reason) }), reason],
    ['a bad entry', (source) => writeMapBuffer(path, source, { sorted: true, count: 5 }), 'MILL_COUNT_MISMATCH'],
  ]
  for (const [what, run, expected] of runs) {
    const source = NodeReadable.from(endless())
    const ends = watch(source)
    t.is(codeOf(await failure(run(source), what)), expected, what)
    await within(ends.closed, `${what}: the source`)
  }
  // Waiting for an entry that never comes.
  async function* stuck(): AsyncGenerator<Pair> {
    yield [1, value]
    await new Promise(() => {})
  }
  const { abort, signal, live } = abortKit()
  const writing = failure(writeMapBuffer(path, stuck(), { signal }))
  await settle()
  abort(reason)
  t.is(await writing, reason)
  t.is(live(), 0)
  t.deepEqual(readdirSync(join(path, '..')), [])
})
