import type { ErrorCode } from '../../types/errors.js'
import { CodecError, FileError, MillraceError, SourceError, StoreError } from '../base/errors.js'
import { decodeJson, encodeJson } from './frames.js'

/** An error on its way between processes or threads: plain data. */
export interface PackedError {
  readonly name: string
  readonly code: string
  readonly message: string
  readonly fields: Record<string, unknown>
  readonly cause?: PackedError
}

/** Classes that are made of code, message and fields; others arrive as their ancestor, with their name. */
const CLASSES: Record<string, typeof StoreError | typeof CodecError> = Object.assign(Object.create(null), {
  StoreError,
  CodecError,
  FileError,
  SourceError,
})
/** What JSON has no word for. */
const BYTES = '$bytes'

/** How many causes of causes travel along. */
const DEPTH = 4

/** An error as bytes: class, code, message, fields, and the same of its causes. */
export function packFailure(error: unknown): Uint8Array {
  return encodeJson(packError(error))
}

/** The error again. One without a code of ours, be it an accident of the side process, is `MILL_STORE_IO`. */
export function unpackFailure(bytes: Uint8Array): MillraceError {
  return unpackError(decodeJson(bytes) as PackedError)
}

/** As {@link packFailure}, as an object. Bytes in fields are cut after 4 KiB; fields that are objects are left out. */
export function packError(error: unknown, depth = DEPTH): PackedError {
  const { name, code, message, cause } = (error ?? {}) as { [K in keyof PackedError]?: unknown }
  const fields: Record<string, unknown> = {}
  for (const field of Object.keys(error ?? {})) {
    const value = (error as Record<string, unknown>)[field]
    if (field === 'code' || field === 'cause' || typeof value === 'function') continue
    if (value instanceof Uint8Array) fields[field] = { [BYTES]: [...value.subarray(0, 4096)] }
    else if (typeof value !== 'object' || value === null) fields[field] = typeof value === 'bigint' ? `${value}` : value
  }
  return {
    name: typeof name === 'string' ? name : 'Error',
    code: typeof code === 'string' ? code : '',
    message: typeof message === 'string' ? message : String(error),
    fields,
    ...(cause !== undefined && depth > 0 && { cause: packError(cause, depth - 1) }),
  }
}

/** As {@link unpackFailure}, from an object. */
export function unpackError(packed: PackedError): MillraceError {
  return unpack(packed, false) as MillraceError
}

function unpack({ name, code, message, fields, cause }: PackedError, inner: boolean): Error {
  const data: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(fields)) data[field] = revive(value)
  if (cause !== undefined) data.cause = unpack(cause, true)
  const ours = code.startsWith('MILL_') || code === 'ABORT_ERR'
  if (!ours && inner) {
    const error = new Error(message, cause === undefined ? undefined : { cause: data.cause })
    return Object.assign(error, code === '' ? {} : { code }, fields)
  }
  if (!ours) return new StoreError('MILL_STORE_IO', message, data)
  const Class = CLASSES[name]
  if (Class !== undefined) return new Class(code as ErrorCode, message, data)
  const error = new MillraceError(code as ErrorCode, message, data)
  Object.defineProperty(error, 'name', { value: name, writable: true, configurable: true })
  return error
}

function revive(value: unknown): unknown {
  const bytes = (value as { [BYTES]?: number[] } | null)?.[BYTES]
  return bytes === undefined ? value : Uint8Array.from(bytes)
}
