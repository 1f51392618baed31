import { onAbort } from '../base/abort.js'
import { LoadItError, type MillraceError } from '../base/errors.js'
import { OPEN_NEW, SHARD_MODE, writeFully } from './file-ops.js'
import type { ShardKit } from './kit.js'
import type { Settings } from './options.js'
import { Asking } from './remote-ask.js'
import type { Remote, RemoteHead, RemoteShard } from './remote-face.js'
import { BlockCheck, FarItems, type FarShard, Gone, lookAt } from './remote-shard.js'
import { Uploads } from './remote-uploads.js'

/** Bytes of one request for a shard. */
const PIECE = 8_388_608
/** A shard up to this size is fetched whole, also for one item. */
const SMALL = 1_048_576
/** Memory for the tables of shards that single items are read from, in bytes. */
const TABLES = 8_388_608
/** A download that comes out damaged, or goes away in the middle, is begun anew once. */
const DOWNLOADS = 2
/** Shards there can be at most, for the search for the end. */
const FARTHEST = Number.MAX_SAFE_INTEGER

/** The remote side of a dataset; undefined: there is none. */
export function openRemote<T>(settings: Settings<T>, kit: ShardKit<T>): Remote<T> | undefined {
  return settings.remote === undefined ? undefined : new FarDataset<T>(settings, kit)
}

/**
 * Shards in a store: `<start>.shd` each, the file as it is, no list of them. What comes from there is not believed before
 * it was checked. Calls reject with `MILL_REMOTE` after all attempts, `MILL_SHARD_CORRUPT`, `MILL_DATASET_MISMATCH`, and
 * the reason of their signal.
 */
class FarDataset<T> implements Remote<T> {
  readonly #settings: Settings<T>
  readonly #kit: ShardKit<T>
  readonly #asking: Asking
  readonly #uploads: Uploads
  /** Those that single items are read from; the one used last comes last. */
  readonly #items = new Map<number, FarItems<T>>()
  #tables = 0
  /** One that was looked at for an item, and is now to be fetched whole. */
  #looked: FarShard | undefined
  readonly #stop = new AbortController()
  #tell: ((error: MillraceError) => void) | undefined

  constructor(settings: Settings<T>, kit: ShardKit<T>) {
    this.#settings = settings
    this.#kit = kit
    this.#asking = new Asking(settings.remote as NonNullable<Settings<T>['remote']>)
    this.#uploads = new Uploads(this.#asking, kit.files, (error) => this.#tell?.(error))
  }

  listen(tell: (error: MillraceError) => void): void {
    this.#tell = tell
  }

