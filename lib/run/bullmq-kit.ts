import type { Serializer } from '../../types/codec.js'
import type { BullmqOptions } from '../../types/run.js'
import { sleep } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { loadSerializer } from '../codec/serializer.js'
import type { PackedError } from './messages.js'
import { RunError, textOf } from './run-error.js'

/** Version of what is in a queue; another one is refused by the worker. */
export const VERSION = 1
export const JOB_NAME = 'block'
/** How often another worker may begin with a block whose worker was lost. */
export const MAX_STALLED = 3
/** How deep causes are followed. */
const DEPTH = 4

/** A job of the queue: consecutive chunks of a run. `args`: base64 of what the serializer made of them. */
export interface BlockData {
  readonly v: number
  readonly run: string
  readonly job: string
  /** Number of its first chunk in the run. */
  readonly first: number
  readonly start: number
  readonly end: number
  readonly chunkSize: number
  readonly args: string
  readonly values: boolean
  readonly progressMs: number
  /** Of its chunks, at the first worker that gets it. */
  readonly attempt: number
  readonly aborted?: boolean
}

/** What became of a block; `k` counts from its first chunk. All others are done. `left`: not run, after an abort. */
export interface BlockResult {
  readonly failed: readonly (readonly [k: number, error: PackedError])[]
  readonly values: readonly (readonly [k: number, value: unknown])[]
  readonly left: readonly number[]
}

// What is used of BullMQ, spelled out: our declarations must not name the types of a package that may be absent.

export interface QueueJob {
  readonly id?: string | undefined
  readonly data: BlockData
  /** How often a worker was given it, this time included. */
  readonly attemptsStarted: number
  updateData(data: BlockData): Promise<void>
  updateProgress(progress: string): Promise<void>
}

/** What has connections to close. */
export interface Connected {
  close(): Promise<void>
  disconnect(): Promise<void>
}

export interface JobQueue extends Connected {
  add(name: string, data: BlockData, options: object): Promise<unknown>
  getJob(id: string): Promise<QueueJob | undefined>
  remove(id: string): Promise<number>
  waitUntilReady(): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
}

