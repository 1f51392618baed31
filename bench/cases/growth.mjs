// Four times the input may take six times as long: looking for what does not come must not begin anew with each piece.

import { cut } from '../data.mjs'
import { ByteQueue, FrameParser, lines } from '../lib.mjs'

/** Each is called after every piece, and finds nothing. @type {Record<string, () => (queue: any) => unknown>} */
const verbs = {
  takeLine: () => (queue) => queue.takeLine(),
  takeUntil: () => (queue) => queue.takeUntil('\r\n'),
  'find(d)': () => (queue) => queue.find('\r\n'),
  'find(d, ownStart)': () => {
    let start = 0
    return (queue) => {
      const at = queue.find('\r\n', start)
      start = Math.max(0, queue.length - 1)
      return at === -1 ? undefined : at
    }
  },
  'two delimiters in turn': () => (queue) => {
    const at = queue.find('\r\n')
    return at === -1 ? queue.find('::') : at
  },
}

/** @param {Buffer[]} pieces @param {() => (queue: any) => unknown} verb */
function byVerb(pieces, verb) {
  const queue = new ByteQueue()
  const look = verb()
  for (const piece of pieces) {
    queue.append(piece)
    const found = look(queue)
    if (found !== undefined && found !== -1) throw new Error('found what is not there')
  }
  return queue.length === length(pieces)
}

/** Zeros: a number of more than 32 digits is refused, again and again. @param {Buffer[]} pieces */
function byInteger(pieces) {
  const queue = new ByteQueue()
  let refused = 0
  for (const piece of pieces) {
    queue.append(piece)
    try {
      if (queue.takeInteger('\r\n') !== undefined) throw new Error('found what is not there')
    } catch (error) {
      if (/** @type {any} */ (error).code !== 'MILL_BAD_NUMBER') throw error
      refused++
    }
  }
  return refused > 0 && queue.length === length(pieces)
}

/** @param {Buffer[]} pieces */
function byParser(pieces) {
  let found = 0
  const parser = new FrameParser(function* (/** @type {any} */ input) {
    found = (yield* input.line()).length
  })
  for (const piece of pieces) parser.push(piece)
  parser.end()
  return found === length(pieces)
}

/** @param {Buffer[]} pieces */
async function byLines(pieces) {
  let found = 0
  for await (const batch of lines(pieces, { maxLength: 2 ** 28 }).batches())
    for (const line of batch) found += line.length
  return found === length(pieces)
}

/** @param {Buffer[]} pieces */
const length = (pieces) => pieces.reduce((sum, piece) => sum + piece.length, 0)

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  /** @type {Record<string, (pieces: Buffer[]) => boolean | Promise<boolean>>} */
  const runs = { takeInteger: byInteger, 'a parser': byParser, lines: byLines }
  for (const [name, verb] of Object.entries(verbs)) runs[name] = (pieces) => byVerb(pieces, verb)
  for (const [name, run] of Object.entries(runs)) {
    /** @type {{ size: number, reached: import('../harness.mjs').Spread }[]} */
    const all = []
    // Refusing costs an error each time, so fewer of them are enough.
    const count = name === 'takeInteger' ? 2_000 : 20_000
    for (const size of [1, 7, 1448]) {
      const some = size === 1448 ? count / 5 : count
      // One piece again and again: it is the work that is measured, and not which of the caches the input still fits.
      const piece = Buffer.alloc(size, '0')
      const once = new Array(some).fill(piece)
      const four = new Array(some * 4).fill(piece)
      const { ratio } = await bench.race({
        name: `${name}, pieces of ${size} B, none found`,
        unit: 'piece of the smaller input',
        count: some,
        rounds: 7,
        turnMs: 3,
        digest: String,
        contestants: { once: async () => await run(once), 'four times': async () => await run(four) },
      })
      all.push({ size, reached: ratio('four times', 'once') })
    }
    all.sort((a, b) => b.reached.median - a.reached.median)
    const [worst] = all
    bench.atMost(`4x the input: ${name}`, 'itself', 6, worst.reached, `, worst of 1, 7, 1448 B: ${worst.size} B`)
  }

  /** @param {number} scale */
  const prepare = (scale) => {
    const pieces = cut(Buffer.alloc(2 ** 20 * scale, 'a'))
    const delimiter = Buffer.alloc(4096 * scale, 'a')
    delimiter[0] = 98
    return () => {
      // A queue of its own each time: one remembers how far it has looked.
      const queue = new ByteQueue()
      queue.extend(pieces)
      return queue.find(delimiter) === -1
    }
  }
  await bench.race({
    name: 'find b + 4095 a in a…a, 1 MB',
    unit: 'find',
    count: 1,
    rounds: 7,
    digest: String,
    contestants: { once: prepare(1), 'four times': prepare(4) },
    goals: [{ of: 'four times', against: 'once', atMost: 6, label: '4x of both: find b + 4095 a in a…a' }],
  })
}
