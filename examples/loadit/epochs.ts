import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cursor, LoadIt } from 'millrace'

// A training loop: three epochs over shuffled samples, stopped half-way, resumed from a few bytes of JSON.

function* samples() {
  for (let id = 0; id < 2500; id++) yield { id, features: Float32Array.of(id % 7, id % 11, id % 13) }
}

/** Reads until `steps` batches are through or all epochs are; gives back what it saw, and where it was. */
async function train(root: string, steps: number, saved?: string): Promise<{ ids: number[]; saved: string }> {
  await using loader = await LoadIt.open({ root, source: samples, fingerprint: 'v1', maxShardLength: 256 })
  // Blocks of a shard's length: another order each epoch, and every shard is read once, whole.
  const epochs = loader.repeat(3, (epoch, all) => all.shuffle({ seed: epoch, block: loader.shardLength ?? 256 }))
  const cursor = saved === undefined ? undefined : (JSON.parse(saved) as Cursor)
  let next = cursor?.next ?? 0
  const ids: number[] = []
  for await (const batch of epochs.batches({ maxItems: 100, ...(cursor && { cursor }) })) {
    for (const { id } of batch) ids.push(id)
    next += batch.length
    if (--steps === 0) break
  }
  return { ids, saved: JSON.stringify(epochs.cursor(next)) }
}

const root = await mkdtemp(join(tmpdir(), 'millrace-'))
const other = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  const first = await train(root, 31)
  console.log(`stopped: ${first.saved}`)
  const rest = await train(root, Infinity, first.saved)
  const whole = await train(other, Infinity)
  const same = [...first.ids, ...rest.ids].join() === whole.ids.join()
  const distinct = [0, 1, 2].map((epoch) => new Set(whole.ids.slice(2500 * epoch, 2500 * (epoch + 1))).size)
  console.log(`${whole.ids.length} samples, ${distinct.join(' + ')} different; resumed as if never stopped: ${same}`)
} finally {
  for (const folder of [root, other]) await rm(folder, { recursive: true })
}
