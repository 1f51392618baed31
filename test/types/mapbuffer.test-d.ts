// Compiled, never run: what must compile does, and each `@ts-expect-error` fails the build once the line below it compiles.
import { createWriteStream } from 'node:fs'
import type { Socket } from 'node:net'
import { pipeline } from 'node:stream/promises'
import {
  type AnyMap,
  atomicWrite,
  type ByteSource,
  type BytesLike,
  type Codec,
  cached,
  coalesced,
  type DuplexOf,
  httpSource,
  IntMap,
  IntMapWriter,
  isMillraceError,
  type Label,
  type Location,
  type loadCodec,
  MapBuffer,
  type MapBufferError,
  MapBufferParser,
  type MapBufferReader,
  MapBufferWriter,
  memorySource,
  merge,
  openMapBuffer,
  openMapBufferSync,
  type ReadableOf,
  readRanges,
  registerCodec,
  type Serializer,
  salvage,
  transcode,
  type VerifyReport,
  writeMapBuffer,
} from 'millrace/mapbuffer'
import type { Exactly } from './exactly.js'

interface City {
  readonly name: string
}
declare const json: Serializer<City>
declare const bytes: Uint8Array
declare const map: MapBuffer
declare const cities: MapBuffer<City>
declare const signal: AbortSignal
declare const socket: Socket
declare const pairs: AsyncIterable<readonly [number, Uint8Array]>

// What may be missing says so; values are bytes unless a serializer makes something of them.
true satisfies Exactly<ReturnType<typeof map.get>, Uint8Array | undefined>
true satisfies Exactly<ReturnType<typeof cities.get>, City | undefined>
true satisfies Exactly<ReturnType<typeof cities.getMany>, (City | undefined)[]>
true satisfies Exactly<ReturnType<typeof map.locate>, Location | undefined>
true satisfies Exactly<ReturnType<typeof map.lowerBound>, Label | undefined>
true satisfies Exactly<ReturnType<typeof map.labelAt>, Label>
true satisfies Exactly<ReturnType<typeof map.index>, BigUint64Array>
true satisfies Exactly<ReturnType<typeof cities.toMap>, Map<Label, City>>
true satisfies Exactly<ReturnType<typeof map.verify>, Promise<VerifyReport>>
// @ts-expect-error a label may not be there
map.get(5).length
// @ts-expect-error labels are numbers or bigints
map.get('5')
// @ts-expect-error the value must be a city
cities.set(5, bytes)
// @ts-expect-error read only
map.size = 5
for (const [label, city] of cities) {
  true satisfies Exactly<typeof label, Label>
  true satisfies Exactly<typeof city, City>
}
for (const label of map.keys({ from: 5, to: 2n ** 60n, reverse: true })) true satisfies Exactly<typeof label, Label>

// Made in memory: of a Map, pairs, or an object with labels in decimal.
true satisfies Exactly<typeof fromBytes, MapBuffer<Uint8Array>>
export const fromBytes = MapBuffer.from(new Map([[5, bytes]]), { compress: 'gzip', level: 6, crc: false })
MapBuffer.from([[2n ** 60n, new ArrayBuffer(1)]] as const)
MapBuffer.from({ 5: bytes })
true satisfies Exactly<typeof fromCities, MapBuffer<City>>
export const fromCities = MapBuffer.from([[5, { name: 'Lima' }]] as const, { serializer: json, duplicates: 'last' })
// @ts-expect-error without a serializer values are bytes
MapBuffer.from([[5, { name: 'Lima' }]])
// @ts-expect-error three policies
MapBuffer.from([[5, bytes]], { duplicates: 'newest' })
// @ts-expect-error misspelt options are refused
new MapBuffer(bytes, { maxValuebytes: 5 })
// @ts-expect-error three kinds of lookup
new MapBuffer(bytes, { lookup: 'tree' })
true satisfies Exactly<typeof opened, MapBuffer<City>>
export const opened = openMapBufferSync(new URL('file:///cities.mb'), { serializer: json })

export async function readFromAnywhere(blob: Blob, source: ByteSource): Promise<void> {
  await using reader = await openMapBuffer('https://example.org/cities.mb', { serializer: json, index: 'lazy', signal })
  true satisfies Exactly<typeof reader, MapBufferReader<City>>
  true satisfies Exactly<Awaited<ReturnType<typeof reader.get>>, City | undefined>
  true satisfies Exactly<ReturnType<typeof reader.select>, ReadableOf<[Label, City]>>
  true satisfies Exactly<Awaited<ReturnType<typeof reader.load>>, MapBuffer<City>>
  await reader.getMany([5, 6n], { signal })
  for await (const [label, city] of reader) [label, city] satisfies [Label, City]
  for (const input of [blob, source, bytes, new ArrayBuffer(1), new URL('https://example.org'), 'a path']) {
    const plain = await openMapBuffer(input)
    true satisfies Exactly<typeof plain, MapBufferReader<Uint8Array>>
    await IntMap.open(input, { bigint: true, signal })
  }
  // @ts-expect-error a number is nothing to read from
  await openMapBuffer(5)
  // @ts-expect-error three ways to read an index
  await openMapBuffer(bytes, { index: 'partly' })
}

