import type { KeyCoder } from './key-coder.js'
import type { ValueCodec } from './values.js'

/** Values of a handle that `verify: 'first'` looks at. */
const FIRST = 16

/** Which of the values that are written are decoded again and compared. */
export type Verify = 'first' | 'always' | 'off'

/** Keys and values of one map as the bytes that its store keeps. */
export class RecordCoder<K, V> {
  readonly keys: KeyCoder<K>
  readonly values: ValueCodec<V>
  /** Values still to be verified. */
  #verify: number

  constructor(keys: KeyCoder<K>, values: ValueCodec<V>, verify: Verify) {
    this.keys = keys
    this.values = values
    this.#verify = verify === 'off' ? 0 : verify === 'first' ? FIRST : Number.POSITIVE_INFINITY
  }

  /** The encoded key; a copy. Throws `MILL_BAD_KEY`. */
  keyBytes(key: K): Uint8Array {
    return this.keys.scratch.slice(0, this.keys.encode(key))
  }

  /**
   * The record of a value under this key; `checked`: it may be one of those to verify. Throws `MILL_SERIALIZE`,
   * `MILL_TOO_LARGE`, `MILL_FIDELITY`.
   */
  recordBytes(key: Uint8Array, value: V, checked: boolean): Uint8Array {
    const record = this.values.record(value, key)
    if (checked && this.isToVerify()) this.values.verify(value, key, key.length, record, 0, record.length)
    return record
  }

  /** Is the value that was just encoded one of those to verify? Counts it. */
  protected isToVerify(): boolean {
    if (this.#verify === 0) return false
    this.#verify--
    return true
  }
}
