import test from 'ava'
import { Bytes, FrameParser, isMillraceError } from 'millrace'
import { command, encode } from '../examples/resp/encode.js'
import { replies } from '../examples/resp/parser.js'
import { RespReader } from '../examples/resp/reader.js'
import {
  NIL,
  RespAttributed,
  RespError,
  RespMap,
  RespSet,
  type RespValue,
  RespVerbatim,
} from '../examples/resp/values.js'
import { bufferBytes, sameForAllCuts, truncatedEverywhere, wire } from './fixtures/protocol-support.js'
import { both, good, show } from './fixtures/resp-kit.js'

const faults: [string, string[], string][] = [
  ['+OK\r\nHTTP/1.1 200 OK\r\n', ['"OK"'], 'MILL_UNEXPECTED_BYTES@5'],
  [':12a\r\n', [], 'MILL_BAD_NUMBER@1'],
  [':\r\n', [], 'MILL_BAD_NUMBER@1'],
  [': 1\r\n', [], 'MILL_BAD_NUMBER@1'],
  [':9223372036854775808\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['$abc\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['$-2\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['$NaN\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['*-2\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['%-1\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['=-1\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['=?\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['$99999999999999999999\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['$9007199254740991\r\n', [], 'MILL_TOO_LONG@1'],
  ['$2147483648\r\n', [], 'MILL_TOO_LONG@1'],
  ['*2147483648\r\n', [], 'MILL_TOO_LONG@1'],
  ['%9007199254740991\r\n', [], 'MILL_TOO_LONG@1'],
  ['(\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['(0x10\r\n', [], 'MILL_BAD_NUMBER@1'],
  [',\r\n', [], 'MILL_BAD_NUMBER@1'],
  [',0x10\r\n', [], 'MILL_BAD_NUMBER@1'],
  [',1e\r\n', [], 'MILL_BAD_NUMBER@1'],
  ['#x\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['_null\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['=3\r\nabc\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['*1\r\n>1\r\n+a\r\n', [], 'MILL_UNEXPECTED_BYTES@5'],
  ['>?\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['.\r\n', [], 'MILL_UNEXPECTED_BYTES@0'],
  ['*1\r\n.\r\n', [], 'MILL_UNEXPECTED_BYTES@4'],
  ['%?\r\n+a\r\n.\r\n', [], 'MILL_UNEXPECTED_BYTES@8'],
  ['*?\r\n|1\r\n+a\r\n+b\r\n.\r\n', [], 'MILL_UNEXPECTED_BYTES@16'],
  ['$?\r\n+4\r\n', [], 'MILL_UNEXPECTED_BYTES@4'],
  ['$?\r\n;-1\r\n', [], 'MILL_BAD_NUMBER@5'],
  [';1\r\n', [], 'MILL_UNEXPECTED_BYTES@0'],
  ['$2\r\nabc\r\n', [], 'MILL_UNEXPECTED_BYTES@6'],
  ['$?\r\n;2\r\nabc\r\n', [], 'MILL_UNEXPECTED_BYTES@10'],
  ['$?x\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['*?\r\n.x\r\n', [], 'MILL_UNEXPECTED_BYTES@5'],
]

for (const [name, run] of both) {
  test(`B1: resp ${name}: every type, however it is cut`, (t) => {
    for (const [text, frames] of good) {
      const whole = sameForAllCuts(t, run(), wire(text), JSON.stringify(text))
      t.deepEqual(whole, { frames, fault: undefined }, JSON.stringify(text))
      truncatedEverywhere(t, run(), wire(text), JSON.stringify(text))
    }
    const all = wire(good.map(([text]) => text).join(''))
    t.is(sameForAllCuts(t, run(), all, 'all of them').frames.length, good.flatMap(([, frames]) => frames).length)
    truncatedEverywhere(t, run(), all, 'all of them')
  })

  test(`G2: resp ${name}: every fault is one error with a code and a place, after the frames before it`, (t) => {
    for (const [text, frames, fault] of faults) {
      t.deepEqual(sameForAllCuts(t, run(), wire(text), JSON.stringify(text)), { frames, fault }, JSON.stringify(text))
    }
    // The same with good values around it: the reader has a faster way for what is not at the edge of a piece.
    for (const [text, frames, fault] of faults) {
      const surrounded = `+OK\r\n${text}${'+OK\r\n'.repeat(10)}`
      const [code, offset] = fault.split('@')
      const expected = { frames: ['"OK"', ...frames], fault: `${code}@${Number(offset) + 5}` }
      t.deepEqual(run()([wire(surrounded)]), expected, JSON.stringify(surrounded))
    }
  })

  test(`G2: resp ${name}: 20,000 arrays within arrays are an error, not a stack overflow`, (t) => {
    t.is(run()([wire('*1\r\n'.repeat(20_000))]).fault, 'MILL_TOO_LONG@257')
    t.is(run()([wire('|0\r\n'.repeat(20_000))]).fault, 'MILL_TOO_LONG@257')
    t.is(run()([wire(`${'*1\r\n'.repeat(64)}:1\r\n`)]).frames.length, 1)
    t.is(run({ maxDepth: 1 })([wire('*1\r\n*0\r\n')]).fault, 'MILL_TOO_LONG@5')
  })

  test(`B4: resp ${name}: limits are errors when they are passed, not when the reply is complete`, (t) => {
    t.is(run({ maxBytes: 100 })([wire('$101\r\n')]).fault, 'MILL_TOO_LONG@1')
    t.is(run({ maxBytes: 100 })([wire('*40\r\n')]).fault, 'MILL_TOO_LONG@1')
    t.is(run({ maxBytes: 100 })([wire(`*?\r\n${':1\r\n'.repeat(30)}`)]).fault, 'MILL_TOO_LONG@0')
    t.is(run({ maxBytes: 100 })([wire(`$?\r\n${';9\r\n123456789\r\n'.repeat(10)}`)]).fault, 'MILL_TOO_LONG@95')
    t.is(run()([wire(`+${'a'.repeat(65538)}`)]).fault?.split('@')[0], 'MILL_TOO_LONG')
    t.is(run()([wire(`+${'a'.repeat(65537)}\r\n`)]).fault?.split('@')[0], 'MILL_TOO_LONG')
    t.is(run()([wire(`+${'a'.repeat(65536)}\r\n`)]).frames.length, 1)
    t.is(run()([wire(`(${'9'.repeat(4097)}\r\n`)]).fault, 'MILL_BAD_NUMBER@1')
    // One reply is limited, not all of them together.
    t.is(run({ maxBytes: 100 })([wire('$50\r\n'.padEnd(55, 'x').concat('\r\n').repeat(4))]).frames.length, 4)
  })
}

test('G3: resp: a declared length or count costs nothing before its bytes have come', (t) => {
  for (const header of ['$536870000\r\n', '*170000000\r\n', '%80000000\r\n', '$?\r\n;536870000\r\n', '*?\r\n']) {
    const reader = new RespReader()
    const parser = new FrameParser(replies)
    const cost = bufferBytes(() => {
      for (let i = 0; i < 10; i++) {
        reader.push(i === 0 ? header : '')
        parser.push(i === 0 ? header : '')
      }
      return [reader, parser]
    })
    t.true(cost < 2 ** 20, `${JSON.stringify(header)} cost ${cost} bytes`)
    t.true(reader.queue.retained <= 2 ** 18 && parser.queue.retained <= 2 ** 18)
  }
})

test('resp: bulk strings point at the memory that came in', (t) => {
  const input = new Uint8Array(Buffer.from(`$1000\r\n${'x'.repeat(1000)}\r\n`))
  const [fromReader] = new RespReader().push(input)
  const [fromParser] = new FrameParser(replies).push(input)
  for (const found of [fromReader, fromParser]) {
    if (!(found instanceof Bytes)) return t.fail('no bulk string')
    t.is(found.toUint8Array().buffer, input.buffer)
  }
})

test('resp: commands are arrays of bulk strings', (t) => {
  t.is(command('SET', 'ключ', Uint8Array.of(0, 255), 12).toString('latin1'), wireText())
  t.is(show(new RespReader().push(command('GET', 'a'))[0] as RespValue), '[bulk "GET", bulk "a"]')
})

function wireText(): string {
  const key = Buffer.from('ключ').toString('latin1')
  return `*4\r\n$3\r\nSET\r\n$8\r\n${key}\r\n$2\r\n\x00\xff\r\n$2\r\n12\r\n`
}

test('resp: version 2 gets types it knows', (t) => {
  const everything: RespValue[] = [
    NIL,
    true,
    1.5,
    10n,
    new RespMap([['k', 1]]),
    new RespSet([2]),
    new RespVerbatim('txt', Bytes.from('v')),
    new RespAttributed(new RespMap([['a', 1]]), 'x'),
    new RespError('ERR a\nb'),
  ]
  const [seen] = new RespReader().push(encode(everything, 2))
  const expected = '[null, 1, bulk "1.5", bulk "10", ["k", 1], [2], bulk "v", "x", error "ERR a b"]'
  t.is(show(seen as RespValue), expected)
})

test('resp: a map is asked by name', (t) => {
  const [map] = new RespReader().push('%3\r\n:1\r\n:2\r\n$1\r\na\r\n:3\r\n+b\r\n:4\r\n')
  if (!(map instanceof RespMap)) return t.fail('no map')
  t.is(map.get('a'), 3)
  t.is(map.get('b'), 4)
  t.is(map.get('1'), undefined)
})

test('resp: the values before a fault are there after the throw', (t) => {
  const reader = new RespReader()
  const error = t.throws(() => reader.push('+a\r\n+b\r\nx'))
  t.true(isMillraceError(error, 'MILL_UNEXPECTED_BYTES'))
  t.deepEqual(reader.values, ['a', 'b'])
})
