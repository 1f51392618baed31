import type { DirectWrites, LocalStore } from '../../types/store.js'
import { StoreError } from '../base/errors.js'
import { Mutex } from '../base/mutex.js'
import { ARENA_BYTES } from '../store/operations.js'
import { Overlay } from './overlay.js'
import { Request } from './request.js'

/** Bytes that may be with the store and not answered: so much keeps it busy, more would only lie there. */
const IN_FLIGHT = 4 * ARENA_BYTES
/** What an arena begins with when little is written; it grows. */
const LEAST = 4096

const committers = new WeakMap<LocalStore, Committer>()

/** The one committer of a store. */
export function committerOf(store: LocalStore): Committer {
  let committer = committers.get(store)
  if (committer === undefined) {
    committer = new Committer(store)
    committers.set(store, committer)
  }
  return committer
}

/**
 * Gathers the writes of all maps over one store into arenas and sends them, in the order of the calls. Nothing under way:
 * an arena goes in a microtask. Something under way: when it is full, or when an answer comes. So what is set in one go
 * is one transaction, and under load everything that came while the last one ran: group commit without a timer.
 */
export class Committer {
  readonly store: LocalStore
  /** Transactions of this process queue up, so that they lose against other processes only. */
  readonly transactions = new Mutex()
  readonly #overlays = new Map<number, Overlay>()
  #current: Request | undefined
  /** Full, not sent. */
  readonly #sealed: Request[] = []
  /** What came after a {@link hold} began, while it lasts. */
  #held: Request[] | undefined
  readonly #unsettled = new Set<Request>()
  #flying = 0
  #flyingBytes = 0
  /** More than one was under way: the store may have made one transaction of them. */
  #overlapped = false
  #pendingBytes = 0
  #scheduled = false
  #lastLength = 0
  #waiting: (() => void)[] = []
  /** Within {@link transact}: what was done so far, to be answered at its end. */
  #inside: { readonly direct: DirectWrites; readonly done: [Request, Uint8Array][]; fault: unknown } | undefined
  /** Transaction of the store that our own writes explain, and how often there was another. */
  #knownId: number
  #foreign = 0

  constructor(store: LocalStore) {
    this.store = store
    this.#knownId = store.transactionId
  }

