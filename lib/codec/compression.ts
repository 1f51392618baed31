import type { Codec, CompressionName } from '../../types/codec.js'
import { ArgumentError, CodecError, describe } from '../base/errors.js'
import { brotli } from './brotli.js'
import { checkLimit, tooLarge } from './fault.js'
import { gzip } from './gzip.js'
import { lzma } from './lzma.js'
import { loadZstd, zstd } from './zstd.js'

/** How a codec is made: now, or later when it has to be loaded. */
type Make = (options: { level?: number }) => Codec | Promise<Codec>

/** A codec of one name and level: there, or on its way. */
interface Entry {
  codec: Codec | undefined
  readonly loading: Promise<Codec>
}

const none: Codec = {
  name: 'none',
  encode: (data) => data,
  decode(data, maxLength) {
    if (data.length > checkLimit(maxLength)) throw tooLarge('none', maxLength, data.length)
    return data
  },
}

const makers = new Map<string, Make>([
  ['none', () => none],
  ['gzip', gzip],
  ['br', brotli],
  ['zstd', (options) => zstd(options) ?? loadZstd(options)],
  ['lzma', lzma],
])
const entries = new Map<string, Entry>()

/** Is there a codec of this name, built in or registered? Whether its package is installed shows when it is loaded. */
export function isCodec(name: string): boolean {
  return makers.has(name)
}

/**
 * The codec of this name, loaded; the same one each time for the same name and level. Levels: gzip 0 to 9 (default 9),
 * br 0 to 11 (5), zstd 1 to 22 (3), lzma 0 to 9 (6).
 *
 * Rejects with `MILL_CODEC_UNKNOWN` for a name nobody registered, `MILL_CODEC_MISSING` where the codec's package is not
 * installed or there is none for this platform, `MILL_INVALID_ARGUMENT` for a level it doesn't know.
 */
export async function loadCodec(name: CompressionName, options: { level?: number } = {}): Promise<Codec> {
  const entry = entryOf(name, options.level)
  return entry.codec ?? entry.loading
}

/**
 * The codec of this name, at once. Besides the errors of {@link loadCodec} throws `MILL_CODEC_NOT_LOADED` for one that
 * has to be loaded first and hasn't been: zstd in browsers and before Node 22.15.
 */
export function codecOf(name: CompressionName, options: { level?: number } = {}): Codec {
  const { codec } = entryOf(name, options.level)
  if (codec !== undefined) return codec
  throw new CodecError('MILL_CODEC_NOT_LOADED', `${name} has to be loaded first: await loadCodec('${name}')`, {
    codec: name,
  })
}

/**
 * Makes a compression of your own known by its name: 1 to 4 characters a–z, 0–9, not beginning with 0. One of that name
 * is replaced, a built-in one too, except `'none'`; codecs that were handed out before stay as they are. `make` is
 * called once for each level that is asked for; it may return a promise. Throws `MILL_INVALID_ARGUMENT`.
 */
export function registerCodec(name: string, make: (options: { level?: number }) => Codec | Promise<Codec>): void {
  if (!isName(name)) throw new ArgumentError('name', '1 to 4 characters a-z, 0-9, not beginning with 0', name)
  if (name === 'none') throw new ArgumentError('name', "another one than 'none'", name)
  if (typeof make !== 'function') throw new ArgumentError('make', 'a function', make)
  makers.set(name, make)
  for (const key of entries.keys()) if (key.startsWith(`${name}:`)) entries.delete(key)
}

function isName(name: unknown): name is string {
  if (typeof name !== 'string' || name.length < 1 || name.length > 4 || name.startsWith('0')) return false
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    const digit = code >= 48 && code <= 57
    const letter = code >= 97 && code <= 122
    if (!digit && !letter) return false
  }
  return true
}

function entryOf(name: string, level: number | undefined): Entry {
  const key = `${name}:${String(level)}`
  const known = entries.get(key)
  if (known !== undefined) return known
  const make = makers.get(name)
  if (make === undefined) {
    throw new CodecError('MILL_CODEC_UNKNOWN', `there is no compression ${describe(name)}: see registerCodec()`, {
      codec: name,
    })
  }
  const made = make(level === undefined ? {} : { level })
  const codec = isPromise(made) ? undefined : checked(made)
  const entry: Entry = { codec, loading: Promise.resolve(made).then(checked) }
  entries.set(key, entry)
  entry.loading.then(
    (loaded) => {
      entry.codec = loaded
    },
    () => {
      // It may be there the next time: a package can be installed, a codec be registered.
      if (entries.get(key) === entry) entries.delete(key)
    },
  )
  return entry
}

function isPromise(made: Codec | Promise<Codec>): made is Promise<Codec> {
  return typeof (made as Partial<Promise<Codec>> | undefined)?.then === 'function'
}

function checked(codec: Codec): Codec {
  const { encode, decode } = (codec ?? {}) as Partial<Codec>
  if (typeof encode === 'function' && typeof decode === 'function') return codec
  throw new ArgumentError('make()', 'a codec with encode() and decode()', codec)
}
