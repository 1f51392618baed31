/** The server of stream-sockets.ts as one might write it: everything is written at once, whoever reads it. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'

const PIECE = 65_536
const EACH = 24 * 2 ** 20
const CLIENTS = 8

let peak = 0
let settled = 0
const server = createServer((socket) => {
  socket.on('error', () => {})
  socket.on('close', () => settled++)
  for (let sent = 0; sent < EACH; sent += PIECE) socket.write(Buffer.alloc(PIECE))
  socket.end()
  peak = Math.max(peak, process.memoryUsage().arrayBuffers)
})
server.listen(0, '127.0.0.1')
await once(server, 'listening')
const { port } = server.address() as AddressInfo
const sockets = Array.from({ length: CLIENTS }, () => connect(port, '127.0.0.1'))
for (const socket of sockets) {
  socket.on('error', () => {})
  socket.once('readable', () => socket.read(100)) // and never again
}
await wait(300)
for (const socket of sockets) socket.resetAndDestroy()
server.close()
await wait(100)
console.log(JSON.stringify({ fast: 0, whole: 0, connections: CLIENTS, settled, handles: 0, peak }))
