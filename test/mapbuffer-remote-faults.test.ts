import { getEventListeners } from 'node:events'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import test from 'ava'
import {
  IntMap,
  type Label,
  MapBuffer,
  MapBufferError,
  type MapBufferReader,
  type OpenOptions,
  openMapBuffer,
  registerCodec,
} from '../lib/mapbuffer/index.js'
import { farSource, fileOf, someLabels, valueFor } from './fixtures/map-data.js'
import { type MapServer, serveMap, type Trick } from './fixtures/map-server.js'
import { abortKit, codeOf, failure, gather, gatherUntilError, settle, within } from './fixtures/stream-kit.js'

const codeFrom = async (fn: () => unknown): Promise<unknown> => codeOf(await failure(fn))

/** So many that the index is read in parts. Made once: on a busy machine it takes its time. */
const all = someLabels(40_000)
const content = fileOf(all, 30)

/** A promise, and what settles it. */
function gate(): { readonly promise: Promise<undefined>; open(): void } {
  let open = (): void => {}
  const promise = new Promise<undefined>((resolve) => {
    open = () => resolve(undefined)
  })
  return { promise, open: () => open() }
}

/** What a link points to; nothing where it has gone meanwhile. */
function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

/** Waits until it is so. */
async function until(so: () => boolean, what: string): Promise<void> {
  const start = Date.now()
  while (!so()) {
    if (Date.now() - start > 4000) throw new Error(`hung: ${what}`)
    await settle(1)
  }
}

// One after the other: what a test waits for has a time-out, and should not have to wait for the other tests' work too.

// ---- aborts and closing --------------------------------------------------------------------------------------------

test.serial('one of two callers that wait for the same bytes aborts: the other is not disturbed', async (t) => {
  await using server = await serveMap(content)
  const label = all[9] as number
  // What a lookup of its own costs: so many requests are held before anybody else asks.
  await using first = await openMapBuffer(server.url)
  server.reset()
  await first.has(label)
  const pages = server.seen.length
  t.true(pages > 1)
  for (const [what, requests] of [
    ['the index, in one turn', pages],
    ['the index, in a later turn', pages],
    ['the value', 1],
  ] as const) {
    await using far = await openMapBuffer(server.url)
    if (what === 'the value') await far.has(label)
    server.reset()
    const hold = server.hold((offset) => (what === 'the value') === offset >= 16 + 16 * 40_000)
    const { signal, abort, live } = abortKit()
    const mine = failure(far.get(label, { signal }))
    const soon = what === 'the index, in a later turn' ? undefined : far.get(label)
    await until(() => hold.held === requests, what)
    const yours = soon ?? far.get(label)
    await settle()
    t.is(server.seen.length, requests, what)
    abort(new Error('enough'))
    t.is(((await mine) as Error).message, 'enough')
    t.is(live(), 0)
    await settle()
    hold.release()
    t.deepEqual(await within(yours, what), valueFor(label, 30))
    t.true(
      server.seen.every(({ aborted }) => !aborted),
      what,
    )
  }
})

test.serial('when all callers have aborted the requests are aborted too, and the reader stays usable', async (t) => {
  await using server = await serveMap(content)
  await using far = await openMapBuffer(server.url)
  const [one, two] = all as [number, number]
  const hold = server.hold((offset) => offset > 0)
  const kits = [abortKit(), abortKit(), abortKit()] as const
  const waiting = [
    failure(far.get(one, kits[0])),
    failure(far.getMany([one, two], kits[1])),
    failure(gather(far.select([two], kits[2]))),
  ]
  await until(() => hold.held > 0, 'held')
  const held = server.seen.filter(({ from }) => from > 0)
  for (const kit of kits) kit.abort(new Error('enough'))
  for (const error of await within(Promise.all(waiting), 'all')) t.is((error as Error).message, 'enough')
  await until(() => held.every(({ aborted }) => aborted), 'the server sees it')
  for (const kit of kits) t.is(kit.live(), 0)
  hold.release()
  t.deepEqual(await within(far.getMany([one, two]), 'again'), [valueFor(one, 30), valueFor(two, 30)])
  const before = server.seen.length
  t.is(((await failure(far.get(one, kits[0]))) as Error).message, 'enough')
  t.is(server.seen.length, before, 'an aborted signal asks for nothing')
})

