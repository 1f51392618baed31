import { execFile } from 'node:child_process'
import { getEventListeners } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import fc from 'fast-check'
import { abortable, onAbort, sleep } from '../lib/base/abort.js'
import { builtin } from '../lib/base/builtin.js'
import {
  allocate,
  compareBytes,
  concatBytes,
  equalBytes,
  indexOfByte,
  isBytesLike,
  latin1,
  toUint8Array,
  utf8,
} from '../lib/base/bytes.js'
import { crc32c, PlacedCrc32c, setCrc32c } from '../lib/base/crc32c.js'
import {
  AbortError,
  ArgumentError,
  BufferError,
  describe,
  isMillraceError,
  MillraceError,
  StreamError,
} from '../lib/base/errors.js'
import { Lru } from '../lib/base/lru.js'
import { Mutex, Semaphore, SingleFlight } from '../lib/base/mutex.js'
import { Meter } from '../lib/base/progress.js'
import { fromU64, getU64LE, setU64LE, toU64 } from '../lib/base/u64.js'

const turn = () => new Promise((resolve) => setImmediate(resolve))
const bytes = fc.uint8Array({ maxLength: 80 })

/** A signal that counts its listeners. */
function counted(): { signal: AbortSignal; abort: (reason: unknown) => void; live: () => number } {
  const controller = new AbortController()
  const { signal } = controller
  const live = () => getEventListeners(signal, 'abort').length
  return { signal, abort: (reason) => controller.abort(reason), live }
}

test('errors: class, name, code, fields, cause', (t) => {
  const cause = new Error('why')
  const error = new BufferError('MILL_TOO_LONG', 'too long', { limit: 5, offset: 7, cause })
  t.true(error instanceof MillraceError && error instanceof Error)
  t.deepEqual(
    [error.name, error.code, error.limit, error.offset, error.cause],
    ['BufferError', 'MILL_TOO_LONG', 5, 7, cause],
  )
  t.false('cause' in new StreamError('MILL_UNSUPPORTED', 'no'))
  t.is(new AbortError().name, 'AbortError')
  t.is(new AbortError().code, 'ABORT_ERR')
  const wrong = new ArgumentError('count', 'a number', 'x'.repeat(100))
  t.deepEqual([wrong.argument, wrong.code], ['count', 'MILL_INVALID_ARGUMENT'])
  t.true(wrong.message.length < 120)
  t.true(isMillraceError(error))
  t.true(isMillraceError(error, 'MILL_TOO_LONG'))
  t.false(isMillraceError(error, 'MILL_BAD_NUMBER'))
  for (const other of [cause, null, undefined, 'MILL_TOO_LONG', { code: 'MILL_TOO_LONG' }])
    t.false(isMillraceError(other))
})

