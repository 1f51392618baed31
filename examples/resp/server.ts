import { createServer, type Server, type Socket } from 'node:net'
import { Bytes, ChunkedBuffer, pump } from 'millrace'
import { encode } from './encode.js'
import { respParser } from './parser.js'
import { NIL, RespError, RespMap, type RespValue } from './values.js'

/** A stranger's request: one MiB, and no arrays within arrays. */
const requests = respParser({ maxBytes: 2 ** 20, maxDepth: 1 })

/** What is stored, by key. A key is bytes; as Latin-1 every key is another string. */
export type Data = Map<string, Bytes>

/** A Redis server of seven commands: PING, ECHO, GET, SET, DEL, INCR, HELLO. Not listening yet. */
export function createRespServer(data: Data = new Map()): Server {
  // Half open: who has sent all its requests and ended still gets the replies.
  return createServer({ allowHalfOpen: true }, (socket) => {
    // A peer that resets its connection fails the pump, and hears nothing of it; nor should the server.
    pump(replies(socket, data), socket).catch(() => socket.destroy())
  })
}

/** The replies to what comes from a socket: one `Bytes` for all the requests that arrived together. */
async function* replies(socket: Socket, data: Data): AsyncGenerator<Bytes, void, void> {
  let version: 2 | 3 = 2
  try {
    for await (const batch of socket.pipe(new ChunkedBuffer({ parser: requests })).batches()) {
      const answers: Bytes[] = []
      for (const request of batch) {
        const [name = '', ...words] = Array.isArray(request) ? request.map(text) : []
        if (name.toUpperCase() === 'HELLO' && (words[0] === '2' || words[0] === '3')) version = words[0] === '3' ? 3 : 2
        answers.push(encode(execute(name, words, data, version), version))
      }
      yield Bytes.merge(answers)
    }
  } catch (error) {
    if (!socket.destroyed) yield encode(new RespError(`ERR Protocol error: ${(error as Error).message}`), version)
  }
}

function execute(name: string, words: string[], data: Data, version: number): RespValue {
  const [key = '', value = ''] = words
  const command = name.toUpperCase()
  const wanted = { PING: 0, HELLO: 0, ECHO: 1, GET: 1, INCR: 1, SET: 2, DEL: 1 }[command]
  if (wanted === undefined) return new RespError(`ERR unknown command '${name.slice(0, 32)}'`)
  if (words.length < wanted)
    return new RespError(`ERR wrong number of arguments for '${command.toLowerCase()}' command`)
  switch (command) {
    case 'PING':
      return words.length === 0 ? 'PONG' : stored(key)
    case 'ECHO':
      return stored(key)
    case 'GET':
      return data.get(key) ?? NIL
    case 'SET':
      data.set(key, stored(value))
      return 'OK'
    case 'DEL':
      return words.filter((word) => data.delete(word)).length
    case 'INCR': {
      const next = Number(data.get(key) ?? 0) + 1
      if (!Number.isSafeInteger(next)) return new RespError('ERR value is not an integer or out of range')
      data.set(key, stored(String(next)))
      return next
    }
    default: {
      if (words.length > 0 && key !== '2' && key !== '3') return new RespError('NOPROTO unsupported protocol version')
      const facts: [string, RespValue][] = [
        ['server', stored('millrace')],
        ['proto', version],
        ['modules', []],
      ]
      return new RespMap(facts.map(([name, fact]) => [stored(name), fact]))
    }
  }
}

const text = (value: RespValue): string => (value instanceof Bytes ? value.toString('latin1') : String(value))
/** The bytes behind the Latin-1 text, in memory of their own: a view would keep the whole packet. */
const stored = (latin1: string): Bytes => Bytes.from(Uint8Array.from(latin1, (c) => c.charCodeAt(0)))
