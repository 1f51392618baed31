import type { Range } from '../../types/hugemap.js'
import type { ByteRange } from '../../types/store.js'
import { compareBytes, latin1 } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { afterPrefix, encodePrefix } from '../codec/keys.js'
import type { KeyCoder } from './key-coder.js'

/** The bounds of a range in bytes, and how many of it are wanted. */
export interface Bounds {
  readonly range: ByteRange
  readonly limit: number
}

type Mutable = { -readonly [name in keyof ByteRange]: ByteRange[name] }

const ALL: Bounds = { range: {}, limit: Number.POSITIVE_INFINITY }

/** Throws `MILL_BAD_KEY`, `MILL_INVALID_ARGUMENT`. */
export function boundsOf<K>(keys: KeyCoder<K>, range: Range<K> | undefined): Bounds {
  if (range === undefined) return ALL
  if (typeof range !== 'object' || range === null) throw new ArgumentError('range', 'an object', range)
  const { gt, gte, lt, lte, prefix, reverse = false, limit = Number.POSITIVE_INFINITY } = range
  if (typeof reverse !== 'boolean') throw new ArgumentError('range.reverse', 'true or false', reverse)
  if (!(limit === Number.POSITIVE_INFINITY || (Number.isSafeInteger(limit) && limit >= 0))) {
    throw new ArgumentError('range.limit', 'a whole number >= 0', limit)
  }
  const out: Mutable = { reverse }
  if (gt !== undefined) lower(out, 'gt', keys.bound(gt), keys.most)
  if (gte !== undefined) lower(out, 'gte', keys.bound(gte), keys.most)
  if (lt !== undefined) upper(out, 'lt', keys.bound(lt), keys.most)
  if (lte !== undefined) upper(out, 'lte', keys.bound(lte), keys.most)
  if (prefix !== undefined) {
    const first = encodePrefix(keys.codec, prefix as K)
    const after = afterPrefix(keys.codec, first)
    if (first.length > 0) lower(out, 'gte', first, keys.most)
    if (after !== undefined) upper(out, 'lt', after, keys.most)
  }
  return { range: out, limit }
}

// A bound that is longer than any key stands just behind its own beginning: no key lies between the two. Of two bounds of
// a side one is kept, so that an engine has at most one to look at.

function lower(out: Mutable, kind: 'gt' | 'gte', bytes: Uint8Array, most: number): void {
  const long = bytes.length > most
  const bound = long ? bytes.subarray(0, most) : bytes
  const side = long ? 'gt' : kind
  const other = out.gt ?? out.gte
  if (other !== undefined) {
    const order = compareBytes(bound, other)
    if (order < 0 || (order === 0 && (side === 'gte' || out.gt !== undefined))) return
    delete out.gt
    delete out.gte
  }
  out[side] = bound
}

function upper(out: Mutable, kind: 'lt' | 'lte', bytes: Uint8Array, most: number): void {
  const long = bytes.length > most
  const bound = long ? bytes.subarray(0, most) : bytes
  const side = long ? 'lte' : kind
  const other = out.lt ?? out.lte
  if (other !== undefined) {
    const order = compareBytes(bound, other)
    if (order > 0 || (order === 0 && (side === 'lte' || out.lt !== undefined))) return
    delete out.lt
    delete out.lte
  }
  out[side] = bound
}

/** The same bounds over keys as strings of bytes, which compare as the bytes do. */
export class StringBounds {
  readonly #gt: string | undefined
  readonly #gte: string | undefined
  readonly #lt: string | undefined
  readonly #lte: string | undefined

  constructor({ gt, gte, lt, lte }: ByteRange) {
    this.#gt = gt && latin1(gt)
    this.#gte = gte && latin1(gte)
    this.#lt = lt && latin1(lt)
    this.#lte = lte && latin1(lte)
  }

  has(key: string): boolean {
    return (
      (this.#gt === undefined || key > this.#gt) &&
      (this.#gte === undefined || key >= this.#gte) &&
      (this.#lt === undefined || key < this.#lt) &&
      (this.#lte === undefined || key <= this.#lte)
    )
  }
}
