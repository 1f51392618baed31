import { createReadStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ChunkedBuffer, LoadIt } from 'millrace'
import { type City, cities, citiesFile } from '../cities.js'
import { difference } from '../compare.js'
import type { Report } from '../report.js'

const READS = 20_000
/** Cities of a shard, and of a block of the shuffle. */
const SHARD = 4096
/** Less than the cities take on disk, so that some reads go there. */
const CACHE = 4 * 2 ** 20

/** Opens the parser as if it were an array: jumps around, then goes through a shuffled epoch in two parts. */
export async function jumpLeg(report: Report, found: readonly City[]): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), 'millrace-tour-'))
  let walks = 0
  const source = () => {
    walks++
    return createReadStream(citiesFile).pipe(new ChunkedBuffer({ parser: cities }))
  }
  const open = () => LoadIt.open<City>({ root, source, maxShardLength: SHARD, cache: { bytes: CACHE } })
  const check = (city: City | undefined, index: number): void => {
    const fault = difference(city, found[index], `city ${index}`)
    if (fault !== undefined) throw new Error(`the loader and the parser disagree: ${fault}`)
  }
  try {
    let saved = ''
    {
      await using loader = await open()
      await report.step('walk the cities once', async () => {
        const length = await loader.length()
        const { generated, diskBytes } = loader.stats()
        if (length !== found.length) throw new Error(`${length} cities, not ${found.length}`)
        const text = `${length.toLocaleString('en')} cities in ${generated} shards: random access to what can only be walked`
        return { value: length, bytes: diskBytes, text }
      })
      await report.step('jump around', async () => {
        const before = loader.stats()
        const start = performance.now()
        let index = 11_030
        for (let n = 0; n < READS; n++) {
          check(await loader.at(index), index)
          index = (index * 48_271 + 11) % found.length
        }
        const each = ((performance.now() - start) / READS) * 1000
        const { hits, cacheBytes } = loader.stats()
        const rate = Math.round(((hits - before.hits) / READS) * 100)
        const text = `${READS.toLocaleString('en')} cities at random, ${each.toFixed(1)} µs each, ${rate} % from memory`
        return { value: each, bytes: cacheBytes, text }
      })
      const shuffled = loader.shuffle({ seed: 7, block: SHARD })
      let next = 0
      for await (const batch of shuffled.batches({ maxItems: 512 })) {
        next += batch.length
        if (next > found.length / 3) break
      }
      saved = JSON.stringify(shuffled.cursor(next))
    }
    await using loader = await open()
    await report.step('resume an epoch', async () => {
      const shuffled = loader.shuffle({ seed: 7, block: SHARD })
      const cursor = JSON.parse(saved)
      const seen = new Set<number>()
      for await (const batch of shuffled.batches({ cursor })) for (const city of batch) seen.add(city.cityId)
      const isFirst = (await shuffled.at(cursor.next))?.cityId === seen.values().next().value
      const isRest = seen.size === found.length - cursor.next
      if (!isFirst || !isRest || walks !== 1) throw new Error(`resumed with ${seen.size} cities after ${walks} walks`)
      const { diskBytes } = loader.stats()
      const text = `${seen.size.toLocaleString('en')} cities, shuffled, from place ${cursor.next.toLocaleString('en')} on, after a restart`
      return { value: seen.size, bytes: diskBytes, text }
    })
    report.detail(`${saved}; the file was parsed ${walks === 1 ? 'once' : `${walks} times`}`)
  } finally {
    await rm(root, { recursive: true })
  }
}
