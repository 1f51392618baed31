import { createServer } from 'node:net'
import test from 'ava'
import { httpSource, type Label, openMapBuffer } from '../lib/mapbuffer/index.js'
import { fileOf, someLabels, valueFor } from './fixtures/map-data.js'
import { serveMap, type Trick } from './fixtures/map-server.js'
import { codeOf, failure, gather, within } from './fixtures/stream-kit.js'

/** Enough labels for an index that is read in parts, and a file that a server may send whole. */
const LABELS = someLabels(40_000)
const LABEL = LABELS[0] as number
const FILE = fileOf(LABELS, 30)
/** Another version of it. */
const OTHER = fileOf(LABELS, 31)
const INDEX_END = 16 + 16 * LABELS.length

/** What the right answer would be, and what comes instead. */
interface Lie {
  readonly headers?: Record<string, string | number>
  readonly body?: Uint8Array
  /** The body does not end: the connection breaks, or nothing more comes. */
  readonly after?: 'cut' | 'stall'
}

/** Answers 206 with what was asked for, but for what the lie changes. */
const lying =
  (lie: (from: number, body: Uint8Array, count: number) => Lie): Trick =>
  ({ from, to }, response, count) => {
    const part = FILE.subarray(from, Math.min(to + 1, FILE.length))
    const { headers, body = part, after } = lie(from, part, count)
    response.writeHead(206, { etag: '"one"', ...range(from, part.length), ...headers })
    if (after === undefined) response.end(body)
    else response.write(body, () => after === 'cut' && response.destroy())
    return true
  }

const range = (from: number, length: number, total: number | string = FILE.length) => ({
  'content-range': `bytes ${from}-${from + length - 1}/${total}`,
})

/** Answers with this status, whatever was asked for. */
const saying =
  (status: number, headers: Record<string, string> = {}, body?: Uint8Array | string): Trick =>
  (_, response) => {
    response.writeHead(status, headers).end(body)
    return true
  }

const upTo =
  (times: number, trick: Trick): Trick =>
  (request, response, count) =>
    count <= times && trick(request, response, count)

const half = (body: Uint8Array): Uint8Array => body.subarray(0, body.length >> 1)
const cut = lying((_, body) => ({ body: half(body), after: 'cut' }))
const short = lying((_, body) => ({ body: half(body) }))
const stalled = lying((_, body) => ({ body: half(body), after: 'stall' }))
const silent: Trick = () => true
const hangUp: Trick = (_, response) => {
  response.destroy()
  return true
}
const moved: Trick = ({ from }, response) => {
  response.writeHead(302, { location: `/moved?${from}` }).end()
  return true
}
const wholeButCut: Trick = (_, response) => {
  response.writeHead(200, { etag: '"one"', 'content-length': FILE.length })
  response.write(half(FILE), () => response.destroy())
  return true
}

/** Right data, or the code of an error. */
type Outcome = 'right' | `MILL_SOURCE_${'FAILED' | 'SHORT' | 'CHANGED' | 'NO_RANGES'}`

/** What a server does, and what becomes of it while reading; and while opening, where it is something else. */
const LIES: Record<string, readonly [Trick, Outcome, Outcome?]> = {
  // It fails.
  '503 twice': [upTo(2, saying(503)), 'right'],
  '503 for ever': [saying(503), 'MILL_SOURCE_FAILED'],
  '429, then fine': [upTo(1, saying(429, { 'retry-after': '0' })), 'right'],
  '404': [saying(404, {}, 'not here'), 'MILL_SOURCE_FAILED'],
  '204': [saying(204), 'MILL_SOURCE_FAILED'],
  'it hangs up once': [upTo(1, hangUp), 'right'],
  'it always hangs up': [hangUp, 'MILL_SOURCE_FAILED'],
  'no answer once': [upTo(1, silent), 'right'],
  'it never answers': [silent, 'MILL_SOURCE_FAILED'],
  // The body is not what its headers say.
  'the body is cut once': [upTo(1, cut), 'right'],
  'the body is always cut': [cut, 'MILL_SOURCE_SHORT'],
  'the body stalls once': [upTo(1, stalled), 'right'],
  'the body always stalls': [stalled, 'MILL_SOURCE_FAILED'],
  'the body is short once': [upTo(1, short), 'right'],
  'the body is always short': [short, 'MILL_SOURCE_SHORT'],
  'no body': [lying(() => ({ body: new Uint8Array(0) })), 'MILL_SOURCE_SHORT'],
  'more than was asked for': [lying((_, body) => ({ body: new Uint8Array([...body, 1]) })), 'MILL_SOURCE_FAILED'],
  'an encoding': [lying(() => ({ headers: { 'content-encoding': 'gzip' } })), 'MILL_SOURCE_NO_RANGES'],
  // The range is not the one that was asked for.
  'another range': [lying((from, body) => ({ headers: range(from + 16, body.length) })), 'MILL_SOURCE_SHORT'],
  'a shorter range': [
    lying((from, body) => ({ headers: range(from, body.length - 1), body: body.subarray(1) })),
    'MILL_SOURCE_SHORT',
  ],
  'a range of nobody knows what': [
    lying((from, body) => ({ headers: range(from, body.length, '*') })),
    'MILL_SOURCE_NO_RANGES',
  ],
  'a range that is none': [lying(() => ({ headers: { 'content-range': 'bytes 5' } })), 'MILL_SOURCE_NO_RANGES'],
  'several ranges': [
    saying(206, { 'content-type': 'multipart/byteranges; boundary=x', etag: '"one"' }, '--x\r\n\r\nabc\r\n--x--'),
    'MILL_SOURCE_NO_RANGES',
  ],
  '416': [saying(416, { 'content-range': `bytes */${FILE.length}` }), 'MILL_SOURCE_FAILED'],
  '416 without a size': [saying(416), 'MILL_SOURCE_FAILED'],
  // Ranges are ignored.
  'the whole file': [saying(200, { etag: '"one"' }, FILE), 'right'],
  'the whole file, cut': [wholeButCut, 'MILL_SOURCE_SHORT'],
  // The file is another one. While opening it is just this one; who says 412 unasked, fails.
  'another whole file': [saying(200, { etag: '"two"' }, OTHER), 'MILL_SOURCE_CHANGED', 'right'],
  'an ETag that changes': [lying((_f, _b, count) => ({ headers: { etag: `"${count}"` } })), 'MILL_SOURCE_CHANGED'],
  'another size': [
    lying((from, body) => ({ headers: range(from, body.length, FILE.length + 1) })),
    'MILL_SOURCE_CHANGED',
    'right',
  ],
  '412': [saying(412), 'MILL_SOURCE_CHANGED', 'MILL_SOURCE_FAILED'],
  // Redirects.
  'a redirect each time': [(request, response, count) => count % 2 === 1 && moved(request, response, count), 'right'],
  'a redirect to itself': [moved, 'MILL_SOURCE_FAILED'],
}

