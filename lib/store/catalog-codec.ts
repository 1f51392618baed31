import type { CatalogKey } from '../../types/catalog.js'
import { latin1, utf8 } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { keyCodecOf } from '../codec/keys.js'

/** Bytes of a key, and of a value, at most. */
export const MAX_KEY_BYTES = 64
export const MAX_VALUE_BYTES = 65_536

/** Objects within objects, at most: deeper ones are a mistake, or a cycle. */
const DEEPEST = 64

const codec = keyCodecOf('any')
const encoder = new TextEncoder()

/** A key as bytes that sort as keys do. Throws `MILL_INVALID_ARGUMENT`. */
export function encodeKey(key: CatalogKey): Uint8Array {
  if (!isKey(key)) throw new ArgumentError('key', 'an array of a string, then strings and numbers but NaN and −0', key)
  const bytes = codec.encode([...key])
  if (bytes.length <= MAX_KEY_BYTES) return bytes
  throw new ArgumentError('key', `at most ${MAX_KEY_BYTES} bytes long`, bytes.length)
}

function isKey(key: unknown): key is CatalogKey {
  if (!Array.isArray(key) || typeof key[0] !== 'string') return false
  return key.every((part) =>
    typeof part === 'string' ? (part as string & Wellformed).isWellFormed() : typeof part === 'number' && !isOdd(part),
  )
}

const isOdd = (part: number): boolean => Number.isNaN(part) || Object.is(part, -0)

/** The key of these bytes. */
export function decodeKey(bytes: Uint8Array): CatalogKey {
  return codec.decode(bytes) as unknown as CatalogKey
}

/** A key as something a Map can have as its key. */
export function keyText(bytes: Uint8Array): string {
  return latin1(bytes)
}

/** A value as bytes. Throws `MILL_INVALID_ARGUMENT` for what would not come back as it is, and for what is too big. */
export function encodeValue(value: unknown): Uint8Array {
  const fault = oddity(value, 'value', 0)
  if (fault !== undefined) throw new ArgumentError(fault, 'something that JSON keeps as it is', value)
  const bytes = encoder.encode(JSON.stringify(value))
  if (bytes.length <= MAX_VALUE_BYTES) return bytes
  throw new ArgumentError('value', `at most ${MAX_VALUE_BYTES} bytes as JSON`, bytes.length)
}

/** The value of these bytes; undefined of none. */
export function decodeValue(bytes: Uint8Array | undefined): unknown {
  return bytes === undefined ? undefined : JSON.parse(utf8(bytes))
}

/** Where something is that JSON would drop or change; undefined: nowhere. */
function oddity(value: unknown, path: string, depth: number): string | undefined {
  if (value === null || typeof value === 'boolean') return undefined
  if (typeof value === 'string') return (value as string & Wellformed).isWellFormed() ? undefined : path
  if (typeof value === 'number') return Number.isFinite(value) && !Object.is(value, -0) ? undefined : path
  if (typeof value !== 'object' || depth === DEEPEST) return path
  if (Array.isArray(value)) {
    // Not forEach: a hole is one, too.
    for (let i = 0; i < value.length; i++) {
      const found = oddity(value[i], `${path}[${i}]`, depth + 1)
      if (found !== undefined) return found
    }
    return Object.keys(value).length === value.length ? undefined : path
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) return path
  if (Object.getOwnPropertySymbols(value).length > 0 || Object.hasOwn(value, '__proto__') || 'toJSON' in value)
    return path
  for (const [name, inner] of Object.entries(value)) {
    const found = oddity(inner, `${path}.${name}`, depth + 1)
    if (found !== undefined) return found
  }
  return undefined
}

/** Of Node 20 on, and not yet in every list of what strings can do. */
interface Wellformed {
  isWellFormed(): boolean
}
