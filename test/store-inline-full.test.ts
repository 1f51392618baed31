import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'

const folder = mkdtempSync(join(tmpdir(), 'millrace-full-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))
const program = fileURLToPath(new URL('./fixtures/store-full-inline.js', import.meta.url))

/** Blocks of 1,024 bytes that a file may have. */
const LIMITS = [1024, 3072]

test('H2: a file that may not grow, written to by this thread: MILL_DISK_FULL, all is readable and can be deleted', async (t) => {
  t.timeout(60_000)
  for (const limit of LIMITS) {
    for (const length of [100, 3000, 20_000]) {
      const path = join(folder, `${limit}-${length}`)
      const command = `ulimit -f ${limit}; exec "$0" "$1" "$2" "$3"`
      const { stdout } = await promisify(execFile)(
        'bash',
        ['-c', command, process.execPath, program, path, String(length)],
        { timeout: 30_000 },
      )
      const result = JSON.parse(stdout) as Record<string, number | boolean | string>
      t.like(result, { full: true, readable: true, after: true }, JSON.stringify({ limit, length, ...result }))
      t.true((result.written as number) > 0 && (result.deleted as number) > 0)
      t.true((result.fileBytes as number) <= limit * 1024)
    }
  }
})
