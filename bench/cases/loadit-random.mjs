// Items at random: from disk, with a cache for a twentieth of them; from memory; and by reading whole shards.
import { item, items, ofShard, openItems, PlainFiles, places, scratch, Tally } from '../items.mjs'
import { ofLibrary } from '../lib.mjs'

const READS = 2000
const FEW = 10
/** Of the race in memory: so many items, all of one shard's size. */
const IN_MEMORY = 20_000

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const root = scratch()
  const plain = new PlainFiles().write(scratch(), items())
  const loader = await openItems(root, { cache: { bytes: 4 * 2 ** 20 } })
  await loader.length()
  await loader.waitUntilAllCached()
  const wanted = places(READS)
  const few = places(FEW)

  /** @param {number[]} list @param {(index: number) => any} read */
  const each = (list, read) => async () => {
    const tally = new Tally()
    for (const index of list) tally.add(await read(index))
    return tally.result
  }
  await bench.race({
    name: 'random items of 1 KB on disk',
    unit: 'item',
    count: READS,
    contestants: {
      'await at(i)': each(wanted, (index) => loader.at(index)),
      'readSync and unpack': each(wanted, (index) => plain.read(index)),
    },
    goals: [{ of: 'await at(i)', against: 'readSync and unpack', atMost: 1.6 }],
  })
  await bench.race({
    name: 'a few random items of 1 KB on disk',
    unit: 'item',
    count: FEW,
    rounds: 7,
    contestants: {
      'await at(i)': each(few, (index) => loader.at(index)),
      'the whole shard, decoded': each(few, (index) => plain.whole(index)),
    },
    goals: [{ of: 'await at(i)', against: 'the whole shard, decoded', atLeast: 400 }],
  })
  await loader.close()
  await inMemory(bench, root)
  plain.close()
}

/** @param {import('../harness.mjs').Bench} bench @param {string} root */
async function inMemory(bench, root) {
  const wanted = places(READS, IN_MEMORY)
  const { Packr } = ofLibrary('msgpackr')
  const packr = new Packr({ structuredClone: true, moreTypes: true, copyBuffers: true, structures: [] })
  const frames = Array.from({ length: IN_MEMORY }, (_, id) => Buffer.from(packr.pack(item(id))))
  const encoded = await openItems(root, {})
  const decoded = await openItems(root, { cache: { form: 'decoded' } })
  for (const loader of [encoded, decoded]) for await (const some of loader.batches({ end: IN_MEMORY })) void some
  const unpack = async (/** @type {number} */ index) => packr.unpack(frames[index])
  await bench.race({
    name: 'random items of 1 KB in memory',
    unit: 'item',
    count: READS,
    contestants: {
      'await at(i)': async () => {
        const tally = new Tally()
        for (const index of wanted) tally.add(await encoded.at(index))
        return tally.result
      },
      'unpack, awaited': async () => {
        const tally = new Tally()
        for (const index of wanted) tally.add(await unpack(index))
        return tally.result
      },
    },
    goals: [{ of: 'await at(i)', against: 'unpack, awaited', atMost: 1.6 }],
  })
  const shards = new Map()
  for (let id = 0; id < IN_MEMORY; id++) {
    const k = ofShard(id)
    if (!shards.has(k.shard)) shards.set(k.shard, [])
    shards.get(k.shard)[k.i] = item(id)
  }
  await bench.race({
    name: 'random items in memory, decoded',
    unit: 'item',
    count: READS,
    contestants: {
      'peek(i)': () => {
        const tally = new Tally()
        for (const index of wanted) tally.add(decoded.peek(index))
        return tally.result
      },
      'Map.get and an index': () => {
        const tally = new Tally()
        for (const index of wanted) {
          const { shard, i } = ofShard(index)
          tally.add(shards.get(shard)[i])
        }
        return tally.result
      },
    },
    goals: [{ of: 'peek(i)', against: 'Map.get and an index', atMost: 3 }],
  })
  await encoded.close()
  await decoded.close()
}
