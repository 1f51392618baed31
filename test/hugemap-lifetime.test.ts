import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { HugeMap, type StoreError } from '../lib/hugemap/index.js'
import { failure, freshPath, within } from './fixtures/hugemap-kit.js'
import { codeOf, gather } from './fixtures/stream-kit.js'

/** Runs a child to its end: its messages and its exit code. */
async function child(what: string, path: string): Promise<{ messages: unknown[]; code: unknown }> {
  const process_ = fork(fileURLToPath(new URL('./fixtures/hugemap-child.js', import.meta.url)), [what, path])
  const messages: unknown[] = []
  process_.on('message', (message) => messages.push(message))
  try {
    // What it said last may come after the news of its end.
    const [[code]] = await within(Promise.all([once(process_, 'exit'), once(process_, 'disconnect')]), what)
    return { messages, code }
  } finally {
    process_.kill('SIGKILL')
  }
}

test('G5: opened and closed a hundred times, with iterators, streams and snapshots left open', async (t) => {
  t.timeout(120_000)
  const path = freshPath(t)
  {
    await using map = await HugeMap.open<number, string>(path)
    await map.setMany(Array.from({ length: 1000 }, (_, i) => [i, `v${i}`] as const))
  }
  for (let i = 0; i < 100; i++) {
    const map = await HugeMap.open<number, string>(path)
    const walk = map.entries()
    t.deepEqual(walk.next().value, [0, 'v0'])
    const snapshot = await map.snapshot()
    const stream = map.readable()
    const first = stream[Symbol.asyncIterator]().next()
    await first
    stream.on('error', () => {})
    const batches = map.batches()[Symbol.asyncIterator]()
    await batches.next()
    await map.close()
    t.is(codeOf(await failure(() => walk.next())), 'MILL_CLOSED')
    t.is(codeOf(await failure(() => snapshot.get(1))), 'MILL_CLOSED')
    t.is(codeOf(await failure(batches.next())), 'MILL_CLOSED')
    stream.destroy()
  }
  await using map = await HugeMap.open<number, string>(path)
  // Each of them would have kept a place in the table of readers.
  t.true(map.stats().readers < 20, `${map.stats().readers} readers`)
  t.is(map.size, 1000)
})

test('G5: iterators and streams that end, in whatever way, leave no reader behind', async (t) => {
  const path = freshPath(t)
  await using map = await HugeMap.open<number, string>(path)
  await map.setMany(Array.from({ length: 1000 }, (_, i) => [i, `v${i}`] as const))
  for (let i = 0; i < 300; i++) {
    for (const _ of map) break
    for (const _ of map.keys({ limit: 2 }));
    for await (const _ of map.batches()) break
    for await (const _ of map.readable({ limit: 3 }));
    const snapshot = await map.snapshot()
    for (const _ of snapshot) break
    snapshot.close()
    map.entries() // never begun
  }
  t.true(map.stats().readers < 20, `${map.stats().readers} readers`)
})

test('several handles of one folder close one by one; the last one closes the folder', async (t) => {
  const path = freshPath(t)
  const one = await HugeMap.open<string, number>(path)
  const two = await HugeMap.open<string, number>(path)
  const other = await one.namespace<string, number>('other')
  await one.set('a', 1)
  await one.close()
  t.is(two.get('a'), 1)
  await two.set('b', 2)
  await two.close()
  t.true(await other.set('c', 3))
  await other.close()
  await using again = await HugeMap.open<string, number>(path)
  t.deepEqual([...again.keys(), again.namespaces()], ['a', 'b', ['', 'other']])
  t.deepEqual(readdirSync(path).sort(), ['data.mdb', 'lock.mdb'])
})

test('G5: a closed map keeps no process alive, whatever was left open', async (t) => {
  const { messages, code } = await child('leave', freshPath(t))
  t.deepEqual([messages, code], [['closed'], 0])
})

test('H6: a map that is never closed keeps no process alive either', async (t) => {
  const path = freshPath(t)
  const { messages, code } = await child('forget', path)
  t.deepEqual([messages, code], [['set'], 0])
  await using map = await HugeMap.open<number, string>(path)
  t.is(map.get(1), 'x')
})

test('a failed set that nobody looks at is an unhandled rejection', async (t) => {
  const { messages, code } = await child('ignored', freshPath(t))
  t.deepEqual([messages, code], [['MILL_MAP_REPLACED'], 7])
})

test('H6: a thread that uses the map is terminated: nothing hangs, what it acknowledged is there', async (t) => {
  const path = freshPath(t)
  await using map = await HugeMap.open<number, string>(path)
  await map.set(-1, 'mine')
  for (let round = 0; round < 5; round++) {
    const worker = new Worker(new URL('./fixtures/hugemap-thread.js', import.meta.url), { workerData: { path, round } })
    t.teardown(() => worker.terminate())
    let acknowledged = -1
    worker.on('message', (n: number) => {
      acknowledged = n
    })
    await within(once(worker, 'message'), 'the thread')
    await new Promise((resolve) => setTimeout(resolve, round * 5))
    await within(worker.terminate(), 'terminate')
    map.refresh()
    const found = await gather(map.keys({ gte: round * 1_000_000, lt: (round + 1) * 1_000_000 }))
    t.true(found.length > acknowledged, `${acknowledged} acknowledged, ${found.length} found`)
    t.true(await within(map.set(-1, `after ${round}`), 'a write'))
  }
})

test('H3: a folder that is no map is refused, and left as it is', async (t) => {
  const path = freshPath(t)
  const { mkdirSync, writeFileSync, readFileSync } = await import('node:fs')
  mkdirSync(path)
  const garbage = Buffer.alloc(20_000, 'garbage ')
  writeFileSync(`${path}/data.mdb`, garbage)
  const error = (await failure(HugeMap.open(path))) as StoreError
  t.is(error.code, 'MILL_MAP_DAMAGED')
  t.true(readFileSync(`${path}/data.mdb`).equals(garbage))
  t.is(codeOf(await failure(HugeMap.open(path, { readonly: true }))), 'MILL_MAP_DAMAGED')
})

test("H6: writer 'inline' blocks, and does all the same; transactionSync is one transaction", async (t) => {
  const { messages, code } = await child('inline', freshPath(t))
  t.deepEqual([messages, code], [['passed'], 0])
})

test('H7: a snapshot that is open for a minute is worth one warning', async (t) => {
  const { messages, code } = await child('old', freshPath(t))
  t.deepEqual([messages, code], [[['MILL_OLD_SNAPSHOT']], 0])
})

test("writer 'inline' is refused outside the main thread", async (t) => {
  t.is(codeOf(await failure(HugeMap.open(freshPath(t), { writer: 'inline' }))), 'MILL_INVALID_ARGUMENT')
})

test('a folder keeps what was put into it, in order, when it is opened again', async (t) => {
  const path = freshPath(t)
  for (const round of [1, 2, 3]) {
    await using map = await HugeMap.open<number, number>(path)
    t.is(map.size, (round - 1) * 100)
    await Promise.all(Array.from({ length: 100 }, (_, i) => map.set(i * 3 + round - 1, round)))
  }
  await using map = await HugeMap.open<number, number>(path, { readonly: true })
  t.deepEqual(
    [...map.keys()],
    Array.from({ length: 300 }, (_, i) => i),
  )
})
