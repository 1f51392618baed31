import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { startCluster, startRedis } from '../fixtures/redis.js'

/** What an example of examples/machines/ prints. */
async function run(name: string, ...words: string[]): Promise<string> {
  const path = fileURLToPath(new URL(`../../examples/machines/${name}.js`, import.meta.url))
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [path, ...words], { timeout: 60_000 })
  return stderr + stdout
}

test('examples/machines/cluster', async (t) => {
  t.timeout(60_000)
  const redis = await startRedis()
  t.teardown(redis.stop)
  t.is(await run('cluster', `127.0.0.1:${redis.port}`), '78498 primes below 1000000, in 200 chunks\n')
})

test('examples/machines/word-count', async (t) => {
  t.timeout(60_000)
  const cluster = await startCluster()
  t.teardown(cluster.stop)
  const addresses = cluster.nodes.map(({ host, port }) => `${host}:${port}`).join(',')
  t.is(await run('word-count', addresses), 'mill 3, race 2, river 2, the 6, to 2\n')
  t.is(await run('word-count', addresses), 'mill 6, race 4, river 4, the 12, to 4\n', 'it adds up')
})
