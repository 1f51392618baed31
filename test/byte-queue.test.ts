import test from 'ava'
import fc from 'fast-check'
import { type AnyBytes, ByteQueue, type ByteQueueOptions, Bytes, type Delimiter } from '../lib/buffer/index.js'
import { ChunkedBuffer } from '../lib/streams/index.js'
import { collect, NaiveQueue, PoisonedPool } from './fixtures/buffer-model.js'

const invalid = { code: 'MILL_INVALID_ARGUMENT' }
/** Over 32 bytes, and full of its own beginnings. */
const LONG = `${'ab'.repeat(20)}b`
/** Few different bytes, so that delimiters, their halves and line ends are common. */
const piece = fc
  .oneof(
    { weight: 8, arbitrary: fc.array(fc.constantFrom(97, 97, 98, 13, 10, 48, 55, 45), { maxLength: 40 }) },
    { weight: 1, arbitrary: fc.nat(LONG.length).map((from) => [...Buffer.from(LONG.slice(from))]) },
    { weight: 1, arbitrary: fc.nat(LONG.length).map((to) => [...Buffer.from(LONG.slice(0, to))]) },
  )
  .map((list) => Uint8Array.from(list))
const delimiters = ['\n', '\r\n', 'ab', 'aab', 'a'.repeat(3), LONG, LONG, 'b', '\r', '0a'] as const
const delimiter = fc.constantFrom(...delimiters)

/** A delimiter as a string, or as bytes in memory that its owner uses again and again. */
const asked = fc.tuple(delimiter, fc.boolean())
const scratch = Buffer.alloc(64)
function given(text: string, asBytes: boolean): Delimiter {
  return asBytes ? scratch.subarray(0, scratch.write(text, 'latin1')) : text
}

/** What the caller keeps of memory that was handed in: the whole of it, with what lay around the piece. */
interface Kept {
  readonly memory: Uint8Array
  readonly copy: Uint8Array
}

/** Bytes in one of the shapes append() takes, somewhere in the middle of other memory. */
function shaped(data: Uint8Array, shape: number, kept: Kept[]): AnyBytes {
  const memory =
    shape === 3 ? new Uint8Array(new SharedArrayBuffer(data.length + 20)) : new Uint8Array(data.length + 20)
  memory.fill(0xee)
  memory.set(data, 8)
  kept.push({ memory, copy: memory.slice() })
  const view = new Uint8Array(memory.buffer, 8, data.length)
  switch (shape) {
    case 0:
      return Buffer.from(memory.buffer as ArrayBuffer, 8, data.length)
    case 1:
      return new DataView(memory.buffer, 8, data.length)
    case 2:
      return Bytes.from(view)
    case 4: {
      const middle = data.length >> 1
      return Bytes.merge([view.subarray(0, middle), view.subarray(middle)])
    }
    case 5: // every byte of `piece` is ASCII
      return Buffer.from(data).toString('latin1')
    default:
      return view
  }
}

type Step = (queue: ByteQueue, model: NaiveQueue, world: World) => void
interface World {
  readonly kept: Kept[]
  readonly results: { bytes: Bytes; copy: Buffer }[]
  /** Raw views of what was taken; the `Bytes` themselves were released. */
  readonly views: { view: Uint8Array; copy: Buffer }[]
  /** Chunks that were never reported as written, because a longer one was asked for. */
  readonly late: Uint8Array[]
  readonly maximum: number
  equal(actual: unknown, expected: unknown): void
}

function same(world: World, bytes: Bytes | undefined, expected: Buffer | undefined): void {
  world.equal(bytes?.copy(), expected === undefined ? undefined : new Uint8Array(expected))
  if (bytes !== undefined && expected !== undefined) world.results.push({ bytes, copy: Buffer.from(expected) })
}

/** Runs it; a throw must have consumed nothing. */
function attempt<T>(queue: ByteQueue, fn: () => T): T | 'threw' {
  const before = [queue.length, queue.offset]
  try {
    return fn()
  } catch {
    if (queue.length !== before[0] || queue.offset !== before[1]) throw new Error('what threw has consumed something')
    return 'threw'
  }
}

