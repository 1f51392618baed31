import type { ErrorCode } from '../../types/errors.js'

const BRAND = Symbol.for('millrace.error')

/** What an error of this library carries besides code and message: its own fields, and the error that caused it. */
export interface ErrorFields {
  readonly cause?: unknown
  readonly [field: string]: unknown
}

/** The ancestor of all errors of this library. Tell them apart by `code`, with {@link isMillraceError}. */
export class MillraceError extends Error {
  /** What happened; stable across versions, listed in the README. */
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, fields?: ErrorFields) {
    super(message, fields !== undefined && 'cause' in fields ? { cause: fields.cause } : undefined)
    this.code = code
    if (fields !== undefined) {
      for (const name of Object.keys(fields)) {
        if (name !== 'cause') {
          Object.defineProperty(this, name, {
            value: fields[name],
            enumerable: true,
            writable: true,
            configurable: true,
          })
        }
      }
    }
  }
}
Object.defineProperty(MillraceError.prototype, 'name', { value: 'MillraceError', writable: true, configurable: true })
Object.defineProperty(MillraceError.prototype, BRAND, { value: true })

function named(type: { prototype: object }, name: string): void {
  Object.defineProperty(type.prototype, 'name', { value: name, writable: true, configurable: true })
}

/** A wrong argument; nothing was done. Code `MILL_INVALID_ARGUMENT`. */
export class ArgumentError extends MillraceError {
  declare readonly argument: string
  declare readonly value: unknown

  /**
   * @param argument which argument, e.g. `'options.maxLength'`
   * @param expected what it should have been, continuing "… must be "
   */
  constructor(argument: string, expected: string, value: unknown) {
    super('MILL_INVALID_ARGUMENT', `${argument} must be ${expected}, got ${describe(value)}`, { argument, value })
  }
}
named(ArgumentError, 'ArgumentError')

/** A fault of bytes, of a queue, or of a parser's input. Which fields are there depends on the code; see the README. */
export class BufferError extends MillraceError {
  /** Bytes held when the limit was met. */
  declare readonly length?: number
  /** Bytes an operation asked for. */
  declare readonly needed?: number
  /** Bytes there were. */
  declare readonly available?: number
  /** The limit that was passed, in bytes. */
  declare readonly limit?: number
  /** Position in the input, in bytes since its beginning. */
  declare readonly offset?: number
  /** The text that is no number, at most 32 bytes. */
  declare readonly text?: string
  /** The bytes that should have come, at most 32. */
  declare readonly expected?: Uint8Array
  /** The bytes that came instead, at most 32. */
  declare readonly found?: Uint8Array
  /** How many bytes were left over. */
  declare readonly bytes?: number
}
named(BufferError, 'BufferError')

/** A fault of a stream: what it was given, who reads it, or how it ended. */
export class StreamError extends MillraceError {
  /** What is no stream, or no item a stream can carry. */
  declare readonly value?: unknown
}
named(StreamError, 'StreamError')

/** A codec is not there, or bytes are not what it made. */
export class CodecError extends MillraceError {
  /** Name of the codec. */
  declare readonly codec: string
  /** The package to install. */
  declare readonly package?: string
  /** Bytes the value has, as far as that is known. */
  declare readonly length?: number
  /** The limit that was passed, in bytes. */
  declare readonly limit?: number
  /** Where the value stands in its file, where it comes from one; rows are counted from 0. */
  declare readonly position?: number
  /** The label the value belongs to, where it comes from a file. */
  declare readonly label?: number | bigint
}
named(CodecError, 'CodecError')

/** Bytes that lie somewhere (a file, a server) could not be read. */
export class SourceError extends MillraceError {
  /** Where they lie: a URL without credentials and query, or a path. */
  declare readonly url?: string
  /** What the server said last; 0 where nothing came. */
  declare readonly status?: number
  /** How often it was tried. */
  declare readonly attempts?: number
  /** Where the range begins, in bytes. */
  declare readonly offset?: number
  /** Bytes that were to come. */
  declare readonly expected?: number
  /** Bytes that came. */
  declare readonly got?: number
  /** What has changed, or why ranges don't work there. */
  declare readonly reason?: string
}
named(SourceError, 'SourceError')

/** A file could not be written; the one that was there before is as it was. */
export class FileError extends MillraceError {
  /** The file that was to be written. */
  declare readonly path: string
  /** Bytes that were to be written when the disk was full, as far as they had come. */
  declare readonly needed?: number
}
named(FileError, 'FileError')

/** A fault of a MapBuffer or IntMap, or of what was to be put into one. Which fields are there depends on the code; see the README. */
export class MapBufferError extends MillraceError {
  /** Bytes there are. */
  declare readonly size?: number
  /** Bytes there should be at least. */
  declare readonly needed?: number
  /** What was expected: bytes, or entries. */
  declare readonly expected?: unknown
  /** What there was instead: bytes, or entries. */
  declare readonly got?: unknown
  /** What the header says. */
  declare readonly found?: unknown
  /** Entries, as the header says. */
  declare readonly count?: number
  /** Row of the entry, from 0. */
  declare readonly position?: number
  /** Label of the entry; what is no label, for `MILL_BAD_LABEL`. */
  declare readonly label?: unknown
  /** The label before, for `MILL_NOT_SORTED`. */
  declare readonly previous?: number | bigint
  /** Where the stored bytes begin. */
  declare readonly offset?: number | bigint
  /** Stored bytes, or bytes of the index. */
  declare readonly length?: number
  /** The checksum in the file. */
  declare readonly stored?: number
  /** The checksum of the bytes in the file. */
  declare readonly computed?: number
  /** What is neither bytes nor fit for the serializer, for `MILL_BAD_VALUE`. */
  declare readonly value?: unknown
  /** The limit that was passed: bytes, or entries. */
  declare readonly limit?: number

