import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openAsBlob,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import fc from 'fast-check'
import { isMillraceError, type MillraceError } from '../lib/base/errors.js'
import { atomicWrite } from '../lib/io/atomic-write.js'
import {
  blobSource,
  cached,
  coalesced,
  fileSource,
  httpSource,
  memorySource,
  readRanges,
  sourceOf,
} from '../lib/io/index.js'
import { hostTag, parseTemporary } from '../lib/io/temporary.js'
import type { ByteSource } from '../types/byte-source.js'
import { abortKit, codeOf, failure, gather, settle, within } from './fixtures/stream-kit.js'

const SIZE = 10_000
const body = new Uint8Array(SIZE).map((_, i) => i ^ (i >> 8))
const bytesOf = (from: number, to: number): number[] => [...body.subarray(from, to)]
const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** A folder for one test. */
async function inFolder(fn: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-io-'))
  try {
    await within(fn(folder), 'the test', 20_000)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** A source over `body` that counts, waits, and fails when told to. */
interface Counted extends ByteSource {
  readonly reads: [offset: number, length: number][]
  active: number
  most: number
  aborted: number
  closed: number
  fail: ((offset: number) => unknown) | undefined
  /** Milliseconds a read takes, by its offset. */
  wait: (offset: number) => number
}
function counted(wait = 1): Counted {
  const source: Counted = {
    size: SIZE,
    etag: '"e"',
    local: false,
    reads: [],
    active: 0,
    most: 0,
    aborted: 0,
    closed: 0,
    fail: undefined,
    wait: () => wait,
    async read(offset, length, { signal } = {}) {
      source.reads.push([offset, length])
      source.most = Math.max(source.most, ++source.active)
      try {
        await delay(source.wait(offset), undefined, { ...(signal !== undefined && { signal }) })
      } catch (error) {
        source.aborted++
        throw signal?.reason ?? error
      } finally {
        source.active--
      }
      const error = source.fail?.(offset)
      if (error !== undefined) throw error
      return body.slice(offset, offset + length)
    },
    async close() {
      source.closed++
    },
  }
  return source
}

// ---- sources ---------------------------------------------------------------------------------------------------------

test('memory, Blob and file give the same bytes for every range', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'a b.bin')
    writeFileSync(path, body)
    const shared = new Uint8Array(new SharedArrayBuffer(SIZE))
    shared.set(body)
    const sources: [string, ByteSource][] = [
      ['memory', memorySource(body)],
      ['shared memory', memorySource(shared.buffer)],
      ['DataView', memorySource(new DataView(body.buffer))],
      ['Blob', blobSource(new Blob([body]))],
      ['file', fileSource(path)],
      ['file by URL', fileSource(pathToFileURL(path))],
    ]
    for (const [name, source] of sources) {
      await fc.assert(
        fc.asyncProperty(fc.nat(SIZE + 5), fc.nat(SIZE + 5), async (offset, length) =>
          same(await source.read(offset, length), body.subarray(offset, offset + length)),
        ),
        { numRuns: 50 },
      )
      t.deepEqual([source.size, source.local, source.etag], [SIZE, true, undefined], name)
      const { signal, abort } = abortKit()
      abort('gone')
      t.is(await failure(source.read(0, 5, { signal })), 'gone', name)
      for (const [offset, length] of [
        [-1, 1],
        [0, 1.5],
        [Number.MAX_SAFE_INTEGER, 2],
      ] as const) {
        t.is(codeOf(await failure(source.read(offset, length))), 'MILL_INVALID_ARGUMENT', name)
      }
      await source.close?.()
    }
  })
})

test('memory gives views; a Blob and a file give memory of its own', async (t) => {
  t.is((await memorySource(body).read(5, 10)).buffer, body.buffer)
  const blob = blobSource(new Blob([body]))
  const [one, two] = [await blob.read(0, 10), await blob.read(0, 10)]
  t.not(one.buffer, two.buffer)
})

