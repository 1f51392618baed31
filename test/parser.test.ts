import test from 'ava'
import { type BufferError, type Bytes, FrameParser, type Parser, type ParserInput } from '../lib/buffer/index.js'
import { ChunkedBuffer } from '../lib/streams/index.js'
import { collect } from './fixtures/buffer-model.js'

const code = (name: string) => ({ code: `MILL_${name}` })

interface Outcome<F> {
  readonly frames: F[]
  readonly error: unknown
}

function run<F>(parser: Parser<F>, pieces: Uint8Array[]): Outcome<F> {
  const frames: F[] = []
  const machine = new FrameParser(parser)
  try {
    for (const piece of pieces) frames.push(...machine.push(piece))
    frames.push(...machine.end())
    return { frames, error: undefined }
  } catch (error) {
    return { frames: [...frames, ...machine.frames], error }
  }
}

const codeOf = (error: unknown) => (error as { code?: string } | undefined)?.code

/** Every cut into pieces of one size, every cut in three. Each must give the frames, and the fault, of the whole. */
function everyCut<F>(parser: Parser<F>, text: string): Outcome<F> {
  const input = Buffer.from(text, 'latin1')
  const whole = run(parser, [input])
  const check = (what: string, pieces: Uint8Array[]): void => {
    const cut = run(parser, pieces)
    if (JSON.stringify(cut.frames) !== JSON.stringify(whole.frames)) throw new Error(`other frames ${what}`)
    if (codeOf(cut.error) !== codeOf(whole.error)) throw new Error(`another error ${what}: ${cut.error}`)
  }
  for (let size = 1; size < input.length; size++) {
    const pieces: Uint8Array[] = []
    for (let at = 0; at < input.length; at += size) pieces.push(input.subarray(at, at + size))
    check(`in pieces of ${size}`, pieces)
  }
  for (let a = 0; a <= input.length; a++) {
    for (let b = a; b <= input.length; b++)
      check(`cut at ${a} and ${b}`, [input.subarray(0, a), input.subarray(a, b), input.subarray(b)])
  }
  return whole
}

const numbers = '\x01\x01\x02\x01\x02\x01\x02\x03\x04\x01\x02\x03\x04\0\0\0\0\0\0\0\x05\x05\0\0\0\0\0\0\0\xac\x02'
const everything = `abcdefghi--jk--line\r\nkept\n-12\r\nff;OK!${numbers}the rest`

/** Uses each operation once. */
function* everyOperation(input: ParserInput<unknown>) {
  input.emit(['more', yield* input.more(), input.offset])
  input.emit(['take', String(yield* input.take(3)), String(yield* input.take(0))])
  input.emit(['peek', String(yield* input.peek(2)), input.offset])
  yield* input.skip(2)
  input.emit(['until', String(yield* input.until('--')), String(yield* input.until('--', { include: true, max: 5 }))])
  input.emit(['line', String(yield* input.line()), String(yield* input.line({ keepEnd: true, max: 4 }))])
  input.emit(['integer', yield* input.integer(), yield* input.integer(';', 16)])
  yield* input.expect('OK')
  yield* input.expect(33)
  input.emit([
    yield* input.uint8(),
    yield* input.uint16BE(),
    yield* input.uint16LE(),
    yield* input.uint32BE(),
    yield* input.uint32LE(),
  ])
  input.emit([String(yield* input.bigUint64BE()), String(yield* input.bigUint64LE()), yield* input.varint()])
  input.emit(['rest', String(yield* input.rest()), yield* input.more(), (yield* input.line()) ?? null])
}

test('B1: every operation gives the same answer however the input is cut', (t) => {
  const { frames, error } = everyCut(everyOperation, everything)
  t.is(error, undefined)
  t.deepEqual(frames, [
    ['more', true, 0],
    ['take', 'abc', ''],
    ['peek', 'de', 3],
    ['until', 'fghi', 'jk--'],
    ['line', 'line', 'kept\n'],
    ['integer', -12, 255],
    [1, 0x0102, 0x0201, 0x01020304, 0x04030201],
    ['5', '5', 300],
    ['rest', 'the rest', false, null],
  ])
})

