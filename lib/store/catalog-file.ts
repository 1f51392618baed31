import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { sleep } from '../base/abort.js'
import { StoreError } from '../base/errors.js'
import { hostTag, sweepOnce } from '../io/temporary.js'
import { FORMAT_VERSION, MAGIC, META_FLAG, storeFault } from './look.js'
import { MAX_READERS } from './seed.js'

/** A catalog is one file of LMDB's, and its lock file beside it, which LMDB names so. */
export const LOCK_SUFFIX = '-lock'
/** Bytes of a lock file: its head, and a cache line per reader. */
const LOCK_BYTES = 208 + 64 * MAX_READERS
/** Pages of a new catalog. */
export const CATALOG_PAGE = 4096
/** The part of a meta page that is looked at; see `look.ts` and the format there. */
const META_BYTES = 160
/** The number of the transaction that wrote a meta page. */
const TRANSACTION_AT = 152
const FREE_FLAGS = 8
const NO_PAGE = 0xffff_ffff_ffff_ffffn
/** No catalog is made with less room than this, in bytes: the first shards would fail anyway. */
const LEAST_ROOM = 1_048_576
/** A file without its two pages may be in the making; it is looked at again for so long, in milliseconds. */
const PATIENCE_MS = 1000
const PAUSE_MS = 20
/** A commit between two of our reads looks like damage. */
const TRIES = 3

/** An error for a file that LMDB must not open. */
export function catalogDamaged(path: string, reason: string, cause?: unknown): StoreError {
  const fields = { path, reason, ...(cause !== undefined && { cause }) }
  return new StoreError('MILL_CATALOG_DAMAGED', `${path} is no catalog, or damaged: ${reason}`, fields)
}

/** What an error of the file system or of LMDB means for a catalog; errors of ours stay as they are, but for the code. */
export function catalogFault(path: string, error: unknown): Error {
  const fault = storeFault(path, error)
  const { code, reason = '' } = fault as StoreError
  return code === 'MILL_MAP_DAMAGED' ? catalogDamaged(path, reason, error) : fault
}

/**
 * Looks at a catalog's files before native code does, which ends the process when they are not what it expects, and makes
 * them where there are none: whole, aside, and linked to their names. Resolves to the size of its pages. Rejects with
 * `MILL_CATALOG_DAMAGED`, `MILL_DISK_FULL`, `MILL_READ_ONLY`, `MILL_STORE_IO`.
 */
export async function prepareCatalog(path: string): Promise<number> {
  const until = performance.now() + PATIENCE_MS
  for (let tried = 1; ; tried++) {
    const seen = look(path)
    if (typeof seen === 'number') {
      refuseIrregular(path + LOCK_SUFFIX)
      if (!isThere(path + LOCK_SUFFIX)) publish(path + LOCK_SUFFIX, new Uint8Array(LOCK_BYTES))
      return seen
    }
    if (seen === undefined) await seed(path)
    else if (seen.short ? performance.now() >= until : tried >= TRIES) throw catalogDamaged(path, seen.reason)
    else await sleep(PAUSE_MS)
  }
}

interface Fault {
  readonly reason: string
  /** It has less than two pages. */
  readonly short: boolean
}

/** Page size; undefined: no file. */
function look(path: string): number | Fault | undefined {
  let descriptor: number
  try {
    descriptor = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP' || code === 'ENXIO') throw catalogDamaged(path, 'it is a link or a device', error)
    throw catalogFault(path, error)
  }
  try {
    if (!fstatSync(descriptor).isFile()) throw catalogDamaged(path, 'it is no regular file')
    return readPages(descriptor)
  } catch (error) {
    throw catalogFault(path, error)
  } finally {
    closeSync(descriptor)
  }
}

function readPages(descriptor: number): number | Fault {
  const first = readMeta(descriptor, 0)
  if (first === undefined) return { reason: 'it has no first page', short: true }
  const pageSize = first.getUint32(48, true)
  const isPower = pageSize >= 4096 && pageSize <= 65_536 && (pageSize & (pageSize - 1)) === 0
  if (!isPower) return { reason: 'it is no LMDB file', short: false }
  const second = readMeta(descriptor, pageSize)
  // After the pages: what a commit adds meanwhile is then counted in.
  const { size } = fstatSync(descriptor)
  if (second === undefined || size < 2 * pageSize) return { reason: 'it has no second page', short: true }
  // LMDB takes the page of the later transaction, of two equal ones the first. The other may be what a failed write has
  // left, with the trees of the transaction that failed: it is not asked.
  const used = second.getBigUint64(TRANSACTION_AT, true) > first.getBigUint64(TRANSACTION_AT, true) ? second : first
  const reason = metaFault(first, pageSize) ?? metaFault(second, pageSize) ?? treeFault(used, pageSize, size)
  return reason === undefined ? pageSize : { reason, short: false }
}

