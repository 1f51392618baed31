// Words counted by any number of machines at once, in one map over a cluster: `node word-count.js HOST:PORT,HOST:PORT,…`
import { argv } from 'node:process'
import { lines, RemoteMap, readable, redisStore } from 'millrace'

const text = `the mill race brings the river to the mill
and the mill brings the river to the race
`
const [addresses] = argv.slice(2)

if (addresses === undefined) console.log('usage: node word-count.js HOST:PORT,HOST:PORT,…')
else {
  const nodes = addresses.split(',').map((address) => {
    const [host = '', port] = address.split(':')
    return { host, port: Number(port) }
  })
  await using store = redisStore({ nodes, prefix: 'words' })
  const words = await RemoteMap.open<string, number>(store, { key: 'string', value: 'u32' })
  for await (const line of lines(readable([text]))) {
    for (const word of line.split(' ')) {
      // Atomic among all machines: whoever else counts the same word now is not lost.
      await words.update(word, (count = 0) => count + 1)
    }
  }
  const counts: string[] = []
  for await (const batch of words.batches({ gte: 'm' })) {
    for (const [word, count] of batch) counts.push(`${word} ${count}`)
  }
  console.log(counts.join(', '))
}
