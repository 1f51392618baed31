import test from 'ava'
import fc from 'fast-check'
import { equalBytes } from '../lib/base/bytes.js'
import { isMillraceError } from '../lib/base/errors.js'
import { afterPrefix, encodePrefix, keyCodecOf } from '../lib/codec/keys.js'
import type { Key, KeyCodec } from '../types/key.js'

const scale = Number(process.env.MILLRACE_TEST_SCALE ?? 1)
const any = keyCodecOf('any')
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const fromHex = (text: string) => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))
/** Half of a surrogate pair. */
const LONE = /\p{Surrogate}/u
const memcmp = (a: Uint8Array, b: Uint8Array) => Math.sign(Buffer.compare(a, b))

const rank = (key: Key) =>
  typeof key === 'number'
    ? 0
    : typeof key === 'bigint'
      ? 1
      : typeof key === 'string'
        ? 2
        : key instanceof Uint8Array
          ? 3
          : 4

/** The order as the interface says it, in words of the language. */
function compare(a: Key, b: Key): number {
  if (rank(a) !== rank(b)) return Math.sign(rank(a) - rank(b))
  if (typeof a === 'string') {
    // By code point, not by UTF-16 unit.
    return compareLists([...a], [...(b as string)], (x, y) => (x.codePointAt(0) ?? 0) - (y.codePointAt(0) ?? 0))
  }
  if (a instanceof Uint8Array) return compareLists([...a], [...(b as Uint8Array)], (x, y) => x - y)
  if (typeof a === 'object') return compareLists(a, b as readonly Key[], compare)
  return a === b || (a as number) === (b as number) ? 0 : (a as number) < (b as number) ? -1 : 1
}

function compareLists<T>(a: readonly T[], b: readonly T[], by: (x: T, y: T) => number): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const order = by(a[i] as T, b[i] as T)
    if (order !== 0) return Math.sign(order)
  }
  return Math.sign(a.length - b.length)
}

/** Few different pieces, so that keys are often equal, or the beginning of each other. */
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('', '\0', '\u0001', 'a', 'b', 'ÿ', '߿', 'ࠀ', '\uffff', '𐀀', '😀'), maxLength: 6 }),
  fc.string({ unit: 'binary', maxLength: 20 }).filter((made) => !LONE.test(made)),
)
const number = fc.oneof(
  fc.double({ noNaN: true }),
  fc.integer(),
  fc.constantFrom(0, -0, 1, -1, 255, 256, 5e-324, -5e-324, Number.MAX_VALUE, Infinity, -Infinity),
)
const bigint = fc.oneof(
  fc.bigInt({ min: -300n, max: 300n }),
  fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }),
  fc.constantFrom(2n ** 1016n - 1n, -(2n ** 1016n) + 1n, 2n ** 64n, -(2n ** 64n), 0n),
)
const bytes = fc.oneof(
  fc.array(fc.constantFrom(0, 1, 254, 255), { maxLength: 5 }).map((list) => Uint8Array.from(list)),
  fc.uint8Array({ maxLength: 30 }),
)
const { key: keys } = fc.letrec<{ key: Key; tuple: Key[] }>((tie) => ({
  key: fc.oneof({ maxDepth: 4 }, number, bigint, text, bytes, tie('tuple')),
  tuple: fc.array(tie('key'), { maxLength: 4 }),
}))

const same = (a: Key, b: Key): boolean => compare(a, b) === 0

test('keys of any type sort as their bytes do, and come back', (t) => {
  fc.assert(
    fc.property(keys, keys, (a, b) => {
      const left = any.encode(a)
      t.is(memcmp(left, any.encode(b)), compare(a, b))
      const back = any.decode(left)
      if (!same(back, a)) throw new Error(`${hex(left)} came back as another key`)
      if (Array.isArray(a)) t.is((back as Key[]).length, a.length)
    }),
    { numRuns: 10_000 * scale },
  )
})

