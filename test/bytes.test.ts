import test from 'ava'
import fc from 'fast-check'
import { ByteQueue, Bytes, MemoryPool } from '../lib/buffer/index.js'

/** The same bytes in random pieces, with the plain array they must equal. */
const pieced = fc
  .array(fc.array(fc.constantFrom(32, 97, 98, 13, 10, 9, 44), { maxLength: 12 }), { maxLength: 6 })
  .map((lists) => {
    const parts = lists.map((list) => Uint8Array.from(list))
    return { bytes: Bytes.merge(parts), plain: Buffer.concat(parts) }
  })

test('Bytes agree with Buffer, in however many pieces they lie', (t) => {
  fc.assert(
    fc.property(
      pieced,
      fc.integer({ min: -20, max: 70 }),
      fc.integer({ min: -20, max: 70 }),
      ({ bytes, plain }, a, b) => {
        t.is(bytes.length, plain.length)
        t.true(plain.equals(bytes.copy()))
        t.true(plain.equals(bytes.slice(a, b).copy()) === plain.equals(plain.subarray(a, b)))
        t.true(Buffer.from(bytes.slice(a, b).copy()).equals(plain.subarray(a, b)))
        t.is(bytes.at(a), plain.at(a))
        t.is(bytes.toString('latin1'), plain.toString('latin1'))
        t.true(Buffer.concat([...bytes]).equals(plain))
        t.true(bytes.chunks().every((chunk) => chunk.length > 0))
        t.true(
          bytes.equals(plain) &&
            bytes.equals(Bytes.from(plain)) &&
            !bytes.equals(Buffer.concat([plain, Buffer.from('x')])),
        )
        const from = Math.max(0, Math.min(a, plain.length))
        for (const needle of ['a', 'ab', '\r\n', 'ba,']) {
          t.is(bytes.find(needle, from), plain.indexOf(needle, from))
          t.is(bytes.startsWith(needle), plain.subarray(0, needle.length).equals(Buffer.from(needle)))
        }
        const target = new Uint8Array(plain.length + 3).fill(1)
        t.is(bytes.copyTo(target, 2), plain.length)
        t.true(Buffer.from(target).equals(Buffer.concat([Buffer.of(1, 1), plain, Buffer.of(1)])))
      },
    ),
    { numRuns: 1000 },
  )
})

test('split, splitLines and strip are those of Python', (t) => {
  const shown = (list: Bytes[]) => list.map(String)
  const pieces = (text: string) => Bytes.merge([...text].map((c) => Buffer.from(c)))
  for (const make of [pieces, Bytes.from]) {
    t.deepEqual(shown(make('a,b,,c,').split(',')), ['a', 'b', '', 'c', ''])
    t.deepEqual(shown(make('a,b,c').split(',', 1)), ['a', 'b,c'])
    t.deepEqual(shown(make('a--b--c').split('--', 0)), ['a--b--c'])
    t.deepEqual(shown(make('').split(',')), [''])
    t.deepEqual(shown(make(' a \t b\nc ').split()), ['a', 'b', 'c'])
    t.deepEqual(shown(make('  a  b  c  ').split(undefined, 1)), ['a', 'b  c  '])
    t.deepEqual(shown(make('  a b ').split(undefined, 0)), ['a b '])
    t.deepEqual(shown(make(' a ').split(undefined, 1)), ['a'])
    t.deepEqual(shown(make('   ').split()), [])
    t.deepEqual(shown(make('').split()), [])
    t.deepEqual(shown(make('a\nb\r\nc\rd\n\n').splitLines()), ['a', 'b', 'c', 'd', ''])
    t.deepEqual(shown(make('a\nb\r\nc\rd').splitLines(true)), ['a\n', 'b\r\n', 'c\r', 'd'])
    t.deepEqual(shown(make('a\r').splitLines()), ['a'])
    t.deepEqual(shown(make('').splitLines()), [])
    t.is(make(' \t a b \r\n').strip().toString(), 'a b')
    t.is(make('xxaxbxx').strip('x').toString(), 'axb')
    t.is(make('xyxy').strip('xy').toString(), '')
    t.is(make('').strip().toString(), '')
  }
  t.throws(() => Bytes.from('a').split(''), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => Bytes.from('a').split(',', -1), { code: 'MILL_INVALID_ARGUMENT' })
})

test('the empty delimiter is found where one looks, as in Python', (t) => {
  for (const bytes of [Bytes.from('abc'), Bytes.merge(['a', 'b', 'c'])]) {
    t.is(bytes.find(''), 0)
    t.is(bytes.find('', 3), 3)
    t.is(bytes.find('', 4), -1)
    t.is(bytes.find('', 2, 2), 2)
    t.is(bytes.find('', 2, 1), -1)
  }
})

test('text: invalid UTF-8, a byte order mark, characters over pieces, numbers', (t) => {
  t.is(Bytes.from(Uint8Array.of(0xef, 0xbb, 0xbf, 0x41, 0xff)).toString(), '\ufeffA\ufffd')
  t.is(Bytes.merge([Uint8Array.of(0xe2, 0x82), Uint8Array.of(0xac)]).toString(), '€')
  t.is(Bytes.from(Uint8Array.of(0x80, 0xe9)).toString('latin1'), '\u0080é')
  t.is(Number(Bytes.from('42')), 42)
  t.is(`${Bytes.from('né')}`, 'né')
  t.throws(() => Bytes.from('a').toString('hex' as never), { code: 'MILL_INVALID_ARGUMENT' })
})

