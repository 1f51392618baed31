// HTTP bodies in chunked coding: the example's parser, with all its checks, against the parser inside Node's http.
import { createRequire } from 'node:module'
import { body, repeat } from '../data.mjs'
import { bytesOf } from '../harness.mjs'
import { example, FrameParser } from '../lib.mjs'

const { chunkedBody } = await example('http-chunked/chunked-body.js')
// The very object that `http` gives each connection: driven by hand, it has no socket, stream or event to pay for.
const { HTTPParser } = createRequire(import.meta.url)('_http_common')
const RESPONSE = Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')

/** @type {any} */
let kept

/** @param {Buffer[]} pieces */
function byParser(pieces) {
  const parser = new FrameParser(chunkedBody({ maxBody: Number.MAX_SAFE_INTEGER }))
  let count = 0
  let total = 0
  for (const piece of pieces) {
    for (const chunk of parser.push(piece)) {
      kept = chunk
      total += chunk.length
      count++
    }
  }
  parser.end()
  return { count, total, last: kept }
}

/** @param {Buffer[]} pieces */
function byNative(pieces) {
  const parser = new HTTPParser()
  let count = 0
  let total = 0
  let complete = false
  parser.initialize(HTTPParser.RESPONSE, {})
  parser[HTTPParser.kOnHeadersComplete | 0] = () => 0
  // Called for what there is of a chunk: twice, when it goes over a piece's end.
  parser[HTTPParser.kOnBody | 0] = (/** @type {Buffer} */ chunk) => {
    kept = chunk
    total += chunk.length
    count++
  }
  parser[HTTPParser.kOnMessageComplete | 0] = () => {
    complete = true
  }
  parser.execute(RESPONSE)
  for (const piece of pieces) {
    const consumed = parser.execute(piece)
    if (consumed !== piece.length) throw consumed
  }
  if (!complete) throw new Error('the body did not end')
  parser.free()
  return { count, total, last: kept }
}

/** Chunks that the native parser gave in two halves count twice there. @param {import('../harness.mjs').Result} result */
const digest = ({ total, last }) => `${total} bytes, the last ${Buffer.from(bytesOf(last)).subarray(-16)}`

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const sizes = [
    { size: 64, text: '64 B', bytes: 2 ** 21 },
    { size: 1024, text: '1 KB', bytes: 2 ** 23 },
    { size: 16384, text: '16 KB', bytes: 2 ** 24 },
  ]
  for (const { size, text, bytes } of sizes) {
    const chunks = Math.ceil(bytes / (size + 8))
    const header = `${size.toString(16)}\r\n`
    const { pieces } = repeat(chunks + 1, (i) => (i < chunks ? [header, body(i, size), '\r\n'] : ['0\r\n\r\n']))
    await bench.race({
      name: `HTTP chunks of ${text}`,
      unit: 'chunk',
      count: chunks,
      digest,
      contestants: { FrameParser: () => byParser(pieces), 'native HTTP parser': () => byNative(pieces) },
      goals: [{ of: 'FrameParser', against: 'native HTTP parser', atLeast: 5 }],
    })
  }
}
