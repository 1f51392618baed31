import { Duplex as NodeDuplex, Readable as NodeReadable, PassThrough } from 'node:stream'
import { finished, pipeline } from 'node:stream/promises'
import test from 'ava'
import { Readable as StreamxReadable } from 'streamx'
import { type Bytes, MemoryPool, type Parser, type ParserInput } from '../lib/buffer/index.js'
import { ChunkedBuffer, isMillraceError, pump, readable, writable } from '../lib/streams/index.js'
import {
  abortKit,
  asBuffer,
  collect,
  failure,
  gather,
  gatherUntilError,
  settle,
  watch,
  within,
} from './fixtures/stream-kit.js'

/** `<length>\r\n<payload>\r\n`, as strings. */
function* messages(input: ParserInput<string>): Generator<void, void, void> {
  while (yield* input.more()) {
    const length = yield* input.integer('\r\n')
    const body = yield* input.take(length)
    yield* input.expect('\r\n')
    input.emit(body.toString())
  }
}
const wire = (...bodies: string[]): string => bodies.map((body) => `${Buffer.byteLength(body)}\r\n${body}\r\n`).join('')
const parsed = () => new ChunkedBuffer<string>({ parser: messages })

test('frames out of a parser: for await, batches, data, pipe, toNode, toWeb', async (t) => {
  const bodies = Array.from({ length: 500 }, (_, i) => `m${i}ü`.repeat(i % 7))
  const input = Buffer.from(wire(...bodies))
  const cut = Array.from({ length: Math.ceil(input.length / 33) }, (_, i) => input.subarray(i * 33, i * 33 + 33))
  const fed = () => readable(cut).pipe(parsed())
  t.deepEqual(await within(gather(fed()), 'for await'), bodies)
  t.deepEqual((await within(gather(fed().batches()), 'batches')).flat(), bodies)
  const batches = await gather(fed().batches({ maxItems: 7 }))
  t.true(batches.every((batch) => batch.length > 0 && batch.length <= 7))
  t.deepEqual(batches.flat(), bodies)
  t.deepEqual(await within(gather(fed().toNode()), 'toNode'), bodies)
  t.deepEqual(await within(gather(fed().toWeb().readable), 'toWeb'), bodies)
  const piped: string[] = []
  await within(
    pump<string>(fed(), (frame) => void piped.push(frame)),
    'pump',
  )
  t.deepEqual(piped, bodies)
  const data: unknown[] = []
  const buffer = fed()
  buffer.on('data', (frame) => data.push(frame))
  await within(new Promise((resolve) => buffer.on('end', resolve)), 'end')
  t.deepEqual(data, bodies)
})

test('B1: frames do not depend on the cut', async (t) => {
  const bodies = ['', 'a', '\r\n', '€uro', 'x'.repeat(70)]
  const input = Buffer.from(wire(...bodies))
  for (let at = 0; at <= input.length; at++) {
    const buffer = parsed()
    buffer.write(input.subarray(0, at))
    buffer.end(input.subarray(at))
    t.deepEqual(await within(gather(buffer), `cut at ${at}`), bodies)
  }
  t.deepEqual(await gather(readable([...input].map((byte) => Buffer.of(byte))).pipe(parsed())), bodies)
})

/** What a consumer of each kind sees of a buffer that fails. */
const consumers: Record<string, (buffer: ChunkedBuffer<string>) => Promise<{ items: string[]; error: unknown }>> = {
  'for await': (buffer) => gatherUntilError(buffer),
  batches: async (buffer) => {
    const { items, error } = await gatherUntilError(buffer.batches())
    return { items: items.flat(), error }
  },
  pump: async (buffer) => {
    const items: string[] = []
    const error = await failure(pump<string>(buffer, (frame) => void items.push(frame)))
    return { items, error }
  },
  toNode: (buffer) => gatherUntilError(buffer.toNode()),
  toWeb: (buffer) => gatherUntilError(buffer.toWeb().readable),
}

