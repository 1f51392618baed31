import test from 'ava'
import { FrameParser, type Parser, type ParserInput } from '../lib/buffer/index.js'

const code = (name: string) => ({ code: `MILL_${name}` })

/** Feeds the text cut in pieces of every size; each must give the same frames, or the same fault after the same frames. */
function everyCut<F>(parser: Parser<F>, text: string): { frames: F[]; error: unknown } {
  const run = (size: number) => {
    const input = Buffer.from(text, 'latin1')
    const frames: F[] = []
    const machine = new FrameParser(parser)
    try {
      for (let at = 0; at < input.length; at += size) frames.push(...machine.push(input.subarray(at, at + size)))
      frames.push(...machine.end())
      return { frames, error: undefined }
    } catch (error) {
      return { frames: [...frames, ...machine.frames], error }
    }
  }
  const whole = run(Math.max(1, text.length))
  for (let size = 1; size < text.length; size++) {
    const cut = run(size)
    if (JSON.stringify(cut.frames) !== JSON.stringify(whole.frames))
      throw new Error(`other frames in pieces of ${size}`)
    if ((cut.error as { code?: string })?.code !== (whole.error as { code?: string })?.code)
      throw new Error(`other error in pieces of ${size}: ${cut.error}`)
  }
  return whole
}

test('B1: every operation gives the same answer however the input is cut', (t) => {
  const parser = function* (input: ParserInput<unknown>) {
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
  const numbers = '\x01\x01\x02\x01\x02\x01\x02\x03\x04\x01\x02\x03\x04\0\0\0\0\0\0\0\x05\x05\0\0\0\0\0\0\0\xac\x02'
  const { frames, error } = everyCut(parser, `abcdefghi--jk--line\r\nkept\n-12\r\nff;OK!${numbers}the rest`)
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
  t.throws(() => done.push('x'), code('TRAILING_DATA'))
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
