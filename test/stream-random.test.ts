import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import test from 'ava'
import fc from 'fast-check'
import { type Bytes, ChunkedBuffer, type ParserInput, pump, readable, type Source, toNode } from '../lib/index.js'
import { abortKit, within } from './fixtures/stream-kit.js'

/** Decisions that follow from one number: what fast-check shrinks is the number. */
class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = (seed % 0x7ffffffe) + 1
  }

  below(n: number): number {
    this.#state = (this.#state * 48271) % 0x7fffffff
    return n === 0 ? 0 : this.#state % n
  }

  /** A turn of the event loop, or only a microtask. */
  pause(): Promise<unknown> {
    return this.below(3) === 0 ? new Promise((resolve) => setImmediate(resolve)) : Promise.resolve()
  }
}

function pieces(chance: Chance, all: Buffer): Buffer[] {
  const out: Buffer[] = []
  for (let at = 0; at < all.length; ) {
    const size = 1 + chance.below(chance.below(4) === 0 ? 3000 : 60)
    out.push(all.subarray(at, at + size))
    at += size
  }
  return out
}

function sourceOf(chance: Chance, list: Buffer[]): Source<Uint8Array> {
  const slowly = async function* () {
    for (const piece of list) {
      await chance.pause()
      yield piece
    }
  }
  const kinds: (() => Source<Uint8Array>)[] = [
    () => list,
    () => list.values(),
    slowly,
    () => toNode(slowly(), { objectMode: false }),
    () =>
      new ReadableStream<Uint8Array>({
        async start(controller) {
          for await (const piece of slowly()) controller.enqueue(piece)
          controller.close()
        },
      }),
  ]
  return (kinds[chance.below(kinds.length)] as () => Source<Uint8Array>)()
}

type Item = Uint8Array | Bytes
const text = (item: unknown): string => (item instanceof Uint8Array ? Buffer.from(item).toString() : String(item))

/** A sink that is slow now and then. */
const sink = (chance: Chance, add: (item: Item) => void): Writable =>
  new Writable({
    objectMode: true,
    highWaterMark: 1 + chance.below(3),
    write(item, _, done) {
      add(item)
      chance.below(2) === 0 ? done() : setImmediate(done)
    },
  })

type Consumer = (buffer: ChunkedBuffer<Item>, add: (item: Item) => void, chance: Chance) => Promise<unknown>
const consumers: Consumer[] = [
  async (buffer, add, chance) => {
    for await (const item of buffer) {
      add(item)
      await chance.pause()
    }
  },
  async (buffer, add, chance) => {
    for await (const items of buffer.batches({ maxItems: 1 + chance.below(5) })) {
      items.forEach(add)
      await chance.pause()
    }
  },
  (buffer, add, chance) =>
    new Promise((resolve, reject) => {
      buffer.on('data', (item) => {
        add(item)
        if (chance.below(3) > 0) return
        buffer.pause()
        setImmediate(() => buffer.resume())
      })
      buffer.on('end', resolve)
      buffer.on('error', reject)
    }),
  async (buffer, add, chance) => {
    for await (const item of buffer.toNode()) {
      add(item)
      await chance.pause()
    }
  },
  async (buffer, add, chance) => {
    for await (const item of buffer.toWeb().readable) {
      add(item)
      await chance.pause()
    }
  },
  (buffer, add, chance) =>
    new Promise((resolve, reject) => buffer.pipe(sink(chance, add)).on('finish', resolve).on('error', reject)),
  (buffer, add, chance) => pipeline(buffer, sink(chance, add)),
  (buffer, add, chance) =>
    pump(buffer, async (item: Item) => {
      add(item)
      await chance.pause()
    }),
]

