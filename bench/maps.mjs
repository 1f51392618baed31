// Labels, values and files of maps: what the cases mapbuffer-… read, and nobody makes on the clock.
import { body } from './data.mjs'
import { MapBuffer } from './lib.mjs'

/** Whole numbers below 2^32 that do not repeat soon. @param {number} seed @returns {() => number} */
function noise(seed) {
  let state = seed
  return () => {
    state = (state + 0x9e3779b9) | 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }
}

/** Labels below 2^53, all different, in no order. @param {number} count @param {number} [seed] @returns {number[]} */
export function someLabels(count, seed = 1) {
  const next = noise(seed)
  const labels = new Set()
  while (labels.size < count) labels.add((next() >>> 11) * 2 ** 32 + next())
  return [...labels]
}

/**
 * Questions in no order, nine in ten of which are answered by one of the labels.
 * @param {number[]} labels @param {number} count @returns {number[]}
 */
export function questions(labels, count) {
  const next = noise(labels.length)
  return Array.from({ length: count }, () =>
    next() % 10 === 0 ? (next() >>> 11) * 2 ** 32 + next() : labels[next() % labels.length],
  )
}

/** Some of these, spread over all of them, in no order. @param {number[]} labels @param {number} count @param {number} seed */
export function sample(labels, count, seed) {
  const next = noise(seed)
  const picked = new Set()
  while (picked.size < count) picked.add(labels[next() % labels.length])
  return [...picked]
}

/** The value that belongs to a label: at least `least` bytes, fewer than `least + spread`. @param {number} label */
export const valueFor = (label, least = 1, spread = 1) => body(label % 61, least + ((label >>> 6) % spread))

/**
 * @param {number[]} labels @param {(label: number) => Uint8Array} value @param {{ crc?: boolean }} [options]
 * @returns {Uint8Array} the file
 */
export function fileOf(labels, value, options) {
  return MapBuffer.from(
    labels.map((label) => [label, value(label)]),
    options,
  ).toBytes()
}
