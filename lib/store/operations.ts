import type { Operation, Operations } from '../../types/store.js'
import { allocate } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'

/** Kinds of records; part of what is sent to the side process and what a folder keeps, so never renumbered. */
export const SET = 1
export const DELETE = 2
export const CLEAR = 3
export const REQUIRE = 4
export const GROUP = 9

/** Flags of a record: it wants a byte of the result · it has a condition · the condition is "absent". */
export const WANTS_RESULT = 1
export const CONDITION = 2
export const ABSENT = 4

/** Bytes before the parts of a record. */
export const HEADER = 16
/** What an arena holds unless told otherwise. A quarter of it costs 30 % of the throughput. */
export const ARENA_BYTES = 1_048_576
/** Lengths are u32, and one typed array must hold it all. */
const MOST = 0x7fff_ffff

/** What an operation may ask for besides being done. */
export interface Wish {
  /** Only if the key has this value; null: only if it is absent. */
  readonly expect?: Uint8Array | null | undefined
  readonly wantsResult?: boolean
}

const NOTHING = new Uint8Array(0)

/**
 * Operations, one behind the other in one piece of memory, little-endian:
 *
 * `0 u8 kind · 1 u8 flags · 2 u16 table · 4 u16 key length · 6 u16 0 · 8 u32 value length · 12 u32 expected length · key ·
 * value · expected`. A group has no parts: its word 12 is how many bytes of operations follow that belong to it.
 *
 * Either append with {@link set} and the like, which copy; or write in place: {@link ensure} room, write key and value
 * behind a header's {@link HEADER} bytes from `length` on, then {@link commit}.
 */
export class Arena implements Operations {
  /** The first `length` bytes are in use. Another array after `ensure` had to grow it. */
  memory: Uint8Array<ArrayBuffer>
  view: DataView
  length = 0
  count = 0
  /** How many bytes the result will have. */
  wanted = 0
  #inGroup = false

  /** @param capacity bytes to begin with; it grows when one operation needs more */
  constructor(capacity = ARENA_BYTES) {
    this.memory = allocate(capacity)
    this.view = new DataView(this.memory.buffer, this.memory.byteOffset)
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.memory.subarray(0, this.length)
  }

  /** Bytes until it has to grow. */
  get room(): number {
    return this.memory.length - this.length
  }

  /** Makes room for so many bytes more. Throws `MILL_INVALID_ARGUMENT` beyond 2 GiB. */
  ensure(more: number): void {
    const needed = this.length + more
    if (needed <= this.memory.length) return
    if (needed > MOST) throw new ArgumentError('operations', 'less than 2 GiB', needed)
    const larger = allocate(Math.min(MOST, Math.max(needed, 2 * this.memory.length)))
    larger.set(this.memory.subarray(0, this.length))
    this.memory = larger
    this.view = new DataView(larger.buffer, larger.byteOffset)
  }

  /** The header of a record whose parts already stand behind it, at `length` + {@link HEADER}; counts it in. */
  commit(
    kind: number,
    flags: number,
    table: number,
    keyLength: number,
    valueLength: number,
    expectLength: number,
  ): void {
    const { view, length: at } = this
    view.setUint8(at, kind)
    view.setUint8(at + 1, flags)
    view.setUint16(at + 2, table, true)
    view.setUint16(at + 4, keyLength, true)
    view.setUint16(at + 6, 0, true)
    view.setUint32(at + 8, valueLength, true)
    view.setUint32(at + 12, expectLength, true)
    this.length = at + HEADER + keyLength + valueLength + (kind === GROUP ? 0 : expectLength)
    this.count++
    if (!this.#inGroup && (flags & WANTS_RESULT) !== 0) this.wanted++
  }

  set(table: number, key: Uint8Array, value: Uint8Array, wish?: Wish): void {
    this.#append(SET, table, key, value, wish)
  }

  delete(table: number, key: Uint8Array, wish?: Wish): void {
    this.#append(DELETE, table, key, NOTHING, wish)
  }

  /** Removes everything in the table. */
  clear(table: number): void {
    this.#append(CLEAR, table, NOTHING, NOTHING, undefined)
  }

  /** Within a group: none of it is done unless the key has this value; null: is absent. */
  require(table: number, key: Uint8Array, expect: Uint8Array | null): void {
    this.#append(REQUIRE, table, key, NOTHING, { expect })
  }

  /** What is appended within `fill` is done as a whole or not at all, and has one byte of the result, if one is wanted. */
  group(fill: () => void, wantsResult = false): void {
    if (this.#inGroup) throw new ArgumentError('group', 'outside other groups', 'one within another')
    const { length: at, count, wanted } = this
    this.ensure(HEADER)
    this.commit(GROUP, wantsResult ? WANTS_RESULT : 0, 0, 0, 0, 0)
    this.#inGroup = true
    try {
      fill()
    } catch (error) {
      this.length = at
      this.count = count
      this.wanted = wanted
      throw error
    } finally {
      this.#inGroup = false
    }
    this.view.setUint32(at + 12, this.length - at - HEADER, true)
  }

  /** Empty again; memory that grew for one large operation is given back. */
  reset(): void {
    if (this.memory.length > 4 * ARENA_BYTES) {
      this.memory = allocate(ARENA_BYTES)
      this.view = new DataView(this.memory.buffer, this.memory.byteOffset)
    }
    this.length = 0
    this.count = 0
    this.wanted = 0
  }

  #append(kind: number, table: number, key: Uint8Array, value: Uint8Array, wish: Wish | undefined): void {
    const expect = wish?.expect
    const more = expect?.length ?? 0
    let flags = wish?.wantsResult === true ? WANTS_RESULT : 0
    if (expect !== undefined) flags |= expect === null ? CONDITION | ABSENT : CONDITION
    if (key.length > 0xffff) throw new ArgumentError('key', 'at most 65,535 bytes', key)
    this.ensure(HEADER + key.length + value.length + more)
    const at = this.length + HEADER
    this.memory.set(key, at)
    this.memory.set(value, at + key.length)
    if (expect) this.memory.set(expect, at + key.length + value.length)
    this.commit(kind, flags, table, key.length, value.length, more)
  }

  [Symbol.iterator](): IterableIterator<Operation> {
    return operationsIn(this.bytes)
  }
}

/** Walks records without making an object of any. `next()` moves the fields on to the following record. */
export class OperationCursor {
  readonly bytes: Uint8Array
  /** Where the record begins. */
  at = 0
  kind = 0
  flags = 0
  table = 0
  keyAt = 0
  keyLength = 0
  valueAt = 0
  valueLength = 0
  expectAt = 0
  /** Of a group: how many bytes of operations belong to it. */
  expectLength = 0
  readonly #view: DataView
  #next: number
  readonly #end: number

