import type { Operations, Store, StoreCapabilities, StoreLease, StoreTable, TableConfig } from '../../types/store.js'
import { StoreError } from '../base/errors.js'
import { checkOperations } from './apply.js'
import { FIRST_MAP } from './ids.js'
import { RedisCatalog } from './redis-catalog.js'
import { checkRedisOptions, openLink, type RedisOptions, storeFailure } from './redis-client.js'
import { takeLease } from './redis-lease.js'
import type { RedisLink } from './redis-link.js'
import { MOST_KEY, type RedisOwner, RedisTable } from './redis-table.js'
import { RedisWriter } from './redis-write.js'
import { checkTableName } from './scan.js'

const CAPABILITIES: StoreCapabilities = {
  sync: false,
  atomic: 'partition',
  snapshots: false,
  durable: true,
  maxKeyBytes: MOST_KEY,
  maxValueBytes: 0x1fff_ffff,
}

/**
 * A store over a Redis or Valkey cluster, for maps that many machines share. Each map is cut into parts by its keys, and
 * a batch is all or nothing within a part. No snapshots; all keys and values are in the memory of the nodes; replication
 * is asynchronous, so that an acknowledged write can be lost when a node fails (`replicas` makes it less likely). See
 * `docs/many-machines.md`. Nothing is connected before the first call. A command that has no answer after 10 s has failed.
 *
 * Throws `MILL_INVALID_ARGUMENT`; calls reject with `MILL_PACKAGE_MISSING`, `MILL_STORE_UNAVAILABLE` (of a write it is
 * not known whether it was done), `MILL_STORE_IO` (a node is out of memory), `MILL_UNSUPPORTED` (a group over two
 * parts), `MILL_MAP_MISSING`, `MILL_MAP_MISMATCH`, `MILL_MAP_DAMAGED`, `MILL_CLOSED`.
 */
export function redisStore(options: RedisOptions): Store {
  return new RedisStore(options)
}

class RedisStore implements Store {
  readonly name: string
  readonly capabilities = CAPABILITIES
  readonly #options: RedisOptions
  readonly #fresh: Required<Pick<RedisOptions, 'partitions' | 'partitionBy' | 'replicas'>>
  readonly #byName = new Map<string, RedisTable>()
  readonly #byId = new Map<number, RedisTable>()
  readonly #under = new Set<Promise<unknown>>()
  #nextId = FIRST_MAP
  #opening: Promise<Connected> | undefined
  #closing: Promise<void> | undefined

  constructor(options: RedisOptions) {
    this.#fresh = checkRedisOptions(options)
    this.#options = options
    this.name = `redis ${options.prefix}`
  }

  async table(name: string, config?: TableConfig): Promise<StoreTable | undefined> {
    checkTableName(name)
    return this.#run(async ({ catalog, owner }) => {
      const { partitions, partitionBy } = this.#fresh
      const record = await catalog.record(name, config && { partitions, partitionBy, config })
      if (record === undefined) return undefined
      const { config: own, ...map } = record
      const known = this.#byName.get(name)
      if (known !== undefined && known.map.id === map.id && !known.dropped) return known
      if (this.#nextId > 0xffff) throw new StoreError('MILL_TOO_MANY', 'Too many maps for one store', { limit: 0xffff })
      const table = new RedisTable(owner, this.#nextId++, name, own, map)
      this.#byName.set(name, table)
      this.#byId.set(table.id, table)
      return table
    })
  }

  tables(): Promise<string[]> {
    return this.#run(({ catalog }) => catalog.names())
  }

  async drop(name: string): Promise<boolean> {
    const table = (await this.table(name)) as RedisTable | undefined
    if (table === undefined) return false
    return this.#run(async ({ catalog }) => {
      const gone = await catalog.drop(name, table.map)
      table.dropped = true
      this.#byName.delete(name)
      return gone
    })
  }

  async write(operations: Operations, options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    this.#check()
    const { bytes } = operations
    for (const id of checkOperations(bytes, MOST_KEY)) this.#tableOf(id).checkWritable()
    return this.#run(({ writer }) => writer.write(bytes, (id) => this.#tableOf(id)))
  }

  lease(key: Uint8Array, ttlMs: number): Promise<StoreLease | undefined> {
    return takeLease((work) => this.#run(({ link }) => work(link)), this.#options.prefix, key, ttlMs)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  /** Runs a call; `close` waits for it. */
  async #run<T>(work: (connected: Connected) => Promise<T>): Promise<T> {
    this.#check()
    this.#opening ??= this.#open()
    const running = this.#opening.then(work)
    this.#under.add(running)
    try {
      return await running
    } catch (error) {
      throw storeFailure(error)
    } finally {
      this.#under.delete(running)
    }
  }

  async #open(): Promise<Connected> {
    try {
      const link = await openLink(this.#options)
      const { prefix } = this.#options
      const catalog = new RedisCatalog(link, prefix, this.name)
      const isThere = async ({ name, map }: RedisTable) => (await catalog.record(name))?.id === map.id
      const owner: RedisOwner = { link, prefix, check: () => this.#check(), isThere }
      // A bonus for the cluster: who opens the store after us does it otherwise.
      const sweeping = catalog.sweep().catch(() => {})
      this.#under.add(sweeping)
      void sweeping.then(() => this.#under.delete(sweeping))
      return { link, catalog, owner, writer: new RedisWriter(link, this.#fresh.replicas) }
    } catch (error) {
      this.#opening = undefined
      throw error
    }
  }

  async #close(): Promise<void> {
    const opening = this.#opening
    await Promise.allSettled(this.#under)
    const connected = await opening?.catch(() => undefined)
    await connected?.link.close()
  }

  #check(): void {
    if (this.#closing !== undefined) throw new StoreError('MILL_CLOSED', 'The store is closed')
  }

  #tableOf(id: number): RedisTable {
    const table = this.#byId.get(id)
    if (table === undefined) throw new StoreError('MILL_MAP_MISSING', 'There is no such map', { path: this.name })
    return table
  }
}

interface Connected {
  readonly link: RedisLink
  readonly catalog: RedisCatalog
  readonly owner: RedisOwner
  readonly writer: RedisWriter
}
