import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { LoadIt } from '../../lib/loadit/index.js'
import type { WorkerJob } from '../fixtures/loadit-worker.js'
import { type Finding, killGroup, type Lab } from './lab.js'
import { Program } from './writers.js'

const WORKER = fileURLToPath(new URL('../fixtures/loadit-worker.js', import.meta.url))
const COUNT = 600
const SHARD = 20
const LIMIT = 12_000
/** Bytes of a shard, at the most. */
const SHARD_BYTES = 1200
const PROCESSES = 4

/** Counts what a worker tells. */
class Worker extends Program {
  generated = 0
  readonly wrong: string[] = []

  protected override hear(line: string): void {
    const { event, code } = JSON.parse(line) as { event: string; code?: string }
    if (event === 'generated') this.generated++
    // A shard that is damaged though nobody damaged it; a warning is of a disk or a catalog that fails.
    if (event === 'wrong' || event === 'corrupt' || (event === 'warning' && code !== undefined)) this.wrong.push(line)
    this.lines.length = 0
  }
}

/**
 * Processes that make, read and evict shards of one folder are killed; the folder is looked at every 10 ms: it may hold
 * its limit and a shard for each process.
 */
export async function killShardMakers(lab: Lab, kills: number): Promise<Finding> {
  const root = lab.newFolder(false)
  const job: Omit<WorkerJob, 'seed'> = {
    root,
    count: COUNT,
    shardLength: SHARD,
    seekable: true,
    memoryLimit: LIMIT,
    how: 'random',
    reads: 1e9,
  }
  const start = (): Worker => new Worker(lab, [WORKER, JSON.stringify({ ...job, seed: lab.below(2 ** 31) })])
  const faults: string[] = []
  const workers = Array.from({ length: PROCESSES }, start)
  let shards = 0
  let most = 0
  const sampler = setInterval(() => {
    most = Math.max(most, bytesOf(root))
  }, 10)
  try {
    for (let done = 0; done < kills; done++) {
      const at = lab.below(PROCESSES)
      const victim = workers[at] as Worker
      await victim.until('it makes shards', () => victim.generated > 0)
      await wait(lab.below(60))
      await victim.kill()
      shards += victim.generated
      faults.push(...victim.wrong)
      if (victim.errors !== '') faults.push(victim.errors.slice(0, 300))
      workers[at] = start()
    }
  } finally {
    for (const worker of workers) killGroup(worker.process)
    await Promise.all(workers.map((worker) => worker.kill()))
    clearInterval(sampler)
  }
  for (const worker of workers) {
    shards += worker.generated
    faults.push(...worker.wrong)
  }
  if (most > LIMIT + PROCESSES * SHARD_BYTES) faults.push(`the folder held ${most} bytes`)
  faults.push(...(await afterwards(root)))
  return { did: `${kills} kills, ${shards} shards made, ${most} bytes at the most`, faults }
}

/** Bytes of the finished shards that are there now. */
function bytesOf(root: string): number {
  let bytes = 0
  try {
    for (const name of readdirSync(join(root, 'shards'))) {
      if (!name.endsWith('.shd')) continue
      bytes += statSync(join(root, 'shards', name), { throwIfNoEntry: false })?.size ?? 0
    }
  } catch {
    // It has not been made yet.
  }
  return bytes
}

/** Who comes next finds all right, books included, and nothing of the dead. */
async function afterwards(root: string): Promise<string[]> {
  const faults: string[] = []
  await using loader = await LoadIt.open({ root })
  const { bad } = await loader.verify()
  if (bad.length > 0) faults.push(`damaged: ${JSON.stringify(bad)}`)
  const bytes = bytesOf(root)
  if (loader.stats().diskBytes !== bytes) faults.push(`the books say ${loader.stats().diskBytes} bytes, not ${bytes}`)
  const left = readdirSync(join(root, 'shards')).filter((name) => name.endsWith('.tmp'))
  if (left.length > 0) faults.push(`left over: ${left}`)
  return faults
}
