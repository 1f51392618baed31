import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { ChunkedBuffer } from 'millrace'
import { chunkedBody } from './chunked-body.js'

// Node's own server writes a chunked body with a trailer; we read it from the raw socket.
const text = Array.from({ length: 1000 }, (_, i) => `line ${i} of the river\n`)
const server = createServer((_, response) => {
  response.writeHead(200, { Trailer: 'Digest' })
  for (const line of text) response.write(line)
  response.addTrailers({ Digest: createHash('sha256').update(text.join('')).digest('hex') })
  response.end()
}).listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo

const socket = connect(port, '127.0.0.1')
socket.write('GET / HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\nConnection: close\r\n\r\n')
const head = socket.pipe(new ChunkedBuffer())
while ((await head.reader.line())?.length !== 0);

let digest = ''
const onTrailer = (name: string, value: string): void => {
  if (name.toLowerCase() === 'digest') digest = value
}
const hash = createHash('sha256')
let bytes = 0
for await (const piece of head.pipe(new ChunkedBuffer({ parser: chunkedBody({ onTrailer }) }))) {
  for (const chunk of piece) hash.update(chunk)
  bytes += piece.length
}
server.close()
console.log(`${bytes} bytes, digest ${hash.digest('hex') === digest ? 'matches' : 'differs'}`)
