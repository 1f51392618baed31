// Filling an array in memory that all threads share: work that memory bounds, and work that the processors bound.
import { squares as fill } from '../jobs/work.mjs'
import { ChunkPool, job, sharedArray } from '../lib.mjs'
import { pools, Raw, THREADS } from '../pools.mjs'

const jobs = new URL('../jobs/chunks.mjs', import.meta.url)
/** Which elements are looked at after each turn: some in every chunk. */
const STRIDE = 997

/** @param {number} end @param {number} size @returns {{ start: number, end: number }[]} */
const ranges = (end, size) =>
  Array.from({ length: Math.ceil(end / size) }, (_, i) => ({ start: i * size, end: Math.min((i + 1) * size, end) }))

/** Adds up what was written, and spoils it, so that nobody lives on what the one before has done. @param {Float64Array | Uint32Array} out */
function checksum(out) {
  let sum = 0
  for (let i = 0; i < out.length; i += STRIDE) {
    sum += out[i] + i
    out[i] = 0
  }
  return String(sum)
}

/** @param {any} pool @param {import('../harness.mjs').Bench} bench @param {number} end @param {number} rounds */
async function squares(pool, bench, end, rounds) {
  const size = 100_000
  const power = end.toExponential().replace('+', '')
  const peers = pools()
  const out = sharedArray(Float64Array, end)
  const raw = new Raw('squares', { out, size })
  const next = new Int32Array(new SharedArrayBuffer(4))
  const thieves = new Raw('steal', { out, size, next })
  const ours = (/** @type {number} */ chunkSize) => async () => {
    await pool.run(job(jobs, 'squares'), { end, chunkSize, args: { out } })
    return out
  }
  /** @type {Record<string, () => any>} */
  const contestants = {
    'plain loop': () => {
      fill(out, 0, end)
      return out
    },
    millrace: ours(size),
    'chunks of 1,000': ours(1000),
    postMessage: async () => {
      await raw.run(end / size)
      return out
    },
    'Atomics.add': async () => {
      next[0] = 0
      await thieves.run(2 * THREADS) // two a thread; the second finds nothing left
      return out
    },
  }
  for (const [name, peer] of Object.entries(peers))
    contestants[name] = async () => {
      await Promise.all(ranges(end, size).map((range) => peer.run('squares', { out, ...range })))
      return out
    }
  const of = 'millrace'
  await bench.race({
    name: `squares, N = ${power}, chunks of 100,000`,
    unit: 'element',
    count: end,
    rounds,
    digest: checksum,
    contestants,
    goals: [
      { of, against: 'plain loop', atLeast: 2 },
      { of, against: 'piscina', atLeast: 2.5 },
      { of, against: 'tinypool' },
      { of, against: 'workerpool' },
      { of, against: 'postMessage' },
      { of, against: 'Atomics.add' },
      {
        of: 'chunks of 1,000',
        against: 'millrace',
        atMost: 1.1,
        label: `squares, N = ${power}: chunks of 1,000`,
      },
    ],
  })
  await Promise.all([raw.close(), thieves.close(), ...Object.values(peers).map((peer) => peer.close())])
}

/** @param {any} pool @param {import('../harness.mjs').Bench} bench */
async function xorshift(pool, bench) {
  const end = 6_000_000
  const { piscina, ...others } = pools()
  await Promise.all(Object.values(others).map((peer) => peer.close()))
  const out = sharedArray(Uint32Array, end)
  await bench.race({
    name: `xorshift, 16 rounds an element, N = 6e6`,
    unit: 'element',
    count: end,
    digest: checksum,
    contestants: /** @type {Record<string, () => any>} */ ({
      millrace: async () => {
        await pool.run(job(jobs, 'scramble'), { end, args: { out } })
        return out
      },
      'piscina, 4 equal parts': async () => {
        await Promise.all(ranges(end, end / THREADS).map((range) => piscina.run('scramble', { out, ...range })))
        return out
      },
    }),
    goals: [{ of: 'millrace', against: 'piscina, 4 equal parts', atLeast: 0.9 }],
  })
  await piscina.close()
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const pool = new ChunkPool({ workers: THREADS })
  await pool.ready()
  await squares(pool, bench, 2e7, 11)
  await squares(pool, bench, 1e8, 7)
  await xorshift(pool, bench)
  await pool.close()
}
