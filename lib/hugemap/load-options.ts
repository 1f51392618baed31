import { availableParallelism, freemem } from 'node:os'
import { resolve } from 'node:path'
import type { LoadFormat, LoadOptions, LoadSource } from '../../types/hugemap.js'
import type { Source } from '../../types/source.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { type JsonPath, parseJsonPath } from './bulk-json-path.js'
import type { Format } from './bulk-messages.js'
import { isPortable } from './config.js'
import type { Duplicates } from './run-gather.js'

/** Threads, unless somebody says how many; and how many one may say. */
const USUAL_THREADS = 16
const MOST_THREADS = 256
/** Bytes of records in memory, unless somebody says: this, at most a quarter of what is free. */
const USUAL_MEMORY = 1_073_741_824
const LEAST_MEMORY = 1_048_576
const PAGE_SIZES = [4096, 8192, 16384]
/** As for all names of maps, in UTF-8. */
const MOST_NAME_BYTES = 200

/** Names of packed files that we can't unpack. */
const FOREIGN = ['.bz2', '.xz', '.lzma', '.zip', '.7z', '.lz4', '.Z', '.tar', '.tgz']

/** What is read. */
export type Input<K, V> =
  | { readonly kind: 'files'; readonly files: readonly string[]; readonly format: Format }
  | { readonly kind: 'bytes'; readonly source: Source<Uint8Array>; readonly format: Format }
  | { readonly kind: 'pairs'; readonly source: Source<readonly [K, V]> }

/** The options of a load, checked, with their defaults. */
export interface LoadSettings {
  readonly name: string
  readonly replace: boolean
  readonly duplicates: Duplicates
  readonly skipBad: boolean
  readonly sorted: boolean
  readonly threads: number
  readonly memory: number
  readonly tempDir: string | undefined
  readonly pageSize: number
  readonly signal: AbortSignal | undefined
}

/** Throws `MILL_INVALID_ARGUMENT`. */
export function settingsOf(options: LoadOptions<never, never>): LoadSettings {
  const { name = '', replace = false, duplicates = 'last', badRecords = 'error', sorted = false } = options
  const { threads = Math.min(USUAL_THREADS, availableParallelism()), pageSize = 4096, tempDir } = options
  const memory = options.memory ?? Math.max(LEAST_MEMORY, Math.min(USUAL_MEMORY, Math.floor(freemem() / 4)))
  if (typeof name !== 'string' || new TextEncoder().encode(name).length > MOST_NAME_BYTES) {
    throw new ArgumentError('options.name', `a string of at most ${MOST_NAME_BYTES} bytes`, name)
  }
  for (const [option, value] of Object.entries({ replace, sorted })) {
    if (typeof value !== 'boolean') throw new ArgumentError(`options.${option}`, 'true or false', value)
  }
  if (duplicates !== 'last' && duplicates !== 'first' && duplicates !== 'error') {
    throw new ArgumentError('options.duplicates', "'last', 'first' or 'error'", duplicates)
  }
  if (badRecords !== 'error' && badRecords !== 'skip') {
    throw new ArgumentError('options.badRecords', "'error' or 'skip'", badRecords)
  }
  if (!(Number.isSafeInteger(threads) && threads >= 1 && threads <= MOST_THREADS)) {
    throw new ArgumentError('options.threads', `a whole number from 1 to ${MOST_THREADS}`, threads)
  }
  if (!(Number.isSafeInteger(memory) && memory >= LEAST_MEMORY)) {
    throw new ArgumentError('options.memory', `at least ${LEAST_MEMORY} bytes`, memory)
  }
  if (!PAGE_SIZES.includes(pageSize)) throw new ArgumentError('options.pageSize', '4096, 8192 or 16384', pageSize)
  if (tempDir !== undefined && (typeof tempDir !== 'string' || tempDir === '')) {
    throw new ArgumentError('options.tempDir', 'the path of a folder', tempDir)
  }
  if (options.onProgress !== undefined && typeof options.onProgress !== 'function') {
    throw new ArgumentError('options.onProgress', 'a function', options.onProgress)
  }
  return {
    name,
    replace,
    duplicates,
    skipBad: badRecords === 'skip',
    sorted,
    threads,
    memory,
    tempDir: tempDir === undefined ? undefined : resolve(tempDir),
    pageSize,
    signal: checkSignal(options.signal),
  }
}

/** Which of the three kinds of input it is. Throws `MILL_INVALID_ARGUMENT`. */
export function inputOf<K, V>(from: LoadSource<K, V>, options: LoadOptions<K, V>): Input<K, V> {
  const { format } = options
  const files = filesOf(from, format !== undefined)
  if (files === undefined && format === undefined) return { kind: 'pairs', source: from as Source<readonly [K, V]> }
  const read = formatOf(format)
  if (!isPortable(options as LoadOptions<never, never>)) {
    const expected = "built-in codecs, by name: others can't be sent to the threads (format 'module' runs code there)"
    throw new ArgumentError('options', expected, options)
  }
  if (files === undefined) return { kind: 'bytes', source: from as Source<Uint8Array>, format: read }
  return { kind: 'files', files, format: read }
}

function filesOf(from: unknown, hasFormat: boolean): string[] | undefined {
  const list = typeof from === 'string' ? [from] : from
  if (!Array.isArray(list)) return undefined
  const names = list.every((one) => typeof one === 'string')
  // An empty list is no files, or no pairs.
  if (!names || (list.length === 0 && !hasFormat)) return undefined
  for (const file of list as string[]) {
    const foreign = FOREIGN.find((end) => file.endsWith(end))
    if (foreign === undefined && file !== '') continue
    throw new ArgumentError(
      'from',
      `files that are plain, .gz, .br or .zst: unpack ${foreign} and pass the stream`,
      file,
    )
  }
  return (list as string[]).map((file) => resolve(file))
}

function formatOf(format: LoadFormat | undefined): Format {
  switch (format?.type) {
    case 'tsv':
    case 'bin':
      return { type: format.type }
    case 'ndjson':
      return {
        type: 'json',
        key: parseJsonPath(format.key, 'options.format.key'),
        value: optionalPath(format.value, 'options.format.value'),
      }
    case 'tuple2':
      return {
        type: 'json',
        key: [0, ...optionalPath(format.key, 'options.format.key')],
        value: [1, ...optionalPath(format.value, 'options.format.value')],
        exactly: 2,
      }
    case 'module': {
      const { url, name = 'default' } = format
      if (!(url instanceof URL)) throw new ArgumentError('options.format.url', 'a URL', url)
      if (typeof name !== 'string') throw new ArgumentError('options.format.name', 'the name of an export', name)
      return { type: 'module', url: url.href, name }
    }
    default:
      throw new ArgumentError('options.format', "{ type: 'tsv' | 'ndjson' | 'tuple2' | 'bin' | 'module' … }", format)
  }
}

function optionalPath(path: string | undefined, argument: string): JsonPath {
  return path === undefined ? [] : parseJsonPath(path, argument)
}
