// What a chunk costs by itself, when it does nothing: in a warm pool of threads, and in the lanes of this process.
import pMap from 'p-map'
import { ChunkPool, job, runChunked } from '../lib.mjs'
import { pools, Raw, THREADS } from '../pools.mjs'

const nothing = job(new URL('../jobs/chunks.mjs', import.meta.url), 'nothing')
/** How many chunks a run has, once with the start and the end of a run and once to take them away from the other. */
const [FEW, MANY] = [200_000, 1_200_000]

/** @param {any} pool @param {number} end @param {object} [options] */
async function chunks(pool, end, options) {
  const { done } = await pool.run(nothing, { end, chunkSize: 1, ...options })
  if (done !== end) throw new Error(`${done} chunks done, not ${end}`)
}

/** What `now` grows by for one chunk more. @param {any} pool @param {() => number} now in ms */
async function perChunk(pool, now) {
  const start = now()
  await chunks(pool, FEW)
  const few = now()
  await chunks(pool, MANY)
  const many = now()
  return { count: 1, total: 1, last: 'done', ns: ((many - few - (few - start)) * 1e6) / (MANY - FEW) }
}

/** @param {number} count @param {() => Promise<unknown>} run */
async function each(count, run) {
  const start = performance.now()
  await run()
  return { count: 1, total: 1, last: 'done', ns: ((performance.now() - start) * 1e6) / count }
}

/** @param {any} pool @param {import('../harness.mjs').Bench} bench */
async function empty(pool, bench) {
  const peers = pools()
  const raw = new Raw('nothing')
  const tasks = new Array(6000).fill(undefined)
  /** @type {Record<string, import('../harness.mjs').Contestant>} */
  const contestants = {
    millrace: () => perChunk(pool, () => performance.now()),
    'postMessage, 2 in flight a thread': () => each(20_000, () => raw.run(20_000)),
  }
  for (const [name, peer] of Object.entries(peers))
    contestants[`${name}, 8 in flight`] = () =>
      each(tasks.length, () => pMap(tasks, () => peer.run('nothing'), { concurrency: 8 }))
  const of = 'millrace'
  await bench.race({
    name: `empty chunk, ${THREADS} warm threads`,
    unit: 'chunk',
    count: 1,
    rounds: 9,
    contestants,
    goals: [
      { of, against: 'piscina, 8 in flight', atLeast: 200 },
      { of, against: 'tinypool, 8 in flight' },
      { of, against: 'workerpool, 8 in flight' },
      { of, against: 'postMessage, 2 in flight a thread', atLeast: 30 },
    ],
  })
  await Promise.all([raw.close(), ...Object.values(peers).map((peer) => peer.close())])

  const name = `CPU of an empty chunk, all threads together`
  const cpu = () => {
    const { user, system } = process.cpuUsage()
    return (user + system) / 1000
  }
  const { ns } = await bench.race({
    name,
    unit: 'chunk',
    count: 1,
    contestants: { millrace: () => perChunk(pool, cpu) },
  })
  bench.limit(name, 200, ns.millrace)
}

/** @param {any} pool @param {import('../harness.mjs').Bench} bench */
async function progress(pool, bench) {
  const end = 1_000_000
  const progressMs = 10
  let excess = Number.NEGATIVE_INFINITY
  const read = async () => {
    let events = 0
    let done = 0
    const start = performance.now()
    for await (const status of pool.run(nothing, { end, chunkSize: 1, progressMs })) {
      if (status.type === 'progress') events++
      else if (status.type === 'end') done = status.done
    }
    excess = Math.max(excess, events - (performance.now() - start) / progressMs)
    return { count: done, total: done, last: '' }
  }
  const unread = async () => {
    await chunks(pool, end)
    return { count: end, total: end, last: '' }
  }
  await bench.race({
    name: '1 M empty chunks',
    unit: 'run',
    count: 1,
    rounds: 31,
    contestants: { 'progress read at 10 ms': read, unread },
    goals: [{ of: 'progress read at 10 ms', against: 'unread', atMost: 1.02 }],
  })
  bench.check(
    'progress events of such a run',
    'one each 10 ms, 4 more',
    `at most ${excess.toFixed(1)} more`,
    excess <= 4,
  )
}

/** @param {import('../harness.mjs').Bench} bench */
async function lanes(bench) {
  const end = 100_000
  const work = async () => {}
  const items = Array.from({ length: end }, (_, i) => i)
  const concurrency = 8
  await bench.race({
    name: 'empty async function, 8 at once',
    unit: 'chunk',
    count: end,
    contestants: {
      runChunked: async () => {
        const { done } = await runChunked(work, { end, chunkSize: 1, concurrency })
        return { count: done, total: done, last: '' }
      },
      'p-map': async () => {
        const { length } = await pMap(items, work, { concurrency })
        return { count: length, total: length, last: '' }
      },
    },
    goals: [{ of: 'runChunked', against: 'p-map', atMost: 0.5 }],
  })
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const pool = new ChunkPool({ workers: THREADS })
  await pool.ready()
  await empty(pool, bench)
  await progress(pool, bench)
  await pool.close()
  await lanes(bench)
}
