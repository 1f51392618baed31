/** How the values of a file are compressed: one of the built-in names, or one you gave to `registerCodec`. */
export type CompressionName = 'none' | 'gzip' | 'br' | 'zstd' | 'lzma' | (string & {})

/**
 * Bytes to bytes and back. Each call stands for itself: nothing is kept from one to the next. Neither method changes
 * the bytes it is given, and what it returns belongs to the caller, except that a codec which does nothing may return
 * its input.
 */
export interface Codec {
  /** 1 to 4 characters a–z, 0–9, not beginning with 0, as written in a file's header; `'none'` for no compression. */
  readonly name: string
  encode(data: Uint8Array): Uint8Array
  /**
   * All that `data` decodes to. Throws `MILL_DECOMPRESS` for what is corrupt, cut short, empty or has bytes left over,
   * and `MILL_TOO_LARGE` as soon as more than `maxLength` bytes come out, without having made them.
   */
  decode(data: Uint8Array, maxLength: number): Uint8Array
}

/** Values to bytes and back. */
export interface Serializer<V> {
  /** Tells serializers apart; stored with the data where data is stored, and compared when it is opened. */
  readonly name: string
  /** May return a view of its own buffer, if that part is never written again. */
  encode(value: V): Uint8Array
  /**
   * The value shares no memory with `data`, unless `owned`: then `data` is its to keep. Throws what it likes for bytes it
   * cannot read.
   */
  decode(data: Uint8Array, owned?: boolean): V
  /** One per shard, for serializers whose values share something (the shapes of records). */
  session?(dictionary?: Uint8Array): SerializerSession<V>
}

/** A serializer for many values, which keeps what they share in a dictionary. */
export interface SerializerSession<V> {
  encode(value: V): Uint8Array
  decode(data: Uint8Array, owned?: boolean): V
  /** All that is needed to decode what this session has encoded so far. */
  dictionary(): Uint8Array
}
