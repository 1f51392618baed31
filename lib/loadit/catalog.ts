import { randomUUID } from 'node:crypto'
import type { Catalog } from '../../types/catalog.js'
import { ArgumentError, LoadItError } from '../base/errors.js'
import { BookRecords, type Head, type HeadFields, type ShardRecord, type Victim } from './book-records.js'
import { type Identity, isDead, type LeaseRecord, me } from './lease.js'
import { newToken } from './shard-names.js'

export type { Head, HeadFields, ShardRecord, Victim } from './book-records.js'

/** The right to make a shard, as its owner knows it. */
export interface Lease {
  readonly start: number
  readonly gen: number
  readonly token: string
}

/** What `begin` finds. */
export type Begun =
  | { readonly is: 'ready'; readonly record: ShardRecord }
  | { readonly is: 'busy'; readonly pid: number }
  | {
      readonly is: 'mine'
      readonly lease: Lease
      /** What was there before. */
      readonly record?: ShardRecord
      /** The process whose lease has been taken over. */
      readonly takeover?: number
    }

/** A shard that is to be made known. */
export interface NewShard {
  readonly count: number
  /** Of its file. */
  readonly bytes: number
  /** Checksum of its content. */
  readonly crc: number
  /** The dataset ends with it. */
  readonly ends: boolean
}

/** What publishing a shard has to heed. */
export interface PublishOptions {
  /** Bytes of all shard files, at most. */
  readonly limit?: number
  /** Others may go to make room. */
  readonly canEvict: boolean
  /** Other content than it had before is taken. */
  readonly accept: boolean
  /** It replaces one that is there, with the end that the data now have. */
  readonly again?: boolean
  /** First item of the shard whose lease is wanted next. */
  readonly next?: number
}

/** How `publish` went; unless it is `'done'` nothing has changed. */
export type Published =
  | { readonly is: 'done'; readonly victims: readonly Victim[]; readonly next?: Lease }
  /** Somebody else has the lease, or has made the shard. */
  | { readonly is: 'lost' }
  /** It has other content than it had before. */
  | { readonly is: 'changed'; readonly expected: number; readonly found: number }
  /** The dataset ends elsewhere. */
  | { readonly is: 'length'; readonly expected: number; readonly found: number }
  /** It does not fit below the limit. */
  | { readonly is: 'large' }

/** Whose books these are, and for how long a lease holds. */
export interface BooksOptions {
  /** For messages. */
  readonly root: string
  readonly leaseMs: number
  /** Default: this process. */
  readonly identity?: Identity
  /** Default: the clock, in milliseconds since 1970. */
  readonly now?: () => number
}

/**
 * The books of a dataset: which generation of a shard is current, who makes which, when they were used, how long it is.
 * Every change is one transaction. All changes throw `MILL_DATASET_RESET` once another process has reset the dataset, and
 * what the catalog throws.
 */
export class Books {
  readonly #catalog: Catalog
  readonly #records: BookRecords
  readonly #options: BooksOptions
  readonly #identity: Identity
  readonly #now: () => number
  /** As it was when it was read last. */
  #head: Head | undefined

  constructor(catalog: Catalog, options: BooksOptions) {
    this.#catalog = catalog
    this.#records = new BookRecords(catalog)
    this.#options = options
    this.#identity = options.identity ?? me()
    this.#now = options.now ?? Date.now
    this.#head = this.#records.head()
  }

  // ---- the head -----------------------------------------------------------------------------------------------------

  /** What the catalog has; undefined: nothing has been made here yet. */
  stored(): Head | undefined {
    return this.#records.head()
  }

