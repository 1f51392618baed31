import { execFile } from 'node:child_process'
import { Readable as NodeReadable, PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { Readable as StreamxReadable, Writable as StreamxWritable } from 'streamx'
import {
  batches,
  ChunkedBuffer,
  isMillraceError,
  lines,
  pump,
  readable,
  type Source,
  toNode,
  toWeb,
  writable,
} from '../lib/streams/index.js'
import {
  abortKit,
  codeOf,
  collect,
  failure,
  gather,
  gatherUntilError,
  settle,
  watch,
  within,
} from './fixtures/stream-kit.js'
import { asStream, type MadeSink, sinkShapes } from './fixtures/stream-sinks.js'
import { liveShapes, type MadeSource } from './fixtures/stream-sources.js'

// Over 1 KB each: smaller ones may arrive joined.
const items = Array.from({ length: 12 }, (_, i) => new Uint8Array(3000).fill(i + 1))

type Way = (source: Source<Uint8Array>, made: MadeSink, signal?: AbortSignal) => Promise<unknown>

/** Each resolves when all has arrived, and rejects with what went wrong. */
const ways: Record<string, Way> = {
  pump: (source, { sink }, signal) => pump(source, sink, signal === undefined ? {} : { signal }),
  pipe: (source, { sink }, signal) =>
    new Promise((resolve, reject) => {
      const from = readable(source, signal === undefined ? {} : { signal })
      const to = asStream(sink)
      from.on('error', reject)
      to.on('error', reject)
      to.on('finish', () => resolve(undefined))
      from.pipe(to)
    }),
  pipeline: (source, { sink }, signal) =>
    pipeline(
      readable(source, signal === undefined ? {} : { signal }) as unknown as NodeJS.ReadableStream,
      asStream(sink),
    ),
}

/** Runs `check` for every source, way and sink; what it complains about is listed with its place. */
async function everywhere(
  check: (place: {
    makeSource: (after: 'end' | 'more' | Error) => MadeSource
    way: Way
    makeSink: (typeof sinkShapes)[number]['make']
    complain: (what: string) => void
  }) => Promise<void>,
  source: (typeof liveShapes)[number],
): Promise<string[]> {
  const wrong: string[] = []
  const all: Promise<void>[] = []
  for (const sink of sinkShapes) {
    for (const [name, way] of Object.entries(ways)) {
      const label = `${name} to ${sink.name}`
      const complain = (what: string) => void wrong.push(`${label}: ${what}`)
      const makeSource = (after: 'end' | 'more' | Error) => source.make(items, after)
      all.push(
        within(check({ makeSource, way, makeSink: sink.make, complain }), 'the whole case').catch((error) =>
          complain(String(error)),
        ),
      )
    }
  }
  await Promise.all(all)
  return wrong
}

/** A sink that was closed early saw the reason once, and closed once. */
async function checkSink(made: MadeSink, reason: unknown, complain: (what: string) => void): Promise<void> {
  if (made.reasons === undefined) return
  const seen = await within(made.reasons(), 'the sink is closed')
  await settle(5)
  if (seen.length !== 1 || seen[0] !== reason) complain(`sink saw [${seen.map(String).join(', ')}]`)
  if (made.ends !== undefined && made.ends.counts.close !== 1) complain(`${made.ends.counts.close} 'close'`)
  if (made.ends !== undefined && made.ends.counts.finish !== 0) complain(`'finish' in spite of the fault`)
}

for (const shape of liveShapes) {
  test(`${shape.name} fails: the same error everywhere, once`, async (t) => {
    const wrong = await everywhere(async ({ makeSource, way, makeSink, complain }) => {
      const error = new Error('source')
      const made = makeSink()
      const seen = await failure(() => way(makeSource(error).source, made), 'the copy')
      if (seen !== error) complain(`got ${seen}`)
      await checkSink(made, error, complain)
    }, shape)
    t.deepEqual(wrong, [])
  })

  test(`G4: a sink fails, ${shape.name} is told to stop once`, async (t) => {
    const wrong = await everywhere(async ({ makeSource, way, makeSink, complain }) => {
      const error = new Error('sink')
      const made = makeSink({ failAt: 2, error })
      const { source, stops } = makeSource('more')
      const seen = await failure(() => way(source, made), 'the copy')
      if (seen !== error) complain(`got ${seen}`)
      await settle()
      if (stops() !== 1) complain(`source was stopped ${stops()} times`)
      await checkSink(made, error, complain)
    }, shape)
    t.deepEqual(wrong, [])
  })

  test(`G5: a signal aborts, ${shape.name} and every sink are closed with its reason, no listener stays`, async (t) => {
    const wrong = await everywhere(async ({ makeSource, way, makeSink, complain }) => {
      for (const when of ['before', 'at the first item', 'later'] as const) {
        const kit = abortKit()
        const reason = new Error(`abort ${when}`)
        if (when === 'before') kit.abort(reason)
        const made = makeSink({
          onItem: (count) => {
            if (when !== 'before' && count === (when === 'later' ? 4 : 1)) kit.abort(reason)
          },
        })
        const { source, stops } = makeSource('more')
        const seen = await failure(() => way(source, made, kit.signal), when)
        if (seen !== reason) complain(`${when}: got ${seen}`)
        await settle()
        if (kit.live() !== 0) complain(`${when}: ${kit.live()} listeners left`)
        // A generator that never ran has nothing to clean up.
        const fresh = when === 'before' && shape.name.endsWith('generator')
        if (!fresh && stops() !== 1) complain(`${when}: source was stopped ${stops()} times`)
        await checkSink(made, reason, (what) => complain(`${when}: ${what}`))
      }
    }, shape)
    t.deepEqual(wrong, [])
  })

  test(`G5: leaving a loop over ${shape.name} stops it once`, async (t) => {
    const loops: Record<string, (source: Source<Uint8Array>, signal: AbortSignal) => AsyncIterable<unknown>> = {
      'for await': (source, signal) => readable(source, { signal }),
      'stream.batches': (source, signal) => readable(source, { signal }).batches(),
      batches: (source, signal) => batches(source, { signal }),
      toNode: (source, signal) => readable(source, { signal }).toNode(),
      toWeb: (source, signal) => readable(source, { signal }).toWeb(),
      'toWeb, bytes': (source, signal) => readable(source, { signal }).toWeb({ type: 'bytes' }),
      'toNode(source)': (source) => toNode(source),
      'toWeb(source)': (source) => toWeb(source),
    }
    for (const [name, loop] of Object.entries(loops)) {
      const kit = abortKit()
      const { source, stops } = shape.make(items, 'more')
      let count = 0
      for await (const item of loop(source, kit.signal)) {
        t.truthy(item)
        if (++count === 1) break
      }
      await settle()
      t.is(count, 1)
      t.is(stops(), 1, name)
      t.is(kit.live(), 0, `${name}: listeners`)
      kit.abort(new Error('too late'))
    }
  })

  test(`${shape.name} fails or is aborted under a loop`, async (t) => {
    const error = new Error('source')
    for (const loop of [readable, batches] as ((s: Source<Uint8Array>, o?: object) => AsyncIterable<unknown>)[]) {
      const failed = await within(gatherUntilError(loop(shape.make(items, error).source)), 'loop')
      t.is(failed.error, error)
      t.true(
        (await collect(failed.items.flat() as Uint8Array[])).equals(Buffer.concat(items)),
        'items before the error',
      )

      const kit = abortKit()
      const { source, stops } = shape.make(items.slice(0, 2), 'more')
      const it = loop(source, { signal: kit.signal })[Symbol.asyncIterator]()
      await within(it.next(), 'first')
      const reason = { not: 'an Error' }
      const seen = await failure(async () => {
        for (let turns = 0; ; turns++) {
          if (turns === 3) kit.abort(reason)
          else setImmediate(() => turns > 3 || kit.abort(reason))
          if ((await it.next()).done) return
        }
      }, 'aborted loop')
      t.is(seen, reason)
      await settle()
      t.is(stops(), 1)
      t.is(kit.live(), 0)
      const again = it.next().then(
        (result) => result.done,
        (thrown) => thrown === reason,
      )
      t.true(await within(again, 'asking after it'))
    }
  })

  test(`destroy() before, during and after reading ${shape.name}`, async (t) => {
    for (const given of [undefined, new Error('mine')]) {
      const right = (error: unknown) =>
        given === undefined ? isMillraceError(error, 'MILL_PREMATURE_CLOSE') : error === given
      const kit = abortKit()
      const before = shape.make(items, 'more')
      const unread = readable(before.source, { signal: kit.signal })
      const ends = watch(unread)
      unread.destroy(given)
      await within(ends.closed, 'close')
      t.true(unread.destroyed)
      t.true(right(await failure(() => gather(unread), 'asking after it')))
      await settle(5)
      // A generator that never ran has nothing to clean up.
      if (!shape.name.endsWith('generator')) t.is(before.stops(), 1)
      t.is(kit.live(), 0)
      t.is(ends.counts.close, 1)

      const during = shape.make(items.slice(0, 1), 'more')
      const stream = readable(during.source)
      const streamEnds = watch(stream)
      const it = stream[Symbol.asyncIterator]()
      await within(it.next(), 'first')
      // An endless source has items for whoever asks.
      const waiting = Promise.all(shape.name === 'generator' ? [] : [failure(it.next(), 'a'), failure(it.next(), 'b')])
      stream.destroy(given)
      const [a, b] = await within(waiting, 'waiting')
      if (shape.name !== 'generator')
        t.true(right(a) && (b === undefined || right(b) || codeOf(b) !== 'STREAM_DESTROYED'))
      await within(streamEnds.closed, 'close')
      t.is(streamEnds.counts.close, 1)
      t.true(streamEnds.errors.length <= 1)
      await settle(5) // a generator that waits inside next() is closed once that is over
      t.is(during.stops(), 1)

      const after = readable(shape.make(items, 'end').source)
      const afterEnds = watch(after)
      await within(collect(after), 'all')
      await within(afterEnds.closed, 'close')
      after.destroy(given)
      await settle(5)
      t.deepEqual([afterEnds.errors.length, afterEnds.counts.close], [0, 1])
    }
  })
}

test('a source that closes without its end is MILL_PREMATURE_CLOSE', async (t) => {
  const nodeLike = () => new NodeReadable({ read() {} })
  const streamx = () => new StreamxReadable() as unknown as NodeReadable
  for (const make of [nodeLike, streamx, () => new PassThrough()]) {
    for (const use of [
      (s: NodeReadable) => gather(readable<Uint8Array>(s as never)),
      (s: NodeReadable) => gather(batches(s)),
      (s: NodeReadable) => gather(lines(s)),
      (s: NodeReadable) => pump(s, () => {}),
      (s: NodeReadable) => pump(s, new ChunkedBuffer()),
      (s: NodeReadable) => gather(s.pipe(new ChunkedBuffer())),
    ]) {
      for (const early of [true, false]) {
        const source = make()
        source.on('error', () => {})
        if (early) source.destroy()
        const done = failure(use(source), String(use))
        if (!early) {
          source.push(Buffer.from('x'))
          await settle(3)
          source.destroy()
        }
        const error = await done
        t.true(isMillraceError(error, 'MILL_PREMATURE_CLOSE'), `${use}, early ${early}: ${error}`)
      }
    }
  }
})

test('a sink that closes without an error is MILL_PREMATURE_CLOSE, a sink that had ended MILL_WRITE_AFTER_END', async (t) => {
  for (const shape of sinkShapes) {
    if (shape.name === 'function' || shape.name === 'web') continue
    const { sink } = shape.make()
    const { source, stops } = liveShapes[2]?.make(items, 'more') as MadeSource
    const done = failure(pump(source, sink), shape.name)
    await settle(10)
    ;(sink as { destroy(): void }).destroy()
    t.true(isMillraceError(await done, 'MILL_PREMATURE_CLOSE'), `${shape.name}: ${await done}`)
    await settle()
    t.is(stops(), 1, shape.name)
  }
  const gone = new StreamxWritable()
  gone.on('error', () => {})
  gone.destroy()
  t.true(isMillraceError(await failure(pump(['a'], gone as never)), 'MILL_PREMATURE_CLOSE'))

  const ended = writable(() => {})
  watch(ended)
  ended.end()
  const error = await failure(pump(['a'], ended))
  t.true(isMillraceError(error) && ['MILL_WRITE_AFTER_END', 'MILL_PREMATURE_CLOSE'].includes(error.code), String(error))
})

test('a function that throws, at once or later, ends the pump with that very error', async (t) => {
  const error = new Error('mine')
  t.is(
    await failure(
      pump(['a', 'b'], () => {
        throw error
      }),
    ),
    error,
  )
  t.is(await failure(pump(['a', 'b'], () => Promise.reject(error))), error)
  // What is thrown need not be an Error.
  for (const odd of ['text', { code: 1 }]) {
    t.is<unknown, unknown>(await failure(pump(['a', 'b'], () => Promise.reject(odd))), odd)
    const source = (async function* () {
      yield 'a'
      throw odd
    })()
    t.is<unknown, unknown>(await failure(gather(readable(source))), odd)
  }
})

test('an iterator whose return() fails does not hide why it was stopped', async (t) => {
  const error = new Error('sink')
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: async () => ({ done: false, value: 'a' }),
      return: async () => {
        throw new Error('return')
      },
    }),
  }
  t.is(await failure(pump(source, () => Promise.reject(error))), error)
})

