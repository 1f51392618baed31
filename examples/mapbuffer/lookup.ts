import { IntMap, MapBuffer } from 'millrace'

// A map is bytes: what `toBytes()` gives is the file, and opening it parses nothing.
const rivers = MapBuffer.from({ 865: 'Rhine', 1091: 'Elbe', 116: 'Wupper', 2850: 'Danube' }, { serializer: text() })
const file = rivers.toBytes()
const map = new MapBuffer(file, { serializer: text() })

console.log(`${map.size} rivers in ${file.length} bytes, version ${map.version}, compression ${map.compression}`)
console.log(`116 km: ${map.get(116)}; 117 km: ${map.get(117)}; at least 117 km: ${map.lowerBound(117)}`)

// Without a range in the order of the file, with one in the order of labels.
console.log(`up to 1,091 km, the longest first: ${[...map.values({ to: 1092, reverse: true })].join(', ')}`)

// Labels and numbers up to 2^64-1 by each other: an index without values. 2^53 and more come as bigints.
const links = IntMap.from([
  [116, 865],
  [2n ** 64n - 1n, 2n ** 63n],
])
console.log(`${links.size} links: ${[...links].map(([from, to]) => `${from} to ${to}`).join(', ')}`)

/** Values are bytes, unless a serializer makes something of them. */
function text() {
  const encoder = new TextEncoder()
  const decoder = new TextDecoder()
  return {
    name: 'text',
    encode: (value: string) => encoder.encode(value),
    decode: (bytes: Uint8Array) => decoder.decode(bytes),
  }
}
