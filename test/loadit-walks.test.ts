import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import test from 'ava'
import { type Sequence, sequence } from '../lib/loadit/index.js'
import { foreign, gate, Pulled, shuffleOf } from './fixtures/sequence-kit.js'
import { abortKit, codeOf, failure, gather, gatherUntilError, settle, watch, within } from './fixtures/stream-kit.js'

const naturals = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

/** Views that need no length: what they give before they need item 50 of a hundred can be had before it is there. */
const lazy: Record<string, (s: Sequence<number>) => Sequence<number>> = {
  itself: (s) => s,
  slice: (s) => s.slice(3, 90),
  steps: (s) => s.slice(3, 90, 2),
  'open steps': (s) => s.slice(4, undefined, 5),
  strided: (s) => s.shard(1, 4, { strided: true }),
  list: (s) => s.view([40, 3, 3, 49, 50, 7]),
  'list from the end': (s) => s.view([3, 4, -1, 5]),
  computed: (s) => s.view((i) => (i * 3) % 100, 100),
  concat: (s) => s.slice(0, 20).concat([200, 201], s, [300]),
  interleave: (s) => s.interleave([200, 201], s.slice(10)),
  repeat: (s) => s.slice(0, 45).concat([7]).repeat(2).concat(s.slice(45)),
  epochs: (s) => s.repeat(2, (epoch, e) => (epoch === 0 ? e : e.shuffle())),
  'view of a view': (s) =>
    s
      .slice(1)
      .view((i) => i * 2, 40)
      .slice(1, undefined, 3)
      .interleave([9]),
}

const HUNDRED = naturals(100)

const poison = new Error('poison')
function* poisoned(): Generator<number> {
  yield* naturals(50)
  throw poison
}

/** What a view has before it needs item 50 of its source, asked for one by one. */
async function before50(of: (s: Sequence<number>) => Sequence<number>): Promise<number[]> {
  const items: number[] = []
  try {
    for (;;) items.push((await of(new Pulled(poisoned())).at(items.length)) as number)
  } catch (error) {
    if (error !== poison) throw error
    return items
  }
}

test('what is there is given out while the source hangs, through any view that needs no length', async (t) => {
  for (const [name, of] of Object.entries(lazy)) {
    const expected = await before50(of)
    const all = await gather(of(sequence(HUNDRED)))
    t.true(expected.length > 0 && expected.length < all.length, name)
    const ways: Record<string, (s: Sequence<number>) => AsyncIterable<number[]>> = {
      batches: (s) => s.batches(),
      'batches of two': (s) => s.batches({ maxItems: 2 }),
      stream: (s) => s.stream().batches(),
      loop: (s) => oneByOne(s),
    }
    for (const [way, walk] of Object.entries(ways)) {
      const stall = { at: 50, gate: gate() }
      const view = of(new Pulled(HUNDRED, stall))
      const had: number[] = []
      const reading = (async () => {
        for await (const items of walk(view)) had.push(...items)
      })()
      await settle(60)
      t.deepEqual(had, expected, `${name}, ${way}`)
      stall.gate.open()
      await within(reading, `${name}, ${way}`)
      t.deepEqual(had, all, `${name}, ${way}`)
    }
  }
})

async function* oneByOne<T>(s: AsyncIterable<T>): AsyncGenerator<T[]> {
  for await (const item of s) yield [item]
}

test('what a source throws comes out of every way of reading, after the items before it, and is never the end', async (t) => {
  for (const [name, of] of Object.entries(lazy)) {
    const expected = await before50(of)
    const view = (): Sequence<number> => of(new Pulled(poisoned()))
    for (const walk of [view().batches({ maxItems: 3 }), view().stream().batches()]) {
      const { items, error } = await gatherUntilError(walk)
      t.deepEqual(items.flat(), expected, name)
      t.is(error, poison, name)
    }
    const index = expected.length
    t.is(await failure(view().at(index)), poison, name)
    t.is(await failure(view().getMany([0, index])), poison, name)
    t.deepEqual(await view().getMany(naturals(index)), expected, name)
  }
  const fresh = (): Sequence<number> => new Pulled(poisoned())
  for (const whole of [fresh().shuffle(), fresh().shard(0, 2), fresh().slice(-1), fresh().slice(undefined, 70, -1)]) {
    t.is(await failure(gather(whole)), poison)
    t.is(await failure(whole.concat([1]).interleave([2]).repeat(2).at(0)), poison)
  }
  const s = new Pulled(poisoned())
  for (const read of [s.slice(-3).length(), s.concat([1]).length(), s.interleave([1]).length(), s.repeat(2).length()]) {
    t.is(await failure(read), poison)
  }
})

