import { httpSource, openMapBuffer, type Serializer } from 'millrace/mapbuffer'

// The page's own script: it is bundled for the browser, with all it imports.

export interface City {
  readonly name: string
  readonly people: number
}

export const json: Serializer<City> = {
  name: 'json',
  encode: (city) => new TextEncoder().encode(JSON.stringify(city)),
  decode: (bytes) => JSON.parse(new TextDecoder().decode(bytes)),
}

/**
 * Cities that lie on a server, by their id. Each costs a few small requests, the file is never fetched whole; `onBytes`
 * is told how much each moved.
 */
export async function openCities(
  url: string,
  onBytes: (bytes: number) => void,
): Promise<(id: number) => Promise<string>> {
  const source = httpSource(url, { onRequest: ({ bytes }) => onBytes(bytes) })
  const cities = await openMapBuffer(source, { serializer: json })
  return async (id) => {
    const city = await cities.get(id)
    return city === undefined ? `there is no city ${id}` : `${city.name}, ${city.people.toLocaleString('en')} people`
  }
}
