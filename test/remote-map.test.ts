import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { RemoteMap } from '../lib/hugemap/index.js'
import { memoryStore } from '../lib/store/memory.js'
import type { Store } from '../types/store.js'
import { remoteMapSuite } from './compliance/remote-map.js'
import { failure, within } from './fixtures/stream-kit.js'

// Over a cluster: test/redis/remote-map.test.ts.
remoteMapSuite(test.serial, 'memory', async () => memoryStore())

/** A store whose writes are never answered. */
function mute(): Store {
  const store = memoryStore()
  return new Proxy<Store>(store, {
    get(_, name) {
      if (name === 'write') return () => new Promise(() => {})
      const value: unknown = Reflect.get(store, name)
      return typeof value === 'function' ? value.bind(store) : value
    },
  })
}

test('setMany ends with an abort though the store gives no answer', async (t) => {
  for (const count of [10, 100_000]) {
    const map = await RemoteMap.open<number, string>(mute())
    const reason = new Error('enough')
    const control = new AbortController()
    let taken = 0
    const pairs = (function* (): Generator<[number, string]> {
      for (; taken < count; taken++) yield [taken, 'x'.repeat(100)]
    })()
    setTimeout(() => control.abort(reason), 100)
    t.is(await within(failure(map.setMany(pairs, { signal: control.signal })), 'setMany'), reason)
    t.true(taken < 20_000, 'it waits while four pieces are under way')
  }
})

test('where bullmq and ioredis are not installed, the error names them, and nothing else needs them', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bare-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  cpSync(fileURLToPath(new URL('../lib', import.meta.url)), join(folder, 'lib'), { recursive: true })
  mkdirSync(join(folder, 'node_modules'))
  for (const name of ['streamx', 'lmdb', 'msgpackr', 'pako']) {
    const from = fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url))
    symlinkSync(from, join(folder, 'node_modules', name), 'dir')
  }
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  writeFileSync(join(folder, 'jobs.js'), 'export const one = () => 1')
  writeFileSync(
    join(folder, 'main.js'),
    `import { bullmqExecutor, bullmqWorker, job, redisStore, RemoteMap, runChunked } from './lib/index.js'
     const out = []
     const tell = (e) => out.push([e.code, e.package, e.cause instanceof Error])
     const one = job(new URL('./jobs.js', import.meta.url), 'one')
     const connection = { host: '127.0.0.1', port: 1 }
     await RemoteMap.open(redisStore({ nodes: [connection], prefix: 'p' })).catch(tell)
     await bullmqWorker({ connection, jobs: [one] }).catch(tell)
     await runChunked(one, { end: 3, executor: bullmqExecutor({ connection }) }).catch((e) => tell(e.cause))
     console.log(JSON.stringify(out))`,
  )
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'main.js')], { timeout: 40_000 })
  t.deepEqual(JSON.parse(stdout), [
    ['MILL_PACKAGE_MISSING', 'ioredis', true],
    ['MILL_PACKAGE_MISSING', 'bullmq', true],
    ['MILL_PACKAGE_MISSING', 'bullmq', true],
  ])
})
