import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { ChunkedBuffer, pump } from 'millrace'

/** One line with a name, then the file up to the end of the connection. The line is read, the rest is piped. */
async function receive(socket: Socket): Promise<string> {
  const buffer = socket.pipe(new ChunkedBuffer())
  const command = await buffer.reader.until(' ', { max: 16 })
  if (!command.equals('STORE')) throw new Error(`unknown command: ${command}`)
  const name = await buffer.reader.until('\r\n', { max: 255 })
  const hash = createHash('sha256')
  let bytes = 0
  await pump(buffer, (chunk: Uint8Array) => {
    hash.update(chunk)
    bytes += chunk.length
  })
  return `stored ${name}, ${bytes} bytes, sha256 ${hash.digest('hex').slice(0, 16)}`
}

const server = createServer({ allowHalfOpen: true }, (socket) => {
  receive(socket).then(
    (answer) => socket.end(answer),
    (error: Error) => socket.end(`error: ${error.message}`),
  )
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
const body = Buffer.alloc(3_000_000, 'water')
await pump(['STORE water.txt\r\n', body], socket)
const answer = await socket.pipe(new ChunkedBuffer()).reader.rest()
server.close()
console.log(String(answer))
