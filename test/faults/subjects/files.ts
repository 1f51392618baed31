import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { atomicWrite, MapBuffer, writeMapBuffer } from '../../../lib/mapbuffer/index.js'
import { faultOf, inLanes, type Ledger, numberOf, record, type Subject } from './record.js'

const SLOTS = 8
const LANES = 2
const ENTRIES = 30
/** Bytes of the plain ones: some go out in one write, some in many. */
const sizeOf = (n: number): number => [100, 70_000, 600_000, 5000, 1_500_000][n % 5] as number
const isMap = (slot: number): boolean => slot % LANES === 1
const nameOf = (writer: string, slot: number): string => `${writer}-${slot}.${isMap(slot) ? 'mb' : 'bin'}`
const TEMPORARY = /^\.[^/]+\.[\da-f]{8}\.\d+\.[\da-f]{12}\.tmp$/

/** Files by `atomicWrite` and `writeMapBuffer`. `unsynced`: without waiting for the disk; `plain`: by `writeFile`. */
export const files: Subject = {
  slots: SLOTS,

  async write(job, tell) {
    const { folder, writer, careless } = job
    tell('open')
    await inLanes(job, LANES, tell, (n) => {
      const slot = n % SLOTS
      const path = join(folder, nameOf(writer, slot))
      if (careless === 'plain') return writeFile(path, isMap(slot) ? mapOf(writer, n) : record(writer, n, sizeOf(n)))
      if (careless === 'unsynced') {
        const bytes = isMap(slot) ? mapOf(writer, n) : record(writer, n, sizeOf(n))
        return atomicWrite(path, bytes, { sync: false })
      }
      return isMap(slot)
        ? writeMapBuffer(path, entriesOf(writer, n))
        : atomicWrite(path, piecesOf(record(writer, n, sizeOf(n))))
    })
  },

  async examine({ folder, ledgers, mayLose }) {
    const faults: string[] = []
    const known = new Set<string>()
    for (const ledger of ledgers) {
      for (let slot = 0; slot < SLOTS; slot++) {
        const name = nameOf(ledger.writer, slot)
        known.add(name)
        const fault = examineOne(join(folder, name), ledger, slot)
        // A file that was refused may yet be there: if what failed was to make its name last, its name is there.
        if (fault === undefined || fault.startsWith('refused') || (mayLose === true && fault.startsWith('lost')))
          continue
        faults.push(fault)
      }
    }
    // The next one who writes there tidies up what the dead left, and there is nothing else.
    await atomicWrite(join(folder, 'next'), new Uint8Array(1))
    for (const name of readdirSync(folder)) {
      if (name === 'next' || name === 'lost+found' || known.has(name)) continue
      if (!TEMPORARY.test(name) || !isAlive(Number(name.split('.').at(-3)))) faults.push(`left over: ${name}`)
    }
    return faults
  },
}

function examineOne(path: string, ledger: Ledger, slot: number): string | undefined {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(path)
  } catch {
    return faultOf(ledger, slot, undefined)
  }
  const n = isMap(slot) ? numberOfMap(ledger.writer, bytes) : numberOf(ledger.writer, bytes)
  return n === undefined ? `torn: ${path}, ${bytes.length} bytes` : faultOf(ledger, slot, n)
}

function* entriesOf(writer: string, n: number): Generator<[number, Uint8Array]> {
  for (let i = 0; i < ENTRIES + (n % 3); i++) yield [i, record(writer, n, 200 + 100 * (i % 7))]
}

const mapOf = (writer: string, n: number): Uint8Array => MapBuffer.from(entriesOf(writer, n)).toBytes()

/** The number that all records of a map have. */
function numberOfMap(writer: string, bytes: Uint8Array): number | undefined {
  try {
    const map = new MapBuffer(bytes)
    const numbers = new Set([...map.values()].map((value) => numberOf(writer, value)))
    const [n] = numbers
    return n !== undefined && numbers.size === 1 && map.size === ENTRIES + (n % 3) ? n : undefined
  } catch {
    return undefined // whatever is wrong with it: it is torn
  }
}

function* piecesOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
