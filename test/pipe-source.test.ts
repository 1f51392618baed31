import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { createServer } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import test from 'ava'
import { ChunkedBuffer } from '../lib/streams/index.js'
import { settle } from './fixtures/stream-kit.js'

const letters = () =>
  new ChunkedBuffer<string>({
    parser: function* (input) {
      while (yield* input.more()) input.emit(String(yield* input.take(1)))
    },
  })

test('G5: a file that is piped in is closed when the loop over the buffer is left, or the buffer fails', async (t) => {
  const file = createReadStream(process.execPath)
  for await (const _ of file.pipe(letters())) break
  if (!file.closed) await once(file, 'close')
  t.true(file.destroyed)

  const other = createReadStream(process.execPath)
  const buffer = other.pipe(
    new ChunkedBuffer({
      parser: function* (input) {
        yield* input.expect('no such beginning')
      },
    }),
  )
  await t.throwsAsync(
    async () => {
      for await (const _ of buffer);
    },
    { code: 'MILL_UNEXPECTED_BYTES' },
  )
  if (!other.closed) await once(other, 'close')
  t.true(other.destroyed)
})

test('a socket and an HTTP request that are piped in can still be answered when the loop is left', async (t) => {
  const sockets = net.createServer(async (socket) => {
    for await (const letter of socket.pipe(letters())) if (letter === 'q') break
    socket.end('bye')
  })
  sockets.listen(0, '127.0.0.1')
  await once(sockets, 'listening')
  const client = net.connect((sockets.address() as AddressInfo).port, '127.0.0.1')
  client.write('abq')
  const [answer] = (await once(client, 'data')) as [Buffer]
  t.is(answer.toString(), 'bye')
  client.destroy()
  sockets.close()

  const server = createServer(async (request, response) => {
    for await (const letter of request.pipe(letters())) if (letter === 'q') break
    response.end('bye')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const reply = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, {
    method: 'POST',
    body: 'abq',
  })
  t.is(await reply.text(), 'bye')
  server.closeAllConnections()
  server.close()
  await settle()
})