for (const [name, consume] of Object.entries(consumers)) {
  test(`a fault comes after the frames that were complete before it: ${name}`, async (t) => {
    const faults: [string, string, (error: unknown) => boolean][] = [
      ['the end inside a frame', `${wire('a', 'b')}9\r\nxyz`, (e) => isMillraceError(e, 'MILL_UNEXPECTED_END')],
      ['wrong bytes', `${wire('a', 'b')}1\r\nxyz`, (e) => isMillraceError(e, 'MILL_UNEXPECTED_BYTES')],
      ['no number', `${wire('a', 'b')}one\r\nxyz`, (e) => isMillraceError(e, 'MILL_BAD_NUMBER')],
    ]
    for (const [what, input, right] of faults) {
      const buffer = parsed()
      watch(buffer)
      const seen = consume(buffer)
      readable([input.slice(0, 3), input.slice(3)]).pipe(buffer)
      const { items, error } = await within(seen, what)
      t.deepEqual(items, ['a', 'b'], what)
      t.true(right(error), `${what}: ${error}`)
      await settle(3)
      t.true(buffer.destroyed)
    }
    const mine = new Error('mine')
    const buffer = new ChunkedBuffer<string>({
      *parser(input) {
        input.emit((yield* input.take(1)).toString())
        input.emit((yield* input.take(1)).toString())
        throw mine
      },
    })
    watch(buffer)
    const seen = consume(buffer)
    buffer.write('xyz')
    t.deepEqual(await within(seen, 'parser throws'), { items: ['x', 'y'], error: mine })
  })
}

test('after the end inside a frame the queue has the rest', async (t) => {
  const buffer = parsed()
  const seen = gatherUntilError(buffer)
  buffer.end(`${wire('a')}9\r\nxyz`)
  const { items, error } = await within(seen, 'loop')
  t.deepEqual(items, ['a'])
  const { needed, available, offset } = error as { needed: number; available: number; offset: number }
  t.deepEqual([needed, available, offset], [9, 3, 9])
  t.is(buffer.queue.length, 3)
  t.is(buffer.queue.take().toString(), 'xyz')
})

test('bytes after the parser has returned are MILL_TRAILING_DATA; none are fine', async (t) => {
  const once: Parser<string> = function* (input) {
    input.emit((yield* input.take(3)).toString())
  }
  const good = new ChunkedBuffer({ parser: once })
  good.end('abc')
  t.deepEqual(await within(gather(good), 'good'), ['abc'])
  for (const parts of [['abcde'], ['abc', 'de'], ['a', 'bcd', 'e']]) {
    const buffer = new ChunkedBuffer({ parser: once })
    const seen = gatherUntilError(buffer)
    for (const part of parts) buffer.write(part)
    buffer.end()
    const { items, error } = await within(seen, 'trailing')
    t.deepEqual(items, ['abc'])
    t.true(isMillraceError(error, 'MILL_TRAILING_DATA'), String(error))
    const { bytes, offset } = error as unknown as { bytes: number; offset: number }
    t.is(offset, 3)
    t.true(bytes >= 1 && bytes <= 2)
  }
})

