import type { ChunkExecutor, ChunkRef, LocalOptions, ThreadOptions } from '../../types/run.js'
import { checkSignal } from '../base/abort.js'
import { isBytesLike, toUint8Array } from '../base/bytes.js'
import { ArgumentError } from '../base/errors.js'
import { checkRange } from './job.js'
import { RunError } from './run-error.js'
import { checkSaved, savedPlan } from './saved.js'

/** A board of 256 MiB. */
const MAX_CHUNKS = 2 ** 28
export const MAX_LANES = 1024
/** What `setTimeout` can count to. */
const MAX_MS = 2 ** 31 - 1
/** Chunks per lane, unless `chunkSize` says otherwise: evens out chunks of unequal cost. */
const CHUNKS_PER_LANE = 32
const LOCAL_LANES = 8
/** Copies of an argument of this size in every thread are worth a word. */
const WORTH_A_WARNING = 4096

/** What a run has been asked to do; checked, and nothing changes it any more. */
export interface Plan {
  readonly start: number
  readonly end: number
  readonly chunkSize: number
  readonly count: number
  /** Number of the first chunk: not 0 where the run is a block of a larger one. */
  readonly first: number
  /** Attempts of its chunks elsewhere, before this run: not 0 only for a block that comes again, which has no `retries`. */
  readonly earlier: number
  readonly lanes: number
  readonly retries: number
  readonly delayMs: number
  readonly stopOnError: boolean
  readonly chunkTimeoutMs: number | undefined
  readonly graceMs: number
  readonly progressMs: number
  readonly chunkEvents: boolean
  readonly signal: AbortSignal | undefined
  readonly resume: Uint8Array | undefined
  readonly args: unknown
}

/** A run that is not a block of a larger one. */
const ALONE: Pick<Plan, 'first' | 'earlier'> = { first: 0, earlier: 0 }

type AnyOptions = LocalOptions & ThreadOptions & { args?: unknown }

/** Makes a plan, or throws `MILL_INVALID_ARGUMENT`, `MILL_RUN_RESUME`, `MILL_RUN_ARGS`. `threads`: how many unless said, `atMost`: there are. */
export function planOf(given: unknown, threads: number | undefined, atMost = MAX_LANES, block = ALONE): Plan {
  if (typeof given !== 'object' || given === null) throw new ArgumentError('options', 'an object', given)
  const options = given as AnyOptions
  const range = checkRange(options, 'options')
  const lanes =
    threads === undefined
      ? whole('concurrency', options.concurrency, LOCAL_LANES, 1, MAX_LANES)
      : Math.min(atMost, whole('workers', options.workers, threads, 1, MAX_LANES))
  const saved = bytesOf(options.resume)
  const before = saved === undefined ? undefined : savedPlan(saved)
  const size = range.end - range.start
  const automatic = before?.chunkSize ?? Math.max(1, Math.ceil(size / (lanes * CHUNKS_PER_LANE)))
  const chunkSize = whole('chunkSize', options.chunkSize, automatic, 1, Number.MAX_SAFE_INTEGER)
  const rest = size % chunkSize
  const count = (size - rest) / chunkSize + (rest > 0 ? 1 : 0) // exact, where a division may round down
  if (count > MAX_CHUNKS) {
    throw new ArgumentError('options.chunkSize', `so large that there are at most 2^28 chunks, not ${count}`, chunkSize)
  }
  const { retries, delayMs } = retriesOf(options.retries)
  const events = oneOf('events', options.events, ['progress', 'chunk'])
  const onError = oneOf('onError', options.onError, ['stop', 'continue'])
  const plan: Plan = {
    ...range,
    chunkSize,
    count,
    first: block.first,
    earlier: block.earlier,
    lanes,
    retries,
    delayMs,
    stopOnError: onError === 'stop',
    chunkTimeoutMs:
      options.chunkTimeoutMs === undefined ? undefined : ms('chunkTimeoutMs', options.chunkTimeoutMs, 0, 1),
    graceMs: ms('graceMs', options.graceMs, 5000),
    progressMs: ms('progressMs', options.progressMs, 100),
    chunkEvents: events === 'chunk',
    signal: checkSignal(options.signal),
    resume: saved,
    args: options.args,
  }
  if (before !== undefined) checkSaved(before, plan)
  return Object.freeze(plan)
}

