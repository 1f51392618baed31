import '../streams/node.js'

export type { ErrorCode } from '../../types/errors.js'
export type { Progress } from '../../types/progress.js'
export type {
  ArgsOf,
  BullmqOptions,
  Chunk,
  ChunkBlock,
  ChunkExecutor,
  ChunkFn,
  ChunkJob,
  ChunkPlan,
  ChunkRef,
  ChunkRun,
  ChunkSink,
  ChunkState,
  LocalOptions,
  RunOptions,
  RunProgress,
  Status,
  Summary,
  ThreadOptions,
  WithArgs,
} from '../../types/run.js'
export type { ReadableOf, WritableOf } from '../../types/source.js'
export { AbortError, ArgumentError, isMillraceError, MillraceError } from '../base/errors.js'
export { bullmqExecutor } from './bullmq-executor.js'
export { bullmqWorker } from './bullmq-worker.js'
export { ChunkPool } from './chunk-pool.js'
export { inline, job, sharedArray, shareOf } from './job.js'
export { runChunked } from './run-chunked.js'
export { RunError } from './run-error.js'
export { statusLine } from './status-line.js'