test('a faulty item among others that are read together does not take those before it along', async (t) => {
  const at = 1300
  const items = foreign(naturals(2000), true)
  const broken = new Error('broken')
  const getMany = async (indices: Iterable<number>): Promise<(number | undefined)[]> => {
    const wanted = [...indices]
    if (wanted.includes(at)) throw broken
    return items.getMany(wanted)
  }
  const s = sequence({ ...items, knownLength: 2000, getMany } as Sequence<number>)
  const views: [Sequence<number>, number[]][] = [
    [s.slice(undefined, undefined, 2), naturals(1000).map((i) => 2 * i)],
    [s.view(naturals(2000)), naturals(2000)],
    [s.view((i) => i, 2001), naturals(2000)],
    [s.shuffle({ block: 100 }), shuffleOf(naturals(2000), { block: 100 })],
  ]
  for (const [view, order] of views) {
    const { items: had, error } = await gatherUntilError(view.batches())
    t.is(error, broken)
    t.deepEqual(had.flat(), order.slice(0, order.indexOf(at)), view.description)
    t.true(had.every((batch) => batch.length > 0))
  }
  // One that is fine the second time is no fault at all, and the batches grow again.
  let failures = 0
  const flaky = {
    ...items,
    knownLength: 2000,
    getMany: async (indices: Iterable<number>) => {
      const wanted = [...indices]
      if (wanted.includes(at) && failures++ === 0) throw broken
      return items.getMany(wanted)
    },
  }
  const batches = await gather(
    sequence(flaky as Sequence<number>)
      .slice(undefined, undefined, 2)
      .batches(),
  )
  t.deepEqual(
    batches.flat(),
    naturals(1000).map((i) => 2 * i),
  )
  t.true(batches.length < 30)
  t.is(failures, 2)
})

test('whoever aborts gets the reason of the signal, whatever it waited for; nobody else notices', async (t) => {
  for (const [name, of] of Object.entries(lazy)) {
    const stall = { at: 50, gate: gate() }
    const s = new Pulled(HUNDRED, stall)
    const view = of(s)
    const all = await gather(of(sequence(HUNDRED)))
    const index = (await before50(of)).length
    const kit = abortKit()
    const reason = new Error(name)
    const { signal } = kit
    const others = Promise.all([
      view.at(index),
      view.getMany([index]),
      gather(view),
      view.length(),
      view.shuffle().at(0),
    ])
    const stopped = [
      view.at(index, { signal }),
      view.getMany([0, index], { signal }),
      s.shuffle().at(1, { signal }),
      s.concat([1]).length({ signal }),
      gather(view.batches({ signal })),
      gather(view.stream({ signal })),
      gather(view.slice(0, -1).batches({ signal })),
    ].map((read) => failure(read, name))
    await settle()
    kit.abort(reason)
    for (const error of await Promise.all(stopped)) t.is(error, reason, name)
    stall.gate.open()
    const [one, many, loop, length] = await within(others, name)
    t.deepEqual([one, many, loop, length], [all[index], [all[index]], all, all.length], name)
    for (const late of [
      () => view.at(0, { signal }),
      () => view.at(-1, { signal }),
      () => view.getMany([], { signal }),
      () => view.length({ signal }),
      () => gather(view.batches({ signal })),
      () => gather(view.stream({ signal })),
    ]) {
      t.is(await failure(late, name), reason, `${name}: ${String(late)}`)
    }
  }
})

test('G5: leaving a walk in any way ends what it had opened, and takes its listener off the signal', async (t) => {
  for (const [name, of] of Object.entries(lazy)) {
    const kit = abortKit()
    const s = new Pulled(HUNDRED)
    const view = of(s)
    for await (const _ of view) break
    t.is(s.walks, 0, `${name}: break`)
    for await (const _ of view.batches({ signal: kit.signal })) break
    for await (const _ of view.stream({ signal: kit.signal })) break
    await settle() // it may have been reading ahead
    t.is(s.walks, 0, `${name}: break of batches, stream`)
    await t.throwsAsync(async () => {
      for await (const _ of view.batches({ maxItems: 1, signal: kit.signal })) throw new Error('mine')
    })
    const stream = view.stream({ maxItems: 4, signal: kit.signal })
    const { closed } = watch(stream)
    stream.destroy()
    await within(closed, name)
    const midway = view.stream({ maxItems: 4 })[Symbol.asyncIterator]()
    await midway.next()
    await within(midway.return?.(), name)
    await gather(view.batches({ signal: kit.signal }))
    await gather(view.stream({ signal: kit.signal }))
    await settle()
    t.is(s.walks, 0, name)
    t.is(kit.live(), 0, name)
  }
})

