import type { Serializer } from '../../types/codec.js'
import type { PlacedSerializer, Session, Sessions } from './contract.js'
import { isSerializerName } from './serializer.js'

export type { Session, Sessions } from './contract.js'

const NOTHING = new Uint8Array(0)

/**
 * Sessions of a serializer: its own where it has some, those of msgpack with shapes of records that the values share, else
 * ones that share nothing. Resolves when what they need is loaded.
 */
export async function loadSessions<V>(serializer: Serializer<V> | PlacedSerializer<V>): Promise<Sessions<V>> {
  if (typeof serializer.session === 'function') return (dictionary) => ownSession(serializer, dictionary)
  if (serializer.name === 'msgpack') return (await import('./session-msgpack.js')).msgpackSession as Sessions<V>
  const placed = 'decodeFrom' in serializer ? serializer : undefined
  if (placed !== undefined && isSerializerName(placed.name)) return () => placedSession(placed)
  return () => plainSession(serializer)
}

function ownSession<V>(serializer: Serializer<V>, dictionary: Uint8Array | undefined): Session<V> {
  const own = serializer.session?.(dictionary)
  if (own === undefined) throw new TypeError(`session() of the serializer ${serializer.name} must return a session`)
  return {
    encode: (value) => asBytes(own.encode(value), serializer),
    decode: (data, from, to) => own.decode(new Uint8Array(data.subarray(from, to)), true),
    dictionary: () => asBytes(own.dictionary(), serializer),
  }
}

function plainSession<V>(serializer: Serializer<V>): Session<V> {
  return {
    encode: (value) => asBytes(serializer.encode(value), serializer),
    decode: (data, from, to) => serializer.decode(new Uint8Array(data.subarray(from, to)), true),
    dictionary: () => NOTHING,
  }
}

/** Into one buffer, which grows with the values. */
function placedSession<V>(serializer: PlacedSerializer<V>): Session<V> {
  let buffer = new Uint8Array(1024)
  return {
    encode(value) {
      let end = serializer.encodeInto(value, buffer, 0)
      if (end > buffer.length) {
        buffer = new Uint8Array(Math.max(end, 2 * buffer.length))
        end = serializer.encodeInto(value, buffer, 0)
      }
      return buffer.subarray(0, end)
    },
    decode: (data, from, to) => serializer.decodeFrom(data, from, to),
    dictionary: () => NOTHING,
  }
}

function asBytes(data: unknown, { name }: { readonly name: string }): Uint8Array {
  if (data instanceof Uint8Array) return data
  throw new TypeError(`the serializer ${name} must return a Uint8Array`)
}
