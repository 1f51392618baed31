import type { Emits } from '../../types/source.js'
import { onAbort } from '../base/abort.js'
import { ArgumentError, StreamError } from '../base/errors.js'
import { asError, type Callback, goOn, ignore, prematureClose, type ReadMachine, translate } from './machine.js'
import { Outbox } from './outbox.js'
import { piecesOf, weigh } from './shape.js'
import { Tap, type Tapped } from './tap.js'

/** Bytes that may wait in a stream before its source is made to wait. Node's own default differs between versions. */
export const HIGH_WATER_MARK = 65536

/** Who takes the items: nobody yet, a tap, or event listeners (`'data'`, `'readable'`, `read()`). */
export const NOBODY = 0
export const TAP = 1
export const EVENTS = 2

/** Options that all our streams understand. */
export interface FaceOptions {
  readonly signal?: AbortSignal | undefined
  readonly highWaterMark?: number | undefined
}

/** `options.highWaterMark` as a number of bytes. Throws `MILL_INVALID_ARGUMENT`. */
export function checkMark(mark: unknown): number {
  if (mark === undefined) return HIGH_WATER_MARK
  if (typeof mark === 'number' && mark >= 0 && (Number.isSafeInteger(mark) || mark === Number.POSITIVE_INFINITY))
    return mark
  throw new ArgumentError('options.highWaterMark', 'a number of bytes >= 0', mark)
}

/** streamx keeps at most one item of its own: ours wait in the outbox, where all kinds of consumers find them. */
const MACHINE_OPTIONS = { highWaterMark: 1, byteLength: () => 1 }

/**
 * The inside of {@link readSide}: items on their way from a source, through the outbox, to whoever takes them, and the end
 * or the fault behind the last one. Nothing is pulled before somebody reads.
 */
