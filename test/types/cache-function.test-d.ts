// Compiled, never run: what must compile does, and each `@ts-expect-error` fails the build once the line below it compiles.
import { type CachedFunction, type CacheOptions, type CacheStats, cacheFunction, type HugeMap } from 'millrace'
import type { Exactly } from './exactly.js'

declare const map: HugeMap<string, number>
declare const anyMap: HugeMap

// Arguments stay as they are; what it returns is awaited.
async function load(id: number, options?: { deep: boolean }): Promise<{ name: string }> {
  return { name: `${id}${options?.deep}` }
}
const cached = cacheFunction(load, { map })
true satisfies Exactly<typeof cached, CachedFunction<[id: number, options?: { deep: boolean }], { name: string }>>
true satisfies Exactly<ReturnType<typeof cached>, Promise<{ name: string }>>
true satisfies Exactly<ReturnType<typeof cached.peek>, { name: string } | undefined>
true satisfies Exactly<ReturnType<typeof cached.forget>, Promise<boolean>>
true satisfies Exactly<typeof cached.stats, CacheStats>
cached(1)
cached(1, { deep: true })
// @ts-expect-error the arguments are those of the function
cached('1')
// @ts-expect-error of peek, too
cached.peek()
// @ts-expect-error nobody counts but the cache itself
cached.stats.hits = 0

const square = cacheFunction((n: number) => n * n, { map: anyMap, value: 'f64', lease: false })
true satisfies Exactly<ReturnType<typeof square>, Promise<number>>
cacheFunction(load, { map, key: (id) => id, keep: (result) => result.name !== '', ttlMs: 1000, version: 'b' })
cacheFunction(load, { map, lease: { ttlMs: 1000 } })
cacheFunction((n: number) => n, { map, value: { name: 'own', encode: () => new Uint8Array(), decode: () => 1 } })
// @ts-expect-error a serializer of other values
cacheFunction(load, { map, value: { name: 'own', encode: (_: number) => new Uint8Array(), decode: () => 1 } })
// @ts-expect-error keys are numbers, strings, bytes, tuples
cacheFunction(load, { map, key: (id) => ({ id }) })
// @ts-expect-error true is the default, and has no other name
cacheFunction(load, { map, lease: true })
// @ts-expect-error where would it be kept?
cacheFunction(load, {})
export const options: CacheOptions<[number], string> = { map, name: 'x', version: 1 }
