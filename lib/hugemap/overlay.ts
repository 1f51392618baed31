import type { ByteRange } from '../../types/store.js'
import { latin1 } from '../base/bytes.js'
import type { Arena } from '../store/operations.js'
import { StringBounds } from './ranges.js'

/** {@link Pending.valueLength} of a key that is being deleted. */
export const DELETED = -1

/** A plain `set` or `delete` on its way to the disk. Its bytes lie in the arena it is sent in. There may be many: it is small. */
export class Pending {
  /** The bytes of the key as a string: one character each. */
  readonly key: string
  readonly arena: Arena
  readonly keyAt: number
  /** Bytes of the record, or {@link DELETED}. */
  readonly valueLength: number

  constructor(key: string, arena: Arena, keyAt: number, valueLength: number) {
    this.key = key
    this.arena = arena
    this.keyAt = keyAt
    this.valueLength = valueLength
  }

  /** Where the record begins: behind the key. */
  get valueAt(): number {
    return this.keyAt + this.key.length
  }
}

/** What this process has set in a table, and reads already though it is not on the disk yet. */
export class Overlay {
  readonly entries = new Map<string, Pending>()
  /** Counts up with everything of this process that changes what can be read here. */
  version = 0

  /** `keyLength` bytes at `keyAt` of the arena's memory are the key, `valueLength` behind them the record. */
  add(arena: Arena, keyAt: number, keyLength: number, valueLength: number): Pending {
    const key = latin1(arena.memory, keyAt, keyAt + keyLength)
    const pending = new Pending(key, arena, keyAt, valueLength)
    this.entries.set(key, pending)
    this.version++
    return pending
  }

  get(key: Uint8Array, keyLength: number): Pending | undefined {
    return this.entries.get(latin1(key, 0, keyLength))
  }

  /** Takes it away, unless something newer stands in its place. */
  drop(pending: Pending): void {
    if (this.entries.get(pending.key) === pending) this.entries.delete(pending.key)
  }

  /** What is pending within a range, in the range's order. */
  inRange(range: ByteRange): Pending[] {
    const bounds = new StringBounds(range)
    const found: Pending[] = []
    for (const pending of this.entries.values()) if (bounds.has(pending.key)) found.push(pending)
    const before = range.reverse === true ? 1 : -1
    return found.sort((a, b) => (a.key < b.key ? before : -before))
  }
}
