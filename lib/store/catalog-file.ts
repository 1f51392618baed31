import { statfsSync } from 'node:fs'
import { dirname } from 'node:path'
import { sleep } from '../base/abort.js'
import { StoreError } from '../base/errors.js'
import { sweepOnce } from '../io/temporary.js'
import { isIrregular, lookOnce, storeFault, TRIES } from './look.js'
import { emptyData, emptyLock, seedFile } from './seed.js'

/** A catalog is one file of LMDB's, and its lock file beside it, which LMDB names so. */
export const LOCK_SUFFIX = '-lock'
/** Pages of a new catalog. */
export const CATALOG_PAGE = 4096
/** No catalog is made with less room than this, in bytes: the first shards would fail anyway. */
const LEAST_ROOM = 1_048_576
/** A file without its two pages may be in the making; it is looked at again for so long, in milliseconds. */
const PATIENCE_MS = 1000
const PAUSE_MS = 20

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
  for (let flaws = 0; ; ) {
    const seen = lookOnce(path, path)
    if (seen === undefined) await seed(path)
    else if ('pageSize' in seen) {
      seedLock(path)
      return seen.pageSize
    } else if (seen.isShort ? performance.now() >= until : ++flaws >= TRIES) throw catalogDamaged(path, seen.reason)
    else await sleep(PAUSE_MS)
  }
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
  seedLock(path)
  seedFile(path, emptyData(CATALOG_PAGE), path)
}

function seedLock(path: string): void {
  const lock = path + LOCK_SUFFIX
  if (isIrregular(lock)) throw catalogDamaged(lock, 'it is no regular file')
  seedFile(lock, emptyLock(), path)
}
