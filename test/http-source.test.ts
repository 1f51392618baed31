import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import type { SourceError } from '../lib/base/errors.js'
import { isMillraceError } from '../lib/base/errors.js'
import { parseContentRange, parseCount, parseRetryAfter } from '../lib/io/http-answer.js'
import { httpSource } from '../lib/io/index.js'
import type { ByteSource, HttpRequestInfo, HttpSourceOptions } from '../types/byte-source.js'
import { type Misbehave, type RangeServer, rangeServer } from './fixtures/range-server.js'
import { abortKit, failure, within } from './fixtures/stream-kit.js'

const SIZE = 200_000
const file = (version = 1, size = SIZE): Uint8Array => new Uint8Array(size).map((_, i) => i * version + (i >> 8))
const body = file()

/** A server and a source over it, for the time of one test. */
async function using<T>(
  fn: (server: RangeServer, source: ByteSource, requests: HttpRequestInfo[]) => Promise<T>,
  options: HttpSourceOptions = {},
  data = body,
  etag?: string,
): Promise<T> {
  const server = await rangeServer(data, etag)
  const requests: HttpRequestInfo[] = []
  const source = httpSource(server.url, { onRequest: (request) => requests.push(request), ...options })
  try {
    return await within(fn(server, source, requests), 'the test', 20_000)
  } finally {
    await source.close?.()
    await server.close()
  }
}

/** The error with which it is rejected, one of ours with this code. */
async function rejects(code: string, reading: Promise<unknown>): Promise<SourceError> {
  const error = await failure(reading, code)
  if (!isMillraceError(error) || error.code !== code) throw error
  if (error.name !== 'SourceError') throw new Error(`${code} is a ${error.name}`)
  return error as SourceError
}

const bytesOf = (from: number, to: number, data = body): number[] => [...data.subarray(from, to)]
/** Answers as it should from request `n` on, and before that as `wrong` does. */
const until =
  (n: number, wrong: Misbehave): Misbehave =>
  (request, response, next, range) =>
    range.count < n ? wrong(request, response, next, range) : next()
/** 206 with these headers and this body. */
function partial(response: ServerResponse, headers: Record<string, string>, part: Uint8Array): void {
  response.writeHead(206, { ETag: '"v1"', ...headers }).end(part)
}

test('ranges, their ends, and what lies behind; size and ETag are known after the first read', async (t) => {
  await using(async (server, source, requests) => {
    t.is(source.size, undefined)
    t.deepEqual([...(await source.read(10, 5))], bytesOf(10, 15))
    t.deepEqual([source.size, source.etag, source.local], [SIZE, '"v1"', undefined])
    t.deepEqual([...(await source.read(SIZE - 3, 100))], bytesOf(SIZE - 3, SIZE))
    t.is((await source.read(SIZE, 5)).length, 0)
    t.is((await source.read(SIZE + 1000, 5)).length, 0)
    t.is((await source.read(5, 0)).length, 0)
    t.is((await source.read(0, SIZE)).length, SIZE)
    t.deepEqual(
      server.seen.map(({ range, ifMatch }) => [range, ifMatch]),
      [
        ['bytes=10-14', undefined],
        [`bytes=${SIZE - 3}-${SIZE - 1}`, '"v1"'],
        [`bytes=0-${SIZE - 1}`, '"v1"'],
      ],
    )
    t.deepEqual(
      requests.map(({ offset, length, bytes, status, attempt }) => [offset, length, bytes, status, attempt]),
      [
        [10, 5, 5, 206, 1],
        [SIZE - 3, 3, 3, 206, 1],
        [0, SIZE, SIZE, 206, 1],
      ],
    )
    t.true(requests.every(({ ms }) => ms > 0 && ms < 20_000))
  })
})

test('reads at random places, many at a time, are the bytes of the file', async (t) => {
  await using(async (_server, source) => {
    const range = fc.tuple(fc.nat(SIZE + 10), fc.nat(5000))
    await fc.assert(
      fc.asyncProperty(fc.array(range, { minLength: 1, maxLength: 8 }), async (ranges) => {
        const all = await Promise.all(ranges.map(([offset, length]) => source.read(offset, length)))
        return all.every((part, i) => {
          const [offset, length] = ranges[i] as [number, number]
          return Buffer.compare(part, body.subarray(offset, offset + length)) === 0
        })
      }),
      { numRuns: 40 },
    )
    t.pass()
  })
})