  /** Bytes of operations that are not on the disk. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  overlay(table: number): Overlay {
    let overlay = this.#overlays.get(table)
    if (overlay === undefined) {
      overlay = new Overlay()
      this.#overlays.set(table, overlay)
    }
    return overlay
  }

  // ---- operations come in -------------------------------------------------------------------------------------------

  /** Where the next operation goes; say {@link added} when it is there. */
  request(): Request {
    // Somebody is writing into this one right now, and the code that makes his bytes has called us.
    if (this.#current !== undefined && this.#current.writers > 0) this.#seal()
    if (this.#current === undefined) {
      this.#current = new Request(Math.max(LEAST, Math.min(ARENA_BYTES, 2 * this.#lastLength)))
    }
    return this.#current
  }

  /** A request with nothing in it, for an operation that the current one has no room for. */
  fresh(): Request {
    // Full ones go together when this piece of work is over: together they can be one transaction.
    this.#close()
    this.#schedule()
    this.#lastLength = ARENA_BYTES
    return this.request()
  }

  /**
   * From here to {@link written} bytes are written into this request that are no operation yet. Encoding may run code of
   * the user's, a getter, which may write to this very map: that goes into another request, behind this one.
   */
  writing(request: Request): void {
    request.writers++
  }

  written(request: Request): void {
    request.writers--
    if (request.writers === 0 && request !== this.#current) this.#pump()
  }

  /** Something was appended to the request. */
  added(request: Request): void {
    const { length } = request.arena
    if (request.counted === 0) this.#unsettled.add(request)
    this.#pendingBytes += length - request.counted
    request.counted = length
    if (this.#inside !== undefined) this.#applyInside(request)
    else {
      if (length >= ARENA_BYTES) this.#close()
      this.#schedule()
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#held !== undefined || (this.#flying > 0 && this.#sealed.length === 0)) return
    this.#scheduled = true
    queueMicrotask(this.#go)
  }

  readonly #go = (): void => {
    this.#scheduled = false
    if (this.#flying === 0) this.#seal()
    else this.#pump()
  }

  /** Nothing more goes into the current request. */
  #close(): void {
    const request = this.#current
    if (request === undefined || (request.arena.count === 0 && request.writers === 0)) return
    this.#current = undefined
    const list = this.#held ?? this.#sealed
    list.push(request)
  }

  /** The same, and it is sent as soon as that is possible. */
  #seal(): void {
    this.#close()
    this.#pump()
  }

  // ---- and go out ---------------------------------------------------------------------------------------------------

  #pump(): void {
    for (;;) {
      const next = this.#sealed[0]
      if (
        next === undefined ||
        next.writers > 0 ||
        (this.#flying > 0 && this.#flyingBytes + next.arena.length > IN_FLIGHT)
      )
        return
      this.#sealed.shift()
      this.#send(next)
    }
  }

  #send(request: Request): void {
    const { arena } = request
    if (arena.count === 0) return // what was to be written into it could not be encoded
    if (++this.#flying > 1) this.#overlapped = true
    this.#flyingBytes += arena.length
    this.#lastLength = arena.length
    let answer: Promise<Uint8Array>
    try {
      // Who writes by blocking has written when it returns: that is what `transact` relies on.
      answer = this.store.write(arena)
    } catch (error) {
      answer = Promise.reject(error)
    }
    answer.then(
      (results) => this.#landed(request, results, undefined),
      (cause) => this.#landed(request, undefined, { cause }),
    )
  }

  #landed(request: Request, results: Uint8Array | undefined, fault: { readonly cause: unknown } | undefined): void {
    if (results !== undefined) this.#explain(request.changesSurely && !this.#overlapped)
    if (--this.#flying === 0) this.#overlapped = false
    this.#flyingBytes -= request.arena.length
    this.#pendingBytes -= request.counted
    this.#unsettled.delete(request)
    request.uncover(fault !== undefined)
    // The next ones first: they are on their way while everybody is told.
    if (this.#sealed.length === 0 && this.#held === undefined) this.#seal()
    else this.#pump()
    if (results === undefined) request.reject(fault?.cause)
    else request.resolve(results)
    this.#makeRoom()
  }

  // ---- waiting ------------------------------------------------------------------------------------------------------

  /** Resolves once everything that was written so far is on the disk, or its promise has rejected. Never rejects. */
  async flush(): Promise<void> {
    if (this.#unsettled.size > 0) await Promise.all([...this.#unsettled].map(settled))
  }

  /** Undefined while a stream may go on writing, else a promise of that. */
  room(): Promise<void> | undefined {
    if (this.#pendingBytes < IN_FLIGHT) return undefined
    return new Promise<void>((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  #makeRoom(): void {
    if (this.#waiting.length === 0 || this.#pendingBytes >= IN_FLIGHT) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /**
   * Runs `work` at a moment when everything that was called before is settled and nothing that was called since has been
   * sent. What `work` writes goes out before that.
   */
  async hold<R>(work: () => R): Promise<R> {
    this.#seal()
    const before = [...this.#unsettled]
    const held: Request[] = []
    this.#held = held
    try {
      await Promise.all(before.map(settled))
      this.#seal()
      this.#held = undefined
      return work()
    } finally {
      this.#held = undefined
      this.#seal()
      this.#sealed.push(...held)
      this.#pump()
    }
  }

  // ---- in this thread, at once --------------------------------------------------------------------------------------

  /** Runs `work` as one transaction of a store that writes by itself. Throws `MILL_UNSUPPORTED` for one that does not. */
  transact<R>(work: () => R): R {
    const { direct } = this.store
    if (direct === undefined) {
      throw new StoreError(
        'MILL_UNSUPPORTED',
        "transactionSync() needs a map opened with writer: 'inline', or in memory",
      )
    }
    if (this.#inside !== undefined) return work()
    this.#sendAll()
    const inside = { direct, done: [] as [Request, Uint8Array][], fault: undefined as unknown }
    try {
      const result = direct.transact(() => {
        this.#inside = inside
        try {
          const made = work()
          // A write that failed in here was answered by a promise nobody may have looked at.
          if (inside.fault !== undefined) throw (inside.fault as { cause: unknown }).cause
          return made
        } finally {
          this.#inside = undefined
        }
      })
      this.#explain(inside.done.some(([request]) => request.changesSurely))
      for (const [request, results] of inside.done) request.resolve(results)
      return result
    } catch (error) {
      for (const [request] of inside.done) request.reject(error, true)
      // What was read inside may have been kept by somebody: it never was.
      for (const overlay of this.#overlays.values()) overlay.version++
      throw error
    }
  }

  /** All that waits is written now: what is read in a transaction lies in the table. */
  #sendAll(): void {
    if ([...this.#sealed, ...(this.#held ?? []), this.#current].some((request) => (request?.writers ?? 0) > 0)) {
      throw new StoreError('MILL_UNSUPPORTED', 'transactionSync() can not begin while a value is being encoded')
    }
    for (const list of [this.#sealed, this.#held ?? []]) {
      for (const request of list.splice(0)) this.#send(request)
    }
    const request = this.#current
    this.#current = undefined
    if (request !== undefined && request.arena.count > 0) this.#send(request)
    for (const sent of this.#unsettled) sent.uncover(false)
  }

  #applyInside(request: Request): void {
    const inside = this.#inside
    if (request === this.#current) this.#current = undefined
    else this.#sealed.splice(this.#sealed.indexOf(request), 1)
    this.#unsettled.delete(request)
    this.#pendingBytes -= request.counted
    if (inside === undefined) return
    try {
      inside.done.push([request, inside.direct.apply(request.arena)])
      request.uncover(false)
    } catch (cause) {
      inside.fault ??= { cause }
      request.uncover(true)
      request.reject(cause, true)
    }
  }

  // ---- who else writes ----------------------------------------------------------------------------------------------

  /** Counts up when somebody else has committed since it was asked last; a number to compare. */
  foreignCommits(): number {
    const id = this.store.transactionId
    if (id !== this.#knownId) {
      this.#knownId = id
      this.#foreign++
    }
    return this.#foreign
  }

  /**
   * After a write of ours: one transaction more is ours, if it surely made one, and one of its own; whatever can't be told
   * apart counts as somebody else's.
   */
  #explain(isOurs: boolean): void {
    const id = this.store.transactionId
    if (id - this.#knownId > (isOurs ? 1 : 0)) this.#foreign++
    this.#knownId = id
  }
}

function settled(request: Request): Promise<void> {
  return new Promise<void>((resolve) => request.onSettled(() => resolve()))
}
