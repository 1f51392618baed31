// Compiled, never run: what must compile does, and each `@ts-expect-error` fails the build once the line below it compiles.
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import {
  type ArgsOf,
  type Chunk,
  type ChunkExecutor,
  type ChunkFn,
  type ChunkJob,
  ChunkPool,
  type ChunkRun,
  type ErrorCode,
  inline,
  isMillraceError,
  job,
  type Progress,
  type ReadableOf,
  type RunError,
  runChunked,
  type Status,
  type Summary,
  sharedArray,
  shareOf,
  statusLine,
  type WritableOf,
} from 'millrace/run'
import type { Exactly } from './exactly.js'

interface Fill {
  readonly out: Float64Array
}
declare const url: URL
declare const signal: AbortSignal
declare const executor: ChunkExecutor
declare const pool: ChunkPool
declare function fill(chunk: Chunk, args: Fill): void
declare function sum(chunk: Chunk<{ open: boolean }>, args: { factor: number }): Promise<number | undefined>
declare function bare(chunk: Chunk): string
declare function optional(chunk: Chunk, args?: { depth: number }): bigint
const out = sharedArray(Float64Array, 10)
true satisfies Exactly<typeof out, Float64Array<SharedArrayBuffer>>

// What a job takes and gives is that of its function.
const filling = job<typeof fill>(url, 'fill')
const summing = job<typeof sum>(url, 'sum', { init: 'open', teardown: 'close' })
true satisfies Exactly<typeof filling, ChunkJob<Fill, void>>
true satisfies Exactly<typeof summing, ChunkJob<{ factor: number }, number | undefined>>
true satisfies Exactly<ArgsOf<typeof bare>, undefined>
true satisfies Exactly<ArgsOf<typeof optional>, { depth: number } | undefined>
const shouting = inline((chunk: Chunk, { word }: { word: string }) => word + chunk.index)
true satisfies Exactly<typeof shouting, ChunkJob<{ word: string }, string>>
// @ts-expect-error a path is no URL
job<typeof fill>('./fill.js', 'fill')
// @ts-expect-error hooks are names
job<typeof fill>(url, 'fill', { init: fill })
// @ts-expect-error a chunk function takes a chunk
job<(name: string) => void>(url)
fill satisfies ChunkFn<Fill>

// Arguments are required where the function has some, checked, and optional where it has none.
runChunked(filling, { end: 10, args: { out } })
runChunked(job<typeof bare>(url), { end: 10 })
runChunked(job<typeof optional>(url), { end: 10 })
runChunked(job<typeof optional>(url), { end: 10, args: { depth: 1 } })
runChunked(fill, { end: 10, args: { out } })
runChunked(bare, { end: 10 })
runChunked(() => 1, { end: 10 })
// @ts-expect-error args are missing
runChunked(filling, { end: 10 })
// @ts-expect-error args are missing
runChunked(fill, { end: 10 })
// @ts-expect-error an Int32Array is none of floats
runChunked(filling, { end: 10, args: { out: new Int32Array(1) } })
// @ts-expect-error factor is a number
runChunked(summing, { end: 10, args: { factor: '2' } })
// @ts-expect-error the function takes none
runChunked(job<typeof bare>(url), { end: 10, args: { depth: 1 } })
// @ts-expect-error a range has an end
runChunked(bare, { start: 1 })

// Each kind of run has its own options.
runChunked(bare, { end: 10, concurrency: 3, retries: { count: 2, delayMs: 10 }, onError: 'continue', signal })
runChunked(summing, { end: 10, workers: 3, daemon: true, preload: [url], executor, args: { factor: 1 } })
// @ts-expect-error threads need a job
runChunked(bare, { end: 10, workers: 3 })
// @ts-expect-error so does an executor
runChunked(bare, { end: 10, executor })
// @ts-expect-error lanes are of this process
runChunked(summing, { end: 10, concurrency: 3, args: { factor: 1 } })
// @ts-expect-error two words
runChunked(bare, { end: 10, onError: 'ignore' })
// @ts-expect-error misspelt options are refused
runChunked(bare, { end: 10, chunksize: 5 })
// @ts-expect-error a function that is no job, in a pool
pool.run(bare, { end: 10 })
// @ts-expect-error threads of a pool have their limits already
pool.run(summing, { end: 10, args: { factor: 1 }, resourceLimits: {} })
// @ts-expect-error a plain object is no job
runChunked({ name: 'fill' }, { end: 10 })

