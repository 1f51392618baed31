import { type MillraceError, StoreError } from '../base/errors.js'
import { unpackFailure } from './failure.js'
import {
  APPLY,
  BROKEN,
  CLOSE,
  DONE,
  DROP,
  encodeJson,
  FAILED,
  LOCKED,
  OPEN,
  type OpenBody,
  READY,
  STARTED,
  unpackParts,
} from './frames.js'
import { LockWatch } from './lock-watch.js'
import { bodyOf, type Request, RequestQueue } from './request-queue.js'
import { SideChild, type SideEnd } from './side-child.js'
import { sideLost } from './side-run.js'
import { readRecord } from './writer-record.js'

/** Deaths of the side process in a row, without anything done, until what was sent is rejected. */
const DEATHS = 3
/** Time for the side process to tidy up at the end, in milliseconds. */
const LAST_WORK = 2000

const NOTHING = new Uint8Array(0)

/** What the writer needs of the folder. */
export interface WriterHost {
  readonly path: string
  /** Milliseconds without the write lock after which a write is rejected. */
  readonly lockTimeoutMs: number
  /** What a new side process gets to start with. */
  startArguments(): object
  /** The record of this writer's last transaction, as of now. */
  record(): Uint8Array | undefined
  /** Something was committed: reads shall see it. */
  committed(): void
}

/**
 * This process' side of writing to a folder: sends requests to a side process, in order, as few large transactions, and
 * sees to it that each is done exactly once or rejected, whatever happens to the side process.
 *
 * Of requests without an answer only those of the last transaction can have been committed: every answer before it lies
 * in the pipe, which outlives the process. What that transaction was stands in the folder, written by itself (the
 * record). A process that dies between the end of its commit and telling other processes leaves it unseen until
 * somebody has the lock again: so requests that are sent again are compared with the record once more, within the first
 * transaction of the new side process, and none is given up before.
 */
export class Writer {
  readonly #host: WriterHost
  readonly #program: URL
  readonly #requests = new RequestQueue()
  readonly #watch: LockWatch
  #side: SideChild | undefined
  /** A look at what is to be sent is due. */
  #pumping = false
  /** The side process runs, and may be waiting for the lock. */
  #up = false
  #locked = false
  #starts = 0
  #restarts = 0
  #deaths = 0
  /** The side process was told to end: because it may have missed its turn, or because all of the time is over. */
  #killing: 'stuck' | 'late' | undefined
  /** It can't open the folder, and ends. */
  #unusable: MillraceError | undefined
  /** Its environment broke while it did everything up to a sequence, and it ends. */
  #broken: { readonly sequence: number; readonly error: MillraceError } | undefined
  /** What those that were sent are rejected with as soon as it is certain which of them are not done. */
  #verdict: MillraceError | undefined
  /** It will be seen whether this process may end. */
  #releasing = false
  #idle: (() => void)[] = []
  #closing: Promise<void> | undefined

