// All items in order from disk, against a file of JSON lines; and what one by one costs against batches.
import { closeSync, createWriteStream, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { COUNT, items, openItems, scratch, Tally } from '../items.mjs'
import { sequence } from '../lib.mjs'

const MIB = 2 ** 20
const DELIVERED = 200_000

/** Reads of 1 MiB, split at the line ends, each line parsed. @param {string} path */
function readLines(path) {
  const tally = new Tally()
  const buffer = Buffer.alloc(2 * MIB)
  const fd = openSync(path, 'r')
  let rest = 0
  for (;;) {
    const read = readSync(fd, buffer, rest, MIB, null)
    if (read === 0) break
    const end = rest + read
    const last = buffer.lastIndexOf(10, end - 1)
    for (const line of buffer.toString('utf8', 0, last).split('\n')) tally.add(JSON.parse(line))
    buffer.copy(buffer, 0, last + 1, end)
    rest = end - last - 1
  }
  closeSync(fd)
  return tally.result
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const root = scratch()
  const file = join(scratch(), 'items.ndjson')
  const text = function* () {
    for (const one of items()) yield `${JSON.stringify(one)}\n`
  }
  await pipeline(Readable.from(text()), createWriteStream(file))
  const loader = await openItems(root, { cache: { bytes: 8 * MIB } })
  await loader.length()
  await loader.waitUntilAllCached()
  await bench.race({
    name: '100,000 items of 1 KB in order from disk',
    unit: 'item',
    count: COUNT,
    rounds: 7,
    turnMs: 1,
    contestants: {
      'batches()': async () => {
        const tally = new Tally()
        for await (const some of loader.batches()) for (const one of some) tally.add(one)
        return tally.result
      },
      'for await': async () => {
        const tally = new Tally()
        for await (const one of loader) tally.add(one)
        return tally.result
      },
      'lines of JSON': () => readLines(file),
    },
    goals: [
      { of: 'batches()', against: 'lines of JSON', atMost: 0.75 },
      { of: 'for await', against: 'lines of JSON', atMost: 0.9 },
    ],
  })
  await loader.close()

  const numbers = Array.from({ length: DELIVERED }, (_, id) => ({ id }))
  const all = sequence(numbers)
  await bench.race({
    name: 'delivery of what is there',
    unit: 'item',
    count: DELIVERED,
    contestants: {
      'batches()': async () => {
        const tally = new Tally()
        for await (const some of all.batches()) for (const one of some) tally.add(one)
        return tally.result
      },
      'for await': async () => {
        const tally = new Tally()
        for await (const one of all) tally.add(one)
        return tally.result
      },
      'await at(i)': async () => {
        const tally = new Tally()
        for (let i = 0; i < DELIVERED; i++) tally.add(await all.at(i))
        return tally.result
      },
    },
    goals: [
      { of: 'batches()', against: 'for await' },
      { of: 'for await', against: 'await at(i)' },
    ],
  })
}