test('keys of one type sort as their bytes do, and come back', (t) => {
  const label = fc.oneof(
    fc.maxSafeNat(),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    fc.constantFrom(0, 0n, 2n ** 53n),
  )
  const cases: [string, fc.Arbitrary<Key>, (a: Key, b: Key) => number][] = [
    ['string', text.filter((made) => made !== ''), compare],
    ['bytes', bytes.filter((made) => made.length > 0), compare],
    // A label is what it counts: 5 and 5n are the same.
    ['u64', label, (a, b) => compare(BigInt(a as number), BigInt(b as number))],
  ]
  for (const [name, arbitrary, by] of cases) {
    const codec = keyCodecOf(name as 'any') as KeyCodec<Key>
    fc.assert(
      fc.property(arbitrary, arbitrary, (a, b) => {
        const left = codec.encode(a)
        if (memcmp(left, codec.encode(b)) !== by(a, b)) throw new Error(`${name}: the order differs`)
        if (by(codec.decode(left), a) !== 0) throw new Error(`${name}: it came back as another key`)
      }),
      { numRuns: 10_000 * scale },
    )
  }
  t.is(keyCodecOf('u64').decode(keyCodecOf('u64').encode(7n as never)), 7 as never)
  t.is(keyCodecOf<number | bigint>('u64').decode(keyCodecOf('u64').encode((2n ** 53n) as never)), 2n ** 53n)
})

test('encodeInto writes what encode gives, says how much room it takes, and never writes behind the end', (t) => {
  const codecs: [string, fc.Arbitrary<Key>][] = [
    ['any', keys],
    ['string', text.filter((made) => made !== '')],
    ['bytes', bytes.filter((made) => made.length > 0)],
    ['u64', fc.maxSafeNat()],
  ]
  for (const [name, arbitrary] of codecs) {
    const codec = keyCodecOf(name as 'any') as KeyCodec<Key>
    fc.assert(
      fc.property(arbitrary, fc.nat(9), fc.nat(80), (key, at, length) => {
        const whole = codec.encode(key)
        const memory = new Uint8Array(200).fill(0xaa)
        const target = memory.subarray(0, length)
        const end = codec.encodeInto?.(key, target, at) as number
        if (end !== at + whole.length) throw new Error(`${name}: it ends at ${end}`)
        const fits = end <= length
        if (fits && !equalBytes(target.subarray(at, end), whole)) throw new Error(`${name}: other bytes`)
        const before = memory.subarray(0, Math.min(at, length))
        const behind = memory.subarray(fits ? end : length)
        if (![...before, ...behind].every((byte) => byte === 0xaa)) throw new Error(`${name}: it wrote elsewhere`)
      }),
      { numRuns: 1000 * scale },
    )
  }
  t.pass()
})

test('the bytes are those of the format', (t) => {
  const golden: [Key, string][] = [
    [0, '20 8000000000000000'],
    [-0, '20 8000000000000000'],
    [1, '20 bff0000000000000'],
    [-1, '20 400fffffffffffff'],
    [1.5, '20 bff8000000000000'],
    [Infinity, '20 fff0000000000000'],
    [-Infinity, '20 000fffffffffffff'],
    [0n, '28 80'],
    [1n, '28 81 01'],
    [-1n, '28 7f fe'],
    [256n, '28 82 0100'],
    [-256n, '28 7e feff'],
    [2n ** 64n, '28 89 010000000000000000'],
    ['', '30'],
    ['a\0é', '30 61 00 c3a9'],
    ['😀', '30 f09f9880'],
    [Uint8Array.of(), '38'],
    [Uint8Array.of(0, 255), '38 00ff'],
    [[], '40'],
    [['a', 1], '40 30 61 00 20 bff0000000000000'],
    [['a\0b'], '40 30 61 00ff 62 00'],
    [[Uint8Array.of(0)], '40 38 00ff 00'],
    [[[], ['x']], '40 40 00 40 30 78 00 00'],
  ]
  for (const [key, expected] of golden) {
    t.is(hex(any.encode(key)), expected.replaceAll(' ', ''), String(key))
    t.true(same(any.decode(fromHex(expected)), key))
  }
  t.is(hex(keyCodecOf<string>('string').encode('é')), 'c3a9')
  t.is(hex(keyCodecOf<Uint8Array>('bytes').encode(Uint8Array.of(1, 0))), '0100')
  t.is(hex(keyCodecOf<number | bigint>('u64').encode(258)), '0000000000000102')
  t.is(hex(keyCodecOf<number | bigint>('u64').encode(2n ** 64n - 1n)), 'ffffffffffffffff')
})

