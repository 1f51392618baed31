import { setTimeout as wait } from 'node:timers/promises'
import test from 'ava'
import { type FileOps, nodeFiles } from '../lib/loadit/file-ops.js'
import { LoadIt } from '../lib/loadit/index.js'
import { countedSource, folder, itemAt, record, shardFiles } from './fixtures/loadit-kit.js'
import { within } from './fixtures/stream-kit.js'

const TOOK = 40

/** A file system on which closing and removing take their time, and how many descriptors it has given out. */
function slow(): { files: FileOps; open(): number } {
  let open = 0
  const files: FileOps = {
    ...nodeFiles,
    async open(path, flags, mode) {
      const fd = await nodeFiles.open(path, flags, mode)
      open++
      return fd
    },
    async close(fd) {
      await wait(TOOK)
      await nodeFiles.close(fd)
      open--
    },
    async unlink(path) {
      await wait(TOOK)
      await nodeFiles.unlink(path)
    },
  }
  return { files, open: () => open }
}

test('G5: after close() no descriptor is open and no file is left, whatever was being closed or removed', async (t) => {
  const root = folder(t)
  const { files, open } = slow()
  const { source } = countedSource(200)
  const loader = await LoadIt._open({ root, source, maxShardLength: 10, memoryLimit: 2500 }, files)
  const told = record(loader)
  for (let i = 0; i < 195; i += 10) t.deepEqual(await within(loader.at(i), 'at'), itemAt(i))
  const evicted = told.of('evicted').length
  t.true(evicted > 5, `${evicted} shards had to go`)
  t.true(open() > 0)
  await within(loader.close(), 'close')
  t.is(open(), 0)
  // Those that stay, which nobody removes any more.
  const left = shardFiles(root)
  t.true(left.every((name) => name.endsWith('.shd')))
  await wait(3 * TOOK)
  t.deepEqual(shardFiles(root), left)
})