const count = fc.nat(50)
const steps: fc.Arbitrary<Step>[] = [
  ...[1, 2, 3].map(() =>
    fc.tuple(piece, fc.nat(6)).map(
      ([data, shape]): Step =>
        (queue, model, { kept }) => {
          queue.append(shaped(data, shape, kept))
          model.append(data)
        },
    ),
  ),
  fc.array(piece, { maxLength: 4 }).map(
    (list): Step =>
      (queue, model, { kept }) => {
        queue.extend(list.map((data, i) => shaped(data, i, kept)))
        for (const data of list) model.append(data)
      },
  ),
  fc.tuple(piece, fc.option(fc.nat(70), { nil: undefined })).map(
    ([data, hint]): Step =>
      (queue, model, world) => {
        const { maximum } = world
        const chunk = queue.getChunk(hint)
        world.equal(chunk.length >= Math.min(hint ?? 1, maximum), true)
        const part = data.subarray(0, chunk.length)
        chunk.set(part)
        queue.chunkWritten(part.length)
        model.append(part)
      },
  ),
  fc.tuple(piece, fc.nat(70)).map(
    ([data, hint]): Step =>
      (queue, model, world) => {
        const first = queue.getChunk()
        const chunk = queue.getChunk(hint)
        if (chunk !== first) world.late.push(first)
        const part = data.subarray(0, chunk.length)
        chunk.set(part)
        queue.chunkWritten(part.length)
        model.append(part)
      },
  ),
  count.map(
    (n): Step =>
      (queue, model, world) =>
        same(world, queue.take(n), model.take(n)),
  ),
  fc.constant<Step>((queue, model, world) => same(world, queue.take(), model.take(model.bytes.length))),
  count.map(
    (n): Step =>
      (queue, model, world) =>
        same(world, queue.takeExact(n), n > model.bytes.length ? undefined : model.take(n)),
  ),
  fc.tuple(asked, fc.boolean()).map(
    ([[d, asBytes], include]): Step =>
      (queue, model, world) =>
        same(world, queue.takeUntil(given(d, asBytes), { include }), model.takeUntil(Buffer.from(d), include)),
  ),
  fc.boolean().map(
    (keepEnd): Step =>
      (queue, model, world) =>
        same(world, queue.takeLine({ keepEnd }), model.takeLine(keepEnd)),
  ),
  fc.constant<Step>((queue, model, { equal }) => equal(queue.takeLines('latin1'), model.takeLines())),
  fc.tuple(fc.constantFrom('\r\n', '\n', 'b'), fc.constantFrom(10 as const, 16 as const)).map(
    ([until, radix]): Step =>
      (queue, model, { equal }) => {
        const expected = model.integer(Buffer.from(until), radix)
        equal(
          attempt(queue, () => queue.takeInteger(until, radix)),
          expected === 'bad' ? 'threw' : expected,
        )
      },
  ),
  fc
    .constantFrom<[1 | 2 | 4 | 8, boolean]>(
      [1, false],
      [2, false],
      [2, true],
      [4, false],
      [4, true],
      [8, false],
      [8, true],
    )
    .map(
      ([size, little]): Step =>
        (queue, model, { equal }) => {
          const verbs = {
            '1false': 'takeUInt8',
            '2false': 'takeUInt16BE',
            '2true': 'takeUInt16LE',
            '4false': 'takeUInt32BE',
            '4true': 'takeUInt32LE',
            '8false': 'takeBigUInt64BE',
            '8true': 'takeBigUInt64LE',
          } as const
          const value = queue[verbs[`${size}${little}` as keyof typeof verbs]]()
          equal(value === undefined ? undefined : BigInt(value), model.unsigned(size, little))
        },
    ),
  count.map(
    (n): Step =>
      (queue, model, { equal }) =>
        equal(queue.skip(n), model.take(n).length),
  ),
  asked.map(
    ([d, asBytes]): Step =>
      (queue, model, { equal }) =>
        equal(queue.skipIfStartsWith(given(d, asBytes)), model.skipIfStartsWith(Buffer.from(d))),
  ),
  count.map(
    (n): Step =>
      (queue, model, { equal }) =>
        equal(queue.peek(n).copy(), new Uint8Array(model.bytes.subarray(0, n))),
  ),
  fc.tuple(asked, fc.nat(90), fc.option(fc.nat(180), { nil: undefined })).map(
    ([[d, asBytes], start, end]): Step =>
      (queue, model, { equal }) =>
        equal(queue.find(given(d, asBytes), start, end), model.find(Buffer.from(d), start, end ?? model.bytes.length)),
  ),
  asked.map(
    ([d, asBytes]): Step =>
      (queue, model, { equal }) =>
        equal(queue.find(given(d, asBytes)), model.find(Buffer.from(d), 0, model.bytes.length)),
  ),
  fc.integer({ min: -60, max: 60 }).map(
    (i): Step =>
      (queue, model, { equal }) =>
        equal(queue.at(i), model.bytes.at(i)),
  ),
  fc.nat(200).map(
    (n): Step =>
      (_queue, _model, { results }) => {
        // Some results are given back: whoever reuses their memory must not be seen by the others.
        const [gone] = results.splice(n % (results.length || 1), 1)
        gone?.bytes.release()
      },
  ),
  fc.tuple(fc.nat(200), fc.boolean()).map(
    ([n, whole]): Step =>
      (_queue, _model, { results, views }) => {
        // Of others a raw view stays, and the handle goes: the memory must never be used again.
        const [gone] = results.splice(n % (results.length || 1), 1)
        if (gone === undefined) return
        let at = 0
        for (const view of whole ? [gone.bytes.toUint8Array()] : gone.bytes.chunks()) {
          views.push({ view, copy: gone.copy.subarray(at, at + view.length) })
          at += view.length
        }
        gone.bytes.release()
      },
  ),
]

