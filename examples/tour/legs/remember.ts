import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ChunkedBuffer, cacheFunction, HugeMap } from 'millrace'
import { type City, cities, citiesFile } from '../cities.js'
import { difference } from '../compare.js'
import { megabytes, type Report } from '../report.js'

/** A name is no key by itself: there are hundreds of San Josés. */
type CityKey = [name: string, cityId: number]

const NAME = 'San José'
const PREFIX = 'San J'

/** Bulk-loads all cities by name into a HugeMap, looks some up by what their names begin with, and caches a function. */
export async function rememberLeg(report: Report, found: readonly City[]): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-tour-'))
  try {
    const path = join(folder, 'cities')
    await report.step('load a HugeMap', async () => {
      const { records, fileBytes } = await HugeMap.load<CityKey, City>(path, entries(), { value: 'json' })
      const text = `${records.toLocaleString('en')} cities by name, sorted and written in a process of its own`
      return { value: undefined, bytes: fileBytes, text }
    })
    await using map = await HugeMap.open<CityKey, City>(path)
    const named = await report.step('search by prefix', async () => {
      const begin = [...map.entries({ gte: [PREFIX, 0], lt: [`${PREFIX}\u{10ffff}`, 0] })]
      const named = [...map.values({ prefix: [NAME] })]
      const bytes = begin.reduce((sum, [, city]) => sum + JSON.stringify(city).length, 0)
      const text = `${begin.length} of ${map.size.toLocaleString('en')} cities begin with ${PREFIX}, ${named.length} are called ${NAME}`
      if (begin.length !== found.filter(({ name }) => name.startsWith(PREFIX)).length)
        throw new Error('some are missing')
      return { value: named, bytes, text }
    })
    check(named, found)
    await remember(report, map)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** The largest cities of a country, twice: computed by walking over all cities, then out of the cache. */
async function remember(report: Report, map: HugeMap<CityKey, City>): Promise<void> {
  let walked = 0
  const largest = cacheFunction(
    async function largest(country: string): Promise<string[]> {
      const all: City[] = []
      for await (const some of map.batches()) {
        walked += some.length
        for (const [, city] of some) if (city.country === country) all.push(city)
      }
      return all
        .sort((a, b) => b.population - a.population)
        .slice(0, 3)
        .map(({ name }) => name)
    },
    { map },
  )
  for (const [step, calls] of [
    ['compute and store', 1],
    ['remember', 1],
  ] as const) {
    await report.step(step, async () => {
      const before = walked
      const names = await largest('PE')
      const text = `${names.join(', ')}: ${(walked - before).toLocaleString('en')} cities read`
      if (largest.stats.calls !== calls) throw new Error(`the function was called ${largest.stats.calls} times`)
      return { value: names, bytes: 0, text }
    })
  }
  report.detail(`a file of ${megabytes(map.stats().fileBytes)}, ${map.namespaces().length} maps in it`)
}

/** The cities of one name, in the order of their ids, are those that the parser found. */
function check(named: readonly City[], found: readonly City[]): void {
  const expected = found.filter(({ name }) => name === NAME).sort((a, b) => a.cityId - b.cityId)
  for (const [i, city] of expected.entries()) {
    const fault = difference(named[i], city, `city ${city.cityId}`)
    if (fault !== undefined) throw new Error(`the map and the parser disagree: ${fault}`)
  }
  if (named.length !== expected.length) throw new Error(`${named.length} cities are called ${NAME}`)
}

/** Parsed as fast as they are taken. */
async function* entries(): AsyncGenerator<[CityKey, City], void, void> {
  const parsed = createReadStream(citiesFile).pipe(new ChunkedBuffer({ parser: cities }))
  for await (const batch of parsed.batches()) for (const city of batch) yield [[city.name, city.cityId], city]
}
