import type { ExecutionContext, SerialFn } from 'ava'
import fc from 'fast-check'
import { isMillraceError } from '../../lib/base/errors.js'
import { hostTag } from '../../lib/io/temporary.js'
import { LEASES } from '../../lib/store/lease.js'
import { Arena, operationsIn } from '../../lib/store/operations.js'
import type {
  ByteCursor,
  ByteRange,
  LocalSnapshot,
  LocalStore,
  LocalTable,
  Operations,
  StoreCapabilities,
  TableConfig,
} from '../../types/store.js'
import { until } from '../fixtures/run-kit.js'

/** An engine, and what it says it can do: that decides what is asked of it. */
export interface Engine {
  readonly name: string
  readonly manifest: StoreCapabilities & {
    /** It has `direct`. */
    readonly direct: boolean
    /** What was written is there when the same store is opened again. */
    readonly reopens: boolean
    /** The most tables it was opened for; undefined: no limit. */
    readonly maxTables: number | undefined
  }
  /** A store of this name, empty the first time. */
  open(name: string): Promise<LocalStore>
}

const CONFIG: TableConfig = { key: 'any', value: 'msgpack', compress: 'none', checksum: true }
const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const encoder = new TextEncoder()
const bytes = (text: string) => encoder.encode(text)
const show = (data: Uint8Array | undefined) => (data === undefined ? undefined : Buffer.from(data).toString('latin1'))

/** Its first bytes as text, copied: the array's own length is not to be trusted. */
const part = (data: Uint8Array, length: number) => show(new Uint8Array(data.buffer, data.byteOffset, length)) as string

function get(table: LocalTable, key: string, at?: LocalSnapshot): string | undefined {
  const data = bytes(key)
  // The key is the first bytes of a larger array.
  const scratch = new Uint8Array(data.length + 7).fill(0x55)
  scratch.set(data)
  const found = table.get(scratch, data.length, at)
  return found && part(found, table.valueLength)
}

function walk(cursor: ByteCursor): [string, string][] {
  const all: [string, string][] = []
  while (cursor.next()) all.push([part(cursor.key, cursor.keyLength), part(cursor.value, cursor.valueLength)])
  return all
}

function operations(fill: (arena: Arena) => void): Operations {
  const arena = new Arena(64)
  fill(arena)
  return arena
}

/** Bytes behind the operations that are none. */
function tail(arena: Arena, length: number, byte: number): void {
  arena.memory.fill(byte, arena.length, arena.length + length)
  arena.length += length
}

async function tableOf(store: LocalStore, name = ''): Promise<LocalTable> {
  return (await store.table(name, CONFIG)) as LocalTable
}

