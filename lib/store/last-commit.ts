import { constants, fstatSync, lstatSync, openSync, readSync, writeSync } from 'node:fs'
import { StoreError } from '../base/errors.js'
import type { RawDatabase } from './lmdb.js'
import { MAGIC } from './look.js'

/** In a lock file: LMDB's magic number, and the id of the last commit, from which the next transaction starts. */
const LAST_COMMIT_AT = 8
const HEAD_BYTES = 16

/** Transactions in a row that may have to be given up. */
const TRIES = 100

/** Descriptors of lock files that had to be mended; see {@link mendLastCommit}. */
const mended = new Map<string, number>()

/** What a transaction that starts from an old commit is given up with. */
const BEHIND = Symbol('behind')

/**
 * Within a write transaction: does it start from a commit that is not the last one? Whoever opens an environment reads
 * the last commit from the data file and writes its id into the lock file, without the write lock (`mdb_env_open2`); a
 * commit between the two is then forgotten. The next one would take its id and its place: acknowledged writes would be
 * lost, and their pages used twice, which ends in `mdb_page_touch no parent`. Measured with three processes that open and
 * close a file without a pause: once in some 6,000 commits.
 */
function isBehind(raw: RawDatabase): boolean {
  return raw.env.getWriteTxnId() !== raw.env.info().lastTxnId + 1
}

/**
 * Runs `work` in a transaction that starts from the last commit; one that does not is given up before anything has
 * happened in it, what it started from put right, and another one begun. Throws as `transactionSync` and `work` do.
 */
export function transactSync<R>(raw: RawDatabase, lockFile: string, work: () => R): R {
  for (let tried = 1; ; tried++) {
    try {
      return raw.transactionSync(() => {
        if (isBehind(raw)) {
          if (tried === TRIES) throw refused(lockFile, `it was put back ${TRIES} times in a row`)
          mendLastCommit(raw, lockFile)
          throw BEHIND
        }
        return work()
      })
    } catch (error) {
      if (error !== BEHIND) throw error
    }
  }
}

/** Puts the id of the last commit right: within a transaction, so that nobody commits meanwhile. */
function mendLastCommit(raw: RawDatabase, lockFile: string): void {
  const descriptor = openLockFile(lockFile)
  const head = new Uint8Array(HEAD_BYTES)
  const view = new DataView(head.buffer)
  if (readSync(descriptor, head, 0, HEAD_BYTES, 0) < HEAD_BYTES || view.getUint32(0, true) !== MAGIC) {
    throw refused(lockFile, 'it is no lock file')
  }
  view.setBigUint64(LAST_COMMIT_AT, BigInt(raw.env.info().lastTxnId), true)
  writeSync(descriptor, head, LAST_COMMIT_AT, HEAD_BYTES - LAST_COMMIT_AT, LAST_COMMIT_AT)
}

/**
 * Opened once, and open for as long as this process lives: closing any descriptor of a lock file drops all locks that
 * the process has on it, and LMDB with them.
 */
function openLockFile(path: string): number {
  const known = mended.get(path)
  if (known !== undefined && fstatSync(known).ino === lstatSync(path, { throwIfNoEntry: false })?.ino) return known
  const descriptor = openSync(path, constants.O_RDWR | (constants.O_NOFOLLOW ?? 0))
  mended.set(path, descriptor)
  return descriptor
}

function refused(path: string, reason: string): StoreError {
  return new StoreError('MILL_STORE_IO', `${path} lags behind its data file: ${reason}`, { path, reason })
}
