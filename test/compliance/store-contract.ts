import type { ExecutionContext, SerialFn } from 'ava'
import fc from 'fast-check'
import { isMillraceError } from '../../lib/base/errors.js'
import { Arena } from '../../lib/store/operations.js'
import type { ByteRange, Store, StoreCapabilities, StoreTable, TableConfig } from '../../types/store.js'
import { codeOf, failure } from '../fixtures/stream-kit.js'

/** An engine, local or not, and what it says it can do. */
export interface AnyEngine {
  readonly name: string
  readonly capabilities: StoreCapabilities
  /** A store of this name, empty the first time. */
  open(name: string): Promise<Store>
}

const CONFIG: TableConfig = { key: 'any', value: 'msgpack', compress: 'none', checksum: true }
const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'))
const show = (data: Uint8Array | undefined): string | undefined => data && Buffer.from(data).toString('latin1')

function each<T>(list: readonly T[], use: (one: T) => void): void {
  for (const one of list) use(one)
}

function operations(fill: (arena: Arena) => void): Arena {
  const arena = new Arena(64)
  fill(arena)
  return arena
}

export async function all(table: StoreTable, range: ByteRange = {}, maxItems = 7): Promise<[string, string][]> {
  const seen: [string, string][] = []
  for await (const batch of table.scan(range, { maxItems, values: true })) {
    if (batch.length === 0 || batch.length > maxItems) throw new Error(`a batch of ${batch.length}`)
    for (const [key, value] of batch) seen.push([show(key) as string, show(value) as string])
  }
  return seen
}