export interface QueueEvents extends Connected {
  on(event: 'active', listener: (event: { jobId: string }) => void): unknown
  on(event: 'completed', listener: (event: { jobId: string; returnvalue: unknown }) => void): unknown
  on(event: 'failed', listener: (event: { jobId: string; failedReason: string }) => void): unknown
  on(event: 'progress', listener: (event: { jobId: string; data: unknown }) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  waitUntilReady(): Promise<unknown>
}

export interface QueueWorker {
  on(event: 'error', listener: (error: Error) => void): unknown
  waitUntilReady(): Promise<unknown>
  close(force?: boolean): Promise<void>
}

export interface Bullmq {
  readonly Queue: new (name: string, options: object) => JobQueue
  readonly QueueEvents: new (name: string, options: object) => QueueEvents
  readonly Worker: new (name: string, work: (job: QueueJob) => Promise<string>, options: object) => QueueWorker
}

/** How long a server may take to say goodbye, in milliseconds. */
const GOODBYE_MS = 2000

/** Closes the connections. BullMQ may wait for ever for a server that went away: then they are only cut. */
export async function hangUp(connected: Connected): Promise<void> {
  const closed = new AbortController()
  connected.close().then(
    () => closed.abort(),
    () => closed.abort(), // gone either way
  )
  try {
    await sleep(GOODBYE_MS, closed.signal)
    void connected.disconnect().catch(() => {})
  } catch {
    // It has closed in time.
  }
}

/** The package, on first use. Rejects with `MILL_PACKAGE_MISSING`. */
export async function loadBullmq(): Promise<Bullmq> {
  try {
    return (await import('bullmq')) as unknown as Bullmq
  } catch (cause) {
    const what = 'bullmqExecutor and bullmqWorker need the packages bullmq and ioredis: npm install bullmq ioredis'
    throw new RunError('MILL_PACKAGE_MISSING', what, { package: 'bullmq', cause })
  }
}

/** {@link BullmqOptions} with their defaults. */
export interface Settings {
  readonly connection: object
  readonly queue: string
  readonly blockChunks: number
  readonly maxBlocks: number
  readonly lockMs: number
  readonly progressMs: number
  readonly serializer: Serializer<unknown> | undefined
}

/** Throws `MILL_INVALID_ARGUMENT`. */
export function settingsOf(options: BullmqOptions): Settings {
  if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
  const { connection, queue = 'millrace', serializer } = options
  if (typeof connection !== 'object' || connection === null) {
    throw new ArgumentError('options.connection', 'what BullMQ takes as a connection', connection)
  }
  if (typeof queue !== 'string' || queue === '' || queue.includes(':')) {
    throw new ArgumentError('options.queue', 'a name without ":"', queue)
  }
  if (serializer !== undefined && typeof serializer?.encode !== 'function') {
    throw new ArgumentError('options.serializer', 'a serializer', serializer)
  }
  return {
    connection,
    queue,
    blockChunks: whole('blockChunks', options.blockChunks, 64),
    maxBlocks: whole('maxBlocks', options.maxBlocks, 64),
    lockMs: whole('lockMs', options.lockMs, 30_000),
    progressMs: whole('progressMs', options.progressMs, 1000),
    serializer,
  }
}

function whole(name: string, value: number | undefined, usual: number): number {
  if (value === undefined) return usual
  if (Number.isSafeInteger(value) && value > 0 && value < 2 ** 31) return value
  throw new ArgumentError(`options.${name}`, 'a whole number > 0', value)
}

/** Values and bytes of text: what a queue that keeps JSON can carry. */
export interface Packer {
  pack(value: unknown): string
  /** Throws what the serializer throws. */
  unpack(text: string): unknown
}

export async function packerOf(own: Serializer<unknown> | undefined): Promise<Packer> {
  const serializer = own ?? (await loadSerializer<unknown>('msgpack'))
  return {
    pack: (value) => toBase64(serializer.encode(value)),
    unpack: (text) => serializer.decode(fromBase64(text)),
  }
}

/** Characters that `String.fromCharCode` takes at once without running out of stack. */
const AT_ONCE = 0x8000

export function toBase64(bytes: Uint8Array): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += AT_ONCE) text += String.fromCharCode(...bytes.subarray(at, at + AT_ONCE))
  return btoa(text)
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}

/** An error as values that any serializer keeps: of its own properties those that are text, numbers or true and false. */
export function packError(thrown: unknown, depth = 0): PackedError {
  if (!(thrown instanceof Error)) return { thrown: typeof thrown === 'object' ? textOf(thrown) : thrown }
  const own: Record<string, unknown> = {}
  for (const key of new Set([...Object.keys(thrown), 'code'])) {
    const value = (thrown as unknown as Record<string, unknown>)[key]
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') own[key] = value
  }
  const { name, message, stack, cause } = thrown
  return {
    name,
    message,
    stack,
    own,
    branded: (thrown as unknown as Record<symbol, unknown>)[Symbol.for('millrace.error')] === true,
    ...(cause !== undefined && depth < DEPTH && { cause: packError(cause, depth + 1) }),
  }
}

/** Is there memory in it that a copy would not share? Looks into arrays, plain objects, Maps and Sets. */
export function sharesMemory(value: unknown, seen = new Set<unknown>()): boolean {
  if (typeof value !== 'object' || value === null || seen.has(value)) return false
  seen.add(value)
  if (value instanceof SharedArrayBuffer) return true
  if (ArrayBuffer.isView(value)) return value.buffer instanceof SharedArrayBuffer
  const inside: Iterable<unknown> =
    value instanceof Map ? [...value.keys(), ...value.values()] : value instanceof Set ? value : Object.values(value)
  for (const one of inside) if (sharesMemory(one, seen)) return true
  return false
}
