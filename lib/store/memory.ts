import type {
  ByteCursor,
  ByteEntry,
  ByteRange,
  DirectWrites,
  LocalSnapshot,
  LocalStore,
  LocalTable,
  Operations,
  ScanOptions,
  StoreCapabilities,
  StoreLease,
  StoreStats,
  TableConfig,
} from '../../types/store.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { applyOperations, checkOperations, type WriteTarget } from './apply.js'
import { FIRST_MAP, LEASE_TABLE, PLAIN_CONFIG } from './ids.js'
import { takeLease } from './lease.js'
import { countIn, type Frozen, find, MemoryTree, Walk } from './memory-tree.js'
import { checkKeyLength, checkTableName, copyOf, scanLocal } from './scan.js'

/** As on a disk with pages of 4 KiB, so that what works here works there. */
const MOST_KEY = 1978
const MOST_VALUE = 0x7fff_ffff

const CAPABILITIES: StoreCapabilities = {
  sync: true,
  atomic: 'store',
  snapshots: true,
  durable: false,
  maxKeyBytes: MOST_KEY,
  maxValueBytes: MOST_VALUE,
}

/** A store in this process' memory: same rules as on a disk, nothing on it. For tests, and for maps that fit. */
export function memoryStore(): LocalStore {
  return new MemoryStore()
}

class MemoryStore implements LocalStore, WriteTarget {
  readonly name = 'memory'
  readonly path = ''
  readonly readonly = false
  readonly capabilities = CAPABILITIES
  readonly direct: DirectWrites
  transactionId = 0
  #closed = false
  #writing = false
  #nextId = FIRST_MAP
  readonly #byName = new Map<string, MemoryTable>()
  readonly #byId = new Map<number, MemoryTable>()
  readonly #leases: MemoryTable

