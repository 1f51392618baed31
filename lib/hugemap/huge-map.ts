import type {
  CheckReport,
  HugeMapOptions,
  LoadOptions,
  LoadSource,
  LoadStats,
  MapStats,
  Range,
  Snapshot,
  StreamRange,
} from '../../types/hugemap.js'
import type { Key } from '../../types/key.js'
import type { Progress } from '../../types/progress.js'
import type { ReadableOf } from '../../types/source.js'
import type { LocalStore, LocalTable } from '../../types/store.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { type CacheOf, MapCache } from './cached-map.js'
import { type Committer, committerOf } from './committer.js'
import { type Coding, codingOf } from './config.js'
import type { Inside } from './inside.js'
import { KeyCoder } from './key-coder.js'
import { getMany } from './many.js'
import { MapWriter } from './map-writer.js'
import { MapWrites } from './map-writes.js'
import {
  checkName,
  type FolderOptions,
  folderOptions,
  isLocalStore,
  type OpenSettings,
  openSettings,
} from './open-options.js'
import { MapSnapshot } from './snapshot.js'
import { mapBatches, mapReadable } from './stream.js'
import { ValueCodec } from './values.js'
import { labelOf } from './writing-map.js'

/** Loaded with the first folder that is opened: who only uses other parts of the package needs no native store. */
const folders = () => import('../store/folder.js')

/** What a new handle is made of. */
interface Opened<K, V> {
  readonly store: LocalStore
  /** The store is this handle's to close. */
  readonly owned: boolean
  readonly table: LocalTable
  readonly coding: Coding<K, V>
  readonly settings: OpenSettings
  readonly folder: FolderOptions
}

/**
 * A map that keeps decoded values in memory. They are handed out as they are kept: treat them as read-only. All are
 * dropped as soon as anybody else writes to the folder, or this process to the map by another way than this one.
 */
export interface CachedMap<K, V> extends CacheOf<K, V> {
  readonly map: HugeMap<K, V>
}

/**
 * A `Map` on disk: more keys than memory, sorted, shared by any number of processes. Reads are synchronous; writes return
 * promises that resolve when they are on the disk, and `get` sees plain ones at once. Open it with {@link HugeMap.open},
 * and close it.
 *
 * What can't be stored rejects before anything is sent (`MILL_BAD_KEY`, `MILL_SERIALIZE`, `MILL_FIDELITY`,
 * `MILL_TOO_LARGE`, `MILL_BACKLOG`, `MILL_READ_ONLY`, `MILL_CLOSED`); what the store can't do rejects with `MILL_DISK_FULL`,
 * `MILL_LOCKED`, `MILL_MAP_REPLACED`, `MILL_WRITER_LOST`, `MILL_STORE_IO`, and then none of it was written.
 */
export class HugeMap<K = Key, V = unknown> extends MapWrites<K, V> implements AsyncDisposable {
  readonly #store: LocalStore
  readonly #owned: boolean
  readonly #committer: Committer
  readonly #folder: FolderOptions
  readonly #onClose = new Set<() => void>()
  /** What is closed together with this handle. */
  readonly #dependents: (() => Promise<void>)[] = []
  #closing: Promise<void> | undefined

  /**
   * Opens a map in a folder on a local disk, or in a store such as `memoryStore()`, which stays open when the map closes.
   * Waits for no lock if folder and map are there.
   *
   * Rejects with `MILL_MAP_MISSING`, `MILL_MAP_DAMAGED`, `MILL_MAP_MISMATCH`, `MILL_MAP_IN_USE`, `MILL_TOO_MANY`,
   * `MILL_UNSUPPORTED`, `MILL_INVALID_ARGUMENT`, with what its codecs say, and where something has to be made with what a
   * write can reject with.
   */
  static async open<K = Key, V = unknown>(
    where: string | LocalStore,
    options: HugeMapOptions<K, V> = {},
  ): Promise<HugeMap<K, V>> {
    const settings = openSettings(options as HugeMapOptions<never, never>)
    const folder = folderOptions(options)
    settings.signal?.throwIfAborted()
    // What is wrong with the options is told before anything is made for them.
    await codingOf(options, undefined, { path: '', name: settings.name })
    if (typeof where !== 'string') {
      if (!isLocalStore(where)) throw new ArgumentError('where', 'a path or a local store', where)
      return HugeMap.#over(where, false, options, settings, folder)
    }
    const { create, signal } = settings
    const { openFolder } = await folders()
    const store = await openFolder(where, { ...folder, create, ...(signal && { signal }) })
    try {
      return await HugeMap.#over(store, true, options, settings, folder)
    } catch (error) {
      await store.close()
      throw error
    }
  }

