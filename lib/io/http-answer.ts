import { abortable } from '../base/abort.js'
import { concatBytes, ownBytes } from '../base/bytes.js'

/** `Content-Range: bytes first-last/total`. Where the server writes `*`, `first` and `last`, or `total`, are undefined. */
export interface ContentRange {
  readonly first: number | undefined
  readonly last: number | undefined
  readonly total: number | undefined
}

/** Reads the header (RFC 9110, section 14.4); undefined for anything else. */
export function parseContentRange(header: string | null): ContentRange | undefined {
  const text = header?.trim().toLowerCase()
  if (text?.startsWith('bytes ') !== true) return undefined
  const slash = text.indexOf('/')
  if (slash < 0) return undefined
  const span = text.slice(6, slash).trim()
  const total = text.slice(slash + 1).trim()
  const size = total === '*' ? undefined : parseCount(total)
  if (total !== '*' && size === undefined) return undefined
  if (span === '*') return { first: undefined, last: undefined, total: size }
  const dash = span.indexOf('-')
  const first = parseCount(span.slice(0, Math.max(0, dash)))
  const last = parseCount(span.slice(dash + 1))
  return first === undefined || last === undefined ? undefined : { first, last, total: size }
}

/** Decimal digits, and nothing else, as a safe integer. */
export function parseCount(text: string): number | undefined {
  if (text === '' || text.length > 16) return undefined
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) return undefined
  }
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}

/** `Retry-After`, seconds or a date, as milliseconds from now. */
export function parseRetryAfter(header: string | null): number | undefined {
  if (header === null) return undefined
  const seconds = parseCount(header.trim())
  if (seconds !== undefined) return seconds * 1000
  const time = Date.parse(header)
  return Number.isNaN(time) ? undefined : Math.max(0, time - Date.now())
}

/** Are the bytes of the body not those of the file? */
export function isEncoded(headers: Headers): boolean {
  const encoding = headers.get('content-encoding')?.trim().toLowerCase() ?? ''
  return encoding !== '' && encoding !== 'identity'
}

/** An ETag that names the very bytes. A weak one can't be used in `If-Match`: it never matches (RFC 9110, section 13.1.1). */
export function isStrong(etag: string | undefined): etag is string {
  return etag?.startsWith('"') === true
}

/** What a body gave. `over`: there was more than `most`, and the rest was not read. `cause`: it broke off. */
export interface Body {
  readonly bytes: Uint8Array
  readonly over: boolean
  readonly cause: unknown
}

/** Reads at most `most` bytes of a body, counting as they come; rejects only with the reason of the signal. */
export async function readBody(response: Response, most: number, signal: AbortSignal): Promise<Body> {
  const reader = response.body?.getReader()
  if (reader === undefined) return { bytes: new Uint8Array(0), over: false, cause: undefined }
  const chunks: Uint8Array[] = []
  let length = 0
  let cause: unknown
  try {
    for (;;) {
      const { done, value } = await abortable(reader.read(), signal)
      if (done) break
      length += value.length
      if (length > most) break
      chunks.push(value)
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    cause = error ?? new Error('the body broke off')
  } finally {
    // Also after an abort: a fetch that knows no signals would go on. An unread body holds its socket.
    reader.cancel().catch(() => {})
  }
  return {
    bytes: chunks.length === 1 ? ownBytes(chunks[0] as Uint8Array) : concatBytes(chunks),
    over: length > most,
    cause,
  }
}

/** Gives up a body that nobody will read. */
export function dropBody(response: Response): void {
  response.body?.cancel().catch(() => {})
}
