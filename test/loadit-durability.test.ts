import test from 'ava'
import { type FileOps, nodeFiles } from '../lib/loadit/file-ops.js'
import { LoadIt } from '../lib/loadit/index.js'
import { countedSource, folder, itemAt, record, shardFiles } from './fixtures/loadit-kit.js'
import { codeOf, gather } from './fixtures/stream-kit.js'

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

test("L2: durability 'full': a shard counts once its bytes and its name are on the disk, or is not stored", async (t) => {
  for (const isBroken of [false, true]) {
    const calls: string[] = []
    const folders = new Set<number>()
    const root = folder(t)
    const files: FileOps = {
      ...nodeFiles,
      async open(path, flags, mode) {
        const fd = await nodeFiles.open(path, flags, mode)
        if (path.endsWith('shards')) folders.add(fd)
        return fd
      },
      async rename(from, to) {
        await nodeFiles.rename(from, to)
        calls.push('rename')
      },
      async fdatasync(fd) {
        calls.push('sync')
        await nodeFiles.fdatasync(fd)
      },
      // Names are no data: fdatasync of a folder would leave them where they are.
      async fsync(fd) {
        t.true(folders.delete(fd))
        calls.push('sync names')
        if (isBroken) throw Object.assign(new Error('EIO: gone'), { code: 'EIO' })
        await nodeFiles.fsync(fd)
      },
    }
    const { source } = countedSource(20)
    const loader = await LoadIt._open({ root, source, maxShardLength: 10, durability: 'full' }, files)
    t.teardown(() => loader.close())
    const told = record(loader)
    loader.on('generated', () => calls.push('told'))
    t.deepEqual(await gather(loader), numbers(20).map(itemAt))
    t.deepEqual(calls.slice(0, 4), ['sync', 'rename', 'sync names', 'told'])
    t.deepEqual(
      told.of('generated').map(({ stored }) => stored),
      [!isBroken, !isBroken],
    )
    if (!isBroken) continue
    t.deepEqual(shardFiles(root), [])
    t.deepEqual(told.of('warning').map(codeOf), ['MILL_WRITE_FAILED'])
  }
})
