// Reading into a queue's own memory and giving it back: a steady state makes no new memory.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { body } from '../data.mjs'
import { ByteQueue, MemoryPool } from '../lib.mjs'

const READ = 65536

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'))
  const path = join(folder, 'bytes')
  writeFileSync(path, body(0, READ))
  const file = openSync(path, 'r')
  try {
    const pool = new MemoryPool()
    const queue = new ByteQueue({ pool })
    /** @type {any} */
    let kept
    const reused = (/** @type {number} */ reads) => {
      let total = 0
      for (let i = 0; i < reads; i++) {
        queue.chunkWritten(readSync(file, queue.getChunk(READ), 0, READ, 0))
        // A message of 16 bytes is looked at, then everything that came is given back.
        for (let part = queue.take(16); part.length > 0; part = queue.take(READ)) {
          kept = part
          total += part.length
          part.release()
        }
      }
      return { count: reads, total, last: '' }
    }
    const fresh = (/** @type {number} */ reads) => {
      let total = 0
      for (let i = 0; i < reads; i++) {
        kept = Buffer.allocUnsafe(READ)
        total += readSync(file, kept, 0, READ, 0)
      }
      return { count: reads, total, last: '' }
    }
    reused(100)
    const allocated = pool.allocated
    const before = process.memoryUsage().arrayBuffers
    reused(20_000)
    const grown = pool.allocated - allocated
    const more = process.memoryUsage().arrayBuffers - before
    bench.check(
      'pool.allocated over 20,000 reads of 64 KB, released',
      'flat',
      `${grown} more than after the first 100`,
      grown === 0,
    )
    bench.check('memory of ArrayBuffers over the same', 'flat', `${more} bytes more`, more < READ)
    await bench.race({
      name: 'reads of 64 KB',
      unit: 'read',
      count: 500,
      contestants: { 'getChunk, release': () => reused(500), 'fresh Buffers': () => fresh(500) },
    })
    if (kept === undefined) throw new Error('nothing was read')
  } finally {
    closeSync(file)
    rmSync(folder, { recursive: true })
  }
}
