import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { compareBytes } from '../base/bytes.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import type { CatalogChange, CatalogEngine, CatalogEntry } from './catalog-book.js'
import { catalogFault, LOCK_SUFFIX } from './catalog-file.js'
import { filesAt, settleLastCommit, transactSync } from './last-commit.js'
import type { RawDatabase } from './lmdb.js'
import { AIMED, AIMED_VALUE, aim, aimValue, found, RAW_OPTIONS } from './lmdb-codec.js'
import { probeDescriptors } from './look.js'
import { MAX_READERS } from './seed.js'

interface Binding {
  open(path: string, options: object): RawDatabase
}

/** Bytes behind LMDB's last page that are always kept, and by how many the file grows at least. */
const KEPT = 262_144
const LEAST_GROWTH = 262_144
const WRITTEN_AT_ONCE = 1_048_576
/** Pages for LMDB's own lists, whatever is written. */
const OWN_PAGES = 32

/**
 * Opens a catalog's file, which `prepareCatalog` has passed. Waits, blocking, until nobody writes. Rejects with
 * `MILL_PACKAGE_MISSING`, `MILL_CATALOG_DAMAGED`, `MILL_READ_ONLY`, `MILL_STORE_IO`.
 */
export async function openCatalogFile(path: string, pageSize: number): Promise<CatalogEngine> {
  const { open } = await loadBinding()
  probeDescriptors(dirname(path))
  let raw: RawDatabase | undefined
  try {
    const files = filesAt(path, path + LOCK_SUFFIX)
    // Two of these are on unless turned off by every opener: `overlappingSync` loses acknowledged commits while others
    // open and close the file, `eventTurnBatching` rejects what nobody can catch.
    raw = open(path, {
      noSubdir: true,
      pageSize,
      maxDbs: 1,
      maxReaders: MAX_READERS,
      overlappingSync: false,
      eventTurnBatching: false,
      ...RAW_OPTIONS,
    })
    await settleLastCommit(raw, files, false)
    raw.readerCheck()
    return new LmdbEngine(path, raw, pageSize)
  } catch (error) {
    await raw?.close()
    throw catalogFault(path, error)
  }
}

async function loadBinding(): Promise<Binding> {
  try {
    return (await import('lmdb')) as unknown as Binding
  } catch (cause) {
    const message = 'The package lmdb cannot be loaded here; install it for this platform: npm install lmdb'
    throw new StoreError('MILL_PACKAGE_MISSING', message, { package: 'lmdb', cause })
  }
}

class LmdbEngine implements CatalogEngine {
  readonly path: string
  readonly #raw: RawDatabase
  readonly #pageSize: number
  #isWriting = false
  /** A native write has failed: its heap may be damaged, and nothing of it may be called again. */
  #broken = false
  /** Appends to the data file; opened by the first write. */
  #appending = -1

  constructor(path: string, raw: RawDatabase, pageSize: number) {
    this.path = path
    this.#raw = raw
    this.#pageSize = pageSize
  }