const options = fc.record({
  copyBelow: fc.constantFrom(0, 7, 512, Number.POSITIVE_INFINITY),
  minimumChunkSize: fc.integer({ min: 1, max: 16 }),
  maximumChunkSize: fc.integer({ min: 16, max: 64 }),
  pooled: fc.boolean(),
})

test('B3: 240,000 random operations agree with a naive queue; nothing handed in and nothing taken ever changes', (t) => {
  let operations = 0
  const equal = (actual: unknown, expected: unknown): void => {
    // Comparing by hand where it is cheap: an assertion object each would be most of the run.
    if (actual === expected) return
    t.deepEqual(actual, expected)
  }
  fc.assert(
    fc.property(
      options,
      fc.array(fc.oneof(...steps), { minLength: 60, maxLength: 180 }),
      ({ pooled, ...given }, list) => {
        const queue = new ByteQueue({ ...given, pool: pooled ? new PoisonedPool({ maxBytes: 500 }) : null })
        const model = new NaiveQueue()
        const world: World = { kept: [], results: [], views: [], late: [], maximum: given.maximumChunkSize, equal }
        for (const step of list) {
          step(queue, model, world)
          operations++
          for (const chunk of world.late) chunk.fill(0x21)
          equal(queue.length, model.bytes.length)
          equal(queue.offset, model.offset)
          if (queue.retained < queue.length) t.fail('retained is less than length')
        }
        for (const { bytes, copy } of world.results) if (!copy.equals(bytes.copy())) t.fail('a result has changed')
        for (const { view, copy } of world.views) if (!copy.equals(view)) t.fail('a raw view has changed')
        for (const { memory, copy } of world.kept)
          if (Buffer.compare(memory, copy) !== 0) t.fail('memory that was handed in has changed')
      },
    ),
    { numRuns: 2600, seed: 20 },
  )
  t.true(operations >= 200_000, `${operations} operations`)
})

test('a long delimiter is found wherever one looks first', (t) => {
  const long = '0123456789'.repeat(4)
  const queue = new ByteQueue()
  queue.append(`${long}${'a'.repeat(200)}${long}`)
  t.is(queue.find(long, 100), 240)
  t.is(queue.find(long), 0, 'before the place that was searched first')
  t.is(queue.find(long, 1), 240)
  t.is(queue.find(long, 0, 39), -1)
  t.is(queue.find(long), 0)
  queue.skip(1)
  t.is(queue.find(long), 239)
})