  /** The dataset that was found or made here. Throws `MILL_INVALID_ARGUMENT` where none was. */
  get head(): Head {
    const stored = this.#records.head()
    if (stored !== undefined && (this.#head === undefined || stored.id === this.#head.id)) this.#head = stored
    if (this.#head === undefined) throw new ArgumentError('head', 'written before it is read', this.#head)
    return this.#head
  }

  /** Begins a dataset; where there is one already, that one is returned: compare. */
  writeHead(fields: HeadFields): Head {
    this.#head = this.#catalog.transact(() => this.#records.head() ?? this.#records.writeHead(fields, randomUUID()))
    return this.#head
  }

  /** Forgets all that is known and begins a new dataset. Generations are not used again. */
  reset(fields: HeadFields): Head {
    this.#head = this.#catalog.transact(() => {
      this.#records.clear()
      return this.#records.writeHead(fields, randomUUID())
    })
    return this.#head
  }

  /**
   * Begins a dataset with shards that lie there already; where there is a dataset by now, that one is returned, and nothing
   * changes. Generations up to `lastGen` are not used again.
   */
  restore(fields: HeadFields, shards: Iterable<NewShard & { start: number; gen: number }>, lastGen = 0): Head {
    this.#head = this.#catalog.transact(() => {
      const records = this.#records
      const there = records.head()
      if (there !== undefined) return there
      records.useGen(lastGen)
      for (const { start, gen, count, bytes, crc, ends } of shards) {
        records.putReady(start, { state: 'ready', gen, count, bytes, crc, stamp: 0 })
        records.useGen(gen)
        if (ends) records.putLength({ value: start + count, final: true })
      }
      return records.writeHead(fields, randomUUID())
    })
    return this.#head
  }

  /** Throws `MILL_DATASET_RESET` if another process has begun a new dataset in this place. */
  check(): void {
    const stored = this.#records.head()
    if (this.#head === undefined || stored?.id === this.#head.id) return
    const { root } = this.#options
    throw new LoadItError('MILL_DATASET_RESET', `${root} was reset by another process`, { root })
  }

  /** Settles how many items a shard has, unless that is settled; returns what counts. */
  setShardLength(length: number): number {
    return this.#change(() => {
      const head = this.head
      if (head.shardLength > 0) return head.shardLength
      this.#head = this.#records.putHead({ ...head, shardLength: length })
      return length
    })
  }

  // ---- what is there ------------------------------------------------------------------------------------------------

  shard(start: number): ShardRecord | undefined {
    return this.#records.shard(start)
  }

  /** All shards that are known, sorted, evicted ones too; as they are at this moment. */
  records(): Iterable<readonly [start: number, record: ShardRecord]> {
    return this.#records.shards()
  }

  /** All leases, dead ones too. */
  leases(): Iterable<readonly [start: number, lease: LeaseRecord]> {
    return this.#records.leases()
  }

  length(): { readonly value: number; readonly final: boolean } | undefined {
    return this.#records.length()
  }

  /** Bytes of all shard files, and the items in them. */
  totals(): { readonly bytes: number; readonly cached: number } {
    return this.#records.totals()
  }

  info(): unknown {
    return this.#records.info()
  }

  /** Throws `MILL_INVALID_ARGUMENT` for what JSON would not keep, and for more than 64 KiB; nothing has changed then. */
  setInfo(value: unknown): void {
    this.#change(() => this.#records.putInfo(value))
  }

  /** What other processes have done is seen from now on. */
  refresh(): void {
    this.#catalog.refresh()
  }

  /** Runs `read` while nobody writes, on all that was ever committed; throws as a transaction does. */
  settled<R>(read: () => R): R {
    return this.#catalog.transact(read)
  }

  // ---- making shards ------------------------------------------------------------------------------------------------

  /** The right to make a shard, unless it is there (`again`: even then), or somebody who lives makes it. */
  begin(start: number, again = false): Begun {
    return this.#change(() => {
      const record = this.#records.shard(start)
      if (record?.state === 'ready' && !again) return { is: 'ready', record }
      const other = this.#records.lease(start)
      if (other !== undefined && !this.#isDead(other)) return { is: 'busy', pid: other.pid }
      const lease = this.#take(start)
      return {
        is: 'mine',
        lease,
        ...(record !== undefined && { record }),
        ...(other !== undefined && { takeover: other.pid }),
      }
    })
  }

  /** Somebody who lives makes this shard, as far as this turn of the event loop can tell. */
  isTaken(start: number): boolean {
    const lease = this.#records.lease(start)
    return lease !== undefined && !this.#isDead(lease)
  }

  #isDead(lease: LeaseRecord): boolean {
    return isDead(lease, this.#now(), this.#identity.host)
  }

  #take(start: number): Lease {
    const lease = { start, gen: this.#records.nextGen(), token: newToken() }
    this.#records.putLease(start, this.#leaseRecord(lease))
    return lease
  }

  #leaseRecord({ gen, token }: Lease): LeaseRecord {
    return { token, ...this.#identity, until: this.#now() + this.#options.leaseMs, gen }
  }

  /** Extends leases; returns those that are somebody else's by now. */
  renew(leases: readonly Lease[]): Lease[] {
    return this.#change(() =>
      leases.filter((lease) => {
        if (!this.#isMine(lease)) return true
        this.#records.putLease(lease.start, this.#leaseRecord(lease))
        return false
      }),
    )
  }

  /** Gives a lease back, if it is still ours. */
  release(lease: Lease): void {
    this.#change(() => {
      if (this.#isMine(lease)) this.#records.deleteLease(lease.start)
    })
  }

  #isMine({ start, token }: Lease): boolean {
    return this.#records.lease(start)?.token === token
  }

  /** Makes a shard known whose file has its name; the lease is given back with it. */
  publish(lease: Lease, made: NewShard, options: PublishOptions): Published {
    const { start, gen } = lease
    const { count, bytes, crc, ends } = made
    const { limit = Number.POSITIVE_INFINITY, canEvict, accept, again = false, next } = options
    return this.#change((): Published => {
      const records = this.#records
      const before = records.shard(start)
      if (!this.#isMine(lease) || (before?.state === 'ready' && !again)) return { is: 'lost' }
      if (before !== undefined && before.crc !== crc && !accept && !again) {
        return { is: 'changed', expected: before.crc, found: crc }
      }
      const length = records.length()
      const end = start + count
      const isElsewhere = length?.final === true && (ends ? end !== length.value : end > length.value)
      if (isElsewhere && !again) return { is: 'length', expected: length.value, found: end }
      const victims: Victim[] = []
      if (before?.state === 'ready') victims.push(records.forget(start, before))
      const room = limit - records.totals().bytes
      if (bytes > room) {
        // Without a chance to fit nobody has to go.
        if (bytes > limit || !canEvict || !this.#canFree(bytes - room)) {
          if (before?.state === 'ready') records.putReady(start, before)
          return { is: 'large' }
        }
        victims.push(...this.#evict(limit - bytes))
      }
      records.putReady(start, { state: 'ready', gen, count, bytes, crc, stamp: this.#seconds() })
      if (ends || again) records.putLength({ value: end, final: ends })
      records.deleteLease(start)
      const following = next === undefined ? undefined : this.#takeIfFree(next)
      return { is: 'done', victims, ...(following !== undefined && { next: following }) }
    })
  }

  #takeIfFree(start: number): Lease | undefined {
    if (this.#records.shard(start)?.state === 'ready') return undefined
    const other = this.#records.lease(start)
    return other === undefined || this.#isDead(other) ? this.#take(start) : undefined
  }

  #seconds(): number {
    return Math.floor(this.#now() / 1000)
  }

  // ---- dropping shards ----------------------------------------------------------------------------------------------

  /** Drops the shards that were not used for longest until all take `limit` bytes at most; their files are to be removed. */
  trim(limit: number): Victim[] {
    return this.#change(() => this.#evict(limit))
  }

  #evict(limit: number): Victim[] {
    const records = this.#records
    const victims: Victim[] = []
    let { bytes } = records.totals()
    if (bytes <= limit) return victims
    for (const start of records.coldest()) {
      const record = records.shard(start) as ShardRecord
      victims.push(records.evict(start, record))
      bytes -= record.bytes
      if (bytes <= limit) break
    }
    return victims
  }

  #canFree(bytes: number): boolean {
    let free = 0
    for (const start of this.#records.coldest()) {
      free += this.#records.shard(start)?.bytes ?? 0
      if (free >= bytes) return true
    }
    return false
  }

  /** A damaged shard counts as not there; false: it has another generation by now, or was dropped already. */
  drop(start: number, gen: number): boolean {
    return this.#change(() => {
      const record = this.#records.shard(start)
      if (record?.state !== 'ready' || record.gen !== gen) return false
      this.#records.evict(start, record)
      return true
    })
  }

  /** Shards were used in these seconds. */
  touch(uses: ReadonlyMap<number, number>): void {
    this.#change(() => {
      for (const [start, stamp] of uses) {
        const record = this.#records.shard(start)
        if (record?.state === 'ready' && stamp > record.stamp) this.#records.restamp(start, record, stamp)
      }
    })
  }

  // ---- the length ---------------------------------------------------------------------------------------------------

  /** The dataset has so many items; not if another number is final already. */
  setLength(value: number): { readonly is: 'done' } | Extract<Published, { readonly is: 'length' }> {
    return this.#change(() => {
      const length = this.#records.length()
      if (length?.final === true && length.value !== value)
        return { is: 'length', expected: length.value, found: value }
      this.#records.putLength({ value, final: true })
      return { is: 'done' }
    })
  }

  /** What is cached is all: the new length, or the first item of a shard that is missing before others. */
  finalize(): number | { readonly gap: number } {
    return this.#change(() => {
      let end = 0
      for (const [start, { state, count }] of this.#records.shards()) {
        if (state !== 'ready') continue
        if (start !== end) return { gap: end }
        end += count
      }
      this.#records.putLength({ value: end, final: true })
      return end
    })
  }

  close(): Promise<void> {
    return this.#catalog.close()
  }

  #change<R>(work: () => R): R {
    return this.#catalog.transact(() => {
      this.check()
      return work()
    })
  }
}
