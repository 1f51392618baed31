// How what was thrown in a thread is sent; run-error.ts makes an error of it again. A thread loads this file.
import type { PackedError } from './messages.js'

/** How deep causes and the errors of an AggregateError are followed. */
const DEPTH = 4
/** What is told by members of its own. */
const APART = new Set(['name', 'message', 'stack', 'cause', 'errors'])

function cloneable(value: unknown): boolean {
  try {
    structuredClone(value)
    return true
  } catch {
    return false // the question was whether it throws
  }
}

export function isError(value: unknown): value is Error {
  if (typeof value !== 'object' || value === null) return false
  return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]'
}

/** An error as it can be sent; see {@link PackedError}. */
export function pack(thrown: unknown, depth = 0): PackedError {
  if (!isError(thrown)) return { thrown: cloneable(thrown) ? thrown : text(thrown) }
  const own: Record<string, unknown> = {}
  for (const key of [...Object.keys(thrown), 'code']) {
    if (APART.has(key)) continue
    const value = read(thrown, key) // `code` may be the prototype's, as DOMException has it
    if (value !== undefined && cloneable(value)) own[key] = value
  }
  const stack = read(thrown, 'stack')
  const cause = depth < DEPTH ? read(thrown, 'cause') : undefined
  const errors = depth < DEPTH ? read(thrown, 'errors') : undefined
  return {
    name: text(read(thrown, 'name')),
    message: text(read(thrown, 'message')),
    stack: typeof stack === 'string' ? stack : undefined,
    own,
    branded: read(thrown, Symbol.for('millrace.error')) === true,
    ...(cause !== undefined && { cause: pack(cause, depth + 1) }),
    ...(Array.isArray(errors) && { errors: errors.map((error) => pack(error, depth + 1)) }),
  }
}

/** A property, or undefined where reading it throws. */
function read(value: object, key: string | symbol): unknown {
  try {
    return (value as Record<string | symbol, unknown>)[key]
  } catch {
    return undefined // a getter of the user's: the rest of the error is still worth telling
  }
}

export function text(value: unknown): string {
  try {
    return String(value)
  } catch {
    // its toString() throws, or it has none
    return 'a value that has no text'
  }
}