test.serial('fifty lookups with one signal put one listener on it', async (t) => {
  const all = someLabels(50)
  const reader = await openMapBuffer(farSource(fileOf(all, 3)))
  const controller = new AbortController()
  const { signal } = controller
  const waiting = all.map((label) => reader.get(label, { signal }))
  t.is(getEventListeners(signal, 'abort').length, 1)
  t.is((await within(Promise.all(waiting), 'all')).length, 50)
  t.is(getEventListeners(signal, 'abort').length, 0)
  const more = all.map((label) => failure(reader.get(label, { signal })))
  controller.abort('no more')
  t.deepEqual(new Set(await within(Promise.all(more), 'more')), new Set(['no more']))
})

test.serial('an abort while opening rejects with its reason and closes what was opened', async (t) => {
  const content = fileOf(someLabels(100), 10)
  await using server = await serveMap(content)
  const { signal, abort, live } = abortKit()
  const hold = server.hold(() => true)
  const opening = failure(openMapBuffer(server.url, { signal }))
  await until(() => hold.held > 0, 'held')
  abort(new Error('enough'))
  t.is(((await within(opening, 'opening')) as Error).message, 'enough')
  t.is(live(), 0)
  await until(() => server.seen[0]?.aborted === true, 'the server sees it')
  hold.release()
  t.is(((await failure(openMapBuffer(server.url, { signal }))) as Error).message, 'enough')
  t.is(server.seen.length, 1)

  // A file that is no map is closed again. (Linux can be asked.)
  const path = join(await mkdtemp(join(tmpdir(), 'millrace-')), 'none.mb')
  t.teardown(() => rm(dirname(path), { recursive: true }))
  await writeFile(path, 'this is no map at all')
  t.is(await codeFrom(() => openMapBuffer(path)), 'MILL_BAD_MAGIC')
  t.is(await codeFrom(() => IntMap.open(path)), 'MILL_BAD_MAGIC')
  const open = existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd') : []
  t.false(open.some((fd) => linkOf(`/proc/self/fd/${fd}`) === path))

  // A source that does not listen to its signal is not waited for.
  const deaf = farSource(content)
  deaf.before = () => gate().promise
  const other = abortKit()
  const waiting = failure(openMapBuffer(deaf, { signal: other.signal }))
  await settle()
  other.abort('bye')
  t.is(await within(waiting, 'a deaf source'), 'bye')
  t.is(deaf.closed, 0, 'it is not ours to close')
})

test.serial(
  'close() ends what is under way and what is asked for later; a source that was passed stays open',
  async (t) => {
    const far = farSource(content)
    const reader = await openMapBuffer(far)
    const [label] = all as [number]
    const held = gate()
    far.before = () => held.promise
    const idle = reader.entries()
    const waiting = [
      failure(reader.get(label)),
      failure(reader.getMany(all.slice(0, 4))),
      failure(reader.load()),
      failure(reader.verify()),
      failure(gather(reader.entries())),
      failure(gather(reader.keys({}))),
    ]
    await settle()
    await within(Promise.all([reader.close(), reader.close(), reader[Symbol.asyncDispose]()]), 'close')
    for (const error of await within(Promise.all(waiting), 'all')) t.is(codeOf(error), 'MILL_SOURCE_CLOSED')
    t.is(far.closed, 0)
    const { reads } = far
    for (const ask of [
      () => reader.get(label),
      () => reader.getMany([label]),
      () => reader.has(label),
      () => reader.locate(label),
      () => gather(reader.select([label])),
      () => gather(reader.keys()),
      () => gather(reader.keys({})),
      () => gather(reader.entries()),
      () => gather(reader),
      () => gather(idle),
      () => reader.load(),
      () => reader.verify(),
    ]) {
      t.is(await codeFrom(ask), 'MILL_SOURCE_CLOSED', String(ask))
    }
    t.is(far.reads, reads)

    // Also a stream that has all it needs in memory.
    const known = await openMapBuffer(fileOf(someLabels(70_000), 0))
    const keys = known.keys()[Symbol.asyncIterator]()
    await within(keys.next(), 'keys')
    await known.close()
    const rest = failure(async () => {
      while ((await keys.next()).done !== true);
    })
    t.is(codeOf(await rest), 'MILL_SOURCE_CLOSED')

    await using server = await serveMap(content)
    const owner = await openMapBuffer(server.url)
    await owner.close()
    t.is(await codeFrom(() => owner.source.read(0, 1)), 'MILL_SOURCE_CLOSED', 'what was made for a URL is closed')
  },
)

