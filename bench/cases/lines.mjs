// Lines of about 130 bytes, from memory and from a file.
import { once } from 'node:events'
import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import split2 from 'split2'
import { body, repeat, source } from '../data.mjs'
import { ByteQueue, lines } from '../lib.mjs'

/** @type {any} */
let kept

/** @param {Buffer[]} pieces */
function byTakeLines(pieces) {
  const queue = new ByteQueue()
  let count = 0
  let total = 0
  for (const piece of pieces) {
    queue.append(piece)
    for (const line of queue.takeLines()) {
      kept = line
      total += line.length
      count++
    }
  }
  return { count, total, last: kept }
}

/** @param {Buffer[]} pieces */
function byTakeLine(pieces) {
  const queue = new ByteQueue()
  let count = 0
  let total = 0
  for (const piece of pieces) {
    queue.append(piece)
    for (let line = queue.takeLine(); line !== undefined; line = queue.takeLine()) {
      kept = line
      total += line.length
      count++
    }
  }
  return { count, total, last: kept }
}

/** An event stream of lines, to its end. @param {any} stream @param {string} event @param {string} end */
async function byEvents(stream, event, end) {
  let count = 0
  let total = 0
  stream.on(event, (/** @type {string} */ line) => {
    kept = line
    total += line.length
    count++
  })
  await once(stream, end)
  return { count, total, last: kept }
}

/** @param {Buffer[]} pieces */
function bySplit2(pieces) {
  const stream = split2()
  for (const piece of pieces) stream.write(piece)
  stream.end()
  return byEvents(stream, 'data', 'end')
}

/** @param {import('node:stream').Readable} stream */
async function byBatches(stream) {
  let count = 0
  let total = 0
  for await (const batch of lines(stream).batches()) {
    for (const line of batch) {
      kept = line
      total += line.length
      count++
    }
  }
  return { count, total, last: kept }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const { count, whole, pieces } = repeat(2 ** 16, (i) => [body(i, 110 + (i % 41)), '\n'])
  await bench.race({
    name: 'lines of 130 B in memory',
    unit: 'line',
    count,
    contestants: {
      takeLines: () => byTakeLines(pieces),
      takeLine: () => byTakeLine(pieces),
      split2: () => bySplit2(pieces),
    },
    goals: [
      { of: 'takeLines', against: 'split2', atLeast: 3 },
      { of: 'takeLine', against: 'split2', atLeast: 4 },
    ],
  })

  const ours = 'lines().batches()'
  const others = ["split2 'data'", "readline 'line'"]
  const goals = others.map((against) => ({ of: ours, against, atLeast: 2 }))
  const shown = others.map((against) => ({ of: ours, against }))
  /** @param {() => import('node:stream').Readable} open */
  const streams = (open) => ({
    [ours]: () => byBatches(open()),
    [others[0]]: () => byEvents(open().pipe(split2()), 'data', 'end'),
    [others[1]]: () => byEvents(createInterface({ input: open() }), 'line', 'close'),
  })
  await bench.race({
    name: 'lines of 130 B from a stream that is always ready',
    unit: 'line',
    count,
    contestants: streams(() => source(pieces)),
    goals: shown,
  })

  const expected = byTakeLines(pieces)
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  try {
    const path = join(folder, 'lines.txt')
    writeFileSync(path, whole)
    const open = () => createReadStream(path, { highWaterMark: 65536 })
    // What the file alone costs: nobody can be faster.
    const readOnly = async () => {
      const { total } = await byEvents(open(), 'data', 'end')
      if (total !== whole.length) throw new Error('the file is not what was written')
      return expected
    }
    await bench.race({
      name: 'lines of 130 B from createReadStream',
      unit: 'line',
      count,
      contestants: { ...streams(open), 'reading alone': readOnly },
      goals,
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
