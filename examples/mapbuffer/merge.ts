import { MapBuffer, merge } from 'millrace'

// What fifty machines have counted, each in a map of its own: one map of the sums.
const counts = (machine: number): MapBuffer<number> =>
  MapBuffer.from(
    Array.from({ length: 200 }, (_, i) => [(machine * 37 + i * 11) % 1000, i] as const),
    { serializer: number },
  )
const number = {
  name: 'u32',
  encode(value: number): Uint8Array {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setUint32(0, value, true)
    return bytes
  },
  decode: (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true),
}

const maps = Array.from({ length: 50 }, (_, machine) => counts(machine))
const sum = (_label: number | bigint, values: number[]): number => values.reduce((a, b) => a + b)
const chunks: Uint8Array[] = []
for await (const chunk of merge(maps, { duplicates: sum })) chunks.push(chunk)

const merged = new MapBuffer(Buffer.concat(chunks), { serializer: number })
const all = sum(0, [...merged.values()])
console.log(`${maps.length} maps of 200 entries are one of ${merged.size}, and the counts add up to ${all}`)