test.serial('a stream that is left or destroyed ends its reads; a slow consumer stops them', async (t) => {
  const all = someLabels(4000)
  const content = fileOf(all, 1000)
  for (const stream of [
    (reader: MapBufferReader) => reader.entries(),
    (reader: MapBufferReader) => reader.entries({}),
    (reader: MapBufferReader) => reader.select(all),
  ]) {
    const far = farSource(content)
    const reader = await openMapBuffer(far, { index: 'full', span: 20_000, gap: 0, concurrency: 3 })
    far.reads = 0
    far.bytes = 0
    const slow = stream(reader)[Symbol.asyncIterator]()
    const first = await within(slow.next(), 'first')
    await settle(60)
    t.true(far.bytes <= 80_000 + 65_536 + 1200 && far.bytes > 0, `${far.bytes} bytes for one entry`)
    const [label, value] = first.value as [number, Uint8Array]
    t.deepEqual(value, valueFor(label, 1000))
    await within(slow.return?.(), 'return')
    const { reads } = far
    await settle()
    t.is(far.reads, reads)

    const held = gate()
    far.before = () => held.promise
    const destroyed = stream(reader)
    const rest = gatherUntilError(destroyed)
    await settle()
    t.true(far.reads > reads)
    const reason = new Error('no more')
    destroyed.destroy(reason)
    t.is((await within(rest, 'rest')).error, reason)
    await settle()
    t.true(far.aborted > 0)
    far.before = undefined
    t.deepEqual(await within(reader.get(label), 'the reader is well'), value)
  }
})

// ---- faults of the source ------------------------------------------------------------------------------------------

test.serial(
  'one of several reads of a turn fails: its labels reject, the others resolve, getMany rejects',
  async (t) => {
    for (const what of ['value', 'index']) {
      const far = farSource(content)
      const reader = await openMapBuffer(far, { gap: 100 })
      const full = new MapBuffer(content)
      // Labels of the last level, far from each other.
      const wanted = [20_000, 26_000, 32_000, 38_000].map((position) => full.labelAt(position))
      const bad = full.locate(wanted[2] as Label)
      if (bad === undefined) throw new Error('not there')
      const at = what === 'value' ? bad.offset : 16 + 16 * bad.position
      far.before = (offset, length) => {
        if (offset <= at && at < offset + length) throw new Error('lost')
        return undefined
      }
      const settled = await within(Promise.allSettled(wanted.map((label) => reader.get(label))), what)
      t.deepEqual(
        settled.map((one) => (one.status === 'fulfilled' ? one.value : (one.reason as Error).message)),
        wanted.map((label, i) => (i === 2 ? 'lost' : valueFor(label, 30))),
      )
      t.is(((await failure(reader.getMany(wanted))) as Error).message, 'lost')
      t.is(((await failure(gather(reader.select(wanted)))) as Error).message, 'lost')
      if (what === 'value') {
        // The first error does not wait for slower reads, and ends them; a stream gives what comes before it.
        const { before } = far
        const first = full.locate(wanted[0] as Label)
        const slow = gate()
        far.before = (offset, length) => (offset === first?.offset ? slow.promise : before?.(offset, length))
        const { aborted } = far
        t.is(((await failure(reader.getMany(wanted))) as Error).message, 'lost')
        await settle()
        t.is(far.aborted, aborted + 1)
        const selected = gatherUntilError(reader.select(wanted))
        await settle()
        slow.open()
        const { items, error } = await within(selected, 'selected')
        t.is((error as Error).message, 'lost')
        t.deepEqual(
          items.map(([label]) => label),
          wanted.slice(0, 2),
        )
        const last = full.locate(wanted[3] as Label)
        far.before = (offset, length) => (offset === last?.offset ? gate().promise : before?.(offset, length))
        far.aborted = 0
        t.is(((await failure(gather(reader.select(wanted)))) as Error).message, 'lost')
        await settle()
        t.is(far.aborted, 1, 'what would come after it is not waited for')
      }
      far.before = undefined
      t.deepEqual(
        await within(reader.getMany(wanted), 'well again'),
        wanted.map((label) => valueFor(label, 30)),
      )
    }
  },
)