test('a read behind the end, and an empty file, are no bytes', async (t) => {
  await using(async (_server, source) => {
    t.is((await source.read(SIZE + 5, 10)).length, 0)
    t.is(source.size, SIZE)
  })
  await using(
    async (_server, source) => {
      t.is((await source.read(0, 10)).length, 0)
      t.is(source.size, 0)
    },
    {},
    new Uint8Array(0),
  )
})

// ---- servers that ignore Range ---------------------------------------------------------------------------------------

const ignoreRange =
  (server: RangeServer, headers: Record<string, string> = {}): Misbehave =>
  (_request, response) => {
    response.writeHead(200, { ETag: server.etag ?? '"x"', ...headers }).end(server.body)
  }

test('M3: Range ignored, a small file: it comes once and serves all reads', async (t) => {
  await using(async (server, source) => {
    server.misbehave = ignoreRange(server)
    t.deepEqual([...(await source.read(100, 7))], bytesOf(100, 107))
    t.deepEqual([...(await source.read(SIZE - 2, 7))], bytesOf(SIZE - 2, SIZE))
    t.is((await source.read(SIZE, 7)).length, 0)
    t.deepEqual([server.seen.length, source.size, source.etag], [1, SIZE, '"v1"'])
  })
})

test('M3: Range ignored, a large file: MILL_SOURCE_NO_RANGES, and the rest is not taken', async (t) => {
  for (const known of [true, false]) {
    await using(
      async (server, source, requests) => {
        let open = 0
        server.misbehave = (_request, response) => {
          response.writeHead(200, known ? { 'Content-Length': 1e9 } : {})
          open++
          response.on('close', () => open--)
          const more = (): void => {
            while (!response.destroyed && response.write(new Uint8Array(16_384)));
          }
          response.on('drain', more)
          more()
        }
        const error = await rejects('MILL_SOURCE_NO_RANGES', source.read(0, 10))
        t.regex(String(error.reason), /maxWhole/)
        t.is(error.url, server.url)
        t.true((requests[0]?.bytes ?? 0) <= 50_000)
        for (let i = 0; i < 200 && open > 0; i++) await delay(10)
        t.is(open, 0, 'the connection is given up')
        t.is(server.seen.length, 1, 'not tried again')
      },
      { maxWhole: 50_000 },
    )
  }
})

test('M3: an encoded answer: right where all of it came, MILL_SOURCE_NO_RANGES where it is a part', async (t) => {
  await using(async (server, source) => {
    server.misbehave = (_request, response) =>
      response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(gzipSync(body))
    t.deepEqual([...(await source.read(1000, 9))], bytesOf(1000, 1009))
    t.is(source.size, SIZE)
  })
  await using(async (server, source) => {
    server.misbehave = (_request, response, _next, { first, last }) =>
      partial(
        response,
        { 'Content-Encoding': 'gzip', 'Content-Range': `bytes ${first}-${last}/${SIZE}` },
        gzipSync(body.subarray(first, last + 1)),
      )
    t.regex(String((await rejects('MILL_SOURCE_NO_RANGES', source.read(0, 10))).reason), /encodes/)
    t.is(server.seen.length, 1)
  })
})

test('M3: a body that unpacks to far more than asked for is not taken', async (t) => {
  await using(
    async (server, source, requests) => {
      const bomb = gzipSync(new Uint8Array(2 ** 26), { level: 1 })
      server.misbehave = (_request, response) => response.writeHead(200, { 'Content-Encoding': 'gzip' }).end(bomb)
      await rejects('MILL_SOURCE_NO_RANGES', source.read(0, 10))
      t.true((requests[0]?.bytes ?? 0) <= 100_000)
    },
    { maxWhole: 100_000 },
  )
})

// ---- ranges that are not what was asked for --------------------------------------------------------------------------

