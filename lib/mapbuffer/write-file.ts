import type { BytesLike } from '../../types/bytes.js'
import type { Label, WriterOptions } from '../../types/mapbuffer.js'
import type { Source } from '../../types/source.js'
import { atomicWrite } from '../io/atomic-write.js'
import { ignore } from '../streams/machine.js'
import { pump } from '../streams/sink.js'
import { readable } from '../streams/source.js'
import { MapBufferWriter } from './writer.js'

/** Entries, each of which counts 64, that may wait between the source and the writer, where they have not been taken. */
const READ_AHEAD = 4096

/**
 * Writes entries, from any source, into a MapBuffer file: the whole new file or nothing, in which case the file that was
 * there before stays as it is and nothing is left over. Resolves to the number of entries in the file and its bytes.
 * A slow disk makes the source wait.
 *
 * Rejects with the error of the source, an abort's `signal.reason`, what {@link MapBufferWriter} throws or ends with,
 * or `MILL_DISK_FULL`, `MILL_WRITE_FAILED`, `MILL_PATH_REFUSED`; the source is destroyed then.
 */
export async function writeMapBuffer<V = BytesLike>(
  path: string | URL,
  entries: Source<readonly [Label, V]>,
  options: WriterOptions<V> = {},
): Promise<{ entries: number; bytes: number }> {
  const few = readable(entries, { highWaterMark: READ_AHEAD })
  const writer = writerFor(few, options)
  const pumped = pump(few, writer)
  pumped.catch(ignore) // whatever ends the source ends the writer, and with it the file
  const { signal } = options
  try {
    const bytes = await atomicWrite(path, writer, signal === undefined ? {} : { signal })
    return { entries: writer.stats.entries, bytes }
  } finally {
    // The writer first: a source without end goes on as long as there is one.
    await writer[Symbol.asyncDispose]()
    await pumped.catch(ignore)
  }
}

/** Options can be wrong: then the source is let go of, too. */
function writerFor<V>(source: { destroy(): void }, options: WriterOptions<V>): MapBufferWriter<V> {
  try {
    return new MapBufferWriter<V>(options)
  } catch (error) {
    source.destroy()
    throw error
  }
}
