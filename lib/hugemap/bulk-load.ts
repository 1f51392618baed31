import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { LoadOptions, LoadSource, LoadStats } from '../../types/hugemap.js'
import type { TableConfig } from '../../types/store.js'
import { StoreError } from '../base/errors.js'
import { openFolder } from '../store/folder.js'
import { sweepAside } from '../store/folder-files.js'
import { DATA_FILE, look } from '../store/look.js'
import { realPath } from '../store/real-path.js'
import type { BulkArguments, LoadMode } from './bulk-frames.js'
import { codingOf } from './config.js'
import { dropSource, PairEncoder } from './load-feed.js'
import { type Input, inputOf, type LoadSettings, settingsOf } from './load-options.js'
import { LoadRun } from './load-run.js'

/** Limits of LMDB, by page size. */
const MOST_KEY = 1978
const MOST_KEY_OF_LARGE_PAGES = 4026
/** As when a map is opened without an option. */
const MOST_VALUE = 268_435_456
const MAX_MAPS = 64
const LOCK_TIMEOUT_MS = 30_000

/** For tests: where the input is cut, how much is sorted at a time, how much of that is kept in memory. */
export interface BulkInternals {
  readonly pieceBytes?: number
  readonly runBytes?: number
  readonly keptBytes?: number
  readonly lockTimeoutMs?: number
}

/**
 * Loads a map: parsed, encoded and sorted by threads of a side process, merged and appended. All of it or nothing: until
 * the promise resolves, and if it rejects, what lies at `path` is as it was. Options and limits are those of
 * {@link LoadOptions}; entries that an existing map has count as earlier ones of the input.
 *
 * Rejects with `MILL_BAD_RECORD`, `MILL_DUPLICATE_KEY`, `MILL_NOT_SORTED`, `MILL_SOURCE_FAILED`, `MILL_SOURCE_SHORT`,
 * `MILL_DECOMPRESS`, `MILL_CODEC_MISSING`, `MILL_DISK_FULL`, `MILL_LOCKED`, `MILL_MAP_MISMATCH`, `MILL_MAP_EXISTS`,
 * `MILL_MAP_DAMAGED`, `MILL_WRITER_LOST`, `MILL_STORE_IO`, `MILL_FIDELITY` (pairs), `MILL_INVALID_ARGUMENT`, the error of a
 * source, or `signal.reason`.
 */
export async function bulkLoad<K, V>(
  path: string,
  from: LoadSource<K, V>,
  options: LoadOptions<K, V> = {},
  internals: BulkInternals = {},
): Promise<LoadStats> {
  const started = performance.now()
  const real = realPath(path)
  const settings = settingsOf(options as LoadOptions<never, never>)
  const input = inputOf(from, options)
  let run: LoadRun<K, V>
  let encoder: PairEncoder<K, V>
  try {
    settings.signal?.throwIfAborted()
    const { mode, config: found, maxKeyBytes } = await inspect(real, settings.name, settings.replace, settings.pageSize)
    const coding = await codingOf(options, found, { path: real, name: settings.name })
    const args = argumentsOf(real, input, settings, internals, { mode, config: coding.config, maxKeyBytes })
    encoder = new PairEncoder(coding, args)
    const { lockTimeoutMs = LOCK_TIMEOUT_MS } = internals
    run = new LoadRun(args, input, encoder, {
      onProgress: options.onProgress,
      signal: settings.signal,
      lockTimeoutMs,
    })
  } catch (error) {
    if (input.kind !== 'files') dropSource(input.source)
    throw error
  }
  const result = await run.result()
  const { size: fileBytes } = statSync(join(real, DATA_FILE))
  const elapsedMs = performance.now() - started
  return { ...result, skipped: result.skipped + encoder.skipped, fileBytes, elapsedMs }
}

/** What the side process is told. */
function argumentsOf(
  path: string,
  input: Input<unknown, unknown>,
  settings: LoadSettings,
  internals: BulkInternals,
  found: Pick<BulkArguments, 'mode' | 'config' | 'maxKeyBytes'>,
): BulkArguments {
  const { name, duplicates, skipBad, sorted, threads, memory, tempDir, pageSize } = settings
  const { pieceBytes, runBytes, keptBytes } = internals
  return {
    path,
    name,
    ...found,
    format: input.kind === 'pairs' ? { type: 'records' } : input.format,
    ...(input.kind === 'files' && { files: input.files }),
    duplicates,
    skipBad,
    sorted,
    threads,
    memory,
    ...(tempDir !== undefined && { tempDir }),
    pageSize,
    maxValueBytes: MOST_VALUE,
    maxMaps: MAX_MAPS,
    ...(pieceBytes !== undefined && { pieceBytes }),
    ...(runBytes !== undefined && { runBytes }),
    ...(keptBytes !== undefined && { keptBytes }),
  }
}

/** What is at the path now, and what that means for the load. */
async function inspect(
  path: string,
  name: string,
  replace: boolean,
  pageSize: number,
): Promise<{ mode: LoadMode; config: TableConfig | undefined; maxKeyBytes: number }> {
  const fresh = pageSize > 4096 ? MOST_KEY_OF_LARGE_PAGES : MOST_KEY
  sweepAside(path)
  if (look(path) === undefined) {
    if (existsSync(path) && readdirSync(path).length > 0) {
      const message = `${path} is there and is no map: nothing is loaded into it`
      throw new StoreError('MILL_MAP_EXISTS', message, { path })
    }
    return { mode: 'new', config: undefined, maxKeyBytes: fresh }
  }
  if (replace) return { mode: 'replace', config: undefined, maxKeyBytes: fresh }
  const store = await openFolder(path, { readonly: true })
  try {
    const table = await store.table(name)
    return { mode: 'merge', config: table?.config, maxKeyBytes: store.capabilities.maxKeyBytes }
  } finally {
    await store.close()
  }
}
