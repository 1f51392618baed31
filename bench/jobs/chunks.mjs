// For millrace: functions of a chunk.
import * as work from './work.mjs'

/** @typedef {import('../../types/run.ts').Chunk} Chunk */

export function nothing() {}

/** @param {Chunk} chunk @param {{ out: Float64Array }} args */
export function squares({ start, end }, { out }) {
  work.squares(out, start, end)
}

/** @param {Chunk} chunk @param {{ out: Uint32Array }} args */
export function scramble({ start, end }, { out }) {
  work.scramble(out, start, end)
}

/** @param {Chunk} chunk */
export function value(chunk) {
  return chunk.transfer(work.value(chunk.index))
}

/** Keeps its thread busy for 0.1 ms. */
export function tenthOfAMs() {
  const until = performance.now() + 0.1
  while (performance.now() < until);
}

/** Never comes back and never looks whether it should. */
export function endless() {
  for (;;);
}