/** Those that only a time-out ends. They go first: it is what the whole test waits for. */
const WAITS: Record<string, { timeout: number; retries: number }> = {
  'no answer once': { timeout: 800, retries: 3 },
  'the body stalls once': { timeout: 800, retries: 3 },
  'it never answers': { timeout: 500, retries: 2 },
  'the body always stalls': { timeout: 500, retries: 2 },
}

for (const when of ['opening', 'reading']) {
  test(`M3: what a range server may do while ${when} ends in the right data or in a code`, async (t) => {
    const meet = async (what: string, trick: Trick): Promise<unknown> => {
      await using server = await serveMap(FILE)
      const source = httpSource(server.url, WAITS[what] ?? { timeout: 10_000 })
      if (when === 'opening') server.trick = trick
      try {
        await using far = await openMapBuffer(source)
        server.reset()
        if (when === 'reading') server.trick = trick
        const [value, miss] = await far.getMany([LABEL, LABEL + 1])
        const [selected] = await gather(far.select([LABEL]))
        t.is(miss, undefined, what)
        t.deepEqual(value, valueFor(LABEL, what === 'another whole file' ? 31 : 30), what)
        t.deepEqual(selected, [LABEL, value as Uint8Array], what)
        return 'right'
      } catch (error) {
        return codeOf(error) ?? error
      } finally {
        await source.close?.()
      }
    }
    const lies = Object.entries(LIES).sort(([a], [b]) => Number(b in WAITS) - Number(a in WAITS))
    const lane = async (): Promise<void> => {
      for (let lie = lies.shift(); lie !== undefined; lie = lies.shift()) {
        const [what, [trick, reading, opening = reading]] = lie
        t.is(await within(meet(what, trick), what, 30_000), when === 'opening' ? opening : reading, what)
      }
    }
    await Promise.all(Array.from({ length: 8 }, lane))
    t.is(lies.length, 0)
  })
}

test('M3: bytes of another place under the right headers are found by their checksum, never given out', async (t) => {
  await using server = await serveMap(FILE)
  await using far = await openMapBuffer(server.url)
  const others = LABELS.slice(1, 9)
  server.trick = lying((from, body) => ({
    body: from < INDEX_END ? body : FILE.subarray(from - 1, from - 1 + body.length),
  }))
  t.like(await failure(far.get(LABEL)), { code: 'MILL_BAD_CRC', label: LABEL })
  t.is(codeOf(await failure(far.getMany(others))), 'MILL_BAD_CRC')
  t.is(codeOf(await failure(gather(far.select(others)))), 'MILL_BAD_CRC')
  // In the index, labels and offsets that do not fit together: an error, or a value that is right all the same.
  await using again = await openMapBuffer(server.url)
  server.trick = lying((from, body) => ({
    body: from >= INDEX_END || from === 0 ? body : FILE.subarray(from - 16, from - 16 + body.length),
  }))
  const settled = await Promise.allSettled(others.map((label) => again.get(label)))
  const codes = new Set<unknown>()
  for (const [i, one] of settled.entries()) {
    if (one.status === 'rejected') codes.add(codeOf(one.reason))
    else if (one.value !== undefined) t.deepEqual(one.value, valueFor(others[i] as Label, 30))
  }
  t.true(codes.has('MILL_BAD_LABEL_ORDER'), [...codes].join())
})

test('M3: who ignores ranges may send maxWhole bytes, not more; nobody there is MILL_SOURCE_FAILED', async (t) => {
  await using server = await serveMap(FILE)
  server.trick = saying(200, {}, FILE)
  t.is(
    codeOf(await failure(openMapBuffer(httpSource(server.url, { maxWhole: FILE.length - 1 })))),
    'MILL_SOURCE_NO_RANGES',
  )
  const port = await new Promise<number>((resolve) => {
    const nobody = createServer().listen(0, '127.0.0.1', () => {
      const { port } = nobody.address() as { port: number }
      nobody.close(() => resolve(port))
    })
  })
  const unheard = httpSource(`http://127.0.0.1:${port}/`, { retries: 0 })
  t.is(codeOf(await failure(openMapBuffer(unheard))), 'MILL_SOURCE_FAILED')
})
