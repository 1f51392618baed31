// What a map costs over a cluster of three nodes on the loopback interface (needs redis-server), against a folder.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fixture, HugeMap, RemoteMap, redisStore } from '../lib.mjs'

const COUNT = 20_000
const ASKED = 2000

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const { startCluster } = await fixture('redis')
  const cluster = await startCluster()
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const nodes = cluster.nodes.map((/** @type {any} */ { host, port }) => ({ host, port }))
  const store = redisStore({ nodes, prefix: 'bench' })
  const far = await RemoteMap.open(store, { key: 'string', value: 'string' })
  const near = await HugeMap.open(folder, { key: 'string', value: 'string' })
  const pairs = Array.from({ length: COUNT }, (_, i) => [`key ${(i * 7919) % COUNT}`.padEnd(16), 'v'.repeat(100)])
  const keys = pairs.filter((_, i) => i % (COUNT / ASKED) === 0).map(([key]) => key)
  const of = 'RemoteMap over a cluster'
  const against = 'HugeMap in a folder'
  /** @param {string} name @param {number} count @param {(map: any) => Promise<number>} run */
  const race = async (name, count, run) => {
    const contestant = (/** @type {any} */ map) => async () => {
      const total = await run(map)
      return { count: total, total, last: '' }
    }
    const contestants = { [of]: contestant(far), [against]: contestant(near) }
    await bench.race({ name, unit: 'entry', count, rounds: 5, contestants, goals: [{ of, against }] })
  }
  await race('setMany', COUNT, (map) => map.setMany(pairs))
  await race('get, one after the other', ASKED, async (map) => {
    let found = 0
    for (const key of keys) if ((await map.get(key)) !== undefined) found++
    return found
  })
  await race('getMany', ASKED, async (map) => (await map.getMany(keys)).length)
  await race('batches(), in order', COUNT, async (map) => {
    let seen = 0
    for await (const batch of map.batches({ maxItems: 1000 })) seen += batch.length
    return seen
  })
  await near.close()
  await store.close()
  await cluster.stop()
  rmSync(folder, { recursive: true, force: true })
}
