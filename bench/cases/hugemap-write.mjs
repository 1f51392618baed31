// Writing, durably: streams and single writes, against raw lmdb; how long the event loop is held up meanwhile.
import { once } from 'node:events'
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { spread } from '../harness.mjs'
import { inBatches, openRaw, RAW, someKeys, text, workFolder } from '../hugemap.mjs'
import { HugeMap } from '../lib.mjs'

const COUNT = 200_000
const STRINGS = { value: 'string' }

const folder = workFolder()
let made = 0

/**
 * Times `work` only, in a store that is open, new and warm.
 * @template S @param {(path: string) => Promise<S>} open @param {(store: S) => Promise<void> | void} work
 * @param {(store: S) => Promise<number> | number} size how many entries are there in the end
 * @param {(store: S) => Promise<void>} close @param {number} count
 */
function timed(open, work, size, close, count) {
  return async () => {
    const path = join(folder, String(made++))
    mkdirSync(path)
    const store = await open(join(path, 'store'))
    const start = performance.now()
    await work(store)
    const ns = ((performance.now() - start) * 1e6) / count
    const entries = await size(store)
    await close(store)
    rmSync(path, { recursive: true })
    return { count: entries, total: count, last: '', ns }
  }
}

const openMap = async (/** @type {string} */ path) => {
  const map = await HugeMap.open(path, STRINGS)
  // The first write starts the process that writes: a row of its own.
  await map.set('a', 'a')
  return map
}
const openLmdb = async (/** @type {string} */ path) => {
  const db = openRaw({ path, ...RAW, encoding: 'string' })
  await db.put('a', 'a')
  return db
}
const sizeOfMap = (/** @type {any} */ map) => map.size
const sizeOfLmdb = (/** @type {any} */ db) => db.getStats().entryCount
const close = (/** @type {any} */ store) => store.close()

/** @param {import('../harness.mjs').Bench} bench @param {string} order @param {[string, string][]} entries */
async function streams(bench, order, entries) {
  const batches = inBatches(entries, 256)
  const groups = inBatches(entries, 4096)
  const thousands = inBatches(entries, 1000)
  const stream = async (/** @type {any} */ map) => {
    const writable = map.writable({ batches: true })
    const finished = once(writable, 'finish')
    for (const some of batches) if (!writable.write(some)) await once(writable, 'drain')
    writable.end()
    await finished
  }
  const transactions = (/** @type {any} */ db) => {
    for (const some of groups) {
      db.transactionSync(() => {
        for (const [key, value] of some) db.putSync(key, value)
      })
    }
  }
  const openLevel = async (/** @type {string} */ path) => {
    const level = new ClassicLevel(path, { keyEncoding: 'utf8', valueEncoding: 'utf8' })
    await level.open()
    await level.put('a', 'a')
    return level
  }
  const level = async (/** @type {ClassicLevel<string, string>} */ db) => {
    for (const some of thousands) {
      await db.batch(
        some.map(([key, value]) => ({ type: 'put', key, value })),
        { sync: true },
      )
    }
  }
  const sizeOfLevel = async (/** @type {ClassicLevel<string, string>} */ db) => (await db.keys().all()).length
  const ours = 'writable() of batches'
  await bench.race({
    name: `${COUNT.toLocaleString('en')} records in ${order}`,
    unit: 'record',
    count: COUNT,
    contestants: {
      [ours]: timed(openMap, stream, sizeOfMap, close, COUNT),
      'lmdb, transactionSync of 4,096': timed(openLmdb, transactions, sizeOfLmdb, close, COUNT),
      'classic-level, batches of 1,000': timed(openLevel, level, sizeOfLevel, close, COUNT),
    },
    goals: [
      { of: ours, against: 'lmdb, transactionSync of 4,096', atLeast: 0.8 },
      { of: ours, against: 'classic-level, batches of 1,000' },
    ],
    rounds: 7,
  })
}

/** @param {import('../harness.mjs').Bench} bench @param {[string, string][]} entries */
async function singles(bench, entries) {
  const few = entries.slice(0, 300)
  const oneByOne = async (/** @type {any} */ store, /** @type {'set' | 'put'} */ verb) => {
    for (const [key, value] of few) await store[verb](key, value)
  }
  await bench.race({
    name: 'awaited one by one',
    unit: 'write',
    count: few.length,
    contestants: {
      set: timed(openMap, (map) => oneByOne(map, 'set'), sizeOfMap, close, few.length),
      'lmdb put': timed(openLmdb, (db) => oneByOne(db, 'put'), sizeOfLmdb, close, few.length),
    },
    goals: [{ of: 'set', against: 'lmdb put', atLeast: 0.7 }],
    rounds: 9,
  })
  const many = entries.slice(0, 20_000)
  const atOnce = async (/** @type {any} */ store, /** @type {'set' | 'put'} */ verb) => {
    await Promise.all(many.map(([key, value]) => store[verb](key, value)))
  }
  await bench.race({
    name: '20,000 at once',
    unit: 'write',
    count: many.length,
    contestants: {
      set: timed(openMap, (map) => atOnce(map, 'set'), sizeOfMap, close, many.length),
      'lmdb put': timed(openLmdb, (db) => atOnce(db, 'put'), sizeOfLmdb, close, many.length),
    },
    goals: [{ of: 'set', against: 'lmdb put', atLeast: 0.8 }],
    rounds: 9,
  })
}

/** The longest time without a turn of the event loop while records stream in. @param {import('../harness.mjs').Bench} bench @param {[string, string][]} entries */
async function delays(bench, entries) {
  const worst = []
  for (let round = 0; round < 5; round++) {
    const map = await openMap(join(folder, `delay-${round}`))
    let longest = 0
    let last = performance.now()
    const timer = setInterval(() => {
      const now = performance.now()
      longest = Math.max(longest, now - last - 1)
      last = now
    }, 1)
    await map.setMany(entries)
    clearInterval(timer)
    await map.close()
    worst.push(longest * 1e6)
  }
  bench.limit('event loop held up while 200,000 records stream in', 60e6, spread(worst))
}

/** @param {import('../harness.mjs').Bench} bench */
async function beginnings(bench) {
  const opens = []
  const firsts = []
  for (let round = -1; round < 9; round++) {
    const path = join(folder, `first-${round}`)
    await (await openMap(path)).close()
    let start = performance.now()
    const map = await HugeMap.open(path)
    const opened = performance.now() - start
    start = performance.now()
    await map.set('b', 'b')
    const first = performance.now() - start
    await map.close()
    if (round < 0) continue
    opens.push(opened * 1e6)
    firsts.push(first * 1e6)
  }
  bench.limit('open of a map that exists', 10e6, spread(opens))
  bench.limit('the first set, on the disk', 300e6, spread(firsts))
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const random = someKeys(COUNT).map((key, i) => /** @type {[string, string]} */ ([key, text(i, 100)]))
  const sorted = random.toSorted(([a], [b]) => (a < b ? -1 : 1))
  await streams(bench, 'key order', sorted)
  await streams(bench, 'random order', random)
  await singles(bench, random)
  await delays(bench, random)
  await beginnings(bench)
}
