import { MapBuffer, MapBufferWriter, readable, salvage } from 'millrace'

const pages = Array.from({ length: 1000 }, (_, i) => [i, Buffer.from(`page ${i}`)] as const)
const file = MapBuffer.from(pages).toBytes()

// Three values are hit, and the end is gone.
for (const byte of [16_100, 20_000, 25_000]) file[byte] = (file[byte] as number) ^ 1
const damaged = file.subarray(0, -5)

const { ok, problems } = await new MapBuffer(damaged).verify()
console.log(`ok: ${ok}; ${problems.map(({ label, code }) => `${label} ${code}`).join(', ')}`)

// What is left goes into a new file.
let lost = 0
const saved = salvage(damaged, { onProblem: () => lost++ })
const chunks: Uint8Array[] = []
for await (const chunk of readable(saved).pipe(new MapBufferWriter())) chunks.push(chunk)
const mended = new MapBuffer(Buffer.concat(chunks))
console.log(
  `${lost} of ${pages.length} pages are lost, ${mended.size} are in the new file, ok: ${(await mended.verify()).ok}`,
)
