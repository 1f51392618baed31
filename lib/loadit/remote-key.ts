import { ArgumentError } from '../base/errors.js'

const encoder = new TextEncoder()
/** What RFC 3986 calls unreserved: all that stays as it is in a path. */
const UNRESERVED = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~'

/** The key under which a shard lies in a store. */
export const keyOf = (start: number): string => `${start}.shd`

/** The parts of a key between its slashes. Throws `MILL_INVALID_ARGUMENT` for what could lead elsewhere. */
export function partsOf(key: unknown): string[] {
  const parts = typeof key === 'string' ? key.split('/') : ['']
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..' || part.includes('\\') || part.includes('\0')) {
      throw new ArgumentError('key', 'a name, or names with slashes between, that leads nowhere else', key)
    }
  }
  return parts
}

/**
 * One part of a path or query as S3 wants it to be signed: every byte but the unreserved ones as `%XX`. Other servers read
 * it the same way.
 */
export function escapePart(text: string): string {
  let escaped = ''
  for (const byte of encoder.encode(text)) {
    const char = String.fromCharCode(byte)
    escaped += UNRESERVED.includes(char) ? char : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return escaped
}

/** The folder a store works in, as a URL whose path is escaped as {@link escapePart} does it. */
export function folderUrl(given: string | URL): URL {
  const wrong = new ArgumentError('url', 'an http(s) URL that ends with "/", without name, password and query', given)
  let url: URL
  try {
    url = new URL(given)
  } catch {
    throw wrong
  }
  const isPlain = url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  const isHttp = url.protocol === 'http:' || url.protocol === 'https:'
  if (!isPlain || !isHttp || !url.pathname.endsWith('/')) throw wrong
  try {
    url.pathname = url.pathname
      .split('/')
      .map((part) => escapePart(decodeURIComponent(part)))
      .join('/')
  } catch {
    throw wrong
  }
  return url
}

/** Where a key lies. */
export function urlOf(folder: URL, key: string): string {
  return folder.href + partsOf(key).map(escapePart).join('/')
}

/** Bytes to get of a key: `length` from `offset` on, or the last ones. */
export interface Part {
  readonly offset: number
  readonly length: number
}

/** What the options of `get` ask for; undefined: all of it. Throws `MILL_INVALID_ARGUMENT`. */
export function partOf({ offset, length }: { offset?: number; length?: number } = {}): Part | undefined {
  if (offset !== undefined && !Number.isSafeInteger(offset)) {
    throw new ArgumentError('options.offset', 'a whole number', offset)
  }
  if (length !== undefined && (!Number.isSafeInteger(length) || length < 0)) {
    throw new ArgumentError('options.length', 'a whole number >= 0', length)
  }
  if ((offset === undefined || offset === 0) && length === undefined) return undefined
  return { offset: offset ?? 0, length: length ?? Number.POSITIVE_INFINITY }
}