test('pointing and copying: what the documentation says', (t) => {
  const mine = Buffer.from('0123456789')
  const bytes = Bytes.from(mine)
  t.true(bytes.contiguous)
  t.is(bytes.toUint8Array().buffer, mine.buffer)
  t.is(bytes.slice(2, 5).toUint8Array().byteOffset, mine.byteOffset + 2)
  for (const view of [bytes.toUint8Array(), ...bytes.chunks(), ...bytes, ...Bytes.from('text').chunks()])
    t.is(view.constructor, Uint8Array, 'never a Buffer, whose slice() is a view')
  const copy = bytes.copy()
  t.deepEqual([copy.byteOffset, copy.length, copy.buffer.byteLength], [0, 10, 10])
  const halves = Bytes.merge([mine.subarray(0, 5), Buffer.from('xyz')])
  t.false(halves.contiguous)
  t.is(
    halves.retained,
    mine.buffer.byteLength +
      (halves.chunks()[1] as Uint8Array).buffer.byteLength -
      (mine.buffer === halves.chunks()[1]?.buffer ? mine.buffer.byteLength : 0),
  )
  t.is(halves.toUint8Array(), halves.toUint8Array())
  t.true(halves.contiguous)
  t.is(halves.retained, 8)
  const joined = Bytes.merge([mine.subarray(0, 4), mine.subarray(4)])
  t.is(joined.chunks().length, 1, 'neighbours in memory are one chunk')
  t.is(joined.chunks()[0]?.length, 10)
  for (const [wrong, at] of [
    [new Uint8Array(9), 0],
    [new Uint8Array(10), 1],
    [new Uint8Array(10), -1],
    ['x', 0],
  ] as const) {
    t.throws(() => bytes.copyTo(wrong as Uint8Array, at), { code: 'MILL_INVALID_ARGUMENT' })
  }
  t.throws(() => Bytes.merge('text'), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => Bytes.from(5 as never), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => bytes.at(0.5), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => bytes.slice(0.5), { code: 'MILL_INVALID_ARGUMENT' })
})

test('released bytes say so, each handle by itself, twice is fine', (t) => {
  const bytes = Bytes.from('abc')
  const more = bytes.retain()
  t.false(bytes.released)
  bytes.release()
  bytes.release()
  t.true(bytes.released)
  t.is(bytes.retained, 0)
  const uses: (() => unknown)[] = [
    () => bytes.at(0),
    () => bytes.slice(),
    () => bytes.chunks(),
    () => bytes.toUint8Array(),
    () => bytes.copy(),
    () => bytes.toString(),
    () => bytes.equals('abc'),
    () => bytes.startsWith('a'),
    () => bytes.find('a'),
    () => bytes.split(','),
    () => bytes.strip(),
    () => bytes.retain(),
    () => [...bytes],
    () => Bytes.merge([bytes]),
    () => new ByteQueue().append(bytes),
    () => bytes.contiguous,
  ]
  for (const use of uses) t.throws(use, { code: 'MILL_RELEASED' }, String(use))
  t.is(more.toString(), 'abc')
  {
    using gone = more
    t.is(gone.length, 3)
  }
  t.true(more.released)
})

test('B3: memory seen through any handle survives everything that happens to queue and pool', (t) => {
  const escapes: Record<string, (bytes: Bytes) => () => string> = {
    toUint8Array: (bytes) => {
      const view = bytes.toUint8Array()
      bytes.release()
      return () => Buffer.from(view).toString()
    },
    chunks: (bytes) => {
      const chunks = bytes.chunks()
      bytes.release()
      return () => Buffer.concat(chunks).toString()
    },
    iteration: (bytes) => {
      const chunks = [...bytes]
      bytes.release()
      return () => Buffer.concat(chunks).toString()
    },
    slice: (bytes) => {
      const slice = bytes.slice()
      bytes.release()
      return () => slice.toString()
    },
    retain: (bytes) => {
      const more = bytes.retain()
      bytes.release()
      return () => more.toString()
    },
    merge: (bytes) => {
      const merged = Bytes.merge([bytes, bytes])
      bytes.release()
      return () => merged.toString().slice(0, merged.length / 2)
    },
    append: (bytes) => {
      const other = new ByteQueue({ copyBelow: 0 })
      other.append(bytes)
      bytes.release()
      return () => other.peek().toString()
    },
  }
  for (const [name, handOut] of Object.entries(escapes)) {
    for (const size of [1, 30, 64, 200]) {
      const pool = new MemoryPool()
      const queue = new ByteQueue({ pool, minimumChunkSize: 64, maximumChunkSize: 64 })
      queue.append('x'.repeat(size))
      const look = handOut(queue.take())
      for (let i = 0; i < 50; i++) {
        queue.append('!'.repeat(50))
        queue.take().release()
        queue.getChunk().fill(63)
        queue.chunkWritten(1)
        queue.clear()
      }
      t.is(look(), 'x'.repeat(size), name)
    }
  }
})

test('Stream.toStreamable gives the chunks', (t) => {
  const chunks = (Bytes.merge(['ab', 'cd']) as unknown as Record<symbol, () => Uint8Array[]>)[
    Symbol.for('Stream.toStreamable')
  ]?.()
  t.is(Buffer.concat(chunks ?? []).toString(), 'abcd')
})
