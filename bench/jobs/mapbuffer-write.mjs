// A process of its own, for its time and its memory: makes entries and gives them to a writer, or to nobody.
import { createHash } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  createWriteStream,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { body } from '../data.mjs'
import { MapBufferWriter } from '../lib.mjs'

/** @typedef {'nothing' | 'pass' | 'files' | 'random' | 'small' | 'sorted'} Mode */
/** @typedef {{ ms: number, peak: number, bytes: number, digest: string }} Outcome peak in bytes; 0 where it can't be told */

export const COUNT = 200_000
const MIB = 2 ** 20
/** Bytes of the writer's chunks. */
const CHUNK = 2 ** 18
/** What the file has besides values: header, rows, checksums. */
const BYTES_AN_ENTRY = 16 + 4

/** The value of a label: 512 to 1535 bytes. @param {number} label */
const valueFor = (label) => body(label % 61, 512 + (Math.imul(label, 0x9e3779b1) >>> 22))

/** Labels below 2^53, all different, in no order. */
const someLabels = () =>
  Float64Array.from(
    { length: COUNT },
    (_, i) => (Math.imul(i + 1, 0x85ebca6b) >>> 11) * 2 ** 32 + (Math.imul(i + 1, 0xc2b2ae35) >>> 0),
  )

/** The entries as they come, or by label. @param {boolean} sorted */
function* entries(sorted) {
  const labels = someLabels()
  if (sorted) labels.sort()
  for (const label of labels) yield [label, valueFor(label)]
}

/** All bytes of the file to be. */
function total() {
  let bytes = 16 + COUNT * BYTES_AN_ENTRY
  for (const label of someLabels()) bytes += valueFor(label).length
  return bytes
}

/** What any way over a file on disk costs: all bytes into one, out of it, and into another, 1 MiB at a time. @param {string} folder */
function files(folder) {
  const bytes = total()
  const block = Buffer.alloc(MIB, body(0, 65536))
  const spool = openSync(join(folder, 'spool'), 'w+')
  const out = openSync(join(folder, 'out'), 'w')
  for (let at = 0; at < bytes; at += MIB) writeSync(spool, block, 0, Math.min(MIB, bytes - at))
  for (let at = 0; at < bytes; at += MIB) writeSync(out, block, 0, readSync(spool, block, 0, MIB, at))
  closeSync(spool)
  closeSync(out)
  rmSync(join(folder, 'spool'))
  return bytes
}

/** @param {string} folder @param {object} options of the writer @param {boolean} sorted */
async function write(folder, options, sorted) {
  const writer = new MapBufferWriter({ ...options, dir: folder })
  await pipeline(entries(sorted), writer, createWriteStream(join(folder, 'out')))
  return writer.stats.bytes
}

/**
 * The same program without a writer: the values go, as they come, into fresh chunks of the writer's size and into the
 * file. What a reader of chunks lets go of is garbage, of which V8 lets 32 MiB and more pile up, whoever makes them.
 * @param {string} folder
 */
async function pass(folder) {
  let bytes = 0
  const chunks = function* () {
    let chunk = Buffer.allocUnsafeSlow(CHUNK)
    let filled = 0
    for (const [, value] of entries(false)) {
      for (let at = 0; at < value.length; ) {
        const count = value.copy(chunk, filled, at)
        at += count
        filled += count
        bytes += count
        if (filled < CHUNK) continue
        yield chunk
        chunk = Buffer.allocUnsafeSlow(CHUNK)
        filled = 0
      }
    }
    yield chunk.subarray(0, filled)
  }
  await pipeline(chunks(), createWriteStream(join(folder, 'out')))
  return bytes
}

/** Entries that nobody wants. */
async function nothing() {
  const ignored = new Writable({ objectMode: true, highWaterMark: 16, write: (_entry, _encoding, done) => done() })
  await pipeline(entries(false), ignored)
  return 0
}

/** @type {Record<Mode, (folder: string) => number | Promise<number>>} */
const modes = {
  nothing,
  pass,
  files,
  random: (folder) => write(folder, {}, false),
  small: (folder) => write(folder, { memory: 2 ** 24 }, false),
  sorted: (folder) => write(folder, { sorted: true, count: COUNT }, true),
}

/** The most memory this process has had, its parent's before the start not counted, as `maxRSS` would. */
function peak() {
  if (process.platform !== 'linux') return 0
  return Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]) * 1024
}

/** @param {string} path */
async function digest(path) {
  const hash = createHash('sha1')
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) hash.update(chunk)
  return hash.digest('hex')
}

const [mode, folder, digested] = process.argv.slice(2)
if (mode !== undefined) {
  const start = performance.now()
  const bytes = await modes[/** @type {Mode} */ (mode)](folder)
  const ms = performance.now() - start
  const most = peak()
  process.send?.({ ms, peak: most, bytes, digest: digested === 'digest' ? await digest(join(folder, 'out')) : '' })
}