const wrongRanges: [what: string, range: (first: number, last: number) => string, code: string, requests: number][] = [
  ['shifted', (first, last) => `bytes ${first + 1}-${last + 1}/${SIZE}`, 'MILL_SOURCE_SHORT', 3],
  ['shorter', (first, last) => `bytes ${first}-${last - 1}/${SIZE}`, 'MILL_SOURCE_SHORT', 3],
  ['longer', (first, last) => `bytes ${first}-${last + 1}/${SIZE}`, 'MILL_SOURCE_SHORT', 3],
  ['unsatisfied', () => `bytes */${SIZE}`, 'MILL_SOURCE_SHORT', 3],
  ['missing', () => '', 'MILL_SOURCE_NO_RANGES', 1],
  ['of another unit', (first, last) => `lines ${first}-${last}/${SIZE}`, 'MILL_SOURCE_NO_RANGES', 1],
  ['nonsense', () => 'bytes one-two/three', 'MILL_SOURCE_NO_RANGES', 1],
  ['of a file of unknown size', (first, last) => `bytes ${first}-${last}/*`, 'MILL_SOURCE_NO_RANGES', 1],
]
for (const [what, header, code, count] of wrongRanges) {
  test(`M3: a Content-Range that is ${what}: ${code}`, async (t) => {
    await using(async (server, source) => {
      server.misbehave = (_request, response, _next, { first, last }) => {
        const range = header(first, last)
        partial(response, range === '' ? {} : { 'Content-Range': range }, body.subarray(first, last + 1))
      }
      const error = await rejects(code, source.read(50, 10))
      t.is(server.seen.length, count)
      if (code === 'MILL_SOURCE_SHORT') t.like(error, { url: server.url, offset: 50, expected: 10 })
      else t.regex(error.message, /Content-Range|how long/)
      if (what === 'missing') t.regex(error.message, /Access-Control-Expose-Headers/)
    })
  })
}

test('M3: another range once is asked for again', async (t) => {
  await using(async (server, source) => {
    server.misbehave = until(2, (_request, response, _next, { first, last }) =>
      partial(response, { 'Content-Range': `bytes 0-${last - first}/${SIZE}` }, body.subarray(0, last - first + 1)),
    )
    t.deepEqual([...(await source.read(500, 10))], bytesOf(500, 510))
    t.is(server.seen.length, 2)
  })
})

test('M3: a body that is shorter than its range says, as a whole: MILL_SOURCE_SHORT after all attempts', async (t) => {
  await using(async (server, source, requests) => {
    server.misbehave = (_request, response, _next, { first, last }) =>
      partial(response, { 'Content-Range': `bytes ${first}-${last}/${SIZE}` }, body.subarray(first, last - 1))
    const error = await rejects('MILL_SOURCE_SHORT', source.read(50, 10))
    t.like(error, { url: server.url, offset: 50, expected: 10, got: 8 })
    t.deepEqual(
      requests.map(({ attempt, bytes }) => [attempt, bytes]),
      [
        [1, 8],
        [2, 8],
        [3, 8],
      ],
    )
  })
})

test('M3: a body that is longer than its range says, endless too: MILL_SOURCE_FAILED, and not taken', async (t) => {
  await using(async (server, source, requests) => {
    server.misbehave = (_request, response, _next, { first, last }) => {
      response.writeHead(206, { 'Content-Range': `bytes ${first}-${last}/${SIZE}` })
      const more = (): void => {
        while (!response.destroyed && response.write(new Uint8Array(16_384)));
      }
      response.on('drain', more)
      more()
    }
    t.like(await rejects('MILL_SOURCE_FAILED', source.read(50, 10)), { status: 206, attempts: 3 })
    t.true(requests.every(({ bytes }) => bytes <= 10))
  })
})

// ---- bodies that break off or stall ----------------------------------------------------------------------------------

const cut: Misbehave = (_request, response, _next, { first, last }) => {
  response.writeHead(206, {
    ETag: '"v1"',
    'Content-Range': `bytes ${first}-${last}/${SIZE}`,
    'Content-Length': last - first + 1,
  })
  response.write(body.subarray(first, first + 4))
  setTimeout(() => response.destroy(), 20)
}

