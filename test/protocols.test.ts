import test from 'ava'
import fc from 'fast-check'
import { ByteQueue, Bytes, FrameParser, isMillraceError } from 'millrace'
import { type ChunkedBodyOptions, chunkedBody } from '../examples/http-chunked/chunked-body.js'
import {
  encode as encodeLength,
  type LengthPrefixOptions,
  lengthPrefixed,
} from '../examples/length-prefixed/length-prefixed.js'
import { encode as encodeToy, messages, takeParts } from '../examples/toy-message/messages.js'
import {
  bufferBytes,
  cutAtFractions,
  fractions,
  numRuns,
  type Run,
  runOf,
  runOfParser,
  sameForAllCuts,
  showBytes,
  survivesMutation,
  truncatedEverywhere,
  wire,
} from './fixtures/protocol-support.js'

const toy = runOfParser(messages, showBytes)

const chunked = (options: ChunkedBodyOptions = {}): Run => {
  const trailers: string[] = []
  return (pieces) => {
    trailers.length = 0
    const onTrailer = (name: string, value: string): number => trailers.push(`${name}=${value}`)
    const { frames, fault } = runOfParser(chunkedBody({ onTrailer, ...options }), showBytes)(pieces)
    // Trailers are out as soon as they are read: shown only for a body that ended.
    return { frames: fault === undefined ? [...frames, ...trailers] : frames, fault }
  }
}
const prefixed = (options?: LengthPrefixOptions): Run => runOfParser(lengthPrefixed(options), showBytes)

const good: [string, Run, string, string[]][] = [
  ['toy', toy, '5\r\nhello\r\n0\r\n\r\n4\r\na\r\nb\r\n', ['hello', '', 'a\r\nb']],
  ['toy', toy, '', []],
  ['u32', prefixed(), '\0\0\0\x03abc\0\0\0\0\0\0\0\x01d', ['abc', '', 'd']],
  ['varint', prefixed({ prefix: 'varint' }), `\x03abc\0\x81\x01${'e'.repeat(129)}`, ['abc', '', 'e'.repeat(129)]],
  ['varint, written longer than needed', prefixed({ prefix: 'varint' }), '\x81\x80\x00x', ['x']],
  [
    'chunked',
    chunked(),
    '4\r\nWiki\r\n5\r\npedia\r\nE\r\n in\r\n\r\nchunks.\r\n0\r\n\r\n',
    ['Wiki', 'pedia', ' in\r\n\r\nchunks.'],
  ],
  ['chunked, empty', chunked(), '0\r\n\r\n', []],
  ['chunked, leading zeros', chunked(), '000A\r\n0123456789\r\n000\r\n\r\n', ['0123456789']],
  ['chunked, small pieces', chunked({ maxPiece: 3 }), 'a\r\n0123456789\r\n0\r\n\r\n', ['012', '345', '678', '9']],
  ['chunked, extensions', chunked(), '1;a;b=c;d="e;\\"\\t f"\r\nx\r\n0;last\r\n\r\n', ['x']],
  ['chunked, trailers', chunked(), '0\r\nDigest: abc def \r\nX-Empty:\r\n\r\n', ['Digest=abc def', 'X-Empty=']],
]

test('B1: toy, u32, varint and chunked bodies give the same frames however they are cut', (t) => {
  for (const [name, run, text, frames] of good) {
    t.deepEqual(sameForAllCuts(t, run, wire(text), name), { frames, fault: undefined }, name)
    if (!name.startsWith('chunked, trailers')) truncatedEverywhere(t, run, wire(text), name)
  }
})

test('B1: longer inputs give the same frames cut at every byte and one byte at a time', (t) => {
  const words = Array.from({ length: 40 }, (_, i) => 'abcdefghij'.repeat(i).slice(0, i * 3))
  t.deepEqual(sameForAllCuts(t, toy, wire(words.map(encodeToy).join('')), 'toy').frames, words)
  for (const prefix of ['u32', 'varint'] as const) {
    const input = Bytes.merge(words.map((word) => encodeLength(word, { prefix }))).copy()
    t.deepEqual(sameForAllCuts(t, prefixed({ prefix }), input, prefix).frames, words)
    truncatedEverywhere(t, prefixed({ prefix }), input, prefix)
  }
  const body = words.slice(1).map((word) => `${word.length.toString(16)}\r\n${word}\r\n`)
  t.deepEqual(sameForAllCuts(t, chunked(), wire(`${body.join('')}0\r\n\r\n`), 'chunked').frames, words.slice(1))
})

