import { abortable, onAbort } from '../base/abort.js'
import { concatBytes, ownBytes } from '../base/bytes.js'
import { ArgumentError, LoadItError } from '../base/errors.js'
import { dropBody, isEncoded, parseContentRange, parseCount, parseRetryAfter } from '../io/http-answer.js'
import type { Part } from './remote-key.js'

/** Milliseconds without a byte after which a request has failed. */
const TIMEOUT = 30_000
/** Bytes of an upload that get another second of time. */
const SLOWEST = 131_072
/** Of what a server says about a failure so much is read, in bytes. */
const MOST_WORDS = 4096
/** The largest time a timer knows. */
const LONGEST = 2 ** 31 - 1

const EMPTY = new Uint8Array(0)

/** How a store speaks HTTP. */
export interface Web {
  readonly fetch: typeof fetch
  readonly timeout: number
}

/** Throws `MILL_INVALID_ARGUMENT`. */
export function webOf(options: { fetch?: typeof fetch; timeout?: number }): Web {
  const given = options.fetch ?? fetch
  const { timeout = TIMEOUT } = options
  if (typeof given !== 'function') throw new ArgumentError('options.fetch', 'a function', given)
  if (!Number.isSafeInteger(timeout) || timeout < 1) {
    throw new ArgumentError('options.timeout', 'a whole number >= 1', timeout)
  }
  // fetch wants to be called with the global object, or nothing, as `this`.
  return { fetch: (input, init) => given(input, init), timeout: Math.min(timeout, LONGEST) }
}

/** One request, all headers given. */
export interface Asked {
  readonly key: string
  readonly url: string
  readonly headers: Record<string, string>
  readonly signal: AbortSignal | undefined
  readonly redirect: 'follow' | 'manual'
}

/** The header that asks for a part. Node asks for bytes that aren't encoded wherever there is one. */
export function rangeOf({ offset, length }: Part): string {
  if (offset < 0) return `bytes=${offset}`
  return `bytes=${offset}-${length === Number.POSITIVE_INFINITY ? '' : offset + length - 1}`
}

/**
 * The bytes of a key, or a part of them; undefined where the server knows no such key. Of a server that ignores `Range` all
 * is read and only the part is kept. One attempt: rejects with `MILL_REMOTE`, whose `status` says whether another may help.
 */
export function getPart(web: Web, asked: Asked, part: Part | undefined): Promise<Uint8Array | undefined> {
  if (part?.length === 0) return Promise.resolve(EMPTY)
  return attempt(web, asked, async (progress, signal) => {
    const headers: Record<string, string> = { ...asked.headers }
    // Only the last bytes can be asked for alone; a shorter piece of the end is cut out of them.
    if (part !== undefined) headers.range = rangeOf(part)
    else headers['accept-encoding'] = 'identity'
    const response = await answerOf(web, asked, { headers, signal, redirect: asked.redirect })
    progress()
    const { status } = response
    if (status === 404 || status === 410) {
      dropBody(response)
      return undefined
    }
    if (status === 416 && part !== undefined) {
      dropBody(response)
      return EMPTY
    }
    if (status !== 200 && status !== 206) throw await refused(asked, response, signal)
    const wanted = takes(asked, response, part)
    const bytes = await readParts(asked, response, wanted, progress, signal)
    return part !== undefined && part.offset < 0 ? bytes.subarray(0, part.length) : bytes
  })
}

/** Puts a key that isn't there. One attempt; rejects as {@link getPart} does. */
export function putWhole(web: Web, asked: Asked, body: Uint8Array): Promise<'stored' | 'exists'> {
  const patient = { ...web, timeout: Math.min(LONGEST, web.timeout + Math.ceil(body.length / SLOWEST) * 1000) }
  return attempt(patient, asked, async (progress, signal) => {
    const init = { method: 'PUT', headers: asked.headers, body: body as Uint8Array<ArrayBuffer>, signal }
    const response = await answerOf(web, asked, { ...init, redirect: asked.redirect })
    progress()
    const { status } = response
    if (status >= 200 && status < 300) {
      dropBody(response)
      return 'stored'
    }
    if (status === 412 || status === 409) {
      dropBody(response)
      return 'exists'
    }
    throw await refused(asked, response, signal)
  })
}

/** A time limit that every sign of life sets back. */
async function attempt<R>(
  web: Web,
  asked: Asked,
  work: (progress: () => void, signal: AbortSignal) => Promise<R>,
): Promise<R> {
  const control = new AbortController()
  const { signal } = asked
  signal?.throwIfAborted()
  const forget = onAbort(signal, (reason) => control.abort(reason))
  const late = (): void => control.abort(fault(asked, 0, `nothing came for ${web.timeout} ms`))
  const timer = setTimeout(late, web.timeout)
  try {
    return await work(() => void timer.refresh(), control.signal)
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason
    throw error instanceof LoadItError ? error : fault(asked, 0, 'there is no answer', error)
  } finally {
    clearTimeout(timer)
    forget()
  }
}

function answerOf(web: Web, asked: Asked, init: RequestInit & { signal: AbortSignal }): Promise<Response> {
  const answer = (async () => web.fetch(asked.url, init))()
  // A fetch that knows no signals may answer when nobody listens any more.
  answer.then(
    (response) => init.signal.aborted && dropBody(response),
    () => {},
  )
  return abortable(answer, init.signal)
}