test('a Blob whose file has changed is MILL_SOURCE_FAILED', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    writeFileSync(path, body)
    const source = blobSource(await openAsBlob(path))
    t.deepEqual([...(await source.read(7, 3))], bytesOf(7, 10))
    writeFileSync(path, body.subarray(0, 100))
    const error = await failure(source.read(500, 5))
    t.like(error, { code: 'MILL_SOURCE_FAILED', offset: 500 })
    t.true((error as Error).cause instanceof Error)
  })
})

test('a file is opened by the first read and closed by close(), once', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    const source = fileSource(path)
    t.is(source.size, undefined)
    const missing = (await failure(source.read(0, 5))) as MillraceError & { url: string; cause: { code: string } }
    t.like(missing, { code: 'MILL_SOURCE_FAILED', name: 'SourceError', url: path, cause: { code: 'ENOENT' } })
    writeFileSync(path, body)
    const many = await Promise.all(Array.from({ length: 50 }, (_, i) => source.read(i * 100, 150)))
    t.true(many.every((part, i) => same(part, body.subarray(i * 100, i * 100 + 150))))
    t.is(descriptors(path), 1)
    const under = source.read(0, SIZE).then((all) => same(all, body), codeOf)
    await Promise.all([source.close?.(), source.close?.()])
    t.true([true, 'MILL_SOURCE_CLOSED'].includes((await under) as string | boolean))
    t.is(descriptors(path), 0)
    t.is(codeOf(await failure(source.read(0, 5))), 'MILL_SOURCE_CLOSED')
    const unread = fileSource(path)
    await unread.close?.()
    t.is(codeOf(await failure(unread.read(0, 5))), 'MILL_SOURCE_CLOSED')
    const hurried = fileSource(path)
    const reading = hurried.read(0, 5).catch(codeOf)
    await hurried.close?.()
    t.is(await reading, 'MILL_SOURCE_CLOSED')
    t.is(descriptors(path), 0)
  })
})