test.serial('M3: a file that changes is MILL_SOURCE_CHANGED from then on, never mixed data', async (t) => {
  const other = content.slice()
  other.fill(255, 16 + 16 * 40_000)
  const [one, two, three] = all as [number, number, number]
  const changes: [string, (server: MapServer) => void][] = [
    ['412', (server) => Object.assign(server, { etag: '"two"', content: other })],
    ['an ETag, and If-Match is ignored', (server) => Object.assign(server, { trick: newEtag, content: other })],
    ['the size', (server) => Object.assign(server, { content: content.slice(0, -1) })],
  ]
  const newEtag: Trick = (request, response) => {
    const body = other.subarray(request.from, request.to + 1)
    const range = `bytes ${request.from}-${request.from + body.length - 1}/${other.length}`
    response.writeHead(206, { 'content-range': range, 'content-length': body.length, etag: '"two"' }).end(body)
    return true
  }
  for (const [what, change] of changes) {
    await using server = await serveMap(content)
    await using far = await openMapBuffer(server.url)
    t.deepEqual(await within(far.get(one), 'one'), valueFor(one, 30), what)
    change(server)
    t.is(await codeFrom(() => far.get(two)), 'MILL_SOURCE_CHANGED', what)
    t.is(await codeFrom(() => far.getMany([one, two, three])), 'MILL_SOURCE_CHANGED', what)
    t.is(await codeFrom(() => gather(far.select([three]))), 'MILL_SOURCE_CHANGED', what)
    t.is(await codeFrom(() => far.load()), 'MILL_SOURCE_CHANGED', what)
  }

  // In the middle of a stream: what came before is right, and nothing comes after.
  await using server = await serveMap(content)
  await using far = await openMapBuffer(server.url, { span: 50_000, concurrency: 2 })
  let count = 0
  const error = await failure(async () => {
    for await (const [label, value] of far) {
      t.deepEqual(value, valueFor(label, 30))
      if (++count === 100) Object.assign(server, { etag: '"two"', content: other })
    }
  })
  t.is(codeOf(error), 'MILL_SOURCE_CHANGED')
  t.true(count >= 100 && count < 40_000)
  await using anew = await openMapBuffer(server.url, { crc: false })
  t.deepEqual(await anew.get(one), new Uint8Array(30).fill(255))

  // A source of one's own that says so, and a weak ETag, which can't be asked to match.
  const mine = farSource(content)
  const own = await openMapBuffer(Object.assign(mine, { etag: 'a' }))
  Object.assign(mine, { etag: 'b' })
  t.like(await failure(own.get(one)), { code: 'MILL_SOURCE_CHANGED', reason: 'etag' })
  Object.assign(mine, { etag: 'a', size: content.length + 1 })
  t.like(await failure(own.get(one)), { code: 'MILL_SOURCE_CHANGED', reason: 'size' })
  Object.assign(mine, { size: content.length })
  t.deepEqual(await own.get(one), valueFor(one, 30))
  await using weak = await serveMap(content)
  weak.etag = 'W/"one"'
  await using weakly = await openMapBuffer(weak.url)
  t.deepEqual(await weakly.get(one), valueFor(one, 30))
  t.true(weak.seen.every(({ ifMatch }) => ifMatch === undefined))
  weak.etag = 'W/"two"'
  t.is(await codeFrom(() => weakly.get(two)), 'MILL_SOURCE_CHANGED')
})

test.serial('a source that gives fewer or more bytes than there must be', async (t) => {
  const far = farSource(content)
  const reader = await openMapBuffer(far)
  far.before = (_, length) => new Uint8Array(length - 1)
  t.like(await failure(reader.get(all[0] as number)), { code: 'MILL_SOURCE_SHORT' })
  far.before = (_, length) => new Uint8Array(length + 1)
  t.is(await codeFrom(() => gather(reader.entries())), 'MILL_SOURCE_FAILED')
})