  constructor(host: WriterHost, program = new URL('./side-process.js', import.meta.url)) {
    this.#host = host
    this.#program = program
    this.#watch = new LockWatch(host.lockTimeoutMs, (late) => {
      this.#killing = late ? 'late' : 'stuck'
      this.#side?.kill()
    })
  }

  get state(): 'none' | 'idle' | 'waiting' | 'writing' {
    if (!this.#requests.isEmpty) return this.#locked ? 'writing' : 'waiting'
    return this.#side === undefined ? 'none' : 'idle'
  }

  /** How often a side process was started in the place of one that was gone. */
  get restarts(): number {
    return this.#restarts
  }

  get pendingBytes(): number {
    return this.#requests.bytes
  }

  /**
   * Applies operations (see `operations.ts`), which must stay as they are until the promise settles. An abort rejects
   * what was not sent yet.
   */
  apply(operations: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    return this.#request(APPLY, operations, signal)
  }

  /** Makes a table, or makes sure that the folder is there. */
  async open(body: OpenBody): Promise<void> {
    await this.#request(OPEN, encodeJson(body))
  }

  /** Tells a side process that runs what a number means; a new one learns it when it starts. */
  bind(body: OpenBody): void {
    this.#side?.send(OPEN, 0, encodeJson(body))
  }

  /** Removes a table; false: it was not there. */
  async drop(body: OpenBody): Promise<boolean> {
    const [done] = await this.#request(DROP, encodeJson(body))
    return done === 1
  }

  /** Resolves when nothing is under way. */
  flushed(): Promise<void> {
    if (this.#requests.isEmpty) return Promise.resolve()
    return new Promise((resolve) => void this.#idle.push(resolve))
  }

  /** Waits for what is under way, then ends the side process. Nothing may be asked for any more. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.flushed()
    const side = this.#side
    if (side === undefined) return
    side.ref()
    side.send(CLOSE, 0)
    side.end()
    // Tidying up takes the lock, and nobody is obliged to give it: its record is then swept by another, later.
    const timer = setTimeout(() => side.kill(), LAST_WORK)
    await side.ended
    clearTimeout(timer)
  }

  // ---- requests ----------------------------------------------------------------------------------------------------

  #request(type: number, bytes: Uint8Array, signal?: AbortSignal): Promise<Uint8Array> {
    const answer = this.#requests.ask(type, bytes, signal, () => this.#next())
    if (!this.#pumping) {
      // What comes in one piece of work becomes one transaction.
      this.#pumping = true
      queueMicrotask(() => {
        this.#pumping = false
        this.#pump()
      })
    }
    return answer
  }

  /** Sends what should be sent now. */
  #pump(): void {
    // One that ends gets nothing more; one that is to say what the last one did gets nothing yet.
    while (this.#killing === undefined && this.#verdict === undefined) {
      const waited = this.#requests.hasSent
      const group = this.#requests.next()
      if (group === undefined) return
      const side = this.#side ?? this.#start()
      const { type, sequence } = group[0] as Request
      side.send(type, sequence, ...bodyOf(group))
      if (waited) continue
      side.ref()
      if (this.#up) this.#watch.tries()
    }
  }

  #start(): SideChild {
    if (this.#starts++ > 0) this.#restarts++
    const side = new SideChild(this.#program, this.#host.startArguments(), {
      frame: (type, sequence, body) => this.#frame(type, sequence, body),
      end: (how) => this.#ended(how),
    })
    this.#side = side
    return side
  }

  /** Something was settled: on with the next. */
  #next(): void {
    this.#locked = false
    this.#watch.over()
    this.#pump()
    if (this.#requests.hasSent && this.#up && this.#killing === undefined) this.#watch.tries()
    if (!this.#requests.isEmpty) return
    // Not at once: who has waited for this may go on with more, and each change takes 4 µs.
    if (!this.#releasing) {
      this.#releasing = true
      setImmediate(this.#release)
    }
    for (const idle of this.#idle.splice(0)) idle()
  }

  /** Nothing is under way: this process need not live for the other one. */
  readonly #release = (): void => {
    this.#releasing = false
    if (this.#requests.isEmpty && this.#closing === undefined) this.#side?.unref()
  }

  // ---- answers -----------------------------------------------------------------------------------------------------

  #frame(type: number, sequence: number, body: Uint8Array): void {
    switch (type) {
      case STARTED:
        this.#up = true
        if (this.#requests.hasSent && this.#killing === undefined) this.#watch.tries()
        break
      case LOCKED:
        // Just in time: it may get it done.
        if (this.#killing === 'late') this.#killing = 'stuck'
        this.#locked = true
        this.#watch.over()
        break
      case READY:
        if (sequence > 0) this.#settle(this.#requests.take(sequence), [])
        else if (this.#verdict !== undefined) this.#condemn()
        this.#next()
        break
      case DONE:
        this.#settle(this.#requests.take(sequence), unpackParts(body))
        this.#next()
        break
      case FAILED:
        if (sequence === 0) this.#unusable = unpackFailure(body)
        else {
          this.#reject(this.#requests.take(sequence), unpackFailure(body))
          this.#next()
        }
        break
      case BROKEN:
        this.#broken = { sequence, error: unpackFailure(body) }
        break
    }
  }

  /** These are done. The last of them have these results, those before them have none. */
  #settle(done: readonly Request[], results: readonly Uint8Array[]): void {
    if (done.length === 0) return
    this.#deaths = 0
    this.#host.committed()
    const without = done.length - results.length
    // Copies: what came in from the pipe is a large piece of memory.
    for (let i = 0; i < done.length; i++) done[i]?.resolve(results[i - without]?.slice() ?? NOTHING)
  }

  #reject(requests: readonly Request[], error: unknown): void {
    if (requests.length > 0) this.#deaths = 0
    for (const request of requests) request.reject(error)
  }

  // ---- the end of a side process -----------------------------------------------------------------------------------

  #ended(how: SideEnd): void {
    const killing = this.#killing
    const unusable = this.#unusable
    const broken = this.#broken
    this.#side = undefined
    this.#up = false
    this.#locked = false
    this.#killing = undefined
    this.#unusable = undefined
    this.#broken = undefined
    this.#watch.pause()
    this.#settleByRecord()
    if (this.#requests.isEmpty) {
      this.#next()
      return
    }
    if (broken !== undefined) this.#requests.divide(broken.sequence)?.reject(broken.error)
    else if (unusable !== undefined) this.#reject(this.#requests.takeAll(), unusable)
    else if (killing === 'late') this.#reject(this.#requests.take(), this.#verdict ?? this.#lateError())
    else if (killing === undefined) this.#died(how)
    if (killing !== 'stuck') this.#watch.over()
    if (this.#verdict !== undefined && this.#requests.hasSent) {
      this.#start().ref()
      return
    }
    this.#verdict = undefined
    this.#requests.putBack()
    this.#pump()
    if (this.#requests.isEmpty) this.#next()
  }

  #died(how: SideEnd): void {
    if (how.error !== undefined) this.#reject(this.#requests.takeAll(), sideLost(this.#host.path, how))
    // Nothing of it is sent again. But whether its last commit was done is certain only when another has had the lock.
    else if (++this.#deaths === DEATHS) this.#verdict = sideLost(this.#host.path, how)
    else if (this.#deaths > DEATHS) this.#reject(this.#requests.take(), this.#verdict)
  }

  /** A new process has had the lock: everybody can see now what the one before it has committed. */
  #condemn(): void {
    this.#settleByRecord()
    this.#reject(this.#requests.take(), this.#verdict)
    this.#verdict = undefined
  }

  /** The last transaction may be on the disk though nobody could say so. */
  #settleByRecord(): void {
    if (!this.#requests.hasSent) return
    let record: Uint8Array | undefined
    try {
      record = this.#host.record()
    } catch (error) {
      // What became of them can't be told, so none may be sent again.
      this.#reject(this.#requests.take(), error)
    }
    if (record === undefined) return
    const { sequence, results } = readRecord(record)
    this.#settle(this.#requests.take(sequence), results)
  }

  #lateError(): StoreError {
    const { path } = this.#host
    const waitedMs = Math.round(this.#watch.waited)
    const message = `${path}: another process has held the write lock for ${waitedMs} ms; nothing of this was written`
    return new StoreError('MILL_LOCKED', message, { path, waitedMs })
  }
}
