import test from 'ava'
import fc from 'fast-check'
import { isMillraceError } from '../lib/base/errors.js'
import { checkOperations } from '../lib/store/apply.js'
import { Arena, operationsIn } from '../lib/store/operations.js'
import type { Operation } from '../types/store.js'

const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

type Plain = { -readonly [K in keyof Operation]: Operation[K] }

const bytes = fc.uint8Array({ minLength: 1, maxLength: 40 })
const wish = fc.record(
  { expect: fc.option(fc.uint8Array({ maxLength: 20 })), wantsResult: fc.boolean() },
  { requiredKeys: [] },
)
const single = fc.oneof(
  fc.record({ kind: fc.constant('set'), table: fc.nat(65_535), key: bytes, value: fc.uint8Array(), wish }),
  fc.record({ kind: fc.constant('delete'), table: fc.nat(65_535), key: bytes, wish }),
  fc.record({ kind: fc.constant('clear'), table: fc.nat(65_535) }),
  fc.record({ kind: fc.constant('require'), table: fc.nat(65_535), key: bytes, expect: fc.option(fc.uint8Array()) }),
)
interface Single {
  kind: string
  table: number
  key?: Uint8Array
  value?: Uint8Array
  wish?: { expect?: Uint8Array | null; wantsResult?: boolean }
  expect?: Uint8Array | null
}
const list = fc.array(
  fc.oneof(
    single as fc.Arbitrary<Single>,
    fc.record({ group: fc.array(single as fc.Arbitrary<Single>), wants: fc.boolean() }),
  ),
)

function append(arena: Arena, one: Single, group: number, wantsGroup: boolean): Plain {
  const key = one.key ?? new Uint8Array(0)
  const wantsResult = group === 0 ? one.wish?.wantsResult === true : wantsGroup
  const made: Plain = { kind: one.kind as Operation['kind'], table: one.table, group, wantsResult, key }
  const expect = one.kind === 'require' ? (one.expect ?? null) : one.wish?.expect
  if (one.kind === 'set') {
    made.value = one.value ?? new Uint8Array(0)
    arena.set(one.table, key, made.value, one.wish)
  } else if (one.kind === 'delete') arena.delete(one.table, key, one.wish)
  else if (one.kind === 'clear') arena.clear(one.table)
  else arena.require(one.table, key, one.expect ?? null)
  if (expect !== undefined) made.expect = expect
  return made
}

test('what an arena was given comes out of its bytes again', (t) => {
  fc.assert(
    fc.property(list, fc.integer({ min: 0, max: 300 }), (items, capacity) => {
      const arena = new Arena(capacity)
      const expected: Plain[] = []
      let groups = 0
      let records = 0
      for (const item of items) {
        records++
        if ('kind' in item) {
          expected.push(append(arena, item, 0, false))
          continue
        }
        const group = ++groups
        arena.group(() => {
          for (const [i, one] of item.group.entries()) {
            records++
            expected.push(append(arena, one, group, item.wants && i === 0))
          }
        }, item.wants)
      }
      t.deepEqual([...arena], expected)
      t.is(arena.count, records)
      const wanted = items.filter((item) => ('kind' in item ? item.wish?.wantsResult === true : item.wants)).length
      t.is(arena.wanted, wanted)
      const copy = arena.bytes.slice()
      t.deepEqual([...operationsIn(copy)], expected)
      arena.reset()
      t.is(arena.bytes.length, 0)
    }),
    { numRuns: 500 * scale },
  )
})

test('the bytes are those of the format', (t) => {
  const arena = new Arena(0)
  arena.set(2, Uint8Array.of(0xaa, 0xbb), Uint8Array.of(0xcc), { expect: Uint8Array.of(0xdd), wantsResult: true })
  arena.group(() => {
    arena.require(258, Uint8Array.of(1), null)
    arena.delete(3, Uint8Array.of(2))
  }, true)
  arena.clear(4)
  t.is(
    hex(arena.bytes),
    [
      '01030200 0200 0000 01000000 01000000 aabb cc dd',
      '09010000 0000 0000 00000000 22000000',
      '04060201 0100 0000 00000000 00000000 01',
      '02000300 0100 0000 00000000 00000000 02',
      '03000400 0000 0000 00000000 00000000',
    ]
      .join('')
      .replaceAll(' ', ''),
  )
})

test('written in place, as a map does it', (t) => {
  const arena = new Arena(8)
  arena.ensure(16 + 5)
  arena.memory.set([1, 2, 3, 4, 5], arena.length + 16)
  arena.commit(1, 0, 7, 2, 3, 0)
  t.deepEqual(
    [...arena],
    [{ kind: 'set', table: 7, group: 0, wantsResult: false, key: Uint8Array.of(1, 2), value: Uint8Array.of(3, 4, 5) }],
  )
  const broken = t.throws(() =>
    arena.group(() => {
      arena.clear(1)
      throw new Error('no')
    }),
  )
  t.is(broken?.message, 'no')
  t.is(arena.count, 1, 'a group that was not finished is not there')
  t.is([...arena].length, 1)
  t.true(
    isMillraceError(
      t.throws(() => arena.set(1, new Uint8Array(65_536), new Uint8Array(0))),
      'MILL_INVALID_ARGUMENT',
    ),
  )
  t.true(
    isMillraceError(
      t.throws(() => arena.ensure(2 ** 31)),
      'MILL_INVALID_ARGUMENT',
    ),
  )
  arena.ensure(8 * 1_048_576)
  arena.reset()
  t.true(arena.memory.length <= 4 * 1_048_576, 'the memory of one large operation is given back')
})

test('bytes that are no operations are refused, wherever they were cut or changed', (t) => {
  const arena = new Arena()
  arena.set(2, Uint8Array.of(1), Uint8Array.of(2))
  arena.group(() => {
    arena.set(2, Uint8Array.of(3), Uint8Array.of(4))
    arena.delete(2, Uint8Array.of(5))
  })
  const whole = arena.bytes
  const sound = [0, 18, whole.length]
  for (let length = 0; length <= whole.length; length++) {
    const run = () => checkOperations(whole.slice(0, length), 100)
    if (sound.includes(length)) t.deepEqual([...run()], length === 0 ? [] : [2])
    else t.true(isMillraceError(t.throws(run), 'MILL_INVALID_ARGUMENT'), `cut to ${length}`)
  }
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, mask) => {
      const bytes = whole.slice()
      bytes[at] = (bytes[at] as number) ^ mask
      try {
        checkOperations(bytes, 100)
        // Then they can be read as well.
        for (const one of operationsIn(bytes)) if (one.table > 65_535) throw new Error('a table')
      } catch (error) {
        if (!isMillraceError(error)) throw error
      }
    }),
    { numRuns: 2000 * scale },
  )
  const nested = new Arena()
  nested.commit(9, 0, 0, 0, 0, 0)
  nested.commit(9, 0, 0, 0, 0, 0)
  nested.view.setUint32(12, 16, true)
  t.true(
    isMillraceError(
      t.throws(() => checkOperations(nested.bytes, 100)),
      'MILL_INVALID_ARGUMENT',
    ),
  )
})
