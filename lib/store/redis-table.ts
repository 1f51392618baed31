import type { ByteEntry, ByteRange, ScanOptions, StoreTable, TableConfig } from '../../types/store.js'
import { compareBytes } from '../base/bytes.js'
import { ArgumentError, StoreError } from '../base/errors.js'
import { type Bounds, bounds } from './range.js'
import { storeFailure, wordOf } from './redis-client.js'
import { type PartKeys, partKeys, partOf, type RedisMap } from './redis-layout.js'
import { type RedisLink, Script, type Word } from './redis-link.js'

/** As long as operations can say. */
export const MOST_KEY = 0xffff
/** Keys of a page at most: what a node does for it at once, and what is held of each part. */
const MOST_PAGE = 512
const LEAST_PAGE = 16

/**
 * A page of a part in order: its keys, and their records if they are wanted. A key without a record was deleted between
 * two commands of somebody else's making: there is none here, as a script is alone.
 */
const PAGE = new Script(`
local keys
if ARGV[3] == '1' then keys = redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[1], 'BYLEX', 'REV', 'LIMIT', 0, ARGV[4])
else keys = redis.call('ZRANGE', KEYS[2], ARGV[1], ARGV[2], 'BYLEX', 'LIMIT', 0, ARGV[4]) end
if ARGV[5] == '0' or #keys == 0 then return { keys, {} } end
return { keys, redis.call('HMGET', KEYS[1], unpack(keys)) }
`)

/** What a table uses of its store. */
export interface RedisOwner {
  readonly link: RedisLink
  readonly prefix: string
  check(): void
  /** Whether a map is still the one of its name; not from memory. */
  isThere(table: RedisTable): Promise<boolean>
}

/** A map over the parts of a cluster. */
export class RedisTable implements StoreTable {
  readonly id: number
  readonly name: string
  readonly config: TableConfig
  readonly map: RedisMap
  /** It was dropped by this store, or a write has found that it was. */
  dropped = false
  readonly #owner: RedisOwner

  constructor(owner: RedisOwner, id: number, name: string, config: TableConfig, map: RedisMap) {
    this.#owner = owner
    this.id = id
    this.name = name
    this.config = config
    this.map = map
  }