function readMeta(descriptor: number, at: number): DataView | undefined {
  const bytes = new Uint8Array(META_BYTES)
  return readSync(descriptor, bytes, 0, META_BYTES, at) === META_BYTES ? new DataView(bytes.buffer) : undefined
}

/** What both pages must have. */
function metaFault(page: DataView, pageSize: number): string | undefined {
  if (page.getUint16(18, true) !== META_FLAG) return 'it does not begin with two meta pages'
  if (page.getUint32(24, true) !== MAGIC) return 'it is no LMDB file'
  if ((page.getUint32(28, true) & 0xffff) !== FORMAT_VERSION) return 'it has another format of LMDB'
  if (page.getUint32(48, true) !== pageSize) return 'its meta pages contradict each other'
  // Only that keys of the list of free pages are integers: other flags make LMDB read what isn't there.
  if (page.getUint16(52, true) !== FREE_FLAGS || page.getUint16(100, true) !== 0) return 'its trees are of another kind'
  return undefined
}

/** What the page in use must have besides. */
function treeFault(page: DataView, pageSize: number, size: number): string | undefined {
  const last = page.getBigUint64(144, true)
  if ((last + 1n) * BigInt(pageSize) > BigInt(size)) return 'it is cut short'
  for (const at of [88, 136]) {
    const root = page.getBigUint64(at, true)
    if (root !== NO_PAGE && root > last) return 'a tree begins behind its end'
  }
  return undefined
}

async function seed(path: string): Promise<void> {
  const folder = dirname(path)
  try {
    const { bavail, bsize } = statfsSync(folder)
    if (bavail * bsize < LEAST_ROOM) {
      const fields = { path, needed: LEAST_ROOM }
      throw new StoreError('MILL_DISK_FULL', `${path}: less than 1 MiB is free on the disk`, fields)
    }
    await sweepOnce(folder)
  } catch (error) {
    throw catalogFault(path, error)
  }
  // The lock file of a catalog that is gone knows nothing of the new one, and may be open: it stays.
  refuseIrregular(path + LOCK_SUFFIX)
  if (!isThere(path + LOCK_SUFFIX)) publish(path + LOCK_SUFFIX, new Uint8Array(LOCK_BYTES))
  publish(path, emptyData())
}

/** The two meta pages of an environment without databases. */
function emptyData(): Uint8Array {
  const bytes = new Uint8Array(2 * CATALOG_PAGE)
  const view = new DataView(bytes.buffer)
  for (let page = 0; page < 2; page++) {
    const at = page * CATALOG_PAGE
    view.setBigUint64(at, BigInt(page), true)
    view.setUint16(at + 18, META_FLAG, true)
    view.setUint32(at + 24, MAGIC, true)
    view.setUint32(at + 28, FORMAT_VERSION, true)
    view.setBigUint64(at + 40, 0x20000n, true)
    view.setUint32(at + 48, CATALOG_PAGE, true)
    view.setUint16(at + 52, FREE_FLAGS, true)
    view.setBigUint64(at + 88, NO_PAGE, true)
    view.setBigUint64(at + 136, NO_PAGE, true)
    view.setBigUint64(at + 144, 1n, true)
  }
  return bytes
}

const isThere = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined

/** By name only: whoever opens and closes a lock file drops its process' locks. */
function refuseIrregular(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isFile() === false) {
    throw catalogDamaged(path, 'it is no regular file')
  }
}

function publish(path: string, bytes: Uint8Array): void {
  const random = randomBytes(6).toString('hex')
  const temporary = join(dirname(path), `.${basename(path)}.${hostTag}.${process.pid}.${random}.tmp`)
  let made = false
  try {
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | (constants.O_NOFOLLOW ?? 0)
    const descriptor = openSync(temporary, flags, 0o600)
    made = true
    try {
      // A short count means that the rest failed, and only the next call says why.
      for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    linkSync(temporary, path)
  } catch (error) {
    // Somebody else was faster: theirs is as good.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw catalogFault(path, error)
  } finally {
    if (made) unlinkSync(temporary)
  }
}
