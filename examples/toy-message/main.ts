import assert from 'node:assert/strict'
import { ByteQueue, Bytes, FrameParser } from 'millrace'
import { encode, messages, takeParts } from './messages.js'

const words = ['a mill ', 'race brings', ' the river', ' to the ', 'machine']
const wire = words.map(encode).join('')

// By hand. We have it all in memory; with a socket this runs once per packet.
const queue = new ByteQueue()
queue.append(wire)
const parts = takeParts(queue, { remaining: undefined })
assert.equal(queue.length, 0)

// One Bytes that points to all the parts; not a byte of them has been copied.
const whole = ByteQueue.merge(parts)
assert.ok(whole.equals(words.join('')))

// With a parser, fed byte by byte.
const parser = new FrameParser(messages)
const frames = [...wire].flatMap((byte) => parser.push(byte))
frames.push(...parser.end())
assert.ok(Bytes.merge(frames).equals(whole))

console.log(`${frames.length} messages: ${whole}`)
