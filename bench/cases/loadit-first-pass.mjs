// The first walk, CPU time: the items are made, encoded and written; and how much longer the files are than what is in them.
import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { COUNT, items, openItems, PlainFiles, scratch, Tally } from '../items.mjs'

/** CPU time of a run, of all threads, in ns an item. @param {() => Promise<any>} run */
async function cpu(run) {
  const before = process.cpuUsage()
  const result = await run()
  const { user, system } = process.cpuUsage(before)
  return { ...result, ns: ((user + system) * 1000) / COUNT }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  let bytes = 0
  let payload = 0
  await bench.race({
    name: 'first pass over 100,000 items of 1 KB, CPU time',
    unit: 'item',
    count: COUNT,
    rounds: 7,
    turnMs: 1,
    contestants: {
      'open, batches() to the end': () =>
        cpu(async () => {
          const root = scratch()
          const loader = await openItems(root)
          const tally = new Tally()
          for await (const some of loader.batches()) for (const one of some) tally.add(one)
          await loader.close()
          const folder = join(root, 'shards')
          bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
          rmSync(root, { recursive: true })
          return tally.result
        }),
      'made, packed, written': () =>
        cpu(async () => {
          const folder = scratch()
          const tally = new Tally()
          const watched = function* () {
            for (const one of items()) {
              tally.add(one)
              yield one
            }
          }
          const plain = new PlainFiles().write(folder, watched())
          payload = plain.bytes
          plain.close()
          rmSync(folder, { recursive: true })
          return tally.result
        }),
    },
    goals: [{ of: 'open, batches() to the end', against: 'made, packed, written', atMost: 2.2 }],
  })
  const over = (bytes / payload - 1) * 100
  bench.check('shard files over what is encoded', '<= 1.5 % more bytes', `${over.toFixed(2)} %`, over <= 1.5)
}