test.serial(
  'a source of another kind: bytes in any view are taken, what is none is an error, and so is no end',
  async (t) => {
    const content = fileOf(someLabels(100), 10)
    const sourceOf = (wrap: (bytes: Uint8Array<ArrayBuffer>) => unknown) => ({
      size: content.length,
      read: async (offset: number, length: number) => wrap(content.slice(offset, offset + length)) as Uint8Array,
    })
    for (const wrap of [
      (bytes: Uint8Array<ArrayBuffer>) => bytes.buffer,
      (bytes: Uint8Array<ArrayBuffer>) => new DataView(bytes.buffer),
      (bytes: Uint8Array) => Buffer.from(bytes),
    ]) {
      const reader = await openMapBuffer(sourceOf(wrap))
      t.deepEqual((await reader.load()).toBytes(), content)
    }
    for (const wrong of [undefined, 'mapbufr', [1, 2], { length: 5 }]) {
      t.is(await codeFrom(() => openMapBuffer(sourceOf(() => wrong))), 'MILL_SOURCE_FAILED', String(wrong))
    }
    let reads = 0
    const endless = {
      read: async (offset: number, length: number) => {
        reads++
        return offset === 0 ? fileOf(someLabels(5000), 10).slice(0, length) : new Uint8Array(length)
      },
    }
    t.is(await codeFrom(() => openMapBuffer(endless)), 'MILL_SOURCE_FAILED')
    t.true(reads < 60, `${reads} reads`)
  },
)

// ---- faults of the file --------------------------------------------------------------------------------------------

test.serial('no label is BAD_LABEL, in every method that takes one', async (t) => {
  const reader = await openMapBuffer(fileOf([1, 2, 3], 3))
  for (const bad of [-1, 1.5, Number.NaN, 2 ** 53, -1n, 2n ** 64n, '5', null] as unknown as Label[]) {
    for (const ask of [
      () => reader.get(bad),
      () => reader.getMany([1, bad]),
      () => gather(reader.select([1, bad])),
      () => reader.has(bad),
      () => reader.locate(bad),
      () => gather(reader.keys({ from: bad })),
      () => gather(reader.keys({ to: bad })),
      () => gather(reader.entries({ from: bad })),
      () => gather(reader.entries({ to: bad, reverse: true })),
    ]) {
      const error = await failure(ask)
      t.like(error, { code: 'MILL_BAD_LABEL', name: 'RangeError' }, `${String(bad)} ${ask}`)
    }
  }
  for (const wrong of [5, null, { length: 1 }] as unknown as Label[][]) {
    t.is(await codeFrom(() => reader.getMany(wrong)), 'MILL_INVALID_ARGUMENT')
    t.is(await codeFrom(() => gather(reader.select(wrong))), 'MILL_INVALID_ARGUMENT')
  }
  for (const wrong of [5, { reverse: 1 }, null]) {
    t.is(await codeFrom(() => gather(reader.keys(wrong as object))), 'MILL_INVALID_ARGUMENT')
  }
})

