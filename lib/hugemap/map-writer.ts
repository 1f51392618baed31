import type { LocalTable } from '../../types/store.js'
import { StoreError } from '../base/errors.js'
import { ARENA_BYTES, type Arena, DELETE, GROUP, HEADER, SET, WANTS_RESULT } from '../store/operations.js'
import type { Committer } from './committer.js'
import type { KeyCoder } from './key-coder.js'
import { closedError } from './map-base.js'
import { DELETED, type Overlay } from './overlay.js'
import { RecordCoder, type Verify } from './record-coder.js'
import type { Request } from './request.js'
import type { ValueCodec } from './values.js'

/** Room that a small value finds behind its key without asking. */
const SMALL = 256

/** What a handle was opened with, as far as writing goes. */
export interface MapWriterOptions {
  readonly readonly: boolean
  readonly verify: Verify
  readonly maxPendingBytes: number
  readonly path: string
  /** For errors: which map. */
  readonly label: string
}

/** The writing half of one map: operations into the committer's arena, keys and values encoded in place. */
export class MapWriter<K, V> extends RecordCoder<K, V> {
  readonly committer: Committer
  readonly table: LocalTable
  readonly overlay: Overlay
  /** The handle is closed: nothing more is taken. */
  closed = false
  readonly #options: MapWriterOptions

  constructor(
    committer: Committer,
    table: LocalTable,
    keys: KeyCoder<K>,
    values: ValueCodec<V>,
    options: MapWriterOptions,
  ) {
    super(keys, values, options.verify)
    this.committer = committer
    this.table = table
    this.overlay = committer.overlay(table.id)
    this.#options = options
  }

  /** Throws `MILL_CLOSED`, `MILL_READ_ONLY`. */
  check(): void {
    if (this.closed) throw closedError(this.#options.label)
    if (!this.#options.readonly) return
    throw new StoreError('MILL_READ_ONLY', 'The map was opened with readonly: true', { path: this.#options.path })
  }

  // ---- one operation ------------------------------------------------------------------------------------------------

  /** A plain set, which can be read at once. */
  set(key: K, value: V): Promise<boolean> {
    const request = this.#put(key, value, true)
    const shared = request.shared()
    this.committer.added(request)
    return shared
  }

  /** A set of a stream, which can be read once it is on the disk. */
  put(key: K, value: V): Request {
    const request = this.#put(key, value, false)
    request.changes(this.overlay)
    this.committer.added(request)
    return request
  }

  /** `expect`: the value it must have, undefined for "absent". */
  setIf(key: K, value: V, expect: V | undefined): Promise<boolean> {
    const bytes = this.keyBytes(key)
    const record = this.recordBytes(bytes, value, true)
    const expected = expect === undefined ? null : this.recordBytes(bytes, expect, false)
    const request = this.roomFor(HEADER + bytes.length + record.length + (expected?.length ?? 0), true)
    request.arena.set(this.table.id, bytes, record, { expect: expected, wantsResult: true })
    return this.#answered(request)
  }

  /** A plain delete, which can be read at once. */
  delete(key: K): Promise<boolean> {
    const { committer } = this
    const request = this.roomFor(HEADER + this.keys.most, true)
    const { arena } = request
    const keyAt = arena.length + HEADER
    committer.writing(request)
    try {
      const length = this.keys.encodeInto(key, arena.memory, keyAt) - keyAt
      arena.commit(DELETE, WANTS_RESULT, this.table.id, length, 0, 0)
      request.shows(this.overlay, this.overlay.add(arena, keyAt, length, DELETED))
    } finally {
      committer.written(request)
    }
    const answer = request.answer()
    committer.added(request)
    return answer
  }

  deleteIf(key: K, expect: V): Promise<boolean> {
    const bytes = this.keyBytes(key)
    const expected = this.recordBytes(bytes, expect, false)
    const request = this.roomFor(HEADER + bytes.length + expected.length, true)
    request.arena.delete(this.table.id, bytes, { expect: expected, wantsResult: true })
    return this.#answered(request)
  }

  clear(): Promise<boolean> {
    const request = this.roomFor(HEADER, true)
    request.arena.clear(this.table.id)
    request.changes(this.overlay)
    const shared = request.shared()
    this.committer.added(request)
    return shared
  }

  /** Operations that are done as a whole or not at all; `overlays`: of the tables they touch. */
  group(operations: Arena, overlays: Iterable<Overlay>): Promise<boolean> {
    const { bytes } = operations
    const request = this.roomFor(HEADER + bytes.length, true)
    const { arena } = request
    arena.memory.set(bytes, arena.length + HEADER)
    const at = arena.length
    arena.commit(GROUP, WANTS_RESULT, 0, 0, 0, bytes.length)
    arena.length = at + HEADER + bytes.length
    arena.count += operations.count
    for (const overlay of overlays) request.changes(overlay)
    const answer = request.answer()
    this.committer.added(request)
    return answer
  }

  #answered(request: Request): Promise<boolean> {
    request.changes(this.overlay)
    const answer = request.answer()
    this.committer.added(request)
    return answer
  }

  // ---- bytes --------------------------------------------------------------------------------------------------------

  /**
   * A request whose arena has room for so many bytes. With `limited`, throws `MILL_BACKLOG` if too much waits for the
   * disk; one operation alone may always go.
   */
  roomFor(bytes: number, limited: boolean): Request {
    const { committer } = this
    if (limited) this.#checkBacklog(bytes)
    let request = committer.request()
    if (request.arena.count > 0 && request.arena.length + bytes > ARENA_BYTES) request = committer.fresh()
    request.arena.ensure(bytes)
    return request
  }

  #checkBacklog(bytes: number): void {
    const { pendingBytes } = this.committer
    const { maxPendingBytes: limit, path } = this.#options
    if (pendingBytes === 0 || pendingBytes + bytes <= limit) return
    const message = `${pendingBytes} bytes wait for the disk, of at most ${limit}: await what is set, or use setMany()`
    throw new StoreError('MILL_BACKLOG', message, { path, pendingBytes, limit })
  }

  #put(key: K, value: V, shown: boolean): Request {
    const { committer, keys, values } = this
    const request = this.roomFor(HEADER + keys.most + SMALL, shown)
    const { arena } = request
    const { memory } = arena
    const keyAt = arena.length + HEADER
    committer.writing(request)
    try {
      const valueAt = keys.encodeInto(key, memory, keyAt)
      const keyLength = valueAt - keyAt
      const end = values.encodeInto(value, memory, keyAt, keyLength, memory, valueAt)
      if (end <= memory.length) {
        if (this.isToVerify()) {
          values.verify(value, memory.subarray(keyAt, valueAt), keyLength, memory, valueAt, end - valueAt)
        }
        arena.commit(SET, 0, this.table.id, keyLength, end - valueAt, 0)
        request.changesSurely = true
        if (shown) request.shows(this.overlay, this.overlay.add(arena, keyAt, keyLength, end - valueAt))
        return request
      }
    } finally {
      committer.written(request)
    }
    return this.#putBytes(key, value, shown)
  }

  /** For a value that has no room where the key was written. */
  #putBytes(key: K, value: V, shown: boolean): Request {
    const bytes = this.keyBytes(key)
    const record = this.recordBytes(bytes, value, true)
    const request = this.roomFor(HEADER + bytes.length + record.length, shown)
    const { arena } = request
    const keyAt = arena.length + HEADER
    arena.set(this.table.id, bytes, record)
    request.changesSurely = true
    if (shown) request.shows(this.overlay, this.overlay.add(arena, keyAt, bytes.length, record.length))
    return request
  }
}
