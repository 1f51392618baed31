import type { PlacedSerializer } from '../codec/serializer.js'

/** What lies in the map of a cached function: when it was computed (ms since 1970), and what came out. */
export type CachedResult<R> = readonly [time: number, result: R]

/** Bytes before the result: f64 time, little-endian, and 0 for `undefined` or 1 for a result that follows. */
const HEAD = 9

const float = new Float64Array(1)
const floatBytes = new Uint8Array(float.buffer)
/** Where the lowest byte of a float64 stands: that depends on the machine. */
const LOWEST = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1 ? 0 : 7

/** {@link CachedResult}s by the serializer of their results, which need not know `undefined`. */
export function resultSerializer<R>(inner: PlacedSerializer<R>): PlacedSerializer<CachedResult<R>> {
  return {
    name: `cached-${inner.name}`,
    exact: inner.exact,
    encode(entry) {
      const body = entry[1] === undefined ? undefined : inner.encode(entry[1])
      const data = new Uint8Array(HEAD + (body?.length ?? 0))
      writeHead(entry, data, 0)
      if (body !== undefined) data.set(body, HEAD)
      return data
    },
    decode: (data) => readFrom(inner, data, 0, data.length),
    encodeInto(entry, target, at) {
      const end = at + HEAD
      if (end <= target.length) writeHead(entry, target, at)
      return entry[1] === undefined ? end : inner.encodeInto(entry[1], target, end)
    },
    decodeFrom: (data, from, to) => readFrom(inner, data, from, to),
  }
}

function writeHead<R>(entry: CachedResult<R>, target: Uint8Array, at: number): void {
  float[0] = entry[0]
  for (let i = 0; i < 8; i++) target[at + i] = floatBytes[i ^ LOWEST] as number
  target[at + 8] = entry[1] === undefined ? 0 : 1
}

function readFrom<R>(inner: PlacedSerializer<R>, data: Uint8Array, from: number, to: number): CachedResult<R> {
  const body = from + HEAD
  const has = data[body - 1]
  if (to < body || (has !== 1 && (has !== 0 || to !== body))) throw new TypeError('not the result of a cached function')
  for (let i = 0; i < 8; i++) floatBytes[i ^ LOWEST] = data[from + i] as number
  const time = float[0] as number
  return [time, has === 0 ? (undefined as R) : inner.decodeFrom(data, body, to)]
}
