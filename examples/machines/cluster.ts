// Chunks on many machines. On each of them: `node cluster.js HOST:PORT worker`, until it is stopped; on one of them, or on
// yours: `node cluster.js HOST:PORT`. HOST:PORT is a redis-server. Without `worker` running anywhere else, this process
// is one as well.
import { argv } from 'node:process'
import { bullmqExecutor, bullmqWorker, job, runChunked } from 'millrace'
import type { primes } from './primes.job.js'

const countPrimes = job<typeof primes>(new URL('./primes.job.js', import.meta.url), 'primes')
const [address, mode] = argv.slice(2)

if (address === undefined) console.log('usage: node cluster.js HOST:PORT [worker]')
else {
  const [host, port] = address.split(':')
  const options = { connection: { host, port: Number(port), maxRetriesPerRequest: null }, queue: 'primes' }
  // Only the name of the job travels: a worker runs what it has in `jobs`, never what it is sent.
  const worker = await bullmqWorker({ ...options, jobs: [countPrimes] })
  if (mode === 'worker') {
    console.log('waiting for blocks; end with Ctrl-C')
    process.once('SIGINT', () => void worker.close())
  } else {
    await using executor = bullmqExecutor(options)
    const run = runChunked(countPrimes, { end: 1_000_000, chunkSize: 5000, retries: 2, executor })
    let count = 0
    for await (const some of run.values({ ordered: false })) count += some
    const { done } = await run
    console.log(`${count} primes below 1000000, in ${done} chunks`)
    await worker.close()
  }
}
