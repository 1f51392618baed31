// A map as it comes from a disk: open it and take a tenth of its values. What others make of it whole, we leave alone.
import { deserialize, serialize } from 'node:v8'
import { Decoder, Encoder } from 'cbor-x'
import { Packr } from 'msgpackr'
import { MapBuffer } from '../lib.mjs'
import { fileOf, sample, someLabels, valueFor } from '../maps.mjs'

/** @typedef {{ get(label: number): Uint8Array | undefined }} Opened */

/**
 * @param {import('../harness.mjs').Bench} bench
 * @param {{ count: number, most: number, crc: boolean, goals: Record<string, number> }} what
 */
async function select(bench, { count, most, crc, goals }) {
  const labels = someLabels(count)
  const value = (/** @type {number} */ label) => valueFor(label, 1, most)
  const file = fileOf(labels, value, { crc })
  const map = new Map(labels.map((label) => [label, value(label)]))
  const wanted = sample(labels, count / 10, 7)

  // Numbers as labels and bytes as values, each in the way the peer has for them; JSON has no bytes.
  const byV8 = serialize(map)
  const packr = new Packr({ mapsAsObjects: false })
  const packed = packr.pack(map)
  const encoder = new Encoder({ mapsAsObjects: false, tagUint8Array: false })
  const encoded = encoder.encode(map)
  const decoder = new Decoder({ mapsAsObjects: false })
  const json = Buffer.from(
    JSON.stringify(Object.fromEntries([...map].map(([label, bytes]) => [label, bytes.toString('base64')]))),
  )

  const taken = (/** @type {Opened} */ opened) => {
    let total = 0
    /** @type {any} */
    let last
    for (const label of wanted) {
      last = opened.get(label)
      total += last.length
    }
    return { count: wanted.length, total, last }
  }
  const ours = 'MapBuffer'
  await bench.race({
    name: `a tenth of ${count.toLocaleString('en')} values of at most ${most} B, version ${crc ? 1 : 0}`,
    unit: 'map',
    count: 1,
    contestants: {
      [ours]: () => {
        const opened = new MapBuffer(file)
        let total = 0
        /** @type {any} */
        let last
        for (const label of wanted) {
          last = opened.get(label)
          total += last.length
        }
        return { count: wanted.length, total, last }
      },
      'v8.deserialize': () => taken(deserialize(byV8)),
      msgpackr: () => taken(packr.unpack(packed)),
      'cbor-x': () => taken(decoder.decode(encoded)),
      'JSON, base64': () => {
        const object = JSON.parse(json.toString())
        return taken({ get: (label) => Buffer.from(object[label], 'base64') })
      },
    },
    goals: [
      ...Object.entries(goals).map(([against, atLeast]) => ({ of: ours, against, atLeast })),
      ...['cbor-x', 'JSON, base64'].map((against) => ({ of: ours, against })),
    ],
  })
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  await select(bench, { count: 20_000, most: 1024, crc: true, goals: { 'v8.deserialize': 3, msgpackr: 1.7 } })
  await select(bench, { count: 100_000, most: 400, crc: true, goals: { 'v8.deserialize': 4, msgpackr: 2.5 } })
  await select(bench, { count: 256, most: 50_000, crc: false, goals: { 'v8.deserialize': 5, msgpackr: 2.5 } })
}
