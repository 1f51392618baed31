import type { ByteSource } from '../../types/byte-source.js'
import type { BytesLike } from '../../types/bytes.js'
import { isBytesLike } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { blobSource, isBlob } from './blob.js'
import { fileSource, hasFiles, pathOf } from './file.js'
import { httpSource } from './http.js'
import { memorySource } from './memory.js'

/**
 * A source for what it is: `http:` and `https:` URLs are fetched, other strings and `file:` URLs are paths (in a browser
 * strings are URLs relative to the page), Blobs and memory are read as they are, a source is taken as it is. `owned`:
 * it was made here, so whoever asked has to close it. Nothing is opened yet. Throws `MILL_INVALID_ARGUMENT`.
 */
export function sourceOf(input: string | URL | Blob | BytesLike | ByteSource): { source: ByteSource; owned: boolean } {
  if (typeof input === 'string' || isUrl(input)) return { source: located(input), owned: true }
  if (isBytesLike(input)) return { source: memorySource(input), owned: true }
  if (isSource(input)) return { source: input, owned: false }
  if (isBlob(input)) return { source: blobSource(input), owned: true }
  throw new ArgumentError('input', 'a path, a URL, a Blob, bytes, or a source with read()', input)
}

function located(place: string | URL): ByteSource {
  const start = String(place).slice(0, 8).toLowerCase()
  if (start.startsWith('http://') || start.startsWith('https://') || !hasFiles()) return httpSource(place)
  return fileSource(pathOf(start.startsWith('file://') ? fileUrl(place) : place, 'input'))
}

/** A `file:` URL in a string is a URL all the same. */
function fileUrl(text: string | URL): string | URL {
  try {
    return new URL(text)
  } catch {
    // No URL that can be read, so it is taken for a path: opening that says what is missing.
    return text
  }
}

function isUrl(value: unknown): value is URL {
  const { href, protocol } = (value ?? {}) as Partial<URL>
  return typeof href === 'string' && typeof protocol === 'string'
}

function isSource(value: unknown): value is ByteSource {
  return typeof (value as Partial<ByteSource> | null)?.read === 'function'
}