  /** Throws `MILL_MAP_MISSING` once it is known that it was dropped. */
  checkWritable(): void {
    if (this.dropped) throw new StoreError('MILL_MAP_MISSING', 'The map was dropped', { path: this.#owner.prefix })
  }

  keysOf(part: number): PartKeys {
    return partKeys(this.#owner.prefix, this.map.id, part)
  }

  /** Asks the cluster. */
  async isThere(): Promise<boolean> {
    if (!this.dropped) this.dropped = !(await this.#owner.isThere(this))
    return !this.dropped
  }

  async getMany(
    keys: readonly Uint8Array[],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<(Uint8Array | undefined)[]> {
    this.#owner.check()
    signal?.throwIfAborted()
    const values = new Array<Uint8Array | undefined>(keys.length).fill(undefined)
    if (this.dropped) return values
    const asked = new Map<number, number[]>()
    for (const [i, key] of keys.entries()) {
      const part = partOf(this.map, key)
      const list = asked.get(part)
      if (list === undefined) asked.set(part, [i])
      else list.push(i)
    }
    const ask = async (part: number, places: readonly number[]): Promise<void> => {
      const [hash] = this.keysOf(part)
      const found = (await this.#call(
        'HMGET',
        hash,
        ...places.map((i) => wordOf(keys[i] as Uint8Array)),
      )) as (Buffer | null)[]
      for (const [n, i] of places.entries()) values[i] = copied(found[n] ?? null)
    }
    await Promise.all([...asked].flatMap(([part, places]) => pieces(places, MOST_PAGE).map((some) => ask(part, some))))
    signal?.throwIfAborted()
    return values
  }

  async count(range: ByteRange = {}): Promise<number> {
    this.#owner.check()
    const limits = bounds(range, MOST_KEY)
    if (limits.empty || this.dropped) return 0
    const [from, to] = lexBounds(limits)
    const counts = await Promise.all(
      this.#parts().map((part) => this.#call('ZLEXCOUNT', this.keysOf(part)[1], from, to) as Promise<number>),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }

  /** Not one state: every page is of its own moment. Keys come in order, each once. */
  async *scan(range: ByteRange, { maxItems, values, signal }: ScanOptions): AsyncGenerator<ByteEntry[]> {
    if (!(Number.isSafeInteger(maxItems) && maxItems > 0)) {
      throw new ArgumentError('options.maxItems', 'an integer of 1 or more', maxItems)
    }
    this.#owner.check()
    signal?.throwIfAborted()
    const limits = bounds(range, MOST_KEY)
    if (limits.empty || this.dropped) return
    const first = Math.min(MOST_PAGE, Math.max(LEAST_PAGE, Math.ceil((2 * maxItems) / this.map.partitions)))
    const reverse = range.reverse === true
    const ask = (part: number, limit: Bounds, size: number) => this.#page(part, limit, reverse, size, values)
    const walks = this.#parts().map((part) => new PartWalk(part, limits, reverse, first, ask))
    const merged = new Merge(reverse)
    await Promise.all(walks.map((walk) => walk.begin()))
    for (const walk of walks) merged.add(walk)
    let batch: ByteEntry[] = []
    for (let walk = merged.first; walk !== undefined; walk = merged.first) {
      batch.push(walk.entry as ByteEntry)
      if (batch.length === maxItems) {
        yield batch
        batch = []
        this.#owner.check()
      }
      signal?.throwIfAborted()
      if (!walk.next()) await walk.refill()
      merged.settle()
    }
    if (batch.length > 0) yield batch
  }

  async #page(part: number, limits: Bounds, reverse: boolean, size: number, values: boolean): Promise<ByteEntry[]> {
    const words = [...lexBounds(limits), reverse ? 1 : 0, size, values ? 1 : 0]
    try {
      const [keys, records] = (await PAGE.run(this.#owner.link, this.keysOf(part), words)) as [Buffer[], Buffer[]]
      return keys.map((key, i) => [copied(key) as Uint8Array, values ? copied(records[i] ?? null) : undefined])
    } catch (error) {
      throw storeFailure(error)
    }
  }

  async #call(command: string, ...words: Word[]): Promise<unknown> {
    try {
      return await this.#owner.link.call(command, ...words)
    } catch (error) {
      throw storeFailure(error)
    }
  }

  #parts(): number[] {
    return Array.from({ length: this.map.partitions }, (_, part) => part)
  }
}

type Ask = (part: number, limits: Bounds, size: number) => Promise<ByteEntry[]>

/** One part of a scan, page by page; the next page is asked for when half of this one has been taken. */
class PartWalk {
  entry: ByteEntry | undefined
  readonly #part: number
  readonly #reverse: boolean
  readonly #ask: Ask
  #limits: Bounds
  #size: number
  #page: ByteEntry[] = []
  #at = 0
  #coming: Promise<ByteEntry[]> | undefined
  #ended = false

  constructor(part: number, limits: Bounds, reverse: boolean, size: number, ask: Ask) {
    this.#part = part
    this.#limits = limits
    this.#reverse = reverse
    this.#size = size
    this.#ask = ask
  }

  async begin(): Promise<void> {
    this.#order()
    await this.refill()
  }

  /** Goes on by one; false: another page is needed to know. */
  next(): boolean {
    this.#at++
    if (!this.#ended && this.#coming === undefined && this.#at * 2 >= this.#page.length) this.#order()
    this.entry = this.#page[this.#at]
    return this.entry !== undefined || this.#ended
  }

  async refill(): Promise<void> {
    const page = (await this.#coming) ?? []
    this.#coming = undefined
    this.#page = page
    this.#at = 0
    this.entry = page[0]
    const last = page.at(-1)
    if (last === undefined || page.length < this.#size) this.#ended = true
    else if (this.#reverse) this.#limits = { ...this.#limits, high: last[0], highOpen: true }
    else this.#limits = { ...this.#limits, low: last[0], lowOpen: true }
    this.#size = Math.min(MOST_PAGE, this.#size * 2)
  }

  #order(): void {
    const coming = this.#ask(this.#part, this.#limits, this.#size)
    coming.catch(() => {}) // whoever waits for it is told
    this.#coming = coming
  }
}

/** The part whose entry comes first, on top: a binary heap. */
class Merge {
  readonly #heap: PartWalk[] = []
  readonly #sign: 1 | -1

  constructor(reverse: boolean) {
    this.#sign = reverse ? -1 : 1
  }

  get first(): PartWalk | undefined {
    return this.#heap[0]
  }

  add(walk: PartWalk): void {
    if (walk.entry === undefined) return
    const heap = this.#heap
    let at = heap.push(walk) - 1
    while (at > 0) {
      const up = (at - 1) >> 1
      if (!this.#before(at, up)) return
      this.#swap(at, up)
      at = up
    }
  }

  /** The first part has gone on: it finds its place, or leaves. */
  settle(): void {
    const heap = this.#heap
    if (heap[0]?.entry === undefined) {
      const last = heap.pop()
      if (heap.length === 0 || last === undefined) return
      heap[0] = last
    }
    for (let at = 0; ; ) {
      let least = at
      for (const down of [2 * at + 1, 2 * at + 2]) if (down < heap.length && this.#before(down, least)) least = down
      if (least === at) return
      this.#swap(at, least)
      at = least
    }
  }

  #before(a: number, b: number): boolean {
    const [one, other] = [this.#heap[a]?.entry as ByteEntry, this.#heap[b]?.entry as ByteEntry]
    return compareBytes(one[0], other[0]) * this.#sign < 0
  }

  #swap(a: number, b: number): void {
    const heap = this.#heap
    const one = heap[a] as PartWalk
    heap[a] = heap[b] as PartWalk
    heap[b] = one
  }
}

/** Bounds as ZRANGE … BYLEX writes them. */
function lexBounds({ low, lowOpen, high, highOpen }: Bounds): [from: Word, to: Word] {
  return [low === undefined ? '-' : marked(lowOpen, low), high === undefined ? '+' : marked(highOpen, high)]
}

const OPEN = 0x28
const CLOSED = 0x5b

function marked(open: boolean, key: Uint8Array): Buffer {
  const word = Buffer.allocUnsafe(key.length + 1)
  word[0] = open ? OPEN : CLOSED
  word.set(key, 1)
  return word
}

/** What the client gives may be part of what it read from the socket. */
function copied(bytes: Buffer | null): Uint8Array | undefined {
  return bytes === null ? undefined : new Uint8Array(bytes)
}

function pieces<T>(list: readonly T[], size: number): T[][] {
  const all: T[][] = []
  for (let at = 0; at < list.length; at += size) all.push(list.slice(at, at + size))
  return all
}