test('errors are known across two copies of the package', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-'))
  try {
    const copy = join(folder, 'errors.mjs')
    copyFileSync(new URL('../lib/base/errors.js', import.meta.url), copy)
    const other = (await import(pathToFileURL(copy).href)) as typeof import('../lib/base/errors.js')
    const error = new other.BufferError('MILL_RELEASED', 'gone')
    t.false(error instanceof BufferError)
    t.true(isMillraceError(error, 'MILL_RELEASED'))
    t.true(other.isMillraceError(new StreamError('MILL_UNSUPPORTED', 'no')))
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('describe() is short and never shows a whole value', (t) => {
  t.is(describe('a"b'), '"a\\"b"')
  t.is(describe(5n), '5n')
  t.is(describe(null), 'null')
  t.is(describe(undefined), 'undefined')
  t.is(describe(Number.NaN), 'NaN')
  t.is(describe(Symbol('s')), 'Symbol(s)')
  t.is(describe(new Uint8Array(9999)), 'an instance of Uint8Array')
  t.is(describe(Object.create(null)), 'an object')
  t.is(
    describe(function named() {}),
    'function named',
  )
  t.is(
    describe(() => {}),
    'a function',
  )
})

test('bytes: every kind of memory is seen where it lies, and nothing else is taken', (t) => {
  const buffer = new ArrayBuffer(8)
  for (const view of [
    new DataView(buffer, 2, 4),
    new Uint16Array(buffer, 2, 2),
    new Uint8Array(buffer, 2, 4),
    Buffer.from(buffer, 2, 4),
  ]) {
    const u8 = toUint8Array(view)
    t.deepEqual([u8.buffer, u8.byteOffset, u8.length], [buffer, 2, 4])
  }
  t.is(toUint8Array(buffer).buffer, buffer)
  const shared = new SharedArrayBuffer(4)
  t.is(toUint8Array(shared).buffer, shared)
  t.deepEqual(toUint8Array('né'), Uint8Array.of(110, 195, 169))
  const foreign = runInNewContext('new ArrayBuffer(3)') as ArrayBuffer
  t.true(isBytesLike(foreign))
  t.is(toUint8Array(foreign).length, 3)
  for (const wrong of [5, null, undefined, {}, [1, 2], () => {}]) {
    t.false(isBytesLike(wrong))
    t.throws(() => toUint8Array(wrong as never), { code: 'MILL_INVALID_ARGUMENT' })
  }
})

test('bytes: comparing, joining, searching and decoding agree with Buffer', (t) => {
  fc.assert(
    fc.property(bytes, bytes, fc.nat(90), (a, b, from) => {
      t.is(compareBytes(a, b), Buffer.compare(a, b) as -1 | 0 | 1)
      t.is(equalBytes(a, b), Buffer.from(a).equals(b))
      t.true(equalBytes(a, a.slice()))
      t.deepEqual(Buffer.from(concatBytes([a, b, a])), Buffer.concat([a, b, a]))
      t.is(indexOfByte(a, 7, Math.min(from, a.length)), a.indexOf(7, Math.min(from, a.length)))
      t.is(utf8(a), Buffer.from(a).toString())
      t.is(latin1(b), Buffer.from(b).toString('latin1'))
      const to = Math.min(3, a.length)
      t.is(utf8(a, Math.min(1, to), to), Buffer.from(a).toString('utf8', Math.min(1, to), to))
    }),
    { numRuns: 2000 },
  )
  t.is(utf8(Uint8Array.of(0xef, 0xbb, 0xbf, 65)), '\ufeffA')
  const own = allocate(10)
  t.deepEqual([own.length, own.byteOffset, own.buffer.byteLength], [10, 0, 10])
})

test('bytes: without Buffer, as in a browser, everything comes out the same', async (t) => {
  const program = fileURLToPath(new URL('fixtures/no-buffer.js', import.meta.url))
  t.is((await promisify(execFile)(process.execPath, [program])).stdout, 'the same\n')
})

test('crc32c: parts of memory that is filled again and again, wherever they begin and end', (t) => {
  const placed = new PlacedCrc32c()
  for (const offset of [0, 1, 2, 3, 40]) {
    const memory = new Uint8Array(new ArrayBuffer(1100), offset, 1001)
    for (let filled = 0; filled < 2; filled++) {
      for (let i = 0; i < memory.length; i++) memory[i] = (i * 167 + filled * 13) ^ (i >> 3)
      for (const from of [0, 1, 2, 3, 4, 9]) {
        for (const length of [0, 1, 3, 4, 15, 16, 17, 31, 100, 383, 384, 400, 992]) {
          const expected = crc32c(memory.slice(from, from + length), 0x1234_5678)
          t.is(placed.of(memory, from, from + length, 0x1234_5678), expected, `${offset}, ${from}, ${length}`)
        }
      }
    }
  }
  // To the very end of memory that ends between two words.
  const odd = Uint8Array.from({ length: 103 }, (_, i) => i * 7)
  t.is(placed.of(odd, 0, 103), crc32c(odd))
  setCrc32c((data, seed) => data.length + seed)
  try {
    t.is(placed.of(odd, 3, 10, 1), 8)
  } finally {
    setCrc32c()
  }
})

test('crc32c: the check value, chained at every place, any seam', (t) => {
  const check = Buffer.from('123456789')
  t.is(crc32c(check), 0xe3069283)
  for (let i = 0; i <= check.length; i++) t.is(crc32c(check.subarray(i), crc32c(check.subarray(0, i))), 0xe3069283)
  // RFC 3720, B.4: 32 bytes of zeros, of ones, rising and falling.
  t.is(crc32c(new Uint8Array(32)), 0x8a9136aa)
  t.is(crc32c(new Uint8Array(32).fill(255)), 0x62a8ab43)
  t.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e)
  t.is(crc32c(Uint8Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c)
  const data = fc.uint8Array({ maxLength: 200 })
  fc.assert(
    fc.property(data, data, (a, b) => {
      t.is(crc32c(b, crc32c(a)), crc32c(concatBytes([a, b])))
    }),
    { numRuns: 1000 },
  )
  try {
    setCrc32c((u8, seed) => u8.length + seed)
    t.is(crc32c(check, 1), 10)
  } finally {
    setCrc32c()
  }
  t.is(crc32c(check), 0xe3069283)
})

test('u64: edges', (t) => {
  t.is(toU64(0), 0n)
  t.is(toU64(Number.MAX_SAFE_INTEGER), 2n ** 53n - 1n)
  t.is(toU64(2n ** 64n - 1n), 2n ** 64n - 1n)
  for (const wrong of [-1, 2 ** 53, 0.5, Number.NaN, Number.POSITIVE_INFINITY, -1n, 2n ** 64n, '1', null]) {
    t.throws(() => toU64(wrong as number), { code: 'MILL_INVALID_ARGUMENT' })
  }
  t.is(fromU64(2n ** 53n - 1n), Number.MAX_SAFE_INTEGER)
  t.is(fromU64(2n ** 53n), 2n ** 53n)
  const view = new DataView(new ArrayBuffer(12))
  setU64LE(view, 4, 0x0102030405060708n)
  t.deepEqual([...new Uint8Array(view.buffer)], [0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1])
  t.is(getU64LE(view, 4), 0x0102030405060708n)
  t.throws(() => setU64LE(view, 0, -1), { code: 'MILL_INVALID_ARGUMENT' })
})

test('onAbort, abortable and sleep leave no listener and give the reason itself', async (t) => {
  const reason = { any: 'thing' }
  const { signal, abort, live } = counted()
  const off = onAbort(signal, () => t.fail())
  t.is(live(), 1)
  off()
  t.is(live(), 0)
  t.is(await abortable(Promise.resolve(1), signal), 1)
  await t.throwsAsync(abortable(Promise.reject(new Error('mine')), signal), { message: 'mine' })
  await sleep(1, signal)
  t.is(live(), 0)
  const waiting = [abortable(new Promise(() => {}), signal), sleep(60_000, signal)]
  const seen: unknown[] = []
  onAbort(signal, (why) => seen.push(why))
  abort(reason)
  for (const settled of await Promise.allSettled(waiting)) t.is(settled.status === 'rejected' && settled.reason, reason)
  onAbort(signal, (why) => seen.push(why))
  t.deepEqual(seen, [reason, reason])
  t.is(await sleep(1, signal).catch((error) => error), reason)
  t.is(await abortable(Promise.resolve(1), signal).catch((error) => error), reason)
  onAbort(undefined, () => t.fail())()
  t.is(await abortable(Promise.resolve(2)), 2)
})

test('Meter: counts, smooths, and says when it will be over', async (t) => {
  const meter = new Meter('loading', { total: 100, everyMs: 1 })
  t.like(meter.read(), { phase: 'loading', done: 0, total: 100 })
  t.false('etaMs' in meter.read())
  t.false('bytes' in meter.read())
  meter.add(20, 1000)
  await sleep(5)
  meter.add(30)
  const now = meter.read()
  t.like(now, { done: 50, bytes: 1000 })
  t.true(now.rate > 0 && now.elapsedMs >= 4)
  t.true(Math.abs((now.etaMs as number) - (50 * 1000) / now.rate) < 1e-6)
  t.false('total' in new Meter('x').read())
})

test('Semaphore: never more than n, in order; Mutex: one', async (t) => {
  for (const n of [1, 3]) {
    const semaphore = n === 1 ? new Mutex() : new Semaphore(n)
    let running = 0
    let most = 0
    const started: number[] = []
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        semaphore.run(async () => {
          started.push(i)
          most = Math.max(most, ++running)
          await turn()
          running--
        }),
      ),
    )
    t.is(most, n)
    t.deepEqual(
      started,
      [...started].sort((a, b) => a - b),
    )
  }
  for (const wrong of [0, -1, 1.5, Number.NaN]) t.throws(() => new Semaphore(wrong), { code: 'MILL_INVALID_ARGUMENT' })
})

