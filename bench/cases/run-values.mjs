// The chunks' values, in order and with a window: 1 MiB each, moved from thread to thread.
import { VALUE_BYTES } from '../jobs/work.mjs'
import { ChunkPool, job } from '../lib.mjs'
import { Raw, THREADS } from '../pools.mjs'

const COUNT = 256
const WINDOW = 4 * THREADS
const value = job(new URL('../jobs/chunks.mjs', import.meta.url), 'value')

/** Sees that the values come in order and whole. */
function reader() {
  const seen = { count: 0, total: 0, last: '' }
  const take = (/** @type {Uint8Array} */ bytes) => {
    const expected = seen.count++ % 256
    if (bytes[0] !== expected || bytes[VALUE_BYTES - 1] !== expected) throw new Error('a value out of order')
    seen.total += bytes.length
  }
  return { seen, take }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const pool = new ChunkPool({ workers: THREADS })
  const raw = new Raw('value')
  await pool.ready()
  await bench.race({
    name: 'ordered values of 1 MiB, moved',
    unit: 'value',
    count: COUNT,
    rounds: 15,
    contestants: {
      'values()': async () => {
        const { seen, take } = reader()
        for await (const bytes of pool.run(value, { end: COUNT, chunkSize: 1 }).values({ window: WINDOW })) take(bytes)
        return seen
      },
      'messages, same window': async () => {
        const { seen, take } = reader()
        await raw.values(COUNT, WINDOW, take)
        return seen
      },
    },
    goals: [{ of: 'values()', against: 'messages, same window', atMost: 1.2 }],
  })
  await Promise.all([raw.close(), pool.close()])
}