// Values have the type of what the function gives, without what is not delivered.
export async function values(): Promise<void> {
  const run = runChunked(summing, { end: 10, args: { factor: 1 } })
  true satisfies Exactly<typeof run, ChunkRun<number | undefined>>
  for await (const value of run.values({ ordered: false, window: 3 })) true satisfies Exactly<typeof value, number>
  const local = runChunked((chunk) => fetch(`/${chunk.index}`, { signal: chunk.signal }), { end: 10 })
  for await (const value of local.values()) true satisfies Exactly<typeof value, Response>
  const pooled = pool.run(shouting, { end: 10, args: { word: 'a' } })
  true satisfies Exactly<ReturnType<typeof pooled.values>, ReadableOf<string>>
  const moved = runChunked((chunk) => chunk.transfer(new Uint8Array(8)), { end: 10 })
  true satisfies Exactly<ReturnType<typeof moved.values>, ReadableOf<Uint8Array<ArrayBuffer>>>
}

// A run is a promise and a stream of statuses, told apart by their type.
export async function faces(run: ChunkRun<number>): Promise<void> {
  const summary = await run
  true satisfies Exactly<typeof summary, Summary>
  true satisfies Exactly<Awaited<typeof run.done>, Summary>
  const rescued = await run.catch(() => 'none')
  true satisfies Exactly<typeof rescued, Summary | string>
  for await (const status of run) {
    true satisfies Exactly<typeof status, Status>
    // @ts-expect-error not every status has numbers
    status.done
    if (status.type === 'progress' || status.type === 'end') status satisfies Progress
    else if (status.type === 'chunk') status.state satisfies 'done' | 'failed' | 'aborted'
    else if (status.type === 'worker') status.state satisfies 'started' | 'lost'
    else if (status.type === 'retry' || status.type === 'failed') status.attempt satisfies number
  }
  run satisfies ReadableOf<Status> & PromiseLike<Summary> & AsyncDisposable
  run.pipe(statusLine({ label: 'x' })) satisfies WritableOf<Progress | Status>
  await pipeline(run, new Writable({ objectMode: true }))
  run.chunkAt(0).state satisfies 'pending' | 'running' | 'done' | 'failed' | 'aborted'
  // @ts-expect-error the board's bytes can be looked at; the view itself stays
  run.board = new Uint8Array(1)
  // @ts-expect-error there is no chunk by name
  run.chunkAt('0')
  await using disposed = run
  disposed.abort('any reason')
}

// Inside a chunk.
runChunked(
  (chunk, args: { names: string[] }) => {
    chunk satisfies Chunk<undefined>
    // @ts-expect-error a chunk cannot be moved
    chunk.index = 1
    return args.names[chunk.index]
  },
  { end: 3, args: { names: [] } },
)

// Small things, pools and errors.
shareOf(0, 4, { end: 100 }) satisfies { start: number; end: number }
new ChunkPool({ workers: 2, resourceLimits: { maxOldGenerationSizeMb: 64 } }) satisfies AsyncDisposable
export const sharedArrays = [
  sharedArray(Int8Array, 1) satisfies Int8Array<SharedArrayBuffer>,
  sharedArray(Uint8Array, 1) satisfies Uint8Array<SharedArrayBuffer>,
  sharedArray(Uint8ClampedArray, 1) satisfies Uint8ClampedArray<SharedArrayBuffer>,
  sharedArray(Int16Array, 1) satisfies Int16Array<SharedArrayBuffer>,
  sharedArray(Uint16Array, 1) satisfies Uint16Array<SharedArrayBuffer>,
  sharedArray(Int32Array, 1) satisfies Int32Array<SharedArrayBuffer>,
  sharedArray(Uint32Array, 1) satisfies Uint32Array<SharedArrayBuffer>,
  sharedArray(Float32Array, 1) satisfies Float32Array<SharedArrayBuffer>,
  sharedArray(BigInt64Array, 1) satisfies BigInt64Array<SharedArrayBuffer>,
  sharedArray(BigUint64Array, 1) satisfies BigUint64Array<SharedArrayBuffer>,
]
/** A class that later versions of JavaScript bring. */
declare class Float16 extends DataView<SharedArrayBuffer> {
  static readonly BYTES_PER_ELEMENT: 2
  constructor(buffer: SharedArrayBuffer)
}
const later = sharedArray(Float16, 1)
true satisfies Exactly<typeof later, Float16>
// @ts-expect-error a class of typed arrays
sharedArray(Array, 10)
// @ts-expect-error a view that has no elements
sharedArray(DataView, 10)
export function onError(error: unknown): unknown {
  if (isMillraceError(error, 'MILL_RUN_CHUNK')) {
    true satisfies Exactly<typeof error.code, 'MILL_RUN_CHUNK'>
    return (error as Error as RunError).chunk?.attempts
  }
  // @ts-expect-error no such code
  if (isMillraceError(error, 'MILL_RUN_CHNUK')) return undefined
  'MILL_RUN_INCOMPLETE' satisfies ErrorCode
  return (error as RunError).errors?.[0]?.chunk
}
