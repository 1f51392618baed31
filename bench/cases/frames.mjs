// A parser (a generator) instead of a loop: frames in arrays, and as a stream.
import { BufferList } from 'bl'
import { messages, source } from '../data.mjs'
import { ChunkedBuffer, example, FrameParser } from '../lib.mjs'

const { messages: toy } = await example('toy-message/messages.js')

/** What one writes over bl: give it a piece, get the frames that are complete. */
class BlParser {
  list = new BufferList()
  need = -1

  /** @param {Buffer} piece */
  push(piece) {
    const { list } = this
    const frames = []
    list.append(piece)
    for (;;) {
      if (this.need === -1) {
        const end = list.indexOf('\r\n')
        if (end === -1) break
        this.need = Number(list.toString('latin1', 0, end))
        list.consume(end + 2)
      }
      if (list.length < this.need + 2) break
      frames.push(list.slice(0, this.need))
      list.consume(this.need + 2)
      this.need = -1
    }
    return frames
  }
}

/** @param {{ push(piece: Buffer): any[] }} parser @param {Buffer[]} pieces */
function byPush(parser, pieces) {
  let count = 0
  let total = 0
  let last
  for (const piece of pieces) {
    const frames = parser.push(piece)
    for (const frame of frames) total += frame.length
    count += frames.length
    last = frames.at(-1) ?? last
  }
  return { count, total, last }
}

/** @param {Buffer[]} pieces */
async function byBatches(pieces) {
  let count = 0
  let total = 0
  let last
  for await (const frames of source(pieces)
    .pipe(new ChunkedBuffer({ parser: toy }))
    .batches()) {
    for (const frame of frames) total += frame.length
    count += frames.length
    last = frames.at(-1)
  }
  return { count, total, last }
}

/** @param {Buffer[]} pieces */
async function byLoop(pieces) {
  let count = 0
  let total = 0
  let last
  for await (const frame of source(pieces).pipe(new ChunkedBuffer({ parser: toy }))) {
    total += frame.length
    count++
    last = frame
  }
  return { count, total, last }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const small = messages(16, 2 ** 21)
  await bench.race({
    name: 'frames of 16 B in arrays',
    unit: 'message',
    count: small.count,
    contestants: {
      FrameParser: () => byPush(new FrameParser(toy), small.pieces),
      bl: () => byPush(new BlParser(), small.pieces),
    },
    goals: [{ of: 'FrameParser', against: 'bl', atLeast: 5 }],
  })
  const middle = messages(256, 2 ** 22)
  const against = 'FrameParser'
  await bench.race({
    name: 'ChunkedBuffer, frames of 256 B',
    unit: 'message',
    count: middle.count,
    contestants: {
      FrameParser: () => byPush(new FrameParser(toy), middle.pieces),
      'batches()': () => byBatches(middle.pieces),
      'for await': () => byLoop(middle.pieces),
    },
    goals: [
      { of: 'batches()', against, atMost: 2.5 },
      { of: 'for await', against, atMost: 6 },
    ],
  })
}
