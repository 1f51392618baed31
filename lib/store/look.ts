import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, statfsSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { StoreError } from '../base/errors.js'

/** Names of LMDB's files in a folder. */
export const DATA_FILE = 'data.mdb'
export const LOCK_FILE = 'lock.mdb'

/** The part of a meta page that is looked at, and what stands there (LMDB's data format 2, 64 bit, little-endian). */
const META_BYTES = 160
const PAGE_FLAGS_AT = 18
export const META_FLAG = 8
const MAGIC_AT = 24
export const MAGIC = 0xbeefc0de
const VERSION_AT = 28
export const FORMAT_VERSION = 2
export const PAGE_SIZE_AT = 48
/** Flags of the list of free pages, and of the environment: only that its keys are integers. Others end the process. */
const FREE_FLAGS_AT = 52
export const FREE_FLAGS = 8
/** Flags of the list of names: none. */
const MAIN_FLAGS_AT = 100
const FREE_ROOT_AT = 88
export const MAIN_ROOT_AT = 136
/** Levels of the list of free pages, and of names; 0: it is empty. */
const FREE_DEPTH_AT = 54
const MAIN_DEPTH_AT = 102
export const LAST_PAGE_AT = 144
export const TRANSACTION_AT = 152
/** A tree without pages has this as its root. */
const NO_PAGE = 0xffff_ffff_ffff_ffffn
const LEAST_PAGE = 4096
const MOST_PAGE = 65_536

/** A commit between two of our reads looks like damage: measured, 1 of 90 openings of a busy file. */
export const TRIES = 3
const BETWEEN_TRIES_MS = 10
/** File descriptors that LMDB needs; with fewer left it ends the process. */
const DESCRIPTORS = 4

/** `f_type` of file systems that several machines may have mounted: their memory maps and locks are not each other's. */
const NETWORK = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'SMB'],
  [0xfe534d42, 'SMB'],
  [0x01021997, '9p'],
])

/** What the header of a data file says. */
export interface Sight {
  readonly pageSize: number
}

/** What is wrong with a data file. */
export interface Flaw {
  readonly reason: string
  /** It has less than its two first pages: somebody may be making it. */
  readonly isShort: boolean
}

const flaw = (reason: string, isShort = false): Flaw => ({ reason, isShort })

/**
 * Looks at the files of an environment before native code does, which ends the process when they are not what it
 * expects. Undefined: there is no data file. Throws `MILL_MAP_DAMAGED` for what LMDB must not open, links included,
 * `MILL_UNSUPPORTED` for network file systems, `MILL_PATH_REFUSED` for a folder that everyone may write to, and
 * `MILL_STORE_IO` for what cannot be read. Takes 50 µs, up to 20 ms where something is wrong. Reads the lock file's name
 * only: opening and closing it would drop this process' locks.
 */
export function look(folder: string): Sight | undefined {
  if (!isThere(folder)) return undefined
  refuseFolder(folder)
  const file = join(folder, DATA_FILE)
  for (let tried = 1; ; tried++) {
    const seen = lookOnce(file, folder)
    if (seen === undefined) return undefined
    if ('pageSize' in seen) {
      refuseLockFile(folder)
      return seen
    }
    if (tried === TRIES) throw damaged(folder, seen.reason)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BETWEEN_TRIES_MS)
  }
}

/** An error for a folder that LMDB must not open. */
export function damaged(path: string, reason: string, cause?: unknown): StoreError {
  const fields = { path, reason, ...(cause !== undefined && { cause }) }
  return new StoreError('MILL_MAP_DAMAGED', `${path} is no map, or damaged: ${reason}`, fields)
}

function isThere(folder: string): boolean {
  try {
    if (statSync(folder).isDirectory()) return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw storeFault(folder, error)
  }
  throw damaged(folder, 'it is no folder')
}

function refuseFolder(folder: string): void {
  if (process.platform === 'win32') return
  if ((statSync(folder).mode & 0o002) !== 0) {
    const reason = 'everyone may write to it'
    throw new StoreError('MILL_PATH_REFUSED', `${folder} is refused: ${reason}`, { path: folder, reason })
  }
  const network = NETWORK.get(statfsSync(folder).type >>> 0)
  if (network !== undefined) {
    const reason = `it is on a network file system (${network})`
    throw new StoreError('MILL_UNSUPPORTED', `${folder} cannot be a map: ${reason}`, { path: folder, reason })
  }
}

/**
 * One look at a data file; undefined: it is not there. A flaw that stays, looked at {@link TRIES} times, is damage.
 * Throws `MILL_STORE_IO`, which names `path`.
 */