  constructor(bytes: Uint8Array, from = 0, to = bytes.length) {
    this.bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#next = from
    this.#end = to
  }

  /** Where the following record begins. */
  get end(): number {
    return this.#next
  }

  /** Throws `MILL_INVALID_ARGUMENT` for what is no whole record. */
  next(): boolean {
    const at = this.#next
    if (at === this.#end) return false
    if (at + HEADER > this.#end) throw broken(at)
    const view = this.#view
    this.at = at
    this.kind = view.getUint8(at)
    this.flags = view.getUint8(at + 1)
    this.table = view.getUint16(at + 2, true)
    this.keyAt = at + HEADER
    this.keyLength = view.getUint16(at + 4, true)
    this.valueAt = this.keyAt + this.keyLength
    this.valueLength = view.getUint32(at + 8, true)
    this.expectAt = this.valueAt + this.valueLength
    this.expectLength = view.getUint32(at + 12, true)
    if (this.expectAt + this.expectLength > this.#end) throw broken(at)
    if (this.kind === GROUP) this.#next = this.keyAt
    else if (this.kind >= SET && this.kind <= REQUIRE) this.#next = this.expectAt + this.expectLength
    else throw broken(at)
    return true
  }

  /** Goes behind the group it stands on. */
  skipGroup(): void {
    this.#next = this.keyAt + this.expectLength
  }
}

function broken(at: number): ArgumentError {
  return new ArgumentError('operations', `whole records (at byte ${at})`, 'others')
}

const KINDS = ['', 'set', 'delete', 'clear', 'require'] as const

/** The operations in these bytes as objects, whose bytes are views. */
export function* operationsIn(bytes: Uint8Array): IterableIterator<Operation> {
  const cursor = new OperationCursor(bytes)
  let group = 0
  let groupEnd = 0
  let wantsGroup = false
  while (cursor.next()) {
    if (cursor.kind === GROUP) {
      group++
      groupEnd = cursor.end + cursor.expectLength
      wantsGroup = (cursor.flags & WANTS_RESULT) !== 0
      continue
    }
    const within = cursor.at < groupEnd
    const wantsResult = within ? wantsGroup : (cursor.flags & WANTS_RESULT) !== 0
    wantsGroup = false
    yield operationAt(cursor, within ? group : 0, wantsResult)
  }
}

function operationAt(cursor: OperationCursor, group: number, wantsResult: boolean): Operation {
  const { bytes, flags, table, keyAt, valueAt, expectAt, expectLength } = cursor
  const kind = KINDS[cursor.kind] as Operation['kind']
  const key = bytes.subarray(keyAt, valueAt)
  const value = cursor.kind === SET ? { value: bytes.subarray(valueAt, expectAt) } : undefined
  if ((flags & CONDITION) === 0) return { kind, table, group, wantsResult, key, ...value }
  const expect = (flags & ABSENT) !== 0 ? null : bytes.subarray(expectAt, expectAt + expectLength)
  return { kind, table, group, wantsResult, key, ...value, expect }
}
