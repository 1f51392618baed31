import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { LoadIt, s3Store } from 'millrace'

// Two machines share what one of them has made. The bucket here is a loopback server that knows ranges and
// `If-None-Match`, and believes every signature; the real one needs another `url` and keys of yours.

const objects = new Map<string, Buffer>()
const bucket = createServer(async (request, response) => {
  const key = request.url ?? ''
  if (request.method === 'PUT') {
    const isNew = !objects.has(key)
    if (isNew) objects.set(key, await buffer(request))
    response.writeHead(isNew ? 200 : 412).end()
    return
  }
  const object = objects.get(key)
  const [, first = '0', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '') ?? []
  if (object === undefined) response.writeHead(404).end()
  else {
    const from = first === '' ? Math.max(0, object.length - Number(last)) : Number(first)
    const to = first === '' || last === '' ? object.length : Math.min(object.length, Number(last) + 1)
    response
      .writeHead(206, { 'content-range': `bytes ${from}-${to - 1}/${object.length}` })
      .end(object.subarray(from, to))
  }
}).listen(0, '127.0.0.1')
await once(bucket, 'listening')
const url = `http://127.0.0.1:${(bucket.address() as AddressInfo).port}/millrace/words/`
const remote = s3Store({ url, region: 'eu-central-1', accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'not a secret' })

function* words() {
  for (let n = 0; n < 10_000; n++) yield { n, word: n.toString(36), squares: [n ** 2, (n + 1) ** 2] }
}

const [here, there] = [await mkdtemp(join(tmpdir(), 'millrace-')), await mkdtemp(join(tmpdir(), 'millrace-'))]
try {
  {
    await using first = await LoadIt.open({ root: here, source: words, maxShardLength: 1024, remote })
    await first.preloadAll()
    await first.flush() // uploads go on in the background; this waits for them
  }
  await using second = await LoadIt.open<{ n: number; word: string }>({ root: there, source: words, remote })
  const item = await second.at(7777)
  const { fetched, generated } = second.stats()
  console.log(
    `word 7777 is ${item?.word}: ${fetched} shard fetched, ${generated} generated, ${await second.length()} in all`,
  )
} finally {
  bucket.close()
  bucket.closeAllConnections()
  for (const root of [here, there]) await rm(root, { recursive: true })
}
