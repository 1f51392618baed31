import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { MapBuffer, MapBufferParser, readable } from 'millrace'

// A server that knows no ranges: the file comes whole, and the parser takes out what is wanted while it passes by.
const pages = Array.from({ length: 5000 }, (_, i) => [i, Buffer.from(`page ${i} `.repeat(100))] as const)
const file = MapBuffer.from(pages, { compress: 'gzip' }).toBytes()
const server = createServer((_, response) => response.end(file)).listen(0, '127.0.0.1')
await once(server, 'listening')

const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/pages.mb`)
if (!response.ok || response.body === null) throw new Error(`the server answered ${response.status}`)
const picked = readable(response.body).pipe(new MapBufferParser({ labels: [7, 4242, 99_999] }))
const found: string[] = []
for await (const [label, value] of picked) found.push(`${label} of ${value.length} bytes`)
server.close()
console.log(`out of ${picked.header?.size} pages: ${found.sort().join(', ')}`)
