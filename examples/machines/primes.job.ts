import type { Chunk } from 'millrace/run'

/** How many primes the range of the chunk holds. */
export function primes({ start, end }: Chunk): number {
  let count = 0
  for (let n = Math.max(2, start); n < end; n++) {
    let divisor = 2
    while (divisor * divisor <= n && n % divisor !== 0) divisor++
    if (divisor * divisor > n) count++
  }
  return count
}
