import type { ByteSource } from '../../types/byte-source.js'
import { abortable } from '../base/abort.js'
import { isBytesLike, toUint8Array } from '../base/bytes.js'
import { describe, SourceError } from '../base/errors.js'

/**
 * The source, held to one version of its bytes: size and ETag are compared after each read with those after the first,
 * which must be over before the others begin. Once the size is known each read gives what there is, whole. Throws
 * `MILL_SOURCE_CHANGED`, `MILL_SOURCE_SHORT`, and `MILL_SOURCE_FAILED` for more than was asked for, or no bytes at all.
 * Does not close the source.
 */
export class PinnedSource implements ByteSource {
  readonly #source: ByteSource
  /** What the source said after the first read. */
  #declared: number | undefined
  #etag: string | undefined
  #size: number | undefined
  #seen = false

  constructor(source: ByteSource) {
    this.#source = source
  }

  get size(): number | undefined {
    return this.#size
  }

  get local(): boolean | undefined {
    return this.#source.local
  }

  async read(offset: number, length: number, options: { signal?: AbortSignal } = {}): Promise<Uint8Array> {
    const given: unknown = await abortable(this.#source.read(offset, length, options), options.signal)
    if (!isBytesLike(given)) throw failed(`gave ${describe(given)} for the ${length} bytes from byte ${offset} on`)
    const bytes = toUint8Array(given)
    const { size, etag } = this.#source
    if (!this.#seen) {
      this.#seen = true
      this.#declared = this.#size = size
      this.#etag = etag
    } else if (size !== this.#declared || etag !== this.#etag) {
      const reason = size === this.#declared ? 'etag' : 'size'
      throw new SourceError('MILL_SOURCE_CHANGED', `The source has changed since it was opened: its ${reason}`, {
        reason,
      })
    }
    const expected = this.#size === undefined ? undefined : Math.max(0, Math.min(length, this.#size - offset))
    checkLength(bytes.length, offset, length, expected)
    return bytes
  }

  /**
   * How many bytes there are; asked of the source by reading single bytes where it does not know: behind twice the last
   * place that was there until nothing is, then by halves. `known`: there are at least so many.
   */
  async measure(known: number, signal: AbortSignal): Promise<number> {
    if (this.#size !== undefined) return this.#size
    let there = known
    let step = Math.max(known, 1024)
    let gone = Number.POSITIVE_INFINITY
    while (gone > there) {
      const at = gone === Number.POSITIVE_INFINITY ? there + step : Math.floor((there + gone) / 2)
      if (!Number.isSafeInteger(at)) throw failed('knows no size, and gives bytes wherever it is asked for some')
      step *= 2
      const byte = await this.read(at, 1, { signal })
      if (byte.length > 0) there = at + 1
      else gone = at
    }
    this.#size = there
    return there
  }
}

function failed(what: string, fields = {}): SourceError {
  return new SourceError('MILL_SOURCE_FAILED', `The source ${what}`, fields)
}

function checkLength(got: number, offset: number, asked: number, expected: number | undefined): void {
  if (got > asked) {
    throw failed(`gave ${got} bytes for the ${asked} from byte ${offset} on`, { offset, expected: asked, got })
  }
  if (expected !== undefined && got !== expected) {
    const message = `The source gave ${got} of the ${expected} bytes from byte ${offset} on`
    throw new SourceError('MILL_SOURCE_SHORT', message, { offset, expected, got })
  }
}
