import { join } from 'node:path'
import type { LoadItEvents } from '../../types/load-it.js'
import { LoadItError, type MillraceError } from '../base/errors.js'
import type { Books, Lease, ShardRecord, Victim } from './catalog.js'
import { Events } from './events.js'
import { asOurs, isFull } from './faults.js'
import type { ShardKit } from './kit.js'
import type { Settings } from './options.js'
import { Readers } from './readers.js'
import type { Remote } from './remote-face.js'
import { shardName, temporaryName } from './shard-names.js'
import { Turns } from './turns.js'

/** Milliseconds between two looks into the catalog, while anything is open. */
const LOOK_MS = 1000
/** Looks between two writings of use stamps. */
const LOOKS_PER_STAMP = 5

/** What all parts of one loader share: its books and files, what it knows about the data, counters, events. */
export class Dataset<T> {
  readonly settings: Settings<T>
  readonly kit: ShardKit<T>
  readonly books: Books
  readonly remote: Remote<T> | undefined
  /** Nothing can be written here: shards that have to be made stay in memory. */
  readonly isReadOnly: boolean
  readonly events = new Events()
  readonly turns = new Turns()
  readonly readers: Readers<T>
  readonly counts = { generated: 0, fetched: 0, evicted: 0, corrupt: 0, waits: 0, takeovers: 0, restarts: 0 }
  /** Items of a full shard; 0 while the first one hasn't been made. */
  shardLength = 0
  /** Number of items, once it is certain. */
  length: number | undefined
  /** The source is asked for more than there was: the length is open until it has ended. */
  isGrowing = false
  /** What went wrong in the background last. */
  lastWarning: MillraceError | undefined
  /** Items whose encoding was compared so far. */
  compared = 0
  /** Why nothing works any more. */
  fault: MillraceError | undefined
  readonly #folder: string
  readonly #leases = new Set<Lease>()
  readonly #uses = new Map<number, number>()
  #renewing: ReturnType<typeof setInterval> | undefined
  #looking: ReturnType<typeof setInterval> | undefined
  #looks = 0
  readonly #told = new Set<string>()
  /** Names that could not be removed yet: another process has them open, where that matters (Windows). */
  readonly #leftover = new Set<string>()

  constructor(
    settings: Settings<T>,
    parts: { kit: ShardKit<T>; books: Books; remote: Remote<T> | undefined; isReadOnly: boolean },
  ) {
    this.settings = settings
    this.kit = parts.kit
    this.books = parts.books
    this.remote = parts.remote
    this.isReadOnly = parts.isReadOnly
    this.remote?.listen((error) => this.warn(error))
    this.#folder = join(settings.root, 'shards')
    this.readers = new Readers<T>(this)
    this.shardLength = this.books.head.shardLength
    const length = this.books.length()
    if (length?.final === true) this.length = length.value
  }

  // ---- what it knows ------------------------------------------------------------------------------------------------

  /** Throws `MILL_CLOSED`, `MILL_DATASET_RESET`. */
  check(): void {
    if (this.fault !== undefined) throw this.fault
  }

  /** A shard that isn't there can be made. */
  get canMake(): boolean {
    return this.settings.source !== undefined || this.remote !== undefined
  }

  startOf(k: number): number {
    return k * this.shardLength
  }