test('bytes that are put back before the first one are searched too', (t) => {
  for (const delimiter of ['\n', LONG]) {
    const buffer = new ChunkedBuffer()
    buffer.append('x'.repeat(100))
    buffer.unshift(`a${delimiter}b`)
    t.is(buffer.find(delimiter), 1)
    t.is(buffer.takeUntil(delimiter)?.toString(), 'a')
  }
})

test('numbers that use up a piece let its memory go', (t) => {
  const verbs = {
    takeUInt8: 1,
    takeUInt16BE: 2,
    takeUInt16LE: 2,
    takeUInt32BE: 4,
    takeUInt32LE: 4,
    takeBigUInt64BE: 8,
    takeBigUInt64LE: 8,
    takeVarint: 1,
  } as const
  for (const [verb, size] of Object.entries(verbs)) {
    const queue = new ByteQueue({ copyBelow: 0 })
    queue.append(new Uint8Array(size))
    t.is(Number(queue[verb as keyof typeof verbs]()), 0)
    t.deepEqual([queue.length, queue.offset, queue.retained], [0, size, 0], verb)
    t.is(queue[verb as keyof typeof verbs](), undefined)
  }
})

test('a delimiter is what it is when it is asked for', (t) => {
  const queue = new ByteQueue()
  queue.append('xyab')
  const mine = Buffer.from('zz')
  t.is(queue.find(mine), -1)
  mine.write('xy')
  t.is(queue.find(mine), 0)
})

test('G3: memory that was used up is let go, also while the queue never gets empty', async (t) => {
  const queue = new ByteQueue()
  const seen: WeakRef<Uint8Array>[] = []
  for (let i = 0; i < 40; i++) {
    const packet = new Uint8Array(1000)
    seen.push(new WeakRef(packet))
    queue.append(packet)
    if (i > 0) queue.skip(1000)
  }
  t.is(queue.retained, 1000)
  await collect()
  t.is(seen.filter((packet) => packet.deref() !== undefined).length, 1)
})

test('wrong counts, delimiters, radixes and data are refused and consume nothing', (t) => {
  const queue = new ByteQueue()
  queue.append('0123456789')
  for (const wrong of [-1, 0.5, Number.NaN, '3', null, 2n, Number.NEGATIVE_INFINITY]) {
    const n = wrong as number
    for (const verb of ['take', 'takeExact', 'skip', 'peek'] as const)
      t.throws(() => queue[verb](n), invalid, `${verb} ${wrong}`)
    t.throws(() => queue.find('0', n), invalid)
    t.throws(() => queue.find('0', 0, n), invalid)
    t.throws(() => queue.getChunk(n), invalid)
  }
  for (const wrong of [256, -1, 1.5, null, undefined, {}, true]) {
    t.throws(() => queue.takeUntil(wrong as never), invalid, `takeUntil ${wrong}`)
    t.throws(() => queue.find(wrong as never), invalid, `find ${wrong}`)
    t.throws(() => queue.skipIfStartsWith(wrong as never), invalid)
  }
  t.throws(() => queue.takeUntil(''), invalid)
  t.throws(() => queue.takeUntil(new Uint8Array()), invalid)
  t.throws(() => queue.takeInteger(''), invalid)
  t.throws(() => queue.takeInteger('\n', 8 as never), invalid)
  t.throws(() => queue.takeLines('utf16' as never), invalid)
  for (const wrong of [5, null, undefined, {}]) {
    t.throws(() => queue.append(wrong as never), invalid)
    t.throws(() => queue.extend(wrong as never), invalid)
  }
  t.throws(() => queue.at(1.5), invalid)
  t.deepEqual([queue.length, queue.offset], [10, 0])
  const bad: [keyof ByteQueueOptions, unknown][] = [
    ['minimumChunkSize', 0],
    ['maximumChunkSize', 1.5],
    ['copyBelow', -1],
    ['maxLength', Number.NaN],
    ['pool', {}],
  ]
  for (const [name, value] of bad)
    t.throws(() => new ByteQueue({ [name]: value } as never), { ...invalid, message: new RegExp(name) })
  t.throws(() => new ByteQueue({ minimumChunkSize: 100, maximumChunkSize: 10 }), invalid)
})

