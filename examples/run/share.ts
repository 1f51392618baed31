import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { runChunked, shareOf } from 'millrace'

// Several machines and no queue: each works on a share of the range that follows from its number alone, as the
// processes of an indexed job in a cluster do. Here the machines are processes.
const end = 1_000_000
const machines = 3
const number = process.env.JOB_COMPLETION_INDEX

if (number === undefined) {
  const results = await Promise.all(
    Array.from({ length: machines }, async (_, index) => {
      const child = fork(fileURLToPath(import.meta.url), { env: { ...process.env, JOB_COMPLETION_INDEX: `${index}` } })
      const [result] = (await once(child, 'message')) as [{ items: number; sum: number }]
      return result
    }),
  )
  const items = results.map((result) => result.items)
  const sum = results.reduce((total, result) => total + result.sum, 0)
  console.log(`shares of ${items.join(', ')} add up to ${sum}`)
} else {
  const sums: number[] = []
  const { items } = await runChunked(
    ({ index, start, end }) => {
      let sum = 0
      for (let i = start; i < end; i++) sum += i
      sums[index] = sum
    },
    { ...shareOf(Number(number), machines, { end }), chunkSize: 10_000 },
  )
  process.send?.({ items, sum: sums.reduce((total, sum) => total + sum) })
}
