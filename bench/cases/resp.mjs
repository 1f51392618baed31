// Redis replies: the example's two parsers against redis-parser and the decoder inside node-redis.
import { createRequire } from 'node:module'
import RedisParser from 'redis-parser'
import { body, repeat } from '../data.mjs'
import { Bytes, example, FrameParser } from '../lib.mjs'

const { RespReader } = await example('resp/reader.js')
const { replies } = await example('resp/parser.js')
// node-redis does not name its decoder among its exports, but does not close the door either.
const { Decoder, RESP_TYPES } = createRequire(import.meta.url)('@redis/client/dist/lib/RESP/decoder.js')
const BUFFERS = { [RESP_TYPES.BLOB_STRING]: Buffer }

/** @type {any} */
let kept
let count = 0
let total = 0

/** Counts a reply. What it holds is only looked at in {@link digest}. @param {any} reply */
function keep(reply) {
  kept = reply
  total += Array.isArray(reply) ? reply.length : 1
  count++
}

/** @template T @param {() => T} feed */
function counted(feed) {
  count = 0
  total = 0
  feed()
  return { count, total, last: kept }
}

/** @param {Buffer[]} pieces */
function byReader(pieces) {
  return counted(() => {
    const reader = new RespReader()
    for (const piece of pieces) for (const reply of reader.push(piece)) keep(reply)
    reader.end()
  })
}

/** @param {Buffer[]} pieces */
function byParser(pieces) {
  return counted(() => {
    const parser = new FrameParser(replies)
    for (const piece of pieces) for (const reply of parser.push(piece)) keep(reply)
    parser.end()
  })
}

/** @param {unknown} error */
function fail(error) {
  throw error
}

/** @param {Buffer[]} pieces */
function byRedisParser(pieces) {
  return counted(() => {
    const parser = new RedisParser({ returnReply: keep, returnError: fail, returnBuffers: true })
    for (const piece of pieces) parser.execute(piece)
  })
}

/** @param {Buffer[]} pieces */
function byNodeRedis(pieces) {
  return counted(() => {
    const decoder = new Decoder({ onReply: keep, onErrorReply: fail, onPush: keep, getTypeMapping: () => BUFFERS })
    for (const piece of pieces) decoder.write(piece)
  })
}

/** Any reply as text: redis-parser gives simple strings as Buffers too. @param {any} reply @returns {string} */
const text = (reply) =>
  Array.isArray(reply)
    ? `[${reply.map(text)}]`
    : reply instanceof Bytes || reply instanceof Uint8Array
      ? reply.toString()
      : String(reply)

/** @param {import('../harness.mjs').Result} result */
const digest = (result) => `${result.count} replies of ${result.total}, the last ${text(result.last)}`

/** @param {number} i @param {number} size */
const bulk = (i, size) => [`$${size}\r\n`, body(i, size), '\r\n']
/** @param {number} i */
const mget = (i) => ['*10\r\n', ...Array.from({ length: 10 }, (_, item) => bulk(i + item, 32)).flat()]

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const inputs = {
    'bulk strings of 64 B': repeat(40_000, (i) => bulk(i, 64)),
    'GET, SET, INCR and MGET in turn': repeat(24_000, (i) =>
      [() => bulk(i, 100), () => ['+OK\r\n'], () => [`:${i}\r\n`], () => mget(i)][i % 4](),
    ),
  }
  for (const [what, { count: replies, pieces }] of Object.entries(inputs)) {
    await bench.race({
      name: `RESP, ${what}`,
      unit: 'reply',
      count: replies,
      digest,
      contestants: {
        'hand loop': () => byReader(pieces),
        FrameParser: () => byParser(pieces),
        'redis-parser': () => byRedisParser(pieces),
        'node-redis': () => byNodeRedis(pieces),
      },
      goals: [{ of: 'hand loop', against: 'redis-parser', atLeast: 1.3 }],
    })
  }
}
