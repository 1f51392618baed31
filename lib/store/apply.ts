import { ArgumentError } from '../base/errors.js'
import { ABSENT, CLEAR, CONDITION, DELETE, GROUP, OperationCursor, REQUIRE, SET, WANTS_RESULT } from './operations.js'
import { checkKeyLength } from './scan.js'

/** A write transaction of some engine. Keys and values are parts of `bytes`; nothing of it is kept. */
export interface WriteTarget {
  put(table: number, bytes: Uint8Array, keyAt: number, keyLength: number, valueAt: number, valueLength: number): void
  /** Was it there? */
  remove(table: number, bytes: Uint8Array, keyAt: number, keyLength: number): boolean
  clear(table: number): void
  has(table: number, bytes: Uint8Array, keyAt: number, keyLength: number): boolean
  /** Is the value of this key the one at `expectAt`, byte for byte? */
  holds(
    table: number,
    bytes: Uint8Array,
    keyAt: number,
    keyLength: number,
    expectAt: number,
    expectLength: number,
  ): boolean
}

/**
 * Throws what is wrong with operations, before any is applied: `MILL_BAD_KEY`, or `MILL_INVALID_ARGUMENT` for what are
 * no operations. Returns the tables they touch.
 */
export function checkOperations(bytes: Uint8Array, maxKeyBytes: number): Set<number> {
  const tables = new Set<number>()
  const cursor = new OperationCursor(bytes)
  let groupEnd = 0
  while (cursor.next()) {
    if (cursor.kind === GROUP) {
      if (cursor.at < groupEnd) throw new ArgumentError('operations', 'without groups in groups', 'others')
      groupEnd = cursor.end + cursor.expectLength
      continue
    }
    if (cursor.at < groupEnd && cursor.end > groupEnd) throw new ArgumentError('operations', 'whole groups', 'others')
    if (cursor.kind !== CLEAR) checkKeyLength(cursor.keyLength, maxKeyBytes)
    tables.add(cursor.table)
  }
  return tables
}

const NONE = new Uint8Array(0)

/**
 * Applies operations that {@link checkOperations} has passed within a write transaction, and returns one byte for each
 * that wanted one. A throw of the target goes through, and the caller undoes all.
 */
export function applyOperations(target: WriteTarget, bytes: Uint8Array): Uint8Array {
  // An operation takes 16 bytes or more; most calls want no result at all.
  let results = NONE
  let wanted = 0
  const cursor = new OperationCursor(bytes)
  while (cursor.next()) {
    const { flags } = cursor
    const done = cursor.kind === GROUP ? applyGroup(target, cursor) : applyOne(target, cursor)
    if ((flags & WANTS_RESULT) === 0) continue
    if (wanted === results.length) {
      const larger = new Uint8Array(Math.max(64, 2 * wanted))
      larger.set(results)
      results = larger
    }
    results[wanted++] = done ? 1 : 0
  }
  return results.subarray(0, wanted)
}

function applyOne(target: WriteTarget, o: OperationCursor): boolean {
  const { table, bytes, keyAt, keyLength } = o
  if ((o.flags & CONDITION) !== 0 && !conditionHolds(target, o)) return false
  switch (o.kind) {
    case SET:
      target.put(table, bytes, keyAt, keyLength, o.valueAt, o.valueLength)
      return true
    case DELETE:
      return target.remove(table, bytes, keyAt, keyLength)
    case CLEAR:
      target.clear(table)
      return true
    default:
      // `require` stands alone: its condition was tested above, there is nothing to do.
      return true
  }
}

function conditionHolds(target: WriteTarget, o: OperationCursor): boolean {
  const { table, bytes, keyAt, keyLength } = o
  if ((o.flags & ABSENT) !== 0) return !target.has(table, bytes, keyAt, keyLength)
  return target.holds(table, bytes, keyAt, keyLength, o.expectAt, o.expectLength)
}

/** All conditions against the state before the group, then everything, or nothing. Goes behind the group. */
function applyGroup(target: WriteTarget, group: OperationCursor): boolean {
  const from = group.end
  const to = from + group.expectLength
  group.skipGroup()
  const testing = new OperationCursor(group.bytes, from, to)
  let holds = true
  while (testing.next()) {
    if (holds && (testing.flags & CONDITION) !== 0) holds = conditionHolds(target, testing)
  }
  if (!holds) return false
  const doing = new OperationCursor(group.bytes, from, to)
  while (doing.next()) {
    const { kind, table, bytes, keyAt, keyLength } = doing
    if (kind === SET) target.put(table, bytes, keyAt, keyLength, doing.valueAt, doing.valueLength)
    else if (kind === DELETE) target.remove(table, bytes, keyAt, keyLength)
    else if (kind !== REQUIRE) target.clear(table)
  }
  return true
}
