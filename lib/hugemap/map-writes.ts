import type { Progress } from '../../types/progress.js'
import type { Source } from '../../types/source.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { type Batch, Group, MapBatch } from './batch.js'
import { Feeder } from './feeder.js'
import { setMany } from './many.js'
import type { MapWriter } from './map-writer.js'
import { type Transaction, transact } from './transaction.js'
import { type MapWritable, mapWritable } from './writable.js'
import { WritingMap } from './writing-map.js'

/** How often a transaction is tried unless told otherwise. */
const ATTEMPTS = 10

/** What one can write to a `HugeMap`, in all its ways. */
export abstract class MapWrites<K, V> extends WritingMap<K, V> {
  /**
   * Resolves to true when it is on the disk, to false if a condition did not hold: `ifAbsent`, the key must not be there;
   * `ifValue`, it must have this value, compared as stored bytes. Without one it can be read at once, and if it fails the
   * old value is back when the promise rejects.
   */
  set(key: K, value: V, options?: { ifAbsent?: boolean; ifValue?: V }): Promise<boolean> {
    const writer = this._writer
    try {
      writer.check()
      if (options === undefined) return writer.set(key, value)
      if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
      const { ifAbsent = false, ifValue } = options
      if (typeof ifAbsent !== 'boolean') throw new ArgumentError('options.ifAbsent', 'true or false', ifAbsent)
      if (!ifAbsent && ifValue === undefined) return writer.set(key, value)
      if (ifAbsent && ifValue !== undefined) throw new ArgumentError('options', 'one condition', options)
      return writer.setIf(key, value, ifValue)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Resolves to whether it was there (and had the value `ifValue`), when that is on the disk. */
  delete(key: K, options?: { ifValue?: V }): Promise<boolean> {
    const writer = this._writer
    try {
      writer.check()
      if (options === undefined) return writer.delete(key)
      if (typeof options !== 'object' || options === null) throw new ArgumentError('options', 'an object', options)
      const { ifValue } = options
      return ifValue === undefined ? writer.delete(key) : writer.deleteIf(key, ifValue)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Removes everything that was set before. */
  async clear(): Promise<void> {
    this._writer.check()
    await this._writer.clear()
  }

  /**
   * Writes pairs as they come, as fast as the disk takes them, in transactions of about a mebibyte; resolves to how many
   * when all are on the disk. After an abort, or a fault, what was sent is or will be written, and nothing after it.
   */
  async setMany(
    entries: Source<readonly [K, V]>,
    options: { signal?: AbortSignal; onProgress?: (progress: Progress) => void } = {},
  ): Promise<number> {
    this._writer.check()
    return setMany(new Feeder(this._writer), entries, options)
  }

  /** All of what `fn` asks for or nothing, at once; resolves to false if a `require` did not hold. */
  async batch(fn: (batch: Batch<K, V>) => void): Promise<boolean> {
    this._writer.check()
    if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
    const group = new Group()
    try {
      const result: unknown = fn(new MapBatch(group, this._writer, this.#other))
      if (typeof (result as PromiseLike<unknown> | undefined)?.then === 'function') {
        throw new ArgumentError('fn', 'synchronous', result)
      }
    } finally {
      group.end()
    }
    return group.isEmpty || this._writer.group(group.arena, group.overlays)
  }

  /**
   * Sets the key to what `fn` makes of its value, atomically among all processes; undefined deletes. Resolves to the new
   * value. `fn` is synchronous and may run again. `MILL_CONFLICT` after 10 attempts.
   */
  update(key: K, fn: (old: V | undefined) => V | undefined): Promise<V | undefined> {
    return this.transaction((t) => {
      const old = t.get(key)
      const value = fn(old)
      if (value !== undefined) t.set(key, value)
      else if (old !== undefined) t.delete(key)
      return value
    })
  }

  /**
   * The same for several keys: `fn` reads one state, and what it writes is done if nobody has changed since what it read;
   * else it runs again, up to `attempts` times (default 10): `MILL_CONFLICT`. It is synchronous, without side effects.
   */
  async transaction<R>(fn: (transaction: Transaction<K, V>) => R, options: { attempts?: number } = {}): Promise<R> {
    this._writer.check()
    return transact(this._writer, this.#other, fn, options.attempts ?? ATTEMPTS)
  }

  /**
   * Runs `fn` holding the write lock, and blocking: every read and plain write of this folder's maps within is part of one
   * transaction, which a throw undoes. Needs `writer: 'inline'` or a store in memory, else `MILL_UNSUPPORTED`.
   */
  transactionSync<R>(fn: () => R): R {
    this._writer.check()
    if (typeof fn !== 'function') throw new ArgumentError('fn', 'a function', fn)
    return this._writer.committer.transact(fn)
  }

  /** Resolves when everything set so far is on the disk, or its promise has rejected. */
  async flush(): Promise<void> {
    this._check()
    await this._writer.committer.flush()
  }

  /** A stream to write arrays of pairs to: the fast way in. `'finish'` comes when all of it is on the disk. */
  writable(options: { batches: true; signal?: AbortSignal }): MapWritable<readonly (readonly [K, V])[]>
  /** A stream to write pairs to. `'finish'` comes when all of it is on the disk. */
  writable(options?: { batches?: false; signal?: AbortSignal }): MapWritable<readonly [K, V]>
  writable(options: { batches?: boolean; signal?: AbortSignal } = {}): unknown {
    this._writer.check()
    return mapWritable(new Feeder(this._writer), options.batches, checkSignal(options.signal))
  }

  readonly #other = <K2, V2>(map: WritingMap<K2, V2>): MapWriter<K2, V2> => {
    if (!(map instanceof WritingMap) || map._writer.committer !== this._writer.committer) {
      throw new ArgumentError('map', 'a map of the same folder, opened in this thread with the same writer', map)
    }
    map._writer.check()
    return map._writer
  }
}