  pathOf(start: number, gen: number): string {
    return join(this.#folder, shardName(start, gen))
  }

  temporaryOf(lease: Lease): string {
    return join(this.#folder, temporaryName(lease.start, lease.gen, lease.token))
  }

  /** What the catalog says of a shard that is there. */
  recordOf(k: number): ShardRecord | undefined {
    const record = this.books.shard(this.startOf(k))
    return record?.state === 'ready' ? record : undefined
  }

  isReady(k: number): boolean {
    return (this.shardLength > 0 || k === 0) && this.recordOf(k) !== undefined
  }

  /** Another shard of the usual size fits without taking anybody's place. */
  hasRoom(): boolean {
    const { memoryLimit, shardBytes } = this.settings
    if (memoryLimit === undefined) return true
    const { bytes, cached } = this.books.totals()
    const usual = cached > 0 ? (bytes / cached) * this.shardLength : shardBytes
    return bytes + usual <= memoryLimit
  }

  /** Items that certainly are there: the end of the last full shard that was ever made. */
  provenEnd(): number {
    let end = 0
    for (const [start, record] of this.books.records()) {
      if (record.count === this.shardLength) end = start + record.count
    }
    return end
  }

  /** Items from the first on that are there, without a gap. */
  cachedPrefix(): number {
    let end = 0
    for (const [start, record] of this.books.records()) {
      if (start !== end || record.state !== 'ready') break
      end += record.count
    }
    return end
  }

  /** `start` lies at or beyond the end of the data. */
  isOutside(start: number): boolean {
    return this.length !== undefined && start >= this.length
  }

  /** The length, if it is final, as the catalog says now; told to those who listen when it has become known. */
  learnLength(): number | undefined {
    const { value, final } = this.books.length() ?? { value: 0, final: false }
    const before = this.length
    this.length = final ? value : undefined
    if (final && value !== before) this.events.emit('length', { length: value })
    return this.length
  }

  /** Takes over what another process has found out. */
  learn(): void {
    this.books.refresh()
    if (this.shardLength === 0) this.shardLength = this.books.head.shardLength
    this.learnLength()
  }

  // ---- what it tells ------------------------------------------------------------------------------------------------

  emit<E extends keyof LoadItEvents>(event: E, value: LoadItEvents[E]): void {
    this.events.emit(event, value)
  }

  warn(error: MillraceError): void {
    this.lastWarning = error
    this.events.emit('warning', error as LoadItEvents['warning'])
  }

  /** What a function of the user's threw where nobody waits for it. */
  asWarning(error: unknown): MillraceError {
    return asOurs(error, this.settings.root)
  }

  /** A warning that is told once, until {@link forget}. */
  warnOnce(topic: string, make: () => MillraceError): void {
    if (this.#told.has(topic)) return
    this.#told.add(topic)
    this.warn(make())
  }

  forget(topic: string): void {
    this.#told.delete(topic)
  }

  /** A shard is damaged, or its file has gone. Where it can be made again it counts as not there from now on. */
  spoilt(k: number, gen: number, reason: string): void {
    const start = this.startOf(k)
    this.readers.close(k)
    this.counts.corrupt++
    this.emit('corrupt', { start, reason })
    if (!this.canMake || gen === 0) return
    if (this.write(() => this.books.drop(start, gen)) === true) this.unlink(this.pathOf(start, gen))
  }

  /** Removed from the catalog by this process: their files go. */
  evicted(victims: readonly Victim[]): void {
    for (const { start, gen, bytes } of victims) {
      const k = this.shardLength > 0 ? start / this.shardLength : 0
      if (this.readers.genOf(k) === gen) this.readers.close(k)
      this.unlink(this.pathOf(start, gen))
      this.counts.evicted++
      this.emit('evicted', { start, gen, bytes })
    }
  }

  unlink(path: string): void {
    const done = this.kit.files.unlink(path).then(
      () => void this.#leftover.delete(path),
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'EBUSY' || error.code === 'EPERM') this.#leftover.add(path)
        else this.#leftover.delete(path)
      },
    )
    void this.kit.leaving(done)
  }

  // ---- the catalog --------------------------------------------------------------------------------------------------

  /**
   * A change of the books; undefined if they can't be written now (a full disk), of which one warning tells. Throws
   * `MILL_DATASET_RESET`.
   */
  write<R>(work: () => R): R | undefined {
    try {
      const result = work()
      this.forget('catalog')
      return result
    } catch (error) {
      const code = (error as { code?: unknown }).code
      if (code === 'MILL_DATASET_RESET' || code === 'MILL_CLOSED' || code === 'MILL_INVALID_ARGUMENT') {
        if (code === 'MILL_DATASET_RESET') this.fault ??= error as MillraceError
        throw error
      }
      this.warnOnce('catalog', () => {
        const path = join(this.settings.root, 'catalog.mdb')
        if (!isFull(error)) return asOurs(error, path)
        return new LoadItError('MILL_DISK_FULL', `${path}: no room for the catalog`, { path, cause: error })
      })
      return undefined
    }
  }

  held(lease: Lease): void {
    this.#leases.add(lease)
    this.#renewing ??= setInterval(() => this.#renew(), this.settings.leaseMs / 3).unref()
  }

  dropped(lease: Lease): void {
    this.#leases.delete(lease)
    if (this.#leases.size > 0) return
    clearInterval(this.#renewing)
    this.#renewing = undefined
  }

  release(lease: Lease | undefined): void {
    if (lease === undefined) return
    this.dropped(lease)
    try {
      this.write(() => this.books.release(lease))
    } catch {
      // Nothing of ours is left there, or it will be taken over.
    }
  }

  /** A lost lease shows when its shard is published. */
  #renew(): void {
    try {
      this.write(() => this.books.renew([...this.#leases]))
    } catch {
      // Said by the next call.
    }
  }

  // ---- once a second, while there is anything to look after ---------------------------------------------------------

  work(): void {
    this.#looking ??= setInterval(() => this.look(), LOOK_MS).unref()
  }

  look(): void {
    if (this.fault !== undefined) return
    try {
      this.learn()
      this.books.check()
      this.readers.look(this.#uses)
      for (const path of this.#leftover) this.unlink(path)
      if (++this.#looks >= LOOKS_PER_STAMP) this.stamp()
      if (this.readers.size === 0 && this.#uses.size === 0 && this.#leftover.size === 0) this.#rest()
    } catch (error) {
      if ((error as { code?: unknown }).code === 'MILL_DATASET_RESET') this.fault ??= error as MillraceError
      else this.warnOnce('catalog', () => asOurs(error, this.settings.root))
    }
  }

  /** Writes the use stamps that have come together. */
  stamp(): void {
    this.#looks = 0
    if (this.#uses.size === 0) return
    const uses = new Map(this.#uses)
    this.#uses.clear()
    this.write(() => this.books.touch(uses))
  }

  #rest(): void {
    clearInterval(this.#looking)
    this.#looking = undefined
  }

  /** Nothing works from now on; stamps are written, leases have been given back by who had them. */
  async close(): Promise<void> {
    try {
      this.readers.look(this.#uses)
      this.stamp()
    } catch {
      // Stamps are only a hint.
    }
    clearInterval(this.#renewing)
    this.#rest()
    this.readers.closeAll()
    await this.kit.close()
    await this.books.close()
  }
}
