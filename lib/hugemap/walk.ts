import type { ByteCursor, LocalSnapshot, LocalTable } from '../../types/store.js'
import { latin1 } from '../base/bytes.js'
import { DELETED, type Overlay, type Pending } from './overlay.js'
import type { Bounds } from './ranges.js'

/**
 * Goes through a range of a table with what is pending in this process merged in. Stands before the first entry;
 * `key` and `value` hold the entry that {@link next} went to: `keyLength` bytes from 0 on, `valueLength` bytes from
 * `valueAt` on, valid until the next call of anything.
 */
export class Walk {
  key: Uint8Array
  keyLength = 0
  value: Uint8Array
  valueAt = 0
  valueLength = 0
  readonly #cursor: ByteCursor
  readonly #pending: readonly Pending[]
  readonly #reverse: boolean
  #left: number
  #next = 0
  /** The key the cursor stands on, while it is compared with pending ones; undefined: it has to be moved. */
  #ahead: string | undefined
  #ended = false

  constructor(table: LocalTable, bounds: Bounds, overlay: Overlay | undefined, at: LocalSnapshot | undefined) {
    this.#pending = overlay === undefined || overlay.entries.size === 0 ? [] : overlay.inRange(bounds.range)
    this.#reverse = bounds.range.reverse === true
    this.#left = bounds.limit
    this.#cursor = table.cursor(bounds.range, at)
    this.key = this.#cursor.key
    this.value = this.#cursor.value
  }

  /** False: there is no more, and it is closed. */
  next(): boolean {
    if (this.#left <= 0) {
      this.close()
      return false
    }
    this.#left--
    if (this.#next < this.#pending.length) return this.#merge()
    if (this.#ahead !== undefined) this.#ahead = undefined
    else if (this.#ended || !this.#cursor.next()) {
      this.close()
      return false
    }
    this.#stand()
    return true
  }

  #stand(): void {
    const cursor = this.#cursor
    this.key = cursor.key
    this.keyLength = cursor.keyLength
    this.value = cursor.value
    this.valueAt = 0
    this.valueLength = cursor.valueLength
  }

  #merge(): boolean {
    const cursor = this.#cursor
    for (;;) {
      if (this.#ahead === undefined && !this.#ended) {
        if (cursor.next()) this.#ahead = latin1(cursor.key, 0, cursor.keyLength)
        else this.#ended = true
      }
      const pending = this.#pending[this.#next]
      const ahead = this.#ahead
      if (ahead !== undefined && (pending === undefined || this.#before(ahead, pending.key))) {
        this.#ahead = undefined
        this.#stand()
        return true
      }
      if (pending === undefined) {
        this.close()
        return false
      }
      // What is pending hides what the table has for the same key.
      if (ahead === pending.key) this.#ahead = undefined
      this.#next++
      if (pending.valueLength === DELETED) continue
      const { memory } = pending.arena
      this.keyLength = pending.key.length
      this.key = memory.subarray(pending.keyAt, pending.valueAt)
      this.value = memory
      this.valueAt = pending.valueAt
      this.valueLength = pending.valueLength
      return true
    }
  }

  #before(a: string, b: string): boolean {
    return this.#reverse ? a > b : a < b
  }

  /** Idempotent. */
  close(): void {
    if (!this.#ended) this.#cursor.close()
    this.#ended = true
    this.#left = 0
  }
}
