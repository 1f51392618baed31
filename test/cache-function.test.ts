import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { cacheFunction, HugeMap, memoryStore } from '../lib/index.js'
import { Caller, callers, callsIn, callsSoFar, gate, soon } from './fixtures/cache-kit.js'
import { rounds, until } from './fixtures/run-kit.js'

const inMemory = () => HugeMap.open(memoryStore())

test('computes once, then remembers; whoever comes meanwhile shares the result', async (t) => {
  await using map = await inMemory()
  const { promise, open } = gate()
  const cached = cacheFunction(
    async function slow(n: number) {
      await promise
      return { n }
    },
    { map },
  )
  t.is(cached.name, 'slow')
  const both = [cached(1), cached(1)]
  open()
  const [first, second] = await Promise.all(both)
  t.deepEqual(first, { n: 1 })
  t.is(first, second, 'one object for those who waited for it')
  const third = await cached(1)
  t.deepEqual(third, { n: 1 })
  t.not(third, first, 'a copy of its own out of the map')
  t.deepEqual(await cached(2), { n: 2 })
  t.deepEqual(cached.stats, { hits: 1, calls: 2, joined: 1, waited: 0, takeovers: 0 })
  t.deepEqual(
    map.namespaces().filter((name) => name.startsWith('cache:')),
    ['cache:slow@0'],
  )
  t.is(map.size, 0, 'the map itself is not touched')
})

test('undefined, null and synchronous results are results', async (t) => {
  await using map = await inMemory()
  const cached = cacheFunction((which: string) => (which === 'null' ? null : undefined), { map, name: 'f' })
  for (const which of ['null', 'undefined', 'null', 'undefined']) {
    t.is(await cached(which), which === 'null' ? null : undefined)
  }
  t.like(cached.stats, { calls: 2, hits: 2 })
  // By a serializer that does not know undefined.
  const number = cacheFunction((n: number) => (n > 1 ? n : undefined), { map, name: 'g', value: 'f64' })
  for (const n of [1, 2, 1, 2]) t.is(await number(n), n > 1 ? n : undefined)
  t.like(number.stats, { calls: 2, hits: 2 })
})

/** Arguments of all sorts that can be told apart. */
const argument = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<unknown>(undefined, null, true, false, 0, 1, '', '1', 'a', '0n', '[1]', 'undefined', 0n, 1n, '{}'),
    fc.double(),
    fc.bigInt(),
    fc.string(),
    fc.uint8Array({ maxLength: 4 }),
    fc.date({ noInvalidDate: false }),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.string({ maxLength: 2 }), tie('value'), { maxKeys: 3 }),
  ),
})).value

/** A text that is another one for other arguments: what Node shows, with sorted properties; -0 counts as 0. */
function shown(value: unknown): string {
  return inspect(value, { sorted: true, depth: null, maxArrayLength: null, maxStringLength: null })
    .replaceAll(/(?<![\w.])-0(?![\w.])/g, '0')
    .replaceAll('[Object: null prototype] ', '')
}

test('calls with different arguments never share a result, with equal ones always', async (t) => {
  await using map = await inMemory()
  // Within strings `-0` stays as it is; they are compared by their JSON.
  const cached = cacheFunction((...args: unknown[]) => shown(args), { map, name: 'shown', lease: false })
  const seen = new Set<string>()
  const plain = fc.array(argument, { maxLength: 3 }).filter((args) => !JSON.stringify(shown(args)).includes('-0'))
  await fc.assert(
    fc.asyncProperty(plain, async (args) => {
      const text = shown(args)
      seen.add(text)
      t.is(await cached(...args), text)
      t.is(await cached(...structuredClone(args)), text)
    }),
    { numRuns: rounds(1500) },
  )
  t.is(cached.stats.calls, seen.size)
})

test('the order of properties does not matter, -0 is 0', async (t) => {
  await using map = await inMemory()
  const cached = cacheFunction((_: unknown) => 'x', { map, name: 'f' })
  await cached({ a: 1, b: { c: -0, d: [2] } })
  await cached({ b: { d: [2], c: 0 }, a: 1 })
  await cached(0)
  await cached(-0)
  t.is(cached.stats.calls, 2)
})