test('infinite counts and an absent one mean all; the empty delimiter is found where one looks', (t) => {
  const queue = new ByteQueue()
  queue.append('abc')
  t.is(queue.peek(Number.POSITIVE_INFINITY).toString(), 'abc')
  t.is(queue.find('', 2), 2)
  t.is(queue.find('', 3), 3)
  t.is(queue.find('', 4), -1)
  t.is(queue.find('bc', 1, 2), -1)
  t.is(queue.skip(1), 1)
  t.is(queue.take(Number.POSITIVE_INFINITY).toString(), 'bc')
  t.is(queue.take().length, 0)
  t.is(queue.skip(), 0)
  t.is(queue.skipIfStartsWith(''), true)
})

test('what the Python queue gets wrong: borders of chunks', (t) => {
  const queue = new ByteQueue({ copyBelow: 0 })
  queue.extend(['one ', 'line over ', 'chunks\n', 'abc\r', '\nx'])
  t.is(queue.takeLine()?.toString(), 'one line over chunks')
  t.is(queue.takeLine()?.toString(), 'abc')
  t.is(queue.takeLine(), undefined)
  t.is(queue.take().toString(), 'x')
  queue.extend(['ab', '--', 'BOUND', 'ARY', '--cd'])
  t.is(queue.find('--BOUNDARY--'), 2)
  t.is(queue.find('--BOUNDARY--', 2, 14), 2)
  t.is(queue.find('--BOUNDARY--', 3), -1)
  t.is(queue.find('--BOUNDARY--', 0, 13), -1)
  t.is(queue.takeUntil('--BOUNDARY--')?.toString(), 'ab')
  queue.clear()
  const mine = Buffer.from('mine, not yours')
  queue.append(mine)
  queue.skip()
  queue.append('over')
  t.is(mine.toString(), 'mine, not yours')
  t.is(queue.take().toString(), 'over')
})

test('a CR is part of a line end only right before its LF', (t) => {
  const queue = new ByteQueue()
  queue.append('a\rb\r\r\n\n\r\nlast\r')
  t.deepEqual(queue.takeLines(), ['a\rb\r', '', ''])
  t.is(queue.takeLine(), undefined)
  t.is(queue.take().toString(), 'last\r')
  queue.append('é\r\nü\n')
  t.is(queue.takeLine({ keepEnd: true })?.toString(), 'é\r\n')
  t.deepEqual(queue.takeLines(), ['ü'])
})

test('takeLines: characters and line ends over the borders of pieces and of decoding units', (t) => {
  const text = Array.from({ length: 9000 }, (_, i) => `${i} ${'ä€😀'.repeat(i % 7)}${i % 3 ? '' : '\r'}`)
  const all = Buffer.from(`${text.join('\n')}\n`)
  const expected = text.map((line) => line.replace(/\r$/, ''))
  for (const size of [1000, 4096, 65536, 65537, all.length]) {
    const queue = new ByteQueue()
    const lines: string[] = []
    for (let at = 0; at < all.length; at += size) {
      queue.append(all.subarray(at, at + size))
      lines.push(...queue.takeLines())
    }
    t.deepEqual(lines, expected)
  }
})

test('B4: maxLength: what does not fit is refused whole, with the numbers', (t) => {
  const queue = new ByteQueue({ maxLength: 10 })
  queue.append('12345678')
  const error = t.throws(() => queue.append('abc'), { code: 'MILL_BUFFER_FULL' })
  t.like(error, { name: 'BufferError', length: 8, needed: 3, limit: 10 })
  t.throws(() => queue.append(Bytes.from('abc')), { code: 'MILL_BUFFER_FULL' })
  const chunk = queue.getChunk(100)
  t.is(chunk.length, 2)
  chunk.set([57, 48])
  queue.chunkWritten(2)
  t.throws(() => queue.getChunk(), { code: 'MILL_BUFFER_FULL' })
  t.is(queue.take().toString(), '1234567890')
})

