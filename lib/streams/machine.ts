import { Duplex, Readable, Writable } from 'streamx'
import type { Emits } from '../../types/source.js'
import { AbortError, StreamError } from '../base/errors.js'

/** Called when an operation of the state machine is done, with the error if it failed. */
export type Callback = (error?: Error | null) => void

/** The parts of a streamx stream that we build on. Its own types stay in this file. */
export interface Machine extends Emits {
  readonly destroyed: boolean
  readonly destroying: boolean
  destroy(error?: Error | null): void
  _predestroy(): void
  _destroy(done: Callback): void
}
/** The read side. */
export interface ReadMachine extends Machine {
  get readable(): boolean
  push(item: unknown): boolean
  read(): unknown
  resume(): this
  pause(): this
  unshift(item: unknown): void
  _read(done: Callback): void
}
/** The write side. */
export interface WriteMachine extends Machine {
  get writable(): boolean
  write(item: unknown): boolean
  end(item?: unknown): this
  _writev(items: unknown[], done: Callback): void
  _final(done: Callback): void
}

export const ReadMachine = Readable as unknown as new (options: object) => ReadMachine
export const WriteMachine = Writable as unknown as new (options: object) => WriteMachine
export const DuplexMachine = Duplex as unknown as new (options: object) => ReadMachine & WriteMachine

/**
 * Lets a machine go on that nobody may have opened yet: it emits what it holds, and `'end'`, only then. Its `read()`
 * would do so too, but take the last item away from whoever listens for `'readable'`.
 */
export function goOn(machine: ReadMachine): void {
  ;(machine as unknown as { readonly _readableState: { updateNextTick(): void } })._readableState.updateNextTick()
}

/** The error for whoever still waits on a stream that was closed without one. */
export function prematureClose(cause?: unknown): StreamError {
  const message = 'The stream was closed before its end'
  return new StreamError('MILL_PREMATURE_CLOSE', message, cause === undefined ? undefined : { cause })
}

const wrapped = new WeakSet<Error>()

/** What a stream can be destroyed with: anything thrown, but falsy values have to be wrapped on the way. */
export function asError(thrown: unknown): Error {
  if (thrown) return thrown as Error
  const error = new AbortError('The operation was aborted', { cause: thrown })
  wrapped.add(error)
  return error
}

/** What was thrown, as it was before {@link asError}. */
export function original(error: Error): unknown {
  return wrapped.has(error) ? error.cause : error
}

/**
 * streamx's own codes in our words: a premature close becomes ours, an abort ours, and a destroy without a reason
 * no error at all. Everything else is a user's error and stays the object it is.
 */
export function translate(error: Error | null | undefined): Error | undefined {
  if (error === null || error === undefined) return undefined
  if (error.name !== 'StreamError') return error
  switch ((error as { code?: unknown }).code) {
    case 'STREAM_DESTROYED':
      return undefined
    case 'PREMATURE_CLOSE':
      return prematureClose()
    case 'ABORTED':
      return new AbortError()
    default:
      return error
  }
}

/** For errors that reach their user by another way (a promise, a destination) and must not end the process as well. */
export const ignore = (): void => {}

/** Resolves when the stream has closed, whatever way it went. */
export function closed(stream: {
  readonly destroyed: boolean
  once(event: string, listener: () => void): unknown
}): Promise<void> {
  return new Promise((resolve) => {
    if (stream.destroyed) resolve()
    else stream.once('close', resolve)
  })
}

interface PipedSource extends Emits {
  readonly writable?: boolean
  readonly socket?: unknown
  destroy?(): void
}

/**
 * Node's `pipe()` forgets its destination when the source fails or goes away: the destination would wait for ever.
 * Streams of ours are destroyed with the source's error instead. The other way round, a source that can only be read is
 * destroyed when its destination is: it would stay open, paused, for good. One that can be answered (a socket, the
 * request of an HTTP server) is left to its owner.
 */
export function followPipes(stream: Machine): void {
  stream.on('pipe', (source: PipedSource) => {
    let ended = false
    const onEnd = (): void => {
      ended = true
    }
    const onError = (error: Error): void => stream.destroy(error)
    const onClose = (): void => {
      forget()
      if (!ended) stream.destroy(prematureClose())
    }
    const onGone = (): void => {
      forget()
      // Later: Node's pipeline() wants to be first, and waits for ever on a source that went without its error.
      if (!ended && source.writable !== true && source.socket === undefined) queueMicrotask(() => source.destroy?.())
    }
    // Node's pipe() takes itself off when its destination fails, and before our 'close'.
    const onUnpipe = (from: unknown): void => {
      if (from !== source) return
      if (stream.destroying) onGone()
      else forget()
    }
    const forget = (): void => {
      source.off('end', onEnd)
      source.off('error', onError)
      source.off('close', onClose)
      stream.off('unpipe', onUnpipe)
      stream.off('close', onGone)
    }
    source.on('end', onEnd)
    source.on('error', onError)
    source.on('close', onClose)
    stream.on('unpipe', onUnpipe)
    stream.on('close', onGone)
  })
}