test('the iterator: several next() at once, return() while one waits, throw()', async (t) => {
  const stream = readable(
    (async function* () {
      yield 1
      await settle(2)
      yield 2
    })(),
  )
  const it = stream[Symbol.asyncIterator]()
  const all = await within(Promise.all([it.next(), it.next(), it.next(), it.next()]), 'next')
  t.deepEqual(
    all.map((r) => (r.done ? 'done' : r.value)),
    [1, 2, 'done', 'done'],
  )

  const { source, stops } = liveShapes[2]?.make([], 'more') as MadeSource
  const waiting = readable(source)
  const hung = waiting[Symbol.asyncIterator]()
  const next = hung.next()
  t.is((await within(hung.return?.() as Promise<IteratorResult<unknown>>, 'return')).done, true)
  const settled = await within(
    next.then(
      (r) => r.done,
      (e) => isMillraceError(e, 'MILL_PREMATURE_CLOSE'),
    ),
    'the next() that waited',
  )
  t.true(settled)
  t.is(stops(), 1)
  t.true(waiting.destroyed)
})

test('a second consumer or destination is MILL_ALREADY_READING', async (t) => {
  const refused = async (name: string, fn: () => unknown) => {
    const error = await failure(async () => fn(), name)
    t.true(isMillraceError(error, 'MILL_ALREADY_READING'), `${name}: ${error}`)
  }
  const make = () => {
    const stream = readable(liveShapes[2]?.make(items, 'more').source as Source<Uint8Array>)
    watch(stream)
    return stream
  }
  const piped = make()
  watch(piped.pipe(writable<unknown>(() => {})))
  await refused('pipe, pipe', () => piped.pipe(writable(() => {})))
  await refused('pipe, for await', () => gather(piped))
  await refused('pipe, batches', () => gather(piped.batches()))
  await refused('pipe, pump', () => pump(piped, () => {}))
  piped.destroy()
  const looped = make()
  const it = looped[Symbol.asyncIterator]()
  await it.next()
  await refused('for await, pipe', () => looped.pipe(writable(() => {})))
  await refused('for await, batches', () => gather(looped.batches()))
  await refused('for await, toWeb', () => gather(looped.toWeb()))
  await refused('for await, toNode', () => gather(looped.toNode()))
  looped.destroy()
})

