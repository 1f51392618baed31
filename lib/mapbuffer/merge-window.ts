import { onAbort } from '../base/abort.js'
import { Semaphore } from '../base/mutex.js'
import type { MergeInput } from './merge-input.js'
import type { Plan } from './merge-plan.js'
import { readInOrder } from './ordered-reads.js'
import { labelOf, runsOf, soundRows, storedOf } from './values.js'

/** Maps that are read at the same time. */
const MAPS_AT_ONCE = 4

/** Takes the stored bytes of a window's i-th entry, checksum included and checked. They are a view: copy what you keep. */
export type Take = (i: number, stored: Uint8Array) => void

/** Reads the stored bytes of these entries, map by map in the order of its file, and gives each to `take`. */
export async function readWindow<V>(
  plan: Plan<V>,
  entries: ArrayLike<number>,
  take: Take,
  signal: AbortSignal,
): Promise<void> {
  const byMap = new Map<number, number[]>()
  for (let i = 0; i < entries.length; i++) {
    const map = plan.map[entries[i] as number] as number
    const places = byMap.get(map)
    if (places === undefined) byMap.set(map, [i])
    else places.push(i)
  }
  // When one map fails the others need not be read to the end.
  const work = new AbortController()
  const forget = onAbort(signal, (reason) => work.abort(reason))
  const lanes = new Semaphore(MAPS_AT_ONCE)
  const reads = [...byMap].map(([map, places]) =>
    lanes.run(() => {
      // Not left to the lanes: each of many maps that wait would have its own listener, and Node warns of that.
      work.signal.throwIfAborted()
      return readMap(plan, map, places, entries, take, work.signal)
    }),
  )
  try {
    await Promise.all(reads)
  } catch (error) {
    work.abort(error)
    await Promise.allSettled(reads)
    throw error
  } finally {
    forget()
  }
}

async function readMap<V>(
  plan: Plan<V>,
  map: number,
  places: number[],
  entries: ArrayLike<number>,
  take: Take,
  signal: AbortSignal,
): Promise<void> {
  const input = plan.inputs[map] as MergeInput<V>
  const { source, joining, entry } = input
  const rowOf = (place: number): number => plan.row[entries[place] as number] as number
  places.sort((a, b) => rowOf(a) - rowOf(b))
  const rows = (await input.index(signal)).rowsAt(places.map(rowOf))
  const { count, fault } = soundRows(rows, input)
  if (fault !== undefined) throw fault
  for await (const [run, bytes] of readInOrder(source, runsOf(rows, count, joining), joining.concurrency, signal)) {
    for (let i = run.from; i < run.to; i++) {
      const stored = storedOf(rows, i, run, bytes)
      if (entry.crc) entry.checkCrc(stored, rows.position[i] as number, labelOf(rows, i, plan.bigint))
      take(places[i] as number, stored)
    }
  }
}
