import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { RespClient } from '../examples/resp/client.js'
import { createRespServer } from '../examples/resp/server.js'
import { Semaphore } from '../lib/base/mutex.js'

interface Run {
  status: number | null
  last: string
  stderr: string
}

/** Runs a compiled example in a process of its own. With `CI` set, status lines are silent off a terminal. */
async function run(name: string, words: string[] = [], CI = 'true'): Promise<Run> {
  const path = fileURLToPath(new URL(`../examples/${name}.js`, import.meta.url))
  // Not counted for coverage: of a thread that is ended in the middle of it Node says so on stderr.
  // Empty, not absent: Node would hand its own down.
  const child = spawn(process.execPath, [path, ...words], { env: { ...process.env, CI, NODE_V8_COVERAGE: '' } })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, last: stdout.trimEnd().split('\n').at(-1) ?? '', stderr }
}

/** Ava starts all tests of a file at once; forty programs at once would slow down the tests of time beside them. */
const few = new Semaphore(3)

const sha256 = createHash('sha256').update(Buffer.alloc(3_000_000, 'water')).digest('hex')

const lastLines: Record<string, string | RegExp> = {
  'toy-message/main': '5 messages: a mill race brings the river to the machine',
  'resp/main': 'counted to 10000, removed 2 keys',
  'http-chunked/main': '21890 bytes, digest matches',
  'length-prefixed/main': '4 messages back, the last of 400 bytes: OVER THE MILL',
  'ndjson/main': '1000 readings, highest 99.9; fault in the other file: line 2',
  'onread-socket': /^33554432 of 33554432 bytes into \d{1,2} pieces of memory$/,
  'header-then-body': `stored water.txt, 3000000 bytes, sha256 ${sha256.slice(0, 16)}`,
  'fetch-lines': '101 lines, highest in 2000: 1000',
  'run/squares': '20000000 squares in 200 chunks, the last is 400000000000000',
  'run/download': '3000000 bytes, 11 ranges asked for again, the file is the same',
  'run/map-reduce': '35969672 terms; the longest sequence starts at 230631 and has 443',
  'run/resume': '100 chunks in two processes: true',
  'run/pool': '200 generations, the glider flew 50 cells',
  'machines/cluster': 'usage: node cluster.js HOST:PORT [worker]',
  'machines/word-count': 'usage: node word-count.js HOST:PORT,HOST:PORT,…',
  'run/inline': '78498 primes below 1000000',
  'run/share': 'shares of 333334, 333333, 333333 add up to 499999500000',
  'mapbuffer/lookup': '2 links: 18446744073709551615 to 9223372036854775808, 116 to 865',
  'mapbuffer/write': '300000 readings; meter 145972072 reads 247, meter 1 undefined',
  'mapbuffer/page': 'Paris, 2,138,551 people; there is no city 1; under 100 kB fetched: true',
  'mapbuffer/pick': 'out of 5000 pages: 4242 of 1000 bytes, 7 of 700 bytes',
  'mapbuffer/transcode': '50 of 500 pages picked, the same bytes after both ways',
  'mapbuffer/merge': '50 maps of 200 entries are one of 1000, and the counts add up to 995000',
  'mapbuffer/repair': '4 of 1000 pages are lost, 996 are in the new file, ok: true',
  'hugemap/words': '100000 words, 14 different ones; of those with m the first is machine',
  'hugemap/load': '216 of 135233 begin with San Jos, the largest is San Jose, US 5392171',
  'hugemap/cached-function': '4 processes wanted 80 results, computed 20 of them',
  'hugemap/queue': '200 of 200 jobs done once each, 0 left',
  'loadit/jump': 'the second run walked 0; days 0 3 6, the last one 11999',
  'loadit/epochs': '7500 samples, 2500 + 2500 + 2500 different; resumed as if never stopped: true',
  'loadit/workers': '3000 records right in three processes, 0 shards damaged, within the limit: true',
  'loadit/pipe': '20000 readings; 400 in the response, from {"at":19500,"level":0} on',
  'loadit/s3': 'word 7777 is 601: 1 shard fetched, 0 generated, 10000 in all',
  'loadit/far-file':
    '135233 cities, Advance, Canillo, Lal Bahadur Nagar, Tiring; fetched again, dropped some: true, fits: true',
  'browser-frames': '3 events: ["up","over\\nand down","again"]',
  'tour/main': /^total: \d+ steps, [\d.]+ s, [\d.]+ MB touched, peak memory [\d.]+ MB$/,
}

/** All programs there are: a folder with a main.js is one, any other a set of them; a job module belongs to one. */
function programs(): string[] {
  const folder = new URL('../examples/', import.meta.url)
  const names = (path: string): string[] =>
    readdirSync(new URL(path, folder)).flatMap((name) =>
      name.endsWith('.js') && !name.endsWith('.job.js') ? [`${path}${name.slice(0, -3)}`] : [],
    )
  const inside = readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (!entry.isDirectory()) return []
    const all = names(`${entry.name}/`)
    const main = `${entry.name}/main`
    return all.includes(main) ? [main] : all
  })
  return [...names(''), ...inside]
}

test('every example has its last line here, except the one of the README, which is shown whole', (t) => {
  t.deepEqual([...Object.keys(lastLines), 'readme'].sort(), programs().sort())
})

for (const [name, expected] of Object.entries(lastLines)) {
  test(`examples/${name} runs and says what it found`, async (t) => {
    const { status, last, stderr } = await few.run(() => run(name))
    t.is(stderr, '')
    t.is(status, 0)
    if (typeof expected === 'string') t.is(last, expected)
    else t.regex(last, expected)
  })
}

