import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { LoadIt, lines } from 'millrace'

// Pushed instead of pulled: a log is piped into a folder, and any part of it is streamed out as a response.

interface Reading {
  readonly at: number
  readonly level: number
}

async function* parsed(log: AsyncIterable<string>): AsyncGenerator<Reading> {
  for await (const line of log) yield JSON.parse(line)
}

const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  const log = join(folder, 'levels.ndjson')
  const made = Array.from({ length: 20_000 }, (_, at) => `${JSON.stringify({ at, level: (at * 37) % 250 })}\n`)
  await pipeline(Readable.from(made), createWriteStream(log))

  const root = join(folder, 'levels')
  await pipeline(parsed(lines(createReadStream(log))), (await LoadIt.sink<Reading>({ root })) as never)

  await using loader = await LoadIt.open<Reading>({ root })
  const server = createServer(async (request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://localhost')
    const part = loader.slice(Number(searchParams.get('from')), Number(searchParams.get('to')))
    const text = async function* () {
      for await (const some of part.batches()) yield `${some.map((one) => JSON.stringify(one)).join('\n')}\n`
    }
    await pipeline(Readable.from(text()), response).catch(() => {}) // whoever asked has gone
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const body = await (await fetch(`${origin}/?from=-500&to=-100`)).text()
  const got = body.trim().split('\n')
  server.close()
  server.closeAllConnections()
  console.log(`${await loader.length()} readings; ${got.length} in the response, from ${got[0]} on`)
} finally {
  await rm(folder, { recursive: true })
}