test('G5: a generator that had begun is closed, even by a pump that was aborted before it', async (t) => {
  for (const end of ['pump', 'destroy', 'dispose'] as const) {
    const { source, stops } = liveShapes[1]?.make(items, 'more') as MadeSource
    await (source as AsyncGenerator<Uint8Array>).next()
    if (end === 'pump') await failure(pump(source, () => {}, { signal: AbortSignal.abort() }))
    else if (end === 'destroy') readable(source).destroy()
    else await readable(source)[Symbol.asyncDispose]()
    await settle()
    t.is(stops(), 1, end)
  }
})

test('Node pipeline() with a stream of ours that was destroyed before settles, and says why', async (t) => {
  const reason = new Error('before')
  const kinds: Record<string, () => { stream: { destroy(error?: Error): void }; run: (own: never) => Promise<void> }> =
    {
      source: () => ({ stream: readable([1, 2]), run: (own) => pipeline(own, new PassThrough({ objectMode: true })) }),
      sink: () => ({ stream: writable(() => {}), run: (own) => pipeline(new PassThrough().end('a'), own) }),
      through: () => ({
        stream: new ChunkedBuffer(),
        run: (own) => pipeline(new PassThrough().end('a'), own, new PassThrough({ objectMode: true })),
      }),
    }
  for (const [kind, make] of Object.entries(kinds)) {
    for (const wait of [false, true]) {
      for (const error of [reason, undefined]) {
        const { stream, run } = make()
        ;(stream as unknown as NodeReadable).on('error', () => {})
        stream.destroy(error)
        if (wait) await settle(3)
        const told = await failure(run(stream as never), `${kind}, ${wait ? 'closed' : 'closing'}`)
        // Newer Nodes refuse such a stream before they look at its error.
        if (told !== reason) t.regex(String(codeOf(told)), /PREMATURE_CLOSE|UNABLE_TO_PIPE|DESTROYED/, kind)
      }
    }
  }
})

test('await using ends a stream, and closing twice is fine', async (t) => {
  const { source, stops } = liveShapes[2]?.make(items, 'more') as MadeSource
  const stream = readable(source)
  const ends = watch(stream)
  await stream[Symbol.asyncDispose]()
  await stream[Symbol.asyncDispose]()
  t.deepEqual([stream.destroyed, stops(), ends.counts.close], [true, 1, 1])
  const sink = writable(() => {})
  const sinkEnds = watch(sink)
  sink.write('a')
  await sink[Symbol.asyncDispose]()
  await sink[Symbol.asyncDispose]()
  t.deepEqual([sink.destroyed, sinkEnds.counts.close], [true, 1])
})

test('G5: the process ends by itself after aborts, breaks, faults and unread streams', async (t) => {
  const child = fileURLToPath(new URL('./fixtures/stream-exit.js', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [child], { timeout: 45_000 })
  t.is(stdout.trim().split('\n').at(-1), 'all closed')
})
