/** Bytes that lie somewhere and can be read from any place on: a file, a Blob, a server that knows ranges, memory. */
export interface ByteSource {
  /** How many bytes there are. A source that learns it by reading (HTTP) has none before its first read. */
  readonly size?: number | undefined
  /** Names this version of the bytes, where the source has such a name; known as late as `size`. */
  readonly etag?: string | undefined
  /** A read costs microseconds, not a round trip: nothing is gained by asking for more than is needed. */
  readonly local?: boolean | undefined
  /**
   * The bytes from `offset` on, in memory that nobody will change: fewer than `length` only at the end of the source,
   * none behind it. Several reads may be under way at once. An abort rejects with `signal.reason`.
   */
  read(offset: number, length: number, options?: { signal?: AbortSignal }): Promise<Uint8Array>
  /** Idempotent. Reads after it reject with `MILL_SOURCE_CLOSED`. */
  close?(): Promise<void>
}

/** One response of an HTTP server, as {@link HttpSourceOptions.onRequest} sees it. */
export interface HttpRequestInfo {
  /** Where the range begins that was asked for, in bytes. */
  readonly offset: number
  /** How many bytes were asked for. */
  readonly length: number
  /** How many bytes of body were read. */
  readonly bytes: number
  /** The status code; 0 where no response came. */
  readonly status: number
  /** 1 for the first attempt. */
  readonly attempt: number
  /** Milliseconds from the request to the end of the body. */
  readonly ms: number
}

/** How an HTTP source asks, and what it puts up with. */
export interface HttpSourceOptions {
  /** Used instead of the global one. */
  fetch?: typeof fetch
  /** Sent with each request, e.g. `{ authorization: '…' }`. */
  headers?: Record<string, string>
  /** Milliseconds for one attempt, body included; default 30,000. */
  timeout?: number
  /**
   * Further attempts when no answer comes, the body is cut, or the status is 429 or 5xx; default 2. They wait
   * 100 ms · 2^n with jitter, or what `Retry-After` says, at most 10 s.
   */
  retries?: number
  /** Bytes a server that ignores `Range` may send; they are kept in memory and serve all later reads. Default 8 MiB. */
  maxWhole?: number
  /** Send `If-Match` with a strong ETag; default true, but false for another origin in a browser: it costs a preflight. */
  ifMatch?: boolean
  /** Called after each response, or attempt without one. What it throws is ignored. */
  onRequest?: (request: HttpRequestInfo) => void
}

/** How reads that lie near each other become one. */
export interface RangeOptions {
  /** Ranges that are at most this many bytes apart are read together; default 32 KiB, about what a round trip is worth. */
  gap?: number
  /** No joined read is longer than this many bytes, unless one range by itself is; default 8 MiB. */
  span?: number
  /** Reads under way at once; default 16. */
  concurrency?: number
}
