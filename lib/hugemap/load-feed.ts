import type { Source } from '../../types/source.js'
import { toUint8Array } from '../base/bytes.js'
import { isMillraceError, StoreError } from '../base/errors.js'
import type { SideChild } from '../store/side-child.js'
import { type AnyBytes, readable } from '../streams/index.js'
import { piecesOf } from '../streams/shape.js'
import { DATA, END } from './bulk-frames.js'
import type { Coding } from './config.js'
import { KeyCoder } from './key-coder.js'
import { Records } from './run-records.js'
import { ValueCodec } from './values.js'

/** Bytes of a frame. */
const FRAME = 1_048_576
/** Bytes that may be under way to the side process and wait there. */
const UNDER_WAY = 4_194_304
/** How many values are decoded again and compared, as with `set`. */
const VERIFIED = 16
/** What is wrong with a pair, rather than with us. */
const FAULTS_OF_RECORDS = ['MILL_BAD_KEY', 'MILL_SERIALIZE', 'MILL_TOO_LARGE'] as const

/** Ends a source that is not going to be read. */
export function dropSource(source: Source<unknown>): void {
  try {
    readable(source).destroy()
  } catch {
    // It is no stream, or has another reader, who ends it: there is nothing to be told besides what is wrong already.
  }
}

/** Sends input to a side process, as fast as it takes it. */
export class Feed {
  readonly #child: SideChild
  #underWay = 0
  #waiting: (() => void) | undefined
  #stopped = false
  #stream: { destroy(): void } | undefined

  constructor(child: SideChild) {
    this.#child = child
  }

  /** The side process has room for so many bytes more. */
  credit(bytes: number): void {
    this.#underWay -= bytes
    if (this.#underWay <= UNDER_WAY) this.#go()
  }

  /** Nobody takes anything any more: the source is ended, wherever it is. */
  stop(): void {
    this.#stopped = true
    this.#stream?.destroy()
    this.#go()
  }

  /** All bytes of a source. Rejects with its error. */
  async bytes(source: Source<Uint8Array>): Promise<void> {
    const stream = this.#follow(readable(source as Source<AnyBytes>))
    for await (const batch of stream.batches()) {
      for (const item of batch) {
        for (const piece of piecesOf(item)) {
          for (let at = 0; at < piece.length; at += FRAME)
            await this.#send(toUint8Array(piece.subarray(at, at + FRAME)))
        }
      }
      if (this.#stopped) return
    }
    this.#child.send(END, 0)
  }

  /** All pairs of a source, encoded. Rejects with its error, and as {@link PairEncoder.add} throws. */
  async pairs<K, V>(source: Source<readonly [K, V]>, encoder: PairEncoder<K, V>): Promise<void> {
    const stream = this.#follow(readable<readonly [K, V]>(source))
    for await (const batch of stream.batches()) {
      for (const pair of batch) {
        encoder.add(pair)
        if (encoder.length >= FRAME) await this.#send(encoder.take())
      }
      if (this.#stopped) return
    }
    if (encoder.length > 0) await this.#send(encoder.take())
    this.#child.send(END, 0)
  }

  /** The stream ends with this, also if that was before. */
  #follow<S extends { destroy(): void }>(stream: S): S {
    this.#stream = stream
    if (this.#stopped) stream.destroy()
    return stream
  }

  async #send(bytes: Uint8Array): Promise<void> {
    if (this.#stopped) return
    this.#underWay += bytes.length
    this.#child.send(DATA, 0, bytes)
    if (this.#underWay <= UNDER_WAY) return
    await new Promise<void>((resolve) => {
      this.#waiting = resolve
    })
  }

  #go(): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    waiting?.()
  }
}

/** Pairs to records. */
export class PairEncoder<K, V> {
  /** Pairs that were left out. */
  skipped = 0
  readonly #keys: KeyCoder<K>
  readonly #values: ValueCodec<V>
  readonly #skipBad: boolean
  #records = new Records(FRAME + FRAME / 16)
  #count = 0

  constructor(
    coding: Coding<K, V>,
    options: { maxKeyBytes: number; maxValueBytes: number; skipBad: boolean; path: string; name: string },
  ) {
    const { keys, serializer, codec, config } = coding
    const { maxKeyBytes, maxValueBytes, skipBad, path, name } = options
    const { checksum } = config
    this.#keys = new KeyCoder(keys, maxKeyBytes)
    this.#values = new ValueCodec({ serializer, codec, checksum, maxValueBytes, path, name })
    this.#skipBad = skipBad
  }

  /** Bytes of the records. */
  get length(): number {
    return this.#records.length
  }

  /** The records, which are not touched any more. */
  take(): Uint8Array {
    const { bytes, length } = this.#records
    this.#records = new Records(FRAME + FRAME / 16)
    return bytes.subarray(0, length)
  }

  /** Throws `MILL_BAD_RECORD`, `MILL_FIDELITY`. */
  add(pair: readonly [K, V]): void {
    const index = this.#count++
    try {
      if (!Array.isArray(pair) || pair.length !== 2) {
        throw new StoreError('MILL_BAD_RECORD', 'it is no [key, value]', { reason: 'it is no [key, value]' })
      }
      this.#encode(pair[0], pair[1])
    } catch (cause) {
      if (!isMillraceError(cause, 'MILL_BAD_RECORD') && !FAULTS_OF_RECORDS.some((code) => isMillraceError(cause, code)))
        throw cause
      if (!this.#skipBad) {
        const reason = (cause as Error).message
        throw new StoreError('MILL_BAD_RECORD', `Pair ${index} of the input: ${reason}`, { index, reason, cause })
      }
      this.skipped++
    }
  }

  #encode(key: K, value: V): void {
    const records = this.#records
    records.reserve(this.#keys.most)
    const { keyAt } = records
    const at = this.#keys.encodeInto(key, records.bytes, keyAt)
    const keyLength = at - keyAt
    for (;;) {
      const { bytes } = records
      const end = this.#values.encodeInto(value, bytes, keyAt, keyLength, bytes, at)
      if (end > bytes.length) {
        records.reserve(end - keyAt, keyLength)
        continue
      }
      if (this.#count <= VERIFIED) {
        this.#values.verify(value, bytes.subarray(keyAt, at), keyLength, bytes, at, end - at)
      }
      records.reserve(end - keyAt, end - keyAt)
      records.commit(keyLength, end - at)
      return
    }
  }
}
