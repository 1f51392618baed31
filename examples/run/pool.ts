import { ChunkPool, job, sharedArray } from 'millrace'
import type { generation } from './pool.job.js'

// Many small runs, each of which needs the one before it. Starting threads takes tens of milliseconds; a pool starts
// them once.
const size = 256
let now = sharedArray(Uint8Array, size * size)
let next = sharedArray(Uint8Array, size * size)
const glider = [1, size + 2, 2 * size, 2 * size + 1, 2 * size + 2]
for (const cell of glider) now[cell] = 1

const live = job<typeof generation>(new URL('./pool.job.js', import.meta.url), 'generation')
const generations = 200
{
  await using pool = new ChunkPool({ workers: 4 })
  for (let i = 0; i < generations; i++) {
    await pool.run(live, { end: size, chunkSize: 32, args: { size, now, next } })
    ;[now, next] = [next, now]
  }
}

// A glider moves by one cell down and to the right in four generations.
const moved = (generations / 4) * (size + 1)
const arrived = glider.every((cell) => now[cell + moved] === 1) && now.reduce((sum, cell) => sum + cell) === 5
console.log(`${generations} generations, the glider ${arrived ? 'flew 50 cells' : 'is lost'}`)