test('G2: arguments that cannot be told apart are refused, and the function is not called', async (t) => {
  await using map = await inMemory()
  const cached = cacheFunction((_: unknown) => t.fail(), { map, name: 'f' })
  const cycle: unknown[] = []
  cycle.push(cycle)
  const own = new (class Own {})()
  const values = [
    () => {},
    Symbol('s'),
    new Map(),
    new Set([1]),
    own,
    { own },
    cycle,
    { [Symbol('s')]: 1 },
    [new Float32Array(1)],
  ]
  for (const value of [...values, '\ud800', 'x'.repeat(5000)]) {
    await t.throwsAsync(cached(value), { code: 'MILL_BAD_KEY' }, inspect(value))
    await t.throwsAsync(cached.forget(value), { code: 'MILL_BAD_KEY' }, inspect(value))
  }
  t.like(cached.stats, { calls: 0, hits: 0 })
  // With a key of one's own anything goes.
  const named = cacheFunction(({ size }: Map<number, number>) => size, {
    map,
    name: 'g',
    key: (map) => [...map.keys()],
  })
  t.is(await named(new Map([[1, 1]])), 1)
  t.is(await named(new Map([[1, 2]])), 1)
  t.is(named.stats.calls, 1)
})

test('what the function throws goes to everybody who waits, and is not kept', async (t) => {
  for (const lease of [undefined, false] as const) {
    await using map = await inMemory()
    let runs = 0
    const thrown = new Error('mine')
    const cached = cacheFunction(
      (n: number) => {
        if (++runs === 1) throw thrown
        if (runs === 2) return Promise.reject(thrown)
        return n
      },
      { map, name: 'f', ...(lease === false && { lease }) },
    )
    for (let round = 0; round < 2; round++) {
      const both = await Promise.allSettled([cached(7), cached(7)])
      t.deepEqual(
        both.map((one) => one.status === 'rejected' && one.reason),
        [thrown, thrown],
      )
    }
    t.is(await cached(7), 7)
    t.is(await cached(7), 7)
    t.deepEqual([runs, cached.stats.calls, cached.stats.hits], [3, 3, 1])
  }
})

test('keep decides, also by throwing; a result that cannot be stored rejects; both free the key', async (t) => {
  await using map = await inMemory()
  const kept = cacheFunction((n: number) => n, { map, name: 'kept', keep: (n) => n > 1 })
  for (const n of [1, 1, 2, 2]) t.is(await kept(n), n)
  t.like(kept.stats, { calls: 3, hits: 1 })
  const throwing = cacheFunction((n: number) => n, {
    map,
    name: 'throwing',
    keep: () => {
      throw new Error('keep')
    },
  })
  for (let round = 0; round < 2; round++) {
    await t.throwsAsync(soon(throwing(1), 'the key of a call that failed'), { message: 'keep' })
  }
  const odd = cacheFunction((_: number) => ({ run() {} }), { map, name: 'odd' })
  for (let round = 0; round < 2; round++) {
    await t.throwsAsync(soon(odd(1), 'the key of a result that could not be stored'), { code: 'MILL_SERIALIZE' })
  }
})

test('names and versions are caches of their own, and outlive the process that fills them', async (t) => {
  const path = folder(t)
  const run = async (name: string, version?: string | number): Promise<number> => {
    await using map = await HugeMap.open(join(path, 'map'))
    const cached = cacheFunction((n: number) => 2 * n, { map, name, ...(version !== undefined && { version }) })
    t.is(await cached(21), 42)
    return cached.stats.calls
  }
  t.deepEqual([await run('a'), await run('a'), await run('b'), await run('a', 1), await run('a', 'x')], [1, 0, 1, 1, 1])
  t.deepEqual([await run('a', 0), await run('a', '1'), await run('b')], [0, 0, 0])
})

test.serial('ttlMs: what is older is computed again, and so is what comes from the future', async (t) => {
  await using map = await inMemory()
  const real = Date.now
  let now = real()
  Date.now = () => now
  try {
    let runs = 0
    const cached = cacheFunction(() => ++runs, { map, name: 'f', ttlMs: 1000 })
    t.is(await cached(), 1)
    now += 999
    t.is(await cached(), 1)
    t.is(cached.peek(), 1)
    now += 1
    t.is(cached.peek(), undefined)
    t.is(await cached(), 2)
    now -= 999
    t.is(await cached(), 2)
    now -= 1
    t.is(await cached(), 3)
  } finally {
    Date.now = real
  }
})

