import type { ExecutionContext, ImplementationFn } from 'ava'
import { cacheFunction, RemoteMap } from '../../lib/index.js'
import type { Store } from '../../types/store.js'
import { gate, soon } from '../fixtures/cache-kit.js'

type Test = (title: string, fn: ImplementationFn<[]>) => void

/**
 * What a cached function does whose results lie in a `RemoteMap`.
 * @param open a store of its own, empty; `again` makes another one of the same data, as another process would have, or the same
 */
export function cachedRemoteSuite(
  test: Test,
  name: string,
  open: () => Promise<{ readonly store: Store; readonly again: () => Promise<Store> }>,
): void {
  const check = (title: string, fn: (t: ExecutionContext, store: Store, other: Store) => Promise<void>): void =>
    test(`G2: cached in ${name}: ${title}`, async (t) => {
      const { store, again } = await open()
      const other = await again()
      try {
        await fn(t, store, other)
      } finally {
        await other.close()
        await store.close()
      }
    })

  check('computes once, then remembers; whoever comes meanwhile shares the result', async (t, store) => {
    const map = await RemoteMap.open(store)
    const { promise, open: go } = gate()
    const cached = cacheFunction(
      async function slow(n: number) {
        await promise
        return { n }
      },
      { map },
    )
    const both = [cached(1), cached(1)]
    go()
    const [first, second] = await Promise.all(both)
    t.deepEqual(first, { n: 1 })
    t.is(first, second)
    t.deepEqual(await cached(1), { n: 1 })
    t.deepEqual(await cached(2), { n: 2 })
    t.deepEqual(cached.stats, { hits: 1, calls: 2, joined: 1, waited: 0, takeovers: 0 })
    t.is(await map.count(), 0, 'the map itself is not touched')
    t.deepEqual(await store.tables(), ['', 'cache:slow@0'])
    t.throws(() => cached.peek(1), { code: 'MILL_UNSUPPORTED' })
    await map.close()
    await t.throwsAsync(cached(1), { code: 'MILL_CLOSED' })
  })

  check('undefined is a result; what is thrown, or not to be kept, is none', async (t, store) => {
    const map = await RemoteMap.open(store)
    let calls = 0
    const cached = cacheFunction(
      (what: string) => {
        calls++
        if (what === 'throw') throw new RangeError(what)
        return what === 'nothing' ? undefined : what
      },
      { map, name: 'f', keep: (result) => result !== 'lose' },
    )
    for (let i = 0; i < 2; i++) {
      t.is(await cached('nothing'), undefined)
      t.is(await cached('lose'), 'lose')
      await t.throwsAsync(cached('throw'), { instanceOf: RangeError })
    }
    t.is(calls, 5)
    // Nothing is left in the place of a result that there is not.
    const left = await map.namespace('cache:f@0', {
      value: { name: 'cached-msgpack', encode: (v) => v as Uint8Array, decode: (d) => d },
    })
    t.is(await left.count(), 1)
  })

  check('another process waits for it, and gets the same', async (t, store, elsewhere) => {
    const { promise, open: go } = gate()
    const begun = gate()
    let calls = 0
    const f = async (n: number): Promise<number> => {
      calls++
      begun.open()
      await promise
      return n * n
    }
    const here = cacheFunction(f, { map: await RemoteMap.open(store) })
    const there = cacheFunction(f, { map: await RemoteMap.open(elsewhere) })
    const first = here(3)
    await soon(begun.promise, 'a call')
    const second = there(3)
    while (there.stats.waited === 0) await new Promise((resolve) => setTimeout(resolve, 2))
    go()
    t.deepEqual(await soon(Promise.all([first, second]), 'a result'), [9, 9])
    t.is(calls, 1)
    t.is(await there(3), 9)
    t.like(there.stats, { calls: 0, hits: 1, waited: 1, takeovers: 0 })
  })

  check('forgotten, also while it is computed; cleared; too old; of another version', async (t, store, elsewhere) => {
    const map = await RemoteMap.open(store)
    let hold = gate<number>()
    let begun = gate()
    const f = async (_: number): Promise<number> => {
      begun.open()
      return hold.promise
    }
    const cached = cacheFunction(f, { map, name: 'f' })
    const other = cacheFunction(f, { map: await RemoteMap.open(elsewhere), name: 'f' })
    const first = cached(1)
    await soon(begun.promise, 'a call')
    t.false(await other.forget(1), 'there is no result yet')
    hold.open(10)
    t.is(await first, 10, 'who waited for it gets it')
    hold = gate()
    begun = gate()
    const second = other(1)
    await soon(begun.promise, 'a call')
    hold.open(20)
    t.is(await second, 20, 'but it was not stored')
    t.is(await cached(1), 20)
    t.true(await cached.forget(1))
    t.false(await cached.forget(1))
    t.is(await cached(1), 20)
    t.is(cached.stats.calls, 2)
    const later = cacheFunction(f, { map, name: 'f', version: 2 })
    await later(1)
    t.is(later.stats.calls, 1)
    const fresh = cacheFunction(f, { map, name: 'f', ttlMs: 1 })
    await new Promise((resolve) => setTimeout(resolve, 5))
    await fresh(1)
    t.is(fresh.stats.calls, 1)
    await cached.clear()
    await cached(1)
    t.is(cached.stats.calls, 3)
  })

  check('without leases each process computes', async (t, store, elsewhere) => {
    const { promise, open: go } = gate()
    const f = async (n: number): Promise<number> => {
      await promise
      return n
    }
    const all = []
    for (const one of [store, elsewhere]) all.push(cacheFunction(f, { map: await RemoteMap.open(one), lease: false }))
    const calls = all.map((cached) => cached(1))
    while (all.some(({ stats }) => stats.calls === 0)) await new Promise((resolve) => setTimeout(resolve, 2))
    go()
    t.deepEqual(await Promise.all(calls), [1, 1])
  })

  check('closing the map gives the leases back', async (t, store, elsewhere) => {
    const map = await RemoteMap.open(store)
    const { promise, open: go } = gate()
    const begun = gate()
    const f = async (n: number): Promise<number> => {
      begun.open()
      await promise
      return n
    }
    const left = cacheFunction(f, { map, name: 'f' })(1)
    await soon(begun.promise, 'a call')
    await map.close()
    go()
    await t.throwsAsync(left, { code: 'MILL_CLOSED' })
    // The default lease is one of 30 s.
    const there = cacheFunction((n: number) => n, { map: await RemoteMap.open(elsewhere), name: 'f' })
    t.is(await soon(there(1), 'the lease of a closed map'), 1)
    t.is(there.stats.takeovers, 1, 'of a claim that was left')
  })
}
