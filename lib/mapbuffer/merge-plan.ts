import type { Label } from '../../types/mapbuffer.js'
import { checkInMemory } from './index-check.js'
import { joinLabel } from './label.js'
import type { MergeInput } from './merge-input.js'
import { duplicateLabel, sortLabels } from './sort.js'

/** What becomes of a label that several maps have. */
export type Policy<V> = 'error' | 'first' | 'last' | ((label: Label, values: V[]) => V)

/** Which entries of which maps make the new file. */
export interface Plan<V> {
  readonly inputs: readonly MergeInput<V>[]
  /** By entry of any map: the halves of its label, its map, its row there (from 1). */
  readonly low: Uint32Array
  readonly high: Uint32Array
  readonly map: Uint32Array
  readonly row: Uint32Array
  /** Entries of the new file. */
  readonly count: number
  /** The entries that are used, by label; those of one label one after the other, in the order of the maps. */
  readonly order: Uint32Array
  /** Where in `order` the entries of the new file's i-th label begin; one more at the end. */
  readonly starts: Uint32Array
  /** Some label has several entries. */
  readonly combines: boolean
  readonly bigint: boolean
}

/** Reads all indexes. Throws `MILL_DUPLICATE_LABEL`, `MILL_TOO_MANY`, what `select` and the sources throw. */
export async function makePlan<V>(
  inputs: readonly MergeInput<V>[],
  policy: Policy<V>,
  select: ((label: Label) => boolean) | undefined,
  signal: AbortSignal,
): Promise<Plan<V>> {
  let total = 0
  for (const { header } of inputs) total += header.size
  checkInMemory(total)
  const low = new Uint32Array(total)
  const high = new Uint32Array(total)
  const map = new Uint32Array(total)
  const row = new Uint32Array(total)
  let at = 0
  for (const [i, input] of inputs.entries()) {
    const { words, size } = (await input.index(signal)).lookup
    for (let k = 0; k < size; k++, at++) {
      low[at] = words[4 * k] as number
      high[at] = words[4 * k + 1] as number
      map[at] = i
      row[at] = k + 1
    }
  }
  const bigint = inputs[0]?.bigint === true
  const sorted = sortLabels(low, high, total)
  const starts = new Uint32Array(total + 1)
  let kept = 0
  let count = 0
  // Entries that are not used are overwritten in place: what is kept never passes what is read.
  for (let from = 0, to = 0; from < total; from = to) {
    const entry = sorted[from] as number
    const entryLow = low[entry] as number
    const entryHigh = high[entry] as number
    for (to = from + 1; to < total; to++) {
      const next = sorted[to] as number
      if (low[next] !== entryLow || high[next] !== entryHigh) break
    }
    if (select !== undefined && !select(joinLabel(entryLow, entryHigh, bigint))) continue
    starts[count++] = kept
    if (to - from === 1 || policy === 'first') sorted[kept++] = entry
    else if (policy === 'last') sorted[kept++] = sorted[to - 1] as number
    else if (policy === 'error') throw duplicateLabel(entryLow, entryHigh)
    else for (let i = from; i < to; i++) sorted[kept++] = sorted[i] as number
  }
  starts[count] = kept
  return {
    inputs,
    low,
    high,
    map,
    row,
    count,
    order: sorted.subarray(0, kept),
    starts: starts.subarray(0, count + 1),
    combines: kept > count,
    bigint,
  }
}
