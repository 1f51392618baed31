import { once } from 'node:events'
import test from 'ava'
import fc from 'fast-check'
import type { Bytes } from '../lib/buffer/index.js'
import { ChunkedBuffer, isMillraceError, pump, readable, writable } from '../lib/streams/index.js'
import { abortKit, asBuffer, collect, failure, settle, watch, within } from './fixtures/stream-kit.js'

test('a value where it can, a promise where it must', async (t) => {
  const buffer = new ChunkedBuffer()
  const { reader } = buffer
  buffer.append(Buffer.from('abcd12\r\nline\n\x05\x01\x02\x00\x00\x00\x07\x96\x01rest', 'latin1'))
  t.is((reader.take(4) as Bytes).toString(), 'abcd')
  t.is(reader.integer(), 12)
  t.is((reader.line() as Bytes).toString(), 'line')
  t.is(reader.uint8(), 5)
  t.is(reader.uint16BE(), 0x0102)
  t.is(reader.uint32BE(), 7)
  t.is(reader.varint(), 150)
  t.is((reader.peek(2) as Bytes).toString(), 're')
  t.is(reader.skip(1), undefined)
  t.is(reader.expect('es'), undefined)
  t.is(reader.more(), true)
  t.is((reader.until('t') as Bytes).length, 0)
  const more = reader.more()
  t.true(more instanceof Promise)
  const later = reader
  buffer.end('x')
  t.is(await within(more, 'more'), true)
  t.is(((await later.rest()) as Bytes).toString(), 'x')
  t.is(await reader.more(), false)
  t.is(await reader.line(), undefined)
})

/** Each operation with input that is complete only after the last byte, and what it gives. */
const operations: [string, string | Buffer, (r: ChunkedBuffer['reader']) => unknown, unknown][] = [
  ['take', 'abcdef', (r) => r.take(6), 'abcdef'],
  ['peek', 'abc', (r) => r.peek(3), 'abc'],
  ['skip', 'abc', (r) => r.skip(3), undefined],
  ['until', 'a\rb\r\n', (r) => r.until('\r\n'), 'a\rb'],
  ['until include', 'a;', (r) => r.until(';', { include: true }), 'a;'],
  ['line', 'ab\r\n', (r) => r.line(), 'ab'],
  ['line keepEnd', 'ab\r\n', (r) => r.line({ keepEnd: true }), 'ab\r\n'],
  ['integer', '-1234\r\n', (r) => r.integer(), -1234],
  ['integer hex', 'ff;', (r) => r.integer(';', 16), 255],
  ['expect', 'PING', (r) => r.expect('PING'), undefined],
  ['uint8', Buffer.of(7), (r) => r.uint8(), 7],
  ['uint16BE', Buffer.of(1, 2), (r) => r.uint16BE(), 258],
  ['uint16LE', Buffer.of(1, 2), (r) => r.uint16LE(), 513],
  ['uint32BE', Buffer.of(1, 2, 3, 4), (r) => r.uint32BE(), 0x01020304],
  ['uint32LE', Buffer.of(1, 2, 3, 4), (r) => r.uint32LE(), 0x04030201],
  ['bigUint64BE', Buffer.of(0, 0, 0, 0, 0, 0, 1, 0), (r) => r.bigUint64BE(), 256n],
  ['bigUint64LE', Buffer.of(0, 1, 0, 0, 0, 0, 0, 0), (r) => r.bigUint64LE(), 256n],
  ['varint', Buffer.of(0xac, 0x02), (r) => r.varint(), 300],
]

test('B1: every operation waits for its last byte, and leaves the next one', async (t) => {
  for (const [name, input, operation, expected] of operations) {
    const bytes = Buffer.from(input)
    const buffer = new ChunkedBuffer()
    let done = false
    const result = (async () => {
      const value = await operation(buffer.reader)
      done = true
      return value
    })()
    for (let i = 0; i < bytes.length; i++) {
      await settle(1)
      t.false(done, `${name} after ${i} bytes`)
      buffer.write(bytes.subarray(i, i + 1))
    }
    const value = await within(result, name)
    t.deepEqual(typeof value === 'object' ? asBuffer(value).toString() : value, expected, name)
    buffer.write('!')
    if (name === 'peek') await buffer.reader.skip(3)
    t.is(await within(Promise.resolve(buffer.reader.uint8()), name), 33, `${name}: the next byte`)
    buffer.destroy()
  }
})

