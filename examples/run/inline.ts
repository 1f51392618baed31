import { inline, runChunked, sharedArray } from 'millrace'

// One file, no module of its own for the job. The function goes to the threads as text: it sees its arguments and
// nothing around it.
const countPrimes = inline(({ index, start, end }, { counts }: { counts: Uint32Array }) => {
  let count = 0
  for (let n = Math.max(2, start); n < end; n++) {
    let divisor = 2
    while (divisor * divisor <= n && n % divisor !== 0) divisor++
    if (divisor * divisor > n) count++
  }
  // A place of its own, set and not added to: a chunk may run twice, after a crash or a retry.
  counts[index] = count
})

const end = 1_000_000
const chunkSize = 10_000
const counts = sharedArray(Uint32Array, end / chunkSize)
await runChunked(countPrimes, { end, chunkSize, args: { counts } })
const primes = counts.reduce((sum, count) => sum + count)
console.log(`${primes} primes below ${end}`)
