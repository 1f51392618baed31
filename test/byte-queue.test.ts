import test from 'ava'
import fc from 'fast-check'
import { type AnyBytes, ByteQueue, type ByteQueueOptions, Bytes, MemoryPool } from '../lib/buffer/index.js'
import { NaiveQueue } from './fixtures/buffer-model.js'

const invalid = { code: 'MILL_INVALID_ARGUMENT' }
/** Few different bytes, so that delimiters, their halves and line ends are common. */
const piece = fc
  .array(fc.constantFrom(97, 97, 98, 13, 10, 48, 55, 45), { maxLength: 40 })
  .map((list) => Uint8Array.from(list))
const delimiters = ['\n', '\r\n', 'ab', 'aab', 'a'.repeat(3), `${'ab'.repeat(20)}b`, 'b', '\r', '0a'] as const
const delimiter = fc.constantFrom(...delimiters)

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
        const chunk = queue.getChunk(hint)
        world.equal(chunk.length >= Math.min(hint ?? 1, 64) || chunk.length > 0, true)
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
  fc.tuple(delimiter, fc.boolean()).map(
    ([d, include]): Step =>
      (queue, model, world) =>
        same(world, queue.takeUntil(d, { include }), model.takeUntil(Buffer.from(d), include)),
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
  delimiter.map(
    (d): Step =>
      (queue, model, { equal }) =>
        equal(queue.skipIfStartsWith(d), model.skipIfStartsWith(Buffer.from(d))),
  ),
  count.map(
    (n): Step =>
      (queue, model, { equal }) =>
        equal(queue.peek(n).copy(), new Uint8Array(model.bytes.subarray(0, n))),
  ),
  fc.tuple(delimiter, fc.nat(45), fc.option(fc.nat(90), { nil: undefined })).map(
    ([d, start, end]): Step =>
      (queue, model, { equal }) =>
        equal(queue.find(d, start, end), model.find(Buffer.from(d), start, end ?? model.bytes.length)),
  ),
  delimiter.map(
    (d): Step =>
      (queue, model, { equal }) =>
        equal(queue.find(d), model.find(Buffer.from(d), 0, model.bytes.length)),
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
]

const options = fc.record({
  copyBelow: fc.constantFrom(0, 7, 512, Number.POSITIVE_INFINITY),
  minimumChunkSize: fc.integer({ min: 1, max: 16 }),
  maximumChunkSize: fc.integer({ min: 16, max: 64 }),
  pooled: fc.boolean(),
})

/** A pool that overwrites whatever comes back: whoever still looks at it is found out. */
class PoisonedPool extends MemoryPool {
  override recycle(u8: Uint8Array): void {
    u8.fill(0xdb)
    super.recycle(u8)
  }
}

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
        const world: World = { kept: [], results: [], equal }
        for (const step of list) {
          step(queue, model, world)
          operations++
          equal(queue.length, model.bytes.length)
          equal(queue.offset, model.offset)
          if (queue.retained < queue.length) t.fail('retained is less than length')
        }
        for (const { bytes, copy } of world.results) if (!copy.equals(bytes.copy())) t.fail('a result has changed')
        for (const { memory, copy } of world.kept)
          if (Buffer.compare(memory, copy) !== 0) t.fail('memory that was handed in has changed')
      },
    ),
    { numRuns: 2600, seed: 20 },
  )
  t.true(operations >= 200_000, `${operations} operations`)
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

test('a steady state allocates nothing, and a forgotten release is only slower', (t) => {
  const pool = new MemoryPool()
  const queue = new ByteQueue({ pool, minimumChunkSize: 1024, maximumChunkSize: 1024 })
  const turn = (release: boolean): Bytes => {
    const chunk = queue.getChunk(1024)
    chunk.fill(7)
    queue.chunkWritten(1024)
    const bytes = queue.take()
    if (release) bytes.release()
    return bytes
  }
  for (let i = 0; i < 10; i++) turn(true)
  const before = pool.allocated
  for (let i = 0; i < 1000; i++) turn(true)
  t.is(pool.allocated, before)
  const kept = Array.from({ length: 5 }, () => turn(false))
  t.true(pool.allocated > before && pool.allocated <= before + 5)
  t.true(kept.every((bytes) => bytes.copy().every((byte) => byte === 7)))
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
