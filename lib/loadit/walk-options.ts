import type { Cursor, WalkOptions } from '../../types/load-it.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError, describe, LoadItError } from '../base/errors.js'
import { badIndex } from './bad-index.js'

/** Items of a batch, and items a stream reads ahead. */
export const MAX_ITEMS = 256

/** What to walk, checked. */
export interface WalkPlan {
  readonly start: number
  /** Infinity: to the end of the sequence. */
  readonly end: number
  readonly maxItems: number
  readonly signal: AbortSignal | undefined
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

/**
 * The options of a walk through the sequence of this description. Throws `MILL_INVALID_ARGUMENT`, and `MILL_CURSOR` for
 * a cursor of another sequence.
 */
export function checkWalk(options: WalkOptions, description: () => string): WalkPlan {
  const { end = Number.POSITIVE_INFINITY, maxItems = MAX_ITEMS, cursor } = options
  let { start = 0 } = options
  if (!isCount(start)) throw new ArgumentError('options.start', 'a whole number >= 0', start)
  if (!isCount(end) && end !== Number.POSITIVE_INFINITY) {
    throw new ArgumentError('options.end', 'a whole number >= 0', end)
  }
  if (!isCount(maxItems) || maxItems === 0) throw new ArgumentError('options.maxItems', 'a whole number > 0', maxItems)
  const signal = checkSignal(options.signal)
  if (cursor !== undefined) {
    if (options.start !== undefined) throw new ArgumentError('options.start', 'absent where a cursor is given', start)
    start = placeOf(cursor, description())
  }
  return { start, end, maxItems, signal }
}

function placeOf(cursor: unknown, expected: string): number {
  const { millrace, sequence, next } = (cursor ?? {}) as Partial<Cursor>
  if (millrace !== 1 || typeof sequence !== 'string' || !isCount(next)) {
    throw new ArgumentError('options.cursor', 'what cursor() made', cursor)
  }
  if (sequence !== expected) {
    const message = `This cursor belongs to another sequence: ${describe(sequence)}, not ${describe(expected)}`
    throw new LoadItError('MILL_CURSOR', message, { expected, found: sequence })
  }
  return next
}

/** A cursor before item `next` of the sequence of this description. Throws `MILL_INDEX`. */
export function makeCursor(sequence: string, next: number): Cursor {
  if (!isCount(next)) throw badIndex(next, `A cursor stands before an item, got ${describe(next)}`)
  return { millrace: 1, sequence, next }
}
