import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { runChunked } from 'millrace'

/** Works through 100 chunks. When it is told to end, it keeps what is done in a file, and next time begins there. */
async function work(file: string): Promise<void> {
  const resume = existsSync(file) ? { resume: readFileSync(file) } : {}
  const run = runChunked(() => sleep(20), { end: 100, chunkSize: 1, concurrency: 4, events: 'chunk', ...resume })
  process.once('SIGTERM', () => run.abort())
  try {
    for await (const event of run) if (event.type === 'chunk') console.log(event.index)
  } catch (error) {
    if ((error as Error).name !== 'AbortError') throw error
    await writeFile(`${file}.new`, run.save())
    await rename(`${file}.new`, file) // the old state or the new one, whatever happens
  }
}

/** Runs `work` in a process of its own; ends it with SIGTERM once it has done `most` chunks. Returns what it did. */
async function processOf(file: string, most: number): Promise<number[]> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (data) => {
    text += data
    if (!child.killed && text.split('\n').length > most) child.kill('SIGTERM')
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`the process ended with ${code}`)
  return text.trim().split('\n').map(Number)
}

const [, , file] = process.argv
if (file !== undefined) await work(file)
else {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
  const saved = join(folder, 'saved')
  const first = await processOf(saved, 30)
  const second = await processOf(saved, Number.POSITIVE_INFINITY)
  await rm(folder, { recursive: true })
  const distinct = new Set([...first, ...second]).size
  console.log(`${distinct} chunks in two processes: ${first.length < 100 && second.length < 100}`)
}
