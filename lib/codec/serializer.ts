import type { Serializer } from '../../types/codec.js'
import type { SerializerName } from '../../types/hugemap.js'
import { ArgumentError } from '../base/errors.js'
import type { PlacedSerializer } from './contract.js'
import { numbers } from './serializer-numbers.js'
import { bytes, json, string } from './serializer-text.js'

export type { PlacedSerializer } from './contract.js'

const NAMES: readonly string[] = ['msgpack', 'json', 'v8', 'string', 'bytes', ...numbers.keys()]

/** Is this the name of a built-in serializer? */
export function isSerializerName(name: unknown): name is SerializerName {
  return typeof name === 'string' && NAMES.includes(name)
}

/**
 * The serializer for what an option `value` says: a built-in name, a serializer of your own, or nothing for `'msgpack'`.
 * Its package is loaded here. Rejects with `MILL_INVALID_ARGUMENT` for anything else.
 */
export async function loadSerializer<V>(
  value: SerializerName | Serializer<V> = 'msgpack',
  argument = 'options.value',
): Promise<PlacedSerializer<V>> {
  if (typeof value === 'string') {
    const found = await builtIn(value)
    if (found !== undefined) return found as PlacedSerializer<V>
  } else if (isOwn(value)) return isPlaced(value) ? value : placed(value)
  throw new ArgumentError(argument, `one of ${NAMES.join(', ')}, or a serializer with a name of its own`, value)
}

async function builtIn(name: string): Promise<unknown> {
  switch (name) {
    case 'msgpack':
      return (await import('./serializer-msgpack.js')).msgpack
    case 'v8':
      return (await import('./serializer-v8.js')).structured()
    case 'json':
      return json
    case 'string':
      return string
    case 'bytes':
      return bytes
    default:
      return numbers.get(name)
  }
}

function isOwn<V>(value: unknown): value is Serializer<V> {
  const own = value as Partial<Serializer<V>> | null
  return (
    typeof own === 'object' &&
    typeof own?.name === 'string' &&
    own.name !== '' &&
    !isSerializerName(own.name) &&
    typeof own.encode === 'function' &&
    typeof own.decode === 'function'
  )
}

function isPlaced<V>(own: Serializer<V>): own is PlacedSerializer<V> {
  const { encodeInto, decodeFrom } = own as Partial<PlacedSerializer<V>>
  return typeof encodeInto === 'function' && typeof decodeFrom === 'function'
}

/** A serializer of somebody else's: its bytes are copied into place, and what it decodes is a copy of its own. */
function placed<V>(own: Serializer<V>): PlacedSerializer<V> {
  return {
    name: own.name,
    exact: false,
    encode: (value) => checked(own, value),
    decode: (data) => own.decode(data),
    encodeInto(value, target, at) {
      const data = checked(own, value)
      if (at + data.length <= target.length) target.set(data, at)
      return at + data.length
    },
    decodeFrom: (data, from, to) => own.decode(data.slice(from, to)),
  }
}

function checked<V>(own: Serializer<V>, value: V): Uint8Array {
  const data: unknown = own.encode(value)
  if (data instanceof Uint8Array) return data
  throw new TypeError(`encode() of the serializer ${own.name} must return a Uint8Array`)
}
