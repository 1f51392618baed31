import type { Catalog, CatalogKey } from '../../types/catalog.js'
import type { LeaseRecord } from './lease.js'

/** Version of the records. */
const FORMAT = 1
/** Numbers sort before strings: the end of what begins with one word. */
const END = ''
/** Shards are looked for so many at a time: mostly the first few are enough. */
const PAGE = 64

/** What a dataset is made of. */
export interface HeadFields {
  readonly serializer: string
  readonly compression: string
  readonly fingerprint?: string | undefined
  /** Items of a full shard; 0: not settled yet. */
  readonly shardLength: number
}

/** The same, as it stands in the catalog. */
export interface Head extends HeadFields {
  readonly format: number
  /** Tells one dataset in a folder from a later one. */
  readonly id: string
}

/** A shard as it stands in the catalog. */
export interface ShardRecord {
  /** An evicted one has no file, but must come back with the same content. */
  readonly state: 'ready' | 'evicted'
  readonly gen: number
  readonly count: number
  /** Of its file. */
  readonly bytes: number
  /** Checksum of its content. */
  readonly crc: number
  /** Second of its last use. */
  readonly stamp: number
}

/** A shard whose file is to be removed. */
export interface Victim {
  readonly start: number
  readonly gen: number
  readonly bytes: number
}

/**
 * The records of a catalog, and what goes together: totals are the sums over shards that are ready, and each of those with
 * items stands in the order of their use. Changes only within a transaction.
 */
export class BookRecords {
  readonly #catalog: Catalog

  constructor(catalog: Catalog) {
    this.#catalog = catalog
  }

  head(): Head | undefined {
    return this.#catalog.get(['head']) as Head | undefined
  }

  writeHead({ serializer, compression, fingerprint, shardLength }: HeadFields, id: string): Head {
    const rest = fingerprint === undefined ? {} : { fingerprint }
    return this.putHead({ format: FORMAT, id, serializer, compression, ...rest, shardLength })
  }

  putHead(head: Head): Head {
    this.#catalog.put(['head'], head)
    return head
  }

  length(): { readonly value: number; readonly final: boolean } | undefined {
    return this.#catalog.get(['length']) as { value: number; final: boolean } | undefined
  }

  putLength(length: { readonly value: number; readonly final: boolean }): void {
    this.#catalog.put(['length'], length)
  }

  info(): unknown {
    return this.#catalog.get(['info'])
  }

  putInfo(value: unknown): void {
    this.#catalog.put(['info'], value)
  }

  totals(): { readonly bytes: number; readonly cached: number } {
    return { bytes: this.#number('bytes'), cached: this.#number('cached') }
  }

  #number(name: 'bytes' | 'cached' | 'gen'): number {
    return (this.#catalog.get([name]) as number | undefined) ?? 0
  }

  /** A generation that was never used. */
  nextGen(): number {
    const gen = this.#number('gen') + 1
    this.#catalog.put(['gen'], gen)
    return gen
  }

  /** This generation has been used. */
  useGen(gen: number): void {
    if (gen > this.#number('gen')) this.#catalog.put(['gen'], gen)
  }

  // ---- shards -------------------------------------------------------------------------------------------------------

  shard(start: number): ShardRecord | undefined {
    return this.#catalog.get(['shard', start]) as ShardRecord | undefined
  }

  *shards(): Generator<readonly [start: number, record: ShardRecord]> {
    for (const [key, record] of this.#catalog.range(['shard'], ['shard', END])) {
      yield [key[1] as number, record as ShardRecord]
    }
  }

  /** Shards with a file, those that were not used for longest first. The one that marks the end is not among them. */
  *coldest(): Generator<number> {
    let from: CatalogKey = ['lru']
    for (let found = PAGE; found === PAGE; ) {
      found = 0
      for (const [key] of this.#catalog.range(from, ['lru', END], { limit: PAGE })) {
        found++
        from = [...key, END]
        yield key[2] as number
      }
    }
  }

  putReady(start: number, record: ShardRecord): void {
    const before = this.shard(start)
    if (before?.state === 'ready') this.forget(start, before)
    this.#catalog.put(['shard', start], record)
    if (record.count > 0) this.#catalog.put(['lru', record.stamp, start], 0)
    this.#count(record.bytes, record.count)
  }

  /** It has a file no more. */
  evict(start: number, record: ShardRecord): Victim {
    const victim = this.forget(start, record)
    this.#catalog.put(['shard', start], { ...record, state: 'evicted' })
    return victim
  }

  /** It is not known any more. */
  forget(start: number, record: ShardRecord): Victim {
    const { gen, bytes, count, stamp } = record
    this.#catalog.delete(['shard', start])
    this.#catalog.delete(['lru', stamp, start])
    this.#count(-bytes, -count)
    return { start, gen, bytes }
  }

  restamp(start: number, record: ShardRecord, stamp: number): void {
    this.#catalog.put(['shard', start], { ...record, stamp })
    if (!this.#catalog.delete(['lru', record.stamp, start])) return
    this.#catalog.put(['lru', stamp, start], 0)
  }

  #count(bytes: number, items: number): void {
    this.#catalog.put(['bytes'], this.#number('bytes') + bytes)
    this.#catalog.put(['cached'], this.#number('cached') + items)
  }

  // ---- leases -------------------------------------------------------------------------------------------------------

  lease(start: number): LeaseRecord | undefined {
    return this.#catalog.get(['lease', start]) as LeaseRecord | undefined
  }

  *leases(): Generator<readonly [start: number, lease: LeaseRecord]> {
    for (const [key, lease] of this.#catalog.range(['lease'], ['lease', END])) {
      yield [key[1] as number, lease as LeaseRecord]
    }
  }

  putLease(start: number, lease: LeaseRecord): void {
    this.#catalog.put(['lease', start], lease)
  }

  deleteLease(start: number): void {
    this.#catalog.delete(['lease', start])
  }

  // ---- all ----------------------------------------------------------------------------------------------------------

  /** Everything goes but the count of generations: no name of a file is ever used twice. */
  clear(): void {
    const keys: CatalogKey[] = [['head'], ['length'], ['info'], ['bytes'], ['cached']]
    for (const word of ['shard', 'lru', 'lease']) {
      for (const [key] of this.#catalog.range([word], [word, END])) keys.push(key)
    }
    for (const key of keys) this.#catalog.delete(key)
  }
}