test('Mutex: a rejection frees it, an abort leaves the queue, a running one is not disturbed', async (t) => {
  const mutex = new Mutex()
  await t.throwsAsync(
    mutex.run(() => Promise.reject(new Error('mine'))),
    { message: 'mine' },
  )
  await t.throwsAsync(
    mutex.run(() => {
      throw new Error('at once')
    }),
    { message: 'at once' },
  )
  const { signal, abort, live } = counted()
  let open = () => {}
  const first = mutex.run(
    () =>
      new Promise<void>((resolve) => {
        open = resolve
      }),
    signal,
  )
  const second = mutex.run(() => t.fail(), signal)
  const third = mutex.run(() => 'third')
  const reason = new Error('stop')
  abort(reason)
  t.is(await second.catch((error) => error), reason)
  open()
  await first
  t.is(await third, 'third')
  t.is(live(), 0)
  t.is(await mutex.run(() => t.fail(), signal).catch((error) => error), reason)
  t.is(await mutex.run(() => 'still works'), 'still works')
})

test("SingleFlight: one run a key, shared results, nothing kept, an abort is one caller's own", async (t) => {
  const flight = new SingleFlight<string, number>()
  let runs = 0
  let open = (_: number): void => {}
  const work = () => {
    runs++
    return new Promise<number>((resolve) => {
      open = resolve
    })
  }
  const { signal, abort } = counted()
  const all = [flight.run('a', work), flight.run('a', work), flight.run('a', work, signal)]
  t.is(flight.size, 1)
  abort('enough')
  t.is(await all[2]?.catch((error) => error), 'enough')
  open(7)
  t.deepEqual(await Promise.all(all.slice(0, 2)), [7, 7])
  t.is(runs, 1)
  t.is(flight.size, 0)
  const failing = () => {
    runs++
    return Promise.reject(new Error('mine'))
  }
  const both = await Promise.allSettled([flight.run('a', failing), flight.run('a', failing)])
  t.true(both.every((one) => one.status === 'rejected'))
  t.is(runs, 2)
  await t.throwsAsync(
    flight.run('a', () => {
      throw new Error('at once')
    }),
    { message: 'at once' },
  )
  t.is(await flight.run('a', () => 8), 8)
})