  head(signal?: AbortSignal): Promise<RemoteHead | undefined> {
    return this.#during(signal, async (stop) => {
      const first = await this.#look(0, stop)
      return first && { ...first.meta, shardLength: first.shardLength }
    })
  }

  fetchShard(start: number, options: { path: string; signal: AbortSignal }): Promise<RemoteShard | undefined> {
    return this.#during(options.signal, async (stop) => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.#download(start, options.path, stop)
        } catch (error) {
          // What is there may just have been put there anew.
          const isOdd = error instanceof Gone || (error as { code?: unknown }).code === 'MILL_SHARD_CORRUPT'
          if (!isOdd || attempt >= DOWNLOADS) {
            if (error instanceof Gone) return undefined
            throw error
          }
        }
      }
    })
  }

  fetchItem(start: number, i: number, signal?: AbortSignal): Promise<{ readonly value: T | undefined } | undefined> {
    return this.#during(signal, async (stop) => {
      let items = this.#items.get(start)
      if (items === undefined) {
        const shard = await this.#look(start, stop)
        if (shard === undefined) return undefined
        this.#compare(shard)
        if (shard.bytes <= SMALL) {
          this.#looked = shard
          return undefined
        }
        items = new FarItems(this.#kit, { ...shard, tail: shard.tail.subarray(0, 0) })
      }
      this.#use(start, items)
      if (i >= items.shard.tables.count || items.isWorthAll(i)) {
        this.#forget(start)
        return undefined
      }
      try {
        const item = await items.item(this.#asking, i, stop)
        if (item === undefined) this.#forget(start)
        return item
      } catch (error) {
        // It may have been put there anew, and its tables be others.
        this.#forget(start)
        throw error
      }
    })
  }

  /** Doubles until no shard is there, then halves: 2·log2 requests. */
  findLength(shardLength: number, signal?: AbortSignal): Promise<number | undefined> {
    return this.#during(signal, async (stop) => {
      if (shardLength < 1) return undefined
      let last: FarShard | undefined
      const isThere = async (k: number): Promise<boolean> => {
        if (k * shardLength > FARTHEST) return false
        const found = await this.#look(k * shardLength, stop)
        if (found === undefined) return false
        this.#compare(found)
        last = found
        return true
      }
      if (!(await isThere(0))) return undefined
      let there = 0
      let step = 1
      while (last?.footer.ends !== true && (await isThere(there + step))) {
        there += step
        step *= 2
      }
      for (; step > 1 && last?.footer.ends !== true; ) {
        step /= 2
        if (await isThere(there + step)) there += step
      }
      // Without its mark the end may only not have been put there yet.
      return last?.footer.ends === true ? last.start + last.tables.count : undefined
    })
  }

  push(start: number, path: string): void {
    this.#uploads.add(start, path)
  }

  flush(): Promise<void> {
    return this.#uploads.idle()
  }

  async close(): Promise<void> {
    const { root } = this.#settings
    this.#stop.abort(new LoadItError('MILL_CLOSED', `${root} is closed`, { root }))
    this.#items.clear()
    await this.#uploads.close()
  }

  /** Some work that ends with the caller's signal, and with `close`. */
  async #during<R>(signal: AbortSignal | undefined, work: (stop: AbortSignal) => Promise<R>): Promise<R> {
    signal?.throwIfAborted()
    this.#stop.signal.throwIfAborted()
    const control = new AbortController()
    const abort = (reason: unknown): void => control.abort(reason)
    const forget = [onAbort(signal, abort), onAbort(this.#stop.signal, abort)]
    try {
      return await work(control.signal)
    } finally {
      for (const off of forget) off()
    }
  }

  /** Another dataset in the same place is told from ours before anything of it is used. */
  #compare({ meta, shardLength }: FarShard): void {
    const mine = this.#kit.meta
    const wanted = this.#settings.shardLength
    const fields: [string, unknown, unknown][] = [
      ['serializer', mine.serializer, meta.serializer],
      ['compression', mine.compression, meta.compression],
      ['fingerprint', mine.fingerprint, meta.fingerprint],
      ['maxShardLength', wanted ?? shardLength, shardLength],
    ]
    for (const [field, expected, found] of fields) {
      if (expected === found) continue
      const message = `the remote store holds another dataset: ${field} is ${String(found)}, not ${String(expected)}`
      throw new LoadItError('MILL_DATASET_MISMATCH', message, { field, expected, found })
    }
  }

  async #look(start: number, stop: AbortSignal): Promise<FarShard | undefined> {
    try {
      return await lookAt(this.#asking, start, stop)
    } catch (error) {
      if (error instanceof Gone) return undefined
      throw error
    }
  }

  async #download(start: number, path: string, stop: AbortSignal): Promise<RemoteShard | undefined> {
    const looked = this.#looked
    this.#looked = undefined
    const shard = looked?.start === start ? looked : await lookAt(this.#asking, start, stop)
    if (shard === undefined) return undefined
    this.#compare(shard)
    const { files } = this.#kit
    const { bytes, tail, footer, tables, shardLength } = shard
    const fd = await files.open(path, OPEN_NEW, SHARD_MODE)
    let isWhole = false
    try {
      const check = new BlockCheck(shard)
      const until = bytes - tail.length
      for (let at = 0; at < until; at += PIECE) {
        const piece = await this.#asking.part(start, at, Math.min(PIECE, until - at), stop)
        if (piece === undefined) throw new Gone()
        check.add(piece)
        await writeFully(files, fd, piece, at)
      }
      check.add(tail)
      await writeFully(files, fd, tail, until)
      if (this.#settings.sync) await files.fdatasync(fd)
      isWhole = true
    } finally {
      // What is here in full was checked as it came, and is again when it is read; the rest is swept up at the next opening.
      await files.close(fd).catch(() => {})
      if (!isWhole) await files.unlink(path).catch(() => {})
    }
    this.#forget(start)
    return { count: tables.count, bytes, crc: footer.crc, ends: footer.ends, shardLength }
  }

  #use(start: number, items: FarItems<T>): void {
    if (this.#items.delete(start)) this.#tables -= items.shard.tables.bytes
    this.#items.set(start, items)
    this.#tables += items.shard.tables.bytes
    for (const [other, { shard }] of this.#items) {
      if (this.#tables <= TABLES || other === start) break
      this.#items.delete(other)
      this.#tables -= shard.tables.bytes
    }
  }

  #forget(start: number): void {
    const items = this.#items.get(start)
    if (items === undefined) return
    this.#items.delete(start)
    this.#tables -= items.shard.tables.bytes
  }
}
