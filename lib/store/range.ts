import type { ByteRange } from '../../types/store.js'
import { compareBytes } from '../base/bytes.js'

/** A range with one bound on each side. */
export interface Bounds {
  readonly low: Uint8Array | undefined
  /** `low` itself is left out. */
  readonly lowOpen: boolean
  readonly high: Uint8Array | undefined
  readonly highOpen: boolean
  /** Nothing can be in it. */
  readonly empty: boolean
}

/**
 * The tighter of two bounds on each side. No key is empty, so an empty bound below is none, and above it nothing fits.
 * No key is longer than `maxKeyBytes`, so a longer bound stands behind the key it begins with, and before the next.
 */
export function bounds(range: ByteRange, maxKeyBytes: number): Bounds {
  const { gt, gte, lt, lte } = range
  let low = gte
  let lowOpen = false
  if (gt !== undefined && (gte === undefined || compareBytes(gt, gte) >= 0)) {
    low = gt
    lowOpen = true
  }
  let high = lte
  let highOpen = false
  if (lt !== undefined && (lte === undefined || compareBytes(lt, lte) <= 0)) {
    high = lt
    highOpen = true
  }
  if (low?.length === 0) {
    low = undefined
    lowOpen = false
  } else if (low !== undefined && low.length > maxKeyBytes) {
    low = low.subarray(0, maxKeyBytes)
    lowOpen = true
  }
  if (high !== undefined && high.length > maxKeyBytes) {
    high = high.subarray(0, maxKeyBytes)
    highOpen = false
  }
  return { low, lowOpen, high, highOpen, empty: isEmpty(low, high, lowOpen || highOpen) }
}

function isEmpty(low: Uint8Array | undefined, high: Uint8Array | undefined, open: boolean): boolean {
  if (high === undefined) return false
  if (high.length === 0) return true
  if (low === undefined) return false
  const order = compareBytes(low, high)
  return order > 0 || (order === 0 && open)
}
