// A Node stream of 64 KB chunks as a web stream.
import { Readable } from 'node:stream'
import { body } from '../data.mjs'
import { toWeb } from '../lib.mjs'

const CHUNKS = 2000
const chunks = Array.from({ length: 16 }, (_, i) => Buffer.from(body(i, 65536)))

/** Always has its next chunk ready. */
function source() {
  let next = 0
  return new Readable({
    highWaterMark: 65536,
    read() {
      this.push(next < CHUNKS ? chunks[next++ % chunks.length] : null)
    },
  })
}

function* iterable() {
  for (let i = 0; i < CHUNKS; i++) yield chunks[i % chunks.length]
}

/** @param {ReadableStream<Uint8Array>} stream */
async function drain(stream) {
  const reader = stream.getReader()
  let count = 0
  let total = 0
  let last
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return { count, total, last }
    last = value
    total += value.length
    count++
  }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  await bench.race({
    name: 'web stream of 64 KB chunks',
    unit: 'chunk',
    count: CHUNKS,
    contestants: {
      'toWeb(Readable)': () => drain(toWeb(source())),
      'toWeb(iterable)': () => drain(toWeb(iterable())),
      'Readable.toWeb(Readable)': () => drain(/** @type {any} */ (Readable.toWeb(source()))),
    },
    goals: [{ of: 'toWeb(Readable)', against: 'Readable.toWeb(Readable)', atLeast: 3 }],
  })
}