test('examples/run/squares ends with all of its chunks on stderr', async (t) => {
  const { status, stderr } = await run('run/squares', [], '')
  t.is(status, 0)
  t.regex(stderr, /^(?:squares {2}\d+ % .*\n)*squares {2}100 % {2}200\/200(?: {2}\d+\/s)?\n$/)
})

test('examples/mapbuffer/page serves its page, the script and ranges of the file until it is stopped', async (t) => {
  const port = await freePort()
  const path = fileURLToPath(new URL('../examples/mapbuffer/page.js', import.meta.url))
  const child = spawn(process.execPath, [path, String(port)])
  t.teardown(() => child.kill())
  const closed = once(child, 'close')
  for await (const text of child.stdout) if (String(text).includes('the page is at')) break
  const origin = `http://127.0.0.1:${port}`
  const page = await (await fetch(origin)).text()
  t.true(page.includes("from './script.js'") && page.includes("'./cities.mb'"))
  const script = await fetch(`${origin}/script.js`)
  t.is(script.headers.get('content-type'), 'text/javascript')
  t.true((await script.text()).includes('openCities'))
  const range = async (asked: string) => {
    const response = await fetch(`${origin}/cities.mb`, { headers: { range: asked } })
    return [response.status, response.headers.get('content-range'), (await response.text()).slice(0, 7)]
  }
  const [status, header, start] = await range('bytes=0-6')
  t.deepEqual([status, start], [206, 'mapbufr'])
  t.regex(String(header), /^bytes 0-6\/\d{7}$/)
  t.deepEqual((await range('bytes=99999999-'))[0], 416)
  child.kill('SIGINT')
  t.deepEqual(await closed, [0, null])
})

/** A port nobody uses, or at least nobody did just now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

// Where Redis itself is installed, our client must understand it as well as it understands our own server.
if (spawnSync('redis-server', ['--version']).status === 0) {
  test('examples/resp/main talks to redis-server', async (t) => {
    const port = await freePort()
    const redis = spawn('redis-server', [
      '--port',
      String(port),
      '--bind',
      '127.0.0.1',
      '--save',
      '',
      '--appendonly',
      'no',
    ])
    try {
      for await (const text of redis.stdout) if (String(text).includes('Ready to accept connections')) break
      const { status, last, stderr } = await run('resp/main', [String(port)])
      t.deepEqual({ status, last, stderr }, { status: 0, last: lastLines['resp/main'], stderr: '' })
    } finally {
      redis.kill()
      await once(redis, 'close')
    }
  })
}

async function listen(t: ExecutionContext, server: Server): Promise<number> {
  t.teardown(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

test('G2: resp server and client: error replies are rejections, the ones around them are not', async (t) => {
  const server = createRespServer()
  const client = new RespClient(await listen(t, server))
  const binary = Uint8Array.from({ length: 256 }, (_, i) => i)
  const replies = await Promise.allSettled([
    client.send('PING'),
    client.send('NO SUCH'),
    client.send('SET', binary, binary),
    client.send('INCR', binary),
    client.send('GET', 'nothing'),
    client.send('ECHO', 'ü'),
    client.send('GET'),
    client.send('HELLO', 4),
  ])
  const shown = replies.map((each) => (each.status === 'fulfilled' ? `${each.value}` : `${each.reason.message}`))
  t.deepEqual(shown, [
    'PONG',
    "ERR unknown command 'NO SUCH'",
    'OK',
    'ERR value is not an integer or out of range',
    'null',
    'ü',
    "ERR wrong number of arguments for 'get' command",
    'NOPROTO unsupported protocol version',
  ])
  const stored = await client.send('GET', binary)
  t.true(stored !== null && typeof stored === 'object' && 'equals' in stored && stored.equals(binary))
  await client.close()
  await t.throwsAsync(client.send('PING'), { message: 'the connection is closed' })
})

test('G2: resp server: what is no request is answered with an error, and the connection is closed', async (t) => {
  const server = createRespServer()
  const port = await listen(t, server)
  for (const text of ['GET / HTTP/1.1\r\n\r\n', '*1\r\n*1\r\n', '*1\r\n$2000000\r\n', '*1\r\n$5\r\nabc']) {
    const socket = connect(port, '127.0.0.1')
    socket.end(`*1\r\n$4\r\nPING\r\n${text}`)
    let answer = ''
    for await (const chunk of socket) answer += chunk
    t.regex(answer, /^\+PONG\r\n-ERR Protocol error: .+\r\n$/, text)
  }
  // A peer that goes away without a word disturbs nobody.
  const rude = connect(port, '127.0.0.1')
  rude.write('*1\r\n$4\r\nPI')
  await once(rude, 'connect')
  rude.resetAndDestroy()
  const client = new RespClient(port)
  t.is(await client.send('PING'), 'PONG')
  await client.close()
})

test('G5: resp client: what is waited for is rejected when the server goes away', async (t) => {
  const server = createServer((socket) => {
    socket.once('data', () => socket.end('+first\r\n'))
  })
  const client = new RespClient(await listen(t, server))
  const waiting = [client.send('PING'), client.send('PING'), client.send('PING')]
  t.is(await waiting[0], 'first')
  await t.throwsAsync(waiting[1] as Promise<unknown>, { message: 'the connection was closed' })
  await t.throwsAsync(waiting[2] as Promise<unknown>, { message: 'the connection was closed' })
  const refused = new RespClient(await freePort())
  await t.throwsAsync(refused.send('PING'), { code: 'ECONNREFUSED' })
  await refused.close()
})