test('M3: a body cut once is asked for again; cut always is MILL_SOURCE_SHORT', async (t) => {
  await using(async (server, source) => {
    server.misbehave = until(2, cut)
    t.deepEqual([...(await source.read(50, 10))], bytesOf(50, 60))
    t.is(server.seen.length, 2)
  })
  await using(async (server, source) => {
    server.misbehave = cut
    const error = await rejects('MILL_SOURCE_SHORT', source.read(50, 10))
    t.like(error, { url: server.url, offset: 50, expected: 10, got: 4 })
    t.true(error.cause instanceof Error)
    t.is(server.seen.length, 3)
  })
})

test('M3: a whole file that is cut is never taken for whole', async (t) => {
  await using(async (server, source) => {
    server.misbehave = (_request, response) => {
      response.writeHead(200, { 'Content-Length': SIZE })
      response.write(body.subarray(0, 1000))
      setTimeout(() => response.destroy(), 20)
    }
    t.like(await rejects('MILL_SOURCE_SHORT', source.read(50, 10)), { expected: SIZE, got: 1000 })
    t.is(source.size, undefined)
    server.misbehave = undefined
    t.deepEqual([...(await source.read(50, 10))], bytesOf(50, 60))
  })
})

test.serial('M3: a body or an answer that stalls ends with the time-out of each attempt', async (t) => {
  for (const headers of [true, false]) {
    await using(
      async (server, source, requests) => {
        server.misbehave = until(2, (_request, response, _next, { first, last }) => {
          if (!headers) return
          response.writeHead(206, { 'Content-Range': `bytes ${first}-${last}/${SIZE}`, ETag: '"v1"' })
          response.write(body.subarray(first, first + 4))
        })
        const started = performance.now()
        t.deepEqual([...(await source.read(50, 10))], bytesOf(50, 60))
        t.true(performance.now() - started >= 1150)
        t.deepEqual(
          requests.map(({ status }) => status),
          headers ? [206, 206] : [0, 206],
        )
        server.misbehave = () => {}
        const error = await rejects('MILL_SOURCE_FAILED', source.read(60, 10))
        t.like(error, { attempts: 2, status: 0 })
        t.is((error.cause as Error).name, 'TimeoutError')
      },
      { timeout: 1200, retries: 1 },
    )
  }
})

// ---- files that change -----------------------------------------------------------------------------------------------

test('M3: a new file behind the same name: MILL_SOURCE_CHANGED, by 412, by ETag or by size', async (t) => {
  const changes: [what: string, options: HttpSourceOptions, change: (server: RangeServer) => void, reason: RegExp][] = [
    ['412', {}, changeEtag('"v2"'), /412/],
    ['ETag', { ifMatch: false }, changeEtag('"v2"'), /ETag/],
    ['no ETag any more', { ifMatch: false }, changeEtag(undefined), /ETag/],
    ['size', { ifMatch: false }, changeSize, /bytes/],
    ['ETag, If-Match ignored', {}, ignoringCondition, /ETag/],
    ['whole', {}, wholeFrom({ etag: '"v2"' }), /ETag/],
    ['size, whole', {}, wholeFrom({ body: file(1, 9) }), /bytes/],
  ]
  for (const [what, options, change, reason] of changes) {
    await using(async (server, source) => {
      t.deepEqual([...(await source.read(0, 5))], bytesOf(0, 5))
      server.body = file(3)
      change(server)
      const error = await rejects('MILL_SOURCE_CHANGED', source.read(50, 10))
      t.regex(String(error.reason), reason, what)
      t.is(error.url, server.url)
      t.is(server.seen.length, 2, `${what} is not tried again`)
    }, options)
  }
})

const changeEtag = (etag: string | undefined) => (server: RangeServer) => {
  server.etag = etag
}
const changeSize = (server: RangeServer): void => {
  server.body = file(1, SIZE + 1)
}
const wholeFrom = (other: Partial<RangeServer>) => (server: RangeServer) => {
  server.misbehave = ignoreRange({ ...server, ...other })
}

function ignoringCondition(server: RangeServer): void {
  server.misbehave = (_request, response, _next, { first, last }) =>
    partial(
      response,
      { ETag: '"v2"', 'Content-Range': `bytes ${first}-${last}/${SIZE}` },
      server.body.subarray(first, last + 1),
    )
}

