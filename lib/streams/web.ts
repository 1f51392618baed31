import type { Listener } from '../../types/source.js'
import { ArgumentError } from '../base/errors.js'
import { asError, type Callback, closed, prematureClose } from './machine.js'
import { piecesOf } from './shape.js'
import type { Tap } from './tap.js'

/** What `toWeb()` of a readable side takes. */
export interface WebReadOptions {
  type?: 'bytes'
  highWaterMark?: number
}

/** Size of the view a byte stream hands us where the reader brings none: as large as a read of a socket or file. */
const CHUNK = 65536

/** A Web stream of a tap's items. Nothing is read ahead unless asked for: each item is taken when it is wanted. */
export function webReadable(tap: Tap<unknown>, options: WebReadOptions = {}): ReadableStream<unknown> {
  if (options.type !== undefined && options.type !== 'bytes')
    throw new ArgumentError('options.type', "'bytes'", options.type)
  const { stream } = tap
  const cancel = async (): Promise<void> => {
    stream.destroy()
    await closed(stream)
  }
  if (options.type === 'bytes') return byteStream(tap, cancel)
  return new ReadableStream<unknown>(
    {
      async pull(controller) {
        for (;;) {
          const item = tap.take()
          if (item !== undefined) return controller.enqueue(item)
          if (!(await tap.arrival())) return controller.close()
        }
      },
      cancel,
    },
    { highWaterMark: options.highWaterMark ?? 0 },
  )
}

/**
 * A byte stream with BYOB reading. Bytes are always copied into the view we are given: enqueuing a buffer of ours or
 * yours would transfer it, and a pooled Buffer of Node's would take the whole pool with it.
 */
function byteStream(tap: Tap<unknown>, cancel: () => Promise<void>): ReadableStream<Uint8Array> {
  let pieces: Uint8Array[] = []
  let piece: Uint8Array | undefined
  const next = (): boolean => {
    while (piece === undefined || piece.length === 0) {
      if (pieces.length === 0) {
        const item = tap.take()
        if (item === undefined) return false
        pieces = piecesOf(item).slice()
      }
      piece = pieces.shift()
    }
    return true
  }
  return new ReadableStream({
    type: 'bytes',
    autoAllocateChunkSize: CHUNK,
    async pull(controller) {
      while (!next()) {
        if (await tap.arrival()) continue
        controller.close()
        controller.byobRequest?.respond(0)
        return
      }
      const request = controller.byobRequest as ReadableStreamBYOBRequest
      const view = request.view as ArrayBufferView
      const target = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
      let filled = 0
      while (filled < target.length && next()) {
        const from = piece as Uint8Array
        const count = Math.min(from.length, target.length - filled)
        target.set(count === from.length ? from : from.subarray(0, count), filled)
        piece = from.subarray(count)
        filled += count
      }
      request.respond(filled)
    },
    cancel,
  })
}

/** What a writable stream of ours offers to its Web face. */
export interface WebWritten {
  readonly destroyed: boolean
  readonly destroying: boolean
  readonly _failure: { readonly error: Error | undefined } | undefined
  write(item: unknown): boolean
  end(): unknown
  destroy(error?: Error): void
  on(event: string, listener: Listener): unknown
  once(event: string, listener: () => void): unknown
  off(event: string, listener: Listener): unknown
}

/** A Web stream that writes to one of ours: `ready` follows its `'drain'`, `close()` waits for its `'finish'`. */
export function webWritable<T>(stream: WebWritten): WritableStream<T> {
  let settle: Callback | undefined
  const done = (error?: Error | null): void => {
    const callback = settle
    settle = undefined
    callback?.(error)
  }
  const settled = (): Promise<void> =>
    new Promise((resolve, reject) => {
      settle = (error) => (error == null ? resolve() : reject(error))
    })
  const failure = (): Error => stream._failure?.error ?? prematureClose()
  let finished = false
  return new WritableStream<T>(
    {
      start(controller) {
        stream.on('drain', () => done())
        stream.on('finish', () => {
          finished = true
          done()
        })
        const onError = (error: Error): void => controller.error(error)
        stream.on('error', onError)
        stream.on('close', () => {
          if (finished) return
          controller.error(failure())
          done(failure())
        })
      },
      async write(item) {
        if (stream.destroying) throw failure()
        if (!stream.write(item) && !stream.destroying) await settled()
      },
      async close() {
        if (stream.destroying) throw failure()
        stream.end()
        while (!finished) await settled()
      },
      abort(reason) {
        stream.destroy(asError(reason))
      },
    },
    { highWaterMark: 1 },
  )
}
