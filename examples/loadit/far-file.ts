import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ChunkedBuffer, LoadIt, readable } from 'millrace'
import { cities, citiesFile } from '../tour/cities.js'

// Random access to a file on a server that is no list of anything, with room for a part of it only: what was dropped is
// made again, by fetching and parsing the file once more.

/** Bytes on the disk; the cities take twice as much. */
const LIMIT = 4 * 2 ** 20

let fetches = 0
const server = createServer((_, response) => {
  fetches++
  createReadStream(citiesFile).pipe(response)
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/cities.pbf`

const root = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  await using loader = await LoadIt.open({
    root,
    source: async ({ signal }) => {
      const { body } = await fetch(url, { signal })
      return readable(body ?? []).pipe(new ChunkedBuffer({ parser: cities }))
    },
    maxShardLength: '1mb',
    memoryLimit: LIMIT,
    cache: { bytes: 2 ** 20 },
  })
  const names = [`${await loader.length()} cities`]
  for (const index of [120_000, 7, 60_000, 90_000]) names.push(String((await loader.at(index))?.name))
  const { diskBytes, evicted } = loader.stats()
  const fits = diskBytes <= LIMIT
  console.log(
    `${names.join(', ')}; fetched ${fetches > 1 ? 'again' : 'once'}, dropped some: ${evicted > 0}, fits: ${fits}`,
  )
} finally {
  server.close()
  server.closeAllConnections()
  await rm(root, { recursive: true })
}
