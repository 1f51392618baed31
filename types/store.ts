/**
 * The key-value seam: what an engine implements, bytes to bytes. A store has tables, each sorted by key in the order of
 * `memcmp`. `HugeMap` stands on a {@link LocalStore}, which reads synchronously; a store over a network is a
 * {@link Store}.
 */
export interface Store extends AsyncDisposable {
  /** For messages: a path, or what the engine is called. */
  readonly name: string
  readonly capabilities: StoreCapabilities
  /**
   * The table of this name (up to 200 bytes of UTF-8; `''` is one too). Where it isn't there: made if `config` is given,
   * else undefined. Where it is there its own `config` counts, whatever was given: compare.
   */
  table(name: string, config?: TableConfig): Promise<StoreTable | undefined>
  /** The names of all tables, sorted. */
  tables(): Promise<string[]>
  /** Removes a table and all that is in it; false: it was not there. */
  drop(name: string): Promise<boolean>
  /**
   * Applies the operations, in the order of the calls, and resolves when they are as safe as this store can make them:
   * to one byte per operation that wants a result, 1 for done, 0 for a condition that did not hold or a key that was not
   * there. All operations of a call are applied, or the promise rejects and none is. `operations` must stay as they
   * are until then.
   */
  write(operations: Operations, options?: { readonly signal?: AbortSignal }): Promise<Uint8Array>
  /** Takes the lease on `key`; undefined: somebody else has it, and is alive as far as one can tell. */
  lease(key: Uint8Array, ttlMs: number): Promise<StoreLease | undefined>
  /** Waits for writes under way; idempotent. Afterwards every call is `MILL_CLOSED`. */
  close(): Promise<void>
}

export interface StoreCapabilities {
  /** It is a {@link LocalStore}. */
  readonly sync: boolean
  /** What one group of operations may touch: any keys of the store, or those of one partition. */
  readonly atomic: 'store' | 'partition'
  readonly snapshots: boolean
  /** What `write` has acknowledged survives the end of this process. */
  readonly durable: boolean
  readonly maxKeyBytes: number
  readonly maxValueBytes: number
}

/** How the keys and values of a table are made; fixed when it is created. Names, so that they can be written down. */
export interface TableConfig {
  readonly key: string
  readonly value: string
  readonly compress: string
  readonly checksum: boolean
}

/** Bounds by bytes; none: from the first, to the last. Of `gt` and `gte` (`lt` and `lte`) the tighter counts. */
export interface ByteRange {
  readonly gt?: Uint8Array
  readonly gte?: Uint8Array
  readonly lt?: Uint8Array
  readonly lte?: Uint8Array
  /** From the last to the first. */
  readonly reverse?: boolean
}

/** Key and value; the value is undefined where only keys were asked for. */
export type ByteEntry = readonly [key: Uint8Array, value: Uint8Array | undefined]

export interface StoreTable {
  /** What operations name it by, 0 to 65,535; means something in this store object only. */
  readonly id: number
  readonly config: TableConfig
  /** The values, in the order of the keys; copies. */
  getMany(keys: readonly Uint8Array[], options?: { readonly signal?: AbortSignal }): Promise<(Uint8Array | undefined)[]>
  /** The entries of a range in arrays of up to `maxItems`, in order; copies. */
  scan(range: ByteRange, options: ScanOptions): AsyncIterable<ByteEntry[]>
  /** How many keys a range has; walks it. */
  count(range?: ByteRange): Promise<number>
}

export interface ScanOptions {
  /** Entries of a batch, 1 or more. */
  readonly maxItems: number
  /** False: only keys. */
  readonly values: boolean
  readonly signal?: AbortSignal
}

/** A store in this process' reach: its tables are read synchronously. */
export interface LocalStore extends Store {
  /** The folder; `''` for what lies in memory. */
  readonly path: string
  /** No write will be taken: `MILL_READ_ONLY`. */
  readonly readonly: boolean
  /** Counts up with every transaction that changed the store, whoever made it; asking costs a microsecond or so. */
  readonly transactionId: number
  table(name: string, config?: TableConfig): Promise<LocalTable | undefined>
  /** The names of all tables, sorted, at once. */
  tableNames(): string[]
  /** Reads see other processes' commits from now on, not only from the next turn of the event loop. */
  refresh(): void
  stats(): StoreStats
  /** There if this thread writes by itself, at once: memory, and a folder opened with `writer: 'inline'`. */
  readonly direct?: DirectWrites
  /** A consistent copy in a new folder; absent where there is nothing to copy. */
  backup?(path: string, options?: { readonly compact?: boolean }): Promise<void>
}