test.serial('a lease is renewed for as long as the function takes', async (t) => {
  const store = memoryStore()
  await using map = await HugeMap.open(store)
  const { promise, open } = gate()
  const options = { map, lease: { ttlMs: 90 } }
  const slow = (n: number) => promise.then(() => n)
  const [a, b] = [cacheFunction(slow, options), cacheFunction(slow, options)]
  const real = Date.now
  let now = real()
  Date.now = () => now
  try {
    const first = a(1)
    await until(() => a.stats.calls === 1, 'the first call')
    const second = b(1)
    await until(() => b.stats.waited === 1, 'the second one waits')
    // From here on nobody writes but to renew, and time goes on only when that has been done.
    let renewed = 0
    const write = store.write.bind(store)
    store.write = (...args) => {
      renewed++
      return write(...args)
    }
    for (let step = 0; step < 12; step++) {
      const before = renewed
      await until(() => renewed > before, 'a renewal', 2000)
      now += 60
    }
    open()
    t.deepEqual(await soon(Promise.all([first, second]), 'one of them'), [1, 1])
  } finally {
    Date.now = real
  }
  t.like(a.stats, { calls: 1 })
  t.like(b.stats, { calls: 0, takeovers: 0 })
})

test('peek looks, forget removes one, clear all', async (t) => {
  await using map = await inMemory()
  let runs = 0
  const cached = cacheFunction((n: number, { scale }: { scale: number }) => ++runs * n * scale, { map, name: 'f' })
  const by = { scale: 10 }
  t.is(cached.peek(1, by), undefined)
  t.is(await cached(1, by), 10)
  t.is(cached.peek(1, by), 10)
  t.is(await cached.forget(1, by), true)
  t.is(await cached.forget(1, by), false)
  t.is(cached.peek(1, by), undefined)
  t.is(await cached(1, by), 20)
  await cached(2, by)
  await cached.clear()
  t.is(cached.peek(1, by), undefined)
  t.is(cached.peek(2, by), undefined)
  t.is(runs, 3)
  t.is(await cached(1, by), 40)
})

test('a result that is forgotten while it is computed answers who waits, and is not stored', async (t) => {
  for (const lease of [undefined, false] as const) {
    for (const how of ['forget', 'clear'] as const) {
      await using map = await inMemory()
      const gates = [gate<string>(), gate<string>()]
      let runs = 0
      const cached = cacheFunction((_: string) => gates[runs++]?.promise, {
        map,
        name: 'f',
        ...(lease === false && { lease }),
      })
      const old = cached('key')
      await until(() => runs === 1, 'the first call')
      await (how === 'forget' ? cached.forget('key') : cached.clear())
      const fresh = cached('key')
      if (how === 'forget') {
        await until(() => runs === 2, 'the second call, beside the first')
        gates[1]?.open('new')
        t.is(await soon(fresh, 'the new call'), 'new')
        gates[0]?.open('old')
        t.is(await soon(old, 'the old call'), 'old')
      } else {
        gates[0]?.open('old')
        t.is(await soon(old, 'the old call'), 'old')
        gates[1]?.open('new')
        t.is(await soon(fresh, 'the new call'), 'new')
      }
      t.is(await cached('key'), 'new')
      t.is(runs, 2)
    }
  }
})

test('two caches of one name compute one after the other, as two processes would', async (t) => {
  await using map = await inMemory()
  const { promise, open } = gate()
  const slow = (n: number) => promise.then(() => n)
  const [a, b] = [cacheFunction(slow, { map }), cacheFunction(slow, { map })]
  const first = a(1)
  await until(() => a.stats.calls === 1, 'the first call')
  const second = b(1)
  await until(() => b.stats.waited === 1, 'the second one waits')
  open()
  t.deepEqual(await soon(Promise.all([first, second]), 'one of them'), [1, 1])
  t.deepEqual([a.stats.calls, b.stats.calls, b.stats.hits, b.stats.waited], [1, 0, 0, 1])
})

