import { rmSync } from 'node:fs'
import type { LocalStore } from '../../types/store.js'
import { abortable, checkSignal, sleep } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { asideName, recoverAside, sweepAside } from './folder-files.js'
import { type FolderSettings, FolderStore, missing } from './folder-store.js'
import { MOST_MAPS } from './folder-swap.js'
import { openInline } from './lmdb-inline.js'
import { look } from './look.js'
import { realPath } from './real-path.js'
import type { Compacted } from './side-copy.js'
import { runSide } from './side-run.js'

export { checkFolder } from './folder-check.js'
export { swapFolders } from './folder-swap.js'

/** How a folder is opened. Who opens it first in a thread decides for the others of that thread. */
export interface FolderOptions {
  /** Make it if it isn't there; default true. */
  readonly create?: boolean | undefined
  /** Never writes, locks or starts anything; default false. */
  readonly readonly?: boolean | undefined
  /** `'process'` (default): a side process writes. `'inline'`: this thread does, and blocks. */
  readonly writer?: 'process' | 'inline' | undefined
  /** Default true. False: without waiting for the disk; a crash of the machine may take the whole folder. */
  readonly durable?: boolean | undefined
  /** Milliseconds without the write lock until `MILL_LOCKED`; default 30,000. */
  readonly lockTimeoutMs?: number | undefined
  /** Bytes of a page of a new folder: 4,096 (default), 8,192 or 16,384. */
  readonly pageSize?: number | undefined
  /** Tables it may have; default 64. */
  readonly maxMaps?: number | undefined
  /** Gives up waiting, with `signal.reason`. */
  readonly signal?: AbortSignal | undefined
}

const PAGE_SIZES = [4096, 8192, 16384]
/** How often a folder is looked for that a swap is just putting there, and the pause between, in milliseconds. */
const LOOKS = 100
const PAUSE = 10

/** A folder that is open in this thread. */
interface Shared {
  readonly opening: Promise<LocalStore>
  users: number
}
const shared = new Map<string, Shared>()

/**
 * Opens a folder on a local disk as a store. The same object for everybody in this thread who opens the same folder the
 * same way; each closes it once. Rejects with `MILL_MAP_MISSING`, `MILL_MAP_DAMAGED`, `MILL_MAP_MISMATCH` (a later
 * version), `MILL_MAP_IN_USE` (open in this process with the other `writer`), `MILL_UNSUPPORTED` (a network file system),
 * and where it has to be made with `MILL_LOCKED`, `MILL_DISK_FULL`, `MILL_WRITER_LOST`, `MILL_STORE_IO`.
 */
export async function openFolder(where: string, options: FolderOptions = {}): Promise<LocalStore> {
  const signal = checkSignal(options.signal)
  signal?.throwIfAborted()
  const settings = settingsOf(where, options)
  const way = settings.readonly ? 'readonly' : (options.writer ?? 'process')
  const key = `${settings.path}\0${way}`
  let entry = shared.get(key)
  if (entry === undefined) {
    entry = { opening: openNew(key, settings, way === 'inline'), users: 0 }
    shared.set(key, entry)
  }
  entry.users++
  const { opening } = entry
  try {
    return await abortable(opening, signal)
  } catch (error) {
    // Others may still be waiting for it; and nobody may be left who closes it.
    if (signal?.aborted === true) opening.then((store) => store.close()).catch(() => {})
    throw error
  }
}

async function openNew(key: string, settings: FolderSettings, inline: boolean): Promise<LocalStore> {
  const entry = (): Shared | undefined => shared.get(key)
  /** One user less; true: that was the last. */
  const release = (): boolean => {
    const users = entry()
    if (users === undefined || users !== mine || --users.users > 0) return false
    shared.delete(key)
    return true
  }
  let mine: Shared | undefined
  try {
    await recover(settings)
    mine = entry()
    return await (inline ? openInline(settings, release) : FolderStore.open(settings, release))
  } catch (error) {
    shared.delete(key)
    throw error
  }
}

/** A folder that is missing may be on its way back. */
async function recover({ path, readonly }: FolderSettings): Promise<void> {
  for (let i = 0; i < LOOKS && !readonly && recoverAside(path); i++) await sleep(PAUSE)
}

/**
 * Rewrites a folder without the pages that are not in use, and resolves to the bytes of its data file before and after.
 * Others read on, and have to open it again to write (`MILL_MAP_REPLACED`). Rejects with `MILL_MAP_MISSING`,
 * `MILL_MAP_DAMAGED`, `MILL_DISK_FULL`, `MILL_WRITER_LOST`; the folder is then as it was.
 */
export async function compactFolder(where: string): Promise<Compacted> {
  const path = realPath(where)
  sweepAside(path)
  if (look(path) === undefined) throw missing(path)
  const made = asideName(path, 'compact')
  try {
    const program = new URL('./side-process.js', import.meta.url)
    return (await runSide(program, { command: 'compact', path, made }, { path })) as Compacted
  } finally {
    rmSync(made, { recursive: true, force: true })
    sweepAside(path)
  }
}

function settingsOf(where: string, options: FolderOptions): FolderSettings {
  const { create = true, readonly = false, durable = true, lockTimeoutMs = 30_000 } = options
  const { writer = 'process', pageSize = 4096, maxMaps = 64 } = options
  for (const [name, value] of Object.entries({ create, readonly, durable })) {
    if (typeof value !== 'boolean') throw new ArgumentError(`options.${name}`, 'true or false', value)
  }
  if (writer !== 'process' && writer !== 'inline') {
    throw new ArgumentError('options.writer', "'process' or 'inline'", writer)
  }
  if (!(typeof lockTimeoutMs === 'number' && lockTimeoutMs > 0)) {
    throw new ArgumentError('options.lockTimeoutMs', 'milliseconds > 0', lockTimeoutMs)
  }
  if (!PAGE_SIZES.includes(pageSize)) throw new ArgumentError('options.pageSize', '4096, 8192 or 16384', pageSize)
  if (!(Number.isSafeInteger(maxMaps) && maxMaps > 0 && maxMaps <= MOST_MAPS)) {
    throw new ArgumentError('options.maxMaps', `a whole number from 1 to ${MOST_MAPS}`, maxMaps)
  }
  return { path: realPath(where), create, readonly, durable, lockTimeoutMs, pageSize, maxMaps }
}
