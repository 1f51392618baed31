import { builtin } from '../base/builtin.js'
import { CodecError } from '../base/errors.js'
import type { PlacedSerializer } from './contract.js'

/**
 * V8's own format, Node only: keeps all that msgpack keeps, and −0, holes and lone surrogates too; instances of classes
 * become plain objects, functions and symbols are refused. A Node reads what an older one wrote; the other way round
 * nobody promises. Throws `MILL_CODEC_MISSING` where there is no Node.
 */
export function structured(): PlacedSerializer<unknown> {
  const v8 = builtin('node:v8')
  if (v8 === undefined) {
    throw new CodecError('MILL_CODEC_MISSING', "The serializer 'v8' needs Node: take 'msgpack' here", { codec: 'v8' })
  }
  return {
    name: 'v8',
    exact: false,
    encode: (value) => new Uint8Array(v8.serialize(value)),
    decode: (data) => v8.deserialize(data.slice()),
    encodeInto(value, target, at) {
      const data = v8.serialize(value)
      if (at + data.length <= target.length) target.set(data, at)
      return at + data.length
    },
    // A copy: typed arrays of the value are views of what it was read from.
    decodeFrom: (data, from, to) => v8.deserialize(new Uint8Array(data.subarray(from, to))),
  }
}
