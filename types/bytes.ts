/** Raw memory of any kind. It is pointed at, not copied, unless a method's documentation says otherwise. */
export type BytesLike = ArrayBufferView | ArrayBuffer | SharedArrayBuffer

/** What ends or separates: one byte (0..255), a string (UTF-8), or bytes. */
export type Delimiter = number | string | BytesLike
