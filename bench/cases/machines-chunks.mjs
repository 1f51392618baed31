// What a chunk costs by way of a queue on a server (needs redis-server), against threads of this process.
import { bullmqExecutor, bullmqWorker, ChunkPool, fixture, job, runChunked } from '../lib.mjs'
import { THREADS } from '../pools.mjs'

const nothing = job(new URL('../jobs/chunks.mjs', import.meta.url), 'nothing')
const END = 40_000

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const { startRedis } = await fixture('redis')
  const redis = await startRedis()
  const pool = new ChunkPool({ workers: THREADS })
  await pool.ready()
  const connection = { host: redis.host, port: redis.port, maxRetriesPerRequest: null }
  /** @type {{ close(): Promise<void> }[]} */
  const open = []
  /** @param {number} blockChunks */
  const over = async (blockChunks) => {
    const options = { connection, queue: `blocks-${blockChunks}`, blockChunks, maxBlocks: 8 }
    const executor = bullmqExecutor(options)
    const worker = await bullmqWorker({ ...options, jobs: [nothing], pool })
    open.push(executor, worker)
    return async () => {
      const { done } = await runChunked(nothing, { end: END, chunkSize: 1, executor })
      return { count: done, total: done, last: '' }
    }
  }
  const local = async () => {
    const { done } = await pool.run(nothing, { end: END, chunkSize: 1 })
    return { count: done, total: done, last: '' }
  }
  const names = { 64: 'blocks of 64', 1000: 'blocks of 1,000', 4000: 'blocks of 4,000' }
  await bench.race({
    name: `empty chunk, ${THREADS} threads`,
    unit: 'chunk',
    count: END,
    rounds: 7,
    contestants: {
      'threads of this process': local,
      [names[64]]: await over(64),
      [names[1000]]: await over(1000),
      [names[4000]]: await over(4000),
    },
    goals: Object.values(names).map((of) => ({ of, against: 'threads of this process' })),
  })
  await Promise.all(open.map((one) => one.close()))
  await pool.close()
  await redis.stop()
}
