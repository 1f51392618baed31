// A thread without any library: a message with a number comes, the work on that chunk is done, a message goes back.
import { parentPort, workerData } from 'node:worker_threads'
import * as work from './work.mjs'

/** @type {{ job: 'nothing' | 'squares' | 'value', out?: Float64Array, size?: number }} */
const { job, out, size = 1 } = workerData
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
  value: (index) => {
    const value = work.value(index)
    port.postMessage({ index, value }, [value.buffer])
  },
}
port.on('message', answers[job])
