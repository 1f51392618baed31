import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { type Chunk, runChunked } from 'millrace'

/** One byte range. What it throws is tried again; `chunk.signal` ends the request when the run is aborted. */
async function range({ start, end, signal }: Chunk, url: string): Promise<Uint8Array> {
  const response = await fetch(url, { headers: { range: `bytes=${start}-${end - 1}` }, signal })
  if (response.status !== 206) throw new Error(`the server answered ${response.status}`)
  return new Uint8Array(await response.arrayBuffer())
}

/** At most 8 requests at once, written in order; a slow disk holds up the requests. Returns how many were repeated. */
async function download(url: string, size: number, path: string, signal: AbortSignal): Promise<number> {
  const retries = { count: 4, delayMs: 10 }
  const run = runChunked(range, { end: size, chunkSize: 65536, concurrency: 8, retries, signal, args: url })
  await pipeline(run.values(), createWriteStream(path))
  return (await run).retried
}

const file = Buffer.alloc(3_000_000, 'over the mill race ')
let requests = 0
const server = createServer((request, response) => {
  const [first, last] =
    /(\d+)-(\d+)/
      .exec(request.headers.range ?? '')
      ?.slice(1)
      .map(Number) ?? []
  // Every fifth request meets a server that is busy.
  if (++requests % 5 === 0) response.writeHead(503).end()
  else response.writeHead(206).end(file.subarray(first, (last ?? 0) + 1))
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  const path = join(folder, 'water.txt')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/water.txt`
  const repeated = await download(url, file.length, path, AbortSignal.timeout(10_000))
  const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
  const same = digest(await readFile(path)) === digest(file)
  console.log(`${file.length} bytes, ${repeated} ranges asked for again, the file is ${same ? 'the same' : 'another'}`)
} finally {
  await rm(folder, { recursive: true })
  server.close()
}