test('what is no key is MILL_BAD_KEY', (t) => {
  const endless: unknown[] = []
  endless.push(endless)
  let deep: unknown[] = []
  for (let i = 0; i < 100_000; i++) deep = [deep]
  const bad: [string, unknown[]][] = [
    [
      'any',
      [
        ...[NaN, undefined, null, true, {}, new Date(), Symbol('x'), () => {}, '\ud800', '\udc00a', 'x\ud83d'],
        ...[[NaN], ['a', undefined], [['\ud800']], new Float64Array(1), new Map(), endless, deep, 2n ** 1016n],
        ...[
          -(2n ** 1016n),
          2n ** 100_000n,
          [2n ** 2000n],
          'x'.repeat(70_000),
          [new Uint8Array(40_000), 'y'.repeat(40_000)],
        ],
      ],
    ],
    ['string', ['', 5, null, undefined, ['a'], '\ud800', 'a\udfff', Uint8Array.of(1), 'x'.repeat(66_000)]],
    ['bytes', ['', 'a', Uint8Array.of(), null, [1, 2], new ArrayBuffer(4), new Uint8Array(66_000)]],
    ['u64', [-1, 1.5, NaN, 2 ** 53, -1n, 2n ** 64n, '5', null, undefined, []]],
  ]
  for (const [name, list] of bad) {
    const codec = keyCodecOf(name as 'any') as KeyCodec<unknown>
    for (const key of list) {
      const error = t.throws(() => codec.encode(key), undefined, `${name}: ${typeof key}`)
      t.true(isMillraceError(error, 'MILL_BAD_KEY'), `${name}: ${error}`)
      t.is(typeof (error as { reason?: unknown }).reason, 'string')
    }
  }
  const long = t.throws(() => any.encode('x'.repeat(70_000)))
  t.like(long, { length: 70_001, limit: 65_535 })
})

test('bytes that no key has are MILL_BAD_KEY, never another key', (t) => {
  const bad = [
    ...['', '00', '10 00', '41', '20', '20 80000000000000', '20 800000000000000000', '20 7fffffffffffffff'],
    ...[
      '20 fff8000000000000',
      '20 0007ffffffffffff',
      '28',
      '28 81',
      '28 81 00',
      '28 7f ff',
      '28 82 0001',
      '28 00',
      '28 80 00',
    ],
    ...[
      '30 ff',
      '30 c3',
      '30 eda080',
      '30 c080',
      '40 30 61',
      '40 38 01',
      '40 38 00ff',
      '40 40',
      '40 00',
      '40 30 61 00 00',
    ],
    ...['40 28 81', '40 99'],
  ]
  for (const bytes of bad) {
    const error = t.throws(() => any.decode(fromHex(bytes)), undefined, bytes)
    t.true(isMillraceError(error, 'MILL_BAD_KEY'), `${bytes}: ${error}`)
  }
  for (const [name, list] of [
    ['string', ['', 'ff', 'c3']],
    ['bytes', ['']],
    ['u64', ['', '00', '000000000000000000']],
  ] as const) {
    for (const bytes of list) {
      const error = t.throws(() => keyCodecOf(name as 'any').decode(fromHex(bytes)))
      t.true(isMillraceError(error, 'MILL_BAD_KEY'), name)
    }
  }
  // Whatever the bytes are: an error of ours, or the one key that has them.
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 24 }), fc.constantFrom(0x20, 0x28, 0x30, 0x38, 0x40), (made, tag) => {
      const data = Uint8Array.of(tag, ...made)
      let key: Key
      try {
        key = any.decode(data)
      } catch (error) {
        if (isMillraceError(error, 'MILL_BAD_KEY')) return
        throw error
      }
      if (!equalBytes(any.encode(key), data)) throw new Error(`${hex(data)} has two forms`)
    }),
    { numRuns: 10_000 * scale },
  )
  const deep = new Uint8Array(100_000).fill(0x40)
  t.true(
    isMillraceError(
      t.throws(() => any.decode(deep)),
      'MILL_BAD_KEY',
    ),
  )
})

test('texts of every length come back, with other characters or invalid bytes at any place of them', (t) => {
  const string = keyCodecOf<string>('string')
  for (const length of [1, 2, 63, 64, 65, 200]) {
    const plain = 'abcdefgh'.repeat(25).slice(0, length)
    t.is(string.decode(string.encode(plain)), plain)
    t.is(any.decode(any.encode(plain)), plain)
    for (const at of new Set([0, length >> 1, length - 1])) {
      const mixed = `${plain.slice(0, at)}é${plain.slice(at + 1)}`
      t.is(string.decode(string.encode(mixed)), mixed)
      const broken = string.encode(plain)
      broken[at] = 0xe9
      t.throws(() => string.decode(broken), { code: 'MILL_BAD_KEY' }, `${length}, ${at}`)
    }
  }
})