/** Registers the tests that every engine must pass. */
export function storeCompliance(test: SerialFn, engine: Engine): void {
  const { name, manifest } = engine
  let count = 0
  const fresh = (): Promise<LocalStore> => engine.open(`${name}-${count++}`)
  const check = (title: string, run: (t: ExecutionContext, store: LocalStore) => Promise<void>) =>
    test(`${name}: ${title}`, async (t) => {
      t.timeout(60_000)
      const store = await fresh()
      try {
        await run(t, store)
      } finally {
        await store.close()
      }
    })

  check('it can do what its manifest says', async (t, store) => {
    const { direct, reopens, maxTables, ...capabilities } = manifest
    t.deepEqual(store.capabilities, capabilities)
    t.is(store.direct !== undefined, direct)
    t.is(store.readonly, false)
    t.is(typeof store.name, 'string')
    t.is(store.path === '', !reopens)
    t.like(store.stats(), { maps: 0, pendingBytes: 0, restarts: 0 })
    t.true(store.stats().fileBytes >= 0 && (maxTables ?? 1) > 0)
  })

  check('tables are made once, keep their configuration, and can be dropped', async (t, store) => {
    t.is(await store.table('a'), undefined)
    t.deepEqual(await store.tables(), [])
    const a = (await store.table('a', CONFIG)) as LocalTable
    t.deepEqual(a.config, CONFIG)
    const other = { ...CONFIG, key: 'u64' }
    t.deepEqual((await store.table('a', other))?.config, CONFIG, 'the first configuration counts')
    t.is((await store.table('a'))?.id, a.id)
    const longest = 'é'.repeat(100)
    for (const name of ['', 'b', longest]) t.deepEqual((await store.table(name, other))?.config, other)
    t.deepEqual(await store.tables(), ['', 'a', 'b', longest])
    t.is(store.stats().maps, 4)
    for (const bad of ['x'.repeat(201), `${longest}x`, 'a\0', 5]) {
      t.true(isMillraceError(await t.throwsAsync(store.table(bad as string, CONFIG)), 'MILL_INVALID_ARGUMENT'))
    }

    await store.write(operations((o) => o.set(a.id, bytes('k'), bytes('v'))))
    t.is(a.size, 1)
    t.true(await store.drop('a'))
    t.false(await store.drop('a'))
    t.deepEqual(await store.tables(), ['', 'b', longest])
    t.is(await store.table('a'), undefined)
    t.is(get(a, 'k'), undefined, 'who still has it sees nothing')
    t.is(a.size, 0)
    t.deepEqual(walk(a.cursor({})), [])
    t.is(a.countSync({}), 0)
    const lost = await t.throwsAsync(store.write(operations((o) => o.set(a.id, bytes('k'), bytes('v')))))
    t.true(isMillraceError(lost, 'MILL_MAP_MISSING'), String(lost))
    const again = await tableOf(store, 'a')
    t.is(again.size, 0)
    await store.write(operations((o) => o.set(again.id, bytes('k'), bytes('w'))))
    t.is(get(again, 'k'), 'w')
    const b = (await store.table('b')) as LocalTable
    t.is(get(b, 'k'), undefined, 'tables do not see each other')
  })

  if (manifest.maxTables !== undefined) {
    check('one table too many is MILL_TOO_MANY, and changes nothing', async (t, store) => {
      const most = manifest.maxTables as number
      for (let i = 0; i < most; i++) t.truthy(await store.table(`t${i}`, CONFIG))
      const error = await t.throwsAsync(store.table('more', CONFIG))
      t.true(isMillraceError(error, 'MILL_TOO_MANY'), String(error))
      t.is((error as { limit?: number }).limit, most)
      t.is((await store.tables()).length, most)
      t.is(await store.table('more'), undefined)
      t.true(await store.drop('t0'))
      t.truthy(await store.table('more', CONFIG))
      const table = (await store.table('t1')) as LocalTable
      await store.write(operations((o) => o.set(table.id, bytes('a'), bytes('b'))))
      t.is(get(table, 'a'), 'b')
    })
  }

  check('writes are read back, and give a byte for each operation that wants one', async (t, store) => {
    const table = await tableOf(store)
    const { id } = table
    const k = bytes('k')
    t.deepEqual([...(await store.write(operations((o) => o.set(id, k, bytes('v')))))], [], 'nobody wants a result')
    const wants = { wantsResult: true }
    const results = await store.write(
      operations((o) => {
        o.set(id, k, bytes('1'), wants)
        o.set(id, bytes('empty'), new Uint8Array(0), wants)
        o.delete(id, bytes('none'), wants)
        o.delete(id, bytes('nobody asks'))
        o.set(id, bytes('gone'), bytes('x'))
        o.delete(id, bytes('gone'), wants)
        o.set(id, k, bytes('no'), { ...wants, expect: null })
        o.set(id, k, bytes('no'), { ...wants, expect: bytes('2') })
        o.set(id, k, bytes('no'), { ...wants, expect: bytes('1\0') })
        o.set(id, k, bytes('no'), { ...wants, expect: new Uint8Array(0) })
        o.set(id, k, bytes('2'), { ...wants, expect: bytes('1') })
        o.set(id, bytes('new'), bytes('n'), { ...wants, expect: null })
        o.delete(id, k, { ...wants, expect: bytes('1') })
        o.delete(id, bytes('empty'), { ...wants, expect: new Uint8Array(0) })
        o.delete(id, bytes('none'), { ...wants, expect: null })
      }),
    )
    t.deepEqual([...results], [1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1, 0])
    t.deepEqual(walk(table.cursor({})), [
      ['k', '2'],
      ['new', 'n'],
    ])
    t.is(get(table, 'empty'), undefined)
    await store.write(operations((o) => o.set(id, bytes('empty'), new Uint8Array(0))))
    t.is(get(table, 'empty'), '')
    t.is(table.size, 3)
    await store.write(
      operations((o) => {
        o.set(id, bytes('before'), bytes('1'))
        o.clear(id)
        o.set(id, bytes('after'), bytes('1'))
      }),
    )
    t.deepEqual(walk(table.cursor({})), [['after', '1']])
    t.is(table.size, 1)
    t.deepEqual([...(await store.write(new Arena(16)))], [], 'nothing at all')
  })

  check('a group is done as a whole or not at all, over tables too', async (t, store) => {
    const a = await tableOf(store, 'a')
    const b = await tableOf(store, 'b')
    await store.write(operations((o) => o.set(a.id, bytes('money'), bytes('5'))))
    const move = (expect: string | null, absent: boolean) =>
      operations((o) => {
        o.set(a.id, bytes('before'), bytes('1'), { wantsResult: true })
        o.group(() => {
          o.set(b.id, bytes('money'), bytes('5'))
          o.delete(a.id, bytes('money'))
          // Behind what it forbids: conditions are tested first, against what was there before the group.
          o.require(a.id, bytes('money'), expect === null ? null : bytes(expect))
          if (absent) o.require(b.id, bytes('money'), null)
        }, true)
        o.set(a.id, bytes('after'), bytes('1'), { wantsResult: true })
      })
    t.deepEqual([...(await store.write(move('4', false)))], [1, 0, 1])
    t.deepEqual([...(await store.write(move(null, false)))], [1, 0, 1])
    t.is(get(a, 'money'), '5')
    t.is(b.size, 0)
    t.deepEqual([...(await store.write(move('5', true)))], [1, 1, 1])
    t.is(get(a, 'money'), undefined)
    t.is(get(b, 'money'), '5')
    const silent = operations((o) => {
      o.group(() => o.set(a.id, bytes('x'), bytes('1'), { expect: bytes('?') }))
      o.group(() => {
        o.clear(a.id)
        o.set(a.id, bytes('y'), bytes('1'), { expect: null })
      })
      o.group(() => {}, true)
    })
    t.deepEqual([...(await store.write(silent))], [1], 'only the empty group wants to know')
    t.deepEqual(walk(a.cursor({})), [['y', '1']])
  })

  check('a call that is refused changes nothing', async (t, store) => {
    const table = await tableOf(store)
    const { id } = table
    await store.write(operations((o) => o.set(id, bytes('a'), bytes('old'))))
    const longest = 'x'.repeat(manifest.maxKeyBytes)
    const refused: [string, (o: Arena) => void][] = [
      ['MILL_BAD_KEY', (o) => o.set(id, bytes(`${longest}x`), bytes('v'))],
      ['MILL_BAD_KEY', (o) => o.set(id, new Uint8Array(0), bytes('v'))],
      ['MILL_BAD_KEY', (o) => o.delete(id, new Uint8Array(0))],
      ['MILL_BAD_KEY', (o) => o.set(id, bytes(`${longest}x`), bytes('v'), { expect: null })],
      ['MILL_MAP_MISSING', (o) => o.set(id + 100, bytes('k'), bytes('v'))],
      ['MILL_INVALID_ARGUMENT', (o) => tail(o, 20, 0xff)],
      ['MILL_INVALID_ARGUMENT', (o) => tail(o, 7, 0)],
    ]
    for (const [code, fill] of refused) {
      const error = await t.throwsAsync(
        store.write(
          operations((o) => {
            o.set(id, bytes('a'), bytes('new'))
            o.ensure(64)
            fill(o)
          }),
        ),
      )
      t.true(isMillraceError(error, code as 'MILL_BAD_KEY'), `${code}: ${error}`)
      t.deepEqual(walk(table.cursor({})), [['a', 'old']])
    }
    t.throws(() => operations((o) => o.group(() => o.group(() => {}))))
    const reason = new Error('no more')
    const aborted = store.write(
      operations((o) => o.set(id, bytes('a'), bytes('new'))),
      { signal: AbortSignal.abort(reason) },
    )
    t.is(await t.throwsAsync(aborted), reason)
    t.is(get(table, 'a'), 'old')
    await store.write(operations((o) => o.set(id, bytes(longest), bytes('fits'))))
    t.is(get(table, longest), 'fits')
    const long = bytes(`${longest}x`)
    t.true(
      isMillraceError(
        t.throws(() => table.get(long, long.length)),
        'MILL_BAD_KEY',
      ),
    )
    t.deepEqual(walk(table.cursor({ gte: long })), [], 'longer bounds are bounds')
    t.deepEqual(walk(table.cursor({ gt: bytes(longest) })), [])
    t.deepEqual(walk(table.cursor({ lt: long, gt: bytes('b') })), [[longest, 'fits']])
    t.deepEqual(walk(table.cursor({ lte: long, reverse: true })).length, 2)
  })

  check('values of every size come back, alone and in a range', async (t, store) => {
    const table = await tableOf(store)
    const sizes = [0, 1, 2000, 2100, 4080, 4096, 100_000, 1_048_576, 20_000_000]
    const value = (size: number) => new Uint8Array(size).map((_, i) => (i * 7 + size) & 255)
    for (const size of sizes) {
      await store.write(operations((o) => o.set(table.id, bytes(String(size).padStart(9, '0')), value(size))))
    }
    const same = (data: Uint8Array, length: number, size: number): boolean =>
      length === size && Buffer.from(data.buffer, data.byteOffset, length).equals(value(size))
    for (const size of sizes) {
      const key = bytes(String(size).padStart(9, '0'))
      const found = table.get(key, key.length)
      t.true(found !== undefined && same(found, table.valueLength, size), `${size} bytes`)
    }
    const cursor = table.cursor({ reverse: true })
    for (const size of sizes.toReversed()) {
      t.true(cursor.next())
      t.true(same(cursor.value, cursor.valueLength, size), `${size} bytes in a range`)
    }
    t.false(cursor.next())
    const key = bytes('020000000')
    const [one, none] = await table.getMany([key, bytes('none')])
    t.is(none, undefined)
    t.true(one !== undefined && one.length === 20_000_000 && same(one, one.length, 20_000_000))
    await store.write(operations((o) => o.delete(table.id, key)))
    t.is(get(table, '020000000'), undefined)
  })

  check('random operations do what they do to a Map', async (t, store) => {
    const table = await tableOf(store)
    const key = fc.oneof(
      fc.constantFrom('a', 'b', 'aa', 'ab', '\0', '\0\0', 'ÿ', 'zz'),
      fc.nat(400).map((n) => `k${n}`),
    )
    // As a length, so that a counterexample can be read.
    const value = fc.oneof(fc.nat(9), fc.nat(3000))
    const valueFor = (n: number) => String(n).padEnd(n, '.')
    const bound = fc.oneof(key, fc.constantFrom('', 'k', 'k1', 'k2', 'k3', 'ÿÿ', 'l'))
    const range = fc.record(
      { gt: bound, gte: bound, lt: bound, lte: bound, reverse: fc.boolean() },
      { requiredKeys: [] },
    )
    const command = fc.oneof(
      { weight: 6, arbitrary: fc.record({ set: key, value }) },
      { weight: 1, arbitrary: fc.record({ set: key, value, ifAbsent: fc.constant(true) }) },
      { weight: 3, arbitrary: fc.record({ delete: key }) },
    )
    type Command = { set?: string; value?: number; ifAbsent?: boolean; delete?: string }
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ write: fc.array(command as fc.Arbitrary<Command>, { maxLength: 60, size: 'max' }) }),
      },
      { weight: 4, arbitrary: fc.record({ range }) },
      { weight: 1, arbitrary: fc.constant({ hold: true }) },
    )
    type Step = { write?: Command[]; range?: Record<string, string | boolean>; hold?: boolean }
    let operationsDone = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step as fc.Arbitrary<Step>, { maxLength: 25, size: 'max' }), async (steps) => {
        await store.write(operations((o) => o.clear(table.id)))
        const model = new Map<string, string>()
        const held: { snapshot: LocalSnapshot; cursor: ByteCursor; entries: [string, string][] }[] = []
        for (const { write, range: asked, hold } of steps) {
          if (write !== undefined) {
            const expected: number[] = []
            const arena = new Arena(32)
            for (const one of write) {
              operationsDone++
              const data = bytes((one.set ?? one.delete) as string)
              if (one.set !== undefined) {
                const there = model.has(one.set)
                const skip = one.ifAbsent === true && there
                const wish = one.ifAbsent === true ? { expect: null } : {}
                arena.set(table.id, data, bytes(valueFor(one.value ?? 0)), { ...wish, wantsResult: true })
                expected.push(skip ? 0 : 1)
                if (!skip) model.set(one.set, valueFor(one.value ?? 0))
              } else {
                arena.delete(table.id, data, { wantsResult: true })
                expected.push(model.delete(one.delete as string) ? 1 : 0)
              }
            }
            t.deepEqual([...(await store.write(arena))], expected)
          } else if (asked !== undefined) {
            compareRange(
              asked,
              sorted(model),
              (bounds) => table.cursor(bounds),
              (bounds) => table.countSync(bounds),
            )
          } else if (hold === true) {
            held.push({ snapshot: table.snapshot(), cursor: table.cursor({}), entries: sorted(model) })
          }
        }
        if (table.size !== model.size) throw new Error(`size ${table.size}, not ${model.size}`)
        for (const [one, expected] of model) if (get(table, one) !== utf8Latin(expected)) throw new Error(`get ${one}`)
        for (const { snapshot, cursor, entries } of held) {
          if (snapshot.size !== entries.length) throw new Error('the size of a snapshot changed')
          const now = walk(table.cursor({}, snapshot))
          if (JSON.stringify(now) !== JSON.stringify(entries)) throw new Error('a snapshot changed')
          if (JSON.stringify(walk(cursor)) !== JSON.stringify(entries)) throw new Error('a cursor saw later writes')
          compareRange(
            { gt: 'k1', reverse: true },
            entries,
            (bounds) => table.cursor(bounds, snapshot),
            (bounds) => table.countSync(bounds, snapshot),
          )
          for (const [one, expected] of entries) {
            if (get(table, latin(one), snapshot) !== expected) throw new Error('a snapshot lost a key')
          }
          snapshot.close()
          snapshot.close()
          t.true(
            isMillraceError(
              t.throws(() => table.cursor({}, snapshot)),
              'MILL_CLOSED',
            ),
          )
        }
      }),
      { numRuns: Math.ceil(60 * scale), endOnFailure: true, includeErrorInReport: true },
    )
    t.true(operationsDone > 1000)
  })

  check('of two bounds on a side the tighter counts', async (t, store) => {
    const table = await tableOf(store)
    await store.write(
      operations((o) => {
        for (const one of 'abcde') o.set(table.id, bytes(one), bytes('v'))
      }),
    )
    const cases: [Record<string, string>, string][] = [
      [{ gt: 'b', gte: 'b' }, 'cde'],
      [{ gt: 'a', gte: 'b' }, 'bcde'],
      [{ gt: 'b', gte: 'a' }, 'cde'],
      [{ lt: 'd', lte: 'd' }, 'abc'],
      [{ lt: 'e', lte: 'd' }, 'abcd'],
      [{ lt: 'd', lte: 'e' }, 'abc'],
      [{ gte: 'b', lte: 'b' }, 'b'],
      [{ gt: 'b', lte: 'b' }, ''],
      [{ gte: 'b', lt: 'b' }, ''],
      [{ gte: 'd', lte: 'b' }, ''],
      [{ gte: '' }, 'abcde'],
      [{ gt: '' }, 'abcde'],
      [{ lt: '' }, ''],
      [{ lte: '' }, ''],
      [{ gt: 'bb', lt: 'dd' }, 'cd'],
    ]
    for (const [texts, expected] of cases) {
      const range = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, bytes(text)])) as ByteRange
      const what = JSON.stringify(texts)
      const found = walk(table.cursor(range)).map(([key]) => key)
      t.is(found.join(''), expected, what)
      const back = walk(table.cursor({ ...range, reverse: true })).map(([key]) => key)
      t.is(back.reverse().join(''), expected, `${what} backwards`)
      t.is(table.countSync(range), expected.length, what)
    }
  })

  check('operations in memory that threads share', async (t, store) => {
    const table = await tableOf(store)
    const { bytes: own, count } = operations((o) => o.set(table.id, bytes('k'), bytes('shared')))
    const shared = new Uint8Array(new SharedArrayBuffer(own.length))
    shared.set(own)
    await store.write({ bytes: shared, count, [Symbol.iterator]: () => operationsIn(shared) })
    shared.fill(0)
    t.is(get(table, 'k'), 'shared')
  })

  check('batches of a range, and many keys at once', async (t, store) => {
    const table = await tableOf(store)
    const names = Array.from({ length: 2500 }, (_, i) => `k${String(i).padStart(5, '0')}`)
    await store.write(
      operations((o) => {
        for (const [i, one] of names.entries()) o.set(table.id, bytes(one), bytes(`v${i}`))
      }),
    )
    const seen: string[] = []
    for await (const batch of table.scan({ gte: bytes('k00100') }, { maxItems: 64, values: true })) {
      t.true(batch.length > 0 && batch.length <= 64)
      for (const [key, value] of batch) {
        seen.push(show(key) as string)
        t.is(show(value), `v${Number(show(key)?.slice(1))}`)
      }
      // What is written meanwhile is not seen.
      await store.write(operations((o) => o.set(table.id, bytes(`k${seen.length}x`), bytes('late'))))
    }
    t.deepEqual(seen, names.slice(100))
    for await (const batch of table.scan({ reverse: true }, { maxItems: 3, values: false })) {
      t.is(batch.length, 3)
      t.true(batch.every(([, value]) => value === undefined))
      break
    }
    t.is(await table.count({ lt: bytes('k00100') }), 100)
    t.true((await table.count()) > 2500)
    const asked = [...names.toReversed(), 'none', 'k00000'].map(bytes)
    const values = await table.getMany(asked)
    t.deepEqual(values.map(show), [...names.map((_, i) => `v${i}`).reverse(), undefined, 'v0'])
    t.deepEqual(await table.getMany([]), [])
    for (const maxItems of [0, 1.5, -1]) {
      const scan = table.scan({}, { maxItems, values: true })[Symbol.asyncIterator]()
      t.true(isMillraceError(await t.throwsAsync(async () => scan.next()), 'MILL_INVALID_ARGUMENT'))
    }
    const reason = new Error('enough')
    const control = new AbortController()
    const scan = table.scan({}, { maxItems: 1, values: true, signal: control.signal })[Symbol.asyncIterator]()
    t.falsy((await scan.next()).done)
    control.abort(reason)
    t.is(await t.throwsAsync(async () => scan.next()), reason)
    t.is(await t.throwsAsync(table.getMany(asked, { signal: control.signal })), reason)
  })

  check('calls are applied in the order in which they are made', async (t, store) => {
    const table = await tableOf(store)
    const writes: Promise<Uint8Array>[] = []
    for (let i = 0; i < 200; i++) {
      const expect = i === 0 ? null : bytes(String(i - 1))
      writes.push(
        store.write(operations((o) => o.set(table.id, bytes('n'), bytes(String(i)), { expect, wantsResult: true }))),
      )
    }
    t.deepEqual(
      (await Promise.all(writes)).map((result) => [...result]),
      writes.map(() => [1]),
    )
    t.is(get(table, 'n'), '199')
  })

  check('the transaction number counts writes', async (t, store) => {
    const table = await tableOf(store)
    const before = store.transactionId
    await store.write(operations((o) => o.set(table.id, bytes('a'), bytes('1'))))
    const after = store.transactionId
    t.true(after > before)
    store.refresh()
    t.is(get(table, 'a'), '1')
    t.is(store.transactionId, after)
    t.is(store.stats().transactionId, after)
  })

  check('a lease has one holder at a time', async (t, store) => {
    const key = bytes('work')
    const first = await store.lease(key, 60_000)
    t.truthy(first)
    t.false(first?.takenOver)
    t.deepEqual(first?.key, key)
    t.is(await store.lease(key, 60_000), undefined)
    t.truthy(await store.lease(bytes('other'), 60_000))
    t.true(await first?.renew())
    await first?.release()
    await first?.release()
    t.false(await first?.renew())
    const second = await store.lease(key, 30)
    t.truthy(second)
    t.false(second?.takenOver)
    let third: Awaited<ReturnType<LocalStore['lease']>>
    const started = Date.now()
    while (third === undefined && Date.now() - started < 20_000) third = await store.lease(key, 60_000)
    t.true(third?.takenOver, 'a lease ends by itself')
    t.false(await second?.renew(), 'it was lost')
    await second?.release()
    t.is(await store.lease(key, 60_000), undefined, 'who has lost it gives nothing back')
    for (const ttlMs of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      t.true(isMillraceError(await t.throwsAsync(store.lease(bytes('x'), ttlMs)), 'MILL_INVALID_ARGUMENT'))
    }

    // Given back in the same group as something else.
    const table = await tableOf(store)
    const entry = third?.entry
    t.truthy(entry)
    if (entry === undefined) return
    t.is(entry.table, LEASES)
    const result = await store.write(
      operations((o) =>
        o.group(() => {
          o.require(entry.table, entry.key, entry.value)
          o.delete(entry.table, entry.key)
          o.set(table.id, bytes('result'), bytes('42'))
        }, true),
      ),
    )
    t.deepEqual([...result], [1])
    t.false(await third?.renew())

    // Of a process that is no more, and what nobody can read.
    const holder = (pid: number, host: string) =>
      bytes(JSON.stringify({ token: 'x', pid, host, until: Date.now() + 60_000 }))
    const cases: [Uint8Array, boolean][] = [
      [holder(0x7fff_fff0, hostTag), true],
      [holder(process.pid, hostTag), false],
      [holder(0x7fff_fff0, 'elsewhere'), false],
      [bytes('{'), true],
      [bytes('null'), true],
      [new Uint8Array(0), true],
    ]
    for (const [record, free] of cases) {
      const place = bytes('foreign')
      await store.write(operations((o) => o.set(LEASES, place, record)))
      const lease = await store.lease(place, 1000)
      t.is(lease !== undefined, free, show(record))
      if (free) t.true(lease?.takenOver)
      await lease?.release()
    }
  })

  if (manifest.direct) {
    check('this thread’s own transactions', async (t, store) => {
      const table = await tableOf(store)
      const { id } = table
      const direct = store.direct as NonNullable<LocalStore['direct']>
      await store.write(operations((o) => o.set(id, bytes('a'), bytes('1'))))
      const outside = table.snapshot()
      const open = table.cursor({})
      let inside: ByteCursor | undefined
      const got = direct.transact(() => {
        t.deepEqual([...direct.apply(operations((o) => o.set(id, bytes('b'), bytes('2'), { wantsResult: true })))], [1])
        t.is(get(table, 'b'), '2', 'it sees what it wrote')
        t.is(table.size, 2)
        t.is(table.countSync({}), 2)
        t.deepEqual(walk(table.cursor({ reverse: true })), [
          ['b', '2'],
          ['a', '1'],
        ])
        inside = table.cursor({})
        t.true(inside.next())
        t.true(
          isMillraceError(
            t.throws(() => direct.transact(() => 1)),
            'MILL_INVALID_ARGUMENT',
          ),
          'not nested',
        )
        return 'done'
      })
      t.is(got, 'done')
      t.false(inside?.next() === true && manifest.durable, 'a cursor ends with its transaction')
      t.deepEqual(walk(open), [['a', '1']])
      t.is(get(table, 'b', outside), undefined)
      t.is(outside.size, 1)
      outside.close()
      t.is(get(table, 'b'), '2')

      const reason = new Error('undo')
      const fails = [
        () => {
          throw reason
        },
        () => Promise.resolve(5),
        () => direct.apply(operations((o) => o.set(id, new Uint8Array(0), bytes('x')))),
      ]
      for (const fail of fails) {
        const error = t.throws(() =>
          direct.transact(() => {
            direct.apply(
              operations((o) => {
                o.clear(id)
                o.set(id, bytes('c'), bytes('3'))
              }),
            )
            return fail()
          }),
        )
        t.true(error === reason || isMillraceError(error), String(error))
        t.deepEqual(
          walk(table.cursor({})).map(([key]) => key),
          ['a', 'b'],
          'a throw undoes everything',
        )
      }
      direct.transact(() => {
        direct.apply(operations((o) => o.set(id, bytes('kept'), bytes('1'))))
        t.throws(() =>
          direct.apply(
            operations((o) => {
              o.clear(id)
              o.set(id, new Uint8Array(0), bytes('x'))
            }),
          ),
        )
      })
      t.is(get(table, 'kept'), '1')
      t.is(table.size, 3, 'who catches a refusal inside keeps all but what was refused')
      direct.apply(operations((o) => o.delete(id, bytes('a'))))
      t.is(table.size, 2)
    })
  }

  test(`${name}: a closed store refuses everything, and closes what was open`, async (t) => {
    t.timeout(60_000)
    const store = await fresh()
    const table = await tableOf(store)
    await store.write(
      operations((o) => {
        for (const n of [1, 2, 3]) o.set(table.id, bytes(`k${n}`), bytes('v'))
      }),
    )
    const snapshot = table.snapshot()
    const cursors = [table.cursor({}), table.cursor({}, snapshot)]
    for (const cursor of cursors) t.true(cursor.next())
    const pending = store.write(operations((o) => o.set(table.id, bytes('last'), bytes('v'))))
    await store.close()
    await pending
    await store.close()
    await store[Symbol.asyncDispose]()
    const calls: (() => unknown)[] = [
      () => store.table(''),
      () => store.table('', CONFIG),
      () => store.tables(),
      () => store.drop(''),
      () => store.write(new Arena(16)),
      () => store.lease(bytes('a'), 1000),
      () => store.refresh(),
      () => store.stats(),
      () => table.size,
      () => get(table, 'k1'),
      () => table.getMany([bytes('k1')]),
      () => table.cursor({}),
      () => table.countSync({}),
      () => table.count(),
      () => table.snapshot(),
    ]
    for (const call of calls) {
      const error = await t.throwsAsync(async () => call(), undefined, String(call))
      t.true(isMillraceError(error, 'MILL_CLOSED'), `${call}: ${error}`)
    }
    for (const cursor of cursors) {
      t.notThrows(() => cursor.close())
      t.false(cursor.next())
    }
    t.notThrows(() => snapshot.close())
  })

  if (manifest.reopens) {
    test(`${name}: what was written is there when it is opened again`, async (t) => {
      t.timeout(60_000)
      let store = await engine.open(`${name}-again`)
      for (let round = 0; round < 5; round++) {
        const table = await tableOf(store, `t${round % 2}`)
        t.deepEqual(table.config, CONFIG)
        for (let i = 0; i < round; i++) {
          const other = (await store.table(`t${i % 2}`)) as LocalTable
          t.is(get(other, `k${i}`), `v${i}`, `round ${round}`)
        }
        await store.write(operations((o) => o.set(table.id, bytes(`k${round}`), bytes(`v${round}`))))
        if (round === 2) t.true((await store.drop('none')) === false)
        await store.close()
        store = await engine.open(`${name}-again`)
      }
      t.deepEqual(await store.tables(), ['t0', 't1'])
      t.true(store.stats().fileBytes > 0)
      await store.close()
    })
  }

  test(`${name}: opening and closing leaves nothing behind`, async (t) => {
    t.timeout(60_000)
    const before = process.getActiveResourcesInfo().length
    for (let i = 0; i < 20; i++) {
      const store = await engine.open(`${name}-often`)
      const table = await tableOf(store)
      get(table, 'x')
      await store.close()
    }
    await until(() => process.getActiveResourcesInfo().length <= before + 1, 'handles to be gone', 20_000)
    t.pass()
  })
}

