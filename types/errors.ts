/**
 * Every code an error of this library can carry. Codes are stable: a code is never renamed and never changes its
 * meaning; the README explains each in one line. Node owns the prefix `ERR_`; `ABORT_ERR` is what the Web and Node use.
 */
export type ErrorCode =
  | 'ABORT_ERR'
  | 'MILL_ALREADY_READING'
  | 'MILL_BAD_NUMBER'
  | 'MILL_BUFFER_FULL'
  | 'MILL_CHUNK_PENDING'
  | 'MILL_INVALID_ARGUMENT'
  | 'MILL_NOT_A_STREAM'
  | 'MILL_NO_CHUNK'
  | 'MILL_PREMATURE_CLOSE'
  | 'MILL_READ_PENDING'
  | 'MILL_RELEASED'
  | 'MILL_TOO_LONG'
  | 'MILL_TRAILING_DATA'
  | 'MILL_UNEXPECTED_BYTES'
  | 'MILL_UNEXPECTED_END'
  | 'MILL_UNSUPPORTED'
  | 'MILL_UNSUPPORTED_ITEM'
  | 'MILL_WRITE_AFTER_END'
