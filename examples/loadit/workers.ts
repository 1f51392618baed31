import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LoadIt } from 'millrace'

// Four processes share one folder that has room for half of the data; one of them is killed, and nobody minds.

const COUNT = 4000
const LIMIT = 400_000

function* records({ start }: { start: number }) {
  for (let id = start; id < COUNT; id++) yield { id, text: `record ${id} `.repeat(16) }
}

const open = (root: string) =>
  LoadIt.open({ root, source: records, seekable: true, maxShardLength: 250, memoryLimit: LIMIT })

/** What each process does: its quarter of a shuffled order. Prints how many records were right, and what it made. */
async function work(root: string, share: number): Promise<void> {
  await using loader = await open(root)
  let right = 0
  for await (const { id, text } of loader.shuffle({ seed: 1, block: 250 }).shard(share, 4)) {
    if (text.startsWith(`record ${id} `)) right++
    if (right === 100) console.log('under way')
  }
  console.log(JSON.stringify({ right, generated: loader.stats().generated }))
}

function start(root: string, share: number): { child: ChildProcess; last: Promise<string> } {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), root, String(share)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout?.on('data', (data) => {
    text += data
    if (share === 3) child.kill('SIGKILL') // the moment it is under way
  })
  return { child, last: once(child, 'close').then(() => text.trim().split('\n').at(-1) ?? '') }
}

const [, , given, share] = process.argv
if (given !== undefined) await work(given, Number(share))
else {
  const root = await mkdtemp(join(tmpdir(), 'millrace-'))
  const lines = await Promise.all([0, 1, 2, 3].map((one) => start(root, one).last))
  const done = lines.slice(0, 3).map((line) => JSON.parse(line) as { right: number; generated: number })
  const right = done.reduce((sum, one) => sum + one.right, 0)
  await using loader = await open(root)
  const { bad } = await loader.verify()
  const fits = loader.stats().diskBytes <= LIMIT
  console.log(`${right} records right in three processes, ${bad.length} shards damaged, within the limit: ${fits}`)
  await loader.close()
  await rm(root, { recursive: true })
}
