import { createReadStream } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { ChunkedBuffer, HugeMap } from 'millrace'
import { serve } from '../mapbuffer/support/serve-file.js'
import { cities, citiesFile } from '../tour/cities.js'

interface Place {
  key: string
  people: number
  at: [number, number]
}

/** The cities as lines of JSON, as an export of some other program would be. */
async function writeLines(path: string): Promise<void> {
  await using file = await open(path, 'w')
  for await (const some of createReadStream(citiesFile)
    .pipe(new ChunkedBuffer({ parser: cities }))
    .batches()) {
    const lines = some.map(({ name, country, cityId, population, loc }) =>
      JSON.stringify({ key: `${name}, ${country} ${cityId}`, people: population, at: loc.coordinates }),
    )
    await file.write(`${lines.join('\n')}\n`)
  }
}

/** Each batch of a range as lines. */
async function* ndjson(batches: AsyncIterable<[string, Place][]>): AsyncGenerator<string, void, void> {
  for await (const some of batches) yield `${some.map(([, place]) => JSON.stringify(place)).join('\n')}\n`
}

const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  const [input, path] = [join(folder, 'cities.ndjson'), join(folder, 'cities')]
  await writeLines(input)
  // In threads of another process: this one's event loop is free. Either all of it is at `path` in the end, or nothing.
  const loaded = await HugeMap.load<string, Place>(path, input, {
    format: { type: 'ndjson', key: 'key' },
    key: 'string',
    value: 'json',
    onProgress: ({ phase, done, total }) => console.log(`${phase} ${done}${total === undefined ? '' : ` of ${total}`}`),
  })
  console.log(`${loaded.records} places in ${Math.round(loaded.elapsedMs)} ms, ${loaded.fileBytes} bytes on disk`)

  await using map = await HugeMap.open<string, Place>(path, { readonly: true })
  // GET /?begins=San%20J
  await using server = await serve(async (request, response) => {
    const prefix = new URL(request.url ?? '/', 'http://localhost').searchParams.get('begins') ?? ''
    // Read as fast as the client takes it; a client that leaves ends the walk.
    await pipeline(map.batches({ prefix }), ndjson, response).catch(() => response.destroy())
  })
  const answer = await (await fetch(`${server.origin}/?begins=San%20Jos`)).text()
  const found: Place[] = JSON.parse(`[${answer.trim().replaceAll('\n', ',')}]`)
  const largest = found.reduce((a, b) => (b.people > a.people ? b : a))
  console.log(`${found.length} of ${map.size} begin with San Jos, the largest is ${largest.key}`)
} finally {
  await rm(folder, { recursive: true })
}