test('a walk that is left, or whose signal aborts, while the source hangs does not wait for it', async (t) => {
  for (const [name, of] of Object.entries(lazy)) {
    const stall = { at: 50, gate: gate() }
    const s = new Pulled(HUNDRED, stall)
    const view = of(s)
    const expected = await before50(of)
    for (const walk of [view, view.batches(), view.stream()]) {
      const iterator = (walk as AsyncIterable<unknown>)[Symbol.asyncIterator]()
      let had = 0
      while (had < expected.length) {
        const { value } = await within(iterator.next(), name)
        had += Array.isArray(value) ? value.length : 1
      }
      const hanging = iterator.next()
      hanging.catch(() => {})
      await settle(3)
      t.true((await within(iterator.return?.(), `return of ${name}`))?.done, name)
      t.true((await within(iterator.next(), `after ${name}`)).done, name)
      const last = await within(Promise.allSettled([hanging]), `next of ${name}`)
      // A loop that waits is told the end; a stream says that it was closed.
      t.true(last[0].status === 'fulfilled' ? last[0].value.done : codeOf(last[0].reason) === 'MILL_PREMATURE_CLOSE')
    }
    await settle()
    t.is(s.walks, 0, name)
  }
})

test('a walk that is left does not wait for somebody else’s sequence either, which heeds no signal', async (t) => {
  const never = { ...foreign(naturals(9)), batches: () => ({ [Symbol.asyncIterator]: () => ({ next: hang }) }) }
  const hang = (): Promise<never> => new Promise(() => {})
  const view = sequence(never as unknown as Sequence<number>)
  for (const walk of [view, view.slice(1).batches(), view.concat([1])]) {
    const iterator = (walk as AsyncIterable<unknown>)[Symbol.asyncIterator]()
    const hanging = iterator.next()
    await settle(3)
    t.true((await within(iterator.return?.(), 'return'))?.done)
    t.true((await within(hanging, 'next')).done)
  }
  const kit = abortKit()
  const reason = new Error('enough')
  const reading = [gather(view.batches({ signal: kit.signal })), gather(view.stream({ signal: kit.signal }))]
  await settle(3)
  kit.abort(reason)
  for (const read of reading) t.is(await failure(read, 'abort'), reason)
})

test('several next() may wait at once; they are answered in order', async (t) => {
  for (const of of Object.values(lazy)) {
    const all = await gather(of(sequence(HUNDRED)))
    const items = of(new Pulled(HUNDRED))[Symbol.asyncIterator]()
    const had = await Promise.all(naturals(all.length + 2).map(() => items.next()))
    t.deepEqual(
      had.slice(0, -2).map(({ value }) => value),
      all,
    )
    t.deepEqual(
      had.slice(-2).map(({ done }) => done),
      [true, true],
    )
    const batches = of(new Pulled(HUNDRED)).batches({ maxItems: 7 })
    const iterator = batches[Symbol.asyncIterator]()
    const some = await Promise.all(naturals(5).map(() => iterator.next()))
    t.deepEqual(
      some.flatMap(({ value }) => value ?? []),
      all.slice(0, some.flatMap(({ value }) => value ?? []).length),
    )
    t.true(some.flatMap(({ value }) => value ?? []).length >= Math.min(all.length, 5))
    // What batches() gave can be walked again, from the beginning.
    t.deepEqual((await gather(batches)).flat(), all)
  }
})

test('G4: a slow consumer of a stream stops the source after 256 items, or as many as it says', async (t) => {
  for (const [maxItems, ahead] of [
    [undefined, 256],
    [10, 10],
    [1, 1],
    [2, 2],
  ] as const) {
    const s = new Pulled(naturals(2000))
    const options = maxItems === undefined ? {} : { maxItems }
    let taken = 0
    let most = 0
    const slow = new Writable({
      objectMode: true,
      highWaterMark: 1,
      write(_item, _encoding, done) {
        taken++
        setImmediate(() => {
          most = Math.max(most, s.pulled - taken)
          done()
        })
      },
    })
    await within(pipeline(s.slice(0, 1000).stream(options), slow), 'pipeline')
    t.is(taken, 1000)
    // The destination holds one, and asks for one more.
    t.true(most <= ahead + 2, `${most} of ${ahead}`)
    t.true(most >= Math.floor(ahead / 2), `${most} of ${ahead}`)
  }
  const unread = new Pulled(naturals(2000))
  const stream = unread.stream()
  unread.batches()[Symbol.asyncIterator]()
  await settle()
  t.is(unread.pulled, 0)
  for await (const _ of stream) {
    await settle(2)
    if (unread.pulled > 0) break
  }
  t.true(unread.pulled <= 256)
  const batch = unread.batches({ maxItems: 300 })[Symbol.asyncIterator]()
  await batch.next()
  await settle()
  t.true(unread.pulled <= 300)
  await batch.return?.()
})

