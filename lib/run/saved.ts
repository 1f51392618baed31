import { crc32c } from '../base/crc32c.js'
import { RunError } from './run-error.js'

/** `MRUN`, version, three zeros, start, end, chunkSize, count, crc32c; then a bit per chunk. All little-endian. */
const HEADER = 40
const MAGIC = [0x4d, 0x52, 0x55, 0x4e]
const VERSION = 1
const AT_START = 8
const AT_END = 16
const AT_SIZE = 24
const AT_COUNT = 32
const AT_CRC = 36

/** The plan that saved bytes belong to. */
export interface SavedPlan {
  readonly start: number
  readonly end: number
  readonly chunkSize: number
  readonly count: number
}

/** The bytes of `save()`: bit i of the rest, lowest first, is 1 where chunk i is done. Memory of their own. */
export function encodeSaved(plan: SavedPlan, isDone: (index: number) => boolean): Uint8Array {
  const bytes = new Uint8Array(HEADER + Math.ceil(plan.count / 8))
  const view = new DataView(bytes.buffer)
  bytes.set(MAGIC)
  bytes[4] = VERSION
  view.setFloat64(AT_START, plan.start, true)
  view.setFloat64(AT_END, plan.end, true)
  view.setFloat64(AT_SIZE, plan.chunkSize, true)
  view.setUint32(AT_COUNT, plan.count, true)
  for (let i = 0; i < plan.count; i++) {
    if (isDone(i)) bytes[HEADER + (i >>> 3)] = (bytes[HEADER + (i >>> 3)] as number) | (1 << (i & 7))
  }
  view.setUint32(AT_CRC, crc32c(bytes), true)
  return bytes
}

/** The plan of saved bytes, if they are undamaged. Throws `MILL_RUN_RESUME` with the field that is wrong. */
export function savedPlan(saved: Uint8Array): SavedPlan {
  if (saved.length < HEADER) throw damaged('length', `${saved.length} bytes are too few`)
  if (MAGIC.some((byte, i) => saved[i] !== byte)) throw damaged('magic', 'they do not begin with "MRUN"')
  if (saved[4] !== VERSION) throw damaged('version', `version ${saved[4]} is not known`)
  if (saved[5] !== 0 || saved[6] !== 0 || saved[7] !== 0) throw damaged('version', 'bytes 5 to 7 are not zero')
  const bytes = new Uint8Array(saved) // one copy that nobody changes while we look
  const view = new DataView(bytes.buffer)
  const crc = view.getUint32(AT_CRC, true)
  view.setUint32(AT_CRC, 0, true)
  if (crc32c(bytes) !== crc) throw damaged('crc', 'the checksum does not fit')
  const count = view.getUint32(AT_COUNT, true)
  if (bytes.length !== HEADER + Math.ceil(count / 8)) throw damaged('length', `${count} chunks need another length`)
  const unused = count % 8 === 0 ? 0 : (bytes[bytes.length - 1] as number) >>> (count % 8)
  if (unused !== 0) throw damaged('bits', 'there are bits behind the last chunk')
  const chunkSize = view.getFloat64(AT_SIZE, true)
  if (!(Number.isSafeInteger(chunkSize) && chunkSize > 0)) throw damaged('chunkSize', `${chunkSize} is no chunk size`)
  return {
    start: view.getFloat64(AT_START, true),
    end: view.getFloat64(AT_END, true),
    chunkSize,
    count,
  }
}

/** Saved bytes and a plan belong together, or `MILL_RUN_RESUME`. */
export function checkSaved(saved: SavedPlan, plan: SavedPlan): void {
  for (const field of ['start', 'end', 'chunkSize', 'count'] as const) {
    if (saved[field] !== plan[field]) {
      throw damaged(field, `they are of a run with ${field} ${saved[field]}, not ${plan[field]}`)
    }
  }
}

/** Calls `fn` with every chunk that was done. */
export function eachSaved(saved: Uint8Array, count: number, fn: (index: number) => void): void {
  for (let i = 0; i < count; i++) if (((saved[HEADER + (i >>> 3)] as number) >>> (i & 7)) & 1) fn(i)
}

function damaged(field: string, why: string): RunError {
  return new RunError('MILL_RUN_RESUME', `The saved bytes cannot be resumed from: ${why}`, { field })
}
