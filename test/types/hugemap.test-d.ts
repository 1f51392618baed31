// Compiled, never run: what must compile does, and each `@ts-expect-error` fails the build once the line below it compiles.
import { createWriteStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import {
  type Batch,
  type CachedMap,
  ChainedMap,
  type CheckReport,
  HugeMap,
  type HugeMapOptions,
  isMillraceError,
  type Key,
  type KeyCodec,
  type LoadStats,
  type MapStats,
  type Prefix,
  type ReadableMap,
  type ReadableOf,
  type Serializer,
  type Snapshot,
  type StoreError,
  type Transaction,
  type WritableOf,
} from 'millrace/hugemap'
import { type LocalStore, memoryStore, type Store } from 'millrace/store'
import type { Exactly } from './exactly.js'

declare const toCsv: NodeJS.ReadWriteStream
declare const error: unknown

const map = await HugeMap.open<string, number>('folder')
map.get('a') satisfies number | undefined
const got: Exactly<ReturnType<typeof map.get>, number | undefined> = true
// @ts-expect-error a key of another type
map.get(1)
// @ts-expect-error a value of another type
map.set('a', 'text')
const done: Exactly<ReturnType<typeof map.set>, Promise<boolean>> = true
map.set('a', 1, { ifAbsent: true })
map.set('a', 1, { ifValue: 2 })
// @ts-expect-error the value of a condition has the map's type too
map.delete('a', { ifValue: 'x' })
for (const [key, value] of map) {
  key satisfies string
  value satisfies number
}
map.forEach((value, key, self) => {
  value satisfies number
  key satisfies string
  self satisfies HugeMap<string, number>
})

// Without types a map takes every key, and gives back what it does not know.
const any = await HugeMap.open(memoryStore(), { value: 'json' })
const unknown_: Exactly<ReturnType<typeof any.get>, unknown> = true
any.set(['a', 1, [2n, new Uint8Array(1)]], { any: 'thing' })
// @ts-expect-error an object is no key
any.set({ a: 1 }, 1)

// A prefix of a tuple is its first elements.
const queue = await HugeMap.open<['waiting' | 'done', number, number], string>('queue')
queue.keys({ prefix: ['waiting'] })
queue.keys({ prefix: ['waiting', 5], reverse: true, limit: 1 })
queue.entries({ gte: ['waiting', 0, 0], lt: ['waiting', 9, 0] })
// @ts-expect-error no such first element
queue.keys({ prefix: ['other'] })
const prefix: Exactly<Prefix<string>, string> = true

// Codecs of your own.
const ids: KeyCodec<{ id: number }> = {
  name: 'ids',
  encode: ({ id }) => Uint8Array.of(id),
  decode: (data) => ({ id: data[0] as number }),
}
const dates: Serializer<Date> = {
  name: 'dates',
  encode: (date) => new TextEncoder().encode(date.toISOString()),
  decode: (data) => new Date(new TextDecoder().decode(data)),
}
const own = await HugeMap.open('own', { key: ids, value: dates })
own.get({ id: 1 }) satisfies Date | undefined
// @ts-expect-error no such codec
HugeMap.open('folder', { key: 'text' })
// @ts-expect-error no such page size
HugeMap.open('folder', { pageSize: 1000 })
const options: HugeMapOptions<string, number> = { writer: 'inline', durable: false, verify: 'always' }
await HugeMap.open('folder', options)
// @ts-expect-error a store that can not be read synchronously
HugeMap.open(null as unknown as Store)
null as unknown as LocalStore satisfies Store

// Writing.
await map.batch((b) => {
  b satisfies Batch<string, number>
  b.set('a', 1).delete('b').require('c', undefined).on(own).set({ id: 1 }, new Date())
  // @ts-expect-error the other map has other values
  b.on(own).set({ id: 1 }, 1)
})
const left: number = await map.transaction((t) => {
  t satisfies Transaction<string, number>
  t.on(own).get({ id: 1 }) satisfies Date | undefined
  return t.get('a') ?? 0
})
;(await map.update('a', (old) => (old ?? 0) + left)) satisfies number | undefined
map.transactionSync(() => map.get('a')) satisfies number | undefined
await map.setMany(new Map([['a', 1]]))
await map.setMany(map.readable())
// @ts-expect-error pairs of other types
map.setMany([[1, 'a']])

// Streams.
map.readable({ prefix: 'a', live: true }) satisfies ReadableOf<[string, number]>
map.writable() satisfies WritableOf<readonly [string, number]>
map.writable({ batches: true }) satisfies WritableOf<readonly (readonly [string, number])[]>
await pipeline(map.readable(), toCsv, createWriteStream('out.csv'))
await pipeline(Readable.from([['a', 1]]), map.writable())
map.writable().write(['a', 1])
// @ts-expect-error a pair, not a key
map.writable().write('a')
for await (const batch of map.batches({ maxItems: 10 })) batch satisfies [string, number][]

// Views.
const snapshot: Snapshot<string, number> = await map.snapshot()
snapshot satisfies ReadableMap<string, number>
// @ts-expect-error a snapshot is read-only
snapshot.set
const cached: CachedMap<string, number> = map.cached({ maxItems: 5 })
cached.map satisfies HugeMap<string, number>
const chained = new ChainedMap(map, snapshot, cached, new Map([['a', 1]]))
chained.get('a') satisfies number | undefined
// @ts-expect-error it has no size
chained.size

// The folder.
const other: HugeMap<number, Date> = await map.namespace<number, Date>('other')
// @ts-expect-error the name is its own argument
map.namespace('other', { name: 'x' })
other.namespaces() satisfies string[]
map.stats() satisfies MapStats
;(await HugeMap.check('folder')) satisfies CheckReport
;(await HugeMap.load('folder', ['a.tsv.gz'], { format: { type: 'tsv' } })) satisfies LoadStats
await HugeMap.load('folder', [['a', 1]] as [string, number][], { value: 'i64' as never })
// @ts-expect-error ndjson needs to know where the key is
HugeMap.load('folder', 'a.ndjson', { format: { type: 'ndjson' } })
if (isMillraceError(error, 'MILL_BACKLOG')) (error as unknown as StoreError).pendingBytes satisfies number | undefined
// @ts-expect-error it is opened, not made
new HugeMap('folder')
const keys: Exactly<Key, number | bigint | string | Uint8Array | readonly Key[]> = true
export const all = [got, done, unknown_, prefix, keys]
