import test from 'ava'
import { FrameParser, isMillraceError } from 'millrace'
import { NdjsonError, ndjson } from '../examples/ndjson/ndjson.js'
import { type City, cities } from '../examples/tour/cities.js'
import { difference } from '../examples/tour/compare.js'
import {
  cut,
  runOfParser,
  sameForAllCuts,
  survivesMutation,
  truncatedEverywhere,
  wire,
} from './fixtures/protocol-support.js'

/** Everything before the fault, and the fault. */
async function collect(pieces: Iterable<Uint8Array | string>, maxLength?: number): Promise<[unknown[], unknown]> {
  const values: unknown[] = []
  try {
    for await (const value of ndjson(pieces, maxLength === undefined ? {} : { maxLength })) values.push(value)
  } catch (error) {
    return [values, error]
  }
  return [values, undefined]
}

test('B1: ndjson: the same values however the input is cut', async (t) => {
  const input = wire('{"a":1}\r\n\n[true,null]\n  \n"x\\ny"\n\xc3\xa4'.replace('\xc3\xa4', '"\xc3\xa4"'))
  const expected = [{ a: 1 }, [true, null], 'x\ny', 'ä']
  t.deepEqual(await collect([input]), [expected, undefined])
  for (let i = 0; i < input.length; i++) {
    for (let j = i; j < input.length; j++) t.deepEqual(await collect(cut(input, [i, j])), [expected, undefined])
  }
  const single = Array.from(input, (byte) => Uint8Array.of(byte))
  t.deepEqual(await collect(single), [expected, undefined])
})

test('G2: ndjson: a fault names its line, after the values before it', async (t) => {
  const input = wire('1\n\n2\n{"a":\n3\n')
  for (let i = 0; i <= input.length; i++) {
    const [values, error] = await collect(cut(input, [i]))
    t.deepEqual(values, [1, 2])
    if (!(error instanceof NdjsonError)) return t.fail(String(error))
    t.is(error.line, 4)
    t.true(error.cause instanceof SyntaxError)
  }
  // The last line cut short is a fault too, unless what is left is JSON.
  t.true((await collect([wire('1\n{"a"')]))[1] instanceof NdjsonError)
})

test('B4: ndjson: a line over its limit is an error before its end has come', async (t) => {
  let asked = 0
  function* endless(): Generator<string> {
    yield '1\n'
    for (; ; asked++) yield '"aaaaaaaaaaaaaaa'
  }
  const [values, error] = await collect(endless(), 1000)
  t.deepEqual(values, [1])
  t.true(isMillraceError(error, 'MILL_TOO_LONG'))
  t.true(asked < 10_000, `${asked} pieces of an endless line were read`)
})

/** Unsigned LEB128. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))]
}
const sint = (field: number, value: number): number[] => [field * 8, ...varint(value < 0 ? -value * 2 - 1 : value * 2)]
const string = (field: number, text: string): number[] => [field * 8 + 2, ...varint(text.length), ...wire(text)]
const message = (...fields: number[][]): number[] => [...varint(fields.flat().length), ...fields.flat()]

/** Two cities as cities.pbf has them; the second has a negative id, and fields of each kind that nobody knows. */
const citiesWire = Uint8Array.from([
  ...message(
    sint(1, 2657896),
    ...[string(2, 'Z\xc3\xbcrich'), string(3, 'CH'), string(4, 'Zurich'), string(7, 'PPLA'), string(8, 'ZH')],
    [9 * 8, ...varint(341730)],
    ...[sint(10, 855000), sint(11, 4736667)],
  ),
  ...message(
    ...[sint(1, -1), string(2, 'B'), string(3, 'DE'), string(5, 'm'), string(6, 'n'), string(7, 'P'), string(8, '')],
    ...[sint(10, -1), sint(11, 1), string(15, 'xx'), sint(12, 70_000)],
    ...[
      [13 * 8 + 1, 1, 2, 3, 4, 5, 6, 7, 8],
      [14 * 8 + 5, 1, 2, 3, 4],
    ],
  ),
])

test('B1: cities: the same cities however the file is cut', (t) => {
  const run = runOfParser<City>(cities, (city) => JSON.stringify(city))
  const { frames, fault } = sameForAllCuts(t, run, citiesWire, 'cities')
  t.is(fault, undefined)
  t.is(frames.length, 2)
  truncatedEverywhere(t, run, citiesWire, 'cities')
  t.notThrows(() => survivesMutation(run, [citiesWire]))
})

test('cities: fields, deltas, and what is not known', (t) => {
  const parser = new FrameParser(cities)
  const [first, second] = [...parser.push(citiesWire), ...parser.end()]
  t.is(first?.name, 'Zürich')
  t.is(second?.cityId, -1)
  t.is(second?.muni, 'm')
  t.deepEqual(first?.loc.coordinates, [8.55, 47.36667])
  t.deepEqual(second?.loc.coordinates, [8.54999, 47.36668])
  t.is(first?.population, 341_730)
  t.false(Object.hasOwn(first ?? {}, 'muni'))
})

test('G2: cities: a damaged message is an error with a place', (t) => {
  const faults: [number[], string][] = [
    [[...varint(4097)], 'MILL_TOO_LONG'],
    [message([2 * 8 + 2, 100, 1]), 'MILL_UNEXPECTED_END'],
    [message([1 * 8, 255]), 'MILL_UNEXPECTED_END'],
    [message([1 * 8, 255, 255, 255, 255, 255, 255, 255, 255, 1]), 'MILL_BAD_NUMBER'],
    [message([1 * 8 + 2, 1, 65]), 'MILL_UNEXPECTED_BYTES'],
    [message([2 * 8, 1]), 'MILL_UNEXPECTED_BYTES'],
    [message([12 * 8 + 3]), 'MILL_UNEXPECTED_BYTES'],
    [message([13 * 8 + 1, 1, 2, 3]), 'MILL_UNEXPECTED_END'],
  ]
  for (const [bytes, code] of faults) {
    const error = t.throws(() => new FrameParser(cities).push(Uint8Array.from(bytes)), undefined, code)
    t.is((error as { code?: string }).code, code)
    t.is(typeof (error as { offset?: number }).offset, 'number')
  }
})

test('tour: difference() finds what differs', (t) => {
  t.is(difference({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] }), undefined)
  t.is(difference({ a: [1, { b: 2 }] }, { a: [1, { b: 3 }] }), '.a.1.b: 2 is not 3')
  t.is(difference({ a: 1 }, { a: 1, b: undefined }), '.b is missing')
  t.is(difference({ a: 1, b: undefined }, { a: 1 }), '.b should not be there')
  t.is(difference(null, {}, 'x'), 'x: null is not {}')
  t.is(difference(Number.NaN, Number.NaN), undefined)
})