  static async #over<K, V>(
    store: LocalStore,
    owned: boolean,
    options: HugeMapOptions<K, V>,
    settings: OpenSettings,
    folder: FolderOptions,
  ): Promise<HugeMap<K, V>> {
    const { name, create, signal } = settings
    const where = { path: store.name, name }
    let table = await store.table(name)
    let coding = await codingOf(options, table?.config, where)
    if (table === undefined) {
      if (!create) {
        const what = name === '' ? 'no map' : `no map '${name}'`
        throw new StoreError('MILL_MAP_MISSING', `${store.name}: there is ${what}`, where)
      }
      table = await store.table(name, coding.config)
      // Gone again already: dropped by somebody else, in the meantime.
      if (table === undefined) throw new StoreError('MILL_MAP_MISSING', `${store.name}: '${name}' was dropped`, where)
      // Somebody else may have made it, in another way.
      coding = await codingOf(options, table.config, where)
    }
    signal?.throwIfAborted()
    return new HugeMap({ store, owned, table, coding, settings, folder })
  }

  /**
   * Loads files, a stream of bytes or pairs into a map, sorted in parallel, all or nothing; see {@link LoadOptions}.
   * Rejects with `MILL_BAD_RECORD`, `MILL_DUPLICATE_KEY`, `MILL_NOT_SORTED`, `MILL_DECOMPRESS`, `MILL_CODEC_MISSING` and
   * with what opening and writing reject with; `path` is then as it was.
   */
  static async load<K = Key, V = unknown>(
    path: string,
    from: LoadSource<K, V>,
    options: LoadOptions<K, V> = {},
  ): Promise<LoadStats> {
    const { bulkLoad } = await import('./bulk-load.js')
    return bulkLoad(path, from, options)
  }

  /** Reads every byte of a folder, in a process of its own, which damage may end: that is in the report. */
  static async check(
    path: string,
    options: { signal?: AbortSignal; maxProblems?: number; onProgress?: (progress: Progress) => void } = {},
  ): Promise<CheckReport> {
    const { checkFolder } = await folders()
    return checkFolder(path, options)
  }

  /**
   * Rewrites a folder without the pages that are not in use, which writing never gives back to the disk; resolves to the
   * bytes of its file. Others can read and write meanwhile, and then have to open it again to write.
   */
  static async compact(path: string): Promise<{ before: number; after: number }> {
    const { compactFolder } = await folders()
    return compactFolder(path)
  }

  private constructor({ store, owned, table, coding, settings, folder }: Opened<K, V>) {
    const { name, readonly, verify, maxPendingBytes, maxValueBytes } = settings
    const { serializer, codec, config } = coding
    const path = store.name
    const committer = committerOf(store)
    const keys = new KeyCoder(coding.keys, store.capabilities.maxKeyBytes)
    const values = new ValueCodec<V>({ serializer, codec, checksum: config.checksum, maxValueBytes, path, name })
    const label = labelOf(path, name)
    const writer = new MapWriter(committer, table, keys, values, { readonly, verify, maxPendingBytes, path, label })
    super({ table, keys, values, overlay: writer.overlay, at: undefined }, writer, path, name)
    this.#store = store
    this.#owned = owned
    this.#committer = committer
    this.#folder = folder
  }

  // ---- reading, besides what every map has -----------------------------------------------------------------------------

  /** Values in the order of the keys. Their pages are fetched off the event loop: the way to read cold data. */
  async getMany(keys: Iterable<K>, options: { signal?: AbortSignal } = {}): Promise<(V | undefined)[]> {
    this._check()
    return getMany(this._writer, keys, checkSignal(options.signal))
  }

  /** What is committed now, this process' earlier writes included. Close it: while it is open the file may grow. */
  async snapshot(): Promise<Snapshot<K, V>> {
    this._check()
    await this.#committer.flush()
    this._check()
    const at = this._parts.table.snapshot()
    const forget = (): void => void this.#onClose.delete(close)
    const parts = { ...this._parts, overlay: undefined, at }
    const snapshot = new MapSnapshot<K, V>(parts, `A snapshot of ${this._label()}`, forget)
    const close = (): void => snapshot.close()
    this.#onClose.add(close)
    return snapshot
  }

  /** Entries in arrays, after waiting for this process' writes: the fast way through. */
  batches(range?: Range<K> & StreamRange): AsyncIterable<[K, V][]> {
    this._check()
    return mapBatches(this, range)
  }

  /** Entries as a stream, after waiting for this process' writes. */
  readable(range?: Range<K> & StreamRange): ReadableOf<[K, V]> {
    return mapReadable(this, range)
  }

  /** Keeps decoded values of this map in memory, up to `maxItems` (default 10,000). */
  cached(options: { maxItems?: number } = {}): CachedMap<K, V> {
    this._check()
    return new MapCache<K, V, HugeMap<K, V>>(this, options)
  }

  /** Reads see other processes' commits from now on, not only from the next turn of the event loop. */
  refresh(): void {
    this._check()
    this.#store.refresh()
  }

  stats(): MapStats {
    this._check()
    return { ...this.#store.stats(), entries: this.size, pendingBytes: this.#committer.pendingBytes }
  }

  // ---- the folder ------------------------------------------------------------------------------------------------------

  /** Another map of this folder, opened with this one's options for the folder; close it too. */
  async namespace<K2 = Key, V2 = unknown>(
    name: string,
    options: Omit<HugeMapOptions<K2, V2>, 'name'> = {},
  ): Promise<HugeMap<K2, V2>> {
    this._check()
    checkName(name, 'name')
    const where = this.#owned ? this.path : this.#store
    return HugeMap.open<K2, V2>(where, { ...this.#folder, ...options, name })
  }

  /** The names of all maps of this folder, sorted. */
  namespaces(): string[] {
    this._check()
    return this.#store.tableNames()
  }

  /** Removes a map of this folder; false: there was none. Whoever has it open finds it empty. */
  async drop(name: string): Promise<boolean> {
    this._writer.check()
    checkName(name, 'name')
    await this.#committer.flush()
    return this.#store.drop(name)
  }

  /** A consistent copy of the folder in a new one, while everybody works. Rejects with `MILL_MAP_EXISTS`. */
  async backup(path: string, options: { compact?: boolean } = {}): Promise<void> {
    this._check()
    if (typeof path !== 'string') throw new ArgumentError('path', 'a path', path)
    await this.#committer.flush()
    if (this.#store.backup === undefined) {
      throw new StoreError('MILL_UNSUPPORTED', `${this.path} is no folder: there is nothing to copy`, {
        path: this.path,
      })
    }
    await this.#store.backup(path, options)
  }

  /** Waits for writes under way; ends iterators, streams and snapshots. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this._writer.closed = true
    this._shut()
    for (const close of [...this.#onClose]) close()
    await Promise.all(this.#dependents.map((close) => close()))
    await this.#committer.transactions.run(() => {})
    await this.#committer.flush()
    if (this.#owned) await this.#store.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // ---- for the rest of this room ---------------------------------------------------------------------------------------

  /** @internal */
  get _inside(): Inside {
    return {
      store: this.#store,
      closed: this._closed,
      onClose: (close) => void this.#dependents.push(close),
    }
  }

  /** @internal */
  _flushed(): Promise<void> {
    return this.#committer.flush()
  }

  /** @internal */
  _onClose(listener: () => void): () => void {
    this.#onClose.add(listener)
    return () => void this.#onClose.delete(listener)
  }
}
