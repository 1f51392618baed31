import { FileError, isMillraceError, LoadItError, type MillraceError } from '../base/errors.js'

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

const codeOf = (error: unknown): unknown => (error as { code?: unknown } | null | undefined)?.code

/** The disk, the quota or the largest file size is used up. */
export function isFull(error: unknown): boolean {
  return FULL.has(codeOf(error) as string) || codeOf(error) === 'MILL_DISK_FULL'
}

/** There is no such file, or there was one and it has gone. */
export function isMissing(error: unknown): boolean {
  if (codeOf(error) === 'ENOENT') return true
  return codeOf(error) === 'MILL_SHARD_UNAVAILABLE'
}

/** An error of ours for what may be anything. */
export function asOurs(error: unknown, path: string): MillraceError {
  if (isMillraceError(error)) return error
  return new FileError('MILL_WRITE_FAILED', `${path}: ${error instanceof Error ? error.message : String(error)}`, {
    path,
    cause: error,
  })
}

/** The source ends elsewhere than it did, or was said to. */
export function lengthChanged(expected: number, found: number, longer = false): LoadItError {
  const message = `the source has ${longer ? 'more than ' : ''}${longer ? expected : found} items, not ${expected}`
  return new LoadItError('MILL_ITEM_SOURCE_CHANGED', message, { what: 'length', start: expected, expected, found })
}

/** A shard comes back with other items. */
export function contentChanged(start: number, expected: number, found: number): LoadItError {
  const message = `the items from ${start} on are others than they were`
  return new LoadItError('MILL_ITEM_SOURCE_CHANGED', message, { what: 'content', start, expected, found })
}

/** An item that is not there and cannot be made. */
export function unavailable(start: number, cause?: unknown, index: number = start): LoadItError {
  const message = `item ${index} is not cached, and there is nothing to make it from`
  const fields = { index, start, ...(cause !== undefined && { cause }) }
  return new LoadItError('MILL_SHARD_UNAVAILABLE', message, fields)
}