test("'end' comes when the last byte was taken, by whatever way", async (t) => {
  const ways: Record<string, (buffer: ChunkedBuffer) => unknown> = {
    take: (b) => b.take(),
    'take, take': (b) => [b.take(2), b.take(4)],
    takeExact: (b) => b.takeExact(6),
    takeUntil: (b) => b.takeUntil('\n'),
    takeLine: (b) => b.takeLine(),
    takeLines: (b) => b.takeLines(),
    takeInteger: (b) => b.takeInteger('\n'),
    skip: (b) => b.skip(),
    skipIfStartsWith: (b) => b.skipIfStartsWith('12345\n'),
    reader: (b) => b.reader.take(6),
    'reader.line': (b) => b.reader.line(),
    'reader.rest': (b) => b.reader.rest(),
    'for await': (b) => gather(b),
    batches: (b) => gather(b.batches()),
    resume: (b) => b.resume(),
    pipe: (b) => b.pipe(writable(() => {})),
  }
  for (const [name, way] of Object.entries(ways)) {
    for (const order of ['end first', 'end last']) {
      const buffer = new ChunkedBuffer()
      const { closed, counts, errors } = watch(buffer)
      buffer.write('12345\n')
      if (order === 'end first') buffer.end()
      await settle(3)
      t.is(counts.end, 0, `${name}, ${order}: not before`)
      const taken = way(buffer)
      if (order === 'end last') {
        await settle(3)
        t.is(counts.end, 0, `${name}, ${order}: more could come`)
        buffer.end()
      }
      await within(taken as Promise<unknown>, name)
      await within(closed, `${name}, ${order}: 'close'`)
      t.deepEqual([counts, errors], [{ end: 1, finish: 1, close: 1 }, []], `${name}, ${order}`)
    }
  }
})

test('two consumers at once are MILL_ALREADY_READING', async (t) => {
  const refused = async (name: string, fn: () => unknown) => {
    const error = await failure(async () => fn(), name)
    t.true(isMillraceError(error, 'MILL_ALREADY_READING'), `${name}: ${error}`)
  }
  const withParser = parsed()
  withParser.write(wire('a').slice(0, -1))
  for (const verb of ['take', 'takeLine', 'takeLines', 'skip', 'takeInteger'] as const) {
    await refused(`parser, ${verb}`, () => withParser[verb]())
  }
  await refused('parser, reader', () => withParser.reader.take(1))
  withParser.write('\n')
  withParser.end()
  t.deepEqual(await gather(withParser), ['a'], 'nothing was disturbed')

  const looped = new ChunkedBuffer()
  watch(looped)
  const it = looped[Symbol.asyncIterator]()
  const first = it.next()
  await refused('for await, pipe', () => looped.pipe(writable(() => {})))
  await refused('for await, batches', () => gather(looped.batches()))
  await refused('for await, reader', () => looped.reader.take(1))
  await refused('for await, take', () => looped.take())
  looped.end('x')
  t.is(asBuffer((await within(first, 'first')).value).toString(), 'x')

  const read = new ChunkedBuffer()
  const waiting = read.reader.take(4)
  await refused('reader, for await', () => gather(read))
  await refused('reader, pipe', () => read.pipe(writable(() => {})))
  await refused('reader, take', () => read.take())
  read.end('abcd')
  t.is((await within(waiting, 'reader')).toString(), 'abcd')
})

test('append, getChunk and chunkWritten do not wait: writableNeedDrain and drain tell', async (t) => {
  const buffer = new ChunkedBuffer({ highWaterMark: 1000 })
  let drains = 0
  buffer.on('drain', () => drains++)
  buffer.append(Buffer.alloc(600))
  t.false(buffer.writableNeedDrain)
  buffer.append(Buffer.alloc(600))
  t.true(buffer.writableNeedDrain)
  buffer.extend(['a', 'b', Buffer.alloc(98)])
  t.is(buffer.length, 1300)
  buffer.skip(1000)
  await settle(3)
  t.is(drains, 1)
  t.false(buffer.writableNeedDrain)
  const chunk = buffer.getChunk(64)
  t.throws(() => buffer.append('x'), { code: 'MILL_CHUNK_PENDING' })
  chunk.set(Buffer.from('from the kernel'))
  const got = buffer.reader.take(300 + 15)
  buffer.chunkWritten(15)
  t.true((await within(got, 'reader')).toString().endsWith('from the kernel'))
  t.throws(() => buffer.chunkWritten(1), { code: 'MILL_NO_CHUNK' })

  const frames = parsed()
  frames.getChunk(10).set(Buffer.from('3\r\n'))
  frames.chunkWritten(3)
  frames.append('abc\r\n')
  frames.end()
  t.deepEqual(await within(gather(frames), 'frames'), ['abc'])
  t.throws(() => frames.append('x'))
  t.throws(() => new ChunkedBuffer({ maxLength: 4 }).append('12345'), { code: 'MILL_BUFFER_FULL' })
})

