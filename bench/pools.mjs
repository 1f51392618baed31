// Who else hands work to threads, warm and with the same number of them.
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { Tinypool } from 'tinypool'
import workerpool from 'workerpool'

export const THREADS = 4

/** @param {string} file */
const job = (file) => fileURLToPath(new URL(`jobs/${file}`, import.meta.url))

/** @typedef {{ run(name: string, task?: unknown): PromiseLike<unknown>, close(): PromiseLike<unknown> }} Pool */

/** @returns {Record<'piscina' | 'tinypool' | 'workerpool', Pool>} */
export function pools() {
  const threads = { minThreads: THREADS, maxThreads: THREADS }
  const piscina = new Piscina({ filename: job('tasks.mjs'), ...threads })
  const tinypool = new Tinypool({ filename: job('tasks.mjs'), ...threads })
  const third = workerpool.pool(job('workerpool.mjs'), {
    workerType: 'thread',
    minWorkers: THREADS,
    maxWorkers: THREADS,
  })
  return {
    piscina: { run: (name, task) => piscina.run(task, { name }), close: () => piscina.destroy() },
    tinypool: { run: (name, task) => tinypool.run(task, { name }), close: () => tinypool.destroy() },
    workerpool: { run: (name, task) => third.exec(name, [task]), close: () => third.terminate() },
  }
}

/** Threads that are sent one number a chunk and send one message back: the least that a library of tasks must do. */
export class Raw {
  /** @type {Worker[]} */
  #workers

  /** @param {'nothing' | 'squares' | 'steal' | 'value'} name @param {object} [data] `{ out, size }` for squares, and `next` to steal */
  constructor(name, data) {
    const workerData = { job: name, ...data }
    this.#workers = Array.from({ length: THREADS }, () => new Worker(job('raw.mjs'), { workerData }))
  }

  /** All chunks below `count`, two in flight a thread. @param {number} count @returns {Promise<void>} */
  async run(count) {
    let next = 0
    let left = count
    await new Promise((resolve) => {
      for (const worker of this.#workers) {
        worker.removeAllListeners('message')
        worker.on('message', () => {
          if (next < count) worker.postMessage(next++)
          if (--left === 0) resolve(undefined)
        })
        for (let i = 0; i < 2 && next < count; i++) worker.postMessage(next++)
      }
    })
  }

  /**
   * The values of all chunks in order; never more than `window` are out or wait. Each goes to the thread that has least to do.
   * @param {number} count @param {number} window @param {(value: Uint8Array) => void} take @returns {Promise<void>}
   */
  async values(count, window, take) {
    /** @type {(Uint8Array | undefined)[]} */
    const waiting = new Array(window).fill(undefined)
    const out = new Map(this.#workers.map((worker) => [worker, 0]))
    let head = 0
    let next = 0
    const handOut = () => {
      while (next < count && next < head + window) {
        let [least] = this.#workers
        for (const worker of this.#workers)
          if (/** @type {number} */ (out.get(worker)) < /** @type {number} */ (out.get(least))) least = worker
        out.set(least, /** @type {number} */ (out.get(least)) + 1)
        least.postMessage(next++)
      }
    }
    await new Promise((resolve) => {
      for (const worker of this.#workers) {
        worker.removeAllListeners('message')
        worker.on('message', ({ index, value }) => {
          out.set(worker, /** @type {number} */ (out.get(worker)) - 1)
          waiting[index % window] = value
          for (let first = waiting[head % window]; first !== undefined; first = waiting[head % window]) {
            waiting[head % window] = undefined
            take(first)
            head++
          }
          if (head === count) resolve(undefined)
          handOut()
        })
      }
      handOut()
    })
  }

  async close() {
    await Promise.all(this.#workers.map((worker) => Promise.all([once(worker, 'exit'), worker.terminate()])))
  }
}
