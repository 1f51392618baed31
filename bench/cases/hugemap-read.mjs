// Reading: 200,000 records, random lookups and whole walks, against raw lmdb and others that hold them.
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import Keyv from 'keyv'
import { asked, inBatches, openRaw, RAW, record, someKeys, text, workFolder } from '../hugemap.mjs'
import { cacheFunction, HugeMap } from '../lib.mjs'

const COUNT = 200_000
const ASKED = 50_000

/** @param {string} path @param {object} options @param {[string, unknown][]} entries */
async function filledMap(path, options, entries) {
  const map = await HugeMap.open(path, options)
  await map.setMany(entries)
  return map
}

/** @param {string} path @param {object} options @param {[string, unknown][]} entries */
function filledRaw(path, options, entries) {
  const db = openRaw({ path, ...RAW, ...options })
  for (const some of inBatches(entries, 4096)) {
    db.transactionSync(() => {
      for (const [key, value] of some) db.putSync(key, value)
    })
  }
  return db
}

/**
 * `get` of random keys, of which nobody has anything decoded.
 * @param {import('../harness.mjs').Bench} bench @param {string} name @param {number} goal
 * @param {(index: number) => unknown} value @param {object} ours @param {object} raws
 * @param {(value: any) => number} weigh what is added up, so that every value is looked at
 */
async function lookups(bench, name, goal, value, ours, raws, weigh) {
  const folder = workFolder()
  const keys = someKeys(COUNT)
  const questions = asked(ASKED, keys)
  const entries = keys.map((key, i) => /** @type {[string, unknown]} */ ([key, value(i)]))
  const map = await filledMap(join(folder, 'map'), ours, entries)
  const bare = await filledMap(join(folder, 'bare'), { ...ours, checksum: false }, entries)
  const db = filledRaw(join(folder, 'raw'), raws, entries)
  /** @type {Record<string, import('../harness.mjs').Contestant>} */
  const contestants = {
    HugeMap: () => sum((key) => map.get(key)),
    'without checksums': () => sum((key) => bare.get(key)),
    lmdb: () => sum((key) => db.get(key)),
  }
  const sum = (/** @type {(key: string) => any} */ get) => {
    let total = 0
    for (let i = 0; i < ASKED; i++) total += weigh(get(questions[i]))
    return { count: ASKED, total, last: '' }
  }
  const goals = [
    { of: 'HugeMap', against: 'lmdb', atLeast: goal },
    { of: 'without checksums', against: 'lmdb' },
  ]
  let close = async () => {}
  if (typeof value(0) === 'string' && String(value(0)).length === 100) {
    const level = new ClassicLevel(join(folder, 'level'), { keyEncoding: 'utf8', valueEncoding: 'utf8' })
    await level.open()
    for (const some of inBatches(entries, 1000)) {
      await level.batch(some.map(([key, one]) => ({ type: /** @type {const} */ ('put'), key, value: String(one) })))
    }
    const memory = new Map(entries)
    const keyv = new Keyv()
    for (const [key, one] of entries) await keyv.set(key, one)
    const cached = cacheFunction((/** @type {string} */ key) => memory.get(key), {
      map,
      name: 'bench',
      key: (key) => key,
      lease: false,
      value: 'string',
    })
    for (const some of inBatches(keys, 5000)) await Promise.all(some.map((key) => cached(key)))
    contestants['classic-level'] = () => sum((key) => level.getSync(key))
    contestants['a Map in memory'] = () => sum((key) => memory.get(key))
    const awaited = async (/** @type {(key: string) => Promise<any>} */ get) => {
      let total = 0
      for (let i = 0; i < ASKED; i++) total += weigh(await get(questions[i]))
      return { count: ASKED, total, last: '' }
    }
    contestants['cached function'] = () => awaited(cached)
    contestants['keyv in memory'] = () => awaited((key) => keyv.get(key))
    goals.push({ of: 'HugeMap', against: 'classic-level' }, { of: 'HugeMap', against: 'a Map in memory' })
    goals.push(
      { of: 'cached function', against: 'HugeMap', atLeast: 0.4 },
      { of: 'cached function', against: 'keyv in memory' },
    )
    close = async () => level.close()
  }
  await bench.race({
    name: `random get, ${name}`,
    unit: 'get',
    count: ASKED,
    contestants,
    goals,
    rounds: 9,
    turnMs: 30,
  })
  await close()
  await map.close()
  await bare.close()
  await db.close()
}

/** Every entry in order. @param {import('../harness.mjs').Bench} bench */
async function walks(bench) {
  const folder = workFolder()
  const entries = someKeys(COUNT).map((key, i) => /** @type {[string, unknown]} */ ([key, text(i, 100)]))
  const map = await filledMap(join(folder, 'map'), { value: 'string' }, entries)
  const bare = await filledMap(join(folder, 'bare'), { value: 'string', checksum: false }, entries)
  const db = filledRaw(join(folder, 'raw'), { encoding: 'string' }, entries)
  const result = (/** @type {number} */ count, /** @type {number} */ total, /** @type {string} */ last) => ({
    count,
    total,
    last,
  })
  const walk = (/** @type {{ entries(): Iterable<[string, string]> }} */ from) => () => {
    let count = 0
    let total = 0
    let last = ''
    for (const [key, value] of from.entries()) {
      count++
      total += value.length
      last = key
    }
    return result(count, total, last)
  }
  const contestants = {
    'entries()': walk(map),
    'entries(), without checksums': walk(bare),
    'batches()': async () => {
      let count = 0
      let total = 0
      let last = ''
      for await (const some of map.batches()) {
        for (const [key, value] of some) {
          count++
          total += value.length
          last = key
        }
      }
      return result(count, total, last)
    },
    lmdb: () => {
      let count = 0
      let total = 0
      let last = ''
      for (const { key, value } of db.getRange()) {
        count++
        total += value.length
        last = key
      }
      return result(count, total, last)
    },
  }
  await bench.race({
    name: `a walk over ${COUNT.toLocaleString('en')} entries`,
    unit: 'entry',
    count: COUNT,
    contestants,
    goals: [
      { of: 'entries()', against: 'lmdb', atLeast: 0.65 },
      { of: 'batches()', against: 'lmdb', atLeast: 0.65 },
      { of: 'entries(), without checksums', against: 'lmdb' },
    ],
    rounds: 9,
  })
  await map.close()
  await bare.close()
  await db.close()
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const strings = { ours: { value: 'string' }, raws: { encoding: 'string' } }
  const weigh = (/** @type {string} */ value) => value.length
  await lookups(bench, '100 characters', 0.8, (i) => text(i, 100), strings.ours, strings.raws, weigh)
  await lookups(bench, '1,000 characters', 0.6, (i) => text(i, 1000), strings.ours, strings.raws, weigh)
  await lookups(bench, 'objects of 10 fields', 0.9, record, {}, {}, ({ id, depth }) => id + depth)
  await walks(bench)
}
