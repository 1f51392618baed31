import type { Chunk } from 'millrace/run'

/** The cities from south to north, in memory that all threads share. Angles in radians. */
export interface Cities {
  readonly latitude: Float64Array
  readonly longitude: Float64Array
  readonly population: Float64Array
  /** To be filled in: index of the nearest city with more people; -1 where there is none. */
  readonly nearest: Int32Array
  /** To be filled in: how far that is, as the angle seen from the centre of the earth. */
  readonly angle: Float64Array
}

/**
 * Fills in the chunk's own range, so that it may run again. Walks away from each city to the north and to the south at
 * once, always to the closer latitude, until the latitude alone is farther than the best city found. Returns how many
 * distances it took.
 */
export function nearestLarger({ start, end }: Chunk, cities: Cities): number {
  const { latitude, population, nearest, angle } = cities
  const last = latitude.length - 1
  let distances = 0
  for (let city = start; city < end; city++) {
    const here = latitude[city] as number
    const people = population[city] as number
    let north = city + 1
    let south = city - 1
    let found = -1
    let least = Number.POSITIVE_INFINITY // haversine of the best city found, and its angle
    let reach = Number.POSITIVE_INFINITY
    for (;;) {
      const up = north <= last ? (latitude[north] as number) - here : Number.POSITIVE_INFINITY
      const down = south >= 0 ? here - (latitude[south] as number) : Number.POSITIVE_INFINITY
      if (Math.min(up, down) >= reach) break
      const other = up < down ? north++ : south--
      if ((population[other] as number) <= people) continue
      distances++
      const far = haversine(cities, city, other)
      if (far < least) {
        least = far
        reach = 2 * Math.asin(Math.sqrt(far))
        found = other
      }
    }
    nearest[city] = found
    angle[city] = found < 0 ? 0 : reach
  }
  return distances
}

/** The haversine of the angle between two cities: grows with it, and needs no more to tell which of two is closer. */
function haversine({ latitude, longitude }: Cities, a: number, b: number): number {
  const from = latitude[a] as number
  const to = latitude[b] as number
  const across = Math.sin((to - from) / 2)
  const along = Math.sin(((longitude[b] as number) - (longitude[a] as number)) / 2)
  return across * across + Math.cos(from) * Math.cos(to) * along * along
}
