import type { ReadInput } from '../../types/mapbuffer.js'
import { onAbort } from '../base/abort.js'
import { sourceOf } from '../io/open.js'
import { rangeOptions } from '../io/plan.js'
import { ignore } from '../streams/machine.js'
import { makeRoom, readWhole } from './ordered-reads.js'
import { PinnedSource } from './pinned-source.js'

/** The first read: many files are no longer. */
const FIRST_BYTES = 65536

/**
 * The beginning of an input, in memory of its own, in parts that are read several at a time. `howMany` sees the first
 * bytes and the length of the whole, and says how many are wanted before memory for them is allocated. A source that was
 * made for it is closed. Throws `MILL_TOO_LARGE` where there is not so much memory, and what the source throws.
 */
export async function readStart(
  input: ReadInput,
  howMany: (first: Uint8Array, byteLength: number) => number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { source, owned } = sourceOf(input)
  const work = new AbortController()
  const forget = onAbort(signal, (reason) => work.abort(reason))
  try {
    const file = new PinnedSource(source)
    const first = await file.read(0, FIRST_BYTES, { signal: work.signal })
    const whole = first.length < FIRST_BYTES
    const byteLength = whole ? first.length : await file.measure(first.length, work.signal)
    const wanted = howMany(first, byteLength)
    const bytes = makeRoom(wanted)
    const have = Math.min(first.length, wanted)
    bytes.set(first.subarray(0, have))
    if (have < wanted) {
      const rest = { offset: have, length: wanted - have }
      await readWhole(file, rest, bytes.subarray(have), rangeOptions(), work.signal)
    }
    return bytes
  } finally {
    forget()
    // What has been read is not worse for how closing went.
    if (owned) await source.close?.().catch(ignore)
  }
}
