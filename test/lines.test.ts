import test from 'ava'
import fc from 'fast-check'
import { type AnyBytes, Bytes } from '../lib/buffer/index.js'
import { isMillraceError, lines, readable } from '../lib/streams/index.js'
import { abortKit, failure, gather, gatherUntilError, settle, within } from './fixtures/stream-kit.js'

/** The definition: LF ends a line, one CR right before it goes with it, the last line needs no end. */
function model(text: string): string[] {
  const all = text.split('\n')
  if (all.at(-1) === '') all.pop()
  else return [...all.slice(0, -1).map(trim), all.at(-1) as string]
  return all.map(trim)
}
const trim = (line: string): string => (line.endsWith('\r') ? line.slice(0, -1) : line)

const samples = [
  '',
  '\n',
  '\r\n',
  '\n\n',
  'a',
  'a\r',
  'a\nb',
  'one\r\ntwo\rthree\n\nfour\r\r\n\u{feff}fünf €\u{1f600}\nlast',
  '\r\n\r\n\r',
  `${'x'.repeat(1500)}\n${'ü'.repeat(700)}\r\n`,
]

test('B1: lines do not depend on the cut, be it inside CRLF or a character', async (t) => {
  for (const text of samples) {
    const expected = model(text)
    const bytes = Buffer.from(text)
    t.deepEqual(await within(gather(lines(text)), 'string'), expected)
    t.deepEqual(await gather(lines(Bytes.from(text))), expected)
    t.deepEqual(await gather(lines(new Uint8Array(bytes))), expected)
    t.deepEqual(await gather(lines([...bytes].map((byte) => Buffer.of(byte)))), expected, 'byte by byte')
    const step = bytes.length > 200 ? 97 : 1
    for (let at = 0; at <= bytes.length; at += step) {
      const cut = [bytes.subarray(0, at), bytes.subarray(at)]
      t.deepEqual(await within(gather(lines(cut)), 'cut'), expected, `${JSON.stringify(text)} cut at ${at}`)
      t.deepEqual(
        (await gather(lines(cut).batches())).flat(),
        expected,
        `${JSON.stringify(text)} cut at ${at}, batches`,
      )
    }
  }
})