test('a weak ETag is compared but never sent: it could not match', async (t) => {
  await using(
    async (server, source) => {
      await source.read(0, 5)
      t.deepEqual([...(await source.read(50, 10))], bytesOf(50, 60))
      t.is(source.etag, 'W/"v1"')
      t.deepEqual(
        server.seen.map(({ ifMatch }) => ifMatch),
        [undefined, undefined],
      )
      server.etag = 'W/"v2"'
      await rejects('MILL_SOURCE_CHANGED', source.read(60, 10))
    },
    {},
    body,
    'W/"v1"',
  )
})

test('a file that changes while it is first read by several is never mixed', async (t) => {
  await using(
    async (server, source) => {
      server.misbehave = (_request, _response, next, { count }) => {
        if (count === 2) {
          server.etag = '"v2"'
          server.body = file(3)
        }
        next()
      }
      const reads = await Promise.allSettled([source.read(0, 5), source.read(50, 5), source.read(100, 5)])
      const good = reads.flatMap((read) => (read.status === 'fulfilled' ? [[...read.value]] : []))
      const fromOne = good.every((part) => part[1] === (part[0] as number) + 1)
      const fromOther = good.every((part) => part[1] === (part[0] as number) + 3)
      t.true(good.length > 0 && (fromOne || fromOther))
      for (const read of reads) {
        if (read.status === 'rejected') t.is((read.reason as SourceError).code, 'MILL_SOURCE_CHANGED')
      }
    },
    { ifMatch: false },
  )
})

// ---- statuses --------------------------------------------------------------------------------------------------------

const status =
  (code: number, headers: Record<string, string> = {}): Misbehave =>
  (_request, response) =>
    void response.writeHead(code, headers).end('sorry')

test('M3: 503 twice, then fine; 429 likewise, as late as Retry-After says', async (t) => {
  await using(async (server, source, requests) => {
    server.misbehave = until(3, status(503))
    t.deepEqual([...(await source.read(50, 10))], bytesOf(50, 60))
    t.deepEqual(
      requests.map((request) => [request.status, request.attempt]),
      [
        [503, 1],
        [503, 2],
        [206, 3],
      ],
    )
  })
  await using(async (server, source) => {
    server.misbehave = until(2, status(429, { 'Retry-After': '1' }))
    const started = performance.now()
    t.deepEqual([...(await source.read(50, 10))], bytesOf(50, 60))
    t.true(performance.now() - started >= 950)
  })
})

test('M3: 5xx and 429 after all attempts, other statuses at once: MILL_SOURCE_FAILED', async (t) => {
  for (const [code, attempts] of [
    [500, 3],
    [503, 3],
    [429, 3],
    [400, 1],
    [401, 1],
    [403, 1],
    [404, 1],
    [410, 1],
    [412, 1],
    [416, 1],
    [204, 1],
  ] as const) {
    await using(async (server, source) => {
      server.misbehave = status(code, { 'Retry-After': '0' })
      const error = await rejects('MILL_SOURCE_FAILED', source.read(50, 10))
      t.like(error, { url: server.url, status: code, attempts }, String(code))
      t.is(server.seen.length, attempts)
    })
  }
})

test('retries: 0 means one attempt, 4 means five', async (t) => {
  for (const retries of [0, 4]) {
    await using(
      async (server, source) => {
        server.misbehave = status(500, { 'Retry-After': '0' })
        t.is((await rejects('MILL_SOURCE_FAILED', source.read(0, 1))).attempts, retries + 1)
      },
      { retries },
    )
  }
})

test('M3: nobody listens: MILL_SOURCE_FAILED with the cause, after all attempts', async (t) => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  const requests: HttpRequestInfo[] = []
  const source = httpSource(`http://127.0.0.1:${port}/a?key=secret`, { onRequest: (request) => requests.push(request) })
  const error = await rejects('MILL_SOURCE_FAILED', source.read(0, 5))
  t.like(error, { status: 0, attempts: 3, url: `http://127.0.0.1:${port}/a` })
  t.true(error.cause instanceof Error)
  t.false(error.message.includes('secret'))
  t.deepEqual(
    requests.map((request) => request.status),
    [0, 0, 0],
  )
})

