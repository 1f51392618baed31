import { writeSync } from 'node:fs'
import { StoreError } from '../base/errors.js'
import type { RawInfo, RawStat } from './lmdb.js'
import { storeFault } from './look.js'
import { CLEAR, GROUP, OperationCursor, SET } from './operations.js'

/** What is kept free behind everything, in bytes, so that there is room to delete. */
const KEPT = 262_144
/** The file grows by half of its size, but at least and at most by so many bytes. */
const LEAST_GROWTH = 262_144
const MOST_GROWTH = 67_108_864
const WRITTEN_AT_ONCE = 1_048_576
/** Pages for LMDB's own lists, whatever a transaction writes. */
const OWN_PAGES = 32
/** Bytes of a page number in the list of free pages. */
const PAGE_NUMBER = 8

/** What it has to be told about the environment, within a write transaction. */
export interface RoomHost {
  readonly path: string
  readonly pageSize: number
  /** The process may end in native code: then it goes nearer to the end of a full disk. */
  readonly expendable: boolean
  readonly info: RawInfo
  /** Appends to the data file. */
  readonly appending: number
  /** Of the data file, as known, and as it is. */
  readonly fileBytes: number
  lookAtFile(): number
  statOf(table: number): RawStat | undefined
  /** A copy; undefined: the table is empty. */
  lastKeyOf(table: number): Uint8Array | undefined
  /** Pages of all trees. */
  pagesOfAll(): number
}

/** What a write transaction may take. */
export interface Need {
  readonly pages: number
  readonly onlyDeletes: boolean
}

/** From so many bytes of operations on it pays to ask which of them go behind everything that is there. */
const WORTH_ASKING = 65_536

/**
 * What operations may take at worst: each changes a leaf and the pages above it, and long values have their own pages.
 * Keys behind the last one of their table all go into new leaves at one end: a load in key order does not need room for
 * another tree.
 */
export function needOf(environment: RoomHost, bytes: Uint8Array, tables: ReadonlySet<number>): Need {
  const { pageSize } = environment
  let operations = 0
  let small = 0
  let pages = 0
  let onlyDeletes = true
  let behind = 0
  const lasts = bytes.length < WORTH_ASKING ? undefined : lastKeys(environment, tables)
  for (const cursor = new OperationCursor(bytes); cursor.next(); ) {
    const { kind, keyLength, valueLength, table } = cursor
    if (kind === GROUP) continue
    operations++
    if (kind === CLEAR) pages += pagesToFree(environment.statOf(table), pageSize)
    if (kind !== SET) continue
    onlyDeletes = false
    if (valueLength > pageSize / 2) pages += Math.ceil((valueLength + 16) / pageSize)
    else small += valueLength + keyLength + 16
    const last = lasts?.get(table)
    if (last !== undefined && isBehind(bytes, cursor.keyAt, keyLength, last)) behind++
  }
  let leaves = 0
  let branches = 0
  let depth = 0
  for (const id of tables) {
    const stat = environment.statOf(id)
    leaves += stat?.treeLeafPageCount ?? 0
    branches += stat?.treeBranchPageCount ?? 0
    depth += stat?.treeDepth ?? 0
  }
  const within = operations - behind
  pages += Math.min(within, leaves) + Math.min(within * depth, branches) + depth
  pages += 2 * Math.ceil(small / pageSize) + Math.ceil(operations / 8)
  return { pages, onlyDeletes }
}

/** The last key of each table that has one, as the transaction has it. */
function lastKeys(environment: RoomHost, tables: Iterable<number>): Map<number, Uint8Array> {
  const keys = new Map<number, Uint8Array>()
  for (const id of tables) {
    const last = environment.lastKeyOf(id)
    if (last !== undefined) keys.set(id, last)
  }
  return keys
}

/** Is the key at `at` greater? */
function isBehind(bytes: Uint8Array, at: number, length: number, last: Uint8Array): boolean {
  for (let i = 0; i < length && i < last.length; i++) {
    const difference = (bytes[at + i] as number) - (last[i] as number)
    if (difference !== 0) return difference > 0
  }
  return length > last.length
}

/** Pages for noting down that all pages of a tree are free. */
function pagesToFree(stat: RawStat | undefined, pageSize: number): number {
  if (stat === undefined) return 0
  const all = stat.treeLeafPageCount + stat.treeBranchPageCount + stat.overflowPages
  return Math.ceil((all * PAGE_NUMBER) / pageSize)
}

/** What dropping a tree takes. */
export function needOfDrop(stat: RawStat | undefined, pageSize: number): Need {
  return { pages: pagesToFree(stat, pageSize), onlyDeletes: true }
}

/** Pages of a record of ours, its leaf and those above it: of the tables that are few, and small. */
const RECORD_PAGES = 4

/** What a record of ours takes. It stands beside others' operations, and is no reason to refuse their deletes. */
export function needOfRecord(environment: { readonly pageSize: number }, length: number): Need {
  return { pages: RECORD_PAGES + Math.ceil(length / environment.pageSize), onlyDeletes: true }
}

/**
 * Within a write transaction, before anything is put: sees to it that LMDB cannot meet a full disk, since a write of its
 * own that fails damages its heap. Appends zeros behind its last page, which it ignores until it needs them. Where that
 * fails and what is there is not enough, throws `MILL_DISK_FULL`; nothing has changed then.
 */
export function makeRoom(environment: RoomHost, { pages, onlyDeletes }: Need): void {
  const { pageSize } = environment
  const need = (OWN_PAGES + pages) * pageSize
  const keep = onlyDeletes ? 0 : KEPT
  const last = environment.info.lastPageNumber
  const used = (last + 1) * pageSize
  // What is known of the size is enough most of the time: a look at the file costs, see `Place`.
  if (isComfortable(environment.fileBytes, used, need + keep)) return
  const size = environment.lookAtFile()
  if (isComfortable(size, used, need + keep)) return
  const growth = Math.min(MOST_GROWTH, Math.max(LEAST_GROWTH, size / 2))
  const more = Math.ceil(Math.max(need + keep + size / 16 - (size - used), growth) / pageSize)
  if (append(environment, more * pageSize)) return
  const tail = environment.lookAtFile() - used
  if (tail >= need + keep) return
  if (environment.expendable) {
    // Free pages may still belong to readers of an older state: hence twice the need.
    const free = Math.max(0, last - 1 - environment.pagesOfAll()) * pageSize
    if (tail + free >= (onlyDeletes ? need : 2 * need + keep)) return
  }
  const { path } = environment
  throw new StoreError('MILL_DISK_FULL', `${path}: the disk is full`, { path, needed: need + keep })
}

function isComfortable(size: number, used: number, needed: number): boolean {
  return size - used >= needed + size / 16
}

/** Appends zeros; false: the disk took some of them at most. */
function append(environment: RoomHost, length: number): boolean {
  const zeros = new Uint8Array(Math.min(length, WRITTEN_AT_ONCE))
  try {
    for (let left = length; left > 0; ) {
      left -= writeSync(environment.appending, zeros, 0, Math.min(left, zeros.length))
    }
    return true
  } catch (error) {
    const fault = storeFault(environment.path, error)
    if ((fault as StoreError).code === 'MILL_DISK_FULL') return false
    throw fault
  }
}
