// `has` of random labels, nine in ten of which are there: by search, and by the hash that is built by itself.
import { MapBuffer } from '../lib.mjs'
import { fileOf, questions, someLabels } from '../maps.mjs'

/** So many that neither they nor what they touch stay in a cache from one turn to the next. */
const ASKED = 500_000
const NOTHING = new Uint8Array(0)

/** The same search, ported as it stands. @param {Buffer} file @param {number} size @param {bigint} label */
function hasByBuffer(file, size, label) {
  let k = 1
  while (k <= size) {
    const found = file.readBigUInt64LE(16 * k)
    if (found === label) return true
    k = found < label ? 2 * k + 1 : 2 * k
  }
  return false
}

/** And again, so that nobody calls through a place that has seen both. @param {DataView} file @param {number} size @param {bigint} label */
function hasByView(file, size, label) {
  let k = 1
  while (k <= size) {
    const found = file.getBigUint64(16 * k, true)
    if (found === label) return true
    k = found < label ? 2 * k + 1 : 2 * k
  }
  return false
}

/** @param {import('../harness.mjs').Bench} bench @param {number} size */
async function lookups(bench, size) {
  const labels = someLabels(size)
  const asked = questions(labels, ASKED)
  // Peers that compare 64 bit numbers get them ready made.
  const askedBig = asked.map(BigInt)
  const file = fileOf(labels, () => NOTHING, { crc: false })
  const search = new MapBuffer(file, { lookup: 'search' })
  const auto = new MapBuffer(file)
  // Half as many lookups as there are labels: from here on there is a hash.
  for (let i = 0; i <= size; i++) auto.has(labels[i % size])
  const map = new Map(labels.map((label) => [label, NOTHING]))
  const buffer = Buffer.from(file.buffer, file.byteOffset, file.length)
  const view = new DataView(file.buffer, file.byteOffset, file.length)
  const result = (/** @type {number} */ hits) => ({ count: ASKED, total: hits, last: '' })

  const bySearch = "lookup: 'search'"
  const byHash = 'after N/2 lookups'
  await bench.race({
    name: `has, ${size.toExponential()} labels`,
    unit: 'lookup',
    count: ASKED,
    turnMs: 1,
    rounds: 11,
    contestants: {
      [bySearch]: () => {
        let hits = 0
        for (let i = 0; i < ASKED; i++) if (search.has(asked[i])) hits++
        return result(hits)
      },
      [byHash]: () => {
        let hits = 0
        for (let i = 0; i < ASKED; i++) if (auto.has(asked[i])) hits++
        return result(hits)
      },
      'a port by readBigUInt64LE': () => {
        let hits = 0
        for (let i = 0; i < ASKED; i++) if (hasByBuffer(buffer, size, askedBig[i])) hits++
        return result(hits)
      },
      'a port by getBigUint64': () => {
        let hits = 0
        for (let i = 0; i < ASKED; i++) if (hasByView(view, size, askedBig[i])) hits++
        return result(hits)
      },
      Map: () => {
        let hits = 0
        for (let i = 0; i < ASKED; i++) if (map.has(asked[i])) hits++
        return result(hits)
      },
    },
    goals: [
      { of: bySearch, against: 'a port by readBigUInt64LE', atLeast: 3.5 },
      { of: bySearch, against: 'a port by getBigUint64', atLeast: 1.8 },
      { of: byHash, against: 'Map', atLeast: size === 1e5 ? 2 : 2.5 },
      { of: bySearch, against: 'Map' },
    ],
  })
}

/** What it takes to have a map of a million labels in memory, from its bytes. @param {import('../harness.mjs').Bench} bench */
async function opening(bench) {
  const size = 1e6
  const labels = someLabels(size)
  const file = fileOf(labels, () => NOTHING, { crc: false })
  const result = (/** @type {number} */ count) => ({ count, total: count, last: '' })
  const ours = 'new MapBuffer(bytes)'
  await bench.race({
    name: 'open, 1e+6 labels',
    unit: 'label',
    count: size,
    turnMs: 1,
    rounds: 7,
    contestants: {
      [ours]: () => result(new MapBuffer(file).size),
      "lookup: 'hash'": () => {
        const map = new MapBuffer(file, { lookup: 'hash' })
        // The first lookup builds it.
        return result(map.has(labels[0]) ? map.size : 0)
      },
      'strict: false': () => result(new MapBuffer(file, { strict: false }).size),
      'copying it': () => result(file.slice().length / 16 - 1),
      'filling a Map': () => {
        const map = new Map()
        for (let i = 0; i < size; i++) map.set(labels[i], NOTHING)
        return result(map.size)
      },
    },
    goals: [
      { of: ours, against: 'copying it' },
      { of: ours, against: 'filling a Map' },
      { of: "lookup: 'hash'", against: 'filling a Map' },
    ],
  })
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  await lookups(bench, 1e5)
  await lookups(bench, 1e6)
  await opening(bench)
}
