import test from 'ava'
import { redisStore } from '../../lib/store/redis.js'
import { remoteMapSuite } from '../compliance/remote-map.js'
import { type RedisCluster, startCluster } from '../fixtures/redis.js'

let cluster: RedisCluster
let prefixes = 0

test.before(async (t) => {
  t.timeout(60_000)
  cluster = await startCluster()
})
test.after.always(() => cluster?.stop())

remoteMapSuite(test.serial, 'redis', async () => {
  const nodes = cluster.nodes.map(({ host, port }) => ({ host, port }))
  return redisStore({ nodes, prefix: `map${prefixes++}` })
})
