import type { ReadOptions, Sequence } from '../../types/load-it.js'

/**
 * How the items of a view are found. Its face ({@link import('./sequence.js').SequenceBase}) does what all views have
 * in common; what comes here has been checked: indices are safe integers >= 0, and the signal has not aborted yet.
 */
export interface Core<T> {
  readonly description: string
  /** Infinity: endless. Never throws. */
  readonly knownLength: number | undefined
  length(options?: ReadOptions): Promise<number>
  at(index: number, options?: ReadOptions): Promise<T | undefined>
  /** `index` < 0, where this takes less than the length of the whole. */
  fromEnd?(index: number, options?: ReadOptions): Promise<T | undefined>
  peek(index: number): T | undefined
  /** One index or more. */
  getMany(indices: readonly number[], options?: ReadOptions): Promise<(T | undefined)[]>
  /** See {@link Inner._batches}. */
  batches(start: number, end: number, maxItems: number, signal: AbortSignal): AsyncIterable<T[]>
  /** See {@link Inner._ready}. */
  ready(index: number): boolean
  /** See {@link Inner._reach}. */
  reach(index: number, options?: ReadOptions): Promise<boolean>
}

/** What sequences of ours ask of each other besides what everybody may ask. Another maker's need not have it. */
export interface Inner<T> {
  /**
   * The items from `start` up to `end` (Infinity: to the end of the sequence; both may lie beyond it) in arrays that are
   * never empty and have at most `maxItems`: what is ready, at once. Its iterator ends, and rejects with the signal's
   * reason, when the signal aborts.
   */
  _batches(start: number, end: number, maxItems: number, signal: AbortSignal): AsyncIterable<T[]>
  /** Reading this item (`index` >= 0) will not wait for a source. True where nobody knows better; never throws. */
  _ready(index: number): boolean
  /** Is there such an item (`index` >= 0)? Looks as far as needed, not to the end. */
  _reach(index: number, options?: ReadOptions): Promise<boolean>
}

/** {@link Inner._ready} of any sequence. */
export function ready<T>(of: Sequence<T>, index: number): boolean {
  const { _ready } = of as Partial<Inner<T>>
  return _ready === undefined || _ready.call(of, index)
}

/** {@link Inner._reach} of any sequence. */
export async function reach<T>(of: Sequence<T>, index: number, options?: ReadOptions): Promise<boolean> {
  const known = of.knownLength
  if (known !== undefined) return index < known
  const { _reach } = of as Partial<Inner<T>>
  if (_reach !== undefined) return _reach.call(of, index, options)
  // An item may be `undefined` itself: only the length can tell then.
  return (await of.at(index, options)) !== undefined || index < (await of.length(options))
}

/** {@link Inner._batches} of any sequence. */
export function walk<T>(
  of: Sequence<T>,
  start: number,
  end: number,
  maxItems: number,
  signal: AbortSignal,
): AsyncIterable<T[]> {
  const { _batches } = of as Partial<Inner<T>>
  if (_batches !== undefined) return _batches.call(of, start, end, maxItems, signal)
  return of.batches({ start, ...(end < Number.POSITIVE_INFINITY && { end }), maxItems, signal })
}