test.serial('a damaged index: what lookups meet is checked, and the rest can be read', async (t) => {
  for (const crc of [true, false]) {
    const good = fileOf(all, 30, { crc })
    const map = new MapBuffer(good)
    const spoil = (change: (view: DataView) => void): Uint8Array => {
      const bytes = good.slice()
      change(new DataView(bytes.buffer))
      return bytes
    }
    const lookup = async (bytes: Uint8Array, position: number, options: OpenOptions = {}): Promise<unknown> => {
      const reader = await openMapBuffer(farSource(bytes), { index: 'lazy', ...options })
      return reader.get(map.labelAt(position)).catch(codeOf)
    }
    // A row has a label from elsewhere: it is not found, and who meets it on the way is told.
    for (const label of [0n, 2n ** 64n - 1n]) {
      const strange = spoil((view) => view.setBigUint64(16 + 16 * 9000, label, true))
      t.is(await lookup(strange, 18_001), 'MILL_BAD_LABEL_ORDER')
      t.deepEqual(await lookup(strange, 9001), valueFor(map.labelAt(9001), 30))
    }
    // A value begins before the one in front of it, or behind the end.
    const back = spoil((view) => view.setBigUint64(16 + 16 * 9000 + 8, BigInt(16 + 16 * 40_000), true))
    t.is(await lookup(back, 8999), 'MILL_BAD_OFFSETS')
    t.is(await lookup(back, 9000), crc ? 'MILL_BAD_CRC' : 'MILL_BAD_OFFSETS')
    t.is(await lookup(back, 9000, { index: 'full', strict: false }), crc ? 'MILL_BAD_CRC' : 'MILL_BAD_OFFSETS')
    t.deepEqual(await lookup(back, 9001), valueFor(map.labelAt(9001), 30))
    const behind = spoil((view) => view.setBigUint64(16 + 16 * 9000 + 8, 2n ** 63n, true))
    t.is(await lookup(behind, 9000), 'MILL_TRUNCATED_DATA')
    // Where nothing is checked the bytes are those of the place, as in memory, however reads were joined.
    if (crc) {
      const blind = { strict: false, crc: false } as const
      for (const index of ['full', 'lazy'] as const) {
        const reader = await openMapBuffer(farSource(back), { ...blind, index })
        const there = new MapBuffer(back, blind)
        // The second begins before the first.
        const three = [8998, 9000, 9001].map((position) => map.labelAt(position))
        const expected = three.map((label): [Label, Uint8Array | undefined] => [label, there.get(label)])
        t.deepEqual(await gather(reader.select(three)), expected as [Label, Uint8Array][])
        t.deepEqual(await reader.getMany(three), there.getMany(three))
      }
    }
    // What the known rows show is an error at opening.
    for (const [row, code] of [
      [1, 'MILL_BAD_OFFSETS'],
      [700, 'MILL_BAD_OFFSETS'],
    ] as const) {
      const early = spoil((view) => view.setBigUint64(16 * row + 8, 17n, true))
      t.is(await codeFrom(() => openMapBuffer(farSource(early), { index: 'lazy' })), code)
      await openMapBuffer(farSource(early), { index: 'lazy', strict: false })
    }
    const order = spoil((view) => view.setBigUint64(16 * 700, 0n, true))
    t.is(await codeFrom(() => openMapBuffer(farSource(order), { index: 'lazy' })), 'MILL_BAD_LABEL_ORDER')
    // A scan gives what comes before the fault, then tells it.
    const { items, error } = await gatherUntilError(
      (await openMapBuffer(farSource(behind), { index: 'lazy' })).entries(),
    )
    t.is(codeOf(error), 'MILL_TRUNCATED_DATA')
    t.is(items.length, 8999)
    t.is(await codeFrom(async () => gather((await openMapBuffer(farSource(behind))).keys({}))), 'MILL_BAD_OFFSETS')
    const report = await (await openMapBuffer(farSource(behind))).verify()
    t.false(report.ok)
    t.true(report.problems.some(({ code, position }) => code === 'MILL_TRUNCATED_DATA' && position === 8999))
  }
})