/** Writing without waiting, by blocking this thread. */
export interface DirectWrites {
  /**
   * Runs `work` as one transaction, alone among all processes: reads inside see what was applied before. A throw undoes
   * everything and is rethrown. `work` must not return a promise: `MILL_INVALID_ARGUMENT`, and nothing is done.
   */
  transact<R>(work: () => R): R
  /** As `write`, done when it returns; within `transact` part of that transaction. */
  apply(operations: Operations): Uint8Array
}

export interface StoreStats {
  /** Bytes of the data file; 0 in memory. */
  readonly fileBytes: number
  /** Tables. */
  readonly maps: number
  /** Readers registered by all processes; 0 in memory. */
  readonly readers: number
  /** Bytes of operations that are not yet on the disk. */
  readonly pendingBytes: number
  readonly writer: 'none' | 'idle' | 'waiting' | 'writing'
  /** How often the side process was started again. */
  readonly restarts: number
  readonly transactionId: number
}

export interface LocalTable extends StoreTable {
  /** Entries; looked up, not counted. */
  readonly size: number
  /**
   * The value of a key, the first `length` bytes of `key`; undefined where there is none. Not a copy: the first
   * {@link valueLength} bytes of the result are the value, they are valid until the next call of anything in this
   * thread, and must not be written to. The result's own `length` means nothing.
   */
  get(key: Uint8Array, length: number, at?: LocalSnapshot): Uint8Array | undefined
  /** Bytes of the value that `get` found last. */
  readonly valueLength: number
  /** The entries of a range, one after the other. Sees one state, that of `at` or of now; close it if it did not end. */
  cursor(range: ByteRange, at?: LocalSnapshot): ByteCursor
  /** How many keys a range has, now; walks it without reading values. */
  countSync(range: ByteRange, at?: LocalSnapshot): number
  /** The state of now, to be read later; keeps it from being overwritten until it is closed. */
  snapshot(): LocalSnapshot
}

export interface LocalSnapshot {
  /** Entries of the table it was made of. */
  readonly size: number
  /** Idempotent. Reading from a closed one is `MILL_CLOSED`. */
  close(): void
}

/**
 * Stands before the first entry. `key` and `value` hold the entry that `next` went to: their first `keyLength` and
 * `valueLength` bytes, valid until the next call of anything in this thread, not to be written to.
 */
export interface ByteCursor {
  /** Goes on by one; false: there is no more, and the cursor is closed. */
  next(): boolean
  readonly key: Uint8Array
  readonly keyLength: number
  readonly value: Uint8Array
  readonly valueLength: number
  /** Idempotent. */
  close(): void
}

/** A lease, until it is released or `ttlMs` have passed without `renew`. */
export interface StoreLease {
  readonly key: Uint8Array
  /** Somebody had it before, who has died or let its time run out. */
  readonly takenOver: boolean
  /**
   * Where it is written down, for those who want to give it back in the same group as something else (`require` that the
   * key has `value`, and delete it). Undefined where leases are no entries.
   */
  readonly entry?: { readonly table: number; readonly key: Uint8Array; readonly value: Uint8Array }
  /** False: it was lost, and somebody else may have it. */
  renew(): Promise<boolean>
  /** Gives it back, if it is still ours. Idempotent. */
  release(): Promise<void>
}

/** A list of operations as objects, and as the bytes they are kept in (`docs/store-format.md`). */
export interface Operations extends Iterable<Operation> {
  /** For engines that pass them on, or read them without objects. Not a copy. */
  readonly bytes: Uint8Array
  /** Records: operations and groups, those within groups too. */
  readonly count: number
}

export interface Operation {
  readonly kind: 'set' | 'delete' | 'clear' | 'require'
  /** `id` of the table. */
  readonly table: number
  /** Operations of one group have the same number, 1 or more: all of them are done, or none. 0: it stands alone. */
  readonly group: number
  /** It wants a byte of the result; of a group only the first operation says so, for all of it. */
  readonly wantsResult: boolean
  /** Not a copy, as all bytes here. Empty for `clear`. */
  readonly key: Uint8Array
  readonly value?: Uint8Array
  /** Done only if the key has this value, bytes compared; null: only if the key is absent. */
  readonly expect?: Uint8Array | null
}
