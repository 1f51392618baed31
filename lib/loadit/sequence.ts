import type { Cursor, ReadOptions, Sequence, SequenceLike, ShuffleOptions, WalkOptions } from '../../types/load-it.js'
import type { ReadableOf } from '../../types/source.js'
import { checkSignal } from '../base/abort.js'
import { ArgumentError } from '../base/errors.js'
import { ArrayCore } from './array-core.js'
import { checkIndex, checkIndices, endlessIndex } from './bad-index.js'
import { BatchWalk, ItemWalk } from './batch-walk.js'
import { Concat } from './concat.js'
import type { Core, Inner } from './core.js'
import { Interleave } from './interleave.js'
import { Mapped } from './mapped.js'
import { Computed, List, type Mapping, Slice, shardMapping } from './mapping.js'
import { scatter } from './places.js'
import { Repeat } from './repeat.js'
import { Shuffle } from './shuffle.js'
import { sequenceStream } from './stream.js'
import { checkWalk, MAX_ITEMS, makeCursor } from './walk-options.js'

/** What all sequences have in common: views, and walking in order. How items are found is up to the subclass. */
export abstract class SequenceBase<T> implements Sequence<T>, Inner<T> {
  abstract at(index: number, options?: ReadOptions): Promise<T | undefined>
  abstract peek(index: number): T | undefined
  abstract getMany(indices: Iterable<number>, options?: ReadOptions): Promise<(T | undefined)[]>
  abstract length(options?: ReadOptions): Promise<number>
  abstract get knownLength(): number | undefined
  abstract get description(): string

  /** @internal See {@link Inner._batches}. */
  abstract _batches(start: number, end: number, maxItems: number, signal: AbortSignal): AsyncIterable<T[]>

  /** @internal See {@link Inner._ready}. */
  _ready(_index: number): boolean {
    return true
  }

  /** @internal See {@link Inner._reach}. Stands on `at()` making the length known where it finds nothing. */
  async _reach(index: number, options?: ReadOptions): Promise<boolean> {
    if (this.knownLength === undefined && (await this.at(index, options)) !== undefined) return true
    const known = this.knownLength
    return known === undefined || index < known
  }

  slice(start?: number, end?: number, step?: number): Sequence<T> {
    return this.#mapped(new Slice(start, end, step))
  }

  view(indices: Iterable<number>): Sequence<T>
  view(indexOf: (i: number) => number, length: number): Sequence<T>
  view(of: Iterable<number> | ((i: number) => number), length?: number): Sequence<T> {
    return this.#mapped(typeof of === 'function' ? new Computed(of, length as number) : new List(of))
  }

  shuffle(options?: ShuffleOptions): Sequence<T> {
    return this.#mapped(new Shuffle(options))
  }

  shard(index: number, count: number, options?: { strided?: boolean }): Sequence<T> {
    return this.#mapped(shardMapping(index, count, options?.strided === true))
  }

  #mapped(mapping: Mapping): Sequence<T> {
    return new View(new Mapped(this, mapping))
  }

  concat(...others: SequenceLike<T>[]): Sequence<T> {
    return others.length === 0 ? this : new View(new Concat([this, ...others.map(adopt)]))
  }

  interleave(...others: SequenceLike<T>[]): Sequence<T> {
    return others.length === 0 ? this : new View(new Interleave([this, ...others.map(adopt)]))
  }

  repeat(
    times = Number.POSITIVE_INFINITY,
    each?: (epoch: number, sequence: Sequence<T>) => SequenceLike<T>,
  ): Sequence<T> {
    if (each !== undefined && typeof each !== 'function') throw new ArgumentError('each', 'a function', each)
    return new View(new Repeat<T>(this, times, each && ((epoch, parent) => adopt(each(epoch, parent)))))
  }

  batches(options: WalkOptions = {}): AsyncIterable<T[]> {
    const { start, end, maxItems, signal } = this.#plan(options)
    return {
      [Symbol.asyncIterator]: () => new BatchWalk((work) => this._batches(start, end, maxItems, work), signal),
    }
  }

  stream(options: WalkOptions = {}): ReadableOf<T> {
    const plan = this.#plan(options)
    return sequenceStream((maxItems, work) => this._batches(plan.start, plan.end, maxItems, work), plan)
  }

  #plan(options: WalkOptions) {
    return checkWalk(options, () => this.description)
  }

  cursor(next: number): Cursor {
    return makeCursor(this.description, next)
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return new ItemWalk((work) => this._batches(0, Number.POSITIVE_INFINITY, MAX_ITEMS, work))
  }
}

