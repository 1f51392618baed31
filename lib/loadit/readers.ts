import type { LoadItError } from '../base/errors.js'
import { SingleFlight } from '../base/mutex.js'
import type { ShardRecord } from './catalog.js'
import { isMissing, unavailable } from './faults.js'
import type { ShardKit } from './kit.js'
import { openShard } from './shard-open.js'
import type { ShardReader } from './shard-reader.js'

interface Entry<T> {
  readonly reader: ShardReader<T>
  /** 0: it is in no catalog (it could not be stored). */
  readonly gen: number
  /** Bytes it holds beside the cache; 0 for what lies on the disk. */
  readonly bytes: number
  /** Second of its last use, and the one that is written down or going to be. */
  used: number
  stamped: number
}

/** What readers need to know of their dataset. */
export interface ReadersHost<T> {
  readonly settings: { readonly cacheBytes: number }
  readonly kit: ShardKit<T>
  readonly books: { refresh(): void }
  /** A shard that isn't there can be made. */
  readonly canMake: boolean
  /** Throws `MILL_CLOSED`, `MILL_DATASET_RESET`. */
  check(): void
  isReady(k: number): boolean
  startOf(k: number): number
  pathOf(start: number, gen: number): string
  /** What the catalog says of a shard that is there. */
  recordOf(k: number): ShardRecord | undefined
  /** A shard is damaged, or its file has gone. */
  spoilt(k: number, gen: number, reason: string): void
  /** There is something to look after. */
  work(): void
}

/** The shards that are open for reading. */
export class Readers<T> {
  readonly #data: ReadersHost<T>
  readonly #entries = new Map<number, Entry<T>>()
  readonly #opening = new SingleFlight<number, ShardReader<T> | undefined>()
  /** Bytes of shards that are kept in memory because they could not be stored. */
  #held = 0
  /** The second of now, told once a second. */
  now = seconds()

  constructor(data: ReadersHost<T>) {
    this.#data = data
  }

  get size(): number {
    return this.#entries.size
  }

  /** The reader of shard `k`, if it is open. */
  find(k: number): ShardReader<T> | undefined {
    const entry = this.#entries.get(k)
    if (entry === undefined) return undefined
    if (entry.reader.closed) {
      this.#remove(k, entry)
      return undefined
    }
    entry.used = this.now
    return entry.reader
  }

  /**
   * The reader of shard `k`, opened if the catalog says that it is there. Undefined: it has to be made; a damaged one is
   * dropped then. Rejects with `MILL_SHARD_CORRUPT`, `MILL_SHARD_UNAVAILABLE` where it can't be made.
   */
  open(k: number): Promise<ShardReader<T> | undefined> | ShardReader<T> | undefined {
    const open = this.find(k)
    if (open !== undefined) return open
    if (!this.#data.isReady(k)) return undefined
    return this.#opening.run(k, () => this.#open(k))
  }

  async #open(k: number): Promise<ShardReader<T> | undefined> {
    const data = this.#data
    const start = data.startOf(k)
    for (let again = false; ; again = true) {
      const record = data.recordOf(k)
      if (record === undefined) return undefined
      const path = data.pathOf(start, record.gen)
      try {
        const reader = await openShard<T>(data.kit, path, start, record)
        data.check()
        this.put(k, reader, record.gen)
        return reader
      } catch (error) {
        data.check()
        data.books.refresh()
        const now = data.recordOf(k)
        // It was evicted, or made anew, while we looked.
        if (now?.gen !== record.gen && !again) continue
        if (isMissing(error)) {
          if (!data.canMake) throw unavailable(start, error)
          data.spoilt(k, record.gen, 'its file is missing')
          return undefined
        }
        if ((error as LoadItError).code !== 'MILL_SHARD_CORRUPT') throw error
        data.spoilt(k, record.gen, (error as LoadItError).reason ?? '')
        if (!data.canMake) throw error
        return undefined
      }
    }
  }

  /** Takes a reader in; `gen` 0 and `bytes` for one that is held in memory. */
  put(k: number, reader: ShardReader<T>, gen: number, bytes = 0): void {
    const old = this.#entries.get(k)
    if (old !== undefined && old.reader !== reader) this.close(k)
    this.#entries.set(k, { reader, gen, bytes, used: this.now, stamped: gen === 0 ? Number.POSITIVE_INFINITY : 0 })
    this.#held += bytes
    this.#data.work()
    if (this.#held <= this.#data.settings.cacheBytes) return
    for (const [other, entry] of this.#entries) {
      if (entry.bytes > 0 && other !== k) this.close(other)
      if (this.#held <= this.#data.settings.cacheBytes) return
    }
  }

  /** The generation that is open; 0 for one that is in no catalog. */
  genOf(k: number): number | undefined {
    return this.#entries.get(k)?.gen
  }

  close(k: number): void {
    const entry = this.#entries.get(k)
    if (entry === undefined) return
    this.#remove(k, entry)
    entry.reader.close()
  }

  #remove(k: number, entry: Entry<T>): void {
    this.#entries.delete(k)
    this.#held -= entry.bytes
  }

  closeAll(): void {
    for (const k of [...this.#entries.keys()]) this.close(k)
  }

  /** Once a second: closes what the catalog has given up, and collects the uses since the last time. */
  look(uses: Map<number, number>): void {
    this.now = seconds()
    const data = this.#data
    for (const [k, entry] of this.#entries) {
      if (entry.reader.closed) {
        this.#remove(k, entry)
      } else if (entry.gen === 0) {
        if (this.now - entry.used > HELD_S) this.close(k)
      } else if (data.recordOf(k)?.gen !== entry.gen) {
        this.close(k)
      } else if (entry.used > entry.stamped) {
        entry.stamped = entry.used
        uses.set(data.startOf(k), entry.used)
      }
    }
  }
}

/** What could not be stored stays in memory for so many seconds after its last use. */
const HELD_S = 5

const seconds = (): number => Math.floor(Date.now() / 1000)
