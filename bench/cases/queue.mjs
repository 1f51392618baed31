// Messages out of a ByteQueue with a loop by hand, against the least that JavaScript can do and against other lists.
import { BufferList } from 'bl'
import { Uint8ArrayList } from 'uint8arraylist'
import { messages, plain } from '../data.mjs'
import { ByteQueue } from '../lib.mjs'

const CRLF = Uint8Array.of(13, 10)
const View = Buffer[Symbol.species]

/** Each message becomes an object and is kept here, so that no compiler can leave it out. @type {any} */
let kept

/** @param {Buffer[]} pieces */
export function byQueue(pieces) {
  const queue = new ByteQueue()
  let need = -1
  let count = 0
  let total = 0
  for (let i = 0; i < pieces.length; i++) {
    queue.append(pieces[i])
    for (;;) {
      if (need === -1) {
        const length = queue.takeInteger('\r\n')
        if (length === undefined) break
        need = length
      }
      if (queue.length < need + 2) break
      kept = queue.take(need)
      queue.skip(2)
      total += kept.length
      count++
      need = -1
    }
  }
  return { count, total, last: kept }
}

/** One contiguous Buffer, digits by hand, one view per message. @param {Buffer} whole */
function byLimit(whole) {
  const { buffer, byteOffset, length } = whole
  let count = 0
  let total = 0
  for (let at = 0; at < length; ) {
    let size = 0
    for (let byte = whole[at++]; byte !== 13; byte = whole[at++]) size = size * 10 + byte - 48
    kept = new View(buffer, byteOffset + at + 1, size)
    at += size + 3
    total += size
    count++
  }
  return { count, total, last: kept }
}

/** The same three steps. @param {Buffer[]} pieces */
function byBl(pieces) {
  const list = new BufferList()
  let need = -1
  let count = 0
  let total = 0
  for (let i = 0; i < pieces.length; i++) {
    list.append(pieces[i])
    for (;;) {
      if (need === -1) {
        const end = list.indexOf('\r\n')
        if (end === -1) break
        need = Number(list.toString('latin1', 0, end))
        list.consume(end + 2)
      }
      if (list.length < need + 2) break
      kept = list.slice(0, need)
      list.consume(need)
      list.consume(2)
      total += kept.length
      count++
      need = -1
    }
  }
  return { count, total, last: kept }
}

/** As fast as it gets with bl: no search, each digit by itself, one step per message. @param {Buffer[]} pieces */
function byBlTuned(pieces) {
  const list = new BufferList()
  let count = 0
  let total = 0
  for (let i = 0; i < pieces.length; i++) {
    list.append(pieces[i])
    for (;;) {
      let size = 0
      let end = 0
      let byte = -1
      for (; end < list.length; end++) {
        byte = list.get(end)
        if (byte === 13) break
        size = size * 10 + byte - 48
      }
      if (byte !== 13 || list.length < end + size + 4) break
      kept = list.slice(end + 2, end + 2 + size)
      list.consume(end + size + 4)
      total += kept.length
      count++
    }
  }
  return { count, total, last: kept }
}

/** @param {Uint8Array[]} pieces */
function byUint8ArrayList(pieces) {
  const list = new Uint8ArrayList()
  let count = 0
  let total = 0
  for (let i = 0; i < pieces.length; i++) {
    list.append(pieces[i])
    for (;;) {
      const end = list.indexOf(CRLF)
      if (end === -1) break
      let size = 0
      for (let at = 0; at < end; at++) size = size * 10 + list.get(at) - 48
      if (list.length < end + size + 4) break
      kept = list.sublist(end + 2, end + 2 + size)
      list.consume(end + size + 4)
      total += size
      count++
    }
  }
  return { count, total, last: kept }
}

/** @param {import('../harness.mjs').Bench} bench */
export default async function (bench) {
  const sizes = [
    { size: 16, text: '16 B', bytes: 2 ** 21, limit: 1.5, bl: 20 },
    { size: 256, text: '256 B', bytes: 2 ** 22, limit: 1.5, bl: 8 },
    { size: 4096, text: '4 KB', bytes: 2 ** 23, limit: 1.5, bl: 10 },
    { size: 65536, text: '64 KB', bytes: 2 ** 24, limit: undefined, bl: 20 },
  ]
  for (const { size, text, bytes, limit, bl } of sizes) {
    const { count, whole, pieces } = messages(size, bytes)
    const arrays = plain(pieces)
    const label = `takeInteger, take, skip, ${text}`
    await bench.race({
      name: `messages of ${text}`,
      unit: 'message',
      count,
      contestants: {
        ByteQueue: () => byQueue(pieces),
        limit: () => byLimit(whole),
        bl: () => byBl(pieces),
        'bl, tuned by hand': () => byBlTuned(pieces),
        uint8arraylist: () => byUint8ArrayList(arrays),
      },
      goals: [
        ...(limit === undefined ? [] : [{ of: 'ByteQueue', against: 'limit', atMost: limit, label }]),
        { of: 'ByteQueue', against: 'bl', atLeast: bl, label },
        { of: 'ByteQueue', against: 'bl, tuned by hand', label },
      ],
    })
  }
}
