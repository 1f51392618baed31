import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { lines } from 'millrace'

const server = createServer((_, response) => {
  for (let year = 1900; year < 2000; year++) response.write(`${year};${(year * 7919) % 1000}\r\n`)
  response.end('2000;1000')
}).listen(0, '127.0.0.1')
await once(server, 'listening')

const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/levels.csv`)
if (!response.ok || response.body === null) throw new Error(`the server answered ${response.status}`)
let count = 0
let highest = ['', '0']
for await (const line of lines(response.body, { maxLength: 1024 })) {
  const row = line.split(';')
  if (Number(row[1]) > Number(highest[1])) highest = row
  count++
}
server.close()
console.log(`${count} lines, highest in ${highest[0]}: ${highest[1]}`)