  #check(): void {
    if (!this.#broken) return
    const { path } = this
    const message = `${path}: a write has failed in native code, restart this process to use the catalog again`
    throw new StoreError('MILL_STORE_IO', message, { path })
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#check()
    try {
      aim(key, 0, key.length)
      const value = this.#raw.getBinaryFast(AIMED)
      return value && copyOf(value, this.#raw.lastSize)
    } catch (error) {
      throw catalogFault(this.path, error)
    }
  }

  range(from: Uint8Array, to: Uint8Array, reverse: boolean, limit: number): CatalogEntry[] {
    this.#check()
    const entries: CatalogEntry[] = []
    if (compareBytes(from, to) >= 0) return entries
    try {
      const iterator = this.#raw
        .getRange({
          start: reverse ? to : from,
          exclusiveStart: reverse,
          end: reverse ? from : to,
          inclusiveEnd: reverse,
          reverse,
          values: true,
        })
        .iterate()
      let isDone = false
      while (entries.length < limit && !isDone) {
        isDone = iterator.next().done === true
        if (!isDone) entries.push([copyOf(found.key, found.keyLength), copyOf(found.value, found.valueLength)])
      }
      if (!isDone) iterator.return()
      return entries
    } catch (error) {
      throw catalogFault(this.path, error)
    }
  }

  locked(work: () => readonly CatalogChange[]): void {
    this.#check()
    if (this.#isWriting) throw new ArgumentError('transact()', 'outside other transactions', 'one within')
    // What is thrown before the first change is written costs nothing; afterwards it is a fault of native code.
    let begun = false
    let writing = false
    try {
      transactSync(this.#raw, () => {
        begun = true
        this.#isWriting = true
        try {
          const changes = work()
          if (changes.length > 0) this.#makeRoom(changes)
          writing = true
          for (const change of changes) this.#apply(change)
        } finally {
          this.#isWriting = false
        }
      })
    } catch (error) {
      if (begun && !writing) throw error
      this.#broken = writing
      throw catalogFault(this.path, error)
    }
  }

  #apply({ key, value }: CatalogChange): void {
    aim(key, 0, key.length)
    if (value === undefined) {
      this.#raw.removeSync(AIMED)
      return
    }
    aimValue(value, 0, value.length)
    this.#raw.putSync(AIMED, AIMED_VALUE)
  }

  /**
   * Sees to it that LMDB cannot meet a full disk, since a write of its own that fails damages its heap: appends zeros
   * behind its last page, which it ignores until it needs them. Where that fails and what is there is not enough for the
   * worst case, throws `MILL_DISK_FULL`.
   */
  #makeRoom(changes: readonly CatalogChange[]): void {
    const descriptor = this.#descriptor()
    const { treeLeafPageCount, treeBranchPageCount, treeDepth } = this.#raw.db.stat()
    let small = 0
    let pages = OWN_PAGES + Math.min(changes.length, treeLeafPageCount)
    pages += Math.min(changes.length * treeDepth, treeBranchPageCount) + Math.ceil(changes.length / 8)
    let keep = 0
    for (const { key, value } of changes) {
      if (value === undefined) continue
      keep = KEPT
      if (value.length > this.#pageSize / 2) pages += Math.ceil((value.length + 16) / this.#pageSize)
      else small += key.length + value.length + 16
    }
    pages += 2 * Math.ceil(small / this.#pageSize)
    const needed = pages * this.#pageSize + keep
    const { size } = fstatSync(descriptor)
    const used = (this.#raw.env.info().lastPageNumber + 1) * this.#pageSize
    const missing = needed + size / 16 - (size - used)
    if (missing <= 0) return
    const enough = this.#append(descriptor, Math.ceil(Math.max(missing, size / 2, LEAST_GROWTH)))
    if (enough || fstatSync(descriptor).size - used >= needed) return
    const { path } = this
    throw new StoreError('MILL_DISK_FULL', `${path}: the disk is full`, { path, needed })
  }

  #descriptor(): number {
    if (this.#appending === -1) {
      try {
        this.#appending = openSync(this.path, constants.O_WRONLY | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0))
      } catch (error) {
        throw catalogFault(this.path, error)
      }
    }
    return this.#appending
  }

  /** Appends zeros; false: the disk took some of them at most. */
  #append(descriptor: number, length: number): boolean {
    const zeros = new Uint8Array(Math.min(length, WRITTEN_AT_ONCE))
    try {
      for (let left = length; left > 0; ) left -= writeSync(descriptor, zeros, 0, Math.min(left, zeros.length))
      return true
    } catch (error) {
      const fault = catalogFault(this.path, error)
      if ((fault as StoreError).code === 'MILL_DISK_FULL') return false
      throw fault
    }
  }

  refresh(): void {
    this.#check()
    this.#raw.resetReadTxn()
  }

  async close(): Promise<void> {
    if (this.#appending !== -1) closeSync(this.#appending)
    this.#appending = -1
    if (!this.#broken) await this.#raw.close()
  }
}

function copyOf(bytes: Uint8Array, length: number): Uint8Array {
  return new Uint8Array(bytes.buffer, bytes.byteOffset, length).slice()
}
