import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { MapBufferWriter, openMapBufferSync } from 'millrace'

const COUNT = 300_000

/** Readings of many meters, as they come in: in no order at all. */
function* readings(): Generator<[number, Uint8Array], void, void> {
  for (let i = 0; i < COUNT; i++) yield [meter(i), new Uint8Array(256).fill(i % 251)]
}
/** A different number for each i below 2^32. */
const meter = (i: number): number => (i * 2_654_435_761) % 2 ** 32

const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  const path = join(folder, 'readings.mb')
  // Up to 16 MiB wait in memory, the rest in one temporary file; then everything leaves in the order of the format.
  const writer = new MapBufferWriter({ memory: 2 ** 24 })
  await pipeline(readings, writer, createWriteStream(path))
  const { mode, entries, bytes, spooled } = writer.stats
  console.log(`${mode}: ${megabytes(spooled)} of ${megabytes(bytes)} went through the temporary file`)
  console.log(`peak memory ${megabytes(process.resourceUsage().maxRSS * 1024)}`)

  using map = openMapBufferSync(path)
  console.log(`${entries} readings; meter ${meter(1000)} reads ${map.get(meter(1000))?.[0]}, meter 1 ${map.get(1)}`)
} finally {
  await rm(folder, { recursive: true })
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6)} MB`
}
