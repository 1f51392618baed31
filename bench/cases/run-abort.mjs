// From the call of abort() to the moment when nothing of the run is left: its threads have ended as well.
import { setTimeout as sleep } from 'node:timers/promises'
import { job, runChunked } from '../lib.mjs'
import { THREADS } from '../pools.mjs'

const jobs = new URL('../jobs/chunks.mjs', import.meta.url)

/** @param {string} name @param {object} [options] */
async function abort(name, options) {
  const run = runChunked(job(jobs, name), { end: 1e6, chunkSize: 1, workers: THREADS, ...options })
  // Every thread is at work.
  while (run.snapshot().running < THREADS) await Promise.race([sleep(1), run.done])
  const reason = new Error('enough')
  const start = performance.now()
  run.abort(reason)
  const error = await run.then(
    () => undefined,
    (/** @type {unknown} */ thrown) => thrown,
  )
  if (error !== reason) throw error ?? new Error('the run went on to its end')
  return { count: 1, total: 1, last: 'aborted', ns: (performance.now() - start) * 1e6 }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const soft = 'abort, chunks of 0.1 ms'
  const hard = 'abort, endless loops, graceMs 0'
  const { ns } = await bench.race({
    name: 'abort',
    unit: 'abort',
    count: 1,
    turnMs: 1,
    contestants: { [soft]: () => abort('tenthOfAMs'), [hard]: () => abort('endless', { graceMs: 0 }) },
  })
  bench.limit(soft, 50e6, ns[soft])
  bench.limit(hard, 50e6, ns[hard])
}
