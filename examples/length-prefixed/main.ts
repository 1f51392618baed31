import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { ChunkedBuffer, pump } from 'millrace'
import { encode, lengthPrefixed } from './length-prefixed.js'

const prefix = 'varint'
// A server that sends every message back in upper case, as one Bytes per packet.
const server = createServer({ allowHalfOpen: true }, (socket) => {
  const messages = socket.pipe(new ChunkedBuffer({ parser: lengthPrefixed({ prefix, maxLength: 4096 }) }))
  async function* answers() {
    for await (const message of messages) yield encode(message.toString().toUpperCase(), { prefix })
  }
  pump(answers(), socket).catch(() => socket.destroy())
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
const words = ['over', 'the', 'mill', 'race'.repeat(100)]
const sent = pump(
  words.map((word) => encode(word, { prefix })),
  socket,
)
const received: string[] = []
for await (const message of socket.pipe(new ChunkedBuffer({ parser: lengthPrefixed({ prefix }) }))) {
  received.push(message.toString())
}
await sent
server.close()
console.log(
  `${received.length} messages back, the last of ${received.at(-1)?.length} bytes: ${received.slice(0, 3).join(' ')}`,
)
