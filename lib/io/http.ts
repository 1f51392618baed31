import type { ByteSource, HttpRequestInfo, HttpSourceOptions } from '../../types/byte-source.js'
import { abortable, onAbort, sleep } from '../base/abort.js'
import { ArgumentError, SourceError } from '../base/errors.js'
import { checkCount, checkRange, closedError, shortError } from './check.js'
import {
  dropBody,
  isEncoded,
  isStrong,
  parseContentRange,
  parseCount,
  parseRetryAfter,
  readBody,
} from './http-answer.js'
import { httpUrl, isSameOrigin } from './http-url.js'

const TIMEOUT = 30_000
const RETRIES = 2
const MAX_WHOLE = 8_388_608
/** What `Retry-After` may make us wait, in milliseconds. */
const MOST_WAIT = 10_000
/** The wait before the second attempt, in milliseconds; it doubles with each. */
const FIRST_WAIT = 100

/**
 * A file on an HTTP server as a source, by range requests. The first response names size and ETag; every later one must
 * name the same. A server that ignores `Range` may send up to `maxWhole` bytes, which serve all reads from then on.
 * Throws `MILL_INVALID_ARGUMENT`. Reads reject with
 *
 * - `MILL_SOURCE_FAILED`: no answer, 429 or 5xx after all attempts; another status at once
 * - `MILL_SOURCE_SHORT`: cut, shorter than promised, or another range, after all attempts
 * - `MILL_SOURCE_CHANGED`: ETag or size differ, or the server says so (412)
 * - `MILL_SOURCE_NO_RANGES`: the server knows no ranges and the file is larger than `maxWhole`, or its answers can't be
 *   checked: encoded, or without `Content-Range` (which a page of another origin sees only where the server exposes it)
 * - `MILL_SOURCE_CLOSED`: closed before or meanwhile
 */
export function httpSource(url: string | URL, options: HttpSourceOptions = {}): ByteSource {
  return new HttpSource(httpUrl(url), options)
}

/** What an attempt did not get, and when the next may follow. */
class Retry {
  readonly error: SourceError
  readonly waitMs: number | undefined

  constructor(error: SourceError, waitMs?: number) {
    this.error = error
    this.waitMs = waitMs
  }
}

/** One attempt, as it goes. */
interface Attempt {
  readonly offset: number
  readonly length: number
  readonly number: number
  readonly signal: AbortSignal
  status: number
  bytes: number
  askedForMatch: boolean
}

class HttpSource implements ByteSource {
  readonly #url: string
  /** Without query, which may carry credentials. */
  readonly #name: string
  readonly #fetch: typeof fetch
  readonly #headers: Record<string, string>
  readonly #timeout: number
  readonly #retries: number
  readonly #maxWhole: number
  readonly #ifMatch: boolean
  readonly #onRequest: ((request: HttpRequestInfo) => void) | undefined
  /** One for each read under way. */
  readonly #reads = new Set<AbortController>()
  #size: number | undefined
  #etag: string | undefined
  #whole: Uint8Array | undefined
  #closed = false

