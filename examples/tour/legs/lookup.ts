import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ChunkedBuffer, httpSource, openMapBuffer, type Serializer, writeMapBuffer } from 'millrace'
import { fileListener, serve } from '../../mapbuffer/support/serve-file.js'
import { type City, cities, citiesFile } from '../cities.js'
import { difference } from '../compare.js'
import { megabytes, type Report } from '../report.js'

/** A city as JSON. The file of cities itself cannot be cut up: each place in it is a difference to the one before. */
const json: Serializer<City> = {
  name: 'json',
  encode: (city) => new TextEncoder().encode(JSON.stringify(city)),
  decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
}

/** Paris, Lima, Wuppertal. */
const WANTED = [2988507, 3936456, 2805753]

/** Streams all cities into a MapBuffer file by their GeoNames id, serves it, and reads three of them back by range. */
export async function lookupLeg(report: Report, found: readonly City[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-tour-'))
  try {
    const path = join(folder, 'cities.mb')
    const file = await report.step('write cities.mb', async () => {
      const file = await writeMapBuffer(path, entries(), { compress: 'gzip', serializer: json })
      const text = `${file.entries.toLocaleString('en')} cities by GeoNames id, streamed into a file, each one gzipped`
      return { value: file, bytes: file.bytes, text }
    })
    await using server = await serve(fileListener(path))
    const read = await report.step('look up by range', async () => {
      let requests = 0
      let bytes = 0
      const onRequest = (request: { bytes: number }): void => {
        requests++
        bytes += request.bytes
      }
      const source = httpSource(`${server.origin}/cities.mb`, { onRequest })
      await using map = await openMapBuffer(source, { serializer: json })
      const read = await map.getMany(WANTED)
      const text = `${WANTED.length} cities over HTTP: ${requests} requests moved ${kilobytes(bytes)} of ${megabytes(file.bytes)}`
      return { value: read, bytes, text }
    })
    for (const [index, id] of WANTED.entries()) {
      const city = read[index]
      const fault = difference(
        city,
        found.find(({ cityId }) => cityId === id),
        `city ${id}`,
      )
      if (city === undefined || fault !== undefined) throw new Error(`the map and the parser disagree: ${fault}`)
      const { name, country, population } = city
      report.detail(`${String(id).padStart(12)}  ${name}, ${country}, ${population.toLocaleString('en')} people`)
    }
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** What a map is written from: pairs of a label and a value, in any order. They are parsed as fast as they are taken. */
async function* entries(): AsyncGenerator<[number, City], void, void> {
  const parsed = createReadStream(citiesFile).pipe(new ChunkedBuffer({ parser: cities }))
  for await (const batch of parsed.batches()) for (const city of batch) yield [city.cityId, city]
}

const kilobytes = (bytes: number): string => `${Math.round(bytes / 1000)} kB`