test('B1: any text in any pieces of any kind', async (t) => {
  const unit = fc.constantFrom('\n', '\r', '\r\n', 'a', 'ü', '€', '😀', ' ', 'long '.repeat(200))
  const kinds: ((bytes: Uint8Array) => AnyBytes)[] = [
    (bytes) => bytes,
    (bytes) => Bytes.from(bytes),
    (bytes) => Uint8Array.from(bytes).buffer,
    (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  ]
  await fc.assert(
    fc.asyncProperty(
      fc.array(unit, { maxLength: 60 }),
      fc.array(fc.nat(3000), { maxLength: 20 }),
      fc.nat(3),
      fc.boolean(),
      async (units, cuts, kind, latin) => {
        const text = units.join('')
        const bytes = Buffer.from(text)
        const at = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
        const parts = at.slice(1).map((end, i) => kinds[(kind + i) % 4]?.(bytes.subarray(at[i], end)) as AnyBytes)
        const source = (async function* () {
          yield* parts
        })()
        const encoding = latin ? 'latin1' : 'utf8'
        t.deepEqual(await gather(lines(source, { encoding })), model(bytes.toString(encoding)))
      },
    ),
    { numRuns: 150 },
  )
})

test('strings in a source are UTF-8, whole characters or not', async (t) => {
  t.deepEqual(await gather(lines(['a', 'b\nc', 'ü\r', '\n€'])), ['ab', 'cü', '€'])
  const invalid = Buffer.from([0x61, 0xff, 0x0a, 0xc3])
  t.deepEqual(await gather(lines([invalid])), ['a\u{fffd}', '\u{fffd}'])
  t.deepEqual(await gather(lines([invalid], { encoding: 'latin1' })), ['a\u{ff}', '\u{c3}'])
  t.throws(() => lines('x', { encoding: 'utf16' as never }), { code: 'MILL_INVALID_ARGUMENT' })
  for (const maxLength of [-1, 1.5, Number.NaN]) {
    t.throws(() => lines('x', { maxLength }), { code: 'MILL_INVALID_ARGUMENT' })
  }
})

test('batches are string[], never empty, at most maxItems', async (t) => {
  const text = Array.from({ length: 5000 }, (_, i) => `line ${i}`)
  const all: string[][] = await gather(lines(text.join('\n')).batches({ maxItems: 64 }))
  t.true(all.every((batch) => batch.length > 0 && batch.length <= 64))
  t.deepEqual(all.flat(), text)
  t.true((await gather(lines(text.join('\n')).batches())).length < 1000, 'more than one line at a time')
})

test('B4: a line over maxLength is an error when the limit is passed, after the lines before it', async (t) => {
  for (const [text, good] of [
    ['ab\nabcdefgh\nabcdefghi\nx', ['ab', 'abcdefgh']],
    ['ab\nabcdefghi', ['ab']],
  ] as const) {
    const bytes = Buffer.from(text)
    for (let at = 0; at <= bytes.length; at++) {
      const source = [bytes.subarray(0, at), bytes.subarray(at)].filter((part) => part.length > 0)
      const { items, error } = await within(gatherUntilError(lines(source, { maxLength: 8 })), 'lines')
      t.deepEqual(items, [...good], `cut at ${at}`)
      t.true(isMillraceError(error, 'MILL_TOO_LONG'), String(error))
      const { limit, offset } = error as unknown as { limit: number; offset: number }
      t.is(limit, 8)
      const start = text.indexOf('abcdefghi')
      t.true(offset >= start && offset <= start + 9, `offset ${offset}, line at ${start}`)
    }
  }
  t.deepEqual(await gather(lines('12345678\n12345678', { maxLength: 8 })), ['12345678', '12345678'])
  // Whether the CR of CRLF counts is one thing; that it does not depend on the cut is another.
  const whole = await gatherUntilError(lines('12345678\r\nx', { maxLength: 8 }))
  for (let at = 1; at < 10; at++) {
    const text = '12345678\r\nx'
    const cut = await gatherUntilError(lines([text.slice(0, at), text.slice(at)], { maxLength: 8 }))
    t.deepEqual([cut.items, cut.error === undefined], [whole.items, whole.error === undefined], `cut at ${at}`)
  }
  let given = 0
  let stopped = 0
  const endless = (async function* () {
    try {
      for (;;) {
        given += 1000
        yield 'x'.repeat(1000)
      }
    } finally {
      stopped++
    }
  })()
  const error = await failure(gather(lines(endless, { maxLength: 100_000 })))
  t.true(isMillraceError(error, 'MILL_TOO_LONG'))
  t.true(given < 100_000 + 3 * 65536, `${given} bytes were read`)
  await settle(3)
  t.is(stopped, 1)
})

test.serial('B2: byte by byte, lines long or short, the time grows with the input', async (t) => {
  const byte = Buffer.from('x')
  const end = Buffer.from('\n')
  const run = async (count: number, every: number, times: number): Promise<number> => {
    const pieces = Array.from({ length: count }, (_, i) => (i % every === every - 1 ? end : byte))
    const start = performance.now()
    for (let i = 0; i < times; i++) {
      let bytes = 0
      for await (const batch of lines(pieces).batches()) for (const line of batch) bytes += line.length
      t.is(bytes, count - Math.floor(count / every))
    }
    return performance.now() - start
  }
  for (const every of [80, Number.MAX_SAFE_INTEGER]) {
    await run(4000, every, 1)
    // A busy machine may spoil a round; quadratic time spoils all of them: it would take 16 times as long as the parts.
    let ratio = Number.POSITIVE_INFINITY
    for (let round = 0; round < 6 && ratio > 3; round++) {
      ratio = Math.min(ratio, (await run(64_000, every, 1)) / (await run(4000, every, 16)))
    }
    t.true(ratio <= 3, `${ratio} times as long as in 16 parts`)
  }
})

test('G4: nobody reads on: the source waits', async (t) => {
  let given = 0
  const source = (async function* () {
    for (let i = 0; i < 2000; i++) {
      given += 1000
      yield `${'y'.repeat(99)}\n`.repeat(10)
    }
  })()
  const it = lines(source)[Symbol.asyncIterator]()
  await within(it.next(), 'first')
  await settle(50)
  t.true(given < 2 * 65536 + 2000, `${given} bytes were read`)
  let count = 1
  while (!(await it.next()).done) count++
  t.is(count, 20_000)
})

test('abort, break, and errors of the source', async (t) => {
  const kit = abortKit()
  const never = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<IteratorResult<string>>(() => {}) }) }
  const waiting = failure(gather(lines(never, { signal: kit.signal })))
  await settle(2)
  const reason = new Error('stop')
  kit.abort(reason)
  t.is(await waiting, reason)
  t.is(kit.live(), 0)

  const error = new Error('source')
  const failing = (async function* () {
    yield 'a\nb\nhalf'
    await settle(3)
    throw error
  })()
  t.deepEqual(await gatherUntilError(lines(failing)), { items: ['a', 'b'], error })
  const stream = lines(readable(['a\nb\n']))
  for await (const _ of stream) break
  t.true(stream.destroyed)
})
