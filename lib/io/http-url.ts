import { ArgumentError } from '../base/errors.js'

/** The URL; in a browser it may be relative to the page. Throws `MILL_INVALID_ARGUMENT` unless it is one we can fetch. */
export function httpUrl(text: string | URL): URL {
  const base = (globalThis as { location?: { href?: string } }).location?.href
  let url: URL | undefined
  try {
    url = new URL(text, base)
  } catch {
    // No URL.
  }
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') throw new ArgumentError('url', 'an http(s) URL', text)
  if (url.username !== '' || url.password !== '') {
    throw new ArgumentError('url', 'without name and password (give them in options.headers)', url.host)
  }
  return url
}

/** In a browser `If-Match` for another origin would cost a request before each request. */
export function isSameOrigin(url: URL): boolean {
  const { location } = globalThis as { location?: { origin?: string } }
  return location?.origin === undefined || location.origin === url.origin
}
