import type { VerifyOptions, VerifyReport } from '../../types/load-it.js'
import { isMillraceError, type LoadItError } from '../base/errors.js'
import { Meter } from '../base/progress.js'
import type { Dataset } from './dataset.js'
import { isMissing } from './faults.js'
import type { Mill } from './mill.js'
import { openShard } from './shard-open.js'

/** Milliseconds between two reports. */
const REPORT_MS = 100

/** Reads every byte of every shard and compares; with `repair` damaged ones are made again. */
export async function verify<T>(data: Dataset<T>, mill: Mill<T>, options: VerifyOptions): Promise<VerifyReport> {
  const { signal, repair = false, onProgress } = options
  data.learn()
  const records = [...data.books.records()].filter(([, record]) => record.state === 'ready')
  const meter = new Meter('verify', { total: records.length })
  const bad: { start: number; reason: string }[] = []
  let checked = 0
  let bytes = 0
  let told = performance.now()
  for (const [start, record] of records) {
    data.check()
    signal?.throwIfAborted()
    const k = data.shardLength === 0 ? 0 : start / data.shardLength
    const reason = await reasonOf(data, start, record, signal)
    // It was evicted, or made anew, while it was read.
    data.books.refresh()
    if (reason !== undefined && data.recordOf(k)?.gen !== record.gen) continue
    checked++
    bytes += record.bytes
    meter.add(1, record.bytes)
    if (reason !== undefined) {
      bad.push({ start, reason })
      data.spoilt(k, repair ? record.gen : 0, reason)
      if (repair && data.canMake) await remake(mill, k, signal)
    }
    if (onProgress !== undefined && performance.now() - told >= REPORT_MS) {
      told = performance.now()
      onProgress(meter.read())
    }
  }
  onProgress?.(meter.read())
  return { checked, bad, bytes }
}

/** What is wrong with a shard; undefined: nothing. A reader of its own, so that no byte comes from memory. */
async function reasonOf<T>(
  data: Dataset<T>,
  start: number,
  record: { gen: number; count: number; crc: number; bytes: number },
  signal?: AbortSignal,
): Promise<string | undefined> {
  try {
    const reader = await openShard<T>(data.kit, data.pathOf(start, record.gen), start, record)
    try {
      await reader.check(signal)
    } finally {
      reader.close()
    }
    return undefined
  } catch (error) {
    if (signal?.aborted === true && error === signal.reason) throw error
    if (isMillraceError(error, 'MILL_SHARD_CORRUPT')) return (error as LoadItError).reason ?? ''
    if (isMissing(error)) return 'its file is missing'
    throw error
  }
}

async function remake<T>(mill: Mill<T>, k: number, signal?: AbortSignal): Promise<void> {
  const job = mill.want(k)
  try {
    await job.wait(Number.POSITIVE_INFINITY, signal)
    if (job.outcome === 'failed' && job.error !== undefined) throw job.error
  } finally {
    mill.letGo(job)
  }
}