test('M3: redirects are followed, within bounds and only to http', async (t) => {
  await using(async (server, source) => {
    server.misbehave = (request, response, next) =>
      request.url === '/elsewhere' ? next() : response.writeHead(302, { Location: '/elsewhere' }).end()
    t.deepEqual([...(await source.read(50, 10))], bytesOf(50, 60))
    t.deepEqual([...(await source.read(60, 10))], bytesOf(60, 70))
    t.is(server.seen[1]?.range, 'bytes=50-59')
  })
  for (const location of ['/file.bin', 'file:///etc/hostname', 'data:text/plain,hello']) {
    await using(
      async (server, source) => {
        server.misbehave = (_request, response) => response.writeHead(302, { Location: location }).end()
        await rejects('MILL_SOURCE_FAILED', source.read(0, 5))
        t.true(server.seen.length <= 21)
      },
      { retries: 0 },
    )
  }
})

// ---- abort, close, options -------------------------------------------------------------------------------------------

test('an abort rejects with its reason, at any time, and leaves nothing behind', async (t) => {
  await using(async (server, source) => {
    const reason = { any: 'thing' }
    const before = abortKit()
    before.abort(reason)
    t.is(await failure(source.read(0, 5, { signal: before.signal })), reason)
    t.is(server.seen.length, 0)
    for (const stage of ['answer', 'body', 'retry']) {
      const { signal, abort, live } = abortKit()
      server.misbehave = (_request, response, _next, { first, last }) => {
        if (stage === 'retry') response.writeHead(503, { 'Retry-After': '9' }).end()
        if (stage !== 'body') return
        response.writeHead(206, { 'Content-Range': `bytes ${first}-${last}/${SIZE}` })
        response.write(body.subarray(first, first + 2))
      }
      const reading = source.read(0, 5, { signal })
      setTimeout(() => abort(reason), 100)
      t.is(await failure(reading), reason, stage)
      t.is(live(), 0, stage)
    }
    server.misbehave = undefined
    t.deepEqual([...(await source.read(0, 5))], bytesOf(0, 5))
  })
})

test('close rejects what is under way and what comes after with MILL_SOURCE_CLOSED', async (t) => {
  await using(async (server, source) => {
    await source.read(0, 5)
    server.misbehave = () => {}
    const reading = source.read(50, 5)
    await delay(50)
    await source.close?.()
    await source.close?.()
    await rejects('MILL_SOURCE_CLOSED', reading)
    t.is((await rejects('MILL_SOURCE_CLOSED', source.read(0, 5))).url, server.url)
  })
  await using(async (server, source) => {
    server.misbehave = ignoreRange(server)
    await source.read(0, 5)
    await source.close?.()
    await rejects('MILL_SOURCE_CLOSED', source.read(0, 5))
    t.is(server.seen.length, 1)
  })
})

test('headers, fetch and onRequest of your own', async (t) => {
  await using(async (server) => {
    const asked: string[] = []
    server.misbehave = (request, _response, next) => {
      asked.push(`${request.headers.authorization} ${request.headers.range}`)
      next()
    }
    const source = httpSource(new URL(server.url), {
      headers: { authorization: 'Bearer x', Range: 'bytes=0-0' },
      onRequest: () => {
        throw new Error('not our business')
      },
    })
    t.deepEqual([...(await source.read(5, 5))], bytesOf(5, 10))
    t.deepEqual(asked, ['Bearer x bytes=5-9'])
  })
  let calls = 0
  const own = httpSource('https://example.org/x', {
    fetch: async (_url, init) => {
      calls++
      const range = new Headers(init?.headers).get('range') ?? ''
      const [, first, last] = /bytes=(\d+)-(\d+)/.exec(range) ?? []
      const part = body.slice(Number(first), Number(last) + 1)
      return new Response(part, { status: 206, headers: { 'Content-Range': `bytes ${first}-${last}/${SIZE}` } })
    },
  })
  t.deepEqual([...(await own.read(7, 3))], bytesOf(7, 10))
  t.is(calls, 1)
})

