// biome-ignore lint/suspicious/noTsIgnore: an error only where there are no types of Node; in a browser's project these are `any`
/** @ts-ignore */
import type { Duplex as NodeDuplex, Readable as NodeReadable } from 'node:stream'

/** The name of an event. */
export type EventName = string | symbol
// biome-ignore lint/suspicious/noExplicitAny: Node's own listener type; anything narrower is refused by pipeline()
export type Listener = (...args: any[]) => void

/** Node's EventEmitter, spelled out, so that no name of a dependency appears in a public type. */
export interface Emits {
  on(event: EventName, listener: Listener): this
  once(event: EventName, listener: Listener): this
  off(event: EventName, listener: Listener): this
  addListener(event: EventName, listener: Listener): this
  removeListener(event: EventName, listener: Listener): this
  prependListener(event: EventName, listener: Listener): this
  prependOnceListener(event: EventName, listener: Listener): this
  removeAllListeners(event?: EventName): this
  // biome-ignore lint/suspicious/noExplicitAny: as Node's
  emit(event: EventName, ...args: any[]): boolean
  listeners(event: EventName): Listener[]
  rawListeners(event: EventName): Listener[]
  listenerCount(event: EventName): number
  eventNames(): EventName[]
  setMaxListeners(count: number): this
  getMaxListeners(): number
}

/** What Node's types ask of a stream in the middle of `pipeline()`. */
export interface ReadSide<T> {
  /** Items one by one; several `next()` may wait at once; leaving the loop destroys the stream. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T>
  // biome-ignore lint/suspicious/noExplicitAny: Node declares the items of a stream in the middle of pipeline() as string | Buffer; this second signature satisfies it
  [Symbol.asyncIterator](): AsyncIterableIterator<any>
  /** The next item that has arrived, or null. */
  // biome-ignore lint/suspicious/noExplicitAny: as Node's
  read(): any
  /** True after `pause()`, until `resume()`. */
  isPaused(): boolean
  /** Stops piping. What has arrived stays for the next reader. */
  unpipe(to?: unknown): this
  /** Puts an item back, to be read first. */
  // biome-ignore lint/suspicious/noExplicitAny: as Node's
  unshift(item: any): void
  /** From now on bytes are decoded to strings. */
  setEncoding(encoding: string): this
  /** Throws `MILL_UNSUPPORTED`; here because Node's type asks for it. Use `readable(stream)`. */
  wrap(stream: unknown): this
}

/** A stream you can read: in `for await`, `pipe()`, `pipeline()`, or in batches. */
export interface ReadableOf<T> extends Emits, ReadSide<T>, AsyncDisposable {
  readonly readable: boolean
  readonly destroyed: boolean
  /** Sends all items to one destination and ends it; a second destination is `MILL_ALREADY_READING`. */
  pipe<W>(to: W): W
  pause(): this
  resume(): this
  /** Ends the stream now. Without an error whoever waits on it gets `MILL_PREMATURE_CLOSE`. */
  destroy(error?: Error): void
  /** What has arrived, as arrays that are never empty: the fast way to consume. */
  batches(options?: { maxItems?: number }): AsyncIterable<T[]>
  /** The same items as a Node stream. Bytes are not copied. */
  toNode(options?: { objectMode?: boolean }): NodeReadable
  /** The same items as a Web stream. Not copied, except with `type: 'bytes'`, which always copies. */
  toWeb(options?: { type?: 'bytes'; highWaterMark?: number }): ReadableStream<T>
}

/** A stream you can write to. */
export interface WritableOf<T> extends Emits, AsyncDisposable {
  readonly writable: boolean
  readonly destroyed: boolean
  /** True while `write()` returns false: wait for `'drain'`. */
  readonly writableNeedDrain: boolean
  /** Takes the item in any case; false asks you to wait for `'drain'`. */
  write(item: T): boolean
  /** No more items after this one. */
  end(item?: T | (() => void)): this
  destroy(error?: Error): void
  toWeb(): WritableStream<T>
}

/** Both sides: items of type `I` go in, items of type `O` come out. */
export interface DuplexOf<I, O> extends Emits, ReadSide<O>, AsyncDisposable {
  readonly readable: boolean
  readonly writable: boolean
  readonly destroyed: boolean
  readonly writableNeedDrain: boolean
  write(item: I): boolean
  end(item?: I | (() => void)): this
  pipe<W>(to: W): W
  pause(): this
  resume(): this
  destroy(error?: Error): void
  batches(options?: { maxItems?: number }): AsyncIterable<O[]>
  /** As one Node stream; the callbacks of `write()` and `end()` work there. */
  toNode(options?: { objectMode?: boolean }): NodeDuplex
  /** As the two ends that `pipeThrough()` takes. */
  toWeb(options?: { type?: 'bytes' }): { readable: ReadableStream<O>; writable: WritableStream<I> }
}

/** A readable stream of Node's, or of its kind, spelled out so that a browser's project needs no types of Node. */
export interface NodeReadableLike {
  readonly readable: boolean
  on(event: EventName, listener: Listener): this
  // biome-ignore lint/suspicious/noExplicitAny: as Node's
  read(size?: number): any
  // biome-ignore lint/suspicious/noExplicitAny: Node asks of the destination what only its own types can say
  pipe(to: any): unknown
  pause(): this
  resume(): this
}

/** A writable stream of Node's, or of its kind; see {@link NodeReadableLike}. */
export interface NodeWritableLike {
  readonly writable: boolean
  on(event: EventName, listener: Listener): this
  write(chunk: Uint8Array | string, callback?: (error?: Error | null) => void): boolean
  end(callback?: () => void): unknown
}

/** Anything items can be read from; which kind it is is seen from its shape. */
export type Source<T> = Iterable<T> | AsyncIterable<T> | NodeReadableLike | ReadableStream<T> | ReadableOf<T>

/** Anything items can be written to. A function is awaited before the next item. */
export type Sink<T> = NodeWritableLike | WritableStream<T> | WritableOf<T> | ((item: T) => void | Promise<void>)

export interface StreamOptions {
  /** Ends the stream with `signal.reason`. */
  signal?: AbortSignal
  /** How much may wait in the stream before its source is made to wait. Bytes; an item that is neither bytes nor a string counts 64. Default 65,536. */
  highWaterMark?: number
}
