import type { Label, MergeOptions, WriterOptions } from '../../types/mapbuffer.js'
import type { ReadableOf } from '../../types/source.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { checkCount } from '../io/check.js'
import { type Batch, batchStream } from './batch-stream.js'
import { EntryWriter } from './encode.js'
import { codedBatches } from './merge-coded.js'
import { type AnyMap, inputOf, type MergeInput } from './merge-input.js'
import { makePlan, type Policy } from './merge-plan.js'
import { rawChunks } from './merge-raw.js'
import { MARK } from './stream.js'

/** Bytes of the options `memory`; a window of output is at most an eighth of it. */
const MEMORY = 2 ** 26

/**
 * One file of all entries of these maps, as a stream of chunks of at most 256 KiB that are yours to keep. Compression
 * and checksums are as in the first map unless options say otherwise; values keep the bytes they have wherever they
 * can. They are decoded and encoded anew where compression or `level` change, a combining function has something to
 * combine, or `serializer` is not the one a map was opened with. The maps must stay open until the end.
 *
 * Nothing is read before the first chunk is wanted. Memory: the indexes of all maps, and a window of at most 8 MiB;
 * what is encoded anew goes through temporary files, as in a writer.
 *
 * Throws `MILL_INVALID_ARGUMENT` and `MILL_CODEC_UNKNOWN` at once. The stream ends with `MILL_DUPLICATE_LABEL`,
 * `MILL_TOO_MANY` beyond 2^28 entries, what is wrong with an entry (its checksum is looked at, where the map was not
 * opened with `crc: false`), the errors of the maps' sources and of a writer, and `signal.reason`.
 */
export function merge<V>(maps: Iterable<AnyMap<V>>, options: MergeOptions<V> = {}): ReadableOf<Uint8Array> {
  const { signal, duplicates, select, memory, dir, onProgress, ...writing } = options
  checkSignal(signal)
  const inputs = inputsOf(maps)
  const policy = checkPolicy(duplicates)
  if (select !== undefined && typeof select !== 'function') {
    throw new ArgumentError('options.select', 'a function', select)
  }
  const room = checkCount(memory, 'options.memory', MEMORY)
  const first = inputs[0]
  const { crc = first?.header.version !== 0, ...given } = writing
  const serializer = given.serializer ?? first?.entry.serializer
  // Checks the options; the codec of the first map need not be there to copy what it has made.
  const { header } = new EntryWriter<V>({ ...given, crc })
  const compression = given.compress === undefined ? (first?.header.compression ?? 'none') : header.compression
  const sameValues = inputs.every((input) => input.entry.serializer === serializer)
  const sameBytes =
    sameValues &&
    typeof (given.compress ?? '') === 'string' &&
    given.level === undefined &&
    inputs.every((input) => input.header.compression === compression)
  const open = async function* (work: AbortController): AsyncGenerator<Batch<Uint8Array>, void, undefined> {
    try {
      for (const { works } of inputs) works?.enter(work)
      const plan = await makePlan(inputs, policy, select, work.signal)
      const made = { version: header.version, compression }
      if (sameBytes && !plan.combines) yield* rawChunks(plan, made, room, onProgress, work.signal)
      else {
        const plain = sameValues && !plan.combines
        const encoding: WriterOptions<V> = {
          ...given,
          compress: given.compress ?? first?.codec ?? compression,
          crc,
          memory: room,
          ...(dir !== undefined && { dir }),
          ...(onProgress !== undefined && { onProgress }),
        }
        if (plain) delete encoding.serializer
        else if (serializer !== undefined) encoding.serializer = serializer
        yield* codedBatches(plan, encoding, policy, plain, work.signal)
      }
    } finally {
      for (const { works } of inputs) works?.leave(work)
    }
  }
  return batchStream<Uint8Array>(open, { signal, highWaterMark: MARK, bytes: true })
}

/**
 * The same entries in a file of other compression, with or without checksums, or fewer of them: {@link merge} of one
 * map.
 */
export function transcode<V>(map: AnyMap<V>, options?: MergeOptions<V>): ReadableOf<Uint8Array> {
  return merge([map], options)
}

function inputsOf<V>(maps: Iterable<AnyMap<V>>): MergeInput<V>[] {
  if (typeof maps !== 'object' || maps === null || !(Symbol.iterator in maps)) {
    throw new ArgumentError('maps', 'an iterable of maps', maps)
  }
  const inputs: MergeInput<V>[] = []
  for (const map of maps) inputs.push(inputOf(map))
  return inputs
}

function checkPolicy<V>(duplicates: unknown = 'error'): Policy<V> {
  if (duplicates === 'error' || duplicates === 'first' || duplicates === 'last') return duplicates
  if (typeof duplicates === 'function') return duplicates as (label: Label, values: V[]) => V
  throw new ArgumentError('options.duplicates', "'error', 'first', 'last' or a function", duplicates)
}
