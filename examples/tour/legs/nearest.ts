import { availableParallelism } from 'node:os'
import { job, runChunked, sharedArray, statusLine } from 'millrace'
import type { City } from '../cities.js'
import type { Report } from '../report.js'
import type { Cities, nearestLarger } from './nearest.job.js'

const EARTH_KM = 6371
/** Chunks of some milliseconds: all threads end at about the same time, and a live line has something to show. */
const CHUNK = 500

/** For each city the nearest one with more people, in threads over shared memory, and a check of some of them. */
export async function nearestLeg(report: Report, found: readonly City[]): Promise<void> {
  const sorted = found.toSorted((a, b) => a.loc.coordinates[1] - b.loc.coordinates[1])
  const count = sorted.length
  const radians = (degrees: number): number => (degrees * Math.PI) / 180
  const cities: Cities = {
    latitude: sharedArray(Float64Array, count),
    longitude: sharedArray(Float64Array, count),
    population: sharedArray(Float64Array, count),
    nearest: sharedArray(Int32Array, count),
    angle: sharedArray(Float64Array, count),
  }
  for (const [index, { loc, population }] of sorted.entries()) {
    cities.longitude[index] = radians(loc.coordinates[0])
    cities.latitude[index] = radians(loc.coordinates[1])
    cities.population[index] = population
  }

  await report.step('nearest larger city', async () => {
    const work = job<typeof nearestLarger>(new URL('./nearest.job.js', import.meta.url), 'nearestLarger')
    const workers = availableParallelism()
    const run = runChunked(work, { end: count, chunkSize: CHUNK, workers, args: cities })
    run.pipe(statusLine({ label: 'nearest larger city' }))
    let distances = 0
    for await (const some of run.values({ ordered: false })) distances += some
    const { done, elapsedMs } = await run
    const bytes = Object.values(cities).reduce((sum, { byteLength }) => sum + byteLength, 0)
    const rate = Math.round((done * 1000) / elapsedMs).toLocaleString('en')
    const text = `${done} chunks on ${Math.min(workers, run.count)} threads, ${rate} chunks/s, ${distances.toLocaleString('en')} distances`
    return { value: undefined, bytes, text }
  })
  const { nearest, angle } = cities
  const byDistance = Uint32Array.from({ length: count }, (_, index) => index)
  byDistance.sort((a, b) => (angle[b] as number) - (angle[a] as number))
  const km = (index: number): string => Math.round((angle[index] as number) * EARTH_KM).toLocaleString('en')
  for (const index of byDistance.subarray(0, 3)) {
    const to = sorted[nearest[index] as number] as City
    report.detail(`${km(index).padStart(6)} km  from ${sorted[index]?.name} to ${to.name}`)
  }
  report.detail(`${km(byDistance[count >> 1] as number).padStart(6)} km  or less for half of all cities`)

  await report.step('check against a loop', async () => {
    const expected = plainLoop(cities)
    let checked = 0
    for (let city = 0; city < count; city += 250) {
      // Two formulas, rounded differently: a millionth of the angle is six metres.
      const found = angle[city] as number
      if (!(Math.abs(found - expected(city)) <= 1e-6))
        throw new Error(`${sorted[city]?.name}: ${found} instead of ${expected(city)}`)
      checked++
    }
    const text = `${checked.toLocaleString('en')} cities, each compared with all others in a plain loop`
    return { value: undefined, bytes: 0, text }
  })
}

/** The same by another way: the least angle is the greatest scalar product of two unit vectors, looked for in all. */
function plainLoop({ latitude, longitude, population }: Cities): (city: number) => number {
  const x = latitude.map((angle, city) => Math.cos(angle) * Math.cos(longitude[city] as number))
  const y = latitude.map((angle, city) => Math.cos(angle) * Math.sin(longitude[city] as number))
  const z = latitude.map((angle) => Math.sin(angle))
  const at = (vector: Float64Array, city: number): number => vector[city] as number
  return (city) => {
    let closest = -2
    for (let other = 0; other < population.length; other++) {
      if (at(population, other) <= at(population, city)) continue
      const product = at(x, city) * at(x, other) + at(y, city) * at(y, other) + at(z, city) * at(z, other)
      if (product > closest) closest = product
    }
    return closest === -2 ? 0 : Math.acos(Math.min(1, closest))
  }
}