/** Which bytes of the body are wanted: `length` behind `skip`, or the last ones; `exact`: all of these must come. */
interface Wanted {
  readonly skip: number
  readonly last: number
  readonly length: number
  /** Bytes of the whole body, where the server says so. */
  readonly body: number | undefined
  readonly exact: boolean
}

function takes(asked: Asked, response: Response, part: Part | undefined): Wanted {
  const { headers, status } = response
  const wrong = (why: string): LoadItError => {
    dropBody(response)
    return fault(asked, status, why)
  }
  if (isEncoded(headers)) throw wrong('the server encodes what it sends')
  const body = parseCount(headers.get('content-length') ?? '')
  const all = { skip: 0, last: 0, length: Number.POSITIVE_INFINITY, body, exact: false }
  if (part === undefined) {
    if (status === 206) throw wrong('the server sends a part, and was asked for all')
    return all
  }
  const { offset, length } = part
  if (status === 200) return offset < 0 ? { ...all, last: -offset } : { ...all, skip: offset, length }
  const range = parseContentRange(headers.get('content-range'))
  const { first, last, total } = range ?? {}
  if (first === undefined || last === undefined || total === undefined) {
    throw wrong('the server does not say which part it sends')
  }
  const from = offset < 0 ? Math.max(0, total + offset) : offset
  const to = offset < 0 ? total : Math.min(total, offset + length)
  if (first !== from || last !== to - 1)
    throw wrong(`the server sends bytes ${first} to ${last}, not ${from} to ${to - 1}`)
  return { ...all, length: to - from, exact: true }
}

/** Reads no more than is wanted, and keeps no more. */
async function readParts(
  asked: Asked,
  response: Response,
  wanted: Wanted,
  progress: () => void,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { skip, last, length, body, exact } = wanted
  const { status } = response
  const pieces: Uint8Array[] = []
  let seen = 0
  let kept = 0
  let ended = false
  const reader = response.body?.getReader()
  try {
    for (; reader !== undefined && (exact || kept < length); ) {
      const { done, value } = await abortable(reader.read(), signal)
      progress()
      ended = done
      if (done) break
      const from = Math.max(0, Math.min(value.length, skip - seen))
      seen += value.length
      const piece = exact ? value : value.subarray(from, Math.min(value.length, from + length - kept))
      if (piece.length > 0) pieces.push(piece)
      kept += piece.length
      if (exact && kept > length)
        throw fault(asked, status, `the server sends more than the ${length} bytes it promised`)
      while (last > 0 && pieces[0] !== undefined && kept - pieces[0].length >= last) {
        kept -= pieces[0].length
        pieces.shift()
      }
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    throw error instanceof LoadItError ? error : fault(asked, status, 'the body broke off', error)
  } finally {
    // An unread body holds its socket. What the server says to that changes nothing for what was read.
    reader?.cancel().catch(() => {})
  }
  if (exact ? kept < length : (ended || reader === undefined) && body !== undefined && seen < body) {
    throw fault(asked, status, `only ${seen} bytes came`)
  }
  const bytes = pieces.length === 1 ? ownBytes(pieces[0] as Uint8Array) : concatBytes(pieces)
  return last > 0 && bytes.length > last ? bytes.slice(bytes.length - last) : bytes
}

/** What the server says no with, in its own words as far as they can be had. */
async function refused(asked: Asked, response: Response, signal: AbortSignal): Promise<LoadItError> {
  const { status, headers } = response
  const words = await codeIn(response, signal)
  return fault(
    asked,
    status,
    `the server answers ${status}${words}`,
    undefined,
    parseRetryAfter(headers.get('retry-after')),
  )
}

/** The `<Code>` of an answer of S3: `SlowDown`, `SignatureDoesNotMatch`. */
async function codeIn(response: Response, signal: AbortSignal): Promise<string> {
  const reader = response.body?.getReader()
  let text = ''
  try {
    while (reader !== undefined && text.length < MOST_WORDS) {
      const { done, value } = await abortable(reader.read(), signal)
      if (done) break
      for (const byte of value.subarray(0, MOST_WORDS)) text += String.fromCharCode(byte)
    }
  } catch {
    // The status is enough.
  } finally {
    reader?.cancel().catch(() => {}) // as above
  }
  const from = text.indexOf('<Code>')
  const to = text.indexOf('</Code>', from)
  return from < 0 || to < 0 || to - from > 64 ? '' : ` ${text.slice(from + 6, to)}`
}

/** The key is enough to find it, and tells nobody an address or a name of a bucket. */
function fault({ key }: Asked, status: number, why: string, cause?: unknown, retryAfterMs?: number): LoadItError {
  const error = new LoadItError('MILL_REMOTE', `${key}: ${why}`, {
    key,
    status,
    attempts: 1,
    ...(cause !== undefined && { cause }),
  })
  if (retryAfterMs !== undefined) WAITS.set(error, retryAfterMs)
  return error
}

const WAITS = new WeakMap<object, number>()

/** How long the server wants to be left alone, in milliseconds. */
export const retryAfterOf = (error: unknown): number | undefined => WAITS.get(error as object)