/** How many descriptors of this process are open on the file. */
function descriptors(path: string): number {
  let count = 0
  for (const fd of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${fd}`) === path) count++
    } catch {
      // Closed in the meantime.
    }
  }
  return count
}

test('a file that gets shorter is MILL_SOURCE_SHORT, what is appended is not seen', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    writeFileSync(path, body)
    const source = fileSource(path)
    await source.read(0, 1)
    writeFileSync(path, body, { flag: 'a' })
    t.is((await source.read(SIZE - 5, 100)).length, 5)
    truncateSync(path, 100)
    t.like(await failure(source.read(90, 20)), {
      code: 'MILL_SOURCE_SHORT',
      url: path,
      offset: 90,
      expected: 20,
      got: 10,
    })
    t.is((await source.read(0, 100)).length, 100)
    await source.close?.()
  })
})

test('what is no regular file is MILL_SOURCE_FAILED, and a FIFO does not hang', async (t) => {
  await inFolder(async (folder) => {
    const fifo = join(folder, 'fifo')
    t.is(spawnSync('mkfifo', [fifo]).status, 0)
    for (const path of [folder, fifo, '/dev/null']) {
      const source = fileSource(path)
      t.is(codeOf(await failure(source.read(0, 5), path)), 'MILL_SOURCE_FAILED', path)
      if (path !== '/dev/null') t.is(descriptors(path), 0)
      await source.close?.()
    }
  })
})

test('wrong arguments of the sources are MILL_INVALID_ARGUMENT', (t) => {
  const wrong: (() => unknown)[] = [
    () => memorySource('text' as unknown as Uint8Array),
    () => blobSource({} as Blob),
    () => fileSource(''),
    () => fileSource('a\0b'),
    () => fileSource(new URL('http://a/b')),
    () => fileSource(5 as unknown as string),
    () => coalesced(counted(), { gap: -1 }),
    () => coalesced(counted(), { span: 0 }),
    () => coalesced(counted(), { concurrency: 0 }),
    () => cached(counted(), { blockSize: 0 }),
    () => cached(counted(), { maxBytes: -1 }),
    () => readRanges(counted(), [{ offset: -1, length: 5 }]),
    () => readRanges(counted(), [], { concurrency: 1.5 }),
    () => readRanges(counted(), [], { signal: 5 as unknown as AbortSignal }),
    () => sourceOf(5 as unknown as string),
    () => sourceOf({} as ByteSource),
    () => sourceOf(''),
  ]
  for (const fn of wrong) t.throws(fn, { code: 'MILL_INVALID_ARGUMENT' }, String(fn))
})

test('sourceOf: what it is, and whose', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    writeFileSync(path, body)
    const own = counted()
    t.deepEqual(sourceOf(own), { source: own, owned: false })
    for (const input of [path, pathToFileURL(path), pathToFileURL(path).href, body, body.buffer, new Blob([body])]) {
      const { source, owned } = sourceOf(input)
      t.true(owned)
      t.deepEqual([...(await source.read(7, 3))], bytesOf(7, 10))
      await source.close?.()
    }
    const kind = httpSource('http://a/b').constructor
    for (const url of ['http://a/b', 'HTTPS://a/b', new URL('https://a/b')]) {
      t.is(sourceOf(url).source.constructor, kind)
    }
  })
})

test.serial('sourceOf: where there are no files, a string is a URL relative to the page', (t) => {
  const host = process as { getBuiltinModule?: unknown }
  const page = globalThis as { location?: unknown }
  const { getBuiltinModule } = host
  host.getBuiltinModule = undefined
  page.location = { href: 'https://example.org/maps/index.html', origin: 'https://example.org' }
  try {
    t.is(sourceOf('cities.mb').source.constructor, httpSource('https://example.org/maps/cities.mb').constructor)
    t.throws(() => sourceOf('file:///cities.mb'), { code: 'MILL_INVALID_ARGUMENT' })
  } finally {
    host.getBuiltinModule = getBuiltinModule
    delete page.location
  }
})

// ---- coalesced -------------------------------------------------------------------------------------------------------

const ranges = fc.array(fc.tuple(fc.nat(SIZE + 50), fc.nat(400)), { maxLength: 20 })

test('coalesced: reads of one turn, joined or not, give what they would alone', async (t) => {
  await fc.assert(
    fc.asyncProperty(ranges, fc.nat(300), fc.integer({ min: 1, max: 3000 }), async (asked, gap, span) => {
      const inner = counted(0)
      const source = coalesced(inner, { gap, span, concurrency: 3 })
      const all = await Promise.all(asked.map(([offset, length]) => source.read(offset, length)))
      const right = all.every((part, i) => {
        const [offset, length] = asked[i] as [number, number]
        return same(part, body.subarray(offset, offset + length))
      })
      const longest = Math.max(span, ...asked.map(([, length]) => length))
      return right && inner.most <= 3 && inner.reads.every(([, length]) => length <= longest)
    }),
    { numRuns: 100 },
  )
  t.pass()
})

test('coalesced: few reads for many, by gap and span', async (t) => {
  const inner = counted()
  const source = coalesced(inner, { gap: 10, span: 100 })
  t.deepEqual([source.size, source.etag, source.local], [SIZE, '"e"', false])
  const read = (...asked: [number, number][]) =>
    Promise.all(asked.map(([offset, length]) => source.read(offset, length)))
  await read([0, 5], [15, 5], [31, 5], [0, 5], [17, 1], [5, 0])
  t.deepEqual(inner.reads.splice(0), [
    [0, 20],
    [31, 5],
  ])
  await read([60, 40], [0, 60], [100, 10])
  t.deepEqual(inner.reads.splice(0), [
    [0, 100],
    [100, 10],
  ])
  await read([10, 300], [20, 50])
  t.deepEqual(inner.reads.splice(0), [[10, 300]], 'one range may be longer than the span, and hold others')
  await read([0, 5])
  await read([5, 5])
  t.deepEqual(
    inner.reads.splice(0),
    [
      [0, 5],
      [5, 5],
    ],
    'turns are not joined',
  )
  await source.close?.()
  t.is(inner.closed, 1)
})

test('coalesced: by default 32 KiB, 8 MiB and 16 at once', async (t) => {
  const inner = counted(5)
  const big: ByteSource = {
    ...inner,
    size: 1e9,
    async read(offset, length, options) {
      await inner.read(offset, length, options)
      return new Uint8Array(0)
    },
  }
  const source = coalesced(big)
  const at = (...offsets: number[]) => Promise.all(offsets.map((offset) => source.read(offset, 1)))
  await at(0, 32_769, 65_539)
  t.deepEqual(inner.reads.splice(0), [
    [0, 32_770],
    [65_539, 1],
  ])
  await Promise.all([source.read(0, 8_388_607), source.read(8_388_607, 1), source.read(8_388_608, 1)])
  t.deepEqual(inner.reads.splice(0), [
    [0, 8_388_608],
    [8_388_608, 1],
  ])
  await at(...Array.from({ length: 40 }, (_, i) => i * 100_000))
  t.is(inner.most, 16)
})

test('coalesced: an abort of one does not disturb the others; an abort of all reaches the source', async (t) => {
  const inner = counted(60)
  const source = coalesced(inner, { gap: 100 })
  const [a, b, c] = [abortKit(), abortKit(), abortKit()]
  const early = abortKit()
  const first = source.read(0, 5, { signal: a.signal })
  const second = source.read(10, 5, { signal: b.signal })
  const third = source.read(20, 5, { signal: early.signal })
  early.abort('early')
  await delay(20)
  a.abort('a')
  t.is(await failure(first), 'a')
  t.is(await failure(third), 'early')
  t.deepEqual([...(await second)], bytesOf(10, 15))
  t.deepEqual([inner.reads.splice(0), inner.aborted], [[[0, 15]], 0])
  const both = [source.read(0, 5, { signal: b.signal }), source.read(10, 5, { signal: c.signal })]
  await delay(20)
  b.abort('b')
  c.abort('c')
  t.deepEqual(await Promise.all(both.map((read) => failure(read))), ['b', 'c'])
  await settle()
  t.deepEqual([inner.aborted, inner.active], [1, 0])
  t.deepEqual([a.live(), b.live(), c.live()], [0, 0, 0])
})

test('coalesced: a failure reaches those who were in that read, and only them', async (t) => {
  const inner = counted()
  inner.fail = (offset) => (offset === 0 ? new Error('first') : undefined)
  const source = coalesced(inner, { gap: 10 })
  const all = await Promise.allSettled([source.read(0, 5), source.read(8, 5), source.read(500, 5)])
  t.deepEqual(
    all.map((one) => one.status),
    ['rejected', 'rejected', 'fulfilled'],
  )
  inner.fail = undefined
  t.deepEqual([...(await source.read(0, 5))], bytesOf(0, 5))
})

// ---- cached ----------------------------------------------------------------------------------------------------------

test('cached: any reads, one after the other and at once, give what they would alone', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(ranges, { maxLength: 4 }),
      fc.integer({ min: 1, max: 300 }),
      fc.nat(5000),
      fc.boolean(),
      async (rounds, blockSize, maxBytes, sized) => {
        const inner = counted(0)
        const unsized: ByteSource = { read: inner.read }
        const source = cached(sized ? inner : unsized, { blockSize, maxBytes })
        for (const round of rounds) {
          const all = await Promise.all(round.map(([offset, length]) => source.read(offset, length)))
          for (const [i, part] of all.entries()) {
            const [offset, length] = round[i] as [number, number]
            if (!same(part, body.subarray(offset, offset + length))) return false
          }
        }
        return true
      },
    ),
    { numRuns: 60 },
  )
  t.pass()
})

test('cached: aligned blocks, adjacent ones in one read, each once', async (t) => {
  const inner = counted()
  const source = cached(inner, { blockSize: 100, maxBytes: 2000 })
  t.deepEqual([source.size, source.etag, source.local], [SIZE, '"e"', false])
  await source.read(150, 100)
  t.deepEqual(inner.reads.splice(0), [[100, 200]])
  await source.read(110, 180)
  await source.read(SIZE, 10)
  t.deepEqual(inner.reads.splice(0), [])
  await Promise.all([source.read(0, 500), source.read(0, 350), source.read(450, 100)])
  t.deepEqual(inner.reads.splice(0), [
    [0, 100],
    [300, 200],
    [500, 100],
  ])
  await source.read(0, 2001)
  t.deepEqual(inner.reads.splice(0), [[0, 2001]], 'longer than the cache: past it')
  await source.close?.()
  t.is(inner.closed, 1)
})

test('cached: 64 KiB and 32 MiB by default', async (t) => {
  const reads: number[][] = []
  const source = cached({
    async read(offset, length) {
      reads.push([offset, length])
      return new Uint8Array(length)
    },
  })
  await source.read(70_000, 1)
  t.deepEqual(reads.splice(0), [[65_536, 65_536]])
  for (let block = 0; block < 512; block++) await source.read(block * 65_536, 1)
  reads.length = 0
  await source.read(0, 1)
  t.is(reads.length, 0, '32 MiB are kept')
  await source.read(512 * 65_536, 1)
  await source.read(65_536, 1)
  t.deepEqual(
    reads.map(([offset]) => offset),
    [512 * 65_536, 65_536],
    'and no more',
  )
})

test('cached: what was used least recently goes, and its memory with it', async (t) => {
  const inner = counted()
  const source = cached(inner, { blockSize: 100, maxBytes: 300 })
  await source.read(0, 300)
  t.is((await source.read(0, 10)).buffer.byteLength, 100, 'blocks are memory of their own')
  await source.read(300, 10)
  inner.reads.length = 0
  await source.read(0, 10)
  t.is(inner.reads.length, 0)
  await source.read(100, 10)
  t.deepEqual(inner.reads, [[100, 100]])
})

test('cached: failures are not kept, and an abort of one caller is his alone', async (t) => {
  const inner = counted(30)
  const source = cached(inner, { blockSize: 100 })
  inner.fail = () => new Error('no')
  const both = await Promise.allSettled([source.read(0, 10), source.read(5, 10)])
  t.deepEqual(
    both.map((one) => one.status),
    ['rejected', 'rejected'],
  )
  t.is(inner.reads.splice(0).length, 1)
  inner.fail = undefined
  t.deepEqual([...(await source.read(0, 10))], bytesOf(0, 10))
  inner.reads.length = 0
  const { signal, abort, live } = abortKit()
  const mine = source.read(200, 10, { signal })
  const yours = source.read(205, 10)
  await turn()
  abort('mine')
  t.is(await failure(mine), 'mine')
  t.deepEqual([...(await yours)], bytesOf(205, 215))
  t.deepEqual([inner.reads.splice(0), inner.aborted, live()], [[[200, 100]], 0, 0])
  const kit = abortKit()
  const alone = source.read(400, 10, { signal: kit.signal })
  await turn()
  kit.abort('alone')
  const next = source.read(400, 10)
  t.is(await failure(alone), 'alone')
  t.deepEqual([...(await next)], bytesOf(400, 410), 'whoever comes after an abort starts anew')
  t.is(inner.aborted, 1)
})

// ---- readRanges ------------------------------------------------------------------------------------------------------

const asRanges = (asked: readonly [number, number][]) => asked.map(([offset, length]) => ({ offset, length }))

test('readRanges: every range once, empty and equal ones too, with the right bytes', async (t) => {
  await fc.assert(
    fc.asyncProperty(ranges, fc.nat(300), fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: 5 }), run),
    { numRuns: 100 },
  )
  async function run(asked: [number, number][], gap: number, span: number, concurrency: number): Promise<boolean> {
    const inner = counted(0)
    inner.wait = (offset) => offset % 3
    const found = await gather(readRanges(inner, asRanges(asked), { gap, span, concurrency }))
    const indexes = found.map(([index]) => index).sort((a, b) => a - b)
    const right = found.every(([index, part]) => {
      const [offset, length] = asked[index] as [number, number]
      return same(part, body.subarray(offset, offset + length))
    })
    return (
      right && indexes.every((index, i) => index === i) && indexes.length === asked.length && inner.most <= concurrency
    )
  }
  t.pass()
})

test('readRanges: gap, span, and the order in which they come', async (t) => {
  const inner = counted()
  inner.wait = (offset) => (offset === 0 ? 50 : 1)
  const asked = asRanges([
    [500, 10],
    [0, 10],
    [15, 10],
    [500, 10],
    [7, 0],
    [900, 200],
    [1100, 50],
  ])
  const found = await gather(readRanges(inner, asked, { gap: 5, span: 200 }))
  t.deepEqual(inner.reads, [
    [0, 25],
    [500, 10],
    [900, 200],
    [1100, 50],
  ])
  t.is(found[0]?.[0], 4, 'empty ones at once')
  t.deepEqual(
    found.slice(-2).map(([index]) => index),
    [1, 2],
    'the slow one last',
  )
})

test('G4: readRanges reads no further than its consumer takes', async (t) => {
  const inner = counted(0)
  const asked = asRanges(Array.from({ length: 50 }, (_, i) => [i * 200, 10]))
  let taken = 0
  for await (const [, part] of readRanges(inner, asked, { gap: 0, concurrency: 4 })) {
    taken++
    t.is(part.length, 10)
    await delay(2)
    t.true(inner.reads.length <= taken + 4, `${inner.reads.length} reads for ${taken}`)
  }
  t.is(taken, 50)
})

test('readRanges: leaving the loop, an abort and a failure stop what is under way', async (t) => {
  const asked = asRanges(Array.from({ length: 20 }, (_, i) => [i * 200, 10]))
  const options = { gap: 0, concurrency: 4 }
  const left = counted(20)
  for await (const _ of readRanges(left, asked, options)) break
  await settle()
  t.is(left.active, 0)
  t.true(left.reads.length <= 8)

  const aborted = counted(50)
  const { signal, abort, live } = abortKit()
  setTimeout(() => abort('enough'), 20)
  t.is(await failure(gather(readRanges(aborted, asked, { ...options, signal }))), 'enough')
  await settle()
  t.deepEqual([aborted.active, aborted.reads.length, live()], [0, 4, 0])
  t.is(await failure(gather(readRanges(aborted, asked, { ...options, signal }))), 'enough')

  const failing = counted(20)
  failing.wait = (offset) => (offset === 400 ? 5 : 500)
  failing.fail = (offset) => (offset === 400 ? new Error('third') : undefined)
  t.is(((await failure(gather(readRanges(failing, asked, options)))) as Error).message, 'third')
  await settle()
  t.is(failing.active, 0)
})

// ---- atomicWrite -----------------------------------------------------------------------------------------------------

test('M4: atomicWrite takes bytes and every kind of source, and leaves the file and nothing else', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'out.bin')
    const pieces = [body.subarray(0, 3), body.subarray(3, 3), body.subarray(3, 7000), body.subarray(7000)]
    const large = new Uint8Array(3_000_000).map((_, i) => i * 3)
    async function* generated() {
      for (const piece of pieces) {
        // The memory may be used again for the next piece.
        const own = piece.slice()
        yield own
        own.fill(0)
      }
    }
    const inputs: [string, () => Parameters<typeof atomicWrite>[1], Uint8Array][] = [
      ['bytes', () => body, body],
      ['a view', () => new DataView(body.buffer, 5, 10), body.subarray(5, 15)],
      ['no bytes', () => new Uint8Array(0), new Uint8Array(0)],
      ['large', () => large, large],
      ['an array', () => pieces, body],
      ['nothing', () => [], new Uint8Array(0)],
      ['a generator', generated, body],
      ['a Node stream', () => Readable.from(pieces), body],
      ['a Web stream', () => new Blob([body]).stream(), body],
      [
        'many small',
        () => Array.from(large.subarray(0, 100_000), (byte) => Uint8Array.of(byte)),
        large.subarray(0, 100_000),
      ],
      ['large and small', () => [large, body, large], Buffer.concat([large, body, large])],
    ]
    for (const [name, input, expected] of inputs) {
      t.is(await atomicWrite(path, input()), expected.length, name)
      t.true(same(readFileSync(path), expected), name)
      t.deepEqual(readdirSync(folder), ['out.bin'], name)
      t.is(await atomicWrite(pathToFileURL(path), input(), { sync: false }), expected.length, name)
    }
    t.is(descriptors(path), 0)
  })
})

test('atomicWrite keeps permissions, or gives those of a new file', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    await atomicWrite(path, body)
    t.is(statSync(path).mode & 0o777, 0o666 & ~process.umask())
    for (const mode of [0o600, 0o644, 0o755]) {
      chmodSync(path, mode)
      await atomicWrite(path, body)
      t.is(statSync(path).mode & 0o777, mode)
    }
  })
})

test('atomicWrite refuses what is no regular file, and leaves it as it is', async (t) => {
  await inFolder(async (folder) => {
    const victim = join(folder, 'victim')
    writeFileSync(victim, 'precious')
    symlinkSync(victim, join(folder, 'link'))
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'))
    mkdirSync(join(folder, 'folder'))
    t.is(spawnSync('mkfifo', [join(folder, 'fifo')]).status, 0)
    const before = readdirSync(folder)
    for (const name of ['link', 'dangling', 'folder', 'fifo']) {
      const error = await failure(atomicWrite(join(folder, name), body), name)
      t.like(error, { code: 'MILL_PATH_REFUSED', name: 'FileError', path: join(folder, name) })
    }
    t.deepEqual(readdirSync(folder), before)
    t.is(readFileSync(victim, 'utf8'), 'precious')
    const missing = await failure(atomicWrite(join(folder, 'no', 'x'), body))
    t.like(missing, { code: 'MILL_WRITE_FAILED', cause: { code: 'ENOENT' } })
    for (const data of [undefined, null, 5, 'text', {}, [5], ['text', {}]]) {
      const error = await failure(atomicWrite(join(folder, 'x'), data as unknown as Uint8Array))
      t.is(codeOf(error), 'MILL_INVALID_ARGUMENT', String(data))
    }
    t.is(codeOf(await failure(atomicWrite('', body))), 'MILL_INVALID_ARGUMENT')
    t.deepEqual(readdirSync(folder), before)
  })
})

test('M4: atomicWrite: a source that fails, an abort, a stuck source: the old file stays, nothing is left', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    writeFileSync(path, 'old')
    const check = (what: string): void => {
      t.is(readFileSync(path, 'utf8'), 'old', what)
      t.deepEqual(readdirSync(folder), ['x'], what)
    }
    let returned = 0
    async function* failing(at: number) {
      try {
        for (let i = 0; ; i++) {
          if (i === at) throw new Error('source')
          yield new Uint8Array(200_000)
        }
      } finally {
        returned++
      }
    }
    for (const at of [0, 1, 5]) {
      t.is(((await failure(atomicWrite(path, failing(at)))) as Error).message, 'source')
      check(`fails at ${at}`)
    }
    t.is(returned, 3)
    const destroyed = Readable.from(failing(3))
    t.is(((await failure(atomicWrite(path, destroyed))) as Error).message, 'source')
    check('a Node stream that fails')

    const early = abortKit()
    early.abort('early')
    t.is(await failure(atomicWrite(path, body, { signal: early.signal })), 'early')
    check('aborted before')

    let cancelled = 0
    const stuckWeb = new ReadableStream<Uint8Array>({
      cancel() {
        cancelled++
      },
    })
    const stuckNode = new Readable({ read() {} })
    async function* stuckGenerator() {
      yield new Uint8Array(1_000_000)
      await new Promise(() => {})
    }
    for (const stuck of [stuckWeb, stuckNode, stuckGenerator()]) {
      const { signal, abort, live } = abortKit()
      setTimeout(() => abort(new Error('enough')), 30)
      t.is(((await failure(atomicWrite(path, stuck, { signal }))) as Error).message, 'enough')
      t.is(live(), 0)
      check('aborted while it waits')
    }
    t.is(cancelled, 1)
    t.true(stuckNode.destroyed)
  })
})

test('G4: atomicWrite pulls no faster than the disk takes', async (t) => {
  await inFolder(async (folder) => {
    let ahead = 0
    let most = 0
    async function* source() {
      for (let i = 0; i < 50; i++) {
        most = Math.max(most, ++ahead)
        yield new Uint8Array(500_000)
        ahead--
      }
    }
    t.is(await atomicWrite(join(folder, 'x'), source(), { sync: false }), 25_000_000)
    t.is(most, 1)
  })
})

test('M4: a full disk is MILL_DISK_FULL, and the old file stays', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    writeFileSync(path, 'old')
    const module = fileURLToPath(new URL('../lib/io/atomic-write.js', import.meta.url))
    const code = `import { atomicWrite } from ${JSON.stringify(pathToFileURL(module).href)}
      const e = await atomicWrite(${JSON.stringify(path)}, [new Uint8Array(3_000_000)]).catch((e) => e)
      console.log(e.code, e.name, e.needed, e.path, e.cause?.code)`
    // A file may have 1,000 blocks of 1,024 bytes at most.
    const { stdout } = await promisify(execFile)('bash', [
      '-c',
      'ulimit -f 1000; exec "$0" --input-type=module -e "$1"',
      process.execPath,
      code,
    ])
    t.is(stdout, `MILL_DISK_FULL FileError 3000000 ${path} EFBIG\n`)
    t.is(readFileSync(path, 'utf8'), 'old')
    t.deepEqual(readdirSync(folder), ['x'])
  })
})

test('M4: killed at any time, the file is the old or the new one, and the next writer removes what is left', async (t) => {
  await inFolder(async (folder) => {
    const path = join(folder, 'x')
    const child = fileURLToPath(new URL('fixtures/atomic-writer.js', import.meta.url))
    for (let round = 0; round < 6; round++) {
      const writer = spawn(process.execPath, [child, path], { stdio: ['ignore', 'pipe', 'inherit'] })
      await once(writer.stdout, 'data')
      await delay(round * 7)
      writer.kill('SIGKILL')
      await once(writer, 'exit')
      const bytes = readFileSync(path)
      t.is(bytes.length, 300_000)
      t.true(bytes.every((byte) => byte === bytes[0]))
    }
    await atomicWrite(path, body)
    t.deepEqual(readdirSync(folder), ['x'])
  })
})

test('what is swept: temporary files of dead processes and old ones, of exactly our form', async (t) => {
  await inFolder(async (folder) => {
    const dead = spawnSync('true').pid
    const name = (host: string, pid: number) => `.x.${host}.${pid}.0123456789ab.tmp`
    const otherHost = hostTag === '00000000' ? '11111111' : '00000000'
    const gone = [name(hostTag, dead), name(otherHost, 7), '.a.b.c.0badcafe.5.000000000000.tmp']
    const stays = [
      name(hostTag, process.pid),
      name(otherHost, 8),
      'x.tmp',
      `.x.${hostTag}.${dead}.0123456789ab.tmp.bak`,
      `x.${hostTag}.${dead}.0123456789ab.tmp`,
      `.x.${hostTag}.${dead}.0123456789AB.tmp`,
      `.x.${hostTag}.${dead}.0123456789a.tmp`,
      `.x.${hostTag}.-${dead}.0123456789ab.tmp`,
    ]
    for (const file of [...gone, ...stays]) writeFileSync(join(folder, file), '')
    const yesterday = new Date(Date.now() - 86_400_000 - 5000)
    for (const file of [...gone.slice(1), ...stays.slice(2)]) utimesSync(join(folder, file), yesterday, yesterday)
    mkdirSync(join(folder, `.dir.${hostTag}.${dead}.0123456789ab.tmp`))
    await atomicWrite(join(folder, 'x'), body)
    for (const file of gone) t.false(existsSync(join(folder, file)), file)
    for (const file of stays) t.true(existsSync(join(folder, file)), file)
    t.true(existsSync(join(folder, `.dir.${hostTag}.${dead}.0123456789ab.tmp`)))
    t.deepEqual(parseTemporary(name('0badcafe', 77)), { host: '0badcafe', pid: 77 })
  })
})

test('names of 255 bytes can be written', async (t) => {
  await inFolder(async (folder) => {
    for (const name of ['x'.repeat(255), 'ä'.repeat(127), '€'.repeat(85)]) {
      await atomicWrite(join(folder, name), body)
      t.true(same(readFileSync(join(folder, name)), body))
    }
    t.is(readdirSync(folder).length, 3)
    const error = await failure(atomicWrite(join(folder, 'x'.repeat(256)), body))
    t.true(isMillraceError(error, 'MILL_WRITE_FAILED'))
  })
})