test('getChunk: its rules, its sizes', (t) => {
  const queue = new ByteQueue({ minimumChunkSize: 16, maximumChunkSize: 64, pool: null })
  t.throws(() => queue.chunkWritten(1), { code: 'MILL_NO_CHUNK' })
  t.is(queue.getChunk().length, 16)
  t.throws(() => queue.append('x'), { code: 'MILL_CHUNK_PENDING' })
  for (const wrong of [17, -1, 0.5, Number.NaN]) t.throws(() => queue.chunkWritten(wrong), invalid)
  queue.chunkWritten(0)
  queue.append('x')
  t.is(queue.take().toString(), 'x')
  const sizes: number[] = []
  for (let i = 0; i < 4; i++) {
    const chunk = queue.getChunk()
    sizes.push(chunk.length)
    queue.chunkWritten(chunk.length)
  }
  t.true((sizes.at(-1) as number) === 64 && Math.max(...sizes) === 64, `grows to the maximum and no further: ${sizes}`)
  queue.clear()
  for (let i = 0; i < 60; i++) {
    queue.getChunk()
    queue.chunkWritten(1)
    queue.clear()
  }
  t.is(queue.getChunk().length, 16, 'shrinks while reads bring little')
  queue.chunkWritten(0)
  t.is(queue.getChunk(50).length >= 50, true)
  queue.chunkWritten(0)
  t.is(queue.getChunk(1000).length, 64)
  queue.chunkWritten(0)
})

test('integers: what is one and what is not', (t) => {
  const read = (text: string, ...args: Parameters<ByteQueue['takeInteger']>) => {
    const queue = new ByteQueue()
    queue.append(text)
    return queue.takeInteger(...args)
  }
  t.is(read('12\r\n'), 12)
  t.is(read('-0\r\n'), 0)
  t.is(read('+7\r\n'), 7)
  t.is(read('9007199254740991\r\n'), Number.MAX_SAFE_INTEGER)
  t.is(read('-9007199254740991\r\n'), Number.MIN_SAFE_INTEGER)
  t.is(read('fF|', '|', 16), 255)
  t.is(read('12\r'), undefined)
  t.is(read('12 '.repeat(5)), undefined)
  for (const text of [
    '\r\n',
    '-\r\n',
    ' 1\r\n',
    '1 \r\n',
    '1e3\r\n',
    '0x1\r\n',
    '1.0\r\n',
    '9007199254740992\r\n',
    '--1\r\n',
    '12\n\r\n',
    '1'.repeat(40),
  ]) {
    const error = t.throws(() => read(text), { code: 'MILL_BAD_NUMBER' }, JSON.stringify(text))
    t.is((error as unknown as { offset: number }).offset, 0)
    t.true((error as unknown as { text: string }).text.length <= 32)
  }
})

test('varints: up to 2^53-1, in every cut', (t) => {
  for (const value of [0, 1, 127, 128, 300, 2 ** 31, 2 ** 32 - 1, 2 ** 49, Number.MAX_SAFE_INTEGER]) {
    const encoded: number[] = []
    let rest = BigInt(value)
    do {
      encoded.push(Number(rest & 127n) | (rest > 127n ? 128 : 0))
      rest >>= 7n
    } while (rest > 0n)
    const queue = new ByteQueue()
    for (const byte of encoded) {
      t.is(queue.takeVarint(), undefined)
      queue.append(Uint8Array.of(byte))
    }
    t.is(queue.takeVarint(), value)
    t.is(queue.length, 0)
  }
  for (const bytes of [[255, 255, 255, 255, 255, 255, 255, 31], Array(9).fill(128)]) {
    const queue = new ByteQueue()
    queue.append(Uint8Array.from(bytes))
    t.throws(() => queue.takeVarint(), { code: 'MILL_BAD_NUMBER' })
    t.is(queue.length, bytes.length)
  }
})