const latin = (text: string) => Buffer.from(text, 'latin1').toString('utf8')
const utf8Latin = (text: string) => Buffer.from(text, 'utf8').toString('latin1')

/** A model's entries in the order of their bytes, as `walk` gives them. */
function sorted(model: Map<string, string>): [string, string][] {
  return [...model]
    .map(([key, value]): [string, string] => [utf8Latin(key), utf8Latin(value)])
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}

function compareRange(
  asked: Record<string, string | boolean>,
  entries: readonly [string, string][],
  cursor: (range: ByteRange) => ByteCursor,
  countOf: (range: ByteRange) => number,
): void {
  const { reverse, ...texts } = asked
  const bounds = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, bytes(text as string)]))
  const range = { ...bounds, ...(reverse !== undefined && { reverse: reverse as boolean }) }
  const limits = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, utf8Latin(text as string)]))
  const { gt, gte, lt, lte } = limits as { gt?: string; gte?: string; lt?: string; lte?: string }
  const expected = entries.filter(
    ([key]) =>
      (gt === undefined || key > gt) &&
      (gte === undefined || key >= gte) &&
      (lt === undefined || key < lt) &&
      (lte === undefined || key <= lte),
  )
  if (reverse === true) expected.reverse()
  const found = walk(cursor(range))
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${JSON.stringify(asked)} gave ${found.length} entries, not ${expected.length}`)
  }
  if (countOf(range) !== expected.length) throw new Error(`${JSON.stringify(asked)} was not counted right`)
}
