import { createHash, createHmac } from 'node:crypto'
import type { S3StoreOptions, ShardStore } from '../../types/load-it.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { getPart, putWhole, rangeOf, webOf } from './remote-http.js'
import { escapePart, folderUrl, partOf, urlOf } from './remote-key.js'

const ALGORITHM = 'AWS4-HMAC-SHA256'
const SERVICE = 's3'

/** Whose requests these are. */
export interface S3Credentials {
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string | undefined
}

const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex')
const hmac = (key: Uint8Array | string, data: string): Uint8Array => createHmac('sha256', key).update(data).digest()

/**
 * The headers to send with a request, `headers` among them (names in lower case): AWS Signature Version 4 in its header
 * form, over the body's hash too. The path of the URL must be escaped as `escapePart` does it. `fetch` sets `host` itself,
 * from the same URL.
 */
export function signS3(
  credentials: S3Credentials,
  request: { method: string; url: string; headers: Record<string, string>; body: Uint8Array },
  date: Date,
): Record<string, string> {
  const { region, accessKeyId, secretAccessKey, sessionToken } = credentials
  const { host, pathname, searchParams } = new URL(request.url)
  // 2013-05-24T00:00:00.000Z as 20130524T000000Z.
  const time = `${date.toISOString().slice(0, 19).replaceAll('-', '').replaceAll(':', '')}Z`
  const day = time.slice(0, 8)
  const bodyHash = sha256(request.body)
  const headers: Record<string, string> = {
    ...request.headers,
    'x-amz-content-sha256': bodyHash,
    'x-amz-date': time,
    ...(sessionToken !== undefined && { 'x-amz-security-token': sessionToken }),
  }
  const all: [string, string][] = [['host', host], ...Object.entries(headers)]
  all.sort(([a], [b]) => (a < b ? -1 : 1))
  const query = [...searchParams].map(([name, value]) => `${escapePart(name)}=${escapePart(value)}`)
  const signed = all.map(([name]) => name).join(';')
  const lines = all.map(([name, value]) => `${name}:${value.trim()}\n`).join('')
  const canonical = [request.method, pathname, query.sort().join('&'), lines, signed, bodyHash].join('\n')
  const scope = `${day}/${region}/${SERVICE}/aws4_request`
  let key: Uint8Array | string = `AWS4${secretAccessKey}`
  for (const step of scope.split('/')) key = hmac(key, step)
  const signature = createHmac('sha256', key)
    .update([ALGORITHM, time, scope, sha256(canonical)].join('\n'))
    .digest('hex')
  const credential = `Credential=${accessKeyId}/${scope}`
  return { ...headers, authorization: `${ALGORITHM} ${credential}, SignedHeaders=${signed}, Signature=${signature}` }
}

const NOTHING = new Uint8Array(0)

/**
 * Shards in S3, or in a server that speaks as it does. `url` is bucket and prefix in either style, and ends with `/`:
 * `https://bucket.s3.eu-west-1.amazonaws.com/cities/`, `http://localhost:9000/bucket/cities/`. Needs the right to get and
 * put objects, and where missing keys are to be told from forbidden ones, to list the bucket. Uploads are conditional
 * (`If-None-Match: *`), so of two writers of one key the first one wins. Throws `MILL_INVALID_ARGUMENT`; one call is one
 * request, whose failure is `MILL_REMOTE`. Redirects are not followed: the signature is for one host.
 */
export function s3Store(options: S3StoreOptions): ShardStore {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const web = webOf(options)
  const folder = folderUrl(options.url)
  const { region, accessKeyId, secretAccessKey, sessionToken } = options
  for (const [name, value] of Object.entries({ region, accessKeyId, secretAccessKey })) {
    // The value may be a secret: its type is enough.
    if (typeof value !== 'string' || value === '') throw new ArgumentError(`options.${name}`, 'a string', typeof value)
  }
  if (sessionToken !== undefined && typeof sessionToken !== 'string') {
    throw new ArgumentError('options.sessionToken', 'a string', typeof sessionToken)
  }
  const credentials = { region, accessKeyId, secretAccessKey, sessionToken }
  return {
    async get(key, o = {}) {
      const part = partOf(o)
      const url = urlOf(folder, key)
      const plain: Record<string, string> = part === undefined ? {} : { range: rangeOf(part) }
      const headers = signS3(credentials, { method: 'GET', url, headers: plain, body: NOTHING }, new Date())
      return getPart(web, { key, url, headers, signal: checkSignal(o.signal), redirect: 'manual' }, part)
    },
    async put(key, data, o = {}) {
      if (!(data instanceof Uint8Array)) throw new ArgumentError('data', 'a Uint8Array', data)
      const url = urlOf(folder, key)
      const plain = { 'content-type': 'application/octet-stream', 'if-none-match': '*' }
      const headers = signS3(credentials, { method: 'PUT', url, headers: plain, body: data }, new Date())
      return putWhole(web, { key, url, headers, signal: checkSignal(o.signal), redirect: 'manual' }, data)
    },
  }
}
