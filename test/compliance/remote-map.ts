import { pipeline } from 'node:stream/promises'
import type { ExecutionContext, SerialFn } from 'ava'
import fc from 'fast-check'
import { keyCodecOf } from '../../lib/codec/keys.js'
import { RemoteMap } from '../../lib/hugemap/remote-map.js'
import type { Key } from '../../types/key.js'
import type { Store } from '../../types/store.js'
import { codeOf, failure, gather } from '../fixtures/stream-kit.js'

const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)

/** Registers what a RemoteMap must do over any store. */
export function remoteMapSuite(test: SerialFn, engine: string, open: () => Promise<Store>): void {
  const check = (title: string, run: (t: ExecutionContext, store: Store) => Promise<void>) =>
    test(`${engine}: ${title}`, async (t) => {
      t.timeout(120_000)
      const store = await open()
      try {
        await run(t, store)
      } finally {
        await store.close()
      }
    })

  check('set, get, has, delete, and conditions', async (t, store) => {
    await using map = await RemoteMap.open<Key, unknown>(store)
    t.is(await map.get('a'), undefined)
    t.false(await map.has('a'))
    t.true(await map.set('a', { n: 1 }))
    t.deepEqual(await map.get('a'), { n: 1 })
    t.true(await map.has('a'))
    t.false(await map.set('a', 2, { ifAbsent: true }))
    t.false(await map.set('a', 2, { ifValue: { n: 2 } }))
    t.true(await map.set('a', 2, { ifValue: { n: 1 } }))
    t.false(await map.delete('a', { ifValue: 3 }))
    t.true(await map.delete('a', { ifValue: 2 }))
    t.false(await map.delete('a'))
    t.true(await map.set(['x', 5n], new Date(7), { ifAbsent: true }))
    t.deepEqual(await map.getMany([['x', 5n], 'none', ['x', 5]]), [new Date(7), undefined, undefined])
    await map.clear()
    t.is(await map.count(), 0)
    t.is(codeOf(await failure(map.set('a', undefined))), 'MILL_SERIALIZE')
    t.is(codeOf(await failure(map.set('', 1, { ifAbsent: true, ifValue: 2 }))), 'MILL_INVALID_ARGUMENT')
    t.is(codeOf(await failure(map.set(Number.NaN, 1))), 'MILL_BAD_KEY')
    t.is(codeOf(await failure(map.set('f', () => 1))), 'MILL_SERIALIZE')
  })

  check('random writes and ranges agree with a sorted array, for every key codec', async (t, store) => {
    const text = fc.string({ minLength: 1, maxLength: 3, unit: fc.constantFrom('a', 'b', 'é', '\0', '😀') })
    const kinds = {
      string: text,
      u64: fc.oneof(fc.nat(20), fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n })),
      any: fc.oneof(fc.integer(), text, fc.tuple(fc.constantFrom('a', 'b'), fc.integer({ min: -3, max: 3 }))),
    }
    for (const [key, keys] of Object.entries(kinds)) {
      await using map = await RemoteMap.open<Key, number>(store, { name: key, key: key as never })
      const model = new Map<string, [Key, number]>()
      const codec = keyCodecOf<Key>(key as never)
      const nameOf = (one: Key): string =>
        JSON.stringify(one, (_, part) => (typeof part === 'bigint' ? `${part}n` : part))
      const operation = fc.record({
        kind: fc.constantFrom('set', 'set', 'delete'),
        key: keys as fc.Arbitrary<Key>,
        value: fc.nat(99),
      })
      await fc.assert(
        fc.asyncProperty(
          fc.array(operation, { maxLength: 25 }),
          fc.integer({ min: 1, max: 7 }),
          async (list, maxItems) => {
            for (const { kind, key: own, value } of list) {
              if (kind === 'set') {
                t.true(await map.set(own, value))
                model.set(nameOf(own), [own, value])
              } else t.is(await map.delete(own), model.delete(nameOf(own)))
            }
            const entries = (await gather<[Key, number][]>(map.batches({ maxItems }))).flat()
            const sorted = [...model.values()].sort(([a], [b]) => Buffer.compare(codec.encode(a), codec.encode(b)))
            t.deepEqual(entries, sorted)
            t.is(await map.count(), model.size)
            const back = (await gather<[Key, number][]>(map.batches({ maxItems, reverse: true }))).flat()
            t.deepEqual(back, entries.toReversed())
            const [from, to] = [entries[entries.length >> 2], entries[entries.length >> 1]]
            if (from === undefined || to === undefined) return
            const some = await gather<[Key, number]>(map.readable({ gte: from[0], lt: to[0], limit: 3 }))
            t.deepEqual(some, entries.slice(entries.length >> 2, entries.length >> 1).slice(0, 3))
          },
        ),
        { numRuns: 12 * scale },
      )
    }
  })

  check('streams both ways, and setMany with progress', async (t, store) => {
    await using map = await RemoteMap.open<number, string>(store, { key: 'u64', value: 'string' })
    const pairs = Array.from({ length: 5000 }, (_, i) => [(i * 7919) % 5000, `value ${i}`] as const)
    const told: number[] = []
    t.is(await map.setMany(pairs, { onProgress: ({ done }) => told.push(done) }), 5000)
    t.is(told.at(-1), 5000)
    const sorted = pairs.toSorted(([a], [b]) => a - b)
    t.deepEqual(await gather<[number, string]>(map.readable()), sorted as never)
    await map.clear()
    await pipeline(pairs, map.writable() as never)
    t.is(await map.count(), 5000)
    await map.clear()
    await pipeline([pairs.slice(0, 100), pairs.slice(100, 300)], map.writable({ batches: true }) as never)
    t.is(await map.count(), 300)
    const wrong = await failure(map.setMany([[1, 'a'], 5] as never))
    t.is(codeOf(wrong), 'MILL_UNSUPPORTED_ITEM')
    const controller = new AbortController()
    const reason = new Error('enough')
    const endless = (function* () {
      for (let i = 0; ; i++) {
        if (i === 3000) controller.abort(reason)
        yield [i, 'x'] as const
      }
    })()
    t.is(await failure(map.setMany(endless, { signal: controller.signal })), reason)
  })

  check('update is exact under contention; batches of one key are all or nothing', async (t, store) => {
    await using map = await RemoteMap.open<string, number>(store)
    const add = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        // Ten attempts may not be enough among four at once: whoever loses asks again.
        while ((await map.update('n', (old = 0) => old + 1).catch((error) => codeOf(error))) === 'MILL_CONFLICT');
      }
    }
    await Promise.all([add(), add(), add(), add()])
    t.is(await map.get('n'), 80)
    t.is(await map.update('n', () => undefined), undefined)
    t.false(await map.has('n'))
    t.is(await map.update('n', () => undefined), undefined)
    t.true(await map.batch((b) => b.require('n', undefined).set('n', 1)))
    t.false(await map.batch((b) => b.require('n', 2).set('n', 5)))
    t.true(await map.batch((b) => b.require('n', 1).delete('n')))
    t.true(await map.batch(() => {}))
    t.is(codeOf(await failure(map.batch(async () => {}))), 'MILL_INVALID_ARGUMENT')
    t.false(await map.has('n'))
  })

  check('maps of one store, what they were made with, and closing', async (t, store) => {
    const map = await RemoteMap.open<string, number>(store, {
      name: 'a',
      key: 'string',
      value: 'f64',
      compress: 'gzip',
    })
    await map.set('x', 1.5)
    const other = await map.namespace<string, string>('b', { value: 'json' })
    await other.set('x', 'y'.repeat(2000))
    t.is(await map.get('x'), 1.5)
    t.is(await other.get('x'), 'y'.repeat(2000))
    const error = await failure(RemoteMap.open(store, { name: 'a', value: 'json' }))
    t.is(codeOf(error), 'MILL_MAP_MISMATCH')
    t.is(codeOf(await failure(RemoteMap.open(store, { name: 'c', create: false }))), 'MILL_MAP_MISSING')
    t.is(codeOf(await failure(RemoteMap.open(store, { name: 'a', writer: 'inline' }))), 'MILL_INVALID_ARGUMENT')
    t.is(codeOf(await failure(RemoteMap.open({} as never))), 'MILL_INVALID_ARGUMENT')
    const reading = await RemoteMap.open<string, number>(store, { name: 'a', readonly: true })
    t.is(await reading.get('x'), 1.5)
    t.is(codeOf(await failure(reading.set('x', 1))), 'MILL_READ_ONLY')
    await map.close()
    await map.close()
    for (const call of [() => map.get('x'), () => map.set('x', 1), () => map.count(), () => map.clear()]) {
      t.is(codeOf(await failure(call)), 'MILL_CLOSED')
    }
    t.is(codeOf(await failure(async () => map.batches())), 'MILL_CLOSED')
    t.is(await other.get('x'), 'y'.repeat(2000))
  })
}