test('a function may call itself, and others', async (t) => {
  await using map = await inMemory()
  const fibonacci: (n: number) => Promise<number> = cacheFunction(
    async (n: number): Promise<number> => (n < 2 ? n : (await fibonacci(n - 1)) + (await fibonacci(n - 2))),
    { map, name: 'fibonacci' },
  )
  t.is(await soon(fibonacci(30), 'recursion'), 832040)
  t.is((fibonacci as unknown as { stats: { calls: number } }).stats.calls, 31)
})

test('results of another serializer are a mismatch, damaged ones an error; neither calls the function', async (t) => {
  await using map = await inMemory()
  t.is(await cacheFunction((n: number) => n, { map, name: 'f' })(1), 1)
  const other = cacheFunction((_: number) => t.fail(), { map, name: 'f', value: 'json' })
  await t.throwsAsync(other(1), { code: 'MILL_MAP_MISMATCH' })
  const asBytes = { name: 'cached-msgpack', encode: (bytes: Uint8Array) => bytes, decode: (bytes: Uint8Array) => bytes }
  await using raw = await map.namespace<number[], Uint8Array>('cache:f@0', { value: asBytes })
  const stored = raw.get([1])
  t.is(stored?.length, 10)
  t.is(stored?.[8], 1)
  for (const bytes of [new Uint8Array(), stored?.subarray(0, 8), new Uint8Array(9).fill(2), new Uint8Array(10)]) {
    await raw.set([1], bytes as Uint8Array)
    const cached = cacheFunction((_: number) => t.fail(), { map, name: 'f' })
    await t.throwsAsync(cached(1), { code: 'MILL_DECODE' })
  }
})

test('wrong arguments are refused at the call', async (t) => {
  await using map = await inMemory()
  const f = (n: number) => n
  const wrong: [unknown, unknown][] = [
    [undefined, { map }],
    [f, undefined],
    [f, null],
    [f, {}],
    [f, { map: new Map() }],
    [() => 1, { map, name: '' }],
    [
      (
        () => () =>
          1
      )(),
      { map },
    ],
    [f, { map, name: 1 }],
    [f, { map, version: 'a@b' }],
    [f, { map, version: Number.NaN }],
    [f, { map, version: {} }],
    [f, { map, key: 'n' }],
    [f, { map, keep: true }],
    [f, { map, ttlMs: 0 }],
    [f, { map, ttlMs: '5' }],
    [f, { map, lease: true }],
    [f, { map, lease: null }],
    [f, { map, lease: { ttlMs: 0 } }],
    [f, { map, lease: { ttlMs: Number.POSITIVE_INFINITY } }],
    [f, { map, name: 'x'.repeat(200) }],
  ]
  for (const [fn, options] of wrong) {
    t.throws(
      () => cacheFunction(fn as typeof f, options as { map: typeof map }),
      { code: 'MILL_INVALID_ARGUMENT' },
      inspect([fn, options]),
    )
  }
  await t.throwsAsync(cacheFunction(f, { map, value: 'nothing' as 'json' })(1), { code: 'MILL_INVALID_ARGUMENT' })
})

test('a read-only map gives what is stored, and says so where there is nothing', async (t) => {
  const path = join(folder(t), 'map')
  const f = (n: number) => n + 1
  {
    await using map = await HugeMap.open(path)
    await cacheFunction(f, { map })(1)
  }
  await using map = await HugeMap.open(path, { readonly: true })
  const cached = cacheFunction(f, { map })
  t.is(await cached(1), 2)
  await t.throwsAsync(cached(2), { code: 'MILL_READ_ONLY' })
  await t.throwsAsync(cacheFunction(f, { map, name: 'other' })(1), { code: 'MILL_MAP_MISSING' })
  t.like(cached.stats, { hits: 1, calls: 0 })
})