type Feeder = (source: Source<Uint8Array>, buffer: ChunkedBuffer<Item>, chance: Chance) => unknown
const feeders: Feeder[] = [
  (source, buffer) => pump(source, buffer),
  (source, buffer, chance) => void readable(source, { highWaterMark: chance.below(500) }).pipe(buffer),
  (source, buffer) => pipeline(toNode(source), buffer),
  async (source, buffer, chance) => {
    for await (const piece of readable(source)) {
      if (buffer.destroyed) return
      if (chance.below(2) === 0) buffer.write(piece)
      else buffer.append(piece)
      // Most writers listen, some do not.
      if (buffer.writableNeedDrain && chance.below(3) > 0) {
        await new Promise<void>((resolve) => {
          const go = (): void => {
            buffer.off('drain', go)
            buffer.off('close', go)
            resolve()
          }
          buffer.on('drain', go)
          buffer.on('close', go)
        })
      }
    }
    buffer.end()
  },
]

function* messages(input: ParserInput<Item>): Generator<void, void, void> {
  while (yield* input.more()) {
    const length = yield* input.integer('\n')
    input.emit(yield* input.take(length))
    yield* input.expect(';')
  }
}

interface World {
  readonly chance: Chance
  readonly raw: boolean
  readonly list: string[]
  readonly all: Buffer
  readonly buffer: ChunkedBuffer<Item>
}

function worldOf(seed: number, signal?: AbortSignal): World {
  const chance = new Chance(seed)
  const list = Array.from({ length: chance.below(40) }, () =>
    'x'.repeat(chance.below(10) === 0 ? chance.below(3000) : 1 + chance.below(30)),
  )
  const raw = chance.below(2) === 0
  const buffer = new ChunkedBuffer<Item>({
    ...(raw ? {} : { parser: messages }),
    ...(signal && { signal }),
    highWaterMark: chance.below(chance.below(3) === 0 ? 10 : 3000),
    copyBelow: [0, 7, 512][chance.below(3)] as number,
    minimumChunkSize: 16,
    maximumChunkSize: 16 << chance.below(6),
  })
  return { chance, raw, list, all: Buffer.from(list.map((one) => `${one.length}\n${one};`).join('')), buffer }
}

const pick = <T>(chance: Chance, list: T[]): T => list[chance.below(list.length)] as T
const numRuns = 400 * Number(process.env.MILLRACE_TEST_SCALE ?? 1)

test('B1: any source, any way in, any way out, any marks: all arrives, in order, once', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const { chance, raw, list, all, buffer } = worldOf(seed)
      const seen: string[] = []
      const source = sourceOf(chance, pieces(chance, all))
      const consumed = pick(chance, consumers)(buffer, (item) => seen.push(text(item)), chance)
      await within(Promise.all([consumed, pick(chance, feeders)(source, buffer, chance)]), `seed ${seed}`)
      if (raw) t.is(seen.join(''), all.toString())
      else t.deepEqual(seen, list)
    }),
    // The end came while an item was looked for; 'data' listeners whose machine nobody had opened, or that had paused.
    { numRuns, examples: [[574246150], [2147482601], [131163337], [28646093], [1352233179]] },
  )
})

test('G5: the same, aborted at any moment: what came before is right, everybody is told, nothing is left', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const kit = abortKit()
      const { chance, raw, list, all, buffer } = worldOf(seed, kit.signal)
      const reason = new Error('stop')
      let closes = 0
      buffer.on('close', () => closes++)
      buffer.on('error', () => {})
      const seen: string[] = []
      let left = chance.below(60)
      const countdown = (): void => {
        if (left-- > 0) setImmediate(countdown)
        else kit.abort(reason)
      }
      countdown()
      const source = sourceOf(chance, pieces(chance, all))
      const consumed = pick(chance, consumers)(buffer, (item) => seen.push(text(item)), chance)
      const fed = pick(chance, feeders)(source, buffer, chance)
      const [one] = await within(Promise.allSettled([consumed, fed]), `seed ${seed}`)
      if (one.status === 'rejected') t.is(one.reason, reason)
      const expected = raw ? all.toString() : list.join('')
      t.true(expected.startsWith(seen.join('')), `seed ${seed}`)
      if (one.status === 'fulfilled') t.is(seen.join(''), expected)
      await new Promise((resolve) => setTimeout(resolve, 1))
      t.is(closes, 1)
      t.is(kit.live(), 0)
    }),
    { numRuns },
  )
})
