import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { atomicWrite, type MergeOptions, openMapBuffer, transcode, writeMapBuffer } from 'millrace'

/** Writes the same entries, or some of them, into another file, which is there whole or not at all. */
async function rewrite(from: string, to: string, options: MergeOptions<Uint8Array>): Promise<void> {
  await using map = await openMapBuffer(from)
  const bytes = await atomicWrite(to, transcode(map, options))
  console.log(`${map.compression} to ${options.compress ?? 'the same'}: ${map.byteLength} to ${bytes} bytes`)
}

const folder = await mkdtemp(join(tmpdir(), 'millrace-'))
try {
  const file = (name: string): string => join(folder, `${name}.mb`)
  const pages = Array.from(
    { length: 500 },
    (_, i) => [i, Buffer.from(`page ${i}: over the mill race `.repeat(40))] as const,
  )
  await writeMapBuffer(file('plain'), pages)
  await rewrite(file('plain'), file('small'), { compress: 'gzip' })
  await rewrite(file('small'), file('again'), { compress: 'none' })
  // Values whose compression stays keep the bytes they have: nothing is unpacked.
  await rewrite(file('small'), file('some'), { select: (label) => label < 50 })

  await using one = await openMapBuffer(file('plain'))
  await using other = await openMapBuffer(file('again'))
  const same = Buffer.compare((await one.load()).toBytes(), (await other.load()).toBytes()) === 0
  await using few = await openMapBuffer(file('some'))
  console.log(`${few.size} of ${one.size} pages picked, ${same ? 'the same' : 'other'} bytes after both ways`)
} finally {
  await rm(folder, { recursive: true })
}
