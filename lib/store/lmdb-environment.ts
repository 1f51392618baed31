import { StoreError } from '../base/errors.js'
import { applyOperations, checkOperations, type WriteTarget } from './apply.js'
import { FIRST_MAP, LEASE_TABLE, META_TABLE } from './ids.js'
import { openRaw, type RawStat } from './lmdb.js'
import { RAW_OPTIONS } from './lmdb-codec.js'
import { type EnvironmentOptions, LmdbMaps, missing } from './lmdb-maps.js'
import { look } from './look.js'
import { makeRoom, type Need, needOf } from './reserve.js'
import { seedLockFile } from './seed.js'

export { FIRST_MAP, LEASE_TABLE, META_TABLE }

const NOTHING: Need = { pages: 0, onlyDeletes: true }

/**
 * Opens the maps in a folder, after a look at its files. Writable: the folder has been seeded, and opening waits, blocking,
 * for the write lock; an empty environment becomes one of ours. Rejects with `MILL_MAP_MISSING` (nothing there, or
 * somebody is just creating it), `MILL_MAP_DAMAGED`, `MILL_MAP_MISMATCH` (of a later version), `MILL_MAP_IN_USE`, and as
 * `look` throws.
 */
export async function openEnvironment(folder: string, options: EnvironmentOptions): Promise<Environment> {
  const seen = look(folder)
  if (seen === undefined) throw missing(folder)
  try {
    seedLockFile(folder)
  } catch (error) {
    // Who only reads does without it where nobody can write.
    if (!options.readonly || (error as StoreError).code !== 'MILL_READ_ONLY') throw error
  }
  const raw = await openRaw(folder, {
    readonly: options.readonly,
    pageSize: seen.pageSize,
    maxDatabases: options.maxMaps + FIRST_MAP,
    durable: options.durable !== false,
    ...RAW_OPTIONS,
  })
  const environment = new Environment(folder, raw, seen.pageSize, options)
  try {
    environment.begin()
    return environment
  } catch (error) {
    await environment.close()
    throw error
  }
}

/** The maps of one folder, as this thread has them open; everything but opening, copying and closing is synchronous. */
export class Environment extends LmdbMaps implements WriteTarget {
  /** What the transaction may take of the disk, as far as it is known. */
  #reserved = NOTHING

  protected started(): void {
    this.#reserved = NOTHING
  }

  /**
   * Within `transact`: makes sure that the disk has room (`MILL_DISK_FULL`), then applies the operations; returns their
   * results. What is wrong with them (`MILL_BAD_KEY`, `MILL_MAP_MISSING`) shows before any is applied.
   */
  apply(bytes: Uint8Array): Uint8Array {
    // LMDB stored garbage out of shared memory.
    const own = bytes.buffer instanceof ArrayBuffer ? bytes : bytes.slice()
    const tables = checkOperations(own, this.maxKeyBytes)
    for (const id of tables) this.verify(id)
    this.reserve(needOf(this, own, tables))
    return applyOperations(this, own)
  }

  /** Within `transact`: makes sure of room for this, and for all that was reserved in this transaction before. */
  reserve({ pages, onlyDeletes }: Need): void {
    const before = this.#reserved
    this.#reserved = { pages: before.pages + pages, onlyDeletes: before.onlyDeletes && onlyDeletes }
    makeRoom(this, this.#reserved)
  }

  put(table: number, bytes: Uint8Array, keyAt: number, keyLength: number, valueAt: number, valueLength: number): void {
    const target = this.target(table)
    try {
      target.put(bytes, keyAt, keyLength, valueAt, valueLength)
    } catch (error) {
      throw this.#writeFault(error)
    }
  }

  remove(table: number, bytes: Uint8Array, keyAt: number, keyLength: number): boolean {
    const target = this.target(table)
    try {
      return target.remove(bytes, keyAt, keyLength)
    } catch (error) {
      throw this.#writeFault(error)
    }
  }

  clear(table: number): void {
    const target = this.target(table)
    try {
      target.clear()
    } catch (error) {
      throw this.#writeFault(error)
    }
  }

  has(table: number, bytes: Uint8Array, keyAt: number, keyLength: number): boolean {
    return this.target(table).has(bytes, keyAt, keyLength)
  }

  holds(
    table: number,
    bytes: Uint8Array,
    keyAt: number,
    keyLength: number,
    expectAt: number,
    expectLength: number,
  ): boolean {
    return this.target(table).holds(bytes, keyAt, keyLength, expectAt, expectLength)
  }

  /** A write of LMDB's that failed may have damaged its heap. */
  #writeFault(error: unknown): Error {
    if (error instanceof StoreError) return error
    this.broken = true
    return this.fault(error)
  }

  /** The tree of a table that is there, as the transaction has it. */
  statOf(id: number): RawStat | undefined {
    return this.target(id).treeStat()
  }

  /** A copy of the last key of a table, as the transaction has it; undefined: it is empty. */
  lastKeyOf(id: number): Uint8Array | undefined {
    const cursor = this.target(id).cursor({ reverse: true })
    const key = cursor.next() ? cursor.key.slice(0, cursor.keyLength) : undefined
    cursor.close()
    return key
  }
}
