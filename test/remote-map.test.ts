import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { memoryStore } from '../lib/store/memory.js'
import { remoteMapSuite } from './compliance/remote-map.js'

// Over a cluster: test/redis/remote-map.test.ts.
remoteMapSuite(test.serial, 'memory', async () => memoryStore())

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