test('G5: closing the map ends its caches and gives their leases back', async (t) => {
  const store = memoryStore()
  const { promise, open } = gate()
  const first = await HugeMap.open(store)
  await using second = await HugeMap.open(store)
  const f = (n: number) => promise.then(() => n)
  const [a, b] = [cacheFunction(f, { map: first }), cacheFunction(f, { map: second })]
  const left = a(1)
  await until(() => a.stats.calls === 1, 'the first call')
  const taken = b(1)
  await until(() => b.stats.waited === 1, 'the second one waits')
  await first.close()
  await until(() => b.stats.calls === 1, 'the second one has the lease')
  open()
  t.is(await soon(taken, 'the second call'), 1)
  await t.throwsAsync(soon(left, 'the first call'), { code: 'MILL_CLOSED' })
  await t.throwsAsync(a(1), { code: 'MILL_CLOSED' })
  await t.throwsAsync(a.forget(1), { code: 'MILL_CLOSED' })
  t.throws(() => a.peek(1), { code: 'MILL_CLOSED' })
  await t.throwsAsync(a.clear(), { code: 'MILL_CLOSED' })
  const third = await HugeMap.open(store)
  const early = cacheFunction(f, { map: third, name: 'early' })
  t.is(early.peek(1), undefined)
  const last = early(1)
  await third.close()
  await t.throwsAsync(soon(last, 'a call just before the end'), { code: 'MILL_CLOSED' })
  t.throws(() => early.peek(1), { code: 'MILL_CLOSED' })
  // Whenever it is closed: the call fails, and the next one does not find the key taken.
  for (let turns = 0; turns < 40; turns++) {
    const fourth = await HugeMap.open(store)
    const hold = gate()
    const late = cacheFunction((n: number) => hold.promise.then(() => n), { map: fourth, name: 'late' })(1)
    for (let turn = 0; turn < turns; turn++) await null
    const closed = fourth.close()
    hold.open()
    await t.throwsAsync(soon(late, `a call, closed after ${turns} turns`), { code: 'MILL_CLOSED' })
    await closed
  }
})

test('G5: a map that is closed while its cache asks for a lease leaves none behind', async (t) => {
  const path = join(folder(t), 'map')
  const f = (n: number) => Promise.resolve(n)
  await (await HugeMap.open(path)).close()
  for (let delay = 0; delay < 6; delay++) {
    const map = await HugeMap.open(path)
    await map.set('the writing process', 'runs')
    const hold = gate()
    const late = cacheFunction((n: number) => hold.promise.then(() => n), { map, name: 'f' })
    const left = [late(1), late(2)]
    for (let turn = 0; turn < delay; turn++) await wait(1)
    const closed = map.close()
    await soon(closed, 'the end of a map')
    hold.open()
    for (const one of await Promise.allSettled(left)) t.like(one, { reason: { code: 'MILL_CLOSED' } })
    await using again = await HugeMap.open(path)
    const cached = cacheFunction(f, { map: again })
    t.deepEqual(await soon(Promise.all([cached(1), cached(2)]), `a lease, after ${delay} ms,`), [1, 2])
    await cached.clear()
  }
})

// ---- several processes ------------------------------------------------------------------------------------------------

