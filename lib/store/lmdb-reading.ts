import type { ByteCursor, LocalSnapshot } from '../../types/store.js'
import { StoreError } from '../base/errors.js'
import type { RawIterator, RawTransaction } from './lmdb.js'
import { found } from './lmdb-codec.js'

/** Another process has dropped the database. */
export const BAD_DBI = -30780

/** What a table needs of its environment. */
export interface TableHost {
  readonly maxKeyBytes: number
  /** It is within a write transaction: one sees what was written, a snapshot can't be read. */
  readonly isWriting: boolean
  /** Throws unless it can be read from. */
  check(): void
  fault(error: unknown): Error
  /** Is there a map of this record, as one sees it now? */
  knows(record: Uint8Array): boolean
  /** Cursors and snapshots that are open: they are closed with the environment, cursors within a transaction with it. */
  readonly reading: Set<{ close(): void }>
  /** A cursor was made within the transaction, and ends with it. */
  reads(cursor: ByteCursor): void
}

/** One state of an environment, kept while others write. */
export class LmdbSnapshot implements LocalSnapshot {
  readonly size: number
  readonly #host: TableHost
  #options: { transaction: RawTransaction } | undefined

  constructor(host: TableHost, transaction: RawTransaction, size: number) {
    this.#host = host
    this.#options = { transaction }
    this.size = size
    host.reading.add(this)
  }

  get reading(): { transaction: RawTransaction } {
    if (this.#options === undefined) throw new StoreError('MILL_CLOSED', 'The snapshot is closed')
    return this.#options
  }

  close(): void {
    const options = this.#options
    this.#options = undefined
    if (options === undefined) return
    if (this.#host.reading.delete(this)) options.transaction.done()
  }
}

/** Walks over a range. Where it stands lies in the binding's own memory. */
export class LmdbCursor implements ByteCursor {
  keyLength = 0
  valueLength = 0
  key: Uint8Array = found.key
  value: Uint8Array = found.value
  readonly #host: TableHost
  #iterator: RawIterator | undefined

  constructor(host: TableHost, iterator: RawIterator | undefined) {
    this.#host = host
    this.#iterator = iterator
    if (iterator !== undefined) host.reading.add(this)
  }

  next(): boolean {
    if (this.#iterator === undefined) return false
    this.#host.check()
    try {
      if (this.#iterator.next().done === true) {
        this.#forget()
        return false
      }
    } catch (error) {
      this.#forget()
      if ((error as { code?: unknown }).code === BAD_DBI) return false
      throw this.#host.fault(error)
    }
    this.key = found.key
    this.keyLength = found.keyLength
    this.value = found.value
    this.valueLength = found.valueLength
    return true
  }

  close(): void {
    const iterator = this.#iterator
    // Where it is no longer known, the environment is gone, and its cursors with it.
    if (iterator !== undefined && this.#forget()) iterator.return()
  }

  #forget(): boolean {
    this.#iterator = undefined
    return this.#host.reading.delete(this)
  }
}
