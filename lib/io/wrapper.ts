import type { ByteSource } from '../../types/byte-source.js'

/** A source that reads another one in its own way, and is the same bytes: what is known of those is known of these. */
export abstract class SourceWrapper implements ByteSource {
  /** @internal */
  protected readonly _source: ByteSource

  constructor(source: ByteSource) {
    this._source = source
  }

  get size(): number | undefined {
    return this._source.size
  }

  get etag(): string | undefined {
    return this._source.etag
  }

  get local(): boolean | undefined {
    return this._source.local
  }

  abstract read(offset: number, length: number, options?: { signal?: AbortSignal }): Promise<Uint8Array>

  abstract close(): Promise<void>
}