test('SingleFlight: a run that was forgotten knows it, and is nothing to whoever comes later', async (t) => {
  const flight = new SingleFlight<string, string>()
  const opened: ((value: string) => void)[] = []
  const asked: (() => boolean)[] = []
  const work = (current: () => boolean) => {
    t.true(current())
    asked.push(current)
    return new Promise<string>((resolve) => void opened.push(resolve))
  }
  t.false(flight.has('a'))
  const old = flight.run('a', work)
  t.true(flight.has('a') && asked[0]?.() === true)
  flight.forget('a')
  t.false(flight.has('a') || asked[0]?.() === true)
  const fresh = [flight.run('a', work), flight.run('a', work)]
  opened[0]?.('old')
  t.is(await old, 'old')
  t.true(flight.has('a') && asked[1]?.() === true, 'the end of the old run is not the end of the new one')
  opened[1]?.('new')
  t.deepEqual(await Promise.all(fresh), ['new', 'new'])
  t.is(flight.size, 0)
  const left = [flight.run('a', work), flight.run('b', work)]
  flight.clear()
  t.deepEqual([asked[2]?.(), asked[3]?.(), flight.size], [false, false, 0])
  for (const open of opened) open('x')
  await Promise.all(left)
})

test('Lru: against a model, by count and by weight', (t) => {
  const step = fc.tuple(fc.constantFrom('set', 'get', 'peek', 'delete'), fc.nat(12), fc.nat(9))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), fc.nat(8), fc.nat(30), (steps, maxItems, maxWeight) => {
      const gone: string[] = []
      const lru = new Lru<number, number>({
        maxItems,
        maxWeight,
        weigh: (value) => value,
        onEvict: (key, value) => gone.push(`${key}:${value}`),
      })
      const expected: string[] = []
      let model: [number, number][] = []
      const drop = (key: number) => {
        const entry = model.find(([k]) => k === key)
        if (entry === undefined) return false
        model = model.filter((one) => one !== entry)
        expected.push(`${entry[0]}:${entry[1]}`)
        return true
      }
      const weight = () => model.reduce((sum, [, value]) => sum + value, 0)
      for (const [what, key, value] of steps) {
        if (what === 'set') {
          drop(key)
          lru.set(key, value)
          model.push([key, value])
          while (model.length > maxItems || weight() > maxWeight) drop((model[0] as [number, number])[0])
        } else if (what === 'delete') t.is(lru.delete(key), drop(key))
        else {
          const entry = model.find(([k]) => k === key)
          t.is(what === 'get' ? lru.get(key) : lru.peek(key), entry?.[1])
          if (what === 'get' && entry !== undefined) model = [...model.filter((one) => one !== entry), entry]
        }
        t.deepEqual([lru.size, lru.weight], [model.length, weight()])
        t.deepEqual(gone, expected)
      }
      lru.clear()
      t.deepEqual([lru.size, lru.weight], [0, 0])
    }),
    { numRuns: 500 },
  )
  t.throws(() => new Lru({ maxItems: -1 }), { code: 'MILL_INVALID_ARGUMENT' })
  t.throws(() => new Lru({ maxWeight: Number.NaN }), { code: 'MILL_INVALID_ARGUMENT' })
})

test("builtin(): Node's modules without an import, nothing where there is no Node", (t) => {
  t.is(typeof builtin('node:zlib')?.gzipSync, 'function')
  const { process } = globalThis
  try {
    Object.defineProperty(globalThis, 'process', { value: undefined, configurable: true })
    t.is(builtin('node:zlib'), undefined)
  } finally {
    Object.defineProperty(globalThis, 'process', { value: process, configurable: true, writable: true })
  }
})