test('an operation of a parser above the mark lifts it, up to maxLength', async (t) => {
  const need = 300_000
  const big: Parser<number> = function* (input) {
    while (yield* input.more()) input.emit((yield* input.take(need)).length)
  }
  const source = () => readable(Array.from({ length: 600 }, () => Buffer.alloc(1000)))
  const lifted = source().pipe(new ChunkedBuffer({ parser: big, highWaterMark: 2000 }))
  t.deepEqual(await within(gather(lifted), 'lifted'), [need, need])

  const delimited: Parser<number> = function* (input) {
    input.emit((yield* input.until('\n')).length)
  }
  for (const parser of [big, delimited]) {
    const full = new ChunkedBuffer({ parser, highWaterMark: 2000, maxLength: 100_000 })
    const loop = failure(gather(full), 'loop')
    const error = await failure(pump(source(), full), 'pump')
    t.true(isMillraceError(error, 'MILL_BUFFER_FULL'), String(error))
    t.is(await loop, error)
    t.is((error as unknown as { limit: number }).limit, 100_000)
  }
})

test('a source piped in by pipe() that fails or closes early destroys the buffer', async (t) => {
  const makes: Record<string, () => NodeReadable> = {
    node: () => new NodeReadable({ read() {} }),
    PassThrough: () => new PassThrough(),
    streamx: () => new StreamxReadable() as unknown as NodeReadable,
  }
  for (const [name, make] of Object.entries(makes)) {
    for (const error of [new Error('reset'), undefined]) {
      const source = make()
      const buffer = source.pipe(new ChunkedBuffer())
      const ends = watch(buffer)
      const loop = gatherUntilError(buffer)
      source.push(Buffer.from('abc'))
      await settle(3)
      source.destroy(error)
      const seen = await within(loop, name)
      t.is(Buffer.concat(seen.items.map(asBuffer)).toString(), 'abc')
      if (error === undefined) t.true(isMillraceError(seen.error, 'MILL_PREMATURE_CLOSE'), `${name}: ${seen.error}`)
      else t.is(seen.error, error, name)
      await within(ends.closed, 'close')
      t.deepEqual([ends.errors, ends.counts.close], [[seen.error], 1])
      t.is(source.listenerCount('data'), 0)
    }
    // A source that has ended well, and closes then, is no fault.
    const source = make()
    const buffer = source.pipe(new ChunkedBuffer())
    source.push(Buffer.from('abc'))
    source.push(null)
    t.is((await within(collect(buffer), name)).toString(), 'abc')
  }
})

test('several next() at once, and return() while one waits', async (t) => {
  const buffer = parsed()
  const it = buffer[Symbol.asyncIterator]()
  const all = Promise.all([it.next(), it.next(), it.next(), it.next()])
  buffer.write(wire('a'))
  await settle(2)
  buffer.write(wire('b'))
  buffer.end()
  const seen = (await within(all, 'four')).map((r) => (r.done === true ? 'done' : r.value))
  t.deepEqual(seen, ['a', 'b', 'done', 'done'])

  const left = new ChunkedBuffer()
  const { closed, counts, errors } = watch(left)
  left.write('x')
  for await (const _ of left) break
  await within(closed, 'close')
  t.deepEqual([left.destroyed, counts.close, errors], [true, 1, []])
})

