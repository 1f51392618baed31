import { join } from 'node:path'
import { StoreError } from '../base/errors.js'
import { type EnvironmentFiles, filesAt, isThere, settleLastCommit } from './last-commit.js'
import { DATA_FILE, LOCK_FILE, probeDescriptors, storeFault } from './look.js'
import { MAX_READERS } from './seed.js'

/** The part of the `lmdb` package that we use, as it is: some of it is in no declaration. */
export interface RawDatabase {
  /** Bytes of the value found last. */
  readonly lastSize: number
  readonly db: { stat(): RawStat }
  readonly env: RawEnv
  getBinaryFast(key: unknown, options?: { transaction: RawTransaction }): Uint8Array | undefined
  getRange(options: RawRange): { iterate(): RawIterator }
  getKeysCount(options: RawRange): number
  putSync(key: unknown, value: unknown, options?: { append?: boolean }): boolean
  removeSync(key: unknown): boolean
  clearSync(): void
  dropSync(): void
  openDB(options: RawOptions & { name: string; create?: boolean }): RawDatabase | undefined
  transactionSync<R>(work: () => R): R
  useReadTransaction(): RawTransaction
  ensureReadTxn(): void
  resetReadTxn(): void
  prefetch(keys: readonly Uint8Array[]): Promise<void>
  readerCheck(): number
  backup(path: string, compact: boolean): Promise<void>
  close(): Promise<void>
}

export interface RawEnv {
  readonly address: number
  info(): RawInfo
  freeStat(): RawStat
  stat(): RawStat
  /** A line of text for each reader of any process, after a heading: process, thread, and the commit that it reads. */
  readerList(): readonly string[]
  /** Of the transaction that this thread is writing; throws where there is none. */
  getWriteTxnId(): number
}

export interface RawTransaction {
  done(): void
}

export interface RawStat {
  readonly pageSize: number
  readonly treeDepth: number
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
  readonly entryCount: number
}

export interface RawInfo {
  readonly mapSize: number
  readonly lastPageNumber: number
  readonly lastTxnId: number
  readonly numReaders: number
}

export interface RawRange {
  start?: unknown
  end?: unknown
  reverse?: boolean
  values?: boolean
  inclusiveEnd?: boolean
  exclusiveStart?: boolean
  transaction?: RawTransaction
}

export interface RawIterator {
  next(): { done?: boolean }
  return(): unknown
}

/** How keys and values pass between the binding and us; see `lmdb-codec.ts`. */
export interface RawOptions {
  keyEncoder: {
    writeKey(key: unknown, target: Uint8Array, at: number): number
    readKey(target: Uint8Array, from: number, to: number): unknown
  }
  encoder: object
}

export interface RawOpenOptions extends RawOptions {
  readonly readonly: boolean
  readonly pageSize: number
  readonly maxDatabases: number
  /** False: what was written may be lost with the machine, and all else with it. */
  readonly durable: boolean
}

/** One environment: its root database is made of it, and `close` of the prototype closes it even if that failed. */
interface RawEnvironment {
  new (name: null, options: object): RawDatabase
  readonly prototype: { close(this: { isRoot: true }): Promise<void> }
}

interface Binding {
  open(path: string, options: object): RawEnvironment
  readonly nativeAddon: { getEnvFlags(address: number): number }
}

const READ_ONLY_FLAG = 0x20000
/** What a transaction of a writable opener gives where others have it open read-only: EACCES, EINVAL. */
const REFUSED: ReadonlySet<unknown> = new Set([13, 22])

/** Which way this thread has data files open, and how often. */
const ways = new Map<string, { readonly readonly: boolean; users: number }>()
const files = new WeakMap<RawDatabase, string>()

let binding: Promise<Binding> | undefined

/** The package, imported by the first who needs it: whoever uses no map does without it. */
function loadBinding(): Promise<Binding> {
  binding ??= import('lmdb').then(
    (found) => found as unknown as Binding,
    (cause: unknown) => {
      binding = undefined
      const message = 'The package lmdb cannot be loaded here; install it for this platform: npm install lmdb'
      throw new StoreError('MILL_PACKAGE_MISSING', message, { package: 'lmdb', cause })
    },
  )
  return binding
}

/**
 * Opens the environment in a folder that `look` has passed. Read-only it never waits; else it waits, blocking, until it
 * has the write lock. Rejects with `MILL_MAP_IN_USE` if this process has it open the other way.
 *
 * `overlappingSync` loses acknowledged commits while others open and close the file, and `eventTurnBatching` rejects
 * what nobody can catch: both are on unless turned off, by every opener.
 */
export async function openRaw(folder: string, options: RawOpenOptions): Promise<RawDatabase> {
  const { open, nativeAddon } = await loadBinding()
  probeDescriptors(folder)
  const located = filesIn(folder)
  const { tag: file } = located
  const way = ways.get(file)
  // Other threads' ways show below, but there native code has already tripped over it.
  if (way !== undefined && way.readonly !== options.readonly) throw inUse(folder)
  const settings = {
    readOnly: options.readonly,
    noSubdir: false,
    pageSize: options.pageSize,
    maxDbs: options.maxDatabases,
    maxReaders: MAX_READERS,
    overlappingSync: false,
    eventTurnBatching: false,
    noSync: !options.durable && !options.readonly,
    keyEncoder: options.keyEncoder,
    encoder: options.encoder,
    isRoot: true,
  }
  let environment: RawEnvironment | undefined
  let raw: RawDatabase
  try {
    environment = open(folder, { ...settings, asClass: true })
    raw = new environment(null, settings)
    // In one process there is one environment, with the flags of who opened it first.
    const isReadonly = (nativeAddon.getEnvFlags(raw.env.address) & READ_ONLY_FLAG) !== 0
    if (isReadonly !== options.readonly) throw inUse(folder)
    ways.set(file, { readonly: isReadonly, users: (way?.users ?? 0) + 1 })
    files.set(raw, file)
  } catch (error) {
    await environment?.prototype.close.call({ isRoot: true })
    if (!options.readonly && REFUSED.has((error as { code?: unknown }).code)) throw inUse(folder, error)
    throw storeFault(folder, error)
  }
  if (!isThere(located)) {
    // Swapped while it was opened: that may have one folder's data and another one's lock file, and nothing is read there.
    await closeRaw(raw)
    return openRaw(folder, options)
  }
  try {
    await settleLastCommit(raw, located, options.readonly)
    return raw
  } catch (error) {
    await closeRaw(raw)
    throw storeFault(folder, error)
  }
}

/** Closes what {@link openRaw} has opened. */
export async function closeRaw(raw: RawDatabase): Promise<void> {
  await raw.close()
  const file = files.get(raw)
  const way = file === undefined ? undefined : ways.get(file)
  if (file === undefined || way === undefined) return
  files.delete(raw)
  if (--way.users === 0) ways.delete(file)
}

function filesIn(folder: string): EnvironmentFiles {
  try {
    return filesAt(join(folder, DATA_FILE), join(folder, LOCK_FILE))
  } catch (error) {
    throw storeFault(folder, error)
  }
}

function inUse(path: string, cause?: unknown): StoreError {
  const message = `${path} is open in this process with another writer: one process opens a folder one way`
  return new StoreError('MILL_MAP_IN_USE', message, { path, ...(cause !== undefined && { cause }) })
}
