import type { ArgsOf, Chunk, ChunkJob } from '../../types/run.js'
import { ArgumentError } from '../base/errors.js'
import type { JobSpec } from './messages.js'
import { RunError } from './run-error.js'

const SPEC = Symbol.for('millrace.job')

/** A job and where it is found. */
interface SpecifiedJob extends ChunkJob {
  readonly [SPEC]: JobSpec
}

// biome-ignore lint/suspicious/noExplicitAny: state and arguments are inferred from the function
type AnyChunkFn = (chunk: Chunk<any>, args: any) => unknown

/**
 * A function exported by a module that each thread imports: `name` says which, `'default'` unless given. `init` and
 * `teardown` name two more exports: `init(args, { worker })` is called once per thread and run, before its first
 * chunk; what it returns is `chunk.state`, and `teardown(state)` is called after the last. Throws
 * `MILL_INVALID_ARGUMENT`; a module or export that is missing fails the run with `MILL_RUN_JOB`.
 */
export function job<F extends AnyChunkFn>(
  url: URL,
  name = 'default',
  hooks: { init?: string; teardown?: string } = {},
): ChunkJob<ArgsOf<F>, Awaited<ReturnType<F>>> {
  const href = (url as { href?: unknown } | null | undefined)?.href
  if (typeof href !== 'string') throw new ArgumentError('url', 'a URL: new URL(…, import.meta.url)', url)
  if (typeof name !== 'string' || name === '') throw new ArgumentError('name', 'the name of an export', name)
  if (typeof hooks !== 'object' || hooks === null) throw new ArgumentError('hooks', 'an object', hooks)
  const { init, teardown } = hooks
  for (const [key, value] of [
    ['hooks.init', init],
    ['hooks.teardown', teardown],
  ] as const) {
    if (value !== undefined && (typeof value !== 'string' || value === '')) {
      throw new ArgumentError(key, 'the name of an export', value)
    }
  }
  const spec = { name, url: href, ...(init !== undefined && { init }), ...(teardown !== undefined && { teardown }) }
  return made('module', spec)
}

/**
 * A function that is sent to the threads as source text. It sees nothing outside itself: no imports, no variables
 * around it; what it needs comes in `args`. Throws `MILL_RUN_JOB` if it has no source (a native or bound function) or
 * is a class.
 */
export function inline<F extends AnyChunkFn>(fn: F): ChunkJob<ArgsOf<F>, Awaited<ReturnType<F>>> {
  if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
  const source = Function.prototype.toString.call(fn)
  const name = fn.name === '' ? 'anonymous' : fn.name
  const refuse = (why: string): RunError =>
    new RunError('MILL_RUN_JOB', `inline(${name}): ${why}; use job() and an exported function`, { job: name })
  if (source.endsWith('[native code] }')) throw refuse('a native or bound function has no source to send')
  if (source.startsWith('class ') || source.startsWith('class{')) throw refuse('a class is not a chunk function')
  return made('inline', { name, source })
}

function made(kind: 'module' | 'inline', spec: JobSpec): ChunkJob {
  const one: SpecifiedJob = { kind, name: spec.name, [SPEC]: spec }
  return Object.freeze(one)
}

/** Where a job is found; undefined for anything that `job()` or `inline()` has not made. */
export function specOf(value: unknown): JobSpec | undefined {
  return typeof value === 'object' && value !== null ? (value as Partial<SpecifiedJob>)[SPEC] : undefined
}

/** What {@link sharedArray} makes, by the name of the class. */
export interface SharedArrays {
  Int8Array: Int8Array<SharedArrayBuffer>
  Uint8Array: Uint8Array<SharedArrayBuffer>
  Uint8ClampedArray: Uint8ClampedArray<SharedArrayBuffer>
  Int16Array: Int16Array<SharedArrayBuffer>
  Uint16Array: Uint16Array<SharedArrayBuffer>
  Int32Array: Int32Array<SharedArrayBuffer>
  Uint32Array: Uint32Array<SharedArrayBuffer>
  Float32Array: Float32Array<SharedArrayBuffer>
  Float64Array: Float64Array<SharedArrayBuffer>
  BigInt64Array: BigInt64Array<SharedArrayBuffer>
  BigUint64Array: BigUint64Array<SharedArrayBuffer>
}

/**
 * A typed array of zeros in shared memory: threads that get it in `args` see the same numbers. `length`: elements.
 * Throws `MILL_INVALID_ARGUMENT`.
 */
// The class is told by its tag: of the constructors a class has, TypeScript would infer from the last alone.
export function sharedArray<K extends keyof SharedArrays>(
  type: { readonly prototype: { readonly [Symbol.toStringTag]: K }; readonly BYTES_PER_ELEMENT: number },
  length: number,
): SharedArrays[K]
/** The same for classes that the list above does not have. */
export function sharedArray<T extends ArrayBufferView>(
  type: { new (buffer: SharedArrayBuffer): T; readonly BYTES_PER_ELEMENT: number },
  length: number,
): T
export function sharedArray(type: unknown, length: number): unknown {
  const bytes = (type as { BYTES_PER_ELEMENT?: unknown } | null | undefined)?.BYTES_PER_ELEMENT
  if (typeof type !== 'function' || typeof bytes !== 'number') {
    throw new ArgumentError('type', 'a class of typed arrays', type)
  }
  if (!(Number.isSafeInteger(length) && length >= 0)) throw new ArgumentError('length', 'a whole number >= 0', length)
  return new (type as new (buffer: SharedArrayBuffer) => unknown)(new SharedArrayBuffer(length * bytes))
}

/**
 * Share `index` of `of` even shares of a range, for work that is spread by number (an indexed cluster job, one
 * process per core): the shares cover the range without a gap and differ by at most one index.
 */
export function shareOf(
  index: number,
  of: number,
  range: { start?: number; end: number },
): { start: number; end: number } {
  if (!(Number.isSafeInteger(of) && of > 0)) throw new ArgumentError('of', 'a whole number > 0', of)
  if (!(Number.isSafeInteger(index) && index >= 0 && index < of)) {
    throw new ArgumentError('index', `a whole number from 0 to ${of - 1}`, index)
  }
  const { start, end } = checkRange(range, 'range')
  const size = end - start
  const rest = size % of
  const each = (size - rest) / of
  const from = start + index * each + Math.min(index, rest)
  return { start: from, end: from + each + (index < rest ? 1 : 0) }
}

/** A range of safe integers whose length is one too. */
export function checkRange(range: { start?: number; end: number }, argument: string): { start: number; end: number } {
  const { start = 0, end } = range ?? {}
  if (!Number.isSafeInteger(start)) throw new ArgumentError(`${argument}.start`, 'a safe integer', start)
  if (!Number.isSafeInteger(end)) throw new ArgumentError(`${argument}.end`, 'a safe integer', end)
  if (end < start) throw new ArgumentError(`${argument}.end`, `at least start (${start})`, end)
  if (!Number.isSafeInteger(end - start)) {
    throw new ArgumentError(`${argument}.end`, 'within 2^53 - 1 of start', end)
  }
  return { start: start === 0 ? 0 : start, end: end === 0 ? 0 : end } // no -0
}