  constructor(code: ErrorCode, message: string, fields?: ErrorFields) {
    super(code, message, fields)
    // Where the language has a name for the fault, the error goes by it.
    const name = code === 'MILL_BAD_LABEL' ? 'RangeError' : code === 'MILL_BAD_VALUE' ? 'TypeError' : undefined
    if (name !== undefined) Object.defineProperty(this, 'name', { value: name, writable: true, configurable: true })
  }
}
named(MapBufferError, 'MapBufferError')

/** A fault of a store or a map, or of what was to be put into one. Which fields are there depends on the code; see the README. */
export class StoreError extends MillraceError {
  /** The folder, or what the engine is called. */
  declare readonly path?: string
  /** The map within the folder. */
  declare readonly map?: string
  /** The key, encoded; what is no key, for `MILL_BAD_KEY`. */
  declare readonly key?: unknown
  /** What is wrong, in words. */
  declare readonly reason?: string
  /** Bytes there are. */
  declare readonly length?: number
  /** The limit that was passed: bytes, or maps. */
  declare readonly limit?: number
  /** Which property is another than it was, for `MILL_MAP_MISMATCH`. */
  declare readonly field?: string
  declare readonly expected?: unknown
  declare readonly found?: unknown
  /** Name of the serializer. */
  declare readonly serializer?: string
  /** How long somebody else has held the lock, in milliseconds. */
  declare readonly waitedMs?: number
  /** How the side process ended. */
  declare readonly exitCode?: number | null
  declare readonly signal?: string | null
  /** The system's error number. */
  declare readonly errno?: number
  /** Bytes that were not yet on the disk. */
  declare readonly pendingBytes?: number
  /** How often a transaction was tried. */
  declare readonly attempts?: number
  /** Where a record comes from. */
  declare readonly file?: string
  /** Its line, from 1. */
  declare readonly line?: number
  /** Its first byte, from 0. */
  declare readonly offset?: number
  /** The beginning of it. */
  declare readonly excerpt?: string
  /** The package to install. */
  declare readonly package?: string
}
named(StoreError, 'StoreError')

/** A fault of a LoadIt, of its source, or of a sequence. Which fields are there depends on the code; see the README. */
export class LoadItError extends MillraceError {
  /** The item, or the index that was asked for. */
  declare readonly index?: unknown
  /** First item of the shard. */
  declare readonly start?: number
  /** What is wrong with the shard, in words. */
  declare readonly reason?: string
  /** The shard file, the catalog, or where in the item it comes back different. */
  declare readonly path?: string
  /** How often the source had failed before. */
  declare readonly attempt?: number
  /** What has changed, for `MILL_ITEM_SOURCE_CHANGED`. */
  declare readonly what?: 'content' | 'length'
  /** Which property of the dataset is another, for `MILL_DATASET_MISMATCH`. */
  declare readonly field?: string
  declare readonly expected?: unknown
  declare readonly found?: unknown
  /** Name of the serializer. */
  declare readonly serializer?: string
  /** Bytes there are. */
  declare readonly bytes?: number
  /** The limit that was passed, in bytes. */
  declare readonly limit?: number
  /** The folder of the dataset. */
  declare readonly root?: string
  /** Bytes that were to be written when the disk was full. */
  declare readonly needed?: number
  /** What was asked of the remote store. */
  declare readonly key?: string
  /** What the remote server said last; 0 where nothing came. */
  declare readonly status?: number
  /** How often the remote was tried. */
  declare readonly attempts?: number
}
named(LoadItError, 'LoadItError')

/** An abort of ours. Where a signal aborted, you get `signal.reason` itself instead. Code `ABORT_ERR`. */
export class AbortError extends MillraceError {
  constructor(message = 'The operation was aborted', fields?: ErrorFields) {
    super('ABORT_ERR', message, fields)
  }
}
named(AbortError, 'AbortError')

/**
 * Is this an error of millrace, and (if given) one with this code? Works across copies of the package and across
 * `vm` contexts, where `instanceof` fails.
 */
export function isMillraceError<C extends ErrorCode>(
  error: unknown,
  code?: C,
): error is MillraceError & { readonly code: C } {
  return (
    typeof error === 'object' &&
    error !== null &&
    (error as { [BRAND]?: unknown })[BRAND] === true &&
    (code === undefined || (error as MillraceError).code === code)
  )
}

/** A value for a message: short, on one line, never a whole buffer. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length > 32
        ? `${JSON.stringify(value.slice(0, 32))}… (${value.length} characters)`
        : JSON.stringify(value)
    case 'bigint':
      return `${value}n`
    case 'function':
      return value.name === '' ? 'a function' : `function ${value.name}`
    case 'object': {
      if (value === null) return 'null'
      const name = (value as { constructor?: { name?: unknown } }).constructor?.name
      return typeof name === 'string' && name !== '' ? `an instance of ${name}` : 'an object'
    }
    case 'symbol':
      return value.toString()
    default:
      return String(value)
  }
}