test('a walk through memory gives timers their turn', async (t) => {
  const endless = sequence([1, 2, 3]).repeat()
  const views = [endless, endless.slice(1, undefined, 2), endless.interleave([5]), endless.concat([1])]
  for (const s of views) {
    for (const walk of [s, s.batches({ maxItems: 1 }), s.stream()]) {
      let ticks = 0
      const timer = setInterval(() => ticks++, 5)
      const from = performance.now()
      // Without the turn no timer ever comes: the loop itself has to look at the clock.
      for await (const _ of walk as AsyncIterable<unknown>) if (ticks >= 3 || performance.now() - from > 20_000) break
      clearInterval(timer)
      t.true(ticks >= 3)
    }
  }
})

test('a stream of items goes wherever streams go', async (t) => {
  const s = new Pulled(naturals(700)).slice(10)
  const expected = naturals(700).slice(10)
  t.deepEqual(await gather(s.stream()), expected)
  t.deepEqual((await gather(s.stream().batches({ maxItems: 9 }))).flat(), expected)
  t.deepEqual(await gather(s.stream().toNode()), expected)
  t.deepEqual(await gather(s[Symbol.asyncIterator]() as AsyncIterableIterator<number>), expected)
  t.deepEqual(await gather(s.stream().toWeb() as unknown as AsyncIterable<number>), expected)
  t.deepEqual(await gather(Readable.from(s)), expected)
  const had: number[] = []
  const sink = (): Writable =>
    new Writable({
      objectMode: true,
      write(item, _encoding, done) {
        had.push(item)
        done()
      },
    })
  await within(pipeline(s.stream(), sink()), 'pipeline')
  t.deepEqual(had, expected)
  had.length = 0
  const piped = s.stream().pipe(sink())
  await within(new Promise((resolve) => piped.once('finish', resolve)), 'pipe')
  t.deepEqual(had, expected)
  const seen: number[] = []
  const events = s.stream()
  events.on('data', (item) => seen.push(item))
  await within(new Promise<void>((resolve) => events.once('end', resolve)), 'events')
  t.deepEqual(seen, expected)
})

test('G2: null and undefined can be read, but not streamed', async (t) => {
  for (const hole of [null, undefined]) {
    const items = [1, 2, hole, 4]
    for (const s of [
      sequence<unknown>(items),
      new Pulled<unknown>(items),
      sequence<unknown>(foreign<unknown>(items)),
    ]) {
      t.deepEqual(await gather(s), items)
      t.deepEqual(await s.getMany([2, 3]), [hole, 4])
      t.deepEqual(await gather(s.slice(1, undefined, 1).batches({ maxItems: 1 })), [[2], [hole], [4]])
      const stream = s.slice(0, 9).stream()
      const ends = watch(stream)
      const { items: had, error } = await gatherUntilError(stream)
      t.deepEqual([had, codeOf(error)], [[1, 2], 'MILL_UNSUPPORTED_ITEM'])
      await within(ends.closed, 'close')
      t.is(ends.counts.end, 0)
      const started = new Pulled<unknown>(items)
      await gatherUntilError(started.stream())
      t.is(started.walks, 0)
    }
  }
})

test('an empty sequence is one, in all its forms', async (t) => {
  const empty: Sequence<number>[] = [
    sequence([]),
    new Pulled<number>([]),
    sequence(foreign<number>([])),
    sequence([1]).slice(1),
    sequence([1]).view([]),
    sequence([1]).repeat(0),
    sequence<number>([]).repeat(),
    sequence<number>([]).concat([], []),
    sequence<number>([]).interleave([], []),
    sequence<number>([]).shuffle({ block: 3 }),
    sequence([1]).shard(0, 2),
  ]
  for (const s of empty) {
    t.deepEqual(await gather(s), [])
    t.deepEqual(await gather(s.batches()), [])
    t.deepEqual(await gather(s.stream()), [])
    t.deepEqual([await s.at(0), await s.at(-1), s.peek(0), await s.length()], [undefined, undefined, undefined, 0])
    t.deepEqual(await s.getMany([0, 1, -1]), [undefined, undefined, undefined])
    t.deepEqual(await s.getMany([]), [])
  }
})
