import { uint } from './numbers.js'
import { PartQueue } from './part-queue.js'

/**
 * Numbers of a fixed size, all unsigned. Inside the first part they are read in place, 5 ns each; over a border byte by
 * byte. Undefined: not enough bytes yet, nothing is consumed.
 */
export abstract class NumberQueue extends PartQueue {
  abstract at(index: number): number | undefined
  abstract skip(count?: number): number

  /** One byte. */
  takeUInt8(): number | undefined {
    if (this._end - this._off > 1) {
      this._length--
      return this._u8[this._off++]
    }
    return uint(this, 1, false)
  }

  /** Two bytes, most significant first. */
  takeUInt16BE(): number | undefined {
    const at = this._advance(2)
    if (at === -1) return uint(this, 2, false)
    const u8 = this._u8
    return ((u8[at] as number) << 8) | (u8[at + 1] as number)
  }

  /** Two bytes, least significant first. */
  takeUInt16LE(): number | undefined {
    const at = this._advance(2)
    if (at === -1) return uint(this, 2, true)
    const u8 = this._u8
    return ((u8[at + 1] as number) << 8) | (u8[at] as number)
  }

  /** Four bytes, most significant first. */
  takeUInt32BE(): number | undefined {
    const at = this._advance(4)
    if (at === -1) return uint(this, 4, false)
    const u8 = this._u8
    const low = ((u8[at + 1] as number) << 16) | ((u8[at + 2] as number) << 8) | (u8[at + 3] as number)
    return (u8[at] as number) * 0x1000000 + low
  }

  /** Four bytes, least significant first. */
  takeUInt32LE(): number | undefined {
    const at = this._advance(4)
    if (at === -1) return uint(this, 4, true)
    const u8 = this._u8
    const low = ((u8[at + 2] as number) << 16) | ((u8[at + 1] as number) << 8) | (u8[at] as number)
    return (u8[at + 3] as number) * 0x1000000 + low
  }

  /** Eight bytes, most significant first. */
  takeBigUInt64BE(): bigint | undefined {
    if (this._length < 8) return undefined
    const high = this.takeUInt32BE() as number
    return (BigInt(high) << 32n) | BigInt(this.takeUInt32BE() as number)
  }

  /** Eight bytes, least significant first. */
  takeBigUInt64LE(): bigint | undefined {
    if (this._length < 8) return undefined
    const low = this.takeUInt32LE() as number
    return (BigInt(this.takeUInt32LE() as number) << 32n) | BigInt(low)
  }

  /** Consumes `size` bytes that lie inside the first part and do not use it up; where they stand in `_u8`, or -1. */
  protected _advance(size: number): number {
    const at = this._off
    if (at + size >= this._end) return -1
    this._off = at + size
    this._length -= size
    return at
  }
}
