import type { ErrorCode } from '../../types/errors.js'
import type { ChunkRef } from '../../types/run.js'
import { type ErrorFields, MillraceError } from '../base/errors.js'
import type { PackedError } from './messages.js'

/** A fault of a run. Which fields are there depends on the code; see the README. */
export class RunError extends MillraceError {
  /** The chunk whose attempts are used up. */
  declare readonly chunk?: ChunkRef & { readonly attempts: number }
  /** The first failures, at most 100. */
  declare readonly errors?: readonly RunError[]
  /** Chunks that failed, all of them. */
  declare readonly failed?: number
  /** What a thread ended with. */
  declare readonly exitCode?: number
  /** The argument that cannot be sent to a thread. */
  declare readonly key?: string
  /** The module of the job. */
  declare readonly url?: string
  /** The export, or the function, that was to be run. */
  declare readonly job?: string
  /** What the module does export. */
  declare readonly exports?: readonly string[]
  /** What of the saved bytes does not fit: `'length'`, `'start'`, … */
  declare readonly field?: string
  /** The executor that failed. */
  declare readonly executor?: string
  /** Chunks it left out. */
  declare readonly missing?: number
  /** The package to install. */
  declare readonly package?: string
}
Object.defineProperty(RunError.prototype, 'name', { value: 'RunError', writable: true, configurable: true })

/** Why an attempt ended without a result. */
export interface Failure {
  readonly code: Extract<ErrorCode, 'MILL_RUN_CHUNK' | 'MILL_RUN_WORKER' | 'MILL_RUN_TIMEOUT'>
  readonly cause?: unknown
  readonly exitCode?: number
}

/** The error of a chunk whose attempts are used up. */
export function chunkError(ref: ChunkRef, attempts: number, failure: Failure, hint = ''): RunError {
  const { code, cause, exitCode } = failure
  const tries = attempts === 1 ? '' : ` after ${attempts} attempts`
  const what =
    code === 'MILL_RUN_TIMEOUT'
      ? 'took longer than chunkTimeoutMs'
      : code === 'MILL_RUN_WORKER'
        ? `ended its thread${exitCode === undefined ? '' : ` (exit code ${exitCode})`}`
        : 'failed'
  const fields: ErrorFields = {
    chunk: { ...ref, attempts },
    ...(exitCode !== undefined && { exitCode }),
    ...(cause !== undefined && { cause }),
  }
  const why = cause === undefined ? '' : `: ${textOf(cause)}`
  return new RunError(code, `Chunk ${ref.index} (${ref.start} to ${ref.end}) ${what}${tries}${why}${hint}`, fields)
}

/** What was thrown, for a message. */
export function textOf(thrown: unknown): string {
  try {
    return String(typeof thrown === 'object' && thrown !== null && 'message' in thrown ? thrown.message : thrown)
  } catch {
    // its toString(), or the getter of its message, throws
    return 'a value that has no text'
  }
}

type ErrorClass = new (message: string) => Error
const CLASSES: Record<string, ErrorClass> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
}

/** What a thread threw, as good as it can be told here: of the built-in class of its name, with its properties. */
export function unpackError(packed: PackedError): unknown {
  if ('thrown' in packed) return packed.thrown
  const { name, message, stack, own, branded } = packed
  const error = branded ? new MillraceError(own.code as ErrorCode, message) : plainError(name, message, packed.errors)
  const hidden = (key: string, value: unknown): void => {
    Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable: false })
  }
  if (error.name !== name) hidden('name', name)
  hidden('stack', stack)
  for (const key of Object.keys(own)) {
    Object.defineProperty(error, key, { value: own[key], writable: true, configurable: true, enumerable: true })
  }
  if (packed.cause !== undefined) hidden('cause', unpackError(packed.cause))
  return error
}

function plainError(name: string, message: string, errors: readonly PackedError[] | undefined): Error {
  if (errors !== undefined) return new AggregateError(errors.map(unpackError), message)
  const Class = Object.hasOwn(CLASSES, name) ? (CLASSES[name] as ErrorClass) : Error
  return new Class(message)
}