/** A sequence made of others: the face of a {@link Core}. */
class View<T> extends SequenceBase<T> {
  readonly #core: Core<T>

  constructor(core: Core<T>) {
    super()
    this.#core = core
  }

  get description(): string {
    return this.#core.description
  }

  get knownLength(): number | undefined {
    return this.#core.knownLength
  }

  async length(options?: ReadOptions): Promise<number> {
    checkSignal(options?.signal)?.throwIfAborted()
    return this.#core.length(options)
  }

  at(index: number, options?: ReadOptions): Promise<T | undefined> {
    const signal = options?.signal
    if (index >= 0 && Number.isSafeInteger(index) && (signal === undefined || signal.aborted === false)) {
      return this.#core.at(index, options)
    }
    return this.#atUnusual(index, options)
  }

  async #atUnusual(index: number, options?: ReadOptions): Promise<T | undefined> {
    checkSignal(options?.signal)?.throwIfAborted()
    checkIndex(index)
    const core = this.#core
    if (core.fromEnd !== undefined) return core.fromEnd(index, options)
    const place = fromEnd(index, await core.length(options))
    return place < 0 ? undefined : core.at(place, options)
  }

  peek(index: number): T | undefined {
    if (checkIndex(index) >= 0) return this.#core.peek(index)
    const n = this.#core.knownLength
    if (n === undefined) return undefined
    const place = fromEnd(index, n)
    return place < 0 ? undefined : this.#core.peek(place)
  }

  async getMany(indices: Iterable<number>, options?: ReadOptions): Promise<(T | undefined)[]> {
    const all = checkIndices(indices)
    checkSignal(options?.signal)?.throwIfAborted()
    const n = all.some((index) => index < 0) ? await this.#core.length(options) : 0
    const places: number[] = []
    const positions: number[] = []
    for (let i = 0; i < all.length; i++) {
      const index = all[i] as number
      const place = index < 0 ? fromEnd(index, n) : index
      if (place < 0) continue
      places.push(place)
      positions.push(i)
    }
    const values = places.length === 0 ? [] : await this.#core.getMany(places, options)
    return values.length === all.length ? values : scatter(values, positions, all.length)
  }

  override _batches(start: number, end: number, maxItems: number, signal: AbortSignal): AsyncIterable<T[]> {
    return this.#core.batches(start, end, maxItems, signal)
  }

  override _ready(index: number): boolean {
    return this.#core.ready(index)
  }

  override _reach(index: number, options?: ReadOptions): Promise<boolean> {
    return this.#core.reach(index, options)
  }
}

/** A negative index of a sequence of `n` items, counted from the beginning; below 0: there is no such item. */
function fromEnd(index: number, n: number): number {
  if (n === Number.POSITIVE_INFINITY) throw endlessIndex(index)
  return index + n
}

/** What was given as a sequence of ours. */
function adopt<T>(items: SequenceLike<T>): SequenceBase<T> {
  if (Array.isArray(items)) return new View(new ArrayCore<T>(items))
  const given = items as Partial<Sequence<T> & Inner<T>> | null
  if (typeof given === 'object' && typeof given?.at === 'function' && typeof given.getMany === 'function') {
    return typeof given._batches === 'function'
      ? (items as SequenceBase<T>)
      : new View(new Mapped(items as Sequence<T>, new Slice(undefined, undefined, undefined, '')))
  }
  throw new ArgumentError('items', 'an array or a sequence', items)
}

/**
 * An array as a sequence: nothing is copied, and its items are given out as they are. A sequence comes back as it is.
 * Throws `MILL_INVALID_ARGUMENT` for anything else.
 */
export function sequence<T>(items: readonly T[] | Sequence<T>): Sequence<T> {
  return adopt(items)
}
