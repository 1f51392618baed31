// A thread without any library: a message with a number comes, the work on that chunk is done, a message goes back.
import { parentPort, workerData } from 'node:worker_threads'
import * as work from './work.mjs'

/** @type {{ job: 'nothing' | 'squares' | 'steal' | 'value', out?: Float64Array, size?: number, next?: Int32Array }} */
const { job, out, size = 1, next } = workerData
if (parentPort === null) throw new Error('this runs in a thread')
const port = parentPort

/** @type {Record<typeof job, (index: number) => void>} */
const answers = {
  nothing: (index) => port.postMessage(index),
  squares: (index) => {
    const array = /** @type {Float64Array} */ (out)
    work.squares(array, index * size, Math.min((index + 1) * size, array.length))
    port.postMessage(index)
  },
  // One message for all chunks: whoever adds to the number that all share has the chunk.
  steal: (index) => {
    const array = /** @type {Float64Array} */ (out)
    for (;;) {
      const start = Atomics.add(/** @type {Int32Array} */ (next), 0, 1) * size
      if (start >= array.length) break
      work.squares(array, start, Math.min(start + size, array.length))
    }
    port.postMessage(index)
  },
  value: (index) => {
    const value = work.value(index)
    port.postMessage({ index, value }, [value.buffer])
  },
}
port.on('message', answers[job])