/** The range of a chunk. */
export function chunkRef({ start, end, chunkSize, first }: Plan, index: number): ChunkRef {
  const from = start + index * chunkSize
  return { index: first + index, start: from, end: end - from <= chunkSize ? end : from + chunkSize }
}

function whole(name: string, value: unknown, usual: number, least: number, most: number): number {
  if (value === undefined) return usual
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) return value as number
  const upTo = most === Number.MAX_SAFE_INTEGER ? `>= ${least}` : `from ${least} to ${most}`
  throw new ArgumentError(`options.${name}`, `a whole number ${upTo}`, value)
}

function ms(name: string, value: unknown, usual: number, least = 0): number {
  if (value === undefined) return usual
  if (typeof value === 'number' && value >= least && value <= MAX_MS) return value
  throw new ArgumentError(`options.${name}`, `milliseconds, ${least} to 2^31 - 1`, value)
}

function oneOf<T extends string>(name: string, value: unknown, words: readonly [T, ...T[]]): T {
  if (value === undefined) return words[0]
  if (words.includes(value as T)) return value as T
  throw new ArgumentError(`options.${name}`, words.map((word) => `'${word}'`).join(' or '), value)
}

function retriesOf(value: unknown): { retries: number; delayMs: number } {
  if (typeof value !== 'object' || value === null) {
    return { retries: whole('retries', value, 0, 0, Number.MAX_SAFE_INTEGER), delayMs: 0 }
  }
  const { count, delayMs } = value as { count?: unknown; delayMs?: unknown }
  if (count === undefined) throw new ArgumentError('options.retries.count', 'a whole number >= 0', count)
  return {
    retries: whole('retries.count', count, 0, 0, Number.MAX_SAFE_INTEGER),
    delayMs: ms('retries.delayMs', delayMs, 0),
  }
}

function bytesOf(value: unknown): Uint8Array | undefined {
  if (value === undefined) return undefined
  if (isBytesLike(value)) return toUint8Array(value)
  throw new ArgumentError('options.resume', 'the bytes that save() gave', value)
}

/** Options of threads, checked; throws `MILL_INVALID_ARGUMENT`. */
export function checkPreload(preload: unknown): string[] {
  if (preload === undefined) return []
  if (!Array.isArray(preload)) throw new ArgumentError('options.preload', 'an array of URLs', preload)
  return preload.map((url: unknown, i) => {
    const href = (url as { href?: unknown } | null | undefined)?.href
    if (typeof href !== 'string') throw new ArgumentError(`options.preload[${i}]`, 'a URL', url)
    return href
  })
}

/** An executor by its shape. */
export function checkExecutor(value: unknown): ChunkExecutor {
  const { name, run } = (value ?? {}) as Partial<ChunkExecutor>
  if (typeof name === 'string' && typeof run === 'function') return value as ChunkExecutor
  throw new ArgumentError('options.executor', 'an object with a name and a run(plan, sink, signal)', value)
}

/**
 * Throws `MILL_RUN_ARGS` for arguments that cannot be sent to a thread. Buffers always can, and are not cloned to find
 * out. Returns those that every thread would get a copy of, where the copy is large: writing to it is lost.
 */
export function checkArgs(args: unknown): string[] {
  if (isBytesLike(args)) return isLargeCopy(args) ? ['args'] : []
  if (typeof args !== 'object' || args === null || !isPlain(args)) {
    tryClone('args', args)
    return []
  }
  const copied: string[] = []
  for (const key of Object.keys(args)) {
    const value = (args as Record<string, unknown>)[key]
    if (!isBytesLike(value)) tryClone(key, value)
    else if (isLargeCopy(value)) copied.push(key)
  }
  return copied
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype
}

function isLargeCopy(value: ArrayBufferView | ArrayBufferLike): boolean {
  const buffer = ArrayBuffer.isView(value) ? value.buffer : value
  return !(buffer instanceof SharedArrayBuffer) && buffer.byteLength >= WORTH_A_WARNING
}

function tryClone(key: string, value: unknown): void {
  try {
    structuredClone(value)
  } catch (cause) {
    const where = key === 'args' ? 'args' : `args.${key}`
    const why = (cause as Error).message
    throw new RunError('MILL_RUN_ARGS', `${where} cannot be sent to a thread: ${why}`, { key, cause })
  }
}