test('B1: an input cut short at any byte gives the frames before it and an error, never another frame', (t) => {
  const { frames } = run(everyOperation, [Buffer.from(everything, 'latin1')])
  for (let end = 0; end < everything.length; end++) {
    const short = run(everyOperation, [Buffer.from(everything.slice(0, end), 'latin1')])
    if (end >= everything.indexOf('the rest')) {
      t.is(short.error, undefined, 'rest() takes whatever there is')
      t.deepEqual(short.frames.slice(0, -1), frames.slice(0, -1))
      continue
    }
    t.is(codeOf(short.error), 'MILL_UNEXPECTED_END', `${end}`)
    // more() and line() take the end as an answer: of their frames the last one may be another.
    const last = (short.frames.at(-1) as unknown[] | undefined)?.[0]
    const sure = last === 'more' || last === 'line' ? short.frames.slice(0, -1) : short.frames
    t.deepEqual(sure, frames.slice(0, sure.length), `${end}`)
  }
})

test('B1: a push that is longer than maxLength works like its pieces; what passes it is a fault for good', (t) => {
  const pairs = function* (input: ParserInput<string>) {
    while (yield* input.more()) input.emit(String(yield* input.take(2)))
  }
  for (const data of ['abcdefg', Buffer.from('abcdefg')]) {
    const machine = new FrameParser(pairs, { maxLength: 4 })
    t.deepEqual(machine.push(data), ['ab', 'cd', 'ef'])
    t.deepEqual(machine.push('h'), ['gh'])
    t.deepEqual(machine.end(), [])
  }
  const greedy = new FrameParser<string>(
    function* (input) {
      input.emit(String(yield* input.take(3)))
      yield* input.rest()
    },
    { maxLength: 4 },
  )
  const full = t.throws(() => greedy.push('0123456789'), code('BUFFER_FULL'))
  t.like(full, { length: 4, needed: 3, limit: 4 })
  t.deepEqual(greedy.frames, ['012'])
  t.is(
    t.throws(() => greedy.push('x')),
    full,
  )
  t.is(greedy.queue.length, 4, 'nothing more is held')
})

test('more, line and rest take the end as an answer; everything else is UNEXPECTED_END with its numbers', (t) => {
  const lines = function* (input: ParserInput<string>) {
    for (let line = yield* input.line(); line !== undefined; line = yield* input.line()) input.emit(line.toString())
  }
  t.deepEqual(everyCut(lines, 'a\r\n\nb\nlast').frames, ['a', '', 'b', 'last'])
  t.deepEqual(everyCut(lines, 'a\n').frames, ['a'])
  t.deepEqual(everyCut(lines, '').frames, [])
  const asks: [
    string,
    (input: ParserInput<never>) => { [Symbol.iterator](): Iterator<void, unknown, void> },
    number,
  ][] = [
    ['take', (i) => i.take(9), 9],
    ['peek', (i) => i.peek(9), 9],
    ['skip', (i) => i.skip(9), 7],
    ['until', (i) => i.until('\n'), 3],
    ['integer', (i) => i.integer(), 3],
    ['expect', (i) => i.expect('12345'), 5],
    ['uint32BE', (i) => i.uint32BE(), 4],
    ['bigUint64LE', (i) => i.bigUint64LE(), 8],
  ]
  for (const [name, ask, needed] of asks) {
    const machine = new FrameParser<never>(function* (input) {
      yield* ask(input)
    })
    machine.push('12')
    const error = t.throws(() => machine.end(), code('UNEXPECTED_END'), name)
    const skipped = name === 'skip'
    t.like(error, { name: 'BufferError', needed, available: skipped ? 0 : 2, offset: skipped ? 2 : 0 })
    t.is(machine.queue.length, skipped ? 0 : 2)
  }
})

test('B4: max and maxLength are errors as soon as they are passed', (t) => {
  const until = (max: number) =>
    function* (input: ParserInput<string>) {
      while (yield* input.more()) input.emit(String(yield* input.until('--', { max })))
    }
  t.deepEqual(everyCut(until(3), 'abc--a--').frames, ['abc', 'a'])
  const machine = new FrameParser(until(3))
  t.deepEqual(machine.push('abc--abc'), ['abc'])
  t.deepEqual(machine.push('-'), [], 'it may still turn out to be the delimiter')
  t.like(
    t.throws(() => machine.push('x'), code('TOO_LONG')),
    { limit: 3, offset: 5 },
  )
  const line = (max: number) =>
    function* (input: ParserInput<string>) {
      while (yield* input.more()) input.emit(String(yield* input.line({ max })))
    }
  t.deepEqual(everyCut(line(3), 'abc\r\nab\nabc').frames, ['abc', 'ab', 'abc'])
  t.like(everyCut(line(3), 'abc\nabcd\nx'), { frames: ['abc'] })
  t.is((everyCut(line(3), 'abcd\n').error as { code: string }).code, 'MILL_TOO_LONG')
  t.is((everyCut(line(3), 'abc\r').error as { code: string }).code, 'MILL_TOO_LONG')
  const large = new FrameParser<never>(
    function* (input) {
      yield* input.take(101)
    },
    { maxLength: 100 },
  )
  t.like(
    t.throws(() => large.push('x'), code('BUFFER_FULL')),
    { length: 1, needed: 101, limit: 100 },
  )
  const endless = new FrameParser<never>(
    function* (input) {
      yield* input.until('\n')
    },
    { maxLength: 100 },
  )
  endless.push('x'.repeat(99))
  t.throws(() => endless.push('x'), code('BUFFER_FULL'))
  let skipped = false
  const skip = new FrameParser<never>(
    function* (input) {
      yield* input.skip(1000)
      skipped = true
    },
    { maxLength: 100 },
  )
  for (let i = 0; i < 20; i++) skip.push('x'.repeat(50))
  t.true(skipped, 'what is skipped is never held')
})

