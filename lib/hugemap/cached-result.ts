import { latin1 } from '../base/bytes.js'
import type { PlacedSerializer } from '../codec/serializer.js'

/**
 * What lies in the map of a cached function: when it was computed (ms since 1970), and what came out. With a third
 * element it is no result but a claim: somebody computes it, since then, and has drawn this token.
 */
export type CachedResult<R> = readonly [time: number, result: R, token?: string]

/** Bytes before the result: f64 time, little-endian, and what follows. */
const HEAD = 9
/** The result is `undefined`; the result follows; the token of a claim follows. */
const NOTHING = 0
const RESULT = 1
const CLAIM = 2
/** Bytes of a token, and its characters. */
const TOKEN = 36

const encoder = new TextEncoder()

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
      const body = bodyOf(entry) === RESULT ? inner.encode(entry[1]) : encoder.encode(entry[2])
      const data = new Uint8Array(HEAD + body.length)
      writeHead(entry, data, 0)
      data.set(body, HEAD)
      return data
    },
    decode: (data) => readFrom(inner, data, 0, data.length),
    encodeInto(entry, target, at) {
      const end = at + HEAD
      if (end <= target.length) writeHead(entry, target, at)
      switch (bodyOf(entry)) {
        case RESULT:
          return inner.encodeInto(entry[1], target, end)
        case CLAIM:
          return writeToken(entry[2] as string, target, end)
        default:
          return end
      }
    },
    decodeFrom: (data, from, to) => readFrom(inner, data, from, to),
  }
}

function bodyOf<R>(entry: CachedResult<R>): number {
  if (entry[2] !== undefined) return CLAIM
  return entry[1] === undefined ? NOTHING : RESULT
}

function writeToken(token: string, target: Uint8Array, at: number): number {
  const bytes = encoder.encode(token)
  if (at + bytes.length <= target.length) target.set(bytes, at)
  return at + bytes.length
}

function writeHead<R>(entry: CachedResult<R>, target: Uint8Array, at: number): void {
  float[0] = entry[0]
  for (let i = 0; i < 8; i++) target[at + i] = floatBytes[i ^ LOWEST] as number
  target[at + 8] = bodyOf(entry)
}

function readFrom<R>(inner: PlacedSerializer<R>, data: Uint8Array, from: number, to: number): CachedResult<R> {
  const body = from + HEAD
  const kind = data[body - 1]
  const fits = kind === RESULT || to - body === (kind === NOTHING ? 0 : kind === CLAIM ? TOKEN : Number.NaN)
  if (to < body || !fits) throw new TypeError('not the result of a cached function')
  for (let i = 0; i < 8; i++) floatBytes[i ^ LOWEST] = data[from + i] as number
  const time = float[0] as number
  if (kind === CLAIM) return [time, undefined as R, latin1(data, body, to)]
  return [time, kind === NOTHING ? (undefined as R) : inner.decodeFrom(data, body, to)]
}