test('decoded keys share no memory with their bytes', (t) => {
  const cases: [string, Key][] = [
    ['any', Uint8Array.of(1, 2, 3)],
    ['any', [Uint8Array.of(1, 0, 3)]],
    ['any', [Uint8Array.of(1, 2, 3)]],
    ['bytes', Uint8Array.of(9, 9)],
  ]
  for (const [name, key] of cases) {
    const codec = keyCodecOf(name as 'any') as KeyCodec<Key>
    const data = codec.encode(key)
    const back = codec.decode(data)
    data.fill(0xee)
    t.true(same(back, key))
  }
})

test('a prefix has the keys that begin with it, between its bytes and those after it', (t) => {
  const within = (codec: KeyCodec<Key>, key: Key, prefix: Key): boolean => {
    const low = encodePrefix(codec, prefix)
    const high = afterPrefix(codec, low)
    const bytes = codec.encode(key)
    return memcmp(bytes, low) >= 0 && (high === undefined || memcmp(bytes, high) < 0)
  }
  const begins = (key: Key, prefix: Key): boolean => {
    if (typeof prefix === 'string') return typeof key === 'string' && key.startsWith(prefix)
    if (prefix instanceof Uint8Array) return key instanceof Uint8Array && prefix.every((byte, i) => key[i] === byte)
    const first = prefix as Key[]
    return Array.isArray(key) && key.length >= first.length && first.every((part, i) => same(part, key[i] as Key))
  }
  const prefixes = keys.filter((key) => typeof key === 'object' || typeof key === 'string')
  fc.assert(
    fc.property(keys, prefixes, (key, prefix) => {
      if (within(any, key, prefix) !== begins(key, prefix)) throw new Error(hex(any.encode(key)))
    }),
    { numRuns: 5000 * scale },
  )
  // A string that ends in a zero begins like the shorter one, byte for byte.
  t.false(within(any, [Uint8Array.of(1, 0)], [Uint8Array.of(1)]))
  t.false(within(any, ['a\0'], ['a']))
  // Chosen to begin so.
  fc.assert(
    fc.property(fc.array(keys, { maxLength: 3 }), fc.array(keys, { maxLength: 3 }), (prefix, more) => {
      if (!within(any, [...prefix, ...more], prefix)) throw new Error('not found below its prefix')
    }),
    { numRuns: 2000 * scale },
  )
  const string = keyCodecOf<Key>('string' as never)
  t.true(within(string, 'abc', 'ab') && within(string, 'x', '') && !within(string, 'b', 'a'))
  t.deepEqual(encodePrefix(string, ''), new Uint8Array(0))
  t.is(afterPrefix(string, new Uint8Array(0)), undefined)
  t.is(afterPrefix(string, Uint8Array.of(255, 255)), undefined)
  t.deepEqual(afterPrefix(string, Uint8Array.of(1, 255, 255)), Uint8Array.of(2))
  for (const [name, prefix] of [
    ['any', 5],
    ['any', 5n],
    ['any', NaN],
    ['u64', 5],
    ['string', 5],
    ['bytes', 'a'],
  ] as const) {
    const error = t.throws(() => encodePrefix(keyCodecOf(name as 'any'), prefix as Key))
    t.true(isMillraceError(error, 'MILL_BAD_KEY'), name)
  }
})

test('codecs by name, of one’s own, and what is none', (t) => {
  t.is(keyCodecOf().name, 'any')
  t.is(keyCodecOf(any), any)
  const own: KeyCodec<number> = {
    name: 'mine',
    encode: (key) => Uint8Array.of(key),
    decode: (data) => data[0] as number,
  }
  t.is(keyCodecOf(own), own)
  const wrong = [
    ...['any ', '', 5, null, {}, { ...own, name: '' }, { ...own, name: 'any' }, { ...own, encode: 1 }],
    { ...own, encodeInto: 1 },
    { name: 'x', encode: own.encode },
  ]
  for (const one of wrong) {
    const error = t.throws(() => keyCodecOf(one as never, 'options.key'))
    t.true(isMillraceError(error, 'MILL_INVALID_ARGUMENT'))
    t.is((error as { argument?: string }).argument, 'options.key')
  }
})
