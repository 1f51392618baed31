// biome-ignore lint/suspicious/noTsIgnore: an error only in a browser's project, which has no types of Node
/** @ts-ignore */
import type { Duplex as NodeDuplex, Readable as NodeReadable } from 'node:stream'
import type { Emits } from '../../types/source.js'
import { ArgumentError, StreamError } from '../base/errors.js'
import { decoderOf } from './decode.js'
import { drainOf, flow } from './flow.js'
import { closed, ReadMachine } from './machine.js'
import { EVENTS, NOBODY, readCore, TAP } from './read-core.js'
import { OURS, piecesOf, weigh } from './shape.js'
import { batchesOf, ItemIterator, type Tap, type Tapped } from './tap.js'
import { type WebReadOptions, webReadable } from './web.js'

export { type FaceOptions, NOBODY } from './read-core.js'

/** Set by `node.ts` when it is loaded; empty in a browser. */
export const nodeFace: {
  readable?: (stream: Tapped<unknown>, options?: { objectMode?: boolean }) => NodeReadable
  duplex?: (stream: Tapped<unknown>, options?: { objectMode?: boolean }) => NodeDuplex
} = {}

/**
 * The read side of every stream of ours, on top of a streamx machine: what users see of it. A subclass fills it with
 * `_offer` when `_pull` asks, and says `_finish` or `_fail` at the end; see `read-core.ts`.
 */
export function readSide(Base: typeof ReadMachine) {
  abstract class ReadFace extends readCore(Base) {
    get [OURS](): boolean {
      return true
    }

    override get readable(): boolean {
      return !this.destroying && !this._finished
    }

    // Node's pipeline() asks these of a stream that closed before it came: else it would wait for events for ever.
    get closed(): boolean {
      return this.destroyed
    }

    get errored(): Error | null {
      return this._failure?.error ?? null
    }

    get readableErrored(): Error | null {
      return this.errored
    }

    get writableErrored(): Error | null {
      return this.errored
    }

    [Symbol.asyncIterator](): AsyncIterableIterator<unknown> {
      return new ItemIterator(this._claim())
    }

    batches(options?: { maxItems?: number }): AsyncIterable<unknown[]> {
      const max = options?.maxItems
      if (max !== undefined && !(Number.isSafeInteger(max) && max > 0) && max !== Number.POSITIVE_INFINITY) {
        throw new ArgumentError('options.maxItems', 'a whole number > 0', max)
      }
      return batchesOf(this._claim(), max)
    }

    pipe<W>(to: W, options?: { end?: boolean } | ((error: Error | null) => void)): W {
      const drain = drainOf(to, { loud: true })
      let tap: Tap<unknown>
      try {
        tap = this._claim()
      } catch (error) {
        drain.forget()
        throw error
      }
      this._pipedTo = to as Emits
      this._pipedTo.emit?.('pipe', this)
      // streamx's own pipeline() passes a callback here.
      const done = typeof options === 'function' ? options : undefined
      const end = typeof options === 'object' ? options.end !== false : true
      flow(tap, drain, end).then(
        () => done?.(null),
        (error) => done?.(error),
      )
      return to
    }

    unpipe(to?: unknown): this {
      const piped = this._pipedTo
      if (piped === undefined || (to !== undefined && to !== piped)) return this
      this._pipedTo = undefined
      this._tap?.release()
      piped.emit?.('unpipe', this)
      return this
    }

    override read(): unknown {
      if (this._mode === NOBODY && !this._finished) this._useEvents()
      const item = super.read()
      if (item !== null || this._mode === TAP) return item
      const waiting = this._outbox.shift()
      if (waiting === undefined) return null
      this._taken()
      return waiting
    }

    override pause(): this {
      this._paused = true
      return super.pause()
    }

    override resume(): this {
      this._paused = false
      if (this._mode === TAP) return this
      if (!this._finished) this._useEvents()
      return super.resume() // also after the end: the machine may still hold the last item
    }

    isPaused(): boolean {
      return this._paused
    }

    override unshift(item: unknown): void {
      if (item === null || item === undefined || this._finished || this._failure !== undefined) return
      if (this._mode === EVENTS) super.unshift(item)
      else this._outbox.putBack(item, weigh(item))
      this._wake()
    }

    setEncoding(encoding: string): this {
      const decode = decoderOf(encoding)
      const waiting = this._outbox.batch(Number.POSITIVE_INFINITY) ?? []
      this._decode = decode
      for (const item of waiting) {
        const text = decode(piecesOf(item))
        if (text !== '') this._outbox.add(text, weigh(text))
      }
      return this
    }

    wrap(_stream: unknown): this {
      throw new StreamError('MILL_UNSUPPORTED', 'wrap() is not supported: use readable(stream)')
    }

    toNode(options?: { objectMode?: boolean }): NodeReadable | NodeDuplex {
      if (nodeFace.readable === undefined) {
        throw new StreamError('MILL_UNSUPPORTED', 'toNode() needs Node: import from millrace or millrace/streams there')
      }
      return nodeFace.readable(this, options)
    }

    toWeb(
      options?: WebReadOptions,
    ): ReadableStream<unknown> | { readable: ReadableStream<unknown>; writable: WritableStream<unknown> } {
      return webReadable(this._claim(), options)
    }

    async *[Symbol.for('Stream.toAsyncStreamable')](): AsyncGenerator<Uint8Array[]> {
      for await (const items of batchesOf(this._claim())) yield items.flatMap(piecesOf)
    }

    async [Symbol.asyncDispose](): Promise<void> {
      if (!this.destroying) this.destroy()
      await closed(this)
    }
  }
  return ReadFace
}

/** What all our readable streams extend. */
export const ReadableFace = readSide(ReadMachine)
