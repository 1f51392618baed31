import { constants, fstatSync, lstatSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { sleep } from '../base/abort.js'
import { StoreError } from '../base/errors.js'
import { tagOf } from './folder-files.js'
import type { RawDatabase } from './lmdb.js'
import { MAGIC } from './look.js'

/** In a lock file: LMDB's magic number, and the id of the last commit, from which the next transaction starts. */
const LAST_COMMIT_AT = 8
const HEAD_BYTES = 16

/** Transactions in a row that may have to be given up. */
const TRIES = 100

/** Descriptors of lock files that had to be mended; see {@link openLockFile}. */
const mended = new Map<string, number>()

/** What a transaction that starts from an old commit is given up with. */
const BEHIND = Symbol('behind')

/**
 * The two files of an environment, by name, and which data file it was: a folder may be swapped for another one, and the
 * lock file that then lies there must not be touched.
 */
export interface EnvironmentFiles {
  readonly data: string
  readonly lock: string
  readonly tag: string
}

const filesOf = new WeakMap<RawDatabase, EnvironmentFiles>()

/** Before an environment is opened: which files it is going to have. Throws where there is no data file. */
export function filesAt(data: string, lock: string): EnvironmentFiles {
  return { data, lock, tag: tagAt(data) }
}

const tagAt = (path: string): string => tagOf(statSync(path, { bigint: true }))

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
 * happened in it, what it started from put right, and another one begun. Of an environment that {@link settleLastCommit}
 * knows. Throws as `transactionSync` and `work` do, and `MILL_STORE_IO`.
 */
export function transactSync<R>(raw: RawDatabase, work: () => R): R {
  for (let tried = 1; ; tried++) {
    try {
      return raw.transactionSync(() => {
        if (isBehind(raw)) {
          if (tried === TRIES) throw refused(raw, `it was put back ${TRIES} times in a row`)
          if (!mendLastCommit(raw)) throw refused(raw, 'it was replaced')
          throw BEHIND
        }
        return work()
      })
    } catch (error) {
      if (error !== BEHIND) throw error
    }
  }
}

/**
 * How often, and after how many ms each, a reader looks whether the last commit is there before it puts it there itself:
 * one that is just being made may wait for a slow disk.
 */
const LOOKS = 20
const PAUSE_MS = 2
const ANY_KEY = Uint8Array.of(0)

/**
 * After an environment was opened: makes sure that this did not hide the last commit. Until the next one all readers,
 * of all processes, would see what was before it. For as long as this takes, some tens of microseconds after the native
 * opening, up to 50 ms in the rare case that it is needed, they still may.
 *
 * A writable one puts the id right with the write lock, for which it may block. A read-only one cannot have it: it lets a
 * commit that is on its way arrive, then writes the id of the newest until that is the newest. Where the files were
 * replaced meanwhile nothing is done: then the one that was opened is nobody's any more.
 */
export async function settleLastCommit(raw: RawDatabase, files: EnvironmentFiles, isReadonly: boolean): Promise<void> {
  filesOf.set(raw, files)
  const wanted = raw.env.info().lastTxnId
  if (readsFrom(raw) >= wanted) return
  if (!isReadonly) {
    if (isThere(files)) transactSync(raw, () => {})
    return
  }
  for (let look = 0; look < LOOKS; look++) {
    await sleep(PAUSE_MS)
    if (readsFrom(raw) >= wanted) return
  }
  for (let tried = 0; tried < TRIES && readsFrom(raw) < raw.env.info().lastTxnId; tried++) {
    if (!mendLastCommit(raw)) return
  }
}

/**
 * The commit that a read transaction begun now sees: LMDB tells the one of each reader, by process. Infinity where it
 * keeps no readers: a folder that cannot be written to, of which nobody hides a commit either.
 */
function readsFrom(raw: RawDatabase): number {
  raw.resetReadTxn()
  // Only with a first read does the transaction begin.
  raw.getBinaryFast(ANY_KEY)
  const ids: number[] = []
  for (const line of raw.env.readerList()) {
    const [pid, , id] = line.trim().split(' ')
    if (Number(pid) === process.pid && Number(id) >= 0) ids.push(Number(id))
  }
  raw.resetReadTxn()
  return ids.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...ids)
}

/**
 * Puts the id of the last commit right; false: the files were replaced, and nothing was done. Outside a transaction
 * somebody may commit meanwhile: look again.
 */
function mendLastCommit(raw: RawDatabase): boolean {
  const files = filesOf.get(raw)
  if (files === undefined || !isThere(files)) return false
  const descriptor = openLockFile(files.lock)
  const head = new Uint8Array(HEAD_BYTES)
  const view = new DataView(head.buffer)
  if (readSync(descriptor, head, 0, HEAD_BYTES, 0) < HEAD_BYTES || view.getUint32(0, true) !== MAGIC) {
    throw refused(raw, 'its lock file is none')
  }
  // Still the same data file: then that was the lock file beside it.
  if (!isThere(files)) return false
  view.setBigUint64(LAST_COMMIT_AT, BigInt(raw.env.info().lastTxnId), true)
  writeSync(descriptor, head, LAST_COMMIT_AT, HEAD_BYTES - LAST_COMMIT_AT, LAST_COMMIT_AT)
  return true
}

/** Is the data file still the one that was opened? */
export function isThere({ data, tag }: EnvironmentFiles): boolean {
  try {
    return tagAt(data) === tag
  } catch {
    return false // it was deleted
  }
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

function refused(raw: RawDatabase, reason: string): StoreError {
  const path = filesOf.get(raw)?.lock ?? ''
  return new StoreError('MILL_STORE_IO', `${path} lags behind its data file: ${reason}`, { path, reason })
}
