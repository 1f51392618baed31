// The work itself: everybody runs these very functions, whoever hands out the ranges.

/** Bound by memory: 8 bytes an element. @param {Float64Array} out @param {number} start @param {number} end */
export function squares(out, start, end) {
  for (let i = start; i < end; i++) out[i] = (i + 1) ** 2
}

/** Bound by computing: 16 rounds of xorshift32 an element. @param {Uint32Array} out @param {number} start @param {number} end */
export function scramble(out, start, end) {
  for (let i = start; i < end; i++) {
    let x = i + 1
    for (let round = 0; round < 16; round++) {
      x ^= x << 13
      x ^= x >>> 17
      x ^= x << 5
    }
    out[i] = x
  }
}

export const VALUE_BYTES = 2 ** 20

/** A value worth moving instead of copying; its first and last byte tell which one it is. @param {number} index */
export function value(index) {
  return new Uint8Array(VALUE_BYTES).fill(index)
}