const small: ChunkedBodyOptions = { maxLine: 16, maxExtra: 20, maxBody: 10 }
const faults: [string, Run, string, string[], string][] = [
  ['toy', toy, '5\r\nhello\r\n-3\r\nabc\r\n', ['hello'], 'MILL_INVALID_ARGUMENT@undefined'],
  ['toy', toy, 'five\r\n', [], 'MILL_BAD_NUMBER@0'],
  ['toy', toy, '1.5\r\n', [], 'MILL_BAD_NUMBER@0'],
  ['toy', toy, '2\r\nabc\r\n', [], 'MILL_UNEXPECTED_BYTES@5'],
  ['toy', toy, `${'9'.repeat(40)}\r\n`, [], 'MILL_BAD_NUMBER@0'],
  ['u32 beyond the limit', prefixed({ maxLength: 3 }), '\0\0\0\x03abc\0\0\0\x04', ['abc'], 'MILL_TOO_LONG@7'],
  ['u32, 2^31', prefixed(), '\x80\0\0\0', [], 'MILL_TOO_LONG@0'],
  ['u32, 2^32-1', prefixed(), '\xff\xff\xff\xff', [], 'MILL_TOO_LONG@0'],
  ['varint, 2^53-1', prefixed({ prefix: 'varint' }), '\xff\xff\xff\xff\xff\xff\xff\x0f', [], 'MILL_TOO_LONG@0'],
  ['varint, 2^53', prefixed({ prefix: 'varint' }), '\x80\x80\x80\x80\x80\x80\x80\x10', [], 'MILL_BAD_NUMBER@0'],
  ['varint without end', prefixed({ prefix: 'varint' }), '\x80'.repeat(40), [], 'MILL_BAD_NUMBER@0'],
  ['no size', chunked(), '\r\n', [], 'MILL_BAD_NUMBER@0'],
  ['a sign', chunked(), '+5\r\nhello\r\n', [], 'MILL_BAD_NUMBER@0'],
  ['a minus', chunked(), '-1\r\n', [], 'MILL_BAD_NUMBER@0'],
  ['0x', chunked(), '0x5\r\nhello\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['a blank before the size', chunked(), ' 5\r\nhello\r\n', [], 'MILL_BAD_NUMBER@0'],
  ['a blank after the size', chunked(), '5 \r\nhello\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['an underscore', chunked(), '1_0\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['NaN', chunked(), 'NaN\r\n', [], 'MILL_BAD_NUMBER@0'],
  ['a size of 2^53', chunked(), '20000000000000\r\n', [], 'MILL_BAD_NUMBER@0'],
  ['a size of 2^31', chunked(), '80000000\r\n', [], 'MILL_TOO_LONG@0'],
  ['a bare LF', chunked(), '5\nhello\r\n0\r\n\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['a bare CR', chunked(), '5\rhello\r\n0\r\n\r\n', [], 'MILL_UNEXPECTED_BYTES@1'],
  ['LF in an extension', chunked(), '5;a\n0\r\nhello\r\n', [], 'MILL_UNEXPECTED_BYTES@3'],
  ['LF in a quoted extension', chunked(), '5;a="\n"\r\nhello\r\n', [], 'MILL_UNEXPECTED_BYTES@5'],
  ['an open quote', chunked(), '5;a="b\r\nhello\r\n', [], 'MILL_UNEXPECTED_BYTES@6'],
  ['an extension without name', chunked(), '5;\r\nhello\r\n', [], 'MILL_UNEXPECTED_BYTES@2'],
  ['more data than declared', chunked(), '2\r\nabc\r\n', ['ab'], 'MILL_UNEXPECTED_BYTES@5'],
  ['LF after the data', chunked(), '1\r\na\n0\r\n\r\n', ['a'], 'MILL_UNEXPECTED_BYTES@4'],
  ['a blank before the colon', chunked(), '0\r\nA : b\r\n\r\n', [], 'MILL_UNEXPECTED_BYTES@4'],
  ['a folded trailer', chunked(), '0\r\nA: b\r\n c\r\n\r\n', [], 'MILL_UNEXPECTED_BYTES@9'],
  ['CR in a trailer', chunked(), '0\r\nA: b\rc\r\n\r\n', [], 'MILL_UNEXPECTED_BYTES@7'],
  ['bytes after the body', chunked(), '1\r\na\r\n0\r\n\r\nGET', ['a'], 'MILL_TRAILING_DATA@11'],
  ['a long line', chunked(small), `1;${'a'.repeat(20)}`, [], 'MILL_TOO_LONG@0'],
  ['many extensions', chunked(small), '1;aaaaaaa\r\nx\r\n'.repeat(3), ['x', 'x'], 'MILL_TOO_LONG@28'],
  ['many trailers', chunked(small), '0\r\nabc: def\r\nabc: def\r\nabc: def\r\n', [], 'MILL_TOO_LONG@23'],
  ['a long body', chunked(small), '8\r\n01234567\r\n3\r\n', ['01234567'], 'MILL_TOO_LONG@13'],
]

test('G2: toy, u32, varint and chunked bodies: every fault is one error with a code and a place', (t) => {
  for (const [name, run, text, frames, fault] of faults) {
    const label = `${name}: ${JSON.stringify(text)}`
    t.deepEqual(sameForAllCuts(t, run, wire(text), label), { frames, fault }, label)
  }
})

test('B4: a declared length over the limit is refused before a byte of the message has come', (t) => {
  const parser = new FrameParser(lengthPrefixed({ maxLength: 1000 }))
  const error = t.throws(() => parser.push(Uint8Array.of(0, 0, 3, 233)))
  t.true(isMillraceError(error, 'MILL_TOO_LONG'))
  t.like(error, { limit: 1000, needed: 1001, offset: 0 })
  t.true(
    isMillraceError(
      t.throws(() => encodeLength('x'.repeat(11), { maxLength: 10 })),
      'MILL_TOO_LONG',
    ),
  )
  const queue = new FrameParser(messages, { maxLength: 1000 })
  t.true(
    isMillraceError(
      t.throws(() => queue.push('1001\r\n')),
      'MILL_BUFFER_FULL',
    ),
  )
})

test('G3: a declared length costs nothing before its bytes have come', (t) => {
  const headers: [FrameParser<Bytes>, Uint8Array][] = [
    [new FrameParser(messages), wire('1073741000\r\n')],
    [new FrameParser(lengthPrefixed({ maxLength: 2 ** 30 })), Uint8Array.of(0x3f, 0xff, 0xff, 0xff)],
    [new FrameParser(chunkedBody({ maxPiece: 2 ** 30 })), wire('3fffffff\r\n')],
  ]
  for (const [parser, header] of headers) {
    const cost = bufferBytes(() => parser.push(header))
    t.true(cost < 2 ** 20, `cost ${cost} bytes`)
    t.true(parser.queue.retained <= 2 ** 18)
  }
})

test('B1: what is encoded comes back, in any pieces', (t) => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 })
  const latin1 = (u8: Uint8Array): string => Buffer.from(u8).toString('latin1')
  for (const prefix of ['u32', 'varint'] as const) {
    fc.assert(
      fc.property(payloads, fractions, (list, at) => {
        const input = Bytes.merge(list.map((each) => encodeLength(each, { prefix }))).copy()
        const got = prefixed({ prefix })(cutAtFractions(input, at))
        return JSON.stringify(got) === JSON.stringify({ frames: list.map(latin1), fault: undefined })
      }),
      { numRuns },
    )
  }
  fc.assert(
    fc.property(payloads, fractions, fc.boolean(), (list, at, upper) => {
      const bodies = list.filter((each) => each.length > 0).map(latin1)
      const size = (text: string): string => text.length.toString(16)
      const chunks = bodies.map((text) => `${upper ? size(text).toUpperCase() : size(text)}\r\n${text}\r\n`)
      const got = chunked()(cutAtFractions(wire(`${chunks.join('')}0\r\n\r\n`), at))
      return JSON.stringify(got) === JSON.stringify({ frames: bodies, fault: undefined })
    }),
    { numRuns },
  )
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 20 }), { maxLength: 6 }), fractions, (list, at) => {
      const got = toy(cutAtFractions(wire(list.map(encodeToy).join('')), at))
      return JSON.stringify(got) === JSON.stringify({ frames: list, fault: undefined })
    }),
    { numRuns },
  )
  t.pass()
})

test('G2: damaged input gives frames or an error of ours, the same in any pieces', (t) => {
  const runs = new Map<Run, Uint8Array[]>()
  for (const [, run, text] of good) if (text !== '') runs.set(run, [...(runs.get(run) ?? []), wire(text)])
  for (const [run, inputs] of runs) t.notThrows(() => survivesMutation(run, inputs))
})

test('B1: the toy message by hand gives the same bytes as the parser', (t) => {
  const byHand = runOf(
    () => {
      const queue = new ByteQueue({ copyBelow: 4 })
      const progress = { remaining: undefined }
      return {
        push: (data) => {
          queue.append(data)
          return takeParts(queue, progress)
        },
        end: () => [],
        frames: () => [],
      }
    },
    (bytes) => bytes.toString('latin1'),
  )
  const joined: Run = (pieces) => ({ frames: [byHand(pieces).frames.join('')], fault: undefined })
  const input = wire(['one', 'two\r\n', '', 'three'].map(encodeToy).join(''))
  t.deepEqual(sameForAllCuts(t, joined, input, 'by hand').frames, ['onetwo\r\nthree'])
})