test.serial('M2: a hostile header or count costs one read and is an error', async (t) => {
  const content = fileOf(someLabels(100), 10)
  const cases: [string, (bytes: Uint8Array) => Uint8Array, string][] = [
    ['nothing', () => new Uint8Array(0), 'MILL_TRUNCATED_HEADER'],
    ['15 bytes', (bytes) => bytes.subarray(0, 15), 'MILL_TRUNCATED_HEADER'],
    ['another kind of file', (bytes) => bytes.fill(1, 0, 4), 'MILL_BAD_MAGIC'],
    ['a version', (bytes) => bytes.fill(9, 7, 8), 'MILL_BAD_VERSION'],
    ['a compression', (bytes) => bytes.fill(122, 8, 12), 'MILL_BAD_COMPRESSION'],
    ['a count', (bytes) => bytes.fill(255, 12, 16), 'MILL_TRUNCATED_INDEX'],
    ['a cut index', (bytes) => bytes.subarray(0, 1000), 'MILL_TRUNCATED_INDEX'],
    ['a cut value', (bytes) => bytes.subarray(0, 1616 + 100 * 14 - 12), 'MILL_BAD_ENTRY_LENGTH'],
  ]
  for (const [what, change, code] of cases) {
    for (const sized of [true, false]) {
      const far = farSource(change(content.slice()), sized)
      t.is(await codeFrom(() => openMapBuffer(far)), code, what)
      t.is(far.reads, 1, what)
    }
  }
  const garbage = farSource(new Uint8Array(200_000), false)
  t.is(await codeFrom(() => openMapBuffer(garbage)), 'MILL_BAD_MAGIC')
  t.is(garbage.reads, 1, 'how long it is does not matter then')
  // A source that does not know its size is asked for single bytes, not for more.
  const whole = fileOf(someLabels(9000), 100)
  const unsized = farSource(whole, false)
  const reader = await openMapBuffer(unsized)
  t.is(reader.byteLength, whole.length)
  t.true(unsized.reads < 60 && unsized.bytes < 300_000)
  // More rows than memory may hold are looked up in parts, and nothing else.
  const huge = new Uint8Array(65_536)
  huge.set(content.subarray(0, 12))
  huge.fill(255, 12, 16)
  const many = {
    size: 2 ** 37,
    local: true,
    read: async (offset: number, length: number) =>
      offset === 0 ? huge.slice(0, length) : new Uint8Array(Math.min(length, 2 ** 20)),
  }
  t.is(await codeFrom(() => openMapBuffer(many, { index: 'full', strict: false })), 'MILL_TOO_MANY')
  const parts = await openMapBuffer(many, { strict: false })
  t.is(parts.size, 2 ** 32 - 1)
  t.is(await codeFrom(() => parts.get(5)), 'MILL_BAD_LABEL_ORDER')
  t.is(await codeFrom(() => gather(parts.keys({}))), 'MILL_TOO_MANY')
  t.is(await codeFrom(() => parts.verify()), 'MILL_TOO_MANY')
  // Sizes that are lies: nothing is allocated for them before their bytes have come.
  const lied = await openMapBuffer(Object.assign(farSource(whole), { size: 2 ** 50 }), { index: 'lazy', strict: false })
  t.is(await codeFrom(() => lied.load()), 'MILL_TOO_LARGE')
})

test.serial('a damaged value, and a codec that is missing', async (t) => {
  const all = someLabels(3)
  const bytes = fileOf(all, 30)
  bytes[16 + 48 + 34] = 1 + (bytes[16 + 48 + 34] as number)
  const reader = await openMapBuffer(bytes)
  const damaged = new MapBuffer(bytes).labelAt(1)
  t.like(await failure(reader.get(damaged)), { code: 'MILL_BAD_CRC', position: 1, label: damaged })
  const { items, error } = await gatherUntilError(reader.entries())
  t.is(items.length, 1)
  t.is(codeOf(error), 'MILL_BAD_CRC')
  t.deepEqual(
    (await reader.verify()).problems.map(({ code, position }) => [code, position]),
    [['MILL_BAD_CRC', 1]],
  )
  t.is((await (await openMapBuffer(bytes, { crc: false })).get(damaged))?.length, 30)

  // A codec that does not come to an end of its loading holds up nobody who has a signal.
  registerCodec('slow', () => gate().promise as Promise<never>)
  bytes.set(new TextEncoder().encode('slow'), 8)
  const slow = await openMapBuffer(bytes)
  const kit = abortKit()
  const loading = failure(slow.get(damaged, kit))
  await settle()
  kit.abort('enough')
  t.is(await within(loading, 'loading'), 'enough')

  registerCodec('gone', () => Promise.reject(new MapBufferError('MILL_CODEC_MISSING', 'install it')))
  bytes.set(new TextEncoder().encode('gone'), 8)
  const without = await openMapBuffer(bytes)
  t.true(await without.has(damaged))
  t.is((await without.locate(damaged))?.length, 30)
  t.is((await gather(without.keys())).length, 3)
  for (const ask of [
    () => without.get(damaged),
    () => without.getMany([damaged]),
    () => gather(without.select([damaged])),
    () => gather(without.entries()),
  ]) {
    t.is(await codeFrom(ask), 'MILL_CODEC_MISSING')
  }
})