test("faults: unexpected bytes show 32 bytes at most, trailing data, bad frames, the parser's own", (t) => {
  const hello = function* (input: ParserInput<string>) {
    yield* input.expect('hello')
    input.emit('ok')
  }
  const wrong = t.throws(() => new FrameParser(hello).push('help!'), code('UNEXPECTED_BYTES')) as Error &
    Record<string, unknown>
  t.like(wrong, {
    expected: new Uint8Array(Buffer.from('hello')),
    found: new Uint8Array(Buffer.from('help!')),
    offset: 0,
  })
  t.true(wrong.message.includes('"help!"'))
  const long = new FrameParser<never>(function* (input) {
    yield* input.expect('x'.repeat(100))
  })
  const error = t.throws(() => long.push('y'.repeat(100))) as unknown as {
    expected: Uint8Array
    found: Uint8Array
    message: string
  }
  t.deepEqual([error.expected.length, error.found.length], [32, 32])
  t.true(error.message.length < 200)
  const trailing = new FrameParser(hello)
  t.like(
    t.throws(() => trailing.push('helloo'), code('TRAILING_DATA')),
    { bytes: 1, offset: 5 },
  )
  t.deepEqual(trailing.frames, ['ok'])
  const later = new FrameParser(hello)
  t.deepEqual(later.push('hello'), ['ok'])
  t.throws(() => later.push('x'), code('TRAILING_DATA'))
  const done = new FrameParser(hello)
  done.push('hello')
  t.deepEqual(done.end(), [])
  t.like(
    t.throws(() => done.push('xyz'), code('TRAILING_DATA')),
    { bytes: 3, offset: 5 },
  )
  for (const nothing of [null, undefined]) {
    const machine = new FrameParser<unknown>(function* (input) {
      input.emit(nothing)
      yield* input.more()
    })
    t.throws(() => machine.push('x'), code('UNSUPPORTED_ITEM'))
  }
  const mine = new Error('mine')
  const own = new FrameParser<string>(function* (input) {
    input.emit('before')
    yield* input.take(1)
    throw mine
  })
  t.is(
    t.throws(() => own.push('x')),
    mine,
  )
  t.deepEqual(own.frames, ['before'])
  for (const again of [() => own.push('y'), () => own.end()]) {
    t.is(
      t.throws(() => again()),
      mine,
      'a fault stays',
    )
  }
  t.throws(() => new FrameParser(5 as never), code('INVALID_ARGUMENT'))
})

test('wrong arguments are thrown into the parser, where they can be caught', (t) => {
  const seen: unknown[] = []
  const asks: ((input: ParserInput<never>) => unknown)[] = [
    (i) => i.take(-1),
    (i) => i.skip(0.5),
    (i) => i.peek(Number.NaN),
    (i) => i.until(''),
    (i) => i.until(300),
    (i) => i.until('x', { max: -1 }),
    (i) => i.line({ max: 0.5 }),
    (i) => i.expect({} as never),
  ]
  const machine = new FrameParser<never>(function* (input) {
    for (const ask of asks) {
      try {
        yield* ask(input) as Iterable<void>
        seen.push('nothing was thrown')
      } catch (error) {
        seen.push((error as { code: string }).code)
      }
    }
    yield* input.rest()
  })
  machine.push('xyz')
  t.deepEqual(
    seen,
    asks.map(() => 'MILL_INVALID_ARGUMENT'),
  )
})

