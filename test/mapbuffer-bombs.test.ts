import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { loadCodec, MapBuffer } from '../lib/mapbuffer/index.js'
import { within } from './fixtures/stream-kit.js'

const run = promisify(execFile)
const child = fileURLToPath(new URL('fixtures/map-bombs.js', import.meta.url))
/** Bytes a bomb decodes to; readers in the child take 1 MiB. */
const BOMB = 2 ** 26
/** MiB that eight ways of reading may take above a process that has read a small value. */
const MOST_MEMORY = 24

test('M2: a value that would decode to 64 MiB is refused by every way of reading, and memory stays near the limit', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bombs-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const zeros = new Uint8Array(BOMB)
  const levels: Record<string, number> = { gzip: 1, br: 1, zstd: 1, lzma: 0 }
  await Promise.all(
    Object.entries(levels).map(async ([codec, level]) => {
      await loadCodec(codec, { level })
      const [bomb, small] = [join(folder, `${codec}.mb`), join(folder, `${codec}-small.mb`)]
      const file = MapBuffer.from({ 1: zeros }, { compress: codec, level }).toBytes()
      t.true(file.length < BOMB / 200, `${codec}: ${file.length} bytes`)
      writeFileSync(bomb, file)
      writeFileSync(small, MapBuffer.from({ 1: zeros.subarray(0, 1000) }, { compress: codec, level }).toBytes())
      const { stdout } = await within(run(process.execPath, [child, bomb, small, codec]), codec, 30_000)
      const lines = stdout.trim().split('\n')
      const memory = Number(lines.pop()?.split(' ')[1])
      t.is(lines.length, 8)
      for (const line of lines) t.true(line.endsWith(' MILL_TOO_LARGE'), `${codec}: ${line}`)
      t.log(`${codec}: ${file.length} bytes, ${memory} MiB`)
      t.true(memory <= MOST_MEMORY, `${codec} took ${memory} MiB`)
    }),
  )
})