test('needs larger than the mark are met, up to maxLength', async (t) => {
  const buffer = new ChunkedBuffer({ highWaterMark: 100, maxLength: 1_000_000 })
  let given = 0
  const source = (function* () {
    for (;;) {
      given += 1000
      yield Buffer.alloc(1000, 65)
    }
  })()
  const pumping = failure(pump(source, buffer), 'pump')
  t.is(((await within(Promise.resolve(buffer.reader.take(500_000)), 'take')) as Bytes).length, 500_000)
  await settle()
  t.true(given <= 500_000 + 2 * 100 + 2 * 65536 + 2000, `read ahead: ${given - 500_000}`)
  const error = await failure(async () => buffer.reader.take(1_000_001))
  t.true(isMillraceError(error, 'MILL_BUFFER_FULL'), String(error))
  t.deepEqual([(error as { needed?: number }).needed, (error as { limit?: number }).limit], [1_000_001, 1_000_000])
  // The buffer goes on: what was asked for was wrong, not the stream.
  t.is(((await within(Promise.resolve(buffer.reader.take(10)), 'go on')) as Bytes).toString(), 'AAAAAAAAAA')
  const endless = await failure(async () => buffer.reader.until('\n'), 'until')
  t.true(isMillraceError(endless, 'MILL_BUFFER_FULL'), String(endless))
  buffer.destroy()
  await pumping
})

test('the header by reader, the rest by pipe', async (t) => {
  const body = Buffer.alloc(200_000, 'body')
  const buffer = readable([Buffer.from('GET /\r\nlength: 7\r'), Buffer.from('\n\r\nbo'), body]).pipe(
    new ChunkedBuffer(),
  )
  const header: string[] = []
  for (;;) {
    const line = (await within(Promise.resolve(buffer.reader.line()), 'line')) as Bytes
    if (line.length === 0) break
    header.push(line.toString())
  }
  t.deepEqual(header, ['GET /', 'length: 7'])
  const parts: Buffer[] = []
  await once(buffer.pipe(writable<Uint8Array>((item) => void parts.push(asBuffer(item)))), 'finish')
  t.true(Buffer.concat(parts).equals(Buffer.concat([Buffer.from('bo'), body])))
})

test('after a loop was never begun the reader and the verbs take turns', async (t) => {
  const buffer = new ChunkedBuffer()
  buffer.write('a1\nb2\nc3\nrest')
  t.is(((await buffer.reader.line()) as Bytes).toString(), 'a1')
  t.is(buffer.takeLine()?.toString(), 'b2')
  t.is(((await buffer.reader.line()) as Bytes).toString(), 'c3')
  buffer.end()
  t.is((await within(collect(buffer), 'rest')).toString(), 'rest')
})

test('errors are rejections, never thrown, and consume nothing', async (t) => {
  const buffer = new ChunkedBuffer()
  buffer.write('abc\r\n')
  const wrong: [string, (r: ChunkedBuffer['reader']) => unknown, string][] = [
    ['take(-1)', (r) => r.take(-1), 'MILL_INVALID_ARGUMENT'],
    ['take(NaN)', (r) => r.take(Number.NaN), 'MILL_INVALID_ARGUMENT'],
    ['until("")', (r) => r.until(''), 'MILL_INVALID_ARGUMENT'],
    ['expect', (r) => r.expect('abd'), 'MILL_UNEXPECTED_BYTES'],
    ['integer', (r) => r.integer(), 'MILL_BAD_NUMBER'],
    ['until max', (r) => r.until('\r\n', { max: 2 }), 'MILL_TOO_LONG'],
    ['line max', (r) => r.line({ max: 2 }), 'MILL_TOO_LONG'],
  ]
  for (const [name, operation, code] of wrong) {
    let result: unknown
    t.notThrows(() => {
      result = operation(buffer.reader)
    }, name)
    t.true(result instanceof Promise, name)
    const error = await failure(result as Promise<unknown>, name)
    t.true(isMillraceError(error) && error.code === code, `${name}: ${error}`)
    t.is(buffer.length, 5, name)
  }
  t.is(((await buffer.reader.line()) as Bytes).toString(), 'abc')
  buffer.destroy()
})

test('B4: max is an error as soon as it is passed', async (t) => {
  const buffer = new ChunkedBuffer()
  const waiting = failure(async () => buffer.reader.until('\n', { max: 5 }), 'until')
  buffer.write('12345')
  await settle(2)
  buffer.write('6')
  const error = await within(waiting, 'max')
  t.true(isMillraceError(error, 'MILL_TOO_LONG'))
  t.is((error as { limit?: number }).limit, 5)
  buffer.destroy()
})

test('a second operation is MILL_READ_PENDING and does not disturb the first', async (t) => {
  const buffer = new ChunkedBuffer()
  const first = buffer.reader.take(5)
  t.true(isMillraceError(await failure(async () => buffer.reader.take(1)), 'MILL_READ_PENDING'))
  t.true(isMillraceError(await failure(async () => buffer.reader.more()), 'MILL_READ_PENDING'))
  buffer.write('hello')
  t.is(((await within(first, 'first')) as Bytes).toString(), 'hello')
  buffer.destroy()
})

test('the end while waiting is MILL_UNEXPECTED_END, but for more, line and rest', async (t) => {
  for (const [name, input, operation] of operations) {
    const buffer = new ChunkedBuffer()
    const { errors } = watch(buffer)
    const bytes = Buffer.from(input)
    const waiting = (async () => operation(buffer.reader))()
    buffer.end(bytes.subarray(0, -1))
    if (name.startsWith('line')) {
      t.is(asBuffer(await within(waiting, name)).toString(), bytes.subarray(0, -1).toString())
      continue
    }
    const error = await failure(waiting, name)
    t.true(isMillraceError(error, 'MILL_UNEXPECTED_END'), `${name}: ${error}`)
    if (name !== 'skip') t.is((error as { available?: number }).available, bytes.length - 1, name)
    if (name !== 'skip') t.is(buffer.length, bytes.length - 1, `${name}: what is there can still be taken`)
    t.deepEqual(errors, [], name)
  }
})

