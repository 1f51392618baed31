// What reading over HTTP costs, counted by a server on the loopback interface that answers after 25 ms.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { openMapBuffer } from '../lib.mjs'
import { fileOf, sample, someLabels, valueFor } from '../maps.mjs'

const ROUNDS = 7
/** Long enough that requests which are sent together are also answered together. */
const LATENCY_MS = 25

/** @typedef {{ requests: number, bytes: number, depth: number }} Cost depth: requests that had to wait for one another */

/** Serves these bytes by range. @param {Uint8Array} content */
async function serve(content) {
  const cost = { requests: 0, bytes: 0, depth: 0 }
  const server = createServer((request, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    if (first === undefined) throw new Error(`a request without a range: ${request.headers.range}`)
    const part = content.subarray(Number(first), Number(last) + 1)
    cost.requests++
    // One deeper than the deepest that was answered before this one was asked.
    const depth = answered + 1
    setTimeout(() => {
      cost.bytes += part.length
      response.on('finish', () => {
        answered = Math.max(answered, depth)
      })
      response.writeHead(206, {
        ETag: '"one"',
        'Content-Length': part.length,
        'Content-Range': `bytes ${first}-${Number(first) + part.length - 1}/${content.length}`,
      })
      response.end(part)
      cost.depth = Math.max(cost.depth, depth)
    }, LATENCY_MS)
  })
  let answered = 0
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  return {
    url: `http://127.0.0.1:${port}/map.mb`,
    /** What was asked since the last time. @returns {Cost} */
    taken() {
      const taken = { ...cost }
      Object.assign(cost, { requests: 0, bytes: 0, depth: 0 })
      answered = 0
      return taken
    },
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}

/**
 * Opens the file anew for each round and takes other labels from it; the dearest round counts.
 * @param {import('../harness.mjs').Bench} bench
 * @param {{ count: number, size: number, wanted: number, most: Partial<Cost> }} what
 */
async function far(bench, { count, size, wanted, most }) {
  const labels = someLabels(count)
  const content = fileOf(labels, (label) => valueFor(label, size))
  const server = await serve(content)
  /** @type {Cost[]} */
  const costs = []
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const asked = sample(labels, wanted, round + 1)
      const map = await openMapBuffer(server.url)
      const values = await map.getMany(asked)
      await map.close()
      asked.forEach((label, i) => {
        const expected = valueFor(label, size)
        if (values[i] === undefined || expected.compare(values[i]) !== 0) throw new Error(`a wrong value for ${label}`)
      })
      costs.push(server.taken())
    }
  } finally {
    server.close()
  }
  const name = `${wanted.toLocaleString('en')} of ${count.toLocaleString('en')} x ${size} B over HTTP`
  for (const [what, limit] of Object.entries(most)) {
    const all = costs.map((cost) => cost[/** @type {keyof Cost} */ (what)]).sort((a, b) => a - b)
    const [least, dearest] = [all[0], all[all.length - 1]]
    const unit = { requests: 'requests', bytes: 'bytes', depth: 'round trips deep' }[what] ?? ''
    bench.check(
      name,
      `<= ${limit.toLocaleString('en')} ${unit}`,
      `${least.toLocaleString('en')}–${dearest.toLocaleString('en')} in ${ROUNDS} rounds`,
      dearest <= limit,
    )
  }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  await far(bench, { count: 500_000, size: 64, wanted: 5, most: { requests: 64, bytes: 160_000, depth: 7 } })
  await far(bench, { count: 20_000, size: 500, wanted: 2000, most: { requests: 40, bytes: 13_000_000 } })
}
