import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { hostTag, sweepOnce } from '../io/temporary.js'
import { DATA_FILE, FORMAT_VERSION, FREE_FLAGS, LOCK_FILE, MAGIC, META_FLAG, storeFault } from './look.js'

/** Slots for readers; the same for everybody, since whoever opens first decides. */
export const MAX_READERS = 1024
/** Bytes of a lock file: its head, and a cache line per reader. */
const LOCK_BYTES = 208 + 64 * MAX_READERS

/**
 * Makes what LMDB would make, but whole: an empty data file and its lock file, in a folder for their owner only. Made
 * aside and linked to their names, so that nobody sees half of one; what is there stays. LMDB itself leaves half a page
 * behind on a full disk, which kills whoever opens it, and maps a lock file full of holes. Throws `MILL_DISK_FULL`,
 * `MILL_STORE_IO` …
 */
export async function seedFolder(folder: string, pageSize: number): Promise<void> {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw storeFault(folder, error)
  }
  await sweepOnce(folder)
  seedLockFile(folder)
  seedFile(join(folder, DATA_FILE), emptyData(pageSize), folder)
  syncSync(folder)
}

/**
 * Makes the lock file where there is none. Throws `MILL_DISK_FULL`, `MILL_STORE_IO`, `MILL_READ_ONLY`; a read-only file
 * system is fine for those who only read.
 */
export function seedLockFile(folder: string): void {
  seedFile(join(folder, LOCK_FILE), emptyLock(), folder)
}

/** A lock file nobody has used yet. */
export function emptyLock(): Uint8Array {
  return new Uint8Array(LOCK_BYTES)
}

/** The two meta pages of an environment without databases. */
export function emptyData(pageSize: number): Uint8Array {
  const bytes = new Uint8Array(2 * pageSize)
  const view = new DataView(bytes.buffer)
  for (let page = 0; page < 2; page++) {
    const at = page * pageSize
    view.setBigUint64(at, BigInt(page), true)
    view.setUint16(at + 18, META_FLAG, true)
    view.setUint32(at + 24, MAGIC, true)
    view.setUint32(at + 28, FORMAT_VERSION, true)
    view.setBigUint64(at + 40, 0x20000n, true)
    view.setUint32(at + 48, pageSize, true)
    view.setUint16(at + 52, FREE_FLAGS, true)
    bytes.fill(0xff, at + 88, at + 96)
    bytes.fill(0xff, at + 136, at + 144)
    view.setBigUint64(at + 144, 1n, true)
  }
  return bytes
}

/**
 * Makes a file where there is none: aside, flushed, and linked to its name. Errors are those of {@link seedFolder}, and
 * name `path`.
 */
export function seedFile(file: string, bytes: Uint8Array, path: string): void {
  if (lstatSync(file, { throwIfNoEntry: false }) !== undefined) return
  const random = randomBytes(6).toString('hex')
  const temporary = join(dirname(file), `.${basename(file)}.${hostTag}.${process.pid}.${random}.tmp`)
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
    linkSync(temporary, file)
  } catch (error) {
    // Somebody else was faster: theirs is as good.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw storeFault(path, error)
  } finally {
    if (made) unlinkSync(temporary)
  }
}

function syncSync(folder: string): void {
  if (process.platform === 'win32') return
  try {
    const descriptor = openSync(folder, constants.O_RDONLY)
    try {
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    throw storeFault(folder, error)
  }
}