export async function inPipes(to: string): Promise<void> {
  const writer = new MapBufferWriter({ compress: 'zstd', sorted: true, count: 5, onProgress: ({ phase }) => phase })
  writer satisfies DuplexOf<readonly [Label, BytesLike], Uint8Array>
  await pipeline(pairs, writer, createWriteStream(to))
  // @ts-expect-error entries are pairs
  writer.write(bytes)
  // @ts-expect-error a label comes first
  writer.write([bytes, 5])
  const typed = new MapBufferWriter({ serializer: json })
  typed.write([5, { name: 'Lima' }])
  // @ts-expect-error the serializer takes cities
  typed.write([5, bytes])
  for await (const [label, value] of socket.pipe(new MapBufferParser({ labels: [5] }))) {
    true satisfies Exactly<typeof label, Label>
    true satisfies Exactly<typeof value, Uint8Array>
  }
  for await (const [, city] of new MapBufferParser({ serializer: json })) true satisfies Exactly<typeof city, City>
  const numbers = new IntMapWriter({ duplicates: 'first', count: 3, signal })
  numbers.write([5, 2n ** 64n - 1n])
  // @ts-expect-error values are integers
  numbers.write([5, bytes])
  true satisfies Exactly<Awaited<ReturnType<typeof writeMapBuffer>>, { entries: number; bytes: number }>
  await writeMapBuffer(to, pairs, { memory: 2 ** 20, dir: '/tmp', signal })
  await writeMapBuffer<City>(to, [[5, { name: 'Lima' }]], { serializer: json })
}

// An IntMap maps integers to integers.
const links = IntMap.from({ 5: 6 })
true satisfies Exactly<ReturnType<typeof links.get>, Label | undefined>
links.set(5, 7n)
// @ts-expect-error values are integers
IntMap.from([[5, 'six']])

export async function together(maps: AnyMap<City>[]): Promise<void> {
  const merged = merge(maps, { duplicates: (_label, [first]) => first as City, select: (label) => label > 5 })
  true satisfies Exactly<typeof merged, ReadableOf<Uint8Array>>
  true satisfies Exactly<Awaited<ReturnType<typeof atomicWrite>>, number>
  await atomicWrite('all.mb', transcode(map, { compress: 'none' }), { sync: false })
  // @ts-expect-error it has to return a city
  merge(maps, { duplicates: () => bytes })
  // @ts-expect-error what is merged is sorted anyway
  merge(maps, { sorted: true })
  for await (const [, city] of salvage('old.mb', { serializer: json, onProblem: ({ code }) => code })) {
    true satisfies Exactly<typeof city, City>
  }
}

// Sources and codecs are anything of that shape.
export async function sources(): Promise<void> {
  const far = cached(coalesced(httpSource('https://example.org', { retries: 0 })), { maxBytes: 2 ** 20 })
  for await (const [index, found] of readRanges(far, [{ offset: 0, length: 1 }], { gap: 0, signal })) {
    true satisfies Exactly<typeof index, number>
    true satisfies Exactly<typeof found, Uint8Array>
  }
  memorySource(bytes) satisfies ByteSource
  const mine: ByteSource = { size: 5, read: async (offset, length) => bytes.subarray(offset, offset + length) }
  await openMapBuffer(mine)
  // @ts-expect-error a source is read from
  mine satisfies { write(): void }
  const codec: Codec = { name: 'rot', encode: (data) => data, decode: (data, maxLength) => data.subarray(0, maxLength) }
  registerCodec('rot', () => codec)
  registerCodec('rot', async ({ level }) => ({ ...codec, level }))
  true satisfies Exactly<Awaited<ReturnType<typeof loadCodec>>, Codec>
  MapBuffer.from([], { compress: codec })
}

export function onError(error: unknown): unknown {
  if (isMillraceError(error, 'MILL_BAD_CRC')) {
    true satisfies Exactly<typeof error.code, 'MILL_BAD_CRC'>
    return (error as Error as MapBufferError).position
  }
  // @ts-expect-error no such code
  return isMillraceError(error, 'MILL_BAD_CRC32')
}