test('takes are zero-copy: frames point at the memory that came in', (t) => {
  const machine = new FrameParser<Uint8Array>(function* (input) {
    while (yield* input.more()) input.emit((yield* input.take(1000)).toUint8Array())
  })
  const packet = Buffer.from(new Uint8Array(3000).fill(5).buffer)
  const frames = machine.push(packet)
  t.deepEqual(
    frames.map((frame) => [frame.buffer === packet.buffer, frame.byteOffset]),
    [
      [true, 0],
      [true, 1000],
      [true, 2000],
    ],
  )
})

test('what is no generator of operations is refused, not waited for', (t) => {
  const wrong: Record<string, unknown> = {
    'an async generator': async function* () {
      yield undefined
    },
    'a function': () => undefined,
    'an async function': async () => undefined,
  }
  for (const [name, parser] of Object.entries(wrong)) {
    const machine = new FrameParser(parser as Parser<never>)
    t.like(
      t.throws(() => machine.push('abc'), code('INVALID_ARGUMENT'), name),
      { argument: 'parser', value: parser },
    )
  }
  let closed = false
  const withoutStar = new FrameParser<string>(function* (input) {
    try {
      const bytes = (yield input.take(1) as never) as Bytes | undefined
      input.emit(String(bytes))
    } finally {
      closed = true
    }
  } as Parser<string>)
  const error = t.throws(() => withoutStar.push('a'), code('INVALID_ARGUMENT'))
  t.regex(error?.message ?? '', /yield\*/)
  t.true(closed)
})

test('a delimiter that is waited for does not change with the memory it came in', (t) => {
  const mine = Buffer.from('zz')
  const until = new FrameParser<string>(function* (input) {
    input.emit(String(yield* input.until(mine)))
  })
  t.deepEqual(until.push('az'), [])
  mine.fill('a')
  t.deepEqual(until.push('z'), ['a'])
  const wanted = Buffer.from('yes')
  const expect = new FrameParser<string>(function* (input) {
    yield* input.expect(wanted)
    input.emit('said')
  })
  t.deepEqual(expect.push('ye'), [])
  wanted.fill('n')
  t.deepEqual(expect.push('s'), ['said'])
  const fault = t.throws(() => new FrameParser(expectOnly(wanted)).push('???'), code('UNEXPECTED_BYTES')) as BufferError
  wanted.fill('x')
  t.is(String.fromCharCode(...(fault.expected ?? [])), 'nnn')
})

function expectOnly(bytes: Uint8Array): Parser<never> {
  return function* (input) {
    yield* input.expect(bytes)
  }
}

test('errors show input escaped, 32 bytes at most', (t) => {
  const hostile = Buffer.from([0x1b, 0x5b, 0x33, 0x31, 0x6d, 0x9b, 0x7f, 0x22, 0x5c, 0x0d, 0x0a])
  const asks: Parser<never>[] = [
    function* (input) {
      yield* input.integer()
    },
    function* (input) {
      yield* input.expect('hello')
    },
    function* (input) {
      yield* input.until('x'.repeat(40), { max: 3 })
    },
  ]
  for (const parser of asks) {
    const error = t.throws(() => new FrameParser(parser).push(Buffer.concat([hostile, Buffer.alloc(300, 0x9b)])))
    t.regex(error.message, /^[ -~]{1,300}$/)
  }
  const number = t.throws(() => new FrameParser(asks[0] as Parser<never>).push(hostile)) as BufferError
  t.is(number.text, hostile.subarray(0, 9).toString('latin1'))
  t.is(number.offset, 0)
})

test('G3: while a parser waits for the next message, the last one is not kept alive', async (t) => {
  const seen: WeakRef<Uint8Array>[] = []
  const machine = new FrameParser<number>(function* (input) {
    while (yield* input.more()) {
      input.emit((yield* input.take(1000)).length)
    }
  })
  const push = () => {
    const packet = new Uint8Array(1000)
    seen.push(new WeakRef(packet))
    t.deepEqual(machine.push(packet), [1000])
  }
  push()
  await collect()
  t.is(seen[0]?.deref(), undefined)
  t.deepEqual(machine.end(), [])
})

test('a parser that is stopped by who gets its frames stops there, and cleans up', async (t) => {
  let closed = false
  const seen: string[] = []
  const buffer = new ChunkedBuffer<string>({
    parser: function* (input) {
      try {
        while (yield* input.more()) input.emit(String(yield* input.take(1)))
      } finally {
        closed = true
      }
    },
  })
  buffer.on('error', () => undefined)
  buffer.on('data', (frame: string) => {
    seen.push(frame)
    buffer.destroy()
  })
  buffer.write('abc')
  await new Promise((resolve) => buffer.once('close', resolve as () => void))
  t.deepEqual(seen, ['a'])
  t.true(closed)
})