test('unshift, unpipe, pause, setEncoding', async (t) => {
  const frames = parsed()
  frames.end(wire('a', 'b', 'c'))
  const it = frames[Symbol.asyncIterator]()
  t.is((await within(it.next(), 'a')).value, 'a')
  frames.unshift('again')
  t.deepEqual(await within(gather({ [Symbol.asyncIterator]: () => it }), 'rest'), ['again', 'b', 'c'])

  const back = new ChunkedBuffer()
  back.write('abc')
  back.unshift('00')
  let taken: string
  try {
    taken = back.take().toString()
  } catch (error) {
    taken = isMillraceError(error, 'MILL_ALREADY_READING') ? '00abc' : String(error)
  }
  t.is(taken, '00abc', 'what was put back is not skipped')
  back.destroy()

  const source = parsed()
  const first: string[] = []
  const to = writable<string>((frame) => void first.push(frame))
  source.pipe(to)
  source.write(wire('a', 'b'))
  await settle(10)
  source.unpipe(to)
  source.write(wire('c'))
  source.end()
  await settle(10)
  t.deepEqual(first, ['a', 'b'])
  t.false(to.destroyed)
  t.deepEqual(await within(gather(source), 'after unpipe'), ['c'])
  to.destroy()

  const text = new ChunkedBuffer()
  t.is(text.setEncoding('utf8'), text)
  const strings: unknown[] = []
  t.false(text.isPaused())
  text.on('data', (item) => strings.push(item))
  t.false(text.isPaused())
  text.pause()
  t.true(text.isPaused())
  for (const byte of Buffer.from('aü€😀')) text.write(Buffer.of(byte))
  await settle(5)
  t.is(strings.length, 0, 'paused')
  text.resume()
  text.end()
  await within(new Promise((resolve) => text.on('end', resolve)), 'end')
  t.true(strings.every((item) => typeof item === 'string'))
  t.is(strings.join(''), 'aü€😀')
  t.throws(() => text.wrap(new PassThrough()), { code: 'MILL_UNSUPPORTED' })
})

test('read() and readable, as Node has them', async (t) => {
  const buffer = parsed()
  const seen: unknown[] = []
  buffer.on('readable', () => {
    for (let frame = buffer.read(); frame !== null; frame = buffer.read()) seen.push(frame)
  })
  buffer.write(wire('a', 'b'))
  buffer.end(wire('c'))
  await within(new Promise((resolve) => buffer.on('end', resolve)), 'end')
  t.deepEqual(seen, ['a', 'b', 'c'])
})

test('the last item, too, waits for who takes it late or has paused, and the end waits for it', async (t) => {
  for (const length of [1, 2, 3]) {
    const items = Array.from({ length }, (_, i) => `item ${i}`)
    const late = readable(items)
    const taken: unknown[] = []
    late.on('readable', () => setImmediate(() => taken.push(late.read())))
    await within(new Promise((resolve) => late.on('end', resolve)), 'late')
    t.deepEqual(
      taken.filter((item) => item !== null),
      items,
    )

    const paused = readable(items)
    const seen: unknown[] = []
    let asleep = false
    paused.on('data', (item) => {
      t.false(asleep, 'no item while paused')
      seen.push(item)
      asleep = true
      paused.pause()
      setTimeout(() => {
        asleep = false
        paused.resume()
      }, 2)
    })
    await within(new Promise((resolve) => paused.on('end', resolve)), 'paused')
    t.deepEqual(seen, items)
  }
})

