import type { PreloadOptions } from '../../types/load-it.js'
import { sleep } from '../base/abort.js'
import { Meter } from '../base/progress.js'
import type { Dataset } from './dataset.js'
import { unavailable } from './faults.js'
import type { Job } from './job.js'
import type { Mill } from './mill.js'
import type { Reading } from './read.js'

/** Milliseconds between two looks at what other processes have made. */
const PAUSE_MS = 50
/** Milliseconds between two reports. */
const REPORT_MS = 100

/** Is every item in the folder, and their number final? */
export function isAllCached<T>(data: Dataset<T>): boolean {
  data.learn()
  return data.length !== undefined && data.books.totals().cached === data.length
}

/** Waits until that is so, whoever does it. */
export async function waitUntilAllCached<T>(data: Dataset<T>, signal?: AbortSignal): Promise<void> {
  for (;;) {
    data.check()
    signal?.throwIfAborted()
    if (isAllCached(data)) return
    await sleep(PAUSE_MS, signal)
  }
}

/** Has every shard made that isn't there, one after the other; rejects as reading does. */
export async function preloadAll<T>(
  data: Dataset<T>,
  mill: Mill<T>,
  reading: Reading<T>,
  { signal, onProgress }: PreloadOptions,
): Promise<void> {
  const known = reading.knownLength
  const meter = new Meter('preload', known === undefined ? {} : { total: known })
  let told = performance.now()
  for (let k = 0; ; k++) {
    data.check()
    signal?.throwIfAborted()
    data.learn()
    const start = data.startOf(k)
    const length = reading.knownLength
    if (length !== undefined && start >= length) break
    const job = data.isReady(k) ? undefined : mill.want(k)
    if (job !== undefined) {
      try {
        await waitFor(job, signal)
        if (job.outcome === 'outside') break
      } finally {
        mill.letGo(job)
      }
    } else if (data.turns.isLongRun()) await data.turns.next()
    const record = data.recordOf(k)
    meter.add(record?.count ?? job?.reader?.count ?? 0, record?.bytes ?? 0)
    if (onProgress !== undefined && performance.now() - told >= REPORT_MS) {
      told = performance.now()
      onProgress(meter.read())
    }
  }
  onProgress?.(meter.read())
}

async function waitFor<T>(job: Job<T>, signal?: AbortSignal): Promise<void> {
  await job.wait(Number.POSITIVE_INFINITY, signal)
  if (job.outcome === 'failed' && job.error !== undefined) throw job.error
}

/** What is cached is all there is. */
export function finalize<T>(data: Dataset<T>): number {
  data.check()
  data.learn()
  if (data.length !== undefined && data.books.totals().cached === data.length) return data.length
  const done = data.books.finalize()
  if (typeof done !== 'number') throw unavailable(done.gap)
  data.learnLength()
  return done
}

/** The source may have more than it had: remakes the last shard, whose beginning must come again, and walks to the end. */
export async function extend<T>(
  data: Dataset<T>,
  mill: Mill<T>,
  reading: Reading<T>,
  signal?: AbortSignal,
): Promise<number> {
  data.check()
  data.learn()
  const before = data.length
  if (before === undefined || data.shardLength === 0) return reading.length(signal)
  const k = Math.floor(before / data.shardLength)
  const start = data.startOf(k)
  if (data.settings.source === undefined) throw unavailable(start, undefined, before)
  // Somebody may be making it again as it was.
  for (let other = mill.find(k); other !== undefined; other = mill.find(k)) await waitFor(other, signal)
  data.isGrowing = true
  try {
    const record = data.books.shard(start)
    const job = mill.want(k, (made) => {
      made.extend = true
      made.least = before
      if (record !== undefined && record.count > 0) made.prefix = { count: record.count, crc: record.crc }
    })
    try {
      await waitFor(job, signal)
    } finally {
      mill.letGo(job)
    }
    return await reading.length(signal)
  } finally {
    data.isGrowing = false
  }
}
