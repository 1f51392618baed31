import type { Progress } from '../../types/progress.js'
import type { Source } from '../../types/source.js'
import { abortable, checkSignal } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { Meter } from '../base/progress.js'
import { batches } from '../streams/source.js'
import type { PairFeeder } from './feeder.js'
import type { MapWriter } from './map-writer.js'
import { DELETED } from './overlay.js'
import { FEEDING_MS, nextTurn, Turn } from './turn.js'
import { pairOf } from './writable.js'

/** Pairs between two looks at the clock and at what waits for the disk. */
const BATCH = 256
/** Milliseconds between two reports of progress. */
const REPORT_MS = 100

/** Values in the order of the keys; what is pending counts, as it was when this was called. */
export async function getMany<K, V>(
  writer: MapWriter<K, V>,
  keys: Iterable<K>,
  signal: AbortSignal | undefined,
): Promise<(V | undefined)[]> {
  const { table, values, overlay } = writer
  const found: (V | undefined)[] = []
  const wanted: Uint8Array[] = []
  const places: number[] = []
  for (const key of keys) {
    const bytes = writer.keyBytes(key)
    const pending = overlay.entries.size === 0 ? undefined : overlay.get(bytes, bytes.length)
    if (pending === undefined) {
      wanted.push(bytes)
      places.push(found.length)
      found.push(undefined)
    } else {
      const { arena, valueAt, valueLength } = pending
      found.push(
        valueLength === DELETED ? undefined : values.decode(bytes, bytes.length, arena.memory, valueAt, valueLength),
      )
    }
  }
  signal?.throwIfAborted()
  const records = await table.getMany(wanted, signal === undefined ? {} : { signal })
  for (let i = 0; i < wanted.length; i++) {
    const key = wanted[i] as Uint8Array
    const record = records[i]
    if (record !== undefined) found[places[i] as number] = values.decode(key, key.length, record, 0, record.length)
  }
  return found
}

/** Writes all pairs of a source, and resolves to how many when they are written. */
export async function setMany<K, V>(
  feeder: PairFeeder<K, V>,
  entries: Source<readonly [K, V]>,
  options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void },
): Promise<number> {
  const signal = checkSignal(options.signal)
  const { onProgress } = options
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new ArgumentError('options.onProgress', 'a function', onProgress)
  }
  signal?.throwIfAborted()
  const turn = new Turn(FEEDING_MS)
  const meter = onProgress && new Meter('write')
  let reported = performance.now()
  for await (const items of batches(entries, { maxItems: BATCH, ...(signal && { signal }) })) {
    signal?.throwIfAborted()
    for (const item of items) {
      const [key, value] = pairOf(item)
      feeder.put(key as K, value as V)
    }
    meter?.add(items.length)
    const room = feeder.room()
    if (room !== undefined) await abortable(room, signal)
    else if (turn.isLong(items.length)) await nextTurn()
    signal?.throwIfAborted()
    if (meter !== undefined && performance.now() - reported >= REPORT_MS) {
      reported = performance.now()
      onProgress?.(meter.read())
    }
  }
  await abortable(feeder.finish(), signal)
  if (meter !== undefined) onProgress?.(meter.read())
  return feeder.count
}
