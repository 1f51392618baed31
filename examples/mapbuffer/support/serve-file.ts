import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'

/** A server on a loopback port. */
export interface Served extends AsyncDisposable {
  /** Where it listens, without a slash at the end. */
  readonly origin: string
}

/** Serves on `port` of the loopback interface; 0 is any that is free. */
export async function serve(listener: RequestListener, port = 0): Promise<Served> {
  const server = createServer(listener).listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Answers with a file, or the part of it that `Range` asks for, as any web server for static files does. */
export function fileListener(path: string, type = 'application/octet-stream'): RequestListener {
  return async (request, response) => {
    try {
      const { size, mtimeMs } = await stat(path)
      // A strong ETag lets a reader ask for parts of this very version.
      response.setHeader('etag', `"${size}-${mtimeMs}"`).setHeader('content-type', type)
      const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? []
      const start = Number(first ?? 0)
      const end = Math.min(last ? Number(last) : size, size - 1) // the last byte, not the one behind it
      if (first === undefined) response.writeHead(200, { 'content-length': size })
      else if (start > end) return void response.writeHead(416, { 'content-range': `bytes */${size}` }).end()
      else {
        const range = `bytes ${start}-${end}/${size}`
        response.writeHead(206, { 'content-length': end - start + 1, 'content-range': range })
      }
      await pipeline(createReadStream(path, { start, end }), response)
    } catch {
      // The file is gone, or the client.
      response.destroy()
    }
  }
}
