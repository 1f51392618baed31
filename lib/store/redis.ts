import { randomBytes } from 'node:crypto'
import type { Operations, Store, StoreCapabilities, StoreLease, StoreTable, TableConfig } from '../../types/store.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { checkOperations } from './apply.js'
import { FIRST_MAP } from './ids.js'
import {
  checkRedisOptions,
  openClient,
  type RedisClient,
  type RedisOptions,
  Script,
  storeFailure,
} from './redis-client.js'
import type { RedisMap } from './redis-layout.js'
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

const FORMAT = { format: 'millrace-map', version: 1 }

/** The record of a map; made, with a number that was never used, if a configuration is given and it is not there. */
const MAP = new Script(`
local format = redis.call('HGET', KEYS[1], 'format')
if not format then
  if ARGV[2] == '' then return { false, false } end
  redis.call('HSET', KEYS[1], 'format', ARGV[3])
  format = ARGV[3]
end
local record = redis.call('HGET', KEYS[1], 'map:' .. ARGV[1])
if record or ARGV[2] == '' then return { format, record } end
record = '{"id":' .. redis.call('HINCRBY', KEYS[1], 'maps', 1) .. ',' .. ARGV[2]
redis.call('HSET', KEYS[1], 'map:' .. ARGV[1], record)
return { format, record }
`)

const RELEASE = new Script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

