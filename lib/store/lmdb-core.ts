import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { ArgumentError, StoreError } from '../base/errors.js'
import { tagOf } from './folder-files.js'
import { transactSync } from './last-commit.js'
import { closeRaw, type RawDatabase, type RawInfo } from './lmdb.js'
import type { TableHost } from './lmdb-reading.js'
import { DATA_FILE, storeFault } from './look.js'
import { Place } from './place.js'

/** LMDB's limits, by page size. */
const MOST_KEY = 1978
const MOST_KEY_OF_LARGE_PAGES = 4026

/** An LMDB environment: transactions, its state, its file. What is in it is {@link Environment}'s. */
export abstract class LmdbCore implements TableHost {
  readonly path: string
  readonly pageSize: number
  readonly maxKeyBytes: number
  readonly readonly: boolean
  readonly reading = new Set<{ close(): void }>()
  isWriting = false
  /** A native write has failed: this process' environment is finished, and may not even be closed. */
  broken = false
  protected readonly raw: RawDatabase
  #closed = false
  /** Cursors made within the transaction. */
  readonly #inside: { close(): void }[] = []
  /** Appends to the data file; opened by the first write. */
  #appending = -1
  #place: Place | undefined
  #fileBytes = 0

  constructor(folder: string, raw: RawDatabase, pageSize: number, readonly: boolean) {
    this.path = folder
    this.pageSize = pageSize
    this.maxKeyBytes = pageSize > 4096 ? MOST_KEY_OF_LARGE_PAGES : MOST_KEY
    this.readonly = readonly
    this.raw = raw
  }

  check(): void {
    if (this.#closed) throw new StoreError('MILL_CLOSED', `${this.path} is closed`, { path: this.path })
    if (!this.broken) return
    const message = `${this.path}: a write has failed in native code, restart this process to use the map again`
    throw new StoreError('MILL_STORE_IO', message, { path: this.path })
  }

  fault(error: unknown): Error {
    return storeFault(this.path, error)
  }

  abstract knows(record: Uint8Array): boolean

  reads(cursor: { close(): void }): void {
    this.#inside.push(cursor)
  }

  get info(): RawInfo {
    this.check()
    return this.raw.env.info()
  }

  /** Of the newest commit, whoever made it. */
  get transactionId(): number {
    return this.info.lastTxnId
  }

  /** Readers of all processes. */
  readers(): number {
    return this.info.numReaders
  }

  /** The next read sees what others have committed. */
  refresh(): void {
    this.check()
    this.raw.resetReadTxn()
  }

  /**
   * Runs `work` as one transaction, alone among all processes; waits for the lock, blocking. A throw undoes everything and
   * is rethrown; `MILL_INVALID_ARGUMENT` if `work` returns a promise, or within another transaction. Faults of LMDB are
   * `MILL_STORE_IO`, `MILL_DISK_FULL`, `MILL_MAP_DAMAGED`, and after one of a commit the environment is {@link broken}.
   */
  transact<R>(work: () => R): R {
    this.check()
    if (this.isWriting) throw new ArgumentError('transaction', 'outside other transactions', 'one within another')
    let begun = false
    let worked = false
    try {
      const result = transactSync(this.raw, () => {
        begun = true
        this.isWriting = true
        this.started()
        try {
          const made = work()
          if (typeof (made as { then?: unknown } | undefined)?.then === 'function') {
            throw new ArgumentError('work', 'synchronous', made)
          }
          worked = true
          return made
        } finally {
          this.#endReads()
          this.isWriting = false
        }
      })
      this.committed()
      return result
    } catch (error) {
      this.undone()
      if (begun && !worked) throw error
      this.broken ||= worked
      throw this.fault(error)
    }
  }

  /** A transaction has begun, was committed, was undone. */
  protected abstract started(): void
  protected abstract committed(): void
  protected abstract undone(): void

  /** Cursors of a transaction stand on pages that it may have changed, and end with it. */
  #endReads(): void {
    for (const cursor of this.#inside) cursor.close()
    this.#inside.length = 0
  }

  /** A descriptor that appends to the data file. */
  get appending(): number {
    if (this.#appending === -1) {
      const flags = constants.O_WRONLY | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0)
      try {
        this.#appending = openSync(join(this.path, DATA_FILE), flags)
      } catch (error) {
        throw this.fault(error)
      }
    }
    return this.#appending
  }

  /** Bytes of the data file when {@link lookAtFile} was called last; it only grows. Of a writable environment only. */
  get fileBytes(): number {
    return this.#fileBytes
  }

  /** Bytes of the data file now. Not for every transaction, see {@link Place}. */
  lookAtFile(): number {
    this.#fileBytes = fstatSync(this.appending).size
    return this.#fileBytes
  }

  /** Throws `MILL_MAP_REPLACED` unless the file that is open is the one that lies there; 4 µs. Of a writable one only. */
  checkPlace(): void {
    this.#place ??= new Place(this.path, tagOf(fstatSync(this.appending, { bigint: true })))
    if (this.#place.holds()) return
    const { path } = this
    const message = `${path} was replaced or deleted while it was open; nothing was written, open it again`
    throw new StoreError('MILL_MAP_REPLACED', message, { path })
  }

  /** Frees the pages of readers that have died; returns how many there were. */
  readerCheck(): number {
    this.check()
    return this.raw.readerCheck()
  }

  /** A consistent copy of the data file in another folder, which is there and empty. */
  async copyTo(folder: string, compact: boolean): Promise<void> {
    this.check()
    try {
      await this.raw.backup(folder, compact)
    } catch (error) {
      throw storeFault(folder, error)
    }
  }

  /** Idempotent. Cursors and snapshots end with it. */
  async close(): Promise<void> {
    if (this.#closed) return
    if (!this.broken) for (const open of [...this.reading]) open.close()
    this.reading.clear()
    this.#closed = true
    if (this.#appending !== -1) closeSync(this.#appending)
    this.#appending = -1
    if (!this.broken) await closeRaw(this.raw)
  }
}
