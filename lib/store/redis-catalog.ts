import type { TableConfig } from '../../types/store.js'
import { StoreError } from '../base/errors.js'
import { partKeys, type RedisMap } from './redis-layout.js'
import { type RedisLink, Script } from './redis-link.js'

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

/** Takes away a record that begins like this, and notes what is to be cleared away of its map. May come twice. */
const DROP = new Script(`
if redis.call('HEXISTS', KEYS[2], ARGV[3]) == 1 then return 1 end
local record = redis.call('HGET', KEYS[1], 'map:' .. ARGV[1])
if not record or string.sub(record, 1, #ARGV[2]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'map:' .. ARGV[1])
redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
return 1
`)

/** What is known of a map. */
export interface MapRecord extends RedisMap {
  readonly config: TableConfig
}

/** The records of all maps of a store, on one node; and what is left of dropped ones. */
export class RedisCatalog {
  readonly #link: RedisLink
  readonly #prefix: string
  /** What error messages call the store. */
  readonly #name: string
  readonly #meta: string
  /** Numbers of dropped maps whose parts may still be there, with how many those are. */
  readonly #gone: string

  constructor(link: RedisLink, prefix: string, name: string) {
    this.#link = link
    this.#prefix = prefix
    this.#name = name
    this.#meta = `{${prefix}}meta`
    this.#gone = `{${prefix}}gone`
  }

  /** Makes the record if there is none and `fresh` is given. Throws `MILL_MAP_MISMATCH`, `MILL_MAP_DAMAGED`. */
  async record(name: string, fresh?: Omit<MapRecord, 'id'>): Promise<MapRecord | undefined> {
    const rest = fresh === undefined ? '' : JSON.stringify(fresh).slice(1)
    const words = [name, rest, JSON.stringify(FORMAT)]
    const [format, text] = (await MAP.run(this.#link, [this.#meta], words)) as (Uint8Array | null)[]
    if (format) this.#checkFormat(String(format))
    return text ? (this.#read(String(text)) as MapRecord) : undefined
  }

  async names(): Promise<string[]> {
    const fields = (await this.#link.call('HKEYS', this.#meta)) as Uint8Array[]
    const names = fields.map(String).filter((field) => field.startsWith('map:'))
    return names.map((field) => field.slice('map:'.length)).sort()
  }

  /** From now on nobody finds this map, and its parts go. False: it was gone already. */
  async drop(name: string, { id, partitions }: RedisMap): Promise<boolean> {
    const words = [name, `{"id":${id},`, id, partitions]
    const gone = (await DROP.run(this.#link, [this.#meta, this.#gone], words)) as number
    await this.#clear(id, partitions)
    return gone === 1
  }

  /** Clears away what clients left that died while they dropped a map. */
  async sweep(): Promise<void> {
    const words = (await this.#link.call('HGETALL', this.#gone)) as Uint8Array[]
    for (let i = 0; i + 1 < words.length; i += 2) await this.#clear(Number(words[i]), Number(words[i + 1]))
  }

  /** May be done twice: a number never comes again. */
  async #clear(id: number, partitions: number): Promise<void> {
    const parts = Array.from({ length: partitions }, (_, part) => partKeys(this.#prefix, id, part))
    await Promise.all(parts.map((keys) => this.#link.call('UNLINK', ...keys)))
    await this.#link.call('HDEL', this.#gone, id)
  }

  #read(text: string): unknown {
    try {
      return JSON.parse(text)
    } catch (cause) {
      const reason = 'its records cannot be read'
      throw new StoreError('MILL_MAP_DAMAGED', `${this.#name}: ${reason}`, { path: this.#name, reason, cause })
    }
  }

  #checkFormat(text: string): void {
    const found = this.#read(text) as Partial<typeof FORMAT>
    if (found.format === FORMAT.format && found.version === FORMAT.version) return
    const expected = FORMAT.version
    throw new StoreError('MILL_MAP_MISMATCH', `${this.#name} is of another version of the format`, {
      path: this.#name,
      field: 'version',
      expected,
      found: found.version,
    })
  }
}