  constructor() {
    this.#leases = new MemoryTable(this, LEASE_TABLE, PLAIN_CONFIG)
    this.#byId.set(LEASE_TABLE, this.#leases)
    this.direct = { transact: (work) => this.#transact(work), apply: (operations) => this.#apply(operations) }
  }

  check(): void {
    if (this.#closed) throw new StoreError('MILL_CLOSED', 'The store is closed')
  }

  async table(name: string, config?: TableConfig): Promise<LocalTable | undefined> {
    this.check()
    let table = this.#byName.get(checkTableName(name))
    if (table !== undefined || config === undefined) return table
    table = new MemoryTable(this, this.#nextId++, { ...config })
    this.#byName.set(name, table)
    this.#byId.set(table.id, table)
    this.transactionId++
    return table
  }

  async tables(): Promise<string[]> {
    return this.tableNames()
  }

  tableNames(): string[] {
    this.check()
    return [...this.#byName.keys()].sort()
  }

  async drop(name: string): Promise<boolean> {
    this.check()
    const table = this.#byName.get(checkTableName(name))
    if (table === undefined) return false
    this.#byName.delete(name)
    this.#byId.delete(table.id)
    table.tree.clear()
    this.transactionId++
    return true
  }

  async write(operations: Operations, options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    this.check()
    options.signal?.throwIfAborted()
    return this.#apply(operations)
  }

  async lease(key: Uint8Array, ttlMs: number): Promise<StoreLease | undefined> {
    this.check()
    return takeLease(this, this.#leases, key, ttlMs)
  }

  refresh(): void {
    this.check()
  }

  stats(): StoreStats {
    this.check()
    const { transactionId } = this
    const maps = this.#byName.size
    return { fileBytes: 0, maps, readers: 0, pendingBytes: 0, writer: 'idle', restarts: 0, transactionId }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#byName.clear()
    this.#byId.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #transact<R>(work: () => R): R {
    this.check()
    if (this.#writing) throw new ArgumentError('transaction', 'outside other transactions', 'one within another')
    const before = [...this.#byId.values()].map((table) => [table.tree, table.tree.freeze()] as const)
    this.#writing = true
    try {
      const result = work()
      if (typeof (result as { then?: unknown } | undefined)?.then === 'function') {
        throw new ArgumentError('work', 'synchronous', result)
      }
      this.transactionId++
      return result
    } catch (error) {
      for (const [tree, state] of before) tree.restore(state)
      throw error
    } finally {
      this.#writing = false
    }
  }

  #apply(operations: Operations): Uint8Array {
    this.check()
    const { bytes } = operations
    for (const id of checkOperations(bytes, MOST_KEY)) this.#target(id)
    if (this.#writing) return applyOperations(this, bytes)
    return this.#transact(() => applyOperations(this, bytes))
  }

  put(id: number, bytes: Uint8Array, keyAt: number, keyLength: number, valueAt: number, valueLength: number): void {
    // One piece of memory for both.
    const own = bytes.slice(keyAt, keyAt + keyLength + valueLength)
    if (valueAt !== keyAt + keyLength) own.set(bytes.subarray(valueAt, valueAt + valueLength), keyLength)
    this.#target(id).tree.set(own.subarray(0, keyLength), own.subarray(keyLength))
  }

  remove(id: number, bytes: Uint8Array, keyAt: number, keyLength: number): boolean {
    return this.#target(id).tree.delete(bytes, keyAt, keyLength)
  }

  clear(id: number): void {
    this.#target(id).tree.clear()
  }

  has(id: number, bytes: Uint8Array, keyAt: number, keyLength: number): boolean {
    return this.#target(id).tree.find(bytes, keyAt, keyLength) !== undefined
  }

  holds(
    id: number,
    bytes: Uint8Array,
    keyAt: number,
    keyLength: number,
    expectAt: number,
    expectLength: number,
  ): boolean {
    const value = this.#target(id).tree.find(bytes, keyAt, keyLength)
    if (value === undefined || value.length !== expectLength) return false
    for (let i = 0; i < expectLength; i++) if (value[i] !== bytes[expectAt + i]) return false
    return true
  }

  #target(id: number): MemoryTable {
    const table = this.#byId.get(id)
    if (table === undefined) throw new StoreError('MILL_MAP_MISSING', 'The map was dropped', { path: '' })
    return table
  }
}

class MemoryTable implements LocalTable {
  readonly id: number
  readonly config: TableConfig
  readonly tree = new MemoryTree()
  valueLength = 0
  readonly #store: MemoryStore

  constructor(store: MemoryStore, id: number, config: TableConfig) {
    this.#store = store
    this.id = id
    this.config = config
  }

  get size(): number {
    this.#store.check()
    return this.tree.size
  }

  get(key: Uint8Array, length: number, at?: LocalSnapshot): Uint8Array | undefined {
    this.#store.check()
    checkKeyLength(length, MOST_KEY)
    const value = at === undefined ? this.tree.find(key, 0, length) : find(stateOf(at), key, 0, length)
    this.valueLength = value?.length ?? 0
    return value
  }

  cursor(range: ByteRange, at?: LocalSnapshot): ByteCursor {
    this.#store.check()
    return new MemoryCursor(this.#store, at === undefined ? this.tree.freeze() : stateOf(at), range)
  }

  countSync(range: ByteRange, at?: LocalSnapshot): number {
    this.#store.check()
    return countIn(at === undefined ? this.tree.state : stateOf(at), range, MOST_KEY)
  }

  snapshot(): LocalSnapshot {
    this.#store.check()
    return new MemorySnapshot(this.tree.freeze())
  }

  async getMany(
    keys: readonly Uint8Array[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<(Uint8Array | undefined)[]> {
    options.signal?.throwIfAborted()
    return keys.map((key) => {
      const value = this.get(key, key.length)
      return value && copyOf(value, this.valueLength)
    })
  }

  scan(range: ByteRange, options: ScanOptions): AsyncIterable<ByteEntry[]> {
    return scanLocal(this, range, options)
  }

  async count(range: ByteRange = {}): Promise<number> {
    return this.countSync(range)
  }
}

class MemorySnapshot implements LocalSnapshot {
  readonly size: number
  #state: Frozen | undefined

  constructor(state: Frozen) {
    this.#state = state
    this.size = state.size
  }

  get state(): Frozen {
    if (this.#state === undefined) throw new StoreError('MILL_CLOSED', 'The snapshot is closed')
    return this.#state
  }

  close(): void {
    this.#state = undefined
  }
}

function stateOf(at: LocalSnapshot): Frozen {
  return (at as MemorySnapshot).state
}

class MemoryCursor implements ByteCursor {
  readonly #store: MemoryStore
  #walk: Walk | undefined
  key: Uint8Array = new Uint8Array(0)
  keyLength = 0
  value: Uint8Array = this.key
  valueLength = 0

  constructor(store: MemoryStore, state: Frozen, range: ByteRange) {
    this.#store = store
    this.#walk = new Walk(state, range, MOST_KEY)
  }

  next(): boolean {
    const walk = this.#walk
    if (walk === undefined) return false
    this.#store.check()
    if (!walk.next()) {
      this.#walk = undefined
      return false
    }
    this.key = walk.key
    this.keyLength = walk.key.length
    this.value = walk.value
    this.valueLength = walk.value.length
    return true
  }

  close(): void {
    this.#walk = undefined
  }
}