function folder(t: ExecutionContext): string {
  const path = mkdtempSync(join(tmpdir(), 'millrace-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test('H9: four processes that want the same at once call the function once for each', async (t) => {
  const path = folder(t)
  const numbers = Array.from({ length: 60 }, (_, n) => n)
  const squares = numbers.map((n) => n * n)
  const task = { path: join(path, 'map'), log: join(path, 'calls'), lease: {}, ms: 20 }
  const all = await callers(t, 4, task)
  for (const [i, one] of all.entries()) one.ask(numbers.map((_, at) => (at * 7 + i * 15) % numbers.length))
  let calls = 0
  for (const one of all) {
    const { results, stats } = await one.results()
    t.deepEqual(
      results.toSorted((a, b) => a - b),
      squares,
    )
    calls += stats.calls as number
  }
  t.is(calls, numbers.length)
  t.deepEqual([...callsIn(task.log).values()], new Array(numbers.length).fill(1))
  for (const one of all) {
    one.ask(numbers)
    const { results, stats } = await one.results()
    t.deepEqual(results, squares)
    t.true((stats.hits as number) >= numbers.length)
  }
  await Promise.all(all.map((one) => one.end()))
})

test('without a lease each of them calls it', async (t) => {
  const path = folder(t)
  const gate = join(path, 'gate')
  const task = { path: join(path, 'map'), log: join(path, 'calls'), lease: false, ms: 0, gate } as const
  const all = await callers(t, 3, task)
  for (const one of all) one.ask([1, 2])
  await until(() => callsSoFar(task.log) === 6, 'all have begun', 20_000)
  writeFileSync(gate, '')
  for (const one of all) t.deepEqual((await one.results()).results, [1, 4])
  for (const one of all) {
    one.ask([1, 2])
    t.like((await one.results()).stats, { calls: 2, hits: 2 })
  }
  await Promise.all(all.map((one) => one.end()))
})

test('H9: a process that is killed while it computes frees the key at once', async (t) => {
  const path = folder(t)
  const task = { path: join(path, 'map'), log: join(path, 'calls'), lease: {}, ms: -1 }
  const [holder] = (await callers(t, 1, task)) as [Caller]
  holder.ask([3])
  await until(() => callsSoFar(task.log) === 1, 'the first process computes', 20_000)
  const waiting = await callers(t, 2, { ...task, ms: 1 })
  for (const one of waiting) {
    one.ask([3])
    while ((await one.stats()).waited === 0) await wait(5)
  }
  t.is(callsSoFar(task.log), 1)
  holder.child.kill('SIGKILL')
  const told = []
  for (const one of waiting) {
    const { results, stats } = await one.results()
    t.deepEqual(results, [9])
    told.push(stats)
  }
  // The default lease is one of 30 s: this was faster only because the process is known to be dead.
  t.is(
    told.reduce((sum, { takeovers }) => sum + (takeovers ?? 0), 0),
    1,
  )
  t.is(
    told.reduce((sum, { waited }) => sum + (waited ?? 0), 0),
    2,
  )
  t.is(callsSoFar(task.log), 2)
  await Promise.all(waiting.map((one) => one.end()))
})

test('H9: with processes killed again and again each kill costs one call for each key it held, at most', async (t) => {
  const path = folder(t)
  const task = { path: join(path, 'map'), log: join(path, 'calls'), lease: {}, ms: 5 }
  const numbers = Array.from({ length: rounds(100) }, (_, n) => n)
  let kills = 0
  const inOrder = async (start: number, mortal: boolean): Promise<void> => {
    let one = new Caller(t, task)
    await one.ready()
    for (let at = 0; at < numbers.length; at++) {
      const n = numbers[(start + at) % numbers.length] as number
      one.ask([n])
      if (mortal && at % 25 === 24) {
        await wait(at % 7)
        one.child.kill('SIGKILL')
        kills++
        one = new Caller(t, task)
        await one.ready()
      } else t.deepEqual((await one.results()).results, [n * n])
    }
    await one.end()
  }
  await Promise.all([inOrder(0, false), inOrder(0, true), inOrder(40, true), inOrder(80, false)])
  const counts = callsIn(task.log)
  t.is(counts.size, numbers.length)
  const extra = [...counts.values()].reduce((sum, n) => sum + n - 1, 0)
  t.true(kills > 5)
  t.true(extra <= kills, `${extra} calls more than keys, ${kills} kills`)
})

test('H9: a holder that stands still for longer than its lease loses it, and does not store its result', async (t) => {
  const path = folder(t)
  const task = { path: join(path, 'map'), log: join(path, 'calls'), lease: { ttlMs: 300 }, ms: 1 }
  const [other] = (await callers(t, 1, task)) as [Caller]
  const gate = join(path, 'gate')
  const [holder] = (await callers(t, 1, { ...task, gate, add: 1 })) as [Caller]
  holder.ask([5])
  await until(() => callsSoFar(task.log) === 1, 'the first process computes', 20_000)
  holder.child.kill('SIGSTOP')
  try {
    other.ask([5])
    const { results, stats } = await other.results()
    t.deepEqual(results, [25])
    t.is(stats.takeovers, 1)
  } finally {
    writeFileSync(gate, '')
    holder.child.kill('SIGCONT')
  }
  t.deepEqual((await holder.results()).results, [26], 'who asked it gets its result')
  for (const one of [holder, other]) {
    one.ask([5])
    t.deepEqual((await one.results()).results, [25], 'and nobody else')
  }
  t.is(callsSoFar(task.log), 2)
  await Promise.all([holder.end(), other.end()])
})