/** Registers what every store must pass, asked by promises alone. */
export function storeContract(test: SerialFn, engine: AnyEngine): void {
  const { name, capabilities } = engine
  let count = 0
  const check = (title: string, run: (t: ExecutionContext, store: Store) => Promise<void>) =>
    test(`${name}: ${title}`, async (t) => {
      t.timeout(120_000)
      const store = await engine.open(`contract-${count++}`)
      try {
        await run(t, store)
      } finally {
        await store.close()
      }
    })
  const tableOf = async (store: Store, map = ''): Promise<StoreTable> => (await store.table(map, CONFIG)) as StoreTable

  check('its manifest', async (t, store) => {
    t.deepEqual(store.capabilities, capabilities)
    t.is(typeof store.name, 'string')
  })

  check('tables are made once, keep their configuration, and can be dropped', async (t, store) => {
    t.is(await store.table('a'), undefined)
    t.deepEqual(await store.tables(), [])
    const a = await tableOf(store, 'a')
    t.deepEqual(a.config, CONFIG)
    t.deepEqual((await store.table('a', { ...CONFIG, key: 'u64' }))?.config, CONFIG)
    t.is((await store.table('a'))?.id, a.id)
    const odd = 'é}{:'
    await tableOf(store, odd)
    t.deepEqual(await store.tables(), ['a', odd].sort())
    t.is(codeOf(await failure(store.table('x'.repeat(201), CONFIG))), 'MILL_INVALID_ARGUMENT')
    await store.write(operations((o) => o.set(a.id, bytes('k'), bytes('v'))))
    t.true(await store.drop('a'))
    t.false(await store.drop('a'))
    t.deepEqual(await all(a), [])
    t.deepEqual(await a.getMany([bytes('k')]), [undefined])
    const late = await failure(store.write(operations((o) => o.set(a.id, bytes('k'), bytes('v')))))
    t.is(codeOf(late), 'MILL_MAP_MISSING')
    t.deepEqual(await all(await tableOf(store, 'a')), [])
  })

  check('conditions, groups, and what they answer', async (t, store) => {
    const { id } = await tableOf(store)
    const table = (await store.table('')) as StoreTable
    const [key, a, b] = [bytes('k'), bytes('a'), bytes('b')]
    const ask = async (fill: (arena: Arena) => void) => [...(await store.write(operations(fill)))]
    const wantsResult = true
    t.deepEqual(await ask((o) => o.set(id, key, a, { expect: null, wantsResult })), [1])
    t.deepEqual(await ask((o) => o.set(id, key, b, { expect: null, wantsResult })), [0])
    t.deepEqual(await ask((o) => o.set(id, key, b, { expect: bytes('x'), wantsResult })), [0])
    t.deepEqual((await table.getMany([key])).map(show), ['a'])
    t.deepEqual(await ask((o) => o.set(id, key, b, { expect: a, wantsResult })), [1])
    t.deepEqual(await ask((o) => o.delete(id, key, { expect: a, wantsResult })), [0])
    t.deepEqual(await ask((o) => o.delete(id, bytes('none'), { wantsResult })), [0])
    t.deepEqual(await ask((o) => o.delete(id, key, { expect: b, wantsResult })), [1])
    t.deepEqual(await table.getMany([key]), [undefined])
    // A group of one key stays within one part.
    t.deepEqual(
      await ask((o) => {
        o.group(() => {
          o.require(id, key, null)
          o.set(id, key, a)
        }, true)
        o.group(() => {
          o.require(id, key, b)
          o.set(id, key, b)
        }, true)
        o.set(id, bytes('other'), b, { wantsResult })
      }),
      [1, 0, 1],
    )
    t.deepEqual((await table.getMany([key, bytes('other')])).map(show), ['a', 'b'])
    await store.write(operations((o) => o.clear(id)))
    t.deepEqual(await all(table), [])
    t.is(await table.count(), 0)
  })

  check('a batch over any keys is all or nothing, or refused before anything is sent', async (t, store) => {
    const { id } = await tableOf(store)
    const table = (await store.table('')) as StoreTable
    const keys = Array.from({ length: 20 }, (_, i) => bytes(`key ${i}`))
    const batch = operations((o) => o.group(() => each(keys, (key) => o.set(id, key, key)), true))
    if (capabilities.atomic === 'store') {
      t.deepEqual([...(await store.write(batch))], [1])
      t.is(await table.count(), 20)
    } else {
      t.is(codeOf(await failure(store.write(batch))), 'MILL_UNSUPPORTED')
      t.is(await table.count(), 0)
    }
  })

  check('keys and values of any bytes, long ones, and bad ones', async (t, store) => {
    const table = await tableOf(store)
    const most = Math.min(capabilities.maxKeyBytes, 3000)
    const keys = [
      Uint8Array.of(0),
      Uint8Array.of(255),
      Uint8Array.of(91, 0, 43),
      new Uint8Array(most).fill(7),
      bytes('-'),
    ]
    const value = Uint8Array.from({ length: 100_000 }, (_, i) => i)
    await store.write(operations((o) => each(keys, (key) => o.set(table.id, key, value))))
    for (const found of await table.getMany(keys)) t.true(found !== undefined && Buffer.from(found).equals(value))
    t.deepEqual(
      (await all(table)).map(([key]) => key),
      keys.map((key) => show(key) as string).sort((a, b) => Buffer.compare(bytes(a), bytes(b))),
    )
    for (const bad of [new Uint8Array(0), new Uint8Array(capabilities.maxKeyBytes + 1)].slice(
      0,
      capabilities.maxKeyBytes < 0xffff ? 2 : 1,
    )) {
      const error = await failure(store.write(operations((o) => o.set(table.id, bad, value))))
      t.true(isMillraceError(error, 'MILL_BAD_KEY'), String(error))
    }
    await store.write(operations((o) => o.set(table.id, bytes('empty'), new Uint8Array(0))))
    t.deepEqual((await table.getMany([bytes('empty')])).map(show), [''])
  })

  check('random operations and ranges agree with a sorted Map', async (t, store) => {
    const key = fc
      .array(fc.constantFrom(0, 1, 40, 91, 255), { minLength: 1, maxLength: 3 })
      .map((list) => Uint8Array.from(list))
    const operation = fc.record({
      kind: fc.constantFrom('set', 'set', 'set', 'delete', 'clear'),
      key,
      value: fc.nat(999),
    })
    const range = fc.record(
      { gt: key, gte: key, lt: key, lte: key, reverse: fc.boolean() },
      { requiredKeys: [] },
    ) as fc.Arbitrary<ByteRange>
    let runs = 0
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { maxLength: 60 }),
        fc.array(range, { maxLength: 4 }),
        fc.integer({ min: 1, max: 9 }),
        async (list, ranges, maxItems) => {
          const table = await tableOf(store, `t${runs++ % 4}`)
          const model = new Map<string, string>(await all(table))
          await store.write(
            operations((o) => {
              for (const [i, { kind, key: own, value }] of list.entries()) {
                if (kind === 'clear' && i % 3 > 0) continue
                if (kind === 'set') o.set(table.id, own, bytes(`${value}`))
                else if (kind === 'delete') o.delete(table.id, own)
                else o.clear(table.id)
                if (kind === 'set') model.set(show(own) as string, `${value}`)
                else if (kind === 'delete') model.delete(show(own) as string)
                else model.clear()
              }
            }),
          )
          const sorted = [...model].sort(([a], [b]) => Buffer.compare(bytes(a), bytes(b)))
          for (const one of [{}, ...ranges]) {
            const { gt, gte, lt, lte, reverse } = one as ByteRange
            const expected = sorted.filter(([text]) => {
              const own = bytes(text)
              if (gt && Buffer.compare(own, gt) <= 0) return false
              if (gte && Buffer.compare(own, gte) < 0) return false
              if (lt && Buffer.compare(own, lt) >= 0) return false
              return !(lte && Buffer.compare(own, lte) > 0)
            })
            t.is(await table.count(one), expected.length)
            if (reverse) expected.reverse()
            t.deepEqual(await all(table, one, maxItems), expected)
          }
        },
      ),
      { numRuns: 40 * scale },
    )
  })

  check('a scan of many pages, left early and aborted', async (t, store) => {
    const table = await tableOf(store)
    const keys = Array.from({ length: 3000 }, (_, i) => bytes(String((i * 7919) % 3000).padStart(5, '0')))
    await store.write(operations((o) => each(keys, (key) => o.set(table.id, key, key))))
    const sorted = keys.map((key) => show(key) as string).sort()
    for (const reverse of [false, true]) {
      const seen = (await all(table, { reverse }, 100)).map(([key]) => key)
      t.deepEqual(seen, reverse ? sorted.toReversed() : sorted)
    }
    for await (const batch of table.scan({}, { maxItems: 5, values: false })) {
      t.deepEqual(batch[0]?.[1], undefined)
      break
    }
    const controller = new AbortController()
    const reason = new Error('enough')
    const error = await failure(async () => {
      for await (const _ of table.scan({}, { maxItems: 10, values: true, signal: controller.signal }))
        controller.abort(reason)
    })
    t.is(error, reason)
  })

  check('writes of one caller happen in the order of the calls', async (t, store) => {
    const table = await tableOf(store)
    const waits: Promise<unknown>[] = []
    for (let i = 0; i < 200; i++)
      waits.push(store.write(operations((o) => o.set(table.id, bytes(`k${i % 3}`), bytes(`${i}`)))))
    await Promise.all(waits)
    t.deepEqual(
      (await all(table)).map(([, value]) => value),
      ['198', '199', '197'],
    )
  })

  check('leases: one holder, renewed, released, expired', async (t, store) => {
    const key = bytes('lease')
    const lease = await store.lease(key, 60_000)
    t.truthy(lease)
    t.is(await store.lease(key, 60_000), undefined)
    t.true(await lease?.renew())
    await lease?.release()
    await lease?.release()
    const short = await store.lease(key, 30)
    t.truthy(short)
    await new Promise((resolve) => setTimeout(resolve, 80))
    const next = await store.lease(key, 60_000)
    t.truthy(next)
    t.false(await short?.renew())
    await short?.release()
    t.is(await store.lease(key, 1000), undefined, 'what was lost is not given back')
    await next?.release()
    t.is(codeOf(await failure(store.lease(key, 0))), 'MILL_INVALID_ARGUMENT')
  })

  check('after close() every call is MILL_CLOSED', async (t, store) => {
    const table = await tableOf(store)
    await store.close()
    await store.close()
    for (const call of [
      () => store.table('x', CONFIG),
      () => store.tables(),
      () => store.drop('x'),
      () => store.lease(bytes('k'), 1000),
      () => store.write(operations((o) => o.set(table.id, bytes('k'), bytes('v')))),
      () => table.getMany([bytes('k')]),
      () => table.count(),
      () => all(table),
    ]) {
      t.is(codeOf(await failure(call)), 'MILL_CLOSED', String(call))
    }
  })
}
