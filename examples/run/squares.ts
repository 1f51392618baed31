import { job, runChunked, sharedArray, statusLine } from 'millrace'
import type { fill } from './squares.job.js'

// Threads write into memory they share: nothing is copied, and no message is sent per chunk.
const end = 2e7
const out = sharedArray(Float64Array, end)
const squares = job<typeof fill>(new URL('./squares.job.js', import.meta.url), 'fill')
const run = runChunked(squares, { end, chunkSize: 1e5, args: { out } })
run.pipe(statusLine({ label: 'squares' }))
const { items, done } = await run

console.log(`${items} squares in ${done} chunks, the last is ${out[end - 1]}`)