test.serial('If-Match: in a browser only for its own origin, unless asked for', async (t) => {
  const conditions: (string | null)[] = []
  const answer: typeof fetch = async (_url, init) => {
    conditions.push(new Headers(init?.headers).get('if-match'))
    return new Response(body.slice(0, 5), {
      status: 206,
      headers: { 'Content-Range': `bytes 0-4/${SIZE}`, ETag: '"v1"' },
    })
  }
  const page = globalThis as { location?: unknown }
  page.location = { href: 'https://example.org/a/', origin: 'https://example.org' }
  try {
    for (const [url, ifMatch] of [
      ['maps/x', undefined],
      ['https://example.com/x', undefined],
      ['https://example.com/x', true],
      ['maps/x', false],
    ] as const) {
      const source = httpSource(url, { fetch: answer, ...(ifMatch !== undefined && { ifMatch }) })
      await source.read(0, 5)
      await source.read(0, 5)
    }
  } finally {
    delete page.location
  }
  t.deepEqual(conditions, [null, '"v1"', null, null, null, '"v1"', null, null])
})

test('a fetch that knows no signals does not hang us, and its late answer is given up', async (t) => {
  let cancelled = 0
  const late = async (): Promise<Response> => {
    await delay(150)
    return new Response(new ReadableStream({ cancel: () => void cancelled++ }), { status: 206 })
  }
  const source = httpSource('https://example.org/x', { fetch: late, timeout: 50, retries: 0 })
  t.is(((await rejects('MILL_SOURCE_FAILED', source.read(0, 5))).cause as Error).name, 'TimeoutError')
  await delay(250)
  t.is(cancelled, 1)
  const throws = httpSource('https://example.org/x', {
    fetch: () => {
      throw new Error('no network')
    },
    retries: 0,
  })
  t.like(await rejects('MILL_SOURCE_FAILED', throws.read(0, 5)), { cause: { message: 'no network' } })
})

test('wrong arguments are MILL_INVALID_ARGUMENT', async (t) => {
  for (const url of ['', 'nowhere', 'ftp://a/b', 'file:///a', 'http://name:pass@a/b', 5, null]) {
    t.throws(() => httpSource(url as string), { code: 'MILL_INVALID_ARGUMENT' }, String(url))
  }
  for (const options of [{ timeout: 0 }, { retries: -1 }, { maxWhole: 1.5 }, { fetch: 5 }]) {
    t.throws(() => httpSource('http://a/b', options as HttpSourceOptions), { code: 'MILL_INVALID_ARGUMENT' })
  }
  const source = httpSource('http://127.0.0.1:9/x')
  for (const [offset, length] of [
    [-1, 5],
    [0.5, 5],
    [0, -1],
    [0, Number.NaN],
    [Number.MAX_SAFE_INTEGER, 1],
  ] as const) {
    t.is(((await failure(source.read(offset, length))) as SourceError).code, 'MILL_INVALID_ARGUMENT')
  }
})

test('headers are read as RFC 9110 writes them, and nothing else is', (t) => {
  t.deepEqual(parseContentRange('bytes 0-9/100'), { first: 0, last: 9, total: 100 })
  t.deepEqual(parseContentRange(' Bytes  5-5/* '), { first: 5, last: 5, total: undefined })
  t.deepEqual(parseContentRange('bytes */100'), { first: undefined, last: undefined, total: 100 })
  for (const wrong of [null, '', 'bytes', 'bytes 0-9', 'bytes 0/9', 'bytes -5/9', 'bytes 0-9/x', 'bytes 0x0-9/10']) {
    t.is(parseContentRange(wrong), undefined, String(wrong))
  }
  t.is(parseCount('9007199254740991'), 2 ** 53 - 1)
  for (const wrong of ['', '9007199254740993', '1e5', '-1', '+1', ' 1', '1.0', '12345678901234567']) {
    t.is(parseCount(wrong), undefined, wrong)
  }
  t.is(parseRetryAfter('3'), 3000)
  t.is(parseRetryAfter(null), undefined)
  t.is(parseRetryAfter('soon'), undefined)
  t.is(parseRetryAfter('Wed, 21 Oct 2015 07:28:00 GMT'), 0)
  const inAnHour = parseRetryAfter(new Date(Date.now() + 3_600_000).toUTCString()) ?? 0
  t.true(inAnHour > 3_500_000 && inAnHour <= 3_600_000)
})