export function lookOnce(file: string, path: string): Sight | Flaw | undefined {
  let descriptor: number
  try {
    descriptor = openSync(file, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP' || code === 'ENXIO') return flaw(`${basename(file)} is a link or a device`)
    throw storeFault(path, error)
  }
  try {
    if (!fstatSync(descriptor).isFile()) return flaw(`${basename(file)} is no regular file`)
    return readHeader(descriptor)
  } catch (error) {
    throw storeFault(path, error)
  } finally {
    closeSync(descriptor)
  }
}

function readHeader(descriptor: number): Sight | Flaw {
  const first = readMeta(descriptor, 0)
  if (first === undefined) return flaw(`it has fewer than ${META_BYTES} bytes`, true)
  const pageSize = first.getUint32(PAGE_SIZE_AT, true)
  const fits = pageSize >= LEAST_PAGE && pageSize <= MOST_PAGE && (pageSize & (pageSize - 1)) === 0
  if (!fits) return flaw('its page size is none')
  const second = readMeta(descriptor, pageSize)
  // After the pages: what a commit adds meanwhile is then counted in.
  const { size } = fstatSync(descriptor)
  if (second === undefined || size < 2 * pageSize) return flaw('it has no second page', true)
  const reason = metaFault(first, pageSize) ?? metaFault(second, pageSize)
  if (reason !== undefined) return flaw(reason)
  // LMDB takes the page of the later transaction, of two equal ones the first. The other may be what a failed write has
  // left, with the trees of the transaction that failed: it is not asked.
  const [one, two] = [first.getBigUint64(TRANSACTION_AT, true), second.getBigUint64(TRANSACTION_AT, true)]
  const cut = treeFault(two > one ? second : first, pageSize, size)
  return cut === undefined ? { pageSize } : flaw(cut)
}

function readMeta(descriptor: number, at: number): DataView | undefined {
  const bytes = new Uint8Array(META_BYTES)
  return readSync(descriptor, bytes, 0, META_BYTES, at) === META_BYTES ? new DataView(bytes.buffer) : undefined
}

/** What both pages must have. */
function metaFault(page: DataView, pageSize: number): string | undefined {
  if (page.getUint16(PAGE_FLAGS_AT, true) !== META_FLAG) return 'it does not begin with two meta pages'
  if (page.getUint32(MAGIC_AT, true) !== MAGIC) return 'it is no LMDB file'
  if ((page.getUint32(VERSION_AT, true) & 0xffff) !== FORMAT_VERSION) return 'it has another format of LMDB'
  if (page.getUint32(PAGE_SIZE_AT, true) !== pageSize) return 'its meta pages contradict each other'
  if (page.getUint16(FREE_FLAGS_AT, true) !== FREE_FLAGS || page.getUint16(MAIN_FLAGS_AT, true) !== 0) {
    return 'its trees are of another kind'
  }
  return undefined
}

/** What the page in use must have besides. */
function treeFault(page: DataView, pageSize: number, size: number): string | undefined {
  const last = page.getBigUint64(LAST_PAGE_AT, true)
  if ((last + 1n) * BigInt(pageSize) > BigInt(size)) return 'it is cut short'
  const trees = [
    [FREE_ROOT_AT, FREE_DEPTH_AT],
    [MAIN_ROOT_AT, MAIN_DEPTH_AT],
  ] as const
  for (const [rootAt, depthAt] of trees) {
    const root = page.getBigUint64(rootAt, true)
    if (root !== NO_PAGE && root > last) return 'a tree begins behind its end'
    if ((root === NO_PAGE) !== (page.getUint16(depthAt, true) === 0)) return 'a tree is empty, and is not'
  }
  return undefined
}

function refuseLockFile(folder: string): void {
  if (isIrregular(join(folder, LOCK_FILE))) throw damaged(folder, `${LOCK_FILE} is no regular file`)
}

/** There is something of this name, and it is no file. By name only: closing a lock file would drop our locks. */
export function isIrregular(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isFile() === false
}

/** Fails with a code where LMDB would end the process: too few file descriptors are left. */
export function probeDescriptors(folder: string): void {
  const probes: number[] = []
  try {
    while (probes.length < DESCRIPTORS) probes.push(openSync(folder, constants.O_RDONLY))
  } catch (error) {
    // Windows opens no folders, and has no such limit.
    if (process.platform !== 'win32') throw storeFault(folder, error)
  } finally {
    for (const descriptor of probes) closeSync(descriptor)
  }
}

/** Errors of LMDB itself. */
const LMDB_DAMAGE = new Map([
  [-30797, 'a page is missing'],
  [-30796, 'a page is not what it should be'],
  [-30794, 'it has another format of LMDB'],
  [-30793, 'it is no LMDB file'],
  [-30779, 'a database is not what it should be'],
])
const DBS_FULL = -30791
const IO_ERROR = 5
const NO_SPACE = new Set([28, 122, 27])
const NO_SPACE_CODES = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])
/** With less than this left, in bytes, an I/O error is taken for a full disk. */
const FULL_BELOW = 1_048_576

/**
 * What an error of the file system or of LMDB means, as an error of ours: `MILL_DISK_FULL`, `MILL_MAP_DAMAGED`,
 * `MILL_TOO_MANY` (maps), `MILL_READ_ONLY` (of the file system), else `MILL_STORE_IO`. Errors of ours stay as they are.
 */
export function storeFault(path: string, error: unknown): Error {
  if (error instanceof StoreError) return error
  const cause = error as NodeJS.ErrnoException & { code?: unknown }
  const { code } = cause as { code?: unknown }
  const errno = typeof code === 'number' ? code : Math.abs(cause?.errno ?? 0)
  const damage = LMDB_DAMAGE.get(errno)
  if (damage !== undefined) return damaged(path, damage, cause)
  if (errno === DBS_FULL) return new StoreError('MILL_TOO_MANY', `${path}: no more maps fit`, { path, cause })
  const full = typeof code === 'number' ? NO_SPACE.has(errno) : NO_SPACE_CODES.has(String(code))
  // A short write comes out of LMDB as an I/O error.
  if (full || ((errno === IO_ERROR || code === 'EIO') && isFull(path))) {
    return new StoreError('MILL_DISK_FULL', `${path}: the disk is full`, { path, errno, cause })
  }
  if (code === 'EROFS' || errno === 30) {
    return new StoreError('MILL_READ_ONLY', `${path}: the file system is read-only`, { path, errno, cause })
  }
  const message = cause instanceof Error ? cause.message : String(cause)
  return new StoreError('MILL_STORE_IO', `${path}: ${message}`, { path, errno, cause })
}

function isFull(path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize < FULL_BELOW
  } catch {
    return false
  }
}