test('destroy and abort while waiting, and asking after it', async (t) => {
  const mine = new Error('mine')
  for (const given of [undefined, mine]) {
    const buffer = new ChunkedBuffer()
    watch(buffer)
    const waiting = failure(async () => buffer.reader.take(5), 'waiting')
    buffer.write('abc')
    buffer.destroy(given)
    for (const error of [await waiting, await failure(async () => buffer.reader.take(1), 'after')]) {
      t.true(given === undefined ? isMillraceError(error, 'MILL_PREMATURE_CLOSE') : error === given, String(error))
    }
  }
  const kit = abortKit()
  const aborted = new ChunkedBuffer({ signal: kit.signal })
  watch(aborted)
  const waiting = failure(async () => aborted.reader.more(), 'waiting')
  const reason = { why: 'any value' }
  kit.abort(reason)
  t.is<unknown, unknown>(await waiting, reason)
  t.is<unknown, unknown>(await failure(async () => aborted.reader.more(), 'after'), reason)
  t.is(kit.live(), 0)
})

test('a source that fails while the reader waits: its own error, and no crash without a listener', async (t) => {
  const error = new Error('reset')
  const source = (async function* () {
    yield 'abc'
    throw error
  })()
  const buffer = readable(source).pipe(new ChunkedBuffer())
  t.is(await failure(async () => buffer.reader.take(5), 'take'), error)
})

test('the verbs work on the stream, and what they leave passes through', async (t) => {
  const buffer = new ChunkedBuffer()
  buffer.write('HEAD 12\r\nrest')
  t.is(buffer.length, 13)
  t.is(buffer.peek(4).toString(), 'HEAD')
  t.is(buffer.find(' '), 4)
  t.is(buffer.at(-1), 't'.charCodeAt(0))
  t.is(buffer.skipIfStartsWith('HEAD '), true)
  t.is(buffer.takeInteger(), 12)
  t.is(buffer.takeExact(5), undefined)
  const all = collect(buffer)
  await settle(2)
  buffer.write(' and more')
  buffer.end()
  t.is((await within(all, 'rest')).toString(), 'rest and more')
})

test('B1: however bytes come in and by whatever verb they go out, they are the same bytes', async (t) => {
  const command = fc.oneof(
    fc.record({ in: fc.constantFrom('write', 'append', 'extend', 'chunk'), size: fc.nat(1500) }),
    fc.record({ out: fc.constantFrom('take', 'skip', 'reader', 'line', 'turn'), size: fc.nat(2000) }),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(command, { maxLength: 40 }),
      fc.constantFrom(1, 500, 65536),
      fc.constantFrom(0, 512, 4096),
      async (commands, highWaterMark, copyBelow) => {
        const buffer = new ChunkedBuffer({ highWaterMark, copyBelow })
        const sent: Buffer[] = []
        const got: Buffer[] = []
        let pending: Promise<void> | undefined
        let n = 0
        const next = (size: number): Buffer => {
          const piece = Buffer.alloc(size)
          for (let i = 0; i < size; i++) piece[i] = n++ % 251
          sent.push(piece)
          return piece
        }
        for (const step of commands) {
          if ('in' in step) {
            const piece = next(step.size)
            if (step.in === 'write') buffer.write(piece)
            else if (step.in === 'append') buffer.append(piece)
            else if (step.in === 'extend') buffer.extend([piece.subarray(0, 7), piece.subarray(7)])
            else {
              buffer.getChunk(step.size).set(piece)
              buffer.chunkWritten(step.size)
            }
          } else if (step.out === 'turn') await settle(1)
          else if (pending === undefined && step.out === 'take') got.push(asBuffer(buffer.take(step.size)))
          else if (pending === undefined && step.out === 'skip') {
            const seen = asBuffer(buffer.peek(step.size))
            got.push(seen)
            t.is(buffer.skip(step.size), seen.length)
          } else if (pending === undefined) {
            const operation = async () =>
              step.out === 'line' ? buffer.reader.line({ keepEnd: true }) : buffer.reader.take(step.size)
            pending = operation().then(
              (bytes) => {
                if (bytes !== undefined) got.push(asBuffer(bytes))
                pending = undefined
              },
              (error) => {
                t.true(isMillraceError(error, 'MILL_UNEXPECTED_END'), String(error))
                pending = undefined
              },
            )
          }
        }
        buffer.end()
        if (pending !== undefined) await within(pending, 'the last operation')
        got.push(await within(collect(buffer), 'the rest'))
        t.true(Buffer.concat(got).equals(Buffer.concat(sent)))
      },
    ),
    { numRuns: 300 },
  )
})
