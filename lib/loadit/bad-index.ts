import { ArgumentError, describe, LoadItError } from '../base/errors.js'

/** The index as it is, or `MILL_INDEX`. */
export function checkIndex(index: unknown): number {
  if (Number.isSafeInteger(index)) return index as number
  throw badIndex(index, `An index must be a safe integer, got ${describe(index)}`)
}

/** The indices in an array of its own, each checked. */
export function checkIndices(indices: unknown): number[] {
  if (typeof (indices as Partial<Iterable<unknown>> | null | undefined)?.[Symbol.iterator] !== 'function') {
    throw new ArgumentError('indices', 'an iterable of indices', indices)
  }
  return Array.from(indices as Iterable<unknown>, checkIndex)
}

/** `MILL_INDEX`, for whatever is wrong with it. */
export function badIndex(index: unknown, message: string): LoadItError {
  return new LoadItError('MILL_INDEX', message, { index })
}

/** Counting from the end of what has none. */
export function endlessIndex(index: number): LoadItError {
  return badIndex(index, `An endless sequence has no item ${index}`)
}

/** A view's own index leads out of the sequence it is a view of. */
export function outsideParent(index: number): LoadItError {
  return badIndex(index, `A view points at item ${index}, which the sequence below it does not have`)
}
