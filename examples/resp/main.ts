import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { RespClient } from './client.js'
import { createRespServer } from './server.js'
import { RespMap } from './values.js'

// `node dist/examples/resp/main.js 6379` talks to a Redis of yours instead.
const own = process.argv[2] === undefined ? createRespServer().listen(0, '127.0.0.1') : undefined
if (own !== undefined) await once(own, 'listening')
const client = new RespClient(own === undefined ? Number(process.argv[2]) : (own.address() as AddressInfo).port)

const hello = await client.send('HELLO', 3)
if (!(hello instanceof RespMap)) throw new Error('HELLO 3 was not answered with a map')
console.log(`${hello.get('server')} speaks RESP${hello.get('proto')}`)

await client.send('SET', 'millrace:river', 'Wupper')
console.log(`the river is the ${await client.send('GET', 'millrace:river')}`)

// Ten thousand commands before the first reply: one after the other over one connection.
await client.send('DEL', 'millrace:turns')
const started = performance.now()
const turns = await Promise.all(Array.from({ length: 10_000 }, () => client.send('INCR', 'millrace:turns')))
console.log(`${turns.length} commands in ${(performance.now() - started).toFixed(0)} ms`)

const removed = await client.send('DEL', 'millrace:river', 'millrace:turns')
await client.close()
own?.close()
console.log(`counted to ${turns.at(-1)}, removed ${removed} keys`)
