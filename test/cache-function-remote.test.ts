import test from 'ava'
import { memoryStore } from '../lib/index.js'
import { cachedRemoteSuite } from './compliance/cache-function.js'

// Over a cluster, and among processes: test/redis/cache-function.test.ts.
cachedRemoteSuite(test, 'memory', async () => {
  const store = memoryStore()
  return { store, again: async () => store }
})
