import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { LoadIt } from '../../../lib/loadit/index.js'
import { type Ledger, record, type Subject } from './record.js'

const ITEMS = 200
const SHARD = 20
const SHARDS = ITEMS / SHARD
/**
 * Milliseconds of a lease: those of a writer whose disk was copied are waited for, though after a real power cut their
 * process would be gone.
 */
const LEASE = 300
/** Datasets that stay; the older ones are removed, for they are many. */
const KEPT = 3

interface Item {
  readonly n: number
  readonly bytes: Uint8Array
}
const itemAt = (n: number): Item => ({ n, bytes: record('item', n) })

/**
 * Datasets of a LoadIt, one after the other; number n is shard n % 10 of the n/10th. `unsynced`: its default durability,
 * for which a power cut may tear shards.
 */
export const dataset: Subject = {
  slots: SHARDS,

  async write({ folder, writer, from, count = Number.POSITIVE_INFINITY, careless }, tell) {
    tell('open')
    for (let n = from; n < from + count; n += SHARDS) {
      const number = Math.floor(n / SHARDS)
      const source = function* () {
        for (let i = 0; i < ITEMS; i++) yield itemAt(i)
      }
      const loader = await LoadIt.open<Item>({
        root: join(folder, `${writer}-${number}`),
        source,
        maxShardLength: SHARD,
        leaseMs: LEASE,
        durability: careless === 'unsynced' ? 'process' : 'full',
      })
      loader.on('generated', ({ start, stored }) => {
        tell(`${stored ? 'done' : 'refused'} ${number * SHARDS + start / SHARD}`)
      })
      let at = 0
      for await (const item of loader) if (!isRight(item, at++)) throw new Error(`wrong: item ${at - 1}`)
      if (at !== ITEMS) throw new Error(`${at} items`)
      await loader.close()
      tell(`read ${number}`)
      if (number >= KEPT) rmSync(join(folder, `${writer}-${number - KEPT}`), { recursive: true, force: true })
    }
  },

  async examine({ folder, ledgers, mayLose }) {
    const faults: string[] = []
    for (const ledger of ledgers) {
      const newest = Math.max(-1, ...Object.values(ledger.done))
      for (const name of readdirSync(folder)) {
        if (!name.startsWith(`${ledger.writer}-`)) continue
        const number = Number(name.slice(ledger.writer.length + 1))
        // An older one may be about to be removed.
        if (number < Math.floor(newest / SHARDS) - KEPT + 2) continue
        faults.push(...(await examineOne(join(folder, name), number, ledger, mayLose === true)))
      }
      const newestFolder = `${ledger.writer}-${Math.floor(newest / SHARDS)}`
      if (newest >= 0 && mayLose !== true && !readdirSync(folder).includes(newestFolder)) {
        faults.push(`lost: ${newestFolder}`)
      }
    }
    return faults
  },
}

async function examineOne(root: string, number: number, ledger: Ledger, mayLose: boolean): Promise<string[]> {
  const faults: string[] = []
  const source = function* ({ start }: { start: number }) {
    for (let i = start; i < ITEMS; i++) yield itemAt(i)
  }
  await using loader = await LoadIt.open<Item>({ root, source, seekable: true, maxShardLength: SHARD, leaseMs: LEASE })
  loader.on('generated', ({ start }) => {
    const n = number * SHARDS + start / SHARD
    const newest = Math.max(-1, ...Object.values(ledger.done))
    // All shards up to the newest that were not refused were acknowledged, for they are made in order.
    if (!mayLose && n <= newest && !ledger.refused.includes(n))
      faults.push(`lost: shard ${start} of ${root} was made again`)
  })
  loader.on('corrupt', ({ start, reason }) => {
    if (!mayLose) faults.push(`torn: shard ${start} of ${root}: ${reason}`)
  })
  let at = 0
  for await (const item of loader) if (!isRight(item, at++)) faults.push(`wrong: item ${at - 1} of ${root}`)
  if (at !== ITEMS) faults.push(`${at} items in ${root}`)
  // What nobody reads, the shard that marks the end, is mended by whoever asks for it.
  if (mayLose) await loader.verify({ repair: true })
  const { bad } = await loader.verify()
  if (bad.length > 0) faults.push(`not mended: ${JSON.stringify(bad)}`)
  return faults
}

const isRight = (item: Item | undefined, n: number): boolean =>
  item?.n === n && Buffer.compare(item.bytes, itemAt(n).bytes) === 0
