import { createHash } from 'node:crypto'

const ROUNDS = 6
const TWO_32 = 2 ** 32

/** Bits of a whole number below 2^53. */
function bitsOf(x: number): number {
  return x < TWO_32 ? 32 - Math.clz32(x) : 64 - Math.clz32(Math.floor(x / TWO_32))
}

/** The 32-bit finaliser of MurmurHash3 (Appleby, public domain): every bit of the input reaches every bit of the result. */
function mix(x: number): number {
  let h = x
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return h ^ (h >>> 16)
}

/**
 * Orders of any length, made of a seed: a Feistel network over the next power of four, walked until it lands inside.
 * It takes no memory and no table, and gives any element at once. The orders are part of the contract: cursors, the
 * shares of workers and other versions depend on them, and tests pin them.
 */
export class Permutation {
  readonly #key: Int32Array

  /** `7` and `'7'` are the same seed. */
  constructor(seed: number | string) {
    const digest = createHash('sha256').update(String(seed)).digest()
    this.#key = Int32Array.from({ length: ROUNDS }, (_, i) => digest.readInt32LE(4 * i))
  }

  /**
   * Which of `n` items comes at place `x`, both below 2^53. Each `salt` (32 bits) gives another order.
   */
  at(n: number, salt: number, x: number): number {
    if (n <= 1) return 0
    const half = Math.max(1, (bitsOf(n - 1) + 1) >>> 1)
    const size = 2 ** half
    const mask = size - 1
    const key = this.#key
    let y = x
    do {
      let left = Math.floor(y / size)
      let right = y % size
      for (let round = 0; round < ROUNDS; round++) {
        const next = left ^ (mix((right + (key[round] as number) + salt) | 0) & mask)
        left = right
        right = next
      }
      y = left * size + right
    } while (y >= n)
    return y
  }
}