export function readCore(Base: typeof ReadMachine) {
  abstract class ReadCore extends Base implements Tapped<unknown> {
    readonly _outbox = new Outbox<unknown>()
    _mark: number
    _mode = NOBODY
    _tap: Tap<unknown> | undefined = undefined
    /** No more items will be offered. */
    _complete = false
    /** The last item has been taken; `'end'` is out or on its way. */
    _finished = false
    /** What comes after the last item instead of the end. */
    _fault: Error | undefined = undefined
    _failure: { readonly error: Error | undefined } | undefined = undefined
    _held: Callback | undefined = undefined
    _pipedTo: Emits | undefined = undefined
    _paused = false
    _waking = false
    _decode: ((bytes: Uint8Array[] | undefined) => string) | undefined = undefined
    /** Items are bytes: `toNode()` need not be in object mode. */
    _carriesBytes = false
    _forgetSignal: () => void = ignore

    constructor(options: FaceOptions = {}) {
      super(MACHINE_OPTIONS)
      this._mark = checkMark(options.highWaterMark)
      this.on('newListener', useEvents)
    }

    // ---- for subclasses ------------------------------------------------------------------------------------------

    /** Somebody wants items and none is there: offer some, now or later. May be called again before that. */
    abstract _pull(): void

    /** Less than half of the mark waits: a paused source may go on. */
    _eased(): void {}

    /** The stream was destroyed before its end: let go of the source. A promise is waited for before `'close'`. */
    _stop(_error: Error | undefined): PromiseLike<unknown> | undefined {
      return undefined
    }

    /** Ends the stream with the signal's reason. To be called last in a constructor. */
    _bind(signal: AbortSignal | undefined): void {
      this._forgetSignal = onAbort(signal, (reason) => this.destroy(asError(reason)))
    }

    /** Takes an item in; false when enough is waiting. */
    _offer(item: unknown, weight = weigh(item)): boolean {
      if (this._decode === undefined) this._outbox.add(item, weight)
      else {
        const text = this._decode(piecesOf(item))
        if (text !== '') this._outbox.add(text, weight)
      }
      this._wake()
      return this._outbox.weight < this._mark
    }

    /** No more items. */
    _finish(): void {
      if (this._complete) return
      const rest = this._decode?.(undefined)
      if (rest) this._outbox.add(rest, weigh(rest))
      this._complete = true
      if (this._outbox.size > 0) this._wake()
      else if (this._tap?.waiting === true || (this._mode === EVENTS && this._held !== undefined)) this._settle()
    }

    /** No more items: the error comes after those that wait. */
    _fail(error: unknown): void {
      if (this._complete) return
      this._complete = true
      this._fault = asError(error)
      if (this._outbox.size === 0) this._settle()
    }

    // ---- between the outbox and its consumer -----------------------------------------------------------------------

    _wake(): void {
      if (this._tap !== undefined) this._tap.wake(true)
      else if (this._held !== undefined && this._mode === EVENTS) this._wakeEvents()
    }

    _refill(): void {
      if (this._failure !== undefined || this._finished) return
      if (this._complete) this._settle()
      else this._pull()
    }

    _taken(): void {
      // A tap's consumer is through with its items only when it asks again: an end or a fault waits until then.
      if (this._complete) {
        if (this._mode === EVENTS && this._fault === undefined) this._settle()
      } else if (this._mark > 1 && this._outbox.weight * 2 <= this._mark) this._eased()
    }

    _settle(): void {
      if (!this._complete || this._outbox.size > 0 || this._finished || this._failure !== undefined) return
      if (this._fault !== undefined) {
        this.destroy(this._fault)
        return
      }
      this._finished = true
      super.push(null)
      this._release()()
      this._tap?.wake(false)
      goOn(this)
    }

    _release(): Callback {
      const held = this._held ?? ignore
      this._held = undefined
      return held
    }

    override _read(done: Callback): void {
      // streamx reads ahead as soon as anything happens; we answer only once somebody listens.
      if (this._mode === EVENTS) this._feed(done)
      else this._held = done
    }

    _feed(done: Callback): void {
      if (this._outbox.size === 0) this._refill()
      const item = this._outbox.shift()
      if (item !== undefined) {
        super.push(item)
        this._taken()
      } else {
        if (this._complete) this._settle() // the refill may have brought the end instead of an item
        if (!this._finished && this._failure === undefined) {
          this._held = done
          return
        }
      }
      done(null)
    }

    /** Becomes the one consumer. Throws `MILL_ALREADY_READING`. */
    _claim(): Tap<unknown> {
      const tap = new Tap<unknown>(this)
      if (this._finished) return tap
      if (this._failure !== undefined) {
        if (!this.destroyed) this.on('error', ignore)
        return tap
      }
      if (this._mode !== NOBODY) throw alreadyReading()
      this._mode = TAP
      this._tap = tap
      this.on('error', ignore) // the consumer gets it
      return tap
    }

    _untap(): void {
      if (this._tap === undefined) return
      this._tap = undefined
      this._mode = NOBODY
      this.off('error', ignore)
    }

    _useEvents(): void {
      if (this._mode === EVENTS) return
      if (this._mode === TAP) throw alreadyReading()
      this._mode = EVENTS
      if (this._held !== undefined) this._wakeEvents()
    }

    /** Listeners are called from a microtask of their own: what they throw is theirs, not a fault of a parser. */
    _wakeEvents(): void {
      if (this._waking) return
      this._waking = true
      queueMicrotask(() => {
        this._waking = false
        if (this._held !== undefined) this._feed(this._release())
      })
    }

    // ---- the machine's hooks ---------------------------------------------------------------------------------------

    override destroy(error?: Error | null): void {
      if (this.destroying) return
      const known = translate(error)
      this._failure = { error: known }
      super.destroy(known)
    }

    override _predestroy(): void {
      this._release()(null)
      this._outbox.clear()
      if (!this._finished) this._tap?.fail(this._failure?.error ?? prematureClose())
    }

    override _destroy(done: Callback): void {
      this._forgetSignal()
      // The error that destroyed us comes first; one of the source's own is told only when there is none.
      const failed = (error: unknown): void => done(this._failure?.error === undefined ? asError(error) : null)
      let stopped: PromiseLike<unknown> | undefined
      try {
        stopped = this._finished && this._failure === undefined ? undefined : this._stop(this._failure?.error)
      } catch (error) {
        failed(error)
        return
      }
      if (stopped === undefined) done(null)
      else stopped.then(() => done(null), failed)
    }
  }
  return ReadCore
}

function alreadyReading(): StreamError {
  return new StreamError(
    'MILL_ALREADY_READING',
    'This stream already has a consumer: one loop, one destination or one set of listeners',
  )
}

function useEvents(this: { _useEvents(): void }, event: string | symbol): void {
  if (event === 'data' || event === 'readable') this._useEvents()
}