const RENEW = new Script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
`)

/**
 * A store over a Redis or Valkey cluster, for maps that many machines share. Each map is cut into parts by its keys, and
 * a batch is all or nothing within a part. No snapshots; all keys and values are in the memory of the nodes; replication
 * is asynchronous, so that an acknowledged write can be lost when a node fails (`replicas` makes it less likely). See
 * `docs/many-machines.md`. Nothing is connected before the first call.
 *
 * Throws `MILL_INVALID_ARGUMENT`; calls reject with `MILL_PACKAGE_MISSING`, `MILL_STORE_UNAVAILABLE` (of a write it is
 * not known whether it was done), `MILL_STORE_IO` (a node is out of memory), `MILL_UNSUPPORTED` (a group over two
 * parts), `MILL_MAP_MISSING`, `MILL_MAP_MISMATCH`, `MILL_MAP_DAMAGED`, `MILL_CLOSED`.
 */
export function redisStore(options: RedisOptions): Store {
  return new RedisStore(options)
}

interface MapRecord extends RedisMap {
  readonly config: TableConfig
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
    return this.#run(async ({ client, owner }) => {
      const { partitions, partitionBy } = this.#fresh
      const rest = config === undefined ? '' : JSON.stringify({ partitions, partitionBy, config }).slice(1)
      const words = [name, rest, JSON.stringify(FORMAT)]
      const [format, text] = (await MAP.run(client, [this.#meta], words)) as (Uint8Array | null)[]
      if (format) this.#checkFormat(String(format))
      if (!text) return undefined
      const { config: own, ...map } = this.#read(String(text)) as MapRecord
      const known = this.#byName.get(name)
      if (known !== undefined && known.map.id === map.id && !known.dropped) return known
      if (this.#nextId > 0xffff) throw new StoreError('MILL_TOO_MANY', 'Too many maps for one store', { limit: 0xffff })
      const table = new RedisTable(owner, this.#nextId++, own, map)
      this.#byName.set(name, table)
      this.#byId.set(table.id, table)
      return table
    })
  }

  tables(): Promise<string[]> {
    return this.#run(async ({ client }) => {
      const fields = (await client.callBuffer('HKEYS', this.#meta)) as Uint8Array[]
      const names = fields.map(String).filter((field) => field.startsWith('map:'))
      return names.map((field) => field.slice('map:'.length)).sort()
    })
  }

  async drop(name: string): Promise<boolean> {
    const table = (await this.table(name)) as RedisTable | undefined
    if (table === undefined) return false
    return this.#run(async ({ client }) => {
      const gone = (await client.callBuffer('HDEL', this.#meta, `map:${name}`)) as number
      table.dropped = true
      this.#byName.delete(name)
      const parts = Array.from({ length: table.map.partitions }, (_, part) => table.keysOf(part))
      await Promise.all(parts.map((keys) => client.callBuffer('UNLINK', ...keys)))
      return gone === 1
    })
  }

  async write(operations: Operations, options: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array> {
    options.signal?.throwIfAborted()
    this.#check()
    const { bytes } = operations
    for (const id of checkOperations(bytes, MOST_KEY)) this.#tableOf(id).checkWritable()
    return this.#run(({ writer }) => writer.write(bytes, (id) => this.#tableOf(id)))
  }

  async lease(key: Uint8Array, ttlMs: number): Promise<StoreLease | undefined> {
    if (!(Number.isFinite(ttlMs) && ttlMs > 0)) throw new ArgumentError('ttlMs', 'a number above 0', ttlMs)
    return this.#run(async ({ client }) => {
      const place = `{${this.#options.prefix}}lease:${Buffer.from(key).toString('hex')}`
      const token = randomBytes(16).toString('hex')
      const ms = Math.ceil(ttlMs)
      const taken = await client.callBuffer('SET', place, token, 'NX', 'PX', ms)
      if (taken === null) return undefined
      let held = true
      return {
        key: key.slice(),
        takenOver: false, // time alone decides, and leaves no trace
        renew: () =>
          this.#run(async () => {
            if (held) held = (await RENEW.run(client, [place], [token, ms])) === 1
            return held
          }),
        release: () =>
          this.#run(async () => {
            if (held) await RELEASE.run(client, [place], [token])
            held = false
          }),
      }
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  // ---- inside -------------------------------------------------------------------------------------------------------

  get #meta(): string {
    return `{${this.#options.prefix}}meta`
  }

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
      const { client, own } = await openClient(this.#options)
      const owner: RedisOwner = { client, prefix: this.#options.prefix, check: () => this.#check() }
      return { client, own, owner, writer: new RedisWriter(client, this.#fresh.replicas) }
    } catch (error) {
      this.#opening = undefined
      throw error
    }
  }

  async #close(): Promise<void> {
    const opening = this.#opening
    await Promise.allSettled(this.#under)
    const connected = await opening?.catch(() => undefined)
    if (connected?.own !== true) return
    // A cluster that is away would keep `quit` waiting.
    const quit = connected.client.quit().catch(() => {})
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, GOODBYE_MS)
    })
    await Promise.race([quit, late])
    clearTimeout(timer)
    connected.client.disconnect()
  }

  #check(): void {
    if (this.#closing !== undefined) throw new StoreError('MILL_CLOSED', 'The store is closed')
  }

  #tableOf(id: number): RedisTable {
    const table = this.#byId.get(id)
    if (table === undefined) throw new StoreError('MILL_MAP_MISSING', 'There is no such map', { path: this.name })
    return table
  }

  #read(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch (cause) {
      const reason = 'its records cannot be read'
      throw new StoreError('MILL_MAP_DAMAGED', `${this.name}: ${reason}`, { path: this.name, reason, cause })
    }
  }

  #checkFormat(text: string): void {
    const found = this.#read(text) as Partial<typeof FORMAT>
    if (found.format === FORMAT.format && found.version === FORMAT.version) return
    const expected = FORMAT.version
    throw new StoreError('MILL_MAP_MISMATCH', `${this.name} is of another version of the format`, {
      path: this.name,
      field: 'version',
      expected,
      found: found.version,
    })
  }
}

/** How long the nodes may take to say goodbye, in milliseconds. */
const GOODBYE_MS = 2000

interface Connected {
  readonly client: RedisClient
  readonly own: boolean
  readonly owner: RedisOwner
  readonly writer: RedisWriter
}
