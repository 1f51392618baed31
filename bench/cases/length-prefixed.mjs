// Messages with a u32 before them: the example's parser against it-length-prefixed.
import { decode } from 'it-length-prefixed'
import { body, plain, repeat } from '../data.mjs'
import { ByteQueue, example, FrameParser } from '../lib.mjs'

const { lengthPrefixed } = await example('length-prefixed/length-prefixed.js')

/** @type {any} */
let kept

/** @param {Buffer[]} pieces */
function byParser(pieces) {
  const parser = new FrameParser(lengthPrefixed())
  let count = 0
  let total = 0
  for (const piece of pieces) {
    for (const message of parser.push(piece)) {
      kept = message
      total += message.length
      count++
    }
  }
  parser.end()
  return { count, total, last: kept }
}

/** @param {Buffer[]} pieces */
function byQueue(pieces) {
  const queue = new ByteQueue()
  let need = -1
  let count = 0
  let total = 0
  for (const piece of pieces) {
    queue.append(piece)
    for (;;) {
      if (need === -1) {
        const length = queue.takeUInt32BE()
        if (length === undefined) break
        need = length
      }
      if (queue.length < need) break
      kept = queue.take(need)
      total += kept.length
      count++
      need = -1
    }
  }
  return { count, total, last: kept }
}

/** Its own ready-made one reads a varint; for a u32 this is what its options are for. @param {{ getUint32(at: number): number }} list */
const u32 = (list) => list.getUint32(0)
u32.bytes = 4

/** @param {Uint8Array[]} pieces */
function byIt(pieces) {
  let count = 0
  let total = 0
  for (const message of decode(pieces, { lengthDecoder: u32 })) {
    kept = message
    total += message.length
    count++
  }
  return { count, total, last: kept }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const sizes = [
    { size: 64, text: '64 B', bytes: 2 ** 21 },
    { size: 1024, text: '1 KB', bytes: 2 ** 23 },
    { size: 16384, text: '16 KB', bytes: 2 ** 24 },
  ]
  for (const { size, text, bytes } of sizes) {
    const header = Uint8Array.of(size >>> 24, size >>> 16, size >>> 8, size)
    const { count, pieces } = repeat(Math.ceil(bytes / (size + 4)), (i) => [header, body(i, size)])
    const arrays = plain(pieces)
    await bench.race({
      name: `u32 prefix, ${text}`,
      unit: 'message',
      count,
      contestants: {
        FrameParser: () => byParser(pieces),
        ByteQueue: () => byQueue(pieces),
        'it-length-prefixed': () => byIt(arrays),
      },
      goals: ['FrameParser', 'ByteQueue'].map((of) => ({ of, against: 'it-length-prefixed', atLeast: 5 })),
    })
  }
}
