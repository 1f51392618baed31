import { compareBytes } from '../base/bytes.js'
import { type Part, partOf } from './memory.js'

/** What lies from `from` to `to` (positions), from 0 on, each piece with a reference of its own. */
export function sliceParts(parts: readonly Part[], first: number, from: number, to: number): Part[] {
  const cut: Part[] = []
  for (let i = first; i < parts.length; i++) {
    const { memory, start, end, position } = parts[i] as Part
    const low = Math.max(start, from - position + start)
    const high = Math.min(end, to - position + start)
    if (low >= high) {
      if (position >= to) break
      continue
    }
    memory.refs++
    cut.push(partOf(memory, low, high, position + low - start - from))
  }
  return cut
}

/** Do the parts, from the `first` on, hold exactly `u8` at position `at`? */
export function sameAt(parts: readonly Part[], first: number, at: number, u8: Uint8Array): boolean {
  let done = 0
  for (let i = first; i < parts.length && done < u8.length; i++) {
    const part = parts[i] as Part
    const from = Math.max(part.start, at + done - part.position + part.start)
    const count = Math.min(part.end - from, u8.length - done)
    if (count <= 0) continue
    if (compareBytes(part.u8.subarray(from, from + count), u8.subarray(done, done + count)) !== 0) return false
    done += count
  }
  return done === u8.length
}
