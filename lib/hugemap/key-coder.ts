import type { KeyCodec } from '../../types/key.js'
import { StoreError } from '../base/errors.js'

/** Keys to bytes and back, within the longest key that a store takes. */
export class KeyCoder<K> {
  readonly codec: KeyCodec<K>
  /** Holds the key that {@link encode} was given last. */
  readonly scratch: Uint8Array
  readonly #most: number
  /** Where the last key was decoded, and views of that place by their length. */
  #seen: Uint8Array | undefined
  readonly #views: Uint8Array[] = []

  constructor(codec: KeyCodec<K>, most: number) {
    this.codec = codec
    this.#most = most
    this.scratch = new Uint8Array(most)
  }

  /** Writes the key to {@link scratch} and returns how long it is. Throws `MILL_BAD_KEY`. */
  encode(key: K): number {
    return this.encodeInto(key, this.scratch, 0)
  }

  /** Writes the key into `target` at `at`, where the longest one must have room, and returns where it ends. Throws `MILL_BAD_KEY`. */
  encodeInto(key: K, target: Uint8Array, at: number): number {
    const { codec } = this
    let end: number
    if (codec.encodeInto !== undefined) end = codec.encodeInto(key, target, at)
    else {
      const data: unknown = codec.encode(key)
      if (!(data instanceof Uint8Array)) throw bad(`the codec ${codec.name} gave no bytes`, key)
      end = at + data.length
      if (data.length <= this.#most) target.set(data, at)
    }
    if (end > at && end - at <= this.#most) return end
    if (end === at) throw bad('it has no bytes', key)
    const fields = { reason: 'too long', key, length: end - at, limit: this.#most }
    throw new StoreError('MILL_BAD_KEY', `The key is too long: ${end - at} bytes, of at most ${this.#most}`, fields)
  }

  /** Bytes of a bound, which may be longer than any key; a copy. Throws `MILL_BAD_KEY` for what is no key at all. */
  bound(key: K): Uint8Array {
    return this.codec.encode(key)
  }

  /** Bytes that the longest key has. */
  get most(): number {
    return this.#most
  }

  /** The key in the first `length` bytes. Throws `MILL_BAD_KEY` for bytes that are none. */
  decode(data: Uint8Array, length: number): K {
    if (data !== this.#seen) {
      this.#seen = data
      this.#views.length = 0
      return this.codec.decode(new Uint8Array(data.buffer, data.byteOffset, length))
    }
    // A cursor of the native store has all its keys in one place: there are as many views as lengths, not as keys.
    const view = this.#views[length] ?? new Uint8Array(data.buffer, data.byteOffset, length)
    this.#views[length] = view
    return this.codec.decode(view)
  }
}

function bad(reason: string, key: unknown): StoreError {
  return new StoreError('MILL_BAD_KEY', `Not a key: ${reason}`, { reason, key })
}
