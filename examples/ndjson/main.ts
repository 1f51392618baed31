import { Readable } from 'node:stream'
import { createGunzip, gzipSync } from 'node:zlib'
import { NdjsonError, ndjson } from './ndjson.js'

interface Reading {
  station: string
  level: number
}

// As it would come from a file or a response: compressed, in pieces that know nothing of lines.
const readings = Array.from({ length: 1000 }, (_, i) => JSON.stringify({ station: `W${i % 7}`, level: i / 10 }))
const packed = gzipSync(readings.join('\r\n'))
let highest = Number.NEGATIVE_INFINITY
let count = 0
for await (const reading of ndjson(Readable.from([packed]).pipe(createGunzip()))) {
  highest = Math.max(highest, (reading as Reading).level)
  count++
}

let fault = 'none'
try {
  for await (const _ of ndjson('{"level":1}\n{"level":oops}\n'));
} catch (error) {
  if (error instanceof NdjsonError) fault = `line ${error.line}`
}
console.log(`${count} readings, highest ${highest}; fault in the other file: ${fault}`)