test('abort: the reason at once, unread frames are dropped, memory is let go, no listener stays', async (t) => {
  for (const parser of [messages, undefined]) {
    const kit = abortKit()
    const buffer = new ChunkedBuffer<unknown>({ signal: kit.signal, ...(parser && { parser }) })
    const { closed, errors, counts } = watch(buffer)
    t.is(kit.live(), 1)
    buffer.write(`${wire('a', 'b', 'c')}9\r\n`)
    const it = buffer[Symbol.asyncIterator]()
    await within(it.next(), 'first')
    const reason = new Error('abort')
    kit.abort(reason)
    t.is(await failure(it.next(), 'next'), reason)
    await within(closed, 'close')
    t.deepEqual([errors, counts.close, kit.live()], [[reason], 1, 0])
    t.deepEqual([buffer.queue.length, buffer.queue.retained], [0, 0])
    t.false(buffer.write('x'))
  }
  const early = new ChunkedBuffer({ signal: AbortSignal.abort() })
  const { closed, errors } = watch(early)
  await within(closed, 'close')
  t.is((errors[0] as Error).name, 'AbortError')

  const kit = abortKit()
  const ended = new ChunkedBuffer({ signal: kit.signal })
  ended.end('x')
  await within(collect(ended), 'all')
  await settle(3)
  t.is(kit.live(), 0, 'after the end')
})

test('destroy() lets the memory go, closes once; await using does it', async (t) => {
  const pool = new MemoryPool()
  const buffer = new ChunkedBuffer({ pool })
  const { closed, counts } = watch(buffer)
  buffer.write('a'.repeat(100))
  buffer.write(Buffer.alloc(5000))
  t.true(buffer.queue.retained > 5000)
  await buffer[Symbol.asyncDispose]()
  await buffer[Symbol.asyncDispose]()
  await within(closed, 'close')
  t.deepEqual([buffer.destroyed, counts.close, buffer.queue.length, buffer.queue.retained], [true, 1, 0, 0])
  t.true(isMillraceError(await failure(gather(buffer)), 'MILL_PREMATURE_CLOSE'))
  t.true(isMillraceError(await failure(async () => buffer.reader.take(1)), 'MILL_PREMATURE_CLOSE'))
})

test('write() after end() is MILL_WRITE_AFTER_END', async (t) => {
  const buffer = new ChunkedBuffer()
  const { closed, errors } = watch(buffer)
  buffer.end('a')
  t.false(buffer.writable)
  t.false(buffer.write('b'))
  await within(closed, 'close')
  t.true(isMillraceError(errors[0], 'MILL_WRITE_AFTER_END'), String(errors[0]))
  t.is(errors.length, 1)
})

test('toNode is a Duplex whose write() and end() call back', async (t) => {
  const node = parsed().toNode()
  t.true(node instanceof NodeDuplex)
  const calls: string[] = []
  const out = gather(node)
  node.write(wire('a').slice(0, 4), () => calls.push('first'))
  node.write(wire('a').slice(4), () => calls.push('second'))
  node.end(wire('b'), () => calls.push('end'))
  t.deepEqual(await within(out, 'out'), ['a', 'b'])
  await within(finished(node), 'finished')
  t.deepEqual(calls, ['first', 'second', 'end'])

  const bytes = new ChunkedBuffer().toNode()
  const text: Buffer[] = []
  await within(
    pipeline(NodeReadable.from([Buffer.from('ab'), Buffer.from('c')]), bytes, async (stream: AsyncIterable<Buffer>) => {
      for await (const chunk of stream) text.push(chunk)
    }),
    'pipeline',
  )
  t.true(text.every((chunk) => Buffer.isBuffer(chunk)))
  t.is(Buffer.concat(text).toString(), 'abc')

  const broken = parsed().toNode()
  const error = await failure(pipeline(NodeReadable.from([Buffer.from('x\r\n')]), broken, new PassThrough()))
  t.true(isMillraceError(error, 'MILL_BAD_NUMBER'), String(error))
  t.true(broken.destroyed)
})

test('static merge, and the options of the queue', (t) => {
  const merged: Bytes = ChunkedBuffer.merge(['a', Buffer.from('b')])
  t.is(merged.toString(), 'ab')
  t.throws(() => new ChunkedBuffer({ maxLength: -1 }), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => new ChunkedBuffer({ parser: 1 as never }), { code: 'MILL_INVALID_ARGUMENT' })
})