  constructor(url: URL, options: HttpSourceOptions) {
    this.#url = url.href
    this.#name = `${url.origin}${url.pathname}`
    // fetch wants to be called with the global object, or nothing, as `this`.
    this.#fetch = options.fetch ?? ((input, init) => fetch(input, init))
    this.#headers = { ...options.headers }
    this.#timeout = checkCount(options.timeout, 'options.timeout', TIMEOUT, 1)
    this.#retries = checkCount(options.retries, 'options.retries', RETRIES)
    this.#maxWhole = checkCount(options.maxWhole, 'options.maxWhole', MAX_WHOLE)
    this.#ifMatch = options.ifMatch ?? isSameOrigin(url)
    this.#onRequest = options.onRequest
    if (typeof this.#fetch !== 'function') throw new ArgumentError('options.fetch', 'a function', options.fetch)
  }

  get size(): number | undefined {
    return this.#size
  }

  get etag(): string | undefined {
    return this.#etag
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#whole = undefined
    for (const read of this.#reads) read.abort(closedError(this.#name))
  }

  async read(offset: number, length: number, options: { signal?: AbortSignal } = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    checkRange(offset, length)
    if (this.#closed) throw closedError(this.#name)
    if (this.#whole !== undefined) return this.#whole.subarray(offset, offset + length)
    const wanted = Math.min(length, (this.#size ?? Number.MAX_SAFE_INTEGER) - offset)
    if (wanted <= 0) return new Uint8Array(0)
    const stop = new AbortController()
    this.#reads.add(stop)
    const forget = onAbort(options.signal, (reason) => stop.abort(reason))
    try {
      for (let number = 1; ; number++) {
        const got = await this.#attempt(offset, wanted, number, stop.signal)
        if (!(got instanceof Retry)) return got
        if (number > this.#retries) throw got.error
        const wait = FIRST_WAIT * 2 ** (number - 1) * (0.75 + Math.random() / 2)
        await sleep(Math.min(MOST_WAIT, got.waitMs ?? wait), stop.signal)
      }
    } finally {
      forget()
      this.#reads.delete(stop)
    }
  }

  async #attempt(offset: number, length: number, number: number, stop: AbortSignal): Promise<Uint8Array | Retry> {
    const control = new AbortController()
    const forget = onAbort(stop, (reason) => control.abort(reason))
    const late = (): void => control.abort(new DOMException(`no end within ${this.#timeout} ms`, 'TimeoutError'))
    // The largest wait a timer knows is 2^31 - 1.
    const timer = setTimeout(late, Math.min(this.#timeout, 2 ** 31 - 1))
    const attempt: Attempt = {
      offset,
      length,
      number,
      signal: control.signal,
      status: 0,
      bytes: 0,
      askedForMatch: false,
    }
    const started = performance.now()
    try {
      const response = await this.#ask(attempt)
      attempt.status = response.status
      return await this.#judge(response, attempt)
    } catch (error) {
      if (stop.aborted) throw stop.reason
      if (error instanceof SourceError) throw error
      return new Retry(this.#failed(attempt, 'there is no answer', error))
    } finally {
      clearTimeout(timer)
      forget()
      this.#report(attempt, performance.now() - started)
    }
  }

  async #ask(attempt: Attempt): Promise<Response> {
    const { offset, length, signal } = attempt
    const headers: Record<string, string> = { ...this.#headers, Range: `bytes=${offset}-${offset + length - 1}` }
    if (this.#ifMatch && isStrong(this.#etag)) {
      headers['If-Match'] = this.#etag
      attempt.askedForMatch = true
    }
    const call = this.#fetch
    const answer = (async () => call(this.#url, { headers, signal }))()
    // A fetch that knows no signals may answer when nobody listens any more.
    answer.then(
      (response) => signal.aborted && dropBody(response),
      () => {},
    )
    return abortable(answer, signal)
  }

  /** What this response is worth: the bytes, or another attempt, or an error. */
  async #judge(response: Response, attempt: Attempt): Promise<Uint8Array | Retry> {
    const { status, headers } = response
    if (status === 206) return this.#part(response, attempt)
    if (status === 200) return this.#all(response, attempt)
    dropBody(response)
    if (status === 412 && attempt.askedForMatch) throw this.#changed('the server says so (412)')
    if (status === 416) {
      const total = parseContentRange(headers.get('content-range'))?.total
      if (total !== undefined && total <= attempt.offset) {
        this.#compare(headers, total)
        this.#accept(headers, total)
        return new Uint8Array(0)
      }
    }
    const error = this.#failed(attempt, `the server answers ${status}`)
    if (status !== 429 && status < 500) throw error
    return new Retry(error, parseRetryAfter(headers.get('retry-after')))
  }

  async #part(response: Response, attempt: Attempt): Promise<Uint8Array | Retry> {
    const { headers } = response
    const { offset, length } = attempt
    try {
      if (isEncoded(headers)) throw this.#noRanges('it encodes them')
      const range = parseContentRange(headers.get('content-range'))
      if (range === undefined) {
        throw this.#noRanges('it sends no Content-Range, or does not name it in Access-Control-Expose-Headers')
      }
      const { first, last, total } = range
      if (total === undefined) throw this.#noRanges('it does not say how long the file is')
      this.#compare(headers, total)
      const end = Math.min(offset + length, total)
      if (first !== offset || last !== end - 1) {
        dropBody(response)
        const got = first === undefined || last === undefined ? 0 : Math.max(0, last - first + 1)
        return new Retry(shortError(this.#name, offset, length, got, `it sends bytes ${first} to ${last}`))
      }
      const expected = end - offset
      const { bytes, over, cause } = await readBody(response, expected, attempt.signal)
      attempt.bytes = bytes.length
      if (over) return new Retry(this.#failed(attempt, `it sends more than the ${expected} bytes it promised`))
      if (bytes.length < expected) return this.#short(attempt, expected, bytes.length, cause)
      // Another read may have learned more in the meantime.
      this.#compare(headers, total)
      this.#accept(headers, total)
      return bytes
    } catch (error) {
      dropBody(response)
      throw error
    }
  }

  /** The whole file, because the server knows no ranges. */
  async #all(response: Response, attempt: Attempt): Promise<Uint8Array | Retry> {
    const { headers } = response
    const { offset, length } = attempt
    const whole = this.#whole
    // Of an encoded body the header tells the encoded length, and what we get is decoded.
    const promised = isEncoded(headers) ? undefined : parseCount(headers.get('content-length') ?? '')
    if (whole !== undefined || (promised ?? this.#size ?? 0) > this.#maxWhole) {
      dropBody(response)
      if (whole !== undefined) return whole.subarray(offset, offset + length)
      throw this.#noRanges(`the file is larger than maxWhole, ${this.#maxWhole} bytes`)
    }
    const { bytes, over, cause } = await readBody(response, this.#maxWhole, attempt.signal)
    attempt.bytes = bytes.length
    if (over) throw this.#noRanges(`the file is larger than maxWhole, ${this.#maxWhole} bytes`)
    if (cause !== undefined) return this.#short(attempt, promised ?? offset + length, bytes.length, cause)
    if (promised !== undefined && bytes.length < promised) return this.#short(attempt, promised, bytes.length, cause)
    this.#compare(headers, bytes.length)
    this.#accept(headers, bytes.length)
    if (!this.#closed) this.#whole = bytes
    return bytes.subarray(offset, offset + length)
  }

  /** Throws `MILL_SOURCE_CHANGED` where the response is of another version of the file. */
  #compare(headers: Headers, size: number): void {
    const etag = headers.get('etag') ?? undefined
    if (this.#size !== undefined && this.#size !== size) {
      throw this.#changed(`it had ${this.#size} bytes and has ${size}`)
    }
    if (this.#etag !== undefined && this.#etag !== etag) throw this.#changed('its ETag is another one')
  }

  #accept(headers: Headers, size: number): void {
    this.#size = size
    this.#etag ??= headers.get('etag') ?? undefined
  }

  #short(attempt: Attempt, expected: number, got: number, cause: unknown): Retry {
    const why = cause === undefined ? 'the body is too short' : 'the body broke off'
    return new Retry(shortError(this.#name, attempt.offset, expected, got, why, cause))
  }

  #failed({ status, number }: Attempt, why: string, cause?: unknown): SourceError {
    const after = number === 1 ? '' : `, after ${number} attempts`
    return new SourceError('MILL_SOURCE_FAILED', `${this.#name}: ${why}${after}`, {
      url: this.#name,
      status,
      attempts: number,
      ...(cause !== undefined && { cause }),
    })
  }

  #changed(reason: string): SourceError {
    const message = `${this.#name} has changed since it was opened: ${reason}`
    return new SourceError('MILL_SOURCE_CHANGED', message, { url: this.#name, reason })
  }

  #noRanges(reason: string): SourceError {
    const message = `${this.#name}: the server does not give ranges that can be used: ${reason}`
    return new SourceError('MILL_SOURCE_NO_RANGES', message, { url: this.#name, reason })
  }

  #report({ offset, length, bytes, status, number }: Attempt, ms: number): void {
    try {
      this.#onRequest?.({ offset, length, bytes, status, attempt: number, ms })
    } catch {
      // Whoever watches must not change what is watched.
    }
  }
}
