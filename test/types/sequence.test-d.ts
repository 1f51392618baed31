// Compiled, never run: what must compile does, and each `@ts-expect-error` fails the build once the line below it compiles.
import type { Readable } from 'node:stream'
import { type Cursor, type ReadableOf, type Sequence, type SequenceLike, sequence } from '../../lib/loadit/index.js'
import type { Exactly } from './exactly.js'

const exactly =
  <A>() =>
  <B>(_value: B, ..._same: Exactly<A, B> extends true ? [] : [never]): void => {}

interface City {
  name: string
  size: number
}
declare const cities: Sequence<City>
declare const signal: AbortSignal

exactly<Promise<City | undefined>>()(cities.at(-1, { signal }))
exactly<City | undefined>()(cities.peek(0))
exactly<Promise<(City | undefined)[]>>()(cities.getMany(new Set([1, 2])))
exactly<Promise<number>>()(cities.length({ signal }))
exactly<number | undefined>()(cities.knownLength)
exactly<Sequence<City>>()(cities.slice(5, -5, 3))
exactly<Sequence<City>>()(cities.view([1, 2]))
exactly<Sequence<City>>()(cities.view((i) => i * 2, 10))
exactly<Sequence<City>>()(cities.shuffle({ seed: 'x', block: 512, order: 'kept' }))
exactly<Sequence<City>>()(cities.shard(2, 4, { strided: true }))
exactly<Sequence<City>>()(cities.concat([{ name: 'x', size: 1 }], cities))
exactly<Sequence<City>>()(cities.interleave(cities.slice(1)))
exactly<Sequence<City>>()(cities.repeat(3, (epoch, s) => s.shuffle({ seed: epoch })))
exactly<Sequence<City>>()(cities.repeat())
exactly<AsyncIterable<City[]>>()(cities.batches({ start: 1, end: 9, maxItems: 3, signal }))
exactly<ReadableOf<City>>()(cities.stream({ cursor: cities.cursor(3) }))
exactly<Readable>()(cities.stream().toNode() as Readable)
exactly<Cursor>()(cities.cursor(3))
exactly<Sequence<number>>()(sequence([1, 2, 3]))
exactly<Sequence<City>>()(sequence(cities))

export const like: SequenceLike<City>[] = [cities, [{ name: 'x', size: 1 }]]

export async function loops(): Promise<void> {
  for await (const city of cities) exactly<City>()(city)
  for await (const city of cities.stream()) exactly<string>()(city.name)
  for await (const some of cities.batches()) exactly<City[]>()(some)
}

// @ts-expect-error `exactly` finds out
exactly<Promise<City>>()(cities.at(0))
// @ts-expect-error a function needs a length
cities.view((i: number) => i)
// @ts-expect-error other items
cities.concat([1])
// @ts-expect-error no such order
cities.shuffle({ order: 'random' })
// @ts-expect-error an epoch is a sequence of the same items
cities.repeat(2, () => [1])
// @ts-expect-error a place is no cursor
cities.batches({ cursor: 3 })
// @ts-expect-error known, not set
cities.knownLength = 3
// @ts-expect-error neither array nor sequence
sequence('abc')
