import test from 'ava'
import { ByteQueue, Bytes, FrameParser } from '../lib/buffer/index.js'
import { lines } from '../lib/streams/index.js'

// Sixteen times the input takes as long as the input sixteen times, here and there half as long again because of caches
// that hold the small input only. What is quadratic takes sixteen times as long.
const SCALE = 16
const MARGIN = 3
/**
 * Bytes that are given as a delimiter may have changed since the call before and are compared with those, which is fast,
 * but costs pieces times length: 2 to 4.5 times as long.
 */
const COMPARED = 6
/** Milliseconds for more rounds: a busy machine may spoil one, but hardly all; what grows too fast spoils every one. */
const PATIENCE = 8000
const LEAST = 16 * 1024

/** Feeds `size` bytes in pieces and asks after each; nothing is ever found. */
type Feed = (size: number, piece: number) => void | Promise<void>

function feed(ask: (queue: ByteQueue) => void): Feed {
  return (size, piece) => {
    const queue = new ByteQueue()
    const data = new Uint8Array(piece).fill(97)
    for (let at = 0; at < size; at += piece) {
      queue.append(data)
      ask(queue)
    }
  }
}

const feeds: Record<string, Feed> = {
  takeLine: feed((queue) => queue.takeLine()),
  takeLines: feed((queue) => queue.takeLines()),
  'takeUntil, 2 bytes': feed((queue) => queue.takeUntil('ab')),
  'takeUntil, 40 bytes': feed((queue) => queue.takeUntil(`${'a'.repeat(39)}b`)),
  // As long as a sixteenth of the input: looking at it anew for each piece would cost pieces times length.
  'takeUntil, a delimiter that grows with the input': (size, piece) => {
    const delimiter = `${'a'.repeat(size / 16)}b`
    feed((queue) => queue.takeUntil(delimiter))(size, piece)
  },
  'takeUntil, bytes that grow with the input': (size, piece) => {
    const delimiter = Buffer.from(`${'a'.repeat(size / 16)}b`)
    feed((queue) => queue.takeUntil(delimiter))(size, piece)
  },
  takeInteger: feed((queue) => {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0 // what is measured is the queue, not the making of errors
    try {
      queue.takeInteger()
    } catch {
      // No number within 32 bytes.
    } finally {
      Error.stackTraceLimit = stackTraceLimit
    }
  }),
  'find without a start': feed((queue) => queue.find('ab')),
  'two delimiters in turn': feed((queue) => {
    queue.find('ab')
    queue.find('\r\n')
  }),
  'find with a start of its own': (size, piece) => {
    let start = 0
    feed((queue) => {
      if (queue.find('ab', start) === -1) start = Math.max(0, queue.length - 1)
    })(size, piece)
  },
  'a parser': (size, piece) => {
    const parser = new FrameParser<never>(function* (input) {
      yield* input.until('\r\n')
    })
    const data = new Uint8Array(piece).fill(97)
    for (let at = 0; at < size; at += piece) parser.push(data)
  },
  lines: async (size, piece) => {
    const data = new Uint8Array(piece).fill(97)
    const source = (function* () {
      for (let at = 0; at < size; at += piece) yield data
    })()
    for await (const _ of lines(source).batches());
  },
}

async function timed(fn: () => void | Promise<void>, times: number): Promise<number> {
  const start = performance.now()
  for (let i = 0; i < times; i++) await fn()
  return performance.now() - start
}

/**
 * How much longer the large input takes than the small one, `SCALE` times, does. Both are equally long at the mercy of
 * what the machine does besides; the best of at least three each, in turns, and of more as long as it is above `limit`.
 */
async function ratio(
  small: () => void | Promise<void>,
  large: () => void | Promise<void>,
  limit = MARGIN,
): Promise<number> {
  let [a, b] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  const end = performance.now() + PATIENCE
  for (let round = 0; round < 3 || (b > a * limit && performance.now() < end); round++) {
    a = Math.min(a, await timed(small, SCALE))
    b = Math.min(b, await timed(large, 1))
  }
  return b / a
}

for (const [name, run] of Object.entries(feeds)) {
  test.serial(`B2: ${name}: small pieces and no delimiter cost O(n)`, async (t) => {
    // Where each piece costs an error, single bytes take longest and show least; and few pieces are over too soon to be
    // measured on a busy machine.
    const errors = name === 'takeInteger'
    const limit = name.startsWith('takeUntil, bytes') ? COMPARED : MARGIN
    for (const piece of errors ? [7, 1448] : [1, 7, 1448]) {
      const size = LEAST * (piece === 1448 ? (errors ? 128 : 16) : 1)
      const times = await ratio(
        () => run(size, piece),
        () => run(size * SCALE, piece),
        limit,
      )
      t.true(times <= limit, `pieces of ${piece}: ${times.toFixed(1)} times as long as in ${SCALE} parts`)
    }
  })
}

test.serial('B2: a long delimiter that almost fits everywhere costs O(n)', async (t) => {
  const make = (scale: number) => {
    const needle = Buffer.from(`b${'a'.repeat(1024 * scale - 1)}`)
    const hay = Bytes.from(Buffer.alloc(64 * 1024 * scale, 97))
    return () => {
      for (let i = 0; i < 4; i++) if (hay.find(needle) !== -1) t.fail()
    }
  }
  t.true((await ratio(make(1), make(SCALE))) <= MARGIN)
})

for (const [name, ask] of Object.entries({
  at: (bytes: Bytes) => {
    for (let i = 0; i < bytes.length; i++) bytes.at(i)
  },
  slice: (bytes: Bytes) => {
    for (let i = 0; i < bytes.length; i += 2) bytes.slice(i, i + 3)
  },
  equals: (bytes: Bytes) => bytes.equals(bytes.slice()),
  split: (bytes: Bytes) => bytes.split(','),
  splitLines: (bytes: Bytes) => bytes.splitLines(),
})) {
  test.serial(`B2: ${name} of Bytes in many pieces costs O(n)`, async (t) => {
    // So few that the many of them stay in a processor's cache, which on a busy machine is not its own.
    const make = (scale: number) => {
      const bytes = Bytes.merge(Array.from({ length: 250 * scale }, () => new Uint8Array([44, 10])))
      return () => void ask(bytes)
    }
    const times = await ratio(make(1), make(SCALE))
    t.true(times <= MARGIN, `${times.toFixed(1)} times as long as in ${SCALE} parts`)
  })
}
